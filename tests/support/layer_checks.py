"""``check_layer``: one call proves a layer's values, shapes, gradients, configuration and weights."""

from __future__ import annotations

import json
import pathlib
import tempfile

import numpy as np

from gpukeras import autograd, backends, tree
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor

STEP = 1e-5  # of the central differences in float64
SHAPE_ARGUMENTS = {"input_shape", "batch_input_shape", "batch_shape", "input_dim", "input_length", "weights"}


def check_layer(
    cls, kwargs=None, input_shape=None, *, inputs=None, input_dtype="float", high=5, call_kwargs=None,
    reference=None, output_shape=None, training=(None,), random=False, gradients=True, samplewise=True,
    symbolic=True, trainable=True, save=True, mask=None, output_mask="any", setup=None, weights=None,
    batch=3, rtol=2e-5, atol=2e-5, gradient_tolerance=2e-6, custom_objects=None, seed=0,
):
    """Check a layer class on the current device; returns the float64 layer.

    Parameters
    ----------
    cls : class
        Made as ``cls(**kwargs)``.
    input_shape : tuple of int or list of tuples
        Shape of one sample, or of the samples of several inputs, drawn at random.
    inputs : array or structure of arrays, optional
        Instead of ``input_shape``: the data themselves, with their batch axis.
    input_dtype : {"float", "int"}
        What to draw; integers lie in [0, ``high``).
    call_kwargs : dict, optional
        Further arguments of the call; arrays among them become tensors.
    reference : callable or array, optional
        Expected outputs, or a NumPy function ``f(inputs, *weights)`` of float64 arrays.
    output_shape : tuple, optional
        Expected shape of the outputs, with ``None`` for the batch.
    training : sequence of bool or None
        Modes in which gradients are checked.
    random : bool
        The outputs are random in training mode: gradients are checked in inference mode only.
    gradients : bool
        Compare gradients of trainable weights and float inputs with finite differences.
    samplewise : bool
        In inference mode, every sample's output depends on that sample alone.
    symbolic : bool
        Compare with symbolic shapes.
    save : bool
        Write a model around the layer to a file and read it back.
    trainable : bool
        Take one step of plain gradient descent and demand a lower loss.
    mask : array of bool, optional
        Travels with the first input.
    output_mask : array, None or "any"
        The mask the outputs must carry.
    setup : callable, optional
        ``f(layer)`` after building, to make weights that are zero at first more telling.
    weights : list of arrays, optional
        Set instead of the initial values.
    """
    run = _Run(cls, dict(kwargs or {}), call_kwargs or {}, mask, custom_objects)
    data = _draw(input_shape, inputs, input_dtype, high, batch, seed)
    layer = run.make("float64")
    y = run(layer, data)
    if weights is not None:
        layer.set_weights(weights)
    if setup is not None:
        with autograd.no_recording():
            setup(layer)
    if weights is not None or setup is not None:
        y = run(layer, data)
    values = layer.get_weights()
    _check_outputs(run, layer, data, y, values, reference, output_shape, rtol, atol)
    if not random:
        _check_masks(run, layer, data, output_mask)
    if samplewise and mask is None and not call_kwargs:
        single = tree.map_structure(lambda x: x[:1], data)
        _close(run(layer, single), tree.map_structure(lambda t: t.numpy()[:1], y), 1e-9, 1e-9,
               f"{run.name} on a batch of one")
    _check_config(run, layer, data, y, values)
    _check_float32(run, data, y, values, rtol, atol)
    if symbolic:
        _check_symbolic(run, layer, data, y)
        if save and not call_kwargs and mask is None:
            _check_file(run, data, values)
    for mode in training if gradients else ():
        _check_gradients(run, layer, data, mode, gradient_tolerance, seed)
    if random:
        _check_random(run, layer, data)
    if trainable and layer.trainable_weights:
        _check_step(run, layer, data, None if random else training[0])
        layer.set_weights(values)
    return layer


