"""Shape rules of what looks at windows or images: convolution, pooling, resizing."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from .shapes import Shape


def window_output(size, window: int, stride: int, padding: str, dilation: int = 1):
    """Number of window positions along one axis (``None`` stays ``None``).

    ``padding`` is ``"valid"``, ``"same"`` or ``"causal"`` (left-padded ``same``).
    """
    if size is None:
        return None
    reach = (window - 1) * dilation + 1
    if padding in ("same", "causal"):
        return -(-size // stride)
    return max(0, (size - reach) // stride + 1)


def window_padding(size: int, window: int, stride: int, padding: str, dilation: int = 1) -> tuple[int, int]:
    """Elements to add before and after one axis so that ``window_output`` positions fit."""
    reach = (window - 1) * dilation + 1
    if padding == "causal":
        return reach - 1, 0
    if padding == "valid":
        return 0, 0
    total = max(0, (-(-size // stride) - 1) * stride + reach - size)
    return total // 2, total - total // 2


def per_axis(value, rank: int, what: str) -> tuple[int, ...]:
    """Turn one integer or a sequence into one positive integer for each of ``rank`` axes."""
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) == 1 and rank > 1:
        values *= rank
    if len(values) != rank or any(isinstance(v, bool) or int(v) != v or v < 1 for v in values):
        raise ValueError(f"{what} must be a positive integer or {rank} of them, came {value!r}")
    return tuple(int(v) for v in values)


def split_format(shape, data_format: str) -> tuple[Shape, int | None]:
    """Return the spatial sizes and the number of channels of a batch."""
    if data_format == "channels_last":
        return tuple(shape[1:-1]), shape[-1]
    if data_format == "channels_first":
        return tuple(shape[2:]), shape[1]
    raise ValueError(
        f"data_format must be 'channels_last' or 'channels_first', came {data_format!r}"
    )


def join_format(batch, spatial, channels, data_format: str) -> Shape:
    """Put a batch shape together again: the inverse of ``split_format``."""
    if data_format == "channels_last":
        return (batch, *spatial, channels)
    return (batch, channels, *spatial)


def spatial_rank(shape, what: str) -> int:
    """Number of spatial axes of a batch: one to three."""
    rank = len(shape) - 2
    if not 1 <= rank <= 3:
        raise ValueError(
            f"{what} needs inputs with a batch axis, one to three spatial axes and a channel axis; "
            f"came shape {tuple(shape)}"
        )
    return rank


def window_outputs(spatial, window, strides, padding: str, dilation, what: str) -> Shape:
    """Output sizes of all spatial axes; a window that does not fit is an error."""
    if padding not in ("valid", "same", "causal"):
        raise ValueError(f"padding must be 'valid' or 'same', came {padding!r}")
    if padding == "causal" and len(window) != 1:
        raise ValueError(f"padding='causal' needs one spatial axis (time), came {len(window)}")
    out = []
    for i, (size, k, s, d) in enumerate(zip(spatial, window, strides, dilation)):
        reach = (k - 1) * d + 1
        if padding == "valid" and size is not None and size < reach:
            covers = f" (size {k} with dilation_rate={d})" if d > 1 else ""
            raise ValueError(
                f"{what}: a window of {reach}{covers} does not fit into spatial axis {i} of size {size} with "
                "padding='valid'; use padding='same', a smaller window or a larger input"
            )
        out.append(window_output(size, k, s, padding, d))
    return tuple(out)


class Windows(NamedTuple):
    """Where windows lie over known spatial axes; every field has one entry for each axis.

    Position ``o`` of a window covers input elements ``o * stride - low + tap * dilation`` for every ``tap``
    below ``window``; elements outside the input count as padding.
    """

    size: tuple[int, ...]  # of the input
    window: tuple[int, ...]
    out: tuple[int, ...]  # number of positions
    strides: tuple[int, ...]
    lows: tuple[int, ...]  # padding in front
    dilation: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """Elements from the first tap of a window to its last."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.window, self.dilation))

    @property
    def padded(self) -> tuple[int, ...]:
        """Sizes of the input with its padding: enough for all windows and for the whole input."""
        return tuple(
            max(low + n, (o - 1) * s + r)
            for low, n, o, s, r in zip(self.lows, self.size, self.out, self.strides, self.reach)
        )

    @property
    def apart(self) -> bool:
        """Whether there is a window, no two windows share an input, and none touches padding."""
        alone = all(s >= r for s, r in zip(self.strides, self.reach))
        return alone and self.padded == self.size and min(self.out) > 0

    @property
    def plain(self) -> bool:
        """Whether each window is one element and each element one window (a 1x1 convolution)."""
        return self.size == self.out and set(self.window + self.strides) == {1} and not any(self.lows)

    @property
    def mirrored(self) -> Windows:
        """The windows with which outputs are brought back to inputs, where all steps are one."""
        lows = tuple(r - 1 - low for r, low in zip(self.reach, self.lows))
        return self._replace(size=self.out, out=self.size, lows=lows)


