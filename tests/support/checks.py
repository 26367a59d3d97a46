"""``check_op``: one call proves an op's values, gradients, dtypes, layouts and symbolic shape."""

from __future__ import annotations

import numpy as np

from gpukeras import autograd, backends
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor

# Tolerances of values and gradients: (relative, absolute), the absolute one scaled by the largest value.
TOLERANCE = {
    "float64": (1e-9, 1e-10),
    "float32": (2e-5, 5e-6),
    "float16": (1e-2, 5e-3),
}
STEP = 1e-5  # of the central differences in float64
DIFFERENCE_TOLERANCE = (2e-6, 2e-7)


def tensor_here(array) -> Tensor:
    """Return a tensor of an array's values and dtype on the current device."""
    return Tensor(backends.current().asarray(array))


def check_op(
    op, inputs, reference, *, settings=(), kwargs=None, listed=False, grad=True, second_order=False, wrt=None,
    dtypes=("float64", "float32"), rtol=None, atol=None, grad_rtol=None, grad_atol=None, strided=True,
    symbolic=True, batch=(0,), check_dtype=True, directions=2, seed=0,
):
    """Check ``op`` on the current device.

    Parameters
    ----------
    op : callable
        Called as ``op(*tensors, *settings, **kwargs)``; with ``listed`` as ``op([tensors], *settings, ...)``.
    inputs : list
        Float64 arrays (differentiated), integer or boolean arrays (not), numbers, or ``None``. Choose values
        away from ties and kinks.
    reference : callable or array
        Independent NumPy version, called like ``op`` with the float64 arrays (a tuple for several outputs),
        or the expected values themselves.
    grad : bool
        Compare tape gradients with finite differences in float64, and float32 gradients with float64 ones.
    second_order : bool
        Also differentiate the gradient.
    wrt : list of int, optional
        Which inputs have gradients; all float arrays unless given.
    dtypes : sequence of str
        The float types to run in; each result must have that type.
    rtol, atol, grad_rtol, grad_atol : float or dict from dtype to float, optional
        Instead of the table above; a plain number concerns float32 (values) and float64 (differences).
    batch : sequence of int
        Inputs whose first axis becomes ``None`` in the second symbolic call (rank 2 and more).
    check_dtype : bool
        Demand that floating results have the floating type of the inputs.
    """
    run = _Run(op, inputs, settings, kwargs or {}, listed)
    expected = _expected(run, reference)
    for dtype in dtypes:
        result = run(run.tensors(dtype))
        what = f"{run.name} in {dtype}"
        _compare(what, result, expected, dtype, rtol, atol, check_dtype)
        if strided:
            for layout in ("strided", "transposed"):
                _compare(f"{what}, {layout} inputs", run(run.tensors(dtype, layout)), expected, dtype, rtol,
                atol,
                         check_dtype)
        run.check_untouched(what)
    if grad:
        places = run.float_places() if wrt is None else list(wrt)
        if not places:
            raise ValueError(f"{run.name}: grad=True, but no input is a float array; pass grad=False")
        _check_gradient(run, places, dtypes, seed, directions, grad_rtol, grad_atol)
        if second_order:
            _check_second_order(run, places, seed, directions, grad_rtol, grad_atol)
    if symbolic:
        check_symbolic(run, batch, dtypes[-1])


def check_gradient(f, inputs, *, seed=0, directions=2, rtol=None, atol=None, second_order=False):
    """Compare the tape gradient of ``f(*tensors)`` with finite differences; nothing else is checked."""
    run = _Run(f, inputs, (), {}, False)
    _check_gradient(run, run.float_places(), (), seed, directions, rtol, atol)
    if second_order:
        _check_second_order(run, run.float_places(), seed, directions, rtol, atol)


class _Run:
    """An op with its arguments, ready to be called on tensors of a dtype and memory layout."""

    def __init__(self, op, inputs, settings, kwargs, listed):
        self.op, self.settings, self.kwargs, self.listed = op, tuple(settings), kwargs, listed
        self.inputs = [x if x is None or isinstance(x, (bool, int, float)) else np.array(x) for x in inputs]
        self.name = getattr(op, "__name__", repr(op))

    def float_places(self):
        return [i for i, x in enumerate(self.inputs) if isinstance(x, np.ndarray) and x.dtype.kind == "f"]

    def tensors(self, dtype, layout="plain", inputs=None):
        backend = backends.current()
        found = []
        for x in self.inputs if inputs is None else inputs:
            if isinstance(x, np.ndarray):
                kind = dtype if x.dtype.kind == "f" else x.dtype
                x = Tensor(_lay_out(backend.xp, backend.asarray(x.astype(kind)), layout))
            found.append(x)
        self.last = found
        return found

    def __call__(self, tensors):
        return self._call(self.op, tensors)

    def reference(self, f):
        return self._call(f, [x.copy() if isinstance(x, np.ndarray) else x for x in self.inputs])

    def _call(self, f, values):
        if self.listed:
            return f(list(values), *self.settings, **self.kwargs)
        return f(*values, *self.settings, **self.kwargs)

    def check_untouched(self, what):
        for i, (x, t) in enumerate(zip(self.inputs, self.last)):
            if isinstance(x, np.ndarray):
                np.testing.assert_array_equal(t.numpy(), x.astype(t.dtype), f"{what}: wrote into input {i}")


