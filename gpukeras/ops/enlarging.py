"""Enlarging by whole factors: every element becomes a block."""

from __future__ import annotations

from gpukeras.op import op


def _shape(x, factors):
    return tuple(None if n is None else n * f for n, f in zip(x, factors, strict=True))


# Each is linear, and the gradient of the other.
@op(shape=_shape)
def enlarge(x, factors):
    """Repeat every element ``factors[i]`` times along axis ``i``."""
    return x.backend.repeat_blocks(x.array, factors), lambda dy: sum_blocks(dy, factors)


@op(shape=lambda dy, factors: tuple(None if n is None else n // f for n, f in zip(dy, factors)))
def sum_blocks(dy, factors):
    """Return the sums over blocks of ``factors`` elements."""
    found = dy.backend.sum_blocks(dy.array, factors)
    return found if found is not dy.array else found.copy(), lambda v: enlarge(v, factors)