class _Run:
    """A layer class with its arguments, ready to be made and called on host data."""

    def __init__(self, cls, kwargs, call_kwargs, mask, custom_objects):
        self.cls, self.kwargs, self.call_kwargs, self.mask = cls, kwargs, call_kwargs, mask
        self.custom_objects = custom_objects
        self.name = f"{cls.__name__}({', '.join(f'{k}={v!r}' for k, v in kwargs.items())})"

    def make(self, dtype, kwargs=None):
        return self.cls(**{"dtype": dtype, **(self.kwargs if kwargs is None else kwargs)})

    def tensors(self, data, dtype):
        backend = backends.current()

        def convert(x):
            if isinstance(x, np.ndarray):
                return Tensor(backend.asarray(x.astype(dtype) if x.dtype.kind == "f" else x))
            return x

        found = tree.map_structure(convert, data)
        if self.mask is not None:
            first = tree.flatten(found)[0]
            first._keras_mask = Tensor(backend.asarray(np.asarray(self.mask)[: first.shape[0]]))
        return found

    def __call__(self, layer, data, training=None, tensors=None):
        x = self.tensors(data, layer.dtype_policy.compute_dtype) if tensors is None else tensors
        kwargs = self.tensors_of_kwargs(layer)
        return layer(x, **kwargs) if training is None else layer(x, training=training, **kwargs)

    def tensors_of_kwargs(self, layer):
        mask, self.mask = self.mask, None
        try:
            return {k: self.tensors(v, layer.dtype_policy.compute_dtype) for k, v in self.call_kwargs.items()}
        finally:
            self.mask = mask


def _draw(input_shape, inputs, input_dtype, high, batch, seed):
    if inputs is not None:
        return tree.map_structure(np.asarray, inputs)
    rng = np.random.default_rng(seed)

    def one(shape):
        shape = (batch, *shape)
        return rng.integers(0, high, shape) if input_dtype == "int" else rng.standard_normal(shape)

    several = isinstance(input_shape, list)
    return [one(s) for s in input_shape] if several else one(input_shape)


def _close(found, expected, rtol, atol, what):
    found, expected = tree.flatten(found), tree.flatten(expected)
    assert len(found) == len(expected), f"{what}: {len(found)} outputs, expected {len(expected)}"
    for y, want in zip(found, expected):
        want = want.numpy() if isinstance(want, Tensor) else np.asarray(want)
        assert tuple(y.shape) == want.shape, f"{what}: shape {y.shape}, expected {want.shape}"
        np.testing.assert_allclose(y.numpy(), want, rtol, atol, err_msg=what)


def _check_outputs(run, layer, data, y, values, reference, output_shape, rtol, atol):
    for output in tree.flatten(y):
        assert isinstance(output, Tensor), f"{run.name} returned {type(output).__name__}"
        assert output.backend is backends.current(), f"{run.name}: output on {output.device}"
        assert output.dtype.kind != "f" or output.dtype == "float64", f"{run.name}: came {output.dtype}"
    assert layer.built, f"{run.name} is not built after a call"
    if reference is not None:
        expected = reference(data, *values) if callable(reference) else reference
        _close(y, expected, 1e-9, 1e-9, f"{run.name} against the reference")
    if output_shape is not None:
        found = tuple(y.shape)
        assert found[1:] == tuple(output_shape[1:]), f"{run.name}: {found}, expected {output_shape}"


def _check_masks(run, layer, data, output_mask):
    if isinstance(output_mask, str):
        return
    found = tree.flatten(run(layer, data))[0]._keras_mask
    if output_mask is None:
        assert found is None, f"{run.name}: the output carries the mask {found}, expected none"
    else:
        assert found is not None, f"{run.name}: the output carries no mask"
        np.testing.assert_array_equal(np.asarray(found), output_mask, f"{run.name}: mask of the output")


