"""What callbacks get to read: names and numbers, fetched from the device only when read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from gpukeras.tensor import Tensor

# Spellings of one thing in different releases of Keras.
_SAME = (
    ("accuracy", "acc"),
    ("learning_rate", "lr"),
    ("mse", "mean_squared_error"),
    ("mae", "mean_absolute_error"),
    ("mape", "mean_absolute_percentage_error"),
    ("msle", "mean_squared_logarithmic_error"),
)


_NOT_YET = "(not fetched yet)"


class Logs(dict):
    """A dictionary of metric values that can fetch itself when first read.

    Parameters
    ----------
    values : dict or callable, optional
        The values, or a function that returns them; it is called at most once, on the first read.

    Notes
    -----
    Old and new spellings find each other: ``logs["acc"]`` is ``logs["accuracy"]`` where only that exists, and
    ``"val_acc"``, ``"out_acc"``, ``"lr"``, ``"mse"`` likewise.

    Examples
    --------
    >>> logs = Logs(lambda: {"loss": 0.5, "accuracy": 0.75})
    >>> logs.pending
    True
    >>> logs["acc"], logs.pending
    (0.75, False)
    """

    __slots__ = ("_fetch",)

    def __init__(self, values: Mapping | Callable[[], Mapping] | None = None):
        self._fetch = None
        if callable(values):
            # An entry, so that C code that looks at the size (json) does not take it for empty.
            super().__init__({_NOT_YET: None})
            self._fetch = values
        else:
            super().__init__(values or {})

    @property
    def pending(self) -> bool:
        """Whether the values have not been fetched yet."""
        return self._fetch is not None

    def fetch(self) -> Logs:
        """Fetch the values now, if that has not happened."""
        fetch = self._fetch
        if fetch is not None:
            self._fetch = None
            dict.pop(self, _NOT_YET, None)
            written = dict.copy(self)
            dict.clear(self)
            dict.update(self, fetch())
            dict.update(self, written)  # what a callback wrote before counts, and comes last
        return self

    def spelling(self, key) -> str | None:
        """Return the key under which ``key`` is present, perhaps in another spelling, or None."""
        self.fetch()
        if dict.__contains__(self, key):
            return key
        return find_spelling(key, dict.keys(self))

    # ---- reading ---------------------------------------------------------------------------------
    def __missing__(self, key):
        found = self.spelling(key)
        if found is None:
            raise KeyError(key)
        return dict.__getitem__(self, found)

    def __getitem__(self, key):
        self.fetch()
        return dict.__getitem__(self, key)

    def get(self, key, default=None):
        found = self.spelling(key)
        return default if found is None else dict.__getitem__(self, found)

    def __contains__(self, key):
        return self.spelling(key) is not None

    def __iter__(self):
        return dict.__iter__(self.fetch())

    def __len__(self):
        return dict.__len__(self.fetch())

    def __bool__(self):
        return self.pending or dict.__len__(self) > 0  # `logs or {}` alone reads nothing

    def __delitem__(self, key):
        dict.__delitem__(self.fetch(), key)

    def __eq__(self, other):
        return dict.__eq__(self.fetch(), other)

    def __ne__(self, other):
        return not self == other

    __hash__ = None

    def __repr__(self):
        return dict.__repr__(self.fetch())

    def __or__(self, other):
        return {**self, **other}

    def __ror__(self, other):
        return {**other, **self}

    def __reduce__(self):
        return (Logs, (dict(self),))

    def keys(self):
        return dict.keys(self.fetch())

    def values(self):
        return dict.values(self.fetch())

    def items(self):
        return dict.items(self.fetch())

    def copy(self):
        return Logs(dict(self.items()))

    def pop(self, *args):
        return dict.pop(self.fetch(), *args)

    def setdefault(self, key, default=None):
        return dict.setdefault(self.fetch(), key, default)


def host_values(logs: Mapping) -> dict:
    """Return ``logs`` with Python numbers in place of scalar tensors, NumPy arrays in place of others.

    Examples
    --------
    >>> from gpukeras import ops
    >>> host_values({"loss": ops.convert_to_tensor(0.5), "steps": 3})
    {'loss': 0.5, 'steps': 3}
    """
    found = {}
    for name, value in logs.items():
        if isinstance(value, Tensor):
            value = value.numpy()
        if isinstance(value, (np.ndarray, np.generic)) and np.size(value) == 1:
            value = value.item()
        found[name] = value
    return found


def find_spelling(key, known) -> str | None:
    """Return the one of ``known`` that means the same as ``key`` in another release of Keras, or None.

    Examples
    --------
    >>> find_spelling("val_acc", ["loss", "val_accuracy"]), find_spelling("f1", ["loss"])
    ('val_accuracy', None)
    """
    if not isinstance(key, str):
        return None
    for names in _SAME:
        for name in names:
            # The whole key, or its part after "val_" or an output's name.
            if key == name or key.endswith(f"_{name}"):
                for other in names:
                    candidate = key[: len(key) - len(name)] + other
                    if other != name and candidate in known:
                        return candidate
    return None
