"""Categories as vectors: how often, or whether, each of them occurs in a sample."""

from __future__ import annotations

from gpukeras import dtypes
from gpukeras.op import op
from gpukeras.tensor import Tensor


def _bag_shape(ids, weights, depth, *args, **kwargs):
    if weights is not None and (len(weights) != len(ids) or any(
            n != m and None not in (n, m) for n, m in zip(weights, ids))):
        raise ValueError(f"the weights have shape {tuple(weights)}, the categories {tuple(ids)}")
    return (*ids[:-1], depth)


@op(shape=_bag_shape, dtype=lambda ids, weights, depth, dtype, binary=False: dtypes.standardize_dtype(dtype),
    tensors=2)
def bag_of_ids(ids, weights, depth, dtype, binary=False):
    """Return how often each category occurs along the last axis.

    Parameters
    ----------
    ids : integer tensor, shape (..., T)
        Those outside [0, ``depth``) do not count.
    weights : tensor of the same shape, or None
        How much each occurrence counts; gradients pass.
    depth : int
    dtype : str
        Of the result.
    binary : bool
        Whether it occurs at all, as 0 and 1, instead.

    Returns
    -------
    tensor, shape (..., depth)
    """
    _bag_shape(ids.shape, None if weights is None else weights.shape, depth)
    backend, a = ids.backend, ids.array
    xp, kind = backend.xp, dtypes.standardize_dtype(dtype)
    if a.dtype.kind != "i" or a.dtype.itemsize < 8:
        a = a.astype("int64")
    lead = a.shape[:-1]
    samples = 1
    for n in lead:
        samples *= n
    a = a.reshape(samples, a.shape[-1])
    first = xp.arange(samples, dtype="int64")[:, None] * depth
    nowhere = samples * depth  # one more place, for what does not count
    places = xp.where((a >= 0) & (a < depth), a + first, nowhere).reshape(-1)
    counts = xp.zeros(nowhere + 1, kind)
    if binary:
        counts[places] = 1
    else:
        added = xp.ones(places.shape, kind) if weights is None else weights.array.reshape(-1)
        backend.scatter_add(counts, places, added.astype(kind, copy=False))

    def vjp(dy):
        flat = xp.concatenate([dy.array.reshape(-1), xp.zeros(1, dy.dtype)])
        found = flat[places].reshape(weights.shape).astype(weights.dtype, copy=False)
        return None, Tensor(found)

    gradient = None if binary or weights is None or not dtypes.is_float(weights.dtype) else vjp
    return counts[:-1].reshape(*lead, depth), gradient