def windows(spatial, window, strides, padding: str, dilation, what: str) -> Windows:
    """Lay windows over axes of known sizes."""
    spatial, window = tuple(spatial), tuple(window)
    out = window_outputs(spatial, window, strides, padding, dilation, what)
    lows = tuple(
        window_padding(n, k, s, padding, d)[0] for n, k, s, d in zip(spatial, window, strides, dilation)
    )
    return Windows(spatial, window, out, tuple(strides), lows, tuple(dilation))


def phases(found: Windows) -> list[tuple]:
    """Split the data gradient of windows with steps of more than one into convolutions with steps of one.

    Inputs whose position leaves the same remainder by the stride meet the same taps of the kernel.

    Returns
    -------
    list of (places, taps, back)
        Slices of the inputs; slices of the kernel that meet them, ``None`` where there are none; and how the
        mirrored part of the kernel lies over the outputs. ``back.lows`` below 0 cannot be computed that way.
    """
    combined: list[tuple] = []
    for axes in itertools.product(*(_axis_phases(*axis) for axis in zip(*found))):
        places = (slice(None), *(axis[0] for axis in axes))
        if any(axis[1] is None for axis in axes):
            combined.append((places, None, None))
        else:
            back = Windows(*(tuple(values) for values in zip(*(axis[2] for axis in axes))))
            combined.append((places, tuple(axis[1] for axis in axes), back))
    return combined


