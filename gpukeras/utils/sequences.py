"""Lists of different lengths as one array."""

from __future__ import annotations

import numpy as np


def pad_sequences(
    sequences, maxlen=None, dtype="int32", padding="pre", truncating="pre", value=0.0
) -> np.ndarray:
    """Pad or cut sequences to one length.

    Parameters
    ----------
    sequences : list of sequences
        Items may be numbers, or arrays of one shape.
    maxlen : int, optional
        Length of the result; default: the longest sequence.
    dtype : str
    padding, truncating : {"pre", "post"}
        Where padding goes, and which end is cut off.
    value : float or str
        What to pad with.

    Returns
    -------
    numpy.ndarray, shape (len(sequences), maxlen, ...)

    Examples
    --------
    >>> pad_sequences([[1, 2, 3], [4]], maxlen=2)
    array([[2, 3],
           [0, 4]], dtype=int32)
    """
    for argument, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ValueError(f"{argument} of pad_sequences must be 'pre' or 'post', came {side!r}")
    if not hasattr(sequences, "__len__"):
        raise ValueError("sequences of pad_sequences must be a list of sequences, came one without a length")
    for position, item in enumerate(sequences):
        if not hasattr(item, "__len__"):
            raise ValueError(
                f"sequences of pad_sequences must be a list of sequences; item {position} is {item!r}"
            )
    longest = max((len(s) for s in sequences), default=0)
    maxlen = longest if maxlen is None else maxlen
    inner = next((np.asarray(s).shape[1:] for s in sequences if len(s)), ())
    is_text = np.issubdtype(dtype, np.str_)
    if isinstance(value, str) and dtype is not object and not is_text:
        raise ValueError(f"dtype={dtype!r} cannot hold the padding value {value!r}; use dtype=object")
    padded = np.full((len(sequences), maxlen, *inner), value, dtype)
    for row, item in zip(padded, sequences):
        if not len(item) or not maxlen:
            continue
        kept = np.asarray(item[-maxlen:] if truncating == "pre" else item[:maxlen], dtype=dtype)
        if kept.shape[1:] != inner:
            raise ValueError(f"items of shape {kept.shape[1:]} among sequences of items of shape {inner}")
        if padding == "post":
            row[: len(kept)] = kept
        else:
            row[maxlen - len(kept):] = kept
    return padded
