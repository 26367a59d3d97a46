"""Layers that make one tensor of several: Add, Concatenate, Dot and the like, with their function forms."""

from __future__ import annotations

import functools

from gpukeras import ops
from gpukeras.backends import shapes
from gpukeras.layers.call_spec import is_shape
from gpukeras.layers.layer import Layer
from gpukeras.symbolic import KerasTensor


class Merge(Layer):
    """Base of layers that combine a list of tensors element by element, with broadcasting.

    Tensors of lower rank get axes of size 1 after their batch axis: (N, 4) and (N, 3, 4) go together.
    """

    least: int = 1  # how many inputs it takes
    most: int | None = None

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def _count(self, inputs, shapes_only=True) -> None:
        """Raise unless ``inputs`` is a list of as many tensors (or shapes) as the layer takes."""
        listed = isinstance(inputs, (list, tuple)) and not (shapes_only and is_shape(inputs) and inputs)
        if listed and len(inputs) >= self.least and len(inputs) <= (self.most or len(inputs)):
            return
        wanted = f"{self.least}" if self.least == self.most else f"at least {self.least}"
        came = f"{len(inputs)} of them" if listed else "no list"
        raise ValueError(
            f"layer {self.name!r} ({type(self).__name__}) takes a list of {wanted} tensors, came {came}"
            + (f" (input shape {inputs})" if shapes_only else "")
        )

    def build(self, input_shape):
        self._count(input_shape)
        self.compute_output_shape(input_shape)  # for its errors
        self.built = True

    def _combine(self, x, y):
        """Combine two tensors of one rank."""
        raise NotImplementedError(f"{type(self).__name__} must write _combine(self, x, y)")

    def _merge(self, inputs):
        return functools.reduce(self._combine, inputs)

    def call(self, inputs):
        self._count(inputs, shapes_only=False)
        rank = max(len(x.shape) for x in inputs)
        return self._merge([_raise_rank(x, rank) for x in inputs])

    def compute_output_shape(self, input_shape):
        self._count(input_shape)
        rank = max(len(s) for s in input_shape)
        same = [(*s[:1], *[1] * (rank - len(s)), *s[1:]) for s in input_shape]
        try:
            return functools.reduce(_broadcast, same)
        except ValueError:
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}): inputs of shapes "
                f"{', '.join(str(tuple(s)) for s in input_shape)} do not go together; their sizes must be "
                "equal or 1"
            ) from None

    def compute_output_spec(self, inputs):
        self._count(inputs, shapes_only=False)
        kinds = [t.dtype for t in inputs]
        kind = kinds[0] if len(set(kinds)) == 1 else self.compute_dtype
        return KerasTensor(self.compute_output_shape([tuple(t.shape) for t in inputs]), kind)

    def compute_mask(self, inputs, mask=None):
        """A place counts where it counts in any input; where one input has no mask there is none."""
        if mask is None or any(m is None for m in mask):
            return None
        rank = max(len(m.shape) for m in mask)
        return functools.reduce(ops.logical_or, [_raise_rank(m, rank) for m in mask])


def _raise_rank(x, rank: int):
    """Insert axes of size 1 after the batch axis until ``x`` has ``rank`` axes; its mask goes along."""
    missing = rank - len(x.shape)
    if not missing:
        return x
    mask = x._keras_mask
    for _ in range(missing):
        x = ops.expand_dims(x, 1 if len(x.shape) else 0)
    if mask is not None:
        x._keras_mask = mask
    return x


def _broadcast(a, b) -> tuple:
    """Broadcast two shapes; an unknown size beside a known one stays unknown, as it may be 1."""
    found = shapes.broadcast(a, b)
    return tuple(
        None if None in (n, m) and 1 not in (n, m) else size for n, m, size in zip(a, b, found)
    )


class Add(Merge):
    """Add tensors.

    Examples
    --------
    >>> import gpukeras as keras
    >>> a, b = keras.ops.ones((2, 3)), keras.ops.ones((2, 3))
    >>> keras.layers.Add()([a, b]).numpy()[0]
    array([2., 2., 2.], dtype=float32)
    """

    capturable = True

    def _combine(self, x, y):
        return x + y


class Subtract(Merge):
    """Subtract the second tensor from the first."""

    capturable = True

    least = most = 2

    def _combine(self, x, y):
        return x - y


