"""LSTM, GRU and simple RNN over all time steps: one node on the tape each."""

from __future__ import annotations

import functools

from gpukeras import autograd, dtypes
from gpukeras.backends import recurrent_gates, shapes
from gpukeras.op import op
from gpukeras.tensor import Tensor

ACTIVATIONS = tuple(recurrent_gates.ACTIVATIONS)  # names the fused steps know


def _lstm_shapes(x, h, c, kernel, recurrent_kernel, bias=None, mask=None, *drops, return_sequences=True,
                 **settings):
    return shapes.recurrent("lstm", 4, x, (h, c), kernel, recurrent_kernel, bias, lambda n: (n,), mask,
                            return_sequences)


def _gru_shapes(x, h, kernel, recurrent_kernel, bias=None, mask=None, *drops, reset_after=True,
                return_sequences=True, **settings):
    return shapes.recurrent("gru", 3, x, (h,), kernel, recurrent_kernel, bias,
                            (lambda n: (2, n)) if reset_after else (lambda n: (n,)), mask, return_sequences)


def _simple_rnn_shapes(x, h, kernel, recurrent_kernel, bias=None, mask=None, *drops, return_sequences=True,
                       **settings):
    return shapes.recurrent("simple_rnn", 1, x, (h,), kernel, recurrent_kernel, bias, lambda n: (n,), mask,
                            return_sequences)


def _float(*kinds, **settings):
    return dtypes.float_type(dtypes.result_type(*(k for k in kinds if k is not None))).name


@op(shape=_lstm_shapes, dtype=_float, tensors=9)
def lstm(
    x, initial_h, initial_c, kernel, recurrent_kernel, bias=None, mask=None, dropout_mask=None,
    recurrent_dropout_mask=None, *, go_backwards=False, activation="tanh", recurrent_activation="sigmoid",
    return_sequences=True, zero_output_for_mask=False,
):
    """Run a long short-term memory over all steps of a sequence.

    Parameters
    ----------
    x : tensor, shape (N, T, D)
    initial_h, initial_c : tensor, shape (N, U), or None
        State before the first step; ``None``: zeros.
    kernel : tensor, shape (D, 4 * U)
        Columns in the order i, f, c, o, here and below.
    recurrent_kernel : tensor, shape (U, 4 * U)
    bias : tensor, shape (4 * U,), optional
    mask : tensor of bool, shape (N, T), optional
        Steps that are ``False`` keep the state and repeat the last output (zeros before the first valid
        step).
    dropout_mask : tensor, shape (N, D) or (4, N, D), optional
        Factors for ``x`` at every step: one for all gates, or one per gate.
    recurrent_dropout_mask : tensor, shape (N, U) or (4, N, U), optional
        Factors for h where it meets ``recurrent_kernel``.
    go_backwards : bool
        Read the steps from last to first; the output sequence is in the order of reading.
    activation, recurrent_activation : str
        One of ``ACTIVATIONS`` of this module.
    return_sequences : bool
        Whether the first result is the sequence of outputs or the last one.
    zero_output_for_mask : bool
        Put zeros in the output (not the state) where ``mask`` is ``False``.

    Returns
    -------
    output : tensor, shape (N, T, U) or (N, U)
    h, c : tensor, shape (N, U)
        State after the last step.

    Raises
    ------
    ValueError
        For shapes that do not fit, or an unknown activation.
    NotImplementedError
        When a gradient of the gradient is asked for: ``unroll=True`` of the layer has one.

    Notes
    -----
    With s the recurrent activation and a the activation::

        i, f, o = s(x W + h U + b) of their columns,  g = a(x W + h U + b) of c's
        c' = f * c + i * g,  h' = o * a(c')

    Inside, sigmoid is tanh(x / 2) / 2 + 1 / 2 with the halving folded into the weights, so that one tanh
    serves all gates.

    References
    ----------
    Hochreiter, Schmidhuber: Long Short-Term Memory, 1997, doi:10.1162/neco.1997.9.8.1735

    Examples
    --------
    >>> import numpy as np
    >>> x = np.ones((2, 5, 3), "float32")
    >>> kernel, recurrent = np.zeros((3, 16), "float32"), np.zeros((4, 16), "float32")
    >>> y, h, c = lstm(x, None, None, kernel, recurrent)
    >>> y.shape, h.shape, c.shape
    ((2, 5, 4), (2, 4), (2, 4))
    """
    settings = _settings("lstm", activation, recurrent_activation)
    settings |= {"go_backwards": go_backwards, "return_sequences": return_sequences,
                 "zero_output_for_mask": zero_output_for_mask}
    inputs = (x, initial_h, initial_c, kernel, recurrent_kernel, bias)
    return _run("lstm", _lstm_shapes, inputs, (mask, dropout_mask, recurrent_dropout_mask), settings)


