"""ConvLSTM over all time steps: one node on the tape."""

from __future__ import annotations

import functools

from gpukeras import autograd, dtypes
from gpukeras.backends import window_shapes
from gpukeras.op import op
from gpukeras.ops.recurrent import _cast, _float, _refuse_second_order, _settings
from gpukeras.tensor import Tensor


def conv_lstm_shapes(
    x, h, c, kernel, recurrent_kernel, bias=None, mask=None, *drops, strides=1, padding="valid",
    data_format="channels_last", dilation_rate=1, return_sequences=True, **settings,
):
    """Shape rule of ``conv_lstm``; wrong shapes raise naming the argument."""
    if not 4 <= len(x) <= 6:
        raise ValueError(
            "conv_lstm: x must have a batch, a time, one to three spatial axes and a channel axis, came "
            f"{tuple(x)}"
        )
    step = (x[0], *x[2:])
    out = window_shapes.convolution(step, kernel, bias, strides, padding, data_format, dilation_rate)
    sizes, columns = window_shapes.split_format(out, data_format)
    if columns is None or columns % 4 or tuple(recurrent_kernel[-2:]) != (columns // 4, columns):
        raise ValueError(
            "conv_lstm: kernel must have shape (*window, channels, 4 * filters) and recurrent_kernel "
            f"(*window, filters, 4 * filters), came {tuple(kernel)} and {tuple(recurrent_kernel)}"
        )
    state = window_shapes.join_format(x[0], sizes, columns // 4, data_format)
    expected = {"initial_h": (h, state), "initial_c": (c, state), "mask": (mask, tuple(x[:2]))}
    for what, (shape, wanted) in expected.items():
        fits = shape is None or len(shape) == len(wanted) and all(
            n == m or n is None or m is None for n, m in zip(shape, wanted)
        )
        if not fits:
            raise ValueError(f"conv_lstm: {what} must have shape {wanted}, came {tuple(shape)}")
    return [(state[0], x[1], *state[1:]) if return_sequences else state, state, state]


@op(shape=conv_lstm_shapes, dtype=_float, tensors=9)
def conv_lstm(
    x, initial_h, initial_c, kernel, recurrent_kernel, bias=None, mask=None, dropout_mask=None,
    recurrent_dropout_mask=None, *, strides=1, padding="valid", data_format="channels_last", dilation_rate=1,
    go_backwards=False, activation="tanh", recurrent_activation="sigmoid", return_sequences=True,
    zero_output_for_mask=False,
):
    """Run a convolutional LSTM over all steps of a sequence of signals, images or volumes.

    Parameters
    ----------
    x : tensor, shape (N, T, *size, C) or (N, T, C, *size)
        One to three spatial axes.
    initial_h, initial_c : tensor, shape (N, *out, F) or (N, F, *out), or None
        State before the first step; ``None``: zeros.
    kernel : tensor, shape (*window, C, 4 * F)
        Filters in the order i, f, c, o, here and below.
    recurrent_kernel : tensor, shape (*window, F, 4 * F)
        Convolves the state with strides of one and ``"same"`` padding.
    bias : tensor, shape (4 * F,), optional
    mask : tensor of bool, shape (N, T), optional
        Steps that are ``False`` keep the state and repeat the last output (zeros before the first valid
        step).
    dropout_mask : tensor, shaped like one step of ``x``, or (4, ...), optional
        Factors for ``x`` at every step: one for all gates, or one per gate.
    recurrent_dropout_mask : tensor, shaped like a state, or (4, ...), optional
        Factors for h where it meets ``recurrent_kernel``.
    strides, padding, data_format, dilation_rate
        Of the convolution of the inputs; as in ``conv``.
    go_backwards : bool
        Read the steps from last to first; the output sequence is in the order of reading.
    activation, recurrent_activation : str
        One of the names that ``lstm`` takes.
    return_sequences : bool
        Whether the first result is the sequence of outputs or the last one.
    zero_output_for_mask : bool
        Put zeros in the output (not the state) where ``mask`` is ``False``.

    Returns
    -------
    output : tensor, shape (N, T, *out, F) or (N, *out, F)
    h, c : tensor, shape (N, *out, F)
        State after the last step.

    Raises
    ------
    ValueError
        For shapes that do not fit, or an unknown activation.
    NotImplementedError
        When a gradient of the gradient is asked for: ``unroll=True`` of the layer has one.

    Notes
    -----
    The formula of ``lstm``, with convolutions in place of the products x W and h U.

    References
    ----------
    Shi et al.: Convolutional LSTM Network: A Machine Learning Approach for Precipitation Nowcasting,
    arXiv:1506.04214

    Examples
    --------
    >>> import numpy as np
    >>> x = np.ones((2, 5, 8, 8, 3), "float32")
    >>> kernel, recurrent = np.zeros((3, 3, 3, 16), "float32"), np.zeros((3, 3, 4, 16), "float32")
    >>> y, h, c = conv_lstm(x, None, None, kernel, recurrent)
    >>> y.shape, h.shape, c.shape
    ((2, 5, 6, 6, 4), (2, 6, 6, 4), (2, 6, 6, 4))
    """
    geometry = {"strides": strides, "padding": padding, "data_format": data_format,
                "dilation_rate": dilation_rate}
    inputs = (x, initial_h, initial_c, kernel, recurrent_kernel, bias)
    masks = (mask, dropout_mask, recurrent_dropout_mask)
    conv_lstm_shapes(*(None if t is None else t.shape for t in (*inputs, *masks)), **geometry)
    settings = _settings("conv_lstm", activation, recurrent_activation)
    settings |= {"go_backwards": go_backwards, "return_sequences": return_sequences,
                 "zero_output_for_mask": zero_output_for_mask}
    return _run(inputs, masks, geometry, settings)


def _run(inputs, masks, geometry, settings):
    """Call the backend and return (outputs, vjp): dtypes, formats, which gradients are wanted."""
    x, _, _, kernel, *_ = inputs
    mask, drop, recurrent_drop = masks
    data_format, backend, rank = geometry["data_format"], x.backend, len(x.shape) - 3
    dtype = dtypes.float_type(dtypes.result_type(*(t.dtype for t in inputs if t is not None)))
    inner = dtypes.wide(dtype)  # sums over many steps
    enter = functools.partial(_enter, dtype=inner, rank=rank, data_format=data_format)
    wants = [autograd.is_tracked(t) for t in inputs] if autograd.recording() else [False] * len(inputs)
    images = [enter(t) for t in inputs[:3]]
    strides, dilation = (
        window_shapes.per_axis(geometry[name], rank, name) for name in ("strides", "dilation_rate")
    )
    windows = window_shapes.windows(
        images[0].shape[2:-1], kernel.shape[:-2], strides, geometry["padding"], dilation, "conv_lstm"
    )
    *outputs, run = backend.conv_lstm_forward(
        *images, *(_cast(t, inner) for t in inputs[3:]), windows=windows, mask=_cast(mask, "bool"),
        drop=enter(drop), recurrent_drop=enter(recurrent_drop), keep=any(wants), **settings,
    )
    outputs = tuple(_leave(y, dtype, rank, data_format) for y in outputs)
    if run is None:
        return outputs, None
    wanted = [t if want else None for t, want in zip(inputs, wants)]

    def vjp(dys):
        found = backend.conv_lstm_backward(run, *map(enter, dys), wants)
        grads = []
        for i, (t, g) in enumerate(zip(wanted, found)):
            if t is not None:
                g = _leave(g, t.dtype, rank, data_format if i < 3 else "channels_last")
            grads.append(None if t is None else Tensor(g))
        if autograd.recording():
            _refuse_second_order("conv_lstm", [*inputs, *dys], [g for g in grads if g is not None])
        return (*grads, None, None, None)

    return outputs, vjp


def _enter(tensor, dtype, rank: int, data_format: str):
    """Return the array as backends take it: of their dtype, channels last."""
    if tensor is None:
        return None
    array = tensor.array.astype(dtype, copy=False)
    if data_format == "channels_last":
        return array
    place = array.ndim - rank - 1  # axes in front may be those of steps or of gates
    return array.transpose(*range(place), *range(place + 1, array.ndim), place)


def _leave(array, dtype, rank: int, data_format: str):
    """Return an array from a backend in its format and dtype."""
    array = array.astype(dtype, copy=False)
    if data_format == "channels_last":
        return array
    last = array.ndim - 1
    return array.transpose(*range(last - rank), last, *range(last - rank, last))
