"""Text as tensors: strings stay on the host, whatever the device; layers turn them into numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpukeras import dtypes
from gpukeras.tensor import Tensor

_ERRORS = "surrogateescape"  # bytes that are no UTF-8 survive as they are


class StringTensor(Tensor):
    """Strings in an array on the host.

    ``numpy()`` gives an array of ``bytes`` (UTF-8), as TensorFlow does; ``tolist()`` gives ``str``.

    Parameters
    ----------
    array : numpy.ndarray
        Of ``str`` or ``bytes``, of fixed width or objects.

    Examples
    --------
    >>> t = string_tensor(["a", "b"])
    >>> t.tolist(), t.numpy()
    (['a', 'b'], array([b'a', b'b'], dtype=object))
    """

    def __init__(self, array: np.ndarray):
        self.array = array

    @property
    def dtype(self) -> Any:
        return dtypes.STRING

    @property
    def backend(self):
        raise TypeError(
            "text cannot be computed with; turn it into numbers first (layers StringLookup, "
            "TextVectorization, Hashing)"
        )

    @property
    def device(self) -> str:
        return "cpu"

    def encoded(self, encoding: str = "utf-8") -> list:
        """Return the strings in one list, as bytes in UTF-8; bytes among them are in ``encoding``."""
        return flat_bytes(self.array, encoding)

    def numpy(self):
        found = np.array([*self.encoded(), None], object)[:-1].reshape(self.shape)
        return found if self.shape else found.item()

    def __array__(self, dtype=None, copy=None):
        found = np.asarray(self.numpy(), object)
        return found if dtype is None else found.astype(dtype)

    def tolist(self):
        return np.array([*flat_str(self.array), None], object)[:-1].reshape(self.shape).tolist()

    def item(self, *args):
        return self.array.item(*args)

    def reshape(self, *shape) -> StringTensor:
        return StringTensor(self.array.reshape(*shape))

    def __getitem__(self, key) -> StringTensor:
        found = self.array[key]
        return StringTensor(found if isinstance(found, np.ndarray) else np.array(found, self.array.dtype))

    def __eq__(self, other):
        if not is_text(other):
            return NotImplemented
        return _compared(self, other, np.equal)

    def __ne__(self, other):
        if not is_text(other):
            return NotImplemented
        return _compared(self, other, np.not_equal)

    __hash__ = object.__hash__

    def __deepcopy__(self, memo):
        return StringTensor(self.array.copy())

    def __str__(self):
        return str(self.numpy())

    def __repr__(self):
        return f"<StringTensor shape={self.shape}\n{self.numpy()!r}>"


def _compared(a, b, compare):
    from gpukeras import ops

    sides = [np.asarray(side, object) for side in (a, string_tensor(b))]
    return ops.convert_to_tensor(compare(*sides).astype(bool))


def is_text(value) -> bool:
    """Tell whether ``value`` is a string, an array of strings, or nested lists of them (by the first one)."""
    while isinstance(value, (list, tuple)) and len(value):
        value = value[0]
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "O" and value.size:
            return isinstance(value.flat[0], (str, bytes))
        return value.dtype.kind in "SU"
    return isinstance(value, (str, bytes, StringTensor))


def string_tensor(value, what: str = "text") -> StringTensor:
    """Return strings as a tensor.

    Parameters
    ----------
    value : str, bytes, array of them, or nested lists of equal lengths
    what : str
        For error messages.

    Raises
    ------
    TypeError
        Where something else is among them.
    ValueError
        Where lists have unequal lengths.
    """
    if isinstance(value, StringTensor):
        return value
    if isinstance(value, (list, tuple)) and any(isinstance(v, StringTensor) for v in value):
        value = [np.asarray(v, object) for v in value]
    # Objects: in an array of fixed width each string takes the room of the longest.
    array = value if isinstance(value, np.ndarray) else np.array(value, object)
    if array.dtype.kind in "SU":
        return StringTensor(array)
    if array.dtype.kind == "O":
        items = array.ravel().tolist()
        if not all(issubclass(kind, (str, bytes)) for kind in set(map(type, items))):
            found = next(x for x in items if not isinstance(x, (str, bytes)))
            if isinstance(found, (list, tuple)):
                raise ValueError(f"{what}: the lists have unequal lengths; pad them to one length")
            raise TypeError(f"{what}: expected strings, came {found!r} among them; fill such gaps first")
        return StringTensor(array)
    raise TypeError(f"{what}: expected strings, came an array of {array.dtype}")


# ---- strings in one list ----------------------------------------------------------------------------------
def flat_bytes(array: np.ndarray, encoding: str = "utf-8") -> list:
    """Return all strings of an array, as bytes in UTF-8."""
    if array.dtype.kind == "S":
        found = array.ravel().tolist()
        return found if _is_utf8(encoding) else [_from(encoding)(b) for b in found]
    if array.dtype.kind == "U":
        try:
            return array.astype("S").ravel().tolist()  # ASCII alone, but quick
        except UnicodeEncodeError:
            return [s.encode("utf-8", _ERRORS) for s in array.ravel().tolist()]
    decode = None if _is_utf8(encoding) else _from(encoding)
    return [
        s.encode("utf-8", _ERRORS) if isinstance(s, str) else s if decode is None else decode(s)
        for s in array.ravel().tolist()
    ]


def flat_str(array: np.ndarray, encoding: str = "utf-8") -> list:
    """Return all strings of an array, as ``str``."""
    found = array.ravel().tolist()
    if array.dtype.kind == "U":
        return found
    return [s.decode(encoding, _ERRORS) if isinstance(s, bytes) else s for s in found]


def to_bytes(strings: Sequence) -> list:
    """Return strings as bytes in UTF-8."""
    return [s.encode("utf-8", _ERRORS) if isinstance(s, str) else s for s in strings]


def to_str(strings: Sequence, encoding: str = "utf-8") -> list:
    """Return strings as ``str``."""
    return [s.decode(encoding, _ERRORS) if isinstance(s, bytes) else str(s) for s in strings]


def _is_utf8(encoding: str) -> bool:
    return encoding.replace("_", "-").lower() in ("utf-8", "utf8", "")


def _from(encoding: str) -> Callable:
    return lambda b: b.decode(encoding, _ERRORS).encode("utf-8", _ERRORS)
