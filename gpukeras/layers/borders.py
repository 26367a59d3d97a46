"""Layers that cut borders off, or add borders of zeros."""

from __future__ import annotations

from gpukeras import config, ops
from gpukeras.backends import window_shapes
from gpukeras.layers.arguments import old_names
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer


class _Borders(Layer):
    """Base: a pair of widths, before and behind, for each of ``rank`` spatial axes.

    Parameters
    ----------
    rank : int
    widths : int, tuple of int or tuple of pairs
        For all sides; for both sides of each axis; or for each side. For one axis, two integers are a pair.
    """

    _word = ""  # name of the argument

    def __init__(self, rank, widths, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.rank = rank
        self.data_format = config.standardize_data_format(data_format)
        self._sides = self._pairs(widths)
        self.input_spec = InputSpec(ndim=rank + 2)

    def _pairs(self, widths) -> tuple[tuple[int, int], ...]:
        """Bring all ways of writing the widths into one pair for each axis."""
        try:
            several = (widths,) * self.rank if isinstance(widths, int) else tuple(widths)
            if self.rank == 1 and len(several) == 2:
                several = (several,)
            found = tuple((p, p) if isinstance(p, int) else tuple(p) for p in several)
            good = len(found) == self.rank and all(
                len(p) == 2 and all(int(n) == n and n >= 0 for n in p) for p in found)
        except (TypeError, ValueError):
            good = False
        if not good:
            pairs = "a pair" if self.rank == 1 else f"{self.rank} integers or {self.rank} pairs of integers"
            raise ValueError(
                f"layer {self.name!r}: {self._word} must be an integer, or {pairs} (before, behind), none of "
                f"them negative; came {widths!r}"
            )
        return tuple((int(a), int(b)) for a, b in found)

    def _all_axes(self, other) -> list:
        """Return the pairs with ``other`` for batch and channels."""
        if self.data_format == "channels_last":
            return [other, *self._sides, other]
        return [other, other, *self._sides]

    def _resized(self, input_shape, sign: int):
        spatial, channels = window_shapes.split_format(input_shape, self.data_format)
        sizes = [None if n is None else n + sign * (a + b) for n, (a, b) in zip(spatial, self._sides)]
        return window_shapes.join_format(input_shape[0], sizes, channels, self.data_format)

    def get_config(self):
        widths = self._sides[0] if self.rank == 1 else self._sides
        return {**super().get_config(), self._word: widths, "data_format": self.data_format}


class _Cropping(_Borders):
    _word = "cropping"

    @property
    def cropping(self):
        """The widths that are cut off: a pair, or one for each axis."""
        return self._sides[0] if self.rank == 1 else self._sides

    def call(self, inputs):
        self.compute_output_shape(inputs.shape)  # for its errors
        return inputs[tuple(slice(a, -b if b else None) for a, b in self._all_axes((0, 0)))]

    def compute_output_shape(self, input_shape):
        found = self._resized(input_shape, -1)
        if any(n is not None and n <= 0 for n in window_shapes.split_format(found, self.data_format)[0]):
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}): cropping={self.cropping} leaves nothing of "
                f"inputs of shape {tuple(input_shape)} (data_format={self.data_format!r})"
            )
        return found


class _ZeroPadding(_Borders):
    _word = "padding"

    @property
    def padding(self):
        """The widths that are added: a pair, or one for each axis."""
        return self._sides[0] if self.rank == 1 else self._sides

    def call(self, inputs):
        return ops.pad(inputs, self._all_axes((0, 0)))

    def compute_output_shape(self, input_shape):
        return self._resized(input_shape, 1)


class Cropping1D(_Cropping):
    """Cut steps off the ends of sequences.

    Parameters
    ----------
    cropping : int or (int, int)
        For both ends, or for each of them.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Cropping1D(1)(keras.ops.ones((2, 5, 3))).shape
    (2, 3, 3)
    """

    def __init__(self, cropping=(1, 1), **kwargs):
        super().__init__(1, cropping, "channels_last", **kwargs)

    def get_config(self):
        found = super().get_config()
        del found["data_format"]  # the channels are always last
        return found


class Cropping2D(_Cropping):
    """Cut the borders of images off.

    Parameters
    ----------
    cropping : int, (int, int) or ((int, int), (int, int))
        For all sides; (top and bottom, left and right); or ((top, bottom), (left, right)).
    data_format : {"channels_last", "channels_first"}, optional
        (N, H, W, C) or (N, C, H, W).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Cropping2D(((1, 0), (2, 2)))(keras.ops.ones((4, 5, 6, 3))).shape
    (4, 4, 2, 3)
    """

    @old_names(dim_ordering="data_format")
    def __init__(self, cropping=((0, 0), (0, 0)), data_format=None, **kwargs):
        super().__init__(2, cropping, data_format, **kwargs)


class Cropping3D(_Cropping):
    """Cut the borders of volumes off.

    Parameters
    ----------
    cropping : int, tuple of 3 int or tuple of 3 pairs
        For all sides; for both sides of each axis; or for each side.
    data_format : {"channels_last", "channels_first"}, optional
        (N, D, H, W, C) or (N, C, D, H, W).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Cropping3D((1, 0, 2))(keras.ops.ones((1, 4, 4, 5, 2))).shape
    (1, 2, 4, 1, 2)
    """

    @old_names(dim_ordering="data_format")
    def __init__(self, cropping=((1, 1), (1, 1), (1, 1)), data_format=None, **kwargs):
        super().__init__(3, cropping, data_format, **kwargs)


class ZeroPadding1D(_ZeroPadding):
    """Put zeros before and behind sequences.

    Parameters
    ----------
    padding : int or (int, int)
        For both ends, or for each of them.
    data_format : {"channels_last", "channels_first"}, optional
        (N, T, C) or (N, C, T).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.ZeroPadding1D((2, 0))(keras.ops.ones((2, 5, 3))).shape
    (2, 7, 3)
    """

    def __init__(self, padding=1, data_format=None, **kwargs):
        super().__init__(1, padding, data_format, **kwargs)


class ZeroPadding2D(_ZeroPadding):
    """Surround images with zeros.

    Parameters
    ----------
    padding : int, (int, int) or ((int, int), (int, int))
        For all sides; (top and bottom, left and right); or ((top, bottom), (left, right)).
    data_format : {"channels_last", "channels_first"}, optional
        (N, H, W, C) or (N, C, H, W).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.ZeroPadding2D(((1, 0), (2, 2)))(keras.ops.ones((4, 5, 5, 3))).shape
    (4, 6, 9, 3)
    """

    @old_names(dim_ordering="data_format")
    def __init__(self, padding=(1, 1), data_format=None, **kwargs):
        super().__init__(2, padding, data_format, **kwargs)


class ZeroPadding3D(_ZeroPadding):
    """Surround volumes with zeros.

    Parameters
    ----------
    padding : int, tuple of 3 int or tuple of 3 pairs
        For all sides; for both sides of each axis; or for each side.
    data_format : {"channels_last", "channels_first"}, optional
        (N, D, H, W, C) or (N, C, D, H, W).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.ZeroPadding3D(1)(keras.ops.ones((1, 4, 4, 5, 2))).shape
    (1, 6, 6, 7, 2)
    """

    @old_names(dim_ordering="data_format")
    def __init__(self, padding=((1, 1), (1, 1), (1, 1)), data_format=None, **kwargs):
        super().__init__(3, padding, data_format, **kwargs)
