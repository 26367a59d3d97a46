"""Shape rules: plain integers in, plain integers out; ``None`` is a size not known yet.

The same rule serves symbolic inference (``KerasTensor``), the ops and the backends, so that a layer's
``compute_output_shape``, its eager result and its kernels can never disagree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Shape = tuple  # of int | None


def same(x, *args, **kwargs) -> Shape:
    """Shape rule of ops that keep their input's shape."""
    return tuple(x)


def broadcast(*shapes, **kwargs) -> Shape:
    """Shape of an elementwise op over ``shapes`` (NumPy broadcasting; ``None`` meets anything)."""
    result: list = []
    rank = max((len(s) for s in shapes), default=0)
    for i in range(-rank, 0):
        size = 1
        for shape in shapes:
            n = shape[i] if -i <= len(shape) else 1
            if n == 1 or n == size:
                continue
            if size == 1 or size is None:
                size = n
            elif n is not None:
                raise ValueError(f"shapes {' and '.join(map(str, shapes))} cannot be broadcast together")
        result.append(size)
    return tuple(result)


def normalize_axis(axis: int, rank: int, what: str = "axis") -> int:
    """Turn a possibly negative ``axis`` of a rank-``rank`` array into 0 <= axis < rank."""
    if not -rank <= axis < rank:
        raise ValueError(f"{what}={axis} is out of range for a tensor of rank {rank}")
    return axis % rank if rank else 0


def normalize_axes(axis, rank: int) -> tuple[int, ...]:
    """Turn ``None`` (all axes), an int or a sequence into a sorted tuple of axes."""
    if axis is None:
        return tuple(range(rank))
    if isinstance(axis, int):
        axis = (axis,)
    axes = tuple(sorted(normalize_axis(int(a), rank) for a in axis))
    if len(set(axes)) != len(axes):
        raise ValueError(f"axis={tuple(axis)} names an axis twice")
    return axes


def reduce(x, axis=None, keepdims=False, *args, **kwargs) -> Shape:
    """Shape after a reduction over ``axis``."""
    axes = normalize_axes(axis, len(x))
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(x))
    return tuple(n for i, n in enumerate(x) if i not in axes)


def known_product(sizes: Sequence) -> int | None:
    """Product of ``sizes``, or ``None`` as soon as one of them is unknown."""
    return None if any(n is None for n in sizes) else math.prod(sizes)


def matmul(x, y) -> Shape:
    """Shape of ``x @ y`` with NumPy's rules for vectors and leading batch axes."""
    x, y = tuple(x), tuple(y)
    if not x or not y:
        raise ValueError("matmul needs tensors of rank 1 or more; use multiply for scalars")
    inner = (x[-1], y[-2] if len(y) > 1 else y[0])
    if None not in inner and inner[0] != inner[1]:
        raise ValueError(
            f"matmul of shapes {x} and {y}: the last axis of the first ({inner[0]}) must equal the "
            f"{'second-to-last axis' if len(y) > 1 else 'length'} of the second ({inner[1]})"
        )
    batch = broadcast(x[:-2], y[:-2])
    return batch + (x[-2:-1] if len(x) > 1 else ()) + (y[-1:] if len(y) > 1 else ())


def dense(x, kernel, *args, **kwargs) -> Shape:
    """Shape of a dense layer: the last axis becomes the kernel's last."""
    return (*x[:-1], kernel[-1])


def reshape(x, newshape) -> Shape:
    """Shape after ``reshape``; one ``-1`` (or ``None``) is worked out where the sizes are known."""
    target = [-1 if n is None else int(n) for n in newshape]
    total, unknown = known_product(x), target.count(-1)
    if unknown > 1:
        if total is not None or target.count(-1) > sum(n is None for n in x):
            raise ValueError(f"reshape to {tuple(newshape)}: only one size may be -1")
        return tuple(None if n == -1 else n for n in target)
    rest = math.prod(n for n in target if n != -1)
    if unknown == 0:
        if total is not None and total != rest:
            raise ValueError(f"cannot reshape {tuple(x)} ({total} elements) to {tuple(target)} ({rest})")
        return tuple(target)
    if total is None:
        # The unknown sizes cancel when exactly the leading batch axis stays free: (None, 4, 6) -> (-1, 24).
        known = math.prod(n for n in x if n is not None)
        if x and sum(n is None for n in x) == 1 and known == rest:
            return tuple(None if n == -1 else n for n in target)
        return tuple(None if n == -1 else n for n in target)
    if rest == 0 or total % rest:
        raise ValueError(f"cannot reshape {tuple(x)} ({total} elements) to {tuple(newshape)}")
    return tuple(total // rest if n == -1 else n for n in target)


def concatenate(*xs, axis=-1) -> Shape:
    """Shape after joining ``xs`` along ``axis``."""
    first = tuple(xs[0])
    axis = normalize_axis(axis, len(first))
    result = list(first)
    for x in xs[1:]:
        if len(x) != len(first):
            raise ValueError(f"concatenate needs tensors of one rank, came shapes {[tuple(s) for s in xs]}")
        for i, n in enumerate(x):
            if i == axis:
                result[i] = None if n is None or result[i] is None else result[i] + n
            elif result[i] is None:
                result[i] = n
            elif n is not None and n != result[i]:
                raise ValueError(
                    f"concatenate along axis {axis}: the other axes must be equal, came shapes "
                    f"{[tuple(s) for s in xs]}"
                )
    return tuple(result)


def window_output(size, window: int, stride: int, padding: str, dilation: int = 1):
    """Number of window positions along one axis (``None`` stays ``None``).

    ``padding`` is ``"valid"``, ``"same"`` or ``"causal"`` (left-padded ``same``).
    """
    if size is None:
        return None
    reach = (window - 1) * dilation + 1
    if padding in ("same", "causal"):
        return -(-size // stride)
    return max(0, (size - reach) // stride + 1)


def window_padding(size: int, window: int, stride: int, padding: str, dilation: int = 1) -> tuple[int, int]:
    """Elements to add before and after one axis so that ``window_output`` positions fit."""
    reach = (window - 1) * dilation + 1
    if padding == "causal":
        return reach - 1, 0
    if padding == "valid":
        return 0, 0
    total = max(0, (-(-size // stride) - 1) * stride + reach - size)
    return total // 2, total - total // 2