class Average(Merge):
    """Take the mean of tensors."""

    capturable = True

    def _merge(self, inputs):
        return super()._merge(inputs) / len(inputs)

    def _combine(self, x, y):
        return x + y


class Multiply(Merge):
    """Multiply tensors; where inputs have masks, places that are masked out do not take part."""

    capturable = True

    def _combine(self, x, y):
        return x * y

    def _merge(self, inputs):
        masks = [x._keras_mask for x in inputs]
        if all(m is None for m in masks):
            return super()._merge(inputs)
        wide = [m if m is None else _beside(m, x) for m, x in zip(masks, inputs)]
        factors = [x if m is None else ops.where(m, x, ops.ones_like(x)) for x, m in zip(inputs, wide)]
        product = super()._merge(factors)
        if any(m is None for m in wide):
            return product
        return product * ops.cast(functools.reduce(ops.logical_or, wide), product.dtype)


class _Extreme(Merge):
    """Maximum and minimum: a place that is masked out in one input is taken from the other."""

    def _merge(self, inputs):
        if all(x._keras_mask is None for x in inputs):
            return super()._merge(inputs)
        masks = [None if x._keras_mask is None else _beside(x._keras_mask, x) for x in inputs]
        best, counts = inputs[0], masks[0]
        for x, mask in zip(inputs[1:], masks[1:]):
            both = self._combine(best, x)
            chosen = both if counts is None else ops.where(counts, both, x)
            best = chosen if mask is None else ops.where(mask, chosen, best)
            counts = None if counts is None or mask is None else ops.logical_or(counts, mask)
        return best


class Maximum(_Extreme):
    """Take the largest of the tensors, element by element."""

    def _combine(self, x, y):
        return ops.maximum(x, y)


class Minimum(_Extreme):
    """Take the smallest of the tensors, element by element."""

    def _combine(self, x, y):
        return ops.minimum(x, y)


def _beside(mask, x):
    """Give a mask axes of size 1 at its end until it has the rank of ``x``."""
    while len(mask.shape) < len(x.shape):
        mask = ops.expand_dims(mask, -1)
    return mask


class Concatenate(Merge):
    """Join tensors along an axis; their other sizes are equal.

    Parameters
    ----------
    axis : int

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Concatenate()([keras.ops.ones((2, 3)), keras.ops.ones((2, 5))]).shape
    (2, 8)
    """

    capturable = True

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = int(axis)

    def call(self, inputs):
        self._count(inputs, shapes_only=False)
        return ops.concatenate(inputs, axis=self.axis)

    def compute_output_shape(self, input_shape):
        self._count(input_shape)
        try:
            return shapes.concatenate(*input_shape, axis=self.axis)
        except ValueError as error:
            raise ValueError(f"layer {self.name!r} ({type(self).__name__}): {error}") from None

    def compute_mask(self, inputs, mask=None):
        """Join the masks; an input without one counts everywhere."""
        if mask is None or all(m is None for m in mask):
            return None
        rank = len(inputs[0].shape)
        axis = self.axis % rank
        wide = []
        for x, m in zip(inputs, mask):
            like = ops.cast(ops.ones_like(x[..., 0] if rank > 1 else x), "bool")
            if m is not None:
                like = ops.logical_and(like, _beside(m, like))
            wide.append(like)
        if axis == rank - 1 and rank > 1:  # along the features: a place counts where it counts in any input
            return functools.reduce(ops.logical_or, wide)
        return ops.concatenate(wide, axis=axis)

    def get_config(self):
        return super().get_config() | {"axis": self.axis}


