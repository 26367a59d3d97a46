"""Convolutions: plain, grouped and transposed, over one to three spatial axes.

A convolution is linear in its input and in its kernel, so three ops are closed under differentiation:
``convolution`` (inputs, kernel), ``convolution_data`` (output gradient, kernel) and ``convolution_kernel``
(inputs, output gradient). Each one's gradients are the other two; gradients of any order follow. A
transposed convolution is ``convolution_data`` under its own name.
"""

from __future__ import annotations

from gpukeras import autograd, config, dtypes
from gpukeras.backends import window_shapes
from gpukeras.op import op
from gpukeras.tensor import Tensor, to_array

FUSED_ACTIVATIONS = (None, "relu", "tanh", "sigmoid")


# ---- public functions -----------------------------------------------------------------------------------
def conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Convolve a batch of sequences, images or volumes with a kernel.

    Parameters
    ----------
    inputs : tensor, shape (N, *spatial, C) or (N, C, *spatial)
        One, two or three spatial axes.
    kernel : tensor, shape (*window, C // groups, filters)
        Where its channel axis is shorter than that of the inputs, channels are split into groups.
    strides, dilation_rate : int or sequence of int
        Step between windows, and between the elements of one window.
    padding : {"valid", "same", "causal"}
        No padding; as much as keeps the size (divided by the stride); or all of it in front (1D only).
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Returns
    -------
    tensor, shape (N, *out, filters) or (N, filters, *out)

    Raises
    ------
    ValueError
        Where channels do not match or a window is larger than the input.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.reshape(keras.ops.arange(5, dtype="float32"), (1, 5, 1))
    >>> keras.ops.conv(x, keras.ops.ones((3, 1, 1))).numpy().ravel()
    array([3., 6., 9.], dtype=float32)
    """
    inputs, kernel = with_shape(inputs), with_shape(kernel)
    data_format = config.standardize_data_format(data_format)
    channels = inputs.shape[-1 if data_format == "channels_last" else 1]
    inner = kernel.shape[-2]
    groups = channels // inner if channels and inner and channels % inner == 0 else 1
    return convolution(
        inputs, kernel, None, strides=_plain(strides), padding=padding.lower(), data_format=data_format,
        dilation_rate=_plain(dilation_rate), groups=groups,
    )


def conv_transpose(
    inputs, kernel, strides=1, padding="valid", output_padding=None, data_format=None, dilation_rate=1,
):
    """Spread every input element over a window of outputs: the gradient of a convolution, used forwards.

    Parameters
    ----------
    inputs : tensor, shape (N, *spatial, C) or (N, C, *spatial)
    kernel : tensor, shape (*window, filters, C)
    strides : int or sequence of int
        How much larger the output is than the input.
    padding : {"valid", "same"}
    output_padding : int or sequence of int, optional
        Extra size at the end of each axis; default: what makes the output ``strides`` times the input.
    data_format, dilation_rate
        As in ``conv``.

    Returns
    -------
    tensor, shape (N, *out, filters) or (N, filters, *out)

    References
    ----------
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.reshape(keras.ops.convert_to_tensor([1.0, 2.0]), (1, 2, 1))
    >>> keras.ops.conv_transpose(x, keras.ops.ones((2, 1, 1)), strides=2).numpy().ravel()
    array([1., 1., 2., 2.], dtype=float32)
    """
    return transposed_convolution(
        inputs, kernel, None, strides=_plain(strides), padding=padding.lower(),
        output_padding=_plain(output_padding), data_format=config.standardize_data_format(data_format),
        dilation_rate=_plain(dilation_rate),
    )


def with_shape(value):
    """Turn nested lists into a tensor; leave whatever has a shape already."""
    return value if hasattr(value, "shape") else Tensor(to_array(value))


def _plain(value):
    """Make settings hashable and comparable: sequences become tuples."""
    return tuple(value) if isinstance(value, (list, tuple)) else value


# ---- the ops ---------------------------------------------------------------------------------------------
@op(shape=window_shapes.convolution, tensors=3, bfloat16="kernels")
def convolution(
    inputs, kernel, bias=None, strides=1, padding="valid", data_format="channels_last", dilation_rate=1,
    groups=1, activation=None,
):
    """Convolve, add a bias and apply an activation, in one step.

    Parameters
    ----------
    inputs, kernel, strides, padding, data_format, dilation_rate
        As in ``conv``.
    bias : tensor, shape (filters,), optional
    groups : int
        Into how many independent convolutions the channels are split.
    activation : {None, "relu", "tanh", "sigmoid"}

    Returns
    -------
    tensor, shape (N, *out, filters) or (N, filters, *out)
    """
    return fused(inputs, kernel, bias, strides, padding, data_format, dilation_rate, groups, activation)


def fused(
    inputs, kernel, bias, strides, padding, data_format, dilation_rate, groups, activation, kernel_shape=None,
):
    """Return outputs and ``vjp`` of a convolution with bias and activation; for ops.

    ``kernel_shape`` is the kernel's shape (*window, channels // groups, filters) where it has another.
    """
    _check_activation(activation, "convolution")
    shape = kernel.shape if kernel_shape is None else kernel_shape
    window_shapes.convolution(  # for its errors
        inputs.shape, shape, None if bias is None else bias.shape, strides, padding, data_format,
        dilation_rate, groups,
    )
    backend = inputs.backend
    x, w, b = _promote(inputs, kernel, bias)
    x, w = _channels_last(x, data_format), w.reshape(shape)
    windows = _windows(x.shape, shape, strides, padding, dilation_rate)
    y = backend.conv_forward(x, w, windows, groups, b, activation)
    wanted = [autograd.is_tracked(t) for t in (inputs, kernel, bias)]

    def vjp(dy):
        if autograd.recording():
            return _by_ops(dy)
        dz, dx = _channels_last(_array(dy, y.dtype), data_format), None
        if wanted[1] and not wanted[0]:
            dw, db = backend.conv_backward_first(x, dz, y, windows, groups, activation, wanted[2])
        else:
            dz, db = backend.conv_backward_output(dz, y, activation, wanted[2])
            if wanted[0]:
                dx = _channels_back(backend.conv_backward_data(dz, w, windows, groups), data_format)
            dw = backend.conv_backward_kernel(x, dz, windows, groups) if wanted[1] else None
        dw = None if dw is None else dw.reshape(kernel.shape)
        return _like(dx, inputs), _like(dw, kernel), _like(db, bias)

    def _by_ops(dy):
        """Do the same with ops, to be differentiated again."""
        settings = dict(windows=windows, data_format=data_format, groups=groups)
        laid = _reshaped(kernel, shape)
        dz = dy
        if activation is not None:
            z = _with_bias(_convolve(inputs, laid, **settings), bias, data_format)
            dz = _through_activation(dy, activation, z)
        dx = convolution_data(dz, laid, **settings) if wanted[0] else None
        dw = _reshaped(convolution_kernel(inputs, dz, **settings), kernel.shape) if wanted[1] else None
        db = _sum_positions(dz, data_format) if wanted[2] else None
        return tuple(_cast(d, t) for d, t in zip((dx, dw, db), (inputs, kernel, bias)))

    return _channels_back(y, data_format), vjp


def _data_shape(dy, kernel, windows, data_format="channels_last", groups=1):
    return window_shapes.join_format(dy[0], windows.size, kernel[-2] * groups, data_format)


@op(shape=_data_shape, tensors=2, bfloat16="kernels")
def convolution_data(dy, kernel, windows, data_format="channels_last", groups=1):
    """Return the gradient of a convolution's inputs, given that of its outputs."""
    d, w = _promote(dy, kernel)
    d = _channels_last(d, data_format)
    dx = dy.backend.conv_backward_data(d, w, windows, groups)

    def vjp(v):
        settings = dict(windows=windows, data_format=data_format, groups=groups)
        return (
            _cast(_convolve(v, kernel, **settings), dy) if tracked[0] else None,
            _cast(convolution_kernel(v, dy, **settings), kernel) if tracked[1] else None,
        )

    tracked = autograd.is_tracked(dy), autograd.is_tracked(kernel)
    return _channels_back(dx, data_format), vjp


def _kernel_shape(x, dy, windows, data_format="channels_last", groups=1):
    channels, filters = (window_shapes.split_format(s, data_format)[1] for s in (x, dy))
    return (*windows.window, channels // groups, filters)


@op(shape=_kernel_shape, tensors=2, bfloat16="kernels")
def convolution_kernel(inputs, dy, windows, data_format="channels_last", groups=1):
    """Return the gradient of a convolution's kernel, given that of its outputs."""
    x, d = _promote(inputs, dy)
    dw = inputs.backend.conv_backward_kernel(
        _channels_last(x, data_format), _channels_last(d, data_format), windows, groups
    )

    def vjp(v):
        settings = dict(windows=windows, data_format=data_format, groups=groups)
        return (
            _cast(convolution_data(dy, v, **settings), inputs) if tracked[0] else None,
            _cast(_convolve(inputs, v, **settings), dy) if tracked[1] else None,
        )

    tracked = autograd.is_tracked(inputs), autograd.is_tracked(dy)
    return dw, vjp


def _windows_shape(x, kernel, windows, data_format="channels_last", groups=1):
    return window_shapes.join_format(x[0], windows.out, kernel[-1], data_format)


@op(shape=_windows_shape, tensors=2, bfloat16="kernels")
def _convolve(inputs, kernel, windows, data_format="channels_last", groups=1):
    """Convolve over windows that are laid already."""
    x, w = _promote(inputs, kernel)
    y = inputs.backend.conv_forward(_channels_last(x, data_format), w, windows, groups)

    def vjp(dy):
        settings = dict(windows=windows, data_format=data_format, groups=groups)
        return (
            _cast(convolution_data(dy, kernel, **settings), inputs) if tracked[0] else None,
            _cast(convolution_kernel(inputs, dy, **settings), kernel) if tracked[1] else None,
        )

    tracked = autograd.is_tracked(inputs), autograd.is_tracked(kernel)
    return _channels_back(y, data_format), vjp


@op(shape=window_shapes.transposed_convolution, tensors=3, bfloat16="kernels")
def transposed_convolution(
    inputs, kernel, bias=None, strides=1, padding="valid", output_padding=None, data_format="channels_last",
    dilation_rate=1, activation=None,
):
    """Convolve transposed, add a bias and apply an activation, in one step.

    Parameters
    ----------
    inputs, kernel, strides, padding, output_padding, data_format, dilation_rate
        As in ``conv_transpose``.
    bias : tensor, shape (filters,), optional
    activation : {None, "relu", "tanh", "sigmoid"}

    Returns
    -------
    tensor, shape (N, *out, filters) or (N, filters, *out)
    """
    _check_activation(activation, "transposed convolution")
    window_shapes.transposed_convolution(  # for its errors
        inputs.shape, kernel.shape, None if bias is None else bias.shape, strides, padding, output_padding,
        data_format, dilation_rate,
    )
    backend = inputs.backend
    x, w, b = _promote(inputs, kernel, bias)
    x = _channels_last(x, data_format)
    windows = window_shapes.transposed_windows(
        x.shape[1:-1], w.shape[:-2], strides, padding, output_padding, dilation_rate
    )
    y = backend.conv_backward_data(x, w, windows, 1, b, activation)
    wanted = [autograd.is_tracked(t) for t in (inputs, kernel, bias)]

    def vjp(dy):
        if autograd.recording():
            return _by_ops(dy)
        dz = _channels_last(_array(dy, y.dtype), data_format)
        dz, db = backend.conv_backward_output(dz, y, activation, wanted[2])
        dx, dw = backend.conv_backward_transposed(x, dz, w, windows, wanted[0], wanted[1])
        dx = None if dx is None else _channels_back(dx, data_format)
        return _like(dx, inputs), _like(dw, kernel), _like(db, bias)

    def _by_ops(dy):
        """Do the same with ops, to be differentiated again."""
        settings = dict(windows=windows, data_format=data_format)
        dz = dy
        if activation is not None:
            z = _with_bias(convolution_data(inputs, kernel, **settings), bias, data_format)
            dz = _through_activation(dy, activation, z)
        dx = _convolve(dz, kernel, **settings) if wanted[0] else None
        dw = convolution_kernel(dz, inputs, **settings) if wanted[1] else None
        db = _sum_positions(dz, data_format) if wanted[2] else None
        return tuple(_cast(d, t) for d, t in zip((dx, dw, db), (inputs, kernel, bias)))

    return _channels_back(y, data_format), vjp


# ---- small tools ---------------------------------------------------------------------------------------
def _promote(*tensors):
    """Return the arrays in their common dtype."""
    kind = dtypes.result_type(*(t.array.dtype for t in tensors if t is not None))
    return [None if t is None else t.array.astype(kind, copy=False) for t in tensors]


def _windows(x_shape, kernel_shape, strides, padding, dilation_rate) -> window_shapes.Windows:
    """Lay the windows of a convolution of channels-last inputs."""
    rank = len(x_shape) - 2
    return window_shapes.windows(
        x_shape[1:-1], kernel_shape[:-2], window_shapes.per_axis(strides, rank, "strides"), padding,
        window_shapes.per_axis(dilation_rate, rank, "dilation_rate"), "convolution",
    )


def _check_activation(activation, what: str) -> None:
    if activation not in FUSED_ACTIVATIONS:
        raise ValueError(f"{what}: activation must be one of {FUSED_ACTIVATIONS}, came {activation!r}")


def _array(tensor: Tensor, dtype):
    return tensor.array.astype(dtype, copy=False)


def _channels_last(array, data_format: str):
    """Return a view with the channels at the end, as backends want them."""
    if data_format == "channels_last":
        return array
    return array.transpose(0, *range(2, array.ndim), 1)


def _channels_back(array, data_format: str):
    if data_format == "channels_last":
        return array
    return array.transpose(0, array.ndim - 1, *range(1, array.ndim - 1))


def _like(gradient, tensor):
    """Give a gradient array the dtype of the tensor it belongs to."""
    return None if gradient is None else gradient.astype(tensor.array.dtype, copy=False)


def _cast(gradient, tensor):
    """Give a gradient tensor the dtype of the tensor it belongs to."""
    from gpukeras import ops

    if gradient is None or gradient.dtype == tensor.dtype:
        return gradient
    return ops.cast(gradient, tensor.dtype)


def _reshaped(tensor, shape):
    """Return a tensor in another shape."""
    from gpukeras import ops

    return tensor if tuple(tensor.shape) == tuple(shape) else ops.reshape(tensor, shape)


def _with_bias(z, bias, data_format: str):
    """Return ``z`` plus one number for each channel."""
    if bias is None:
        return z
    shape = [1] * z.ndim
    shape[-1 if data_format == "channels_last" else 1] = -1
    return z + _cast(_reshaped(bias, tuple(shape)), z)


def _sum_positions(dy, data_format: str):
    """Return the gradient of a bias."""
    from gpukeras import ops

    channel = dy.ndim - 1 if data_format == "channels_last" else 1
    return ops.sum(dy, axis=tuple(i for i in range(dy.ndim) if i != channel))


def _through_activation(dy, activation: str, z):
    """Return ``dy`` times the derivative of the activation at ``z``, by ops, to be differentiated again."""
    from gpukeras import ops

    if activation == "relu":
        return dy * ops.cast(z > 0, dy.dtype)
    if activation == "tanh":
        y = ops.tanh(z)
        return dy * (1 - y * y)
    y = ops.sigmoid(z)
    return dy * (y * (1 - y))
