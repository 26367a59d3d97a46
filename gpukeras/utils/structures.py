"""Small questions about what a model is given."""

from __future__ import annotations

from gpukeras.symbolic import KerasTensor


def is_keras_tensor(x) -> bool:
    """Tell whether ``x`` is symbolic: made by ``keras.Input`` or by a layer called on such a tensor."""
    return isinstance(x, KerasTensor)


def unpack_x_y_sample_weight(data) -> tuple:
    """Return ``(x, y, sample_weight)`` of what a data set yields, with None for what is missing.

    Examples
    --------
    >>> unpack_x_y_sample_weight((1, 2))
    (1, 2, None)
    """
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ValueError(
            "data must come as x, (x,), (x, y) or (x, y, sample_weight); came a tuple of "
            f"{len(data)} elements"
        )
    return (*data, None, None)[:3]


def pack_x_y_sample_weight(x, y=None, sample_weight=None):
    """Return the shortest tuple that ``unpack_x_y_sample_weight`` reads back.

    Examples
    --------
    >>> pack_x_y_sample_weight(1), pack_x_y_sample_weight(1, 2)
    (1, (1, 2))
    """
    if y is None:
        return (x,) if isinstance(x, (list, tuple)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)
