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
    if hasattr(axis, "__index__"):
        return (normalize_axis(int(axis), rank),)
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


def recurrent(name: str, gates: int, x, states, kernel, recurrent_kernel, bias, bias_shape, mask,
              return_sequences: bool = True) -> list:
    """Shapes of a recurrent op: the output, then one per state; wrong shapes raise naming the argument.

    ``bias_shape`` is the expected shape for ``gates * units`` columns, a function of that width.
    """
    if len(x) != 3:
        raise ValueError(f"{name}: x must have shape (batch, steps, features), came {tuple(x)}")
    batch, steps, features = x
    if len(recurrent_kernel) != 2 or recurrent_kernel[1] != gates * recurrent_kernel[0]:
        raise ValueError(
            f"{name}: recurrent_kernel must have shape (units, {gates} * units), "
            f"came {tuple(recurrent_kernel)}"
        )
    units = recurrent_kernel[0]
    expected = {
        "kernel": (kernel, (features, gates * units)),
        "bias": (bias, bias_shape(gates * units)),
        "mask": (mask, (batch, steps)),
    }
    expected |= {f"initial state {i}": (state, (batch, units)) for i, state in enumerate(states)}
    for what, (shape, wanted) in expected.items():
        fits = shape is None or len(shape) == len(wanted) and all(
            n == m or n is None or m is None for n, m in zip(shape, wanted)
        )
        if not fits:
            raise ValueError(
                f"{name}: {what} must have shape {wanted}, came {tuple(shape)} (x has shape {tuple(x)}, "
                f"recurrent_kernel {tuple(recurrent_kernel)})"
            )
    state = (batch, units)
    return [(batch, steps, units) if return_sequences else state, *[state for _ in states]]


# ---- reordering and joining axes -------------------------------------------------------------------
def flatten_all(x, *args, **kwargs) -> Shape:
    """Shape of the tensor as one long vector."""
    return (known_product(x),)


def permutation(axes, rank: int) -> tuple[int, ...]:
    """Return ``axes`` (``None``: reversed) as a permutation of all axes, or complain."""
    if axes is None:
        return tuple(range(rank))[::-1]
    found = tuple(normalize_axis(int(a), rank, "axes") for a in axes)
    if sorted(found) != list(range(rank)):
        raise ValueError(f"axes={tuple(axes)} must name every axis of a tensor of rank {rank} once")
    return found


def transpose(x, axes=None) -> Shape:
    """Shape after reordering axes."""
    return tuple(x[a] for a in permutation(axes, len(x)))


def swap_order(rank: int, axis1: int, axis2: int) -> tuple[int, ...]:
    """Order of axes with two of them exchanged."""
    order = list(range(rank))
    a, b = normalize_axis(axis1, rank, "axis1"), normalize_axis(axis2, rank, "axis2")
    order[a], order[b] = order[b], order[a]
    return tuple(order)


def move_order(rank: int, source, destination) -> tuple[int, ...]:
    """Order of axes after moving ``source`` axes to ``destination`` places."""
    source = (source,) if isinstance(source, int) else tuple(source)
    destination = (destination,) if isinstance(destination, int) else tuple(destination)
    a = [normalize_axis(int(s), rank, "source") for s in source]
    b = [normalize_axis(int(d), rank, "destination") for d in destination]
    if len(a) != len(b) or len(set(a)) != len(a) or len(set(b)) != len(b):
        raise ValueError(f"moveaxis: source={source} and destination={destination} must pair distinct axes")
    order = [i for i in range(rank) if i not in a]
    for place, axis in sorted(zip(b, a)):
        order.insert(place, axis)
    return tuple(order)


def expand_dims(x, axis) -> Shape:
    """Shape with axes of size 1 added; ``axis`` counts in the result."""
    axes = normalize_axes(axis, len(x) + (1 if isinstance(axis, int) else len(axis)))
    result = list(x)
    for a in axes:
        result.insert(a, 1)
    return tuple(result)


def squeeze(x, axis=None) -> Shape:
    """Shape without the axes of size 1 (all, or those named)."""
    if axis is None:
        return tuple(n for n in x if n != 1)
    axes = normalize_axes(axis, len(x))
    for a in axes:
        if x[a] not in (1, None):
            raise ValueError(f"squeeze: axis {a} of shape {tuple(x)} has size {x[a]}, only size 1 can go")
    return tuple(n for i, n in enumerate(x) if i not in axes)