def _lay_out(xp, x, layout):
    """Return a copy of ``x`` in another memory layout."""
    if not x.ndim or layout == "plain":
        return x
    if layout == "transposed":
        return xp.asfortranarray(x)
    wide = xp.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = x
    return wide[..., ::2]


def _outputs(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def _expected(run, reference):
    found = run.reference(reference) if callable(reference) else reference
    return [np.asarray(y) for y in (found if isinstance(found, (tuple, list)) else [found])]


def _pick(given, dtype, plain, default):
    """Tolerance for ``dtype``: from a dict, from a number (which concerns ``plain`` only), or the default."""
    if isinstance(given, dict):
        return given.get(dtype, default)
    return default if given is None or (dtype != plain and given < default) else given


def _compare(what, result, expected, dtype, rtol, atol, check_dtype):
    results = _outputs(result)
    assert len(results) == len(expected), f"{what}: {len(results)} outputs, the reference has {len(expected)}"
    for i, (y, want) in enumerate(zip(results, expected)):
        where = what if len(results) == 1 else f"{what}, output {i}"
        assert isinstance(y, Tensor), f"{where}: expected a Tensor, came {type(y).__name__}"
        assert y.backend is backends.current(), f"{where}: the result is on {y.device}"
        assert tuple(y.shape) == want.shape, f"{where}: shape {y.shape}, the reference has {want.shape}"
        if want.dtype.kind != "f":
            kinds = "iu" if want.dtype.kind in "iu" else want.dtype.kind
            assert y.dtype.kind in kinds, f"{where}: dtype {y.dtype}, the reference has {want.dtype}"
            np.testing.assert_array_equal(y.numpy(), want, where)
            continue
        if check_dtype:
            assert y.dtype == dtype, f"{where}: the result has dtype {y.dtype}"
        base_rtol, base_atol = TOLERANCE[dtype]
        limit_rtol = _pick(rtol, dtype, "float32", base_rtol)
        limit_atol = _pick(atol, dtype, "float32", base_atol * _scale(want))
        np.testing.assert_allclose(y.numpy(), want, limit_rtol, limit_atol, err_msg=where)


def _scale(values):
    finite = values[np.isfinite(values)]
    return max(1.0, float(np.abs(finite).max())) if finite.size else 1.0


def _gradients(run, places, dtype, seeds, inputs=None):
    """Return the outputs and, for given output gradients, the input gradients as NumPy arrays."""
    tensors = run.tensors(dtype, inputs=inputs)
    sources = [tensors[i] for i in places]
    with autograd.GradientTape() as tape:
        for x in sources:
            tape.watch(x)
        outputs = [y for y in _outputs(run(tensors)) if y.dtype.kind == "f"]
    backend = backends.current()
    dys = [Tensor(backend.asarray(s.astype(dtype))) for s in seeds(outputs)]
    found = tape.gradient(outputs, sources, dys)
    for dy, s in zip(dys, seeds(outputs)):
        np.testing.assert_array_equal(dy.numpy(), s.astype(dtype), f"{run.name}: the vjp wrote into dy")
    for i, x, dx in zip(places, sources, found):
        assert dx is not None, f"{run.name}: no gradient for input {i}; name those that have one by wrt="
        assert dx.shape == x.shape, f"{run.name}: gradient of input {i} is {dx.shape}, the input {x.shape}"
        assert dx.dtype == dtype, f"{run.name}: gradient of input {i} is {dx.dtype}, the input {dtype}"
    return outputs, [dx.numpy() for dx in found]


def _check_gradient(run, places, dtypes, seed, directions, rtol, atol):
    seeds = _Seeds(seed)
    outputs, exact = _gradients(run, places, "float64", seeds)
    assert outputs, f"{run.name}: no floating output to differentiate; pass grad=False"

    def value(inputs):
        ys = [y for y in _outputs(run(run.tensors("float64", inputs=inputs))) if y.dtype.kind == "f"]
        return sum(float(np.vdot(s, y.numpy())) for s, y in zip(seeds(ys), ys))

    _compare_directions(
        f"gradient of {run.name}", run.inputs, places, exact, value, seed, directions, rtol, atol
    )
    for dtype in dtypes:
        if dtype == "float64":
            continue
        _, found = _gradients(run, places, dtype, seeds)
        for i, dx, want in zip(places, found, exact):
            base_rtol, base_atol = TOLERANCE[dtype]
            np.testing.assert_allclose(
                dx, want, _pick(rtol, dtype, "float32", base_rtol * 10),
                _pick(atol, dtype, "float32", base_atol * 10 * _scale(want)),
                err_msg=f"gradient of {run.name} for input {i}: {dtype} against float64",
            )


def _check_second_order(run, places, seed, directions, rtol, atol):
    seeds, across = _Seeds(seed), _Seeds(seed + 1)
    backend = backends.current()
    tensors = run.tensors("float64")
    sources = [tensors[i] for i in places]
    with autograd.GradientTape() as outer:
        for x in sources:
            outer.watch(x)
        with autograd.GradientTape() as inner:
            for x in sources:
                inner.watch(x)
            outputs = [y for y in _outputs(run(tensors)) if y.dtype.kind == "f"]
        dys = [Tensor(backend.asarray(s)) for s in seeds(outputs)]
        first = inner.gradient(outputs, sources, dys)
    weights = [Tensor(backend.asarray(s)) for s in across(first)]
    second = outer.gradient(first, sources, weights, unconnected_gradients="zero")

    def value(inputs):
        _, grads = _gradients(run, places, "float64", seeds, inputs)
        return sum(float(np.vdot(s, g)) for s, g in zip(across(grads), grads))

    exact = [d.numpy() for d in second]
    _compare_directions(f"second gradient of {run.name}", run.inputs, places, exact, value, seed, directions,
                        rtol, atol)


def _compare_directions(what, inputs, places, exact, value, seed, directions, rtol, atol):
    rng = np.random.default_rng(seed + 2)
    limit_rtol, limit_atol = DIFFERENCE_TOLERANCE
    for i, dx in zip(places, exact):
        assert np.isfinite(dx).all(), f"{what} for input {i} is not finite:\n{dx}"
        for _ in range(directions if dx.size else 0):
            way = rng.standard_normal(dx.shape)
            way /= max(1.0, float(np.sqrt(np.vdot(way, way))))
            ends = []
            for step in (STEP, -STEP):
                moved = list(inputs)
                moved[i] = np.asarray(inputs[i] + step * way)
                ends.append(value(moved))
            numeric = (ends[0] - ends[1]) / (2 * STEP)
            along = float(np.vdot(dx, way))
            size = max(1.0, abs(ends[0]), float(np.abs(dx).max()))
            np.testing.assert_allclose(
                along, numeric, limit_rtol if rtol is None or isinstance(rtol, dict) else max(rtol,
                limit_rtol),
                (limit_atol if atol is None or isinstance(atol, dict) else max(atol, limit_atol)) * size,
                err_msg=f"{what} for input {i} against central differences; the gradient is\n{dx}",
            )


class _Seeds:
    """Random output gradients, the same for every call with outputs of the same shapes."""

    def __init__(self, seed):
        self.seed = seed

    def __call__(self, outputs):
        rng = np.random.default_rng(self.seed)
        return [np.round(rng.standard_normal(tuple(y.shape)), 3) for y in outputs]


def check_symbolic(run, batch, dtype):
    """Compare shape and dtype of the op on KerasTensors with those of its eager result."""
    eager = _outputs(run(run.tensors(dtype)))
    for free in (False, True):
        tensors = []
        for i, x in enumerate(run.inputs):
            if isinstance(x, np.ndarray):
                shape = (None, *x.shape[1:]) if free and i in batch and x.ndim > 1 else x.shape
                x = KerasTensor(shape, dtype if x.dtype.kind == "f" else x.dtype)
            tensors.append(x)
        if not any(isinstance(x, KerasTensor) for x in tensors):
            return
        what = f"{run.name} on symbolic tensors of shapes {[getattr(t, 'shape', t) for t in tensors]}"
        found = _outputs(run(tensors))
        assert len(found) == len(eager), f"{what}: {len(found)} outputs, eager {len(eager)}"
        for s, y in zip(found, eager):
            assert isinstance(s, KerasTensor), f"{what}: expected a KerasTensor, came {type(s).__name__}"
            assert len(s.shape) == len(y.shape), f"{what}: shape {s.shape}, eager {y.shape}"
            for n, m in zip(s.shape, y.shape):
                assert n == m or (free and n is None), f"{what}: shape {s.shape}, eager {y.shape}"
            assert s.dtype == y.dtype.name, f"{what}: dtype {s.dtype}, eager {y.dtype}"