def _check_config(run, layer, data, y, values):
    config = layer.get_config()
    text = json.dumps(config)
    missing = set(run.kwargs) - set(config) - SHAPE_ARGUMENTS
    assert not missing, f"{run.name}: get_config() lacks {missing}"
    clone = run.cls.from_config(json.loads(text))
    again = json.dumps(clone.get_config())  # tuples become lists on the way
    assert json.loads(again) == json.loads(text), f"{run.name}: the configuration changes in a round trip"
    assert clone.name == layer.name
    run(clone, data)
    clone.set_weights(values)
    for a, b in zip(clone.get_weights(), values):
        np.testing.assert_array_equal(a, b, f"{run.name}: set_weights, get_weights")
    assert [v.shape for v in clone.weights] == [v.shape for v in layer.weights]
    assert [v.name for v in clone.trainable_weights] == [v.name for v in layer.trainable_weights]
    if y is not None:
        _close(run(clone, data), y, 1e-12, 1e-12, f"{run.name} made from its configuration")


def _check_float32(run, data, y, values, rtol, atol):
    layer = run.make("float32")
    run(layer, data)
    layer.set_weights(values)
    found = run(layer, data)
    for output in tree.flatten(found):
        assert output.dtype.kind != "f" or output.dtype == "float32", f"{run.name}: came {output.dtype}"
    for weight in layer.weights:
        assert weight.dtype.kind != "f" or weight.dtype == "float32", f"{run.name}: weight {weight.path}"
    _close(found, y, rtol, atol, f"{run.name} in float32")


def _check_file(run, data, values):
    """A model around the layer answers the same after a journey through a file."""
    from gpukeras import Input, Model, saving

    inputs = _map(lambda x: Input(x.shape[1:], dtype=_spec_like(x, None, "float32").dtype), data)
    layer = run.make("float32")
    model = Model(inputs, layer(inputs))
    layer.set_weights(values)
    before = model(run.tensors(data, "float32"))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.keras"
        model.save(path)
        known = {run.cls.__name__: run.cls, **(run.custom_objects or {})}
        again = saving.load_model(path, custom_objects=known)
    after = again(run.tensors(data, "float32"))
    _close(tree.flatten(after), tree.flatten(before), 0, 0, f"{run.name} read from a file")


def _check_symbolic(run, layer, data, y):
    eager = tree.flatten(y)
    kind = layer.dtype_policy.compute_dtype
    for batch in (None, len(tree.flatten(data)[0])):
        shapes = _map(lambda x, n: (n, *x.shape[1:]), data, batch)
        specs = _map(_spec_like, data, batch, kind)
        fresh = run.make("float64")
        found = tree.flatten(fresh(specs, **run.tensors_of_kwargs(fresh)))
        what = f"{run.name} on symbolic inputs {shapes}"
        assert len(found) == len(eager), f"{what}: {len(found)} outputs, eager {len(eager)}"
        for s, e in zip(found, eager):
            assert isinstance(s, KerasTensor), f"{what}: expected a KerasTensor, came {type(s).__name__}"
            _same_shape(what, s.shape, e.shape, batch)
            assert s.dtype == e.dtype.name, f"{what}: dtype {s.dtype}, eager {e.dtype}"
        assert [v.shape for v in fresh.weights] == [v.shape for v in layer.weights], what
        if not run.call_kwargs:
            computed = _flatten_shapes(layer.compute_output_shape(shapes))
            assert len(computed) == len(eager), f"{run.name}: compute_output_shape gave {computed}"
            for shape, e in zip(computed, eager):
                _same_shape(f"{run.name}.compute_output_shape({shapes})", shape, e.shape, batch)


def _spec_like(x, batch, kind):
    return KerasTensor((batch, *x.shape[1:]), kind if x.dtype.kind == "f" else x.dtype.name)


def _map(f, data, *settings):
    return tree.map_structure(lambda x: f(x, *settings), data)


def _flatten_shapes(shape):
    if isinstance(shape, (tuple, list)) and all(n is None or isinstance(n, int) for n in shape):
        assert isinstance(shape, tuple), f"a shape must be a tuple, came {shape!r}"
        return [shape]
    items = [shape[k] for k in sorted(shape)] if isinstance(shape, dict) else shape
    return [leaf for item in items for leaf in _flatten_shapes(item)]