@op(shape=_gru_shapes, dtype=_float, tensors=8)
def gru(
    x, initial_h, kernel, recurrent_kernel, bias=None, mask=None, dropout_mask=None,
    recurrent_dropout_mask=None, *, go_backwards=False, activation="tanh", recurrent_activation="sigmoid",
    reset_after=True, return_sequences=True, zero_output_for_mask=False,
):
    """Run gated recurrent units over all steps of a sequence.

    Parameters
    ----------
    x : tensor, shape (N, T, D)
    initial_h : tensor, shape (N, U), or None
        State before the first step; ``None``: zeros.
    kernel : tensor, shape (D, 3 * U)
        Columns in the order z, r, h, here and below.
    recurrent_kernel : tensor, shape (U, 3 * U)
    bias : tensor, optional
        Shape (2, 3 * U) with ``reset_after`` (input bias, recurrent bias), else (3 * U,).
    mask : tensor of bool, shape (N, T), optional
        Steps that are ``False`` keep the state and repeat the last output (zeros before the first valid
        step).
    dropout_mask : tensor, shape (N, D) or (3, N, D), optional
        Factors for ``x`` at every step: one for all gates, or one per gate.
    recurrent_dropout_mask : tensor, shape (N, U) or (3, N, U), optional
        Factors for h (r * h without ``reset_after``) where it meets ``recurrent_kernel``.
    reset_after : bool
        Apply the reset gate to the product h U (as CUDA libraries do) instead of to h.
    go_backwards, activation, recurrent_activation, return_sequences, zero_output_for_mask
        As in ``lstm``.

    Returns
    -------
    output : tensor, shape (N, T, U) or (N, U)
    h : tensor, shape (N, U)
        State after the last step.

    Raises
    ------
    ValueError
        For shapes that do not fit, or an unknown activation.
    NotImplementedError
        When a gradient of the gradient is asked for: ``unroll=True`` of the layer has one.

    Notes
    -----
    With s the recurrent activation and a the activation::

        z, r = s(x W + h U + b) of their columns
        n = a(x W + b + r * (h U + b'))   or, without reset_after,   a(x W + (r * h) U + b)
        h' = z * h + (1 - z) * n

    References
    ----------
    Cho et al.: Learning Phrase Representations using RNN Encoder-Decoder, arXiv:1406.1078

    Examples
    --------
    >>> import numpy as np
    >>> x = np.ones((2, 5, 3), "float32")
    >>> y, h = gru(x, None, np.zeros((3, 12), "float32"), np.zeros((4, 12), "float32"))
    >>> y.shape, h.shape
    ((2, 5, 4), (2, 4))
    """
    settings = _settings("gru", activation, recurrent_activation)
    settings |= {"go_backwards": go_backwards, "return_sequences": return_sequences,
                 "zero_output_for_mask": zero_output_for_mask, "reset_after": reset_after}
    inputs = (x, initial_h, kernel, recurrent_kernel, bias)
    return _run("gru", _gru_shapes, inputs, (mask, dropout_mask, recurrent_dropout_mask), settings)


