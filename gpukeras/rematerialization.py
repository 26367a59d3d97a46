"""Gradients with less memory: results inside a function are computed again instead of being kept."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

from gpukeras import autograd, dtypes, random, tree
from gpukeras.autograd import GradientTape
from gpukeras.symbolic import any_symbolic
from gpukeras.tensor import Tensor

MODES = ("full", "activations", "larger_than", "list_of_layers", None)


class _Local(threading.local):
    scopes: tuple = ()  # the open scopes, outermost first


_LOCAL = _Local()


class RematScope:
    """Compute again, on the way back, what layers made inside of this scope have computed on the way forth.

    Parameters
    ----------
    mode : {"full", "activations", "larger_than", "list_of_layers", None}
        All layers; their activation functions only; layers with larger outputs than the threshold; those
        named; none.
    output_size_threshold : int
        For ``"larger_than"``: number of elements, where a free batch axis counts as one.
    layer_names : list of str, optional
        For ``"list_of_layers"``.

    Notes
    -----
    What counts is the scope in which a layer is made, not that in which it is called.

    References
    ----------
    Chen et al., Training Deep Nets with Sublinear Memory Cost, arXiv:1604.06174

    Examples
    --------
    >>> import gpukeras as keras
    >>> with keras.RematScope(mode="full"):
    ...     layer = keras.layers.Dense(2, activation="relu")
    >>> layer(keras.ops.ones((1, 3))).shape
    (1, 2)
    """

    def __init__(self, mode="full", output_size_threshold=1024, layer_names=None):
        if mode not in MODES:
            raise ValueError(f"RematScope: mode must be one of {MODES}, came {mode!r}")
        self.mode = mode
        self.output_size_threshold = output_size_threshold
        self.layer_names = list(layer_names or [])

    def __enter__(self):
        _LOCAL.scopes = (*_LOCAL.scopes, self)
        return self

    def __exit__(self, *exc):
        _LOCAL.scopes = _LOCAL.scopes[:-1]


def current_scope() -> RematScope | None:
    """Return the innermost open scope, where it asks for anything."""
    scope = _LOCAL.scopes[-1] if _LOCAL.scopes else None
    return None if scope is None or scope.mode is None else scope


def remat(f: Callable) -> Callable:
    """Return ``f`` with results inside computed again for gradients, instead of being kept until then.

    Parameters
    ----------
    f : callable
        A function of tensors, or a layer. Random numbers are drawn alike again. States that a layer changes
        (moving averages) change once; a function that is no layer and no method of one should change none.

    Returns
    -------
    callable
        With the same arguments, results and gradients.

    References
    ----------
    Chen et al., Training Deep Nets with Sublinear Memory Cost, arXiv:1604.06174

    Examples
    --------
    >>> import gpukeras as keras
    >>> square = keras.remat(lambda x: keras.ops.exp(keras.ops.log(x) * 2.0))
    >>> x = keras.ops.convert_to_tensor(3.0)
    >>> with keras.GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = square(x)
    >>> round(float(tape.gradient(y, x)), 4)
    6.0
    """

    @functools.wraps(f)
    def call(*args, **kwargs):
        if not autograd.recording() or any_symbolic((args, kwargs)):
            return f(*args, **kwargs)
        return _recorded_as_one(f, args, kwargs)

    return call


class _Forgetful(list):
    """Records that nobody keeps."""

    def append(self, record):
        pass


def _recorded_as_one(f, args, kwargs):
    """Call ``f`` and leave one record, which calls it again."""
    tensors = [leaf for leaf in tree.flatten((args, kwargs)) if isinstance(leaf, Tensor)]
    watcher = GradientTape()
    watcher._records = _Forgetful()
    with autograd.no_recording(), random.remembered() as positions, watcher:
        outputs = f(*args, **kwargs)
    given = {id(t) for t in tensors}
    asked = [v for tape in autograd.STATE.tapes for v in tape.watched_variables() if not v.auto_watch]
    variables = {id(v): v for v in (*watcher.watched_variables(), *asked) if id(v) not in given}.values()
    sources = [*tensors, *variables]
    fresh = tree.map_structure(_fresh, outputs)
    leaves = [leaf for leaf in tree.flatten(fresh) if isinstance(leaf, Tensor)]

    def vjp(dy):
        given = dy if isinstance(dy, tuple) else (dy,)
        differentiable = [s for s in sources if dtypes.is_float(s.dtype)]
        with random.drawn_again(positions), _unchanged(f), GradientTape() as tape:
            tape.watch(differentiable)
            again = f(*args, **kwargs)
        again = [leaf for leaf in tree.flatten(again) if isinstance(leaf, Tensor)]
        pairs = [(y, d) for y, d in zip(again, given) if d is not None]
        found = tape.gradient([y for y, _ in pairs], differentiable, [d for _, d in pairs])
        known = {id(s): g for s, g in zip(differentiable, found)}
        return tuple(known.get(id(s)) for s in sources)

    autograd.record(getattr(f, "__name__", "remat"), sources, leaves, vjp)
    return fresh


def _fresh(leaf):
    """Return the same values as a tensor that no tape has seen."""
    if not isinstance(leaf, Tensor):
        return leaf
    found = Tensor(leaf.array)
    found._keras_mask = leaf._keras_mask
    return found


class _unchanged:
    """Put back the states of a layer, whose call is repeated, after the ``with`` block."""

    def __init__(self, f):
        owner = getattr(f, "__self__", getattr(f, "owner", f))
        self.variables = getattr(owner, "non_trainable_variables", ())

    def __enter__(self):
        self.before = [(v, v.array.copy(), v.version) for v in self.variables]

    def __exit__(self, *exc):
        for variable, array, version in self.before:
            variable.array[...] = array
            variable.version = version


def layer_call(layer, call: Callable, args, kwargs) -> Callable:
    """Return ``call`` as the scope in which ``layer`` was made wants it."""
    scope = layer._remat_mode
    if scope is None or not autograd.recording():
        return call
    if scope.mode == "activations":
        return _with_activation(layer, call)
    wanted = scope.mode == "full" or scope.mode == "list_of_layers" and layer.name in scope.layer_names
    if scope.mode == "larger_than":
        wanted = _output_size(layer, args, kwargs) > scope.output_size_threshold
    return remat(layer.in_this_context(call)) if wanted else call


def _with_activation(layer, call):
    """Return ``call`` with an activation function that is computed again."""
    activation = getattr(layer, "activation", None)
    if activation is None:
        return call

    def changed(*args, **kwargs):
        layer.__dict__["activation"] = remat(activation)
        try:
            return call(*args, **kwargs)
        finally:
            layer.__dict__["activation"] = activation

    return changed


def _output_size(layer, args, kwargs) -> int:
    """Return the number of elements of the outputs, of one sample where the batch axis is free."""
    import math

    from gpukeras.symbolic import KerasTensor

    def symbol(leaf):
        return KerasTensor((None, *leaf.shape[1:]), str(leaf.dtype)) if isinstance(leaf, Tensor) else leaf

    args, kwargs = tree.map_structure(symbol, (args, kwargs))
    outputs = layer.compute_output_spec(*args, **kwargs)
    return sum(math.prod(n or 1 for n in leaf.shape) for leaf in tree.flatten(outputs))

