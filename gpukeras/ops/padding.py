"""Padding: constants, copies of the tensor's own elements, ramps and statistics."""

from __future__ import annotations

import numpy as np

from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.ops.joining import along, concatenate, repeat
from gpukeras.ops.shaping import own

STATISTICS = {"maximum": "max", "minimum": "min", "mean": "mean", "median": "median"}  # names of ops


def pad(x, pad_width, mode="constant", constant_values=None):
    """Return ``x`` with elements added around it.

    Parameters
    ----------
    x : tensor
    pad_width : int, (before, after) or one (before, after) for every axis
    mode : str
        ``"constant"``, ``"edge"``, ``"reflect"``, ``"symmetric"``, ``"wrap"`` or ``"circular"``,
        ``"linear_ramp"``, ``"maximum"``, ``"mean"``, ``"median"``, ``"minimum"``, ``"empty"``.
        What is added: a value; the edge element; the mirror image without or with the edge element; the
        other end; a ramp down to 0; a statistic of the line; anything (zeros).
    constant_values : number, optional
        For mode ``"constant"`` only; 0 unless given.

    Raises
    ------
    ValueError
        On an unknown mode, widths that do not fit, or ``constant_values`` with another mode.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.pad(ops.arange(3), (2, 1), mode="reflect").tolist()
    [2, 1, 0, 1, 2, 1]
    """
    if constant_values is not None and mode != "constant":
        raise ValueError(f"constant_values is for mode='constant' only, came mode={mode!r}")
    if not isinstance(pad_width, int):
        pad_width = np.asarray(pad_width).tolist()
    if mode in ("constant", "empty"):
        return pad_constant(x, pad_width, 0 if constant_values is None else constant_values)
    if mode in ("edge", "reflect", "symmetric", "wrap", "circular"):
        return pad_copies(x, pad_width, "wrap" if mode == "circular" else mode)
    if mode == "linear_ramp" or mode in STATISTICS:
        return _pad_computed(x, pad_width, mode)
    raise ValueError(
        f"unknown pad mode {mode!r}; known are 'constant', 'edge', 'reflect', 'symmetric', 'wrap', "
        "'circular', 'linear_ramp', 'maximum', 'mean', 'median', 'minimum', 'empty'"
    )


@op(shape=shapes.pad, bfloat16="as is")
def pad_constant(x, pad_width, value):
    """Surround ``x`` with a number."""
    widths = shapes.pad_widths(x.ndim, pad_width)
    inner = tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, widths))
    xp, shape = x.backend.xp, shapes.pad(x.shape, pad_width)
    y = xp.full(shape, value, x.dtype) if value else xp.zeros(shape, x.dtype)
    y[inner] = x.array

    def vjp(dy):
        from gpukeras.ops.indexing import getitem

        return getitem(dy, inner)

    return y, vjp


@op(shape=shapes.pad)
def pad_copies(x, pad_width, mode):
    """Surround ``x`` with copies of its own elements: which ones is worked out on the host."""
    backend, array = x.backend, x.array
    steps = []
    for axis, (n, widths) in enumerate(zip(x.shape, shapes.pad_widths(x.ndim, pad_width))):
        if any(widths):
            if not n:
                raise ValueError(f"pad: axis {axis} of {x.shape} is empty, mode {mode!r} has nothing to copy")
            source = backend.asarray(np.pad(np.arange(n), widths, mode=mode))
            steps.append(((slice(None),) * axis + (source,), array.shape))
            array = backend.xp.take(array, source, axis=axis)

    def vjp(dy):
        from gpukeras.ops.indexing import index_put

        for key, shape in reversed(steps):
            dy = index_put(dy, key, shape)
        return dy

    return own(x, array), vjp


def _pad_computed(x, pad_width, mode):
    """Pad axis by axis with ramps or statistics of what is there so far."""
    from gpukeras import ops

    if not hasattr(x, "shape"):
        x = ops.convert_to_tensor(x)
    rank = len(x.shape)
    for axis, (before, after) in enumerate(shapes.pad_widths(rank, pad_width)):
        if not before and not after:
            continue
        if mode == "linear_ramp":
            first, last = x[along(axis, 0, 1)], x[along(axis, -1, None)]
            column = (-1,) + (1,) * (rank - axis - 1)
            up = (np.arange(before) / max(1, before)).reshape(column)
            down = (np.arange(after)[::-1] / max(1, after)).reshape(column)
            kind = x.dtype
            ramps = [ops.cast(end * ramp, kind) for end, ramp in ((first, up), (last, down))]
            parts = [ramps[0], x, ramps[1]]
        else:
            line = ops.cast(getattr(ops, STATISTICS[mode])(x, axis=axis, keepdims=True), x.dtype)
            parts = [repeat(line, before, axis), x, repeat(line, after, axis)]
        x = concatenate(parts, axis=axis)
    return x