@op(shape=_simple_rnn_shapes, dtype=_float, tensors=8)
def simple_rnn(
    x, initial_h, kernel, recurrent_kernel, bias=None, mask=None, dropout_mask=None,
    recurrent_dropout_mask=None, *, go_backwards=False, activation="tanh", return_sequences=True,
    zero_output_for_mask=False,
):
    """Run a fully connected recurrent layer over all steps of a sequence.

    Parameters
    ----------
    x : tensor, shape (N, T, D)
    initial_h : tensor, shape (N, U), or None
        State before the first step; ``None``: zeros.
    kernel : tensor, shape (D, U)
    recurrent_kernel : tensor, shape (U, U)
    bias : tensor, shape (U,), optional
    mask : tensor of bool, shape (N, T), optional
        Steps that are ``False`` keep the state and repeat the last output (zeros before the first valid
        step).
    dropout_mask : tensor, shape (N, D), optional
        Factors for ``x`` at every step.
    recurrent_dropout_mask : tensor, shape (N, U), optional
        Factors for h where it meets ``recurrent_kernel``.
    go_backwards, activation, return_sequences, zero_output_for_mask
        As in ``lstm``.

    Returns
    -------
    output : tensor, shape (N, T, U) or (N, U)
    h : tensor, shape (N, U)
        State after the last step.

    Raises
    ------
    ValueError
        For shapes that do not fit, or an unknown activation.
    NotImplementedError
        When a gradient of the gradient is asked for: ``unroll=True`` of the layer has one.

    Notes
    -----
    h' = activation(x W + h U + b).

    Examples
    --------
    >>> import numpy as np
    >>> x = np.ones((2, 5, 3), "float32")
    >>> y, h = simple_rnn(x, None, np.zeros((3, 4), "float32"), np.zeros((4, 4), "float32"))
    >>> y.shape, h.shape
    ((2, 5, 4), (2, 4))
    """
    settings = _settings("simple_rnn", activation)
    settings |= {"go_backwards": go_backwards, "return_sequences": return_sequences,
                 "zero_output_for_mask": zero_output_for_mask}
    inputs = (x, initial_h, kernel, recurrent_kernel, bias)
    masks = (mask, dropout_mask, recurrent_dropout_mask)
    return _run("simple_rnn", _simple_rnn_shapes, inputs, masks, settings)


# ---- shared ---------------------------------------------------------------------------------------
def _settings(name: str, activation: str, recurrent_activation: str | None = None) -> dict:
    found = {"activation": activation}
    if recurrent_activation is not None:
        found["recurrent_activation"] = recurrent_activation
    for argument, value in found.items():
        if value not in recurrent_gates.ACTIVATIONS:
            raise ValueError(
                f"{name}: {argument} must be one of {', '.join(ACTIVATIONS)}, came {value!r}; for any other "
                "function use the layer, or RNN around a cell"
            )
    return found


def _run(name: str, shape_rule, inputs, masks, settings):
    """Call the backend and return (outputs, vjp): dtypes, which gradients are wanted, first order only."""
    mask, drop, recurrent_drop = masks
    shape_rule(*(None if t is None else t.shape for t in (*inputs, *masks)), **settings)
    backend = inputs[0].backend
    dtype = dtypes.float_type(dtypes.result_type(*(t.dtype for t in inputs if t is not None)))
    inner = dtypes.wide(dtype)  # sums over many steps, and no half GEMM on a CPU
    cast = functools.partial(_cast, dtype=inner)
    wants = [autograd.is_tracked(t) for t in inputs] if autograd.recording() else [False] * len(inputs)
    *outputs, run = getattr(backend, f"{name}_forward")(
        *map(cast, inputs), mask=_cast(mask, "bool"), drop=cast(drop), recurrent_drop=cast(recurrent_drop),
        keep=any(wants), **settings,
    )
    outputs = tuple(y.astype(dtype, copy=False) for y in outputs)
    if run is None:
        return outputs, None
    wanted = [t if want else None for t, want in zip(inputs, wants)]

    def vjp(dys):
        grads = getattr(backend, f"{name}_backward")(run, *map(cast, dys), wants)
        grads = [
            None if t is None else Tensor(g.astype(t.dtype, copy=False)) for t, g in zip(wanted, grads)
        ]
        if autograd.recording():
            _refuse_second_order(name, [*inputs, *dys], [g for g in grads if g is not None])
        return (*grads, None, None, None)

    return outputs, vjp


def _cast(tensor, dtype):
    return None if tensor is None else tensor.array.astype(dtype, copy=False)


def _refuse_second_order(name: str, inputs, grads) -> None:
    """Record the gradients as what they are: results that cannot be differentiated again."""

    def vjp(dys):
        raise NotImplementedError(
            f"the fused {name} has no second-order gradient; use the layer with unroll=True (or RNN around a "
            "custom cell), which runs step by step on ops that have one"
        )

    autograd.record(f"{name}_gradient", inputs, grads, vjp)