def broadcast_to(x, shape) -> Shape:
    """``shape``, after checking that ``x`` broadcasts to it."""
    shape = tuple(shape)
    if len(x) > len(shape) or any(
        n not in (1, None, m) and m is not None for n, m in zip(reversed(x), reversed(shape))
    ):
        raise ValueError(f"a tensor of shape {tuple(x)} cannot be broadcast to {shape}")
    x = (1,) * (len(shape) - len(x)) + tuple(x)
    return tuple(n if m is None and n != 1 else m for n, m in zip(x, shape))


def stack(*xs, axis=0) -> Shape:
    """Shape after joining equal shapes along a new axis."""
    result = tuple(xs[0])
    for x in xs[1:]:
        if len(x) != len(result) or any(None not in (n, m) and n != m for n, m in zip(x, result)):
            raise ValueError(f"stack needs tensors of one shape, came {[tuple(s) for s in xs]}")
        result = tuple(m if n is None else n for n, m in zip(result, x))
    axis = normalize_axis(axis, len(result) + 1)
    return (*result[:axis], len(xs), *result[axis:])


def split_points(size, indices_or_sections, even: bool = True) -> list[int | None]:
    """Return where the parts of an axis begin, and its end (all ``None`` but the first if not known)."""
    if isinstance(indices_or_sections, int):
        parts = indices_or_sections
        if parts < 1:
            raise ValueError(f"split: the number of parts must be 1 or more, came {parts}")
        if size is None:
            return [0, *[None] * parts]
        if even and size % parts:
            raise ValueError(f"split: an axis of size {size} cannot be divided into {parts} equal parts; "
                             "use array_split for unequal ones")
        small, extra = divmod(size, parts)
        return [i * small + min(i, extra) for i in range(parts + 1)]
    if size is None:
        # Cuts are taken to lie inside the axis, as they do in all but odd cases.
        cuts = [None if i < 0 else i for i in map(int, indices_or_sections)]
        return [0, *cuts, None]
    inner = [min(i + size if i < 0 else i, size) for i in (int(i) for i in indices_or_sections)]
    return [0, *(max(i, 0) for i in inner), size]


def split(x, indices_or_sections, axis=0, even=True) -> list:
    """Shapes of the parts of a split."""
    axis = normalize_axis(axis, len(x))
    points = split_points(x[axis], indices_or_sections, even)
    sizes = [None if a is None or b is None else max(0, b - a) for a, b in zip(points, points[1:])]
    return [(*x[:axis], n, *x[axis + 1 :]) for n in sizes]


def array_split(x, indices_or_sections, axis=0) -> list:
    """Shapes of the parts of a split that need not be equal."""
    return split(x, indices_or_sections, axis, even=False)


def unstack(x, num=None, axis=0) -> list:
    """Shapes of the slices along ``axis``."""
    axis = normalize_axis(axis, len(x))
    if x[axis] is None and num is None:
        raise ValueError(f"unstack: the size of axis {axis} of shape {tuple(x)} is not known; pass num=")
    if None not in (x[axis], num) and x[axis] != num:
        raise ValueError(f"unstack: num={num}, but axis {axis} of shape {tuple(x)} has size {x[axis]}")
    return [(*x[:axis], *x[axis + 1 :])] * (num if x[axis] is None else x[axis])


def tile_repeats(rank: int, repeats) -> tuple[int, ...]:
    """Repeats of every axis, at least ``rank`` of them."""
    repeats = (repeats,) if isinstance(repeats, int) else tuple(int(r) for r in repeats)
    return (1,) * (rank - len(repeats)) + repeats


def tile(x, repeats) -> Shape:
    """Shape after laying copies side by side."""
    repeats = tile_repeats(len(x), repeats)
    x = (1,) * (len(repeats) - len(x)) + tuple(x)
    return tuple(None if n is None else n * r for n, r in zip(x, repeats))


def repeat(x, repeats, axis=None) -> Shape:
    """Shape after repeating elements; ``repeats`` is an int or one int for each element."""
    if axis is None:
        x, axis = (known_product(x),), 0
    axis = normalize_axis(axis, len(x))
    if isinstance(repeats, int):
        n = None if x[axis] is None else x[axis] * repeats
    else:
        counts = [int(r) for r in repeats]
        if len(counts) == 1:
            return repeat(x, counts[0], axis)
        if x[axis] not in (None, len(counts)):
            raise ValueError(f"repeat: {len(counts)} repeats for an axis of size {x[axis]}")
        n = sum(counts)
    return (*x[:axis], n, *x[axis + 1 :])


