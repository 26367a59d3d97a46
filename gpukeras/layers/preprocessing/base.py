"""Layers that learn what they need from data before training: ``adapt``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from gpukeras.layers.layer import Layer
from gpukeras.tensor import Tensor
from gpukeras.text import StringTensor, is_text, string_tensor


class PreprocessingLayer(Layer):
    """Base of layers with a state that is computed from data.

    Subclasses write ``update_state``, and where needed ``reset_state`` and ``finalize_state``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> class Largest(keras.layers.experimental.preprocessing.PreprocessingLayer):
    ...     def reset_state(self):
    ...         self.largest = 0.0
    ...     def update_state(self, data):
    ...         self.largest = max(self.largest, float(data.max()))
    ...     def call(self, inputs):
    ...         return inputs / self.largest
    >>> layer = Largest()
    >>> layer.adapt([1.0, 4.0])
    >>> layer([2.0]).tolist()
    [0.5]
    """

    takes_text = True
    _is_adapted = False

    @property
    def is_adapted(self) -> bool:
        """Whether the layer has been adapted to data."""
        return self._is_adapted

    def reset_state(self) -> None:
        """Forget the data seen so far."""

    def update_state(self, data) -> None:
        """Take in one batch: a NumPy array, or a tensor of strings."""
        raise NotImplementedError(f"{type(self).__name__} has no update_state() method")

    def finalize_state(self) -> None:
        """Compute what calls need, once all data were seen."""

    def adapt(self, data, batch_size=None, steps=None) -> None:
        """Compute the layer's state from data; what was learned before is forgotten.

        Parameters
        ----------
        data : array, tensor, nested lists of numbers or strings, or an iterable of batches of them
        batch_size : int, optional
            Rows of an array to take in at once; all unless given.
        steps : int, optional
            Batches to take in at most.
        """
        self._check_adaptable()
        self.reset_state()
        number = 0
        for number, batch in enumerate(batches_of(data, batch_size, steps, self), 1):  # noqa: B007
            if not self.built:
                self._build_for(batch)
            self.update_state(batch)
        if not number:
            raise ValueError(f"{type(self).__name__}.adapt: the data gave no batch at all")
        self.finalize_state()
        self._is_adapted = True

    def _check_adaptable(self) -> None:
        """Raise where the layer was made with what ``adapt`` would compute."""

    def _build_for(self, batch) -> None:
        if type(self).build is not Layer.build:
            self.build(tuple(batch.shape))

    def compile(self, run_eagerly=None, steps_per_execution=None) -> None:
        """Accepted for compatibility; ``adapt`` needs no compilation."""

    def make_adapt_function(self):
        """Return a function that takes in the next batch of an iterator."""

        def adapt_step(iterator):
            self.update_state(_as_batch(next(iterator), self))

        return adapt_step


def batches_of(data: Any, batch_size: int | None, steps: int | None, layer) -> Iterator:
    """Yield the batches of what ``adapt`` was given: NumPy arrays, or tensors of strings."""
    what = f"{type(layer).__name__}.adapt"
    if _is_array(data):
        whole = _as_batch(data, layer)
        if batch_size is None:
            yield whole
            return
        for step, start in enumerate(range(0, whole.shape[0], batch_size)):
            if steps is not None and step >= steps:
                return
            yield whole[start:start + batch_size]
        return
    if not isinstance(data, Iterable) and hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        data = (data[i] for i in range(len(data)))
    if not isinstance(data, Iterable):
        raise TypeError(f"{what} takes arrays or an iterable of batches, came {type(data).__name__}")
    for step, batch in enumerate(data):
        if steps is not None and step >= steps:
            return
        if isinstance(batch, tuple):
            raise TypeError(
                f"{what}: the data set yields tuples; pass batches of inputs alone, e.g. (x for x, y in data)"
            )
        yield _as_batch(batch, layer)


def _is_array(data) -> bool:
    """Tell whether ``data`` is one array, possibly written as lists, rather than batches."""
    if isinstance(data, (list, tuple)):
        leaf = data
        while isinstance(leaf, (list, tuple)) and leaf:
            leaf = leaf[0]
        return isinstance(leaf, (str, bytes, bool, int, float, np.generic))
    return isinstance(data, (np.ndarray, Tensor, str, bytes)) or hasattr(data, "__array__") or (
        type(data).__module__.startswith("cupy"))


def _as_batch(batch, layer):
    """Return a batch on the host."""
    what = f"{type(layer).__name__}.adapt"
    if isinstance(batch, StringTensor):
        return batch
    if isinstance(batch, (list, tuple)) and any(isinstance(x, Tensor) for x in batch):
        batch = [np.asarray(x) for x in batch]
    if is_text(batch):
        return string_tensor(batch, what)
    if isinstance(batch, Tensor):
        return batch.numpy()
    if type(batch).__module__.startswith("cupy"):
        return batch.get()
    array = batch.to_numpy() if hasattr(batch, "to_numpy") else np.asarray(batch)
    if is_text(array):
        return string_tensor(array, what)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what}: expected numbers or strings, came an array of {array.dtype}")
    return array
