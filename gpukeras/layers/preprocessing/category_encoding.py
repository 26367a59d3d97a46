"""Category numbers as vectors, and crosses of categories."""

from __future__ import annotations

import itertools

import numpy as np

from gpukeras import ops
from gpukeras.layers.layer import Layer
from gpukeras.layers.preprocessing.encoding import MODES, check_mode, encode, encoded_shape
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor
from gpukeras.text import StringTensor, flat_str, string_tensor


class CategoryEncoding(Layer):
    """Return vectors made of category numbers.

    Parameters
    ----------
    num_tokens : int
        Numbers of categories lie in [0, ``num_tokens``); others leave no trace.
    output_mode : {"multi_hot", "one_hot", "count"}
        One vector for all numbers along the last axis, with ones where a category occurs; a vector for each
        number; or one with counts. ``"binary"`` is an old name of ``"multi_hot"``.
    sparse : bool
        Vectors without their zeros (on the CPU).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.CategoryEncoding(4, output_mode="count")([[0, 1, 1]]).tolist()
    [[1.0, 2.0, 0.0, 0.0]]
    """

    def __init__(self, num_tokens=None, output_mode="multi_hot", sparse=False, **kwargs):
        if num_tokens is None and "max_tokens" in kwargs:  # an early name
            num_tokens = kwargs.pop("max_tokens")
        super().__init__(**kwargs)
        output_mode = "multi_hot" if output_mode == "binary" else output_mode
        check_mode(self, output_mode, MODES)
        if num_tokens is None or num_tokens < 1:
            raise ValueError(
                f"CategoryEncoding: num_tokens must be at least 1, came {num_tokens}. Where it is not known, "
                "use IntegerLookup"
            )
        self.num_tokens, self.output_mode, self.sparse = num_tokens, output_mode, sparse

    def call(self, inputs, count_weights=None):
        if count_weights is not None:
            if self.output_mode != "count":
                raise ValueError(
                    f"layer {self.name!r} (CategoryEncoding): count_weights go with output_mode='count', it "
                    f"has {self.output_mode!r}"
                )
            if not isinstance(count_weights, (Tensor, KerasTensor)):
                count_weights = ops.convert_to_tensor(count_weights)
        if not isinstance(inputs, Tensor):
            inputs = ops.convert_to_tensor(inputs)
        ids = inputs if inputs.dtype.kind in "iu" else ops.cast(inputs, "int32")
        return encode(ids, self.output_mode, self.num_tokens, self.compute_dtype, count_weights, self.sparse)

    def compute_output_shape(self, input_shape):
        return encoded_shape(input_shape, self.output_mode, self.num_tokens)

    def compute_output_spec(self, inputs, count_weights=None):
        return KerasTensor(self.compute_output_shape(inputs.shape), self.compute_dtype, sparse=self.sparse)

    def get_config(self):
        return super().get_config() | {
            "num_tokens": self.num_tokens, "output_mode": self.output_mode, "sparse": self.sparse}


class CategoryCrossing(Layer):
    """Join categories of several inputs into one string for each combination within a sample.

    A layer of TensorFlow 2.6 and before; ``HashedCrossing`` came after it.

    Parameters
    ----------
    depth : int or sequence of int, optional
        How many inputs are joined: so many and fewer, or exactly these numbers. All unless given.
    separator : str
        Between the parts.

    Notes
    -----
    Inputs are integers or strings of shape (N,) or (N, K); the result has shape (N, M), M the number of
    combinations, in the order of itertools' ``product``, combinations of fewer inputs first.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.experimental.preprocessing.CategoryCrossing()
    >>> layer([["a", "b"], [1, 2]]).tolist()
    [['a_X_1'], ['b_X_2']]
    """

    def __init__(self, depth=None, name=None, separator="_X_", **kwargs):
        super().__init__(name=name, **kwargs)
        self.depth, self.separator = depth, "_X_" if separator is None else separator

    def __call__(self, inputs, *args, **kwargs):
        if isinstance(inputs, (list, tuple)):
            inputs = [x if isinstance(x, (KerasTensor, Tensor)) else categories(x, self) for x in inputs]
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs):
        if not isinstance(inputs, (list, tuple)) or len(inputs) < 1:
            raise ValueError(f"layer {self.name!r} (CategoryCrossing) takes a list of inputs")
        columns = [_texts(x) for x in inputs]
        samples = len(columns[0])
        if any(len(c) != samples for c in columns):
            raise ValueError(
                f"layer {self.name!r} (CategoryCrossing): inputs have {[len(c) for c in columns]} samples")
        found = [
            self.separator.join(parts)
            for i in range(samples) for chosen in self._choices(columns)
            for parts in itertools.product(*(c[i] for c in chosen))
        ]
        return StringTensor(np.array([*found, None], object)[:-1].reshape(samples, -1))

    def partial_crossing(self, partial_inputs, ragged_out=False, sparse_out=False):
        """Return the crosses of some inputs, all of them joined."""
        if ragged_out or sparse_out:
            raise ValueError("CategoryCrossing: strings are dense here; leave ragged_out and sparse_out")
        return CategoryCrossing(separator=self.separator)(list(partial_inputs))

    def _choices(self, columns):
        """Yield the inputs that are joined with each other."""
        if self.depth is None:
            sizes = [len(columns)]
        elif isinstance(self.depth, int):
            sizes = list(range(1, self.depth + 1))
        else:
            sizes = list(self.depth)
        for size in sizes:
            yield from itertools.combinations(columns, size)

    def compute_output_shape(self, input_shape):
        widths = [s[1] if len(s) > 1 else 1 for s in input_shape]
        if None in widths:
            return (input_shape[0][0], None)
        return (input_shape[0][0], sum(int(np.prod(chosen)) for chosen in self._choices(widths)))

    def compute_output_spec(self, inputs):
        return KerasTensor(self.compute_output_shape([tuple(x.shape) for x in inputs]), "string")

    def get_config(self):
        return super().get_config() | {"depth": self.depth, "separator": self.separator}


def categories(values, layer):
    """Return categories that are no tensor yet: strings, or integers."""
    array = values if isinstance(values, np.ndarray) else np.array(values)
    if array.dtype.kind in "OSU":
        return string_tensor(values, f"layer {layer.name!r}")
    return ops.convert_to_tensor(array)


def _texts(x) -> list:
    """Return the categories of each sample as lists of strings."""
    if isinstance(x, StringTensor):
        array = np.array([*flat_str(x.array), None], object)[:-1].reshape(x.shape)
    else:
        array = x.backend.to_numpy(x.array).astype(str).astype(object)
    return array.reshape(len(array), -1).tolist()