def _axis_phases(size: int, window: int, out: int, stride: int, low: int, dilation: int) -> list[tuple]:
    """Return (places, taps, fields of ``Windows``) of every remainder along one axis."""
    found: list[tuple] = []
    for p in range(min(stride, size)):
        taps = [t for t in range(window) if (p + low - t * dilation) % stride == 0]
        places = slice(p, None, stride)
        if not taps:
            found.append((places, None, None))
            continue
        step = taps[1] - taps[0] if len(taps) > 1 else 1
        before = (taps[-1] * dilation - p - low) // stride
        gap = max(1, step * dilation // stride)
        axis = (out, len(taps), len(range(p, size, stride)), 1, before, gap)
        found.append((places, slice(taps[0], taps[-1] + 1, step), axis))
    return found


def convolution(
    x, kernel, bias=None, strides=1, padding="valid", data_format="channels_last", dilation_rate=1, groups=1,
    activation=None,
) -> Shape:
    """Shape of a convolution; ``kernel`` is (*window, channels // groups, filters)."""
    rank = spatial_rank(x, "convolution")
    if len(kernel) != rank + 2:
        raise ValueError(
            f"convolution of inputs of shape {tuple(x)} needs a kernel with {rank + 2} axes "
            f"(*window, channels // groups, filters), came shape {tuple(kernel)}"
        )
    spatial, channels = split_format(x, data_format)
    inner, filters = kernel[-2:]
    if channels is not None and channels != inner * groups:
        raise ValueError(
            f"convolution: the kernel of shape {tuple(kernel)} with groups={groups} expects "
            f"{inner * groups} input channels, the inputs of shape {tuple(x)} have {channels} "
            f"(data_format={data_format!r})"
        )
    if filters % groups:
        raise ValueError(f"convolution: {filters} filters cannot be split into groups={groups}")
    if bias is not None and tuple(bias) != (filters,):
        raise ValueError(f"convolution: bias must have shape ({filters},), came {tuple(bias)}")
    strides = per_axis(strides, rank, "strides")
    dilation = per_axis(dilation_rate, rank, "dilation_rate")
    out = window_outputs(spatial, kernel[:-2], strides, padding, dilation, "convolution")
    return join_format(x[0], out, filters, data_format)


def depthwise_convolution(
    x, kernel, bias=None, strides=1, padding="valid", data_format="channels_last", dilation_rate=1,
    activation=None,
) -> Shape:
    """Shape of a depthwise convolution; ``kernel`` is (*window, channels, multiplier)."""
    _, found = split_format(x, data_format)
    *window, channels, multiplier = kernel
    if found is not None and found != channels:
        raise ValueError(
            f"depthwise convolution: the kernel of shape {tuple(kernel)} is for {channels} channels, the "
            f"inputs of shape {tuple(x)} have {found} (data_format={data_format!r})"
        )
    laid = (*window, 1, channels * multiplier)
    return convolution(x, laid, bias, strides, padding, data_format, dilation_rate, channels)


def separable_convolution(
    x, depthwise_kernel, pointwise_kernel, bias=None, strides=1, padding="valid", data_format="channels_last",
    dilation_rate=1, activation=None,
) -> Shape:
    """Shape of a separable convolution; ``pointwise_kernel`` is (1, ..., channels * multiplier, filters)."""
    between = depthwise_convolution(
        x, depthwise_kernel, None, strides, padding, data_format, dilation_rate
    )
    if set(pointwise_kernel[:-2]) - {1}:
        raise ValueError(
            "separable convolution: the window of the pointwise kernel must be 1 along every axis, came "
            f"shape {tuple(pointwise_kernel)}"
        )
    return convolution(between, pointwise_kernel, bias, 1, "valid", data_format)


def transposed_axis(size, window: int, stride: int, padding: str, output_padding, dilation: int = 1):
    """Output size along one axis of a transposed convolution, and how much is cut off in front.

    With padding ``p`` at the far end, the axis grows to ``(size - 1) * stride + reach``, of which the cut is
    taken away in front and the rest (which may be negative: zeros) behind.
    """
    reach = (window - 1) * dilation + 1
    if padding == "valid":
        extra = max(reach, stride) - reach if output_padding is None else output_padding
        cut, total = 0, 2 * (reach - 1) + extra
    elif padding == "same":
        if output_padding is None:
            total = stride + reach - 2
        else:
            total = reach + reach % 2 - 2 + output_padding
        cut = reach - 1 - min(-(-total // 2), reach - 1)
    else:
        raise ValueError(f"padding must be 'valid' or 'same', came {padding!r}")
    return (None if size is None else (size - 1) * stride + total - reach + 2), cut


def transposed_windows(spatial, window, strides, padding: str, output_padding, dilation) -> Windows:
    """Windows of the convolution whose data gradient is the transposed convolution."""
    rank = len(spatial)
    strides = per_axis(strides, rank, "strides")
    dilation = per_axis(dilation, rank, "dilation_rate")
    if output_padding is None or isinstance(output_padding, int):
        output_padding = (output_padding,) * rank
    axes = [
        transposed_axis(*axis)
        for axis in zip(spatial, window, strides, (padding,) * rank, output_padding, dilation)
    ]
    sizes, lows = (tuple(values) for values in zip(*axes))
    return Windows(sizes, tuple(window), tuple(spatial), strides, lows, dilation)


def transposed_convolution(
    x, kernel, bias=None, strides=1, padding="valid", output_padding=None, data_format="channels_last",
    dilation_rate=1, activation=None,
) -> Shape:
    """Shape of a transposed convolution; ``kernel`` is (*window, filters, channels)."""
    rank = spatial_rank(x, "transposed convolution")
    spatial, channels = split_format(x, data_format)
    if len(kernel) != rank + 2 or (channels is not None and kernel[-1] != channels):
        raise ValueError(
            f"transposed convolution of inputs of shape {tuple(x)} (data_format={data_format!r}) needs a "
            f"kernel of shape (*window, filters, {channels}) with {rank} window axes, came {tuple(kernel)}"
        )
    if bias is not None and tuple(bias) != (kernel[-2],):
        raise ValueError(f"transposed convolution: bias must have shape ({kernel[-2]},), came {tuple(bias)}")
    found = transposed_windows(spatial, kernel[:-2], strides, padding, output_padding, dilation_rate)
    return join_format(x[0], found.size, kernel[-2], data_format)


def pool(x, pool_size, strides=None, padding="valid", data_format="channels_last") -> Shape:
    """Shape after pooling every channel over windows."""
    rank = spatial_rank(x, "pooling")
    window = per_axis(pool_size, rank, "pool_size")
    strides = window if strides is None else per_axis(strides, rank, "strides")
    spatial, channels = split_format(x, data_format)
    if padding == "causal":
        raise ValueError("padding must be 'valid' or 'same', came 'causal'")
    out = window_outputs(spatial, window, strides, padding, (1,) * rank, "pooling")
    return join_format(x[0], out, channels, data_format)


def adaptive_pool(x, output_size, data_format="channels_last") -> Shape:
    """Shape after pooling to ``output_size``."""
    rank = spatial_rank(x, "adaptive pooling")
    _, channels = split_format(x, data_format)
    return join_format(x[0], per_axis(output_size, rank, "output_size"), channels, data_format)


def resize(x, size, *args, data_format="channels_last", **kwargs) -> Shape:
    """Shape of a batch of images, or of one image, brought to ``size`` (height, width)."""
    if len(x) not in (3, 4):
        raise ValueError(f"resize needs an image or a batch of images (rank 3 or 4), came shape {tuple(x)}")
    if data_format == "channels_last":
        return (*x[:-3], *size, x[-1])
    return (*x[:-2], *size)


def depth_to_space(x, block_size, data_format="channels_last") -> Shape:
    """Shape after moving blocks of channels into space."""
    n, h, w, c = _image(x, data_format)
    if c is not None and c % block_size**2:
        raise ValueError(f"depth_to_space: {c} channels cannot be divided by block_size**2 = {block_size**2}")
    h, w = (None if s is None else s * block_size for s in (h, w))
    c = None if c is None else c // block_size**2
    return (n, h, w, c) if data_format == "channels_last" else (n, c, h, w)


def space_to_depth(x, block_size, data_format="channels_last") -> Shape:
    """Shape after moving blocks of space into channels."""
    n, h, w, c = _image(x, data_format)
    for s in (h, w):
        if s is not None and s % block_size:
            raise ValueError(f"space_to_depth: size {s} of {tuple(x)} is not a multiple of {block_size}")
    h, w = (None if s is None else s // block_size for s in (h, w))
    c = None if c is None else c * block_size**2
    return (n, h, w, c) if data_format == "channels_last" else (n, c, h, w)


def _image(x, data_format) -> Shape:
    if len(x) != 4:
        raise ValueError(f"expected an image batch of rank 4, came shape {tuple(x)}")
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(f"data_format must be 'channels_last' or 'channels_first', came {data_format!r}")
    return tuple(x) if data_format == "channels_last" else (x[0], x[2], x[3], x[1])
