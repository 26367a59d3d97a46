"""The tape: records ops while open, then walks back through them.

An op that ran on a watched tensor leaves one record: identities of its inputs and outputs, and a closure
``vjp`` (vector-Jacobian product) that turns the gradient of the outputs into gradients of the inputs. The
closure holds exactly what it needs, the tape holds the closures, and tensors hold nothing: when the tape
goes, all memory of the step goes.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Sequence

import numpy as np

from gpukeras import backends, dtypes, symbolic, tree
from gpukeras.backends import threads
from gpukeras.tensor import Tensor, Variable, new_uid, to_array


class _State(threading.local):
    tapes: tuple = ()  # open tapes of this thread, outermost first
    autocast: str | None = None  # compute dtype of the layer being called, where it is not its variables'
    places: dict | None = None  # uid -> where to write that variable's gradient, in the walk being made


STATE = _State()


def recording() -> bool:
    """Tell whether any tape is open in this thread."""
    return bool(STATE.tapes)


def is_tracked(tensor) -> bool:
    """Tell whether some open tape follows ``tensor``; coarse ops skip gradients nobody will ask for."""
    if tensor is None or not tensor.uid:
        return False
    for tape in STATE.tapes:
        if tensor.uid in tape._tracked or (tensor.auto_watch and tape._watch_accessed):
            return True
    return False


def take_place(variable):
    """Return the array to which a vjp may write its whole gradient of ``variable``, or ``None``.

    It is there for the first who asks: where a variable is used twice, the second gradient is added to it.
    """
    places = STATE.places
    return places.pop(variable.uid, None) if places else None


def record(name: str, inputs: Sequence, outputs: Sequence[Tensor], vjp: Callable) -> None:
    """Leave a record on every open tape that follows one of ``inputs``."""
    for tape in STATE.tapes:
        tracked = tape._tracked
        uids: list[int] = []
        versions = None  # of the trainable variables read
        follows = False
        for x in inputs:
            uid = 0 if x is None else x.uid
            uids.append(uid)
            if not uid:  # no tape has seen it
                continue
            if x.auto_watch:
                if uid not in tracked:
                    if not tape._watch_accessed:
                        continue
                    tracked.add(uid)
                    tape._variables.append(x)
                follows = True
                if versions is None:
                    versions = [(x, x.version)]
                else:
                    versions.append((x, x.version))
            elif uid in tracked:
                follows = True
        if follows:
            made = []
            for y in outputs:
                if not y.uid:
                    y.uid = new_uid()
                tracked.add(y.uid)
                made.append(y.uid)
            tape._records.append((name, uids, made, vjp, versions))


class GradientTape:
    """Record ops for automatic differentiation.

    Parameters
    ----------
    persistent : bool
        Keep the records after ``gradient`` so that it can be called again.
    watch_accessed_variables : bool
        Watch every trainable variable that is read.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.convert_to_tensor(3.0)
    >>> with keras.GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = x * x
    >>> float(tape.gradient(y, x))
    6.0
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True):
        self.persistent = persistent
        self._watch_accessed = watch_accessed_variables
        self._used = False
        self._open = False
        self._session = threads.session()
        self._clear()

    def _clear(self) -> None:
        self._tracked: set[int] = set()
        self._variables: list[Variable] = []
        self._records: list[tuple] = []

    # ---- recording ----------------------------------------------------------------------------
    def __enter__(self):
        if self._open:
            raise RuntimeError("this GradientTape is already recording")
        self._open = True
        STATE.tapes = (*STATE.tapes, self)
        self._session.__enter__()
        return self

    def __exit__(self, *exc):
        self._open = False
        STATE.tapes = tuple(t for t in STATE.tapes if t is not self)
        self._session.__exit__()

    def watch(self, tensor) -> None:
        """Follow ``tensor`` (a tensor, a variable or a nested structure of them)."""
        for leaf in tree.flatten(tensor):
            if not isinstance(leaf, Tensor):
                raise TypeError(
                    f"tape.watch expects tensors, came {type(leaf).__name__}; "
                    "convert first: x = ops.convert_to_tensor(x)"
                )
            if leaf.dtype.kind != "c" and not dtypes.is_float(leaf.dtype):
                raise TypeError(f"only floating tensors can be differentiated, came dtype {leaf.dtype}")
            if not leaf.uid:
                leaf.uid = new_uid()
            if leaf.uid not in self._tracked:
                self._tracked.add(leaf.uid)
                if isinstance(leaf, Variable):
                    self._variables.append(leaf)

    def watched_variables(self) -> tuple[Variable, ...]:
        """Return the variables followed so far, in the order in which they were first read."""
        return tuple(self._variables)

    @contextlib.contextmanager
    def stop_recording(self):
        """Record nothing inside the ``with`` block."""
        before = STATE.tapes
        STATE.tapes = tuple(t for t in before if t is not self)
        try:
            yield
        finally:
            STATE.tapes = before

    def reset(self) -> None:
        """Forget everything recorded so far."""
        self._clear()
        self._used = False

    # ---- differentiating -----------------------------------------------------------------------
    def gradient(self, target, sources, output_gradients=None, unconnected_gradients="none"):
        """Return d target / d source for every source.

        Parameters
        ----------
        target : tensor or structure of tensors
            Several targets, or a target that is no scalar, are summed.
        sources : tensor, variable or structure of them
        output_gradients : tensor or structure like ``target``, optional
            Gradient of what follows, instead of ones.
        unconnected_gradients : {"none", "zero"}
            What to return for a source that ``target`` does not depend on.

        Returns
        -------
        structure of tensors like ``sources``; ``None`` where unconnected.

        Raises
        ------
        RuntimeError
            On a second call of a tape that is not persistent, or where a variable was changed after it was
            read (call ``gradient`` before applying updates).
        """
        with threads.session():
            if backends.several_gpus:
                arrays = [leaf.array for leaf in tree.flatten(target) if isinstance(leaf, Tensor)]
                with backends.scope_of("tape.gradient", arrays):
                    return self._gradient(target, sources, output_gradients, unconnected_gradients)
            return self._gradient(target, sources, output_gradients, unconnected_gradients)

    def _gradient(self, target, sources, output_gradients, unconnected):
        """Do the work of ``gradient`` on CUDA's current device."""
        if unconnected != "none":
            unconnected = getattr(unconnected, "value", unconnected)
            if unconnected not in ("none", "zero"):
                raise ValueError(f"unconnected_gradients must be 'none' or 'zero', came {unconnected!r}")
        if self._used and not self.persistent:
            raise RuntimeError(
                "this GradientTape was used already; open it with persistent=True to call gradient again"
            )
        targets = tree.flatten(target)
        seeds = [None] * len(targets) if output_gradients is None else tree.flatten(output_gradients)
        if len(seeds) != len(targets):
            raise ValueError(f"{len(targets)} targets but {len(seeds)} output_gradients")
        flat_sources = tree.flatten(sources)
        for leaf in (*targets, *flat_sources):
            if not isinstance(leaf, Tensor):
                raise TypeError(f"tape.gradient expects tensors and variables, came {type(leaf).__name__}")
        grads: dict[int, Tensor] = {}
        for leaf, seed in zip(targets, seeds):
            if leaf.uid:  # a target that no tape has seen depends on nothing
                _accumulate(grads, leaf.uid, _seed(leaf, seed))
        self._walk(grads, {s.uid for s in flat_sources}, None)
        found = []
        for source in flat_sources:
            grad = grads.get(source.uid) if source.uid in self._tracked else None
            if grad is None and unconnected == "zero":
                grad = Tensor(source.backend.xp.zeros_like(source.array))
            elif grad is not None and type(grad) is not Tensor:
                grad = Tensor(grad.array)  # rows of a table: whoever asks himself gets all of it
            elif grad is not None and isinstance(grad.array, np.generic):
                grad = Tensor(source.backend.asarray(grad.array))  # numbers belong to no device
            found.append(grad)
        return tree.pack_sequence_as(sources, found)

    def gradient_at(self, target: Tensor, variables: Sequence[Variable], places: dict) -> list:
        """Return the gradients of one target; ops may write them to ``places``, where one is given.

        What a training step needs, without detours: it hands the gradients on to the optimizer, whose arrays
        they may be, and forgets them. That of a large table may be a ``RowTensor``.

        Parameters
        ----------
        places : dict of int to array
            By ``uid`` of the variable, of its shape and dtype. Used up.
        """
        array = target.array
        if backends.several_gpus or self._used or not target.uid:
            return self.gradient(target, variables)
        if not isinstance(array, np.ndarray):
            ones = target.backend.xp.ones_like(array)
        elif array.size == 1:
            ones = backends.CPU.ones(1, array.dtype).reshape(array.shape)
        else:
            ones = np.ones_like(array)
        kept = {v.uid for v in variables}
        grads = {target.uid: Tensor(ones)}
        self._walk(grads, kept, places)
        tracked, found = self._tracked, []
        for variable in variables:
            grad = grads.get(variable.uid) if variable.uid in tracked else None
            if type(grad) is Tensor and isinstance(grad.array, np.generic):
                grad = Tensor(np.asarray(grad.array))
            found.append(grad)
        return found

    def _walk(self, grads: dict, kept: set, places: dict | None) -> None:
        """Walk back outside of this tape; its records are kept only where it is persistent."""
        tapes, places_before = STATE.tapes, STATE.places
        STATE.places = places
        try:
            if self.persistent:
                self._backward(grads, kept, list(self._records))
                return
            self._used = True
            records, self._records = self._records, []
            if tapes:
                STATE.tapes = tuple(t for t in tapes if t is not self)
            self._backward(grads, kept, records)
        finally:
            STATE.tapes, STATE.places = tapes, places_before

    def _backward(self, grads: dict, kept: set, records: list) -> None:
        """Walk ``records`` backwards, freeing each one, and collect gradients in ``grads``."""
        tracked = self._tracked
        while records:
            name, inputs, outputs, vjp, versions = records.pop()
            if len(outputs) == 1:
                uid = outputs[0]
                dy = grads.pop(uid, None) if uid not in kept else grads.get(uid)
                if dy is None:
                    continue
            else:
                dy = tuple(grads.get(u) if u in kept else grads.pop(u, None) for u in outputs)
                if all(d is None for d in dy):
                    continue
            if versions is not None:
                for variable, version in versions:
                    if variable.version != version:
                        raise RuntimeError(
                            f"variable {variable.path!r} was changed after {name} read it, so its gradient "
                            "is lost; call tape.gradient before assigning or applying updates"
                        )
            dxs = vjp(dy)
            if type(dxs) is not tuple:
                dxs = (dxs,)
            if len(dxs) != len(inputs):
                raise RuntimeError(f"{name}: {len(dxs)} gradients came for {len(inputs)} inputs")
            for uid, dx in zip(inputs, dxs):
                if dx is None or uid not in tracked:
                    continue
                if type(dx) is not Tensor:
                    dx = dx if isinstance(dx, Tensor) else Tensor(dx)
                if uid in grads:
                    _accumulate(grads, uid, dx)
                else:
                    grads[uid] = dx

    def jacobian(self, target, sources, unconnected_gradients="none", parallel_iterations=None,
                 experimental_use_pfor=True):
        """Return the matrices d target / d source, of shape ``target.shape + source.shape``.

        One backward walk per element of ``target``: meant for small outputs. The last two arguments are
        accepted for compatibility and have no effect.
        """
        rows = self._rows(target, target.size, sources, unconnected_gradients,
                          lambda xp, i: _one_hot(xp, target, i))
        return self._stack(rows, sources, lambda t: target.shape + t.shape[1:], axis=0)

    def batch_jacobian(self, target, source, unconnected_gradients="none", parallel_iterations=None,
                       experimental_use_pfor=True):
        """Return d target[n] / d source[n] for every sample n, of shape (N, *target[n], *source[n]).

        Samples must not depend on each other. The last two arguments have no effect.
        """
        if target.ndim < 2 or target.shape[0] != source.shape[0]:
            raise ValueError(
                f"batch_jacobian needs target and source with one leading batch axis, came {target.shape} "
                f"and {source.shape}"
            )
        width = target.size // max(1, target.shape[0])

        def seed(xp, i):
            dy = xp.zeros((target.shape[0], width), target.dtype)
            dy[:, i] = 1
            return dy.reshape(target.shape)

        rows = self._rows(target, width, source, unconnected_gradients, seed)
        shape = target.shape + source.shape[1:]
        return self._stack(rows, source, lambda t: shape, axis=1)

    def _rows(self, target, count, sources, unconnected, seed) -> list:
        """Return the gradients for ``count`` output gradients in turn, keeping the records until the last."""
        if self._used and not self.persistent:
            raise RuntimeError("this GradientTape was used already; open it with persistent=True")
        persistent, self.persistent = self.persistent, True
        try:
            xp = target.backend.xp
            rows = [
                self.gradient(target, sources, Tensor(seed(xp, i)), unconnected) for i in range(count)
            ]
        finally:
            self.persistent = persistent
        if not persistent:
            self._used = True
            self._records = []
        return rows

    def _stack(self, rows, sources, shape_of, axis):
        from gpukeras import ops

        found: list[Tensor | None] = []
        for column in zip(*(tree.flatten(r) for r in rows)):
            if column[0] is None:
                found.append(None)
                continue
            stacked = ops.stack(list(column), axis=axis)
            found.append(ops.reshape(stacked, shape_of(stacked)))
        return tree.pack_sequence_as(sources, found)