class Dot(Merge):
    """Multiply two batches of tensors as matrices, sample by sample.

    Parameters
    ----------
    axes : int or pair of int
        The axis of each that is summed over; the batch axis is 0.
    normalize : bool
        Scale along these axes to length 1 before: the result is the cosine.

    Notes
    -----
    The outputs have the axes of the first input without the one summed over, then those of the second
    without batch axis and the one summed over; of two matrices (N, D) the outputs are (N, 1).

    Examples
    --------
    >>> import gpukeras as keras
    >>> a, b = keras.ops.ones((2, 3, 4)), keras.ops.ones((2, 5, 4))
    >>> keras.layers.Dot(axes=2)([a, b]).shape
    (2, 3, 5)
    """

    least = most = 2

    def __init__(self, axes, normalize=False, **kwargs):
        super().__init__(**kwargs)
        pair = isinstance(axes, (list, tuple))
        if not (isinstance(axes, int) or (pair and len(axes) == 2 and all(isinstance(a, int) for a in axes))):
            raise TypeError(f"layer {self.name!r}: axes must be an integer or a pair of them, came {axes!r}")
        self.axes = list(axes) if pair else axes
        self.normalize = bool(normalize)
        self.supports_masking = True

    def _axes(self, first, second) -> tuple[int, int]:
        pair = self.axes if isinstance(self.axes, list) else (self.axes, self.axes)
        if len(first) < 2 or len(second) < 2:
            raise ValueError(
                f"layer {self.name!r} (Dot): inputs need a batch axis and one more, came shapes {first} and "
                f"{second}"
            )
        try:
            a, b = (shapes.normalize_axis(axis, len(s), "axes") for axis, s in zip(pair, (first, second)))
        except ValueError as error:
            raise ValueError(f"layer {self.name!r} (Dot): {error} (shapes {first} and {second})") from None
        if a == 0 or b == 0:
            raise ValueError(f"layer {self.name!r} (Dot): axes={self.axes} names the batch axis")
        if None not in (first[a], second[b]) and first[a] != second[b]:
            raise ValueError(
                f"layer {self.name!r} (Dot): the sizes along axes={self.axes} must be equal, came {first[a]} "
                f"and {second[b]} (shapes {first} and {second})"
            )
        return a, b

    def call(self, inputs):
        self._count(inputs, shapes_only=False)
        x, y = inputs
        a, b = self._axes(tuple(x.shape), tuple(y.shape))
        if self.normalize:
            x, y = ops.normalize(x, axis=a), ops.normalize(y, axis=b)
        batch, size = x.shape[0], x.shape[a]
        rest_x = [n for i, n in enumerate(x.shape) if i not in (0, a)]
        rest_y = [n for i, n in enumerate(y.shape) if i not in (0, b)]
        # One product of matrices per sample: (N, P, D) times (N, D, Q).
        x = ops.reshape(ops.moveaxis(x, a, -1), (batch, _product(rest_x), size))
        y = ops.reshape(ops.moveaxis(y, b, 1), (batch, size, _product(rest_y)))
        return ops.reshape(ops.matmul(x, y), (batch, *(rest_x + rest_y or [1])))

    def compute_output_shape(self, input_shape):
        self._count(input_shape)
        first, second = (tuple(s) for s in input_shape)
        a, b = self._axes(first, second)
        rest = [n for i, n in enumerate(first) if i not in (0, a)]
        rest += [n for i, n in enumerate(second) if i not in (0, b)]
        return (first[0], *(rest or [1]))

    def compute_mask(self, inputs, mask=None):
        return None

    def get_config(self):
        return super().get_config() | {"axes": self.axes, "normalize": self.normalize}


def _product(sizes) -> int:
    return shapes.known_product(sizes)


# ---- function forms -----------------------------------------------------------------------------------
def add(inputs, **kwargs):
    """Add a list of tensors; ``kwargs`` go to the layer ``Add``."""
    return Add(**kwargs)(inputs)


def subtract(inputs, **kwargs):
    """Subtract the second of two tensors from the first; see ``Subtract``."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs, **kwargs):
    """Multiply a list of tensors; see ``Multiply``."""
    return Multiply(**kwargs)(inputs)


def average(inputs, **kwargs):
    """Take the mean of a list of tensors; see ``Average``."""
    return Average(**kwargs)(inputs)


def maximum(inputs, **kwargs):
    """Take the largest of a list of tensors, element by element; see ``Maximum``."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs, **kwargs):
    """Take the smallest of a list of tensors, element by element; see ``Minimum``."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs, axis=-1, **kwargs):
    """Join a list of tensors along ``axis``; see ``Concatenate``."""
    return Concatenate(axis=axis, **kwargs)(inputs)


def dot(inputs, axes=-1, normalize=False, **kwargs):
    """Multiply two batches sample by sample, summing over ``axes``; see ``Dot``."""
    return Dot(axes=axes, normalize=normalize, **kwargs)(inputs)