def pad_widths(rank: int, pad_width) -> tuple[tuple[int, int], ...]:
    """Return (before, after) for every axis from the forms that ``pad`` takes."""
    if isinstance(pad_width, int):
        pad_width = ((pad_width, pad_width),)
    widths: list[tuple] = [(w, w) if isinstance(w, int) else tuple(int(v) for v in w) for w in pad_width]
    if isinstance(pad_width[0], int) and len(pad_width) == 2:  # (before, after)
        widths = [(int(pad_width[0]), int(pad_width[1]))]
    widths = [w * 2 if len(w) == 1 else w for w in widths]
    widths = widths * rank if len(widths) == 1 else widths
    if len(widths) != rank or any(len(w) != 2 for w in widths):
        raise ValueError(
            f"pad_width={pad_width!r} does not fit a tensor of rank {rank}; expected an int, (before, after) "
            "or one (before, after) for every axis"
        )
    if any(v < 0 for w in widths for v in w):
        raise ValueError(f"pad_width={pad_width!r} must not be negative")
    return tuple(widths)


def pad(x, pad_width, *args, **kwargs) -> Shape:
    """Shape after padding."""
    widths = pad_widths(len(x), pad_width)
    return tuple(None if n is None else n + a + b for n, (a, b) in zip(x, widths))


# ---- diagonals -------------------------------------------------------------------------------------
def diagonal_length(rows: int, columns: int, k: int) -> int:
    """Number of elements on diagonal ``k`` of a matrix."""
    return max(0, min(rows + min(k, 0), columns - max(k, 0)))


def diagonal(x, offset=0, axis1=0, axis2=1) -> Shape:
    """Shape of the diagonals over two axes; they come last."""
    if len(x) < 2:
        raise ValueError(f"diagonal needs a tensor of rank 2 or more, came shape {tuple(x)}")
    a, b = normalize_axes((axis1, axis2), len(x))
    if normalize_axis(axis1, len(x)) != a:
        offset = -offset
    n = None if x[a] is None or x[b] is None else diagonal_length(x[a], x[b], offset)
    return (*(s for i, s in enumerate(x) if i not in (a, b)), n)


def diag(x, k=0) -> Shape:
    """Shape of a matrix made from its diagonal, or of the diagonal of a matrix."""
    if len(x) == 1:
        return (None if x[0] is None else x[0] + abs(k),) * 2
    if len(x) != 2:
        raise ValueError(f"diag needs a tensor of rank 1 or 2, came shape {tuple(x)}; see diagonal")
    return diagonal(x, k)


def diagflat(x, k=0) -> Shape:
    """Shape of the matrix with all elements on a diagonal."""
    return diag((known_product(x),), k)


def matrix(x, *args, **kwargs) -> Shape:
    """Shape rule of ops that keep the shape of matrices (rank 2 or more)."""
    if len(x) < 2:
        raise ValueError(f"expected a tensor of rank 2 or more, came shape {tuple(x)}")
    return tuple(x)


# ---- indexing --------------------------------------------------------------------------------------
def slice_length(size, item: slice):
    """Number of elements that a slice takes from an axis; ``None`` where it depends on an unknown size."""
    if size is not None:
        return len(range(*item.indices(size)))
    return 0 if item.start is not None and item.start == item.stop else None


def getitem(x, key) -> Shape:
    """Shape of ``x[key]``; ``key`` holds ints, slices, ``None``, ``...`` and the shapes of index arrays."""
    taken = sum(item is not None and item is not Ellipsis for item in key)
    if taken > len(x):
        raise IndexError(f"too many indices: {taken} for a tensor of shape {tuple(x)}")
    if Ellipsis not in key:
        key = (*key, Ellipsis)
    place = key.index(Ellipsis)
    key = (*key[:place], *[slice(None)] * (len(x) - taken), *key[place + 1 :])
    advanced = any(isinstance(item, tuple) for item in key)
    result: list = []
    arrays, places, axis = [], [], 0
    for i, item in enumerate(key):
        if item is None:
            result.append(1)
            continue
        if isinstance(item, slice):
            result.append(slice_length(x[axis], item))
        elif isinstance(item, int) and x[axis] is not None and not -x[axis] <= item < x[axis]:
            raise IndexError(f"index {item} is out of range for axis {axis} of shape {tuple(x)}")
        elif advanced:
            arrays.append(item if isinstance(item, tuple) else ())
            places.append((i, len(result)))
        axis += 1
    if not advanced:
        return tuple(result)
    together = places[-1][0] - places[0][0] == len(places) - 1  # else the indexed axes come first
    front = places[0][1] if together else 0
    return (*result[:front], *broadcast(*arrays), *result[front:])