def _seed(target: Tensor, given) -> Tensor:
    if given is None:
        return Tensor(target.backend.xp.ones_like(target.array))
    array = to_array(given, target.dtype, target.backend)
    if array.shape != target.shape:
        raise ValueError(f"output gradient of shape {array.shape} for a target of shape {target.shape}")
    return given if isinstance(given, Tensor) and array is given.array else Tensor(array)


def _one_hot(xp, target, i):
    dy = xp.zeros(target.size, target.dtype)
    dy[i] = 1
    return dy.reshape(target.shape)


def _accumulate(grads: dict, uid: int, grad: Tensor) -> None:
    before = grads.get(uid)
    if before is None:
        grads[uid] = grad
    elif STATE.tapes:
        grads[uid] = before + grad
    else:
        a, b = before.array, grad.array
        alike = isinstance(a, np.ndarray) and a.shape == b.shape and a.dtype == b.dtype
        grads[uid] = Tensor(backends.CPU.plus(a, b) if alike else a + b)


@contextlib.contextmanager
def no_recording():
    """Record nothing on any tape inside the ``with`` block."""
    before, STATE.tapes = STATE.tapes, ()
    try:
        yield
    finally:
        STATE.tapes = before


def stop_gradient(variable):
    """Return the same values with no way back: gradients do not pass.

    Parameters
    ----------
    variable : tensor or structure of tensors
    """
    from gpukeras import ops

    return tree.map_structure(ops.detach, variable)