def _same_shape(what, found, eager, batch):
    assert len(found) == len(eager), f"{what}: {found}, eager {eager}"
    for i, (n, m) in enumerate(zip(found, eager)):
        assert n == m or (i == 0 and batch is None and n is None), f"{what}: {found}, eager {eager}"


def _check_gradients(run, layer, data, mode, tolerance, seed):
    """Compare tape gradients of weights and float inputs with central differences along random ways."""
    rng = np.random.default_rng(seed + 1)
    backend = backends.current()
    tensors = run.tensors(data, "float64")
    sources = [t for t in tree.flatten(tensors) if t.dtype.kind == "f"]
    weights = list(layer.trainable_weights)
    seeds = None

    def total():
        nonlocal seeds
        outputs = [t for t in tree.flatten(run(layer, data, mode, tensors)) if t.dtype.kind == "f"]
        if seeds is None:
            seeds = [np.round(rng.standard_normal(t.shape), 3) for t in outputs]
        return outputs

    def value():
        with autograd.no_recording():
            return sum(float(np.vdot(s, t.numpy())) for t, s in zip(total(), seeds))

    with autograd.GradientTape() as tape:
        for x in sources:
            tape.watch(x)
        outputs = total()
    found = tape.gradient(outputs, [*sources, *weights],
                          [Tensor(backend.asarray(s)) for s in seeds])
    for place, dx in zip([*sources, *weights], found):
        what = f"{run.name}, training={mode}: gradient of {getattr(place, 'path', 'an input')}"
        assert dx is not None, f"{what} is missing"
        assert dx.shape == place.shape, f"{what} has shape {dx.shape}, expected {place.shape}"
        assert dx.dtype == "float64", f"{what} has dtype {dx.dtype}"
        _along(what, place, dx.numpy(), value, rng, tolerance)


def _along(what, place, dx, value, rng, tolerance):
    before = place.numpy()
    backend = place.backend
    for _ in range(2):
        way = rng.standard_normal(before.shape)
        way /= max(1.0, float(np.sqrt(np.vdot(way, way))))
        ends = []
        for step in (STEP, -STEP):
            place.array[...] = backend.asarray(before + step * way)
            ends.append(value())
        place.array[...] = backend.asarray(before)
        numeric = (ends[0] - ends[1]) / (2 * STEP)
        size = max(1.0, abs(ends[0]), float(np.abs(dx).max()))
        np.testing.assert_allclose(float(np.vdot(dx, way)), numeric, tolerance, tolerance * size,
                                   err_msg=f"{what} against central differences; it is\n{dx}")


def _check_random(run, layer, data):
    """Random in training mode, the same every time in inference mode."""
    first, again = (tree.flatten(run(layer, data, True))[0].numpy() for _ in range(2))
    assert (first != again).any(), f"{run.name}: two calls in training mode gave the same outputs"
    first, again = (tree.flatten(run(layer, data, False))[0].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, again, f"{run.name}: inference is random")


def _check_step(run, layer, data, mode):
    """One step down the gradient lowers a loss."""
    losses = []
    for rate in (1e-3, 0.0):
        with autograd.GradientTape() as tape:
            outputs = [t for t in tree.flatten(run(layer, data, mode)) if t.dtype.kind == "f"]
        values = [t.numpy() for t in outputs]
        # Loss 0.5 * sum((y - target) ** 2); its gradient goes in as output gradient.
        targets = [np.full(v.shape, 3.0) for v in values]
        losses.append(sum(0.5 * float(((v - t) ** 2).sum()) for v, t in zip(values, targets)))
        weights = layer.trainable_weights
        backend = backends.current()
        grads = tape.gradient(outputs, weights,
                              [Tensor(backend.asarray(v - t)) for v, t in zip(values, targets)])
        norm = np.sqrt(sum(float((g.numpy() ** 2).sum()) for g in grads))
        assert norm > 0, f"{run.name}: all gradients are zero"
        for weight, grad in zip(weights, grads):
            weight.assign_sub(grad.numpy() * (rate / norm))
    assert losses[1] < losses[0], f"{run.name}: a step down the gradient led from {losses[0]} to {losses[1]}"