def take(x, indices, axis=None) -> Shape:
    """Shape of the slices at ``indices`` along ``axis``."""
    if axis is None:
        return tuple(indices)
    axis = normalize_axis(axis, len(x))
    return (*x[:axis], *indices, *x[axis + 1 :])


def take_along_axis(x, indices, axis=None) -> Shape:
    """Shape of one index per element; the other axes broadcast."""
    if axis is None:
        return (known_product(indices),)
    if len(x) != len(indices):
        raise ValueError(f"take_along_axis: shapes {tuple(x)} and {tuple(indices)} must have the same rank")
    axis = normalize_axis(axis, len(x))
    x, rest = list(x), list(indices)
    x[axis] = rest[axis] = 1
    return tuple(indices[axis] if i == axis else n for i, n in enumerate(broadcast(x, rest)))


def slice_sizes(x, start, sizes) -> Shape:
    """Shape of a slice; -1 takes the rest of an axis."""
    if len(sizes) != len(x) or len(start) != len(x):
        raise ValueError(
            f"slice of a tensor of shape {tuple(x)}: start_indices and shape need {len(x)} numbers, "
            f"came {len(start)} and {len(sizes)}"
        )
    result: list = []
    for n, begin, size in zip(x, start, sizes):
        if size is None or size == -1:
            known = n is not None and isinstance(begin, int)
            result.append(n - min(begin, n) if known else None)
        elif n is not None and size > n:
            raise ValueError(f"slice of size {size} from an axis of size {n} (shape {tuple(x)})")
        else:
            result.append(int(size))
    return tuple(result)


def one_hot(x, num_classes, axis=-1, *args, **kwargs) -> Shape:
    """Shape with an axis of classes added."""
    axis = normalize_axis(axis, len(x) + 1)
    return (*x[:axis], num_classes, *x[axis:])


def gather_nd(x, indices) -> Shape:
    """Shape of ``x`` read at index vectors along the last axis of ``indices``."""
    depth = indices[-1] if len(indices) else None
    if depth is None or depth > len(x):
        raise ValueError(
            f"indices of shape {tuple(indices)}: the last axis holds one number for each leading axis of "
            f"shape {tuple(x)}, between 1 and {len(x)}"
        )
    return (*indices[:-1], *x[depth:])


def scatter(indices, values, shape) -> Shape:
    """``shape``, after checking that values and indices fit it."""
    shape = tuple(shape)
    wanted = gather_nd(shape, indices)
    if len(wanted) != len(values) or any(None not in (a, b) and a != b for a, b in zip(wanted, values)):
        raise ValueError(
            f"values of shape {tuple(values)} do not fit indices of shape {tuple(indices)} into a tensor of "
            f"shape {shape}; expected {wanted}"
        )
    return shape


def segment(data, segment_ids, num_segments=None, *args, **kwargs) -> Shape:
    """Shape of one row for each segment."""
    if len(segment_ids) != 1:
        raise ValueError(f"segment_ids must be a vector, came shape {tuple(segment_ids)}")
    if not data or None not in (data[0], segment_ids[0]) and data[0] != segment_ids[0]:
        raise ValueError(f"data of shape {tuple(data)} needs {segment_ids[0]} rows, one for each segment id")
    return (num_segments, *data[1:])


def last_axis(x, k) -> Shape:
    """Shape after keeping ``k`` elements of the last axis."""
    if not x:
        raise ValueError("expected a tensor of rank 1 or more, came a scalar")
    if x[-1] is not None and not 0 <= k <= x[-1]:
        raise ValueError(f"k={k} must lie between 0 and the size of the last axis, {x[-1]}")
    return (*x[:-1], k)