def custom_gradient(f: Callable) -> Callable:
    """Decorate a function that returns its result and its own gradient function.

    Parameters
    ----------
    f : callable
        ``f(*tensors) -> (y, grad)``; ``grad(dy)`` (or ``grad(*args, upstream=dy)``) returns one gradient per
        tensor argument. Where ``f`` reads trainable variables, ``grad`` takes ``variables=`` as well and
        returns a pair: gradients of the arguments, gradients of those variables.

    Examples
    --------
    >>> import gpukeras as keras
    >>> @keras.ops.custom_gradient
    ... def clipped(x):
    ...     return x, lambda dy: keras.ops.clip(dy, -1.0, 1.0)
    >>> x = keras.ops.convert_to_tensor([2.0])
    >>> with keras.GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = clipped(x) * 5.0
    >>> tape.gradient(y, x).numpy()
    array([1.], dtype=float32)
    """

    @functools.wraps(f)
    def call(*args, **kwargs):
        if symbolic.any_symbolic(args):
            return symbolic.record(call, *args, outputs=symbolic.alike(f(*args, **kwargs)[0]), **kwargs)
        tensors = [a if isinstance(a, Tensor) else Tensor(to_array(a)) for a in args]
        with no_recording(), GradientTape() as inner:
            result, grad = f(*tensors, **kwargs)
            variables = [v for v in inner.watched_variables() if not any(v is t for t in tensors)]
        outputs = [Tensor(y.array) for y in tree.flatten(result)]

        def vjp(dy):
            given = dy if isinstance(dy, tuple) else (dy,)
            dys = [
                Tensor(y.backend.xp.zeros_like(y.array)) if d is None else d for d, y in zip(given, outputs)
            ]
            found = _call_gradient(grad, dys, variables)
            if variables:
                found, of_variables = found
                return (*_as_list(found), *_as_list(of_variables))
            return tuple(_as_list(found))

        if STATE.tapes:
            record(getattr(f, "__name__", "custom_gradient"), [*tensors, *variables], outputs, vjp)
        return tree.pack_sequence_as(result, outputs)

    return call


def _call_gradient(grad, dys, variables):
    import inspect

    names = inspect.signature(grad).parameters
    extra = {"variables": variables} if variables else {}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in names.values())
    if variables and "variables" not in names and not takes_any:
        raise TypeError(
            f"the function reads variables {[v.path for v in variables]}, so its gradient function must take "
            "variables=None and return (argument gradients, variable gradients)"
        )
    if "upstream" in names or takes_any and not variables:
        return grad(upstream=dys[0] if len(dys) == 1 else tuple(dys), **extra)
    return grad(*dys, **extra)


def _as_list(value) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]
