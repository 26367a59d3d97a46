"""CuDNNGRU and CuDNNLSTM of Keras 2: GRU and LSTM whose weights lie as NVIDIA's library wants them.

That library multiplies from the other side: what Keras kept as the input kernel of a gate, (D, U), it reads
as (U, D). So the numbers in files of that time are those of ``GRU`` and ``LSTM`` in another order, which
``plain_weights`` and ``cudnn_weights`` translate.
"""

from __future__ import annotations

import numpy as np

from gpukeras import ops
from gpukeras.layers.recurrent_cells import GRUCell, LSTMCell, with_forget_bias
from gpukeras.layers.recurrent_fused import _Fused, _of_cell

_WRITTEN = (
    "units", "kernel_initializer", "recurrent_initializer", "bias_initializer", "unit_forget_bias",
    "kernel_regularizer", "recurrent_regularizer", "bias_regularizer", "kernel_constraint",
    "recurrent_constraint", "bias_constraint",
)


def plain_weights(weights) -> list[np.ndarray]:
    """Return the weights of ``LSTM`` or ``GRU(reset_after=True)`` for those of a CuDNN layer.

    Parameters
    ----------
    weights : list of arrays
        Kernel (D, G * U), recurrent kernel (U, G * U), bias (2 * G * U,).

    Returns
    -------
    list of arrays

    Examples
    --------
    >>> import numpy as np
    >>> [w.shape for w in plain_weights([np.ones((3, 16)), np.ones((4, 16)), np.ones(32)])]
    [(3, 16), (4, 16), (16,)]
    """
    kernel, recurrent, bias = map(np.asarray, weights)
    gates = _count_gates(kernel, recurrent, bias)
    bias = bias.reshape(2, -1)
    return [_turned(np, w, gates, False) for w in (kernel, recurrent)] + [
        bias.sum(axis=0) if gates == 4 else bias
    ]


def cudnn_weights(weights) -> list[np.ndarray]:
    """Return the weights of a CuDNN layer for those of ``LSTM`` or ``GRU(reset_after=True)``.

    An LSTM's bias is divided evenly between input and state.

    Examples
    --------
    >>> import numpy as np
    >>> weights = [np.ones((3, 12)), np.ones((4, 12)), np.ones((2, 12))]
    >>> [w.shape for w in cudnn_weights(weights)]
    [(3, 12), (4, 12), (24,)]
    """
    kernel, recurrent, bias = map(np.asarray, weights)
    gates = 4 if bias.ndim == 1 else 3
    bias = np.tile(0.5 * bias, 2).astype(bias.dtype) if gates == 4 else bias.reshape(-1)
    return [_turned(np, w, gates, True) for w in (kernel, recurrent)] + [bias]


def _count_gates(kernel, recurrent, bias) -> int:
    gates = recurrent.shape[1] // max(1, len(recurrent))
    if gates not in (3, 4) or bias.shape != (2 * recurrent.shape[1],):
        raise ValueError(
            "weights of a CuDNN layer are a kernel (D, G * U), a recurrent kernel (U, G * U) and a bias "
            f"(2 * G * U,), of 3 or 4 gates; came {kernel.shape}, {recurrent.shape}, {bias.shape}"
        )
    return gates


def _turned(xp, weights, gates: int, to_cudnn: bool):
    """Return the kernel (D, G * U) with the numbers of each gate (D, U) in the order of (U, D), or back."""
    inner, width = weights.shape
    units = width // gates
    each = xp.transpose(xp.reshape(weights, (inner, gates, units)), (1, 0, 2))  # (G, D, U)
    if to_cudnn:
        each = xp.reshape(xp.transpose(each, (0, 2, 1)), (gates, inner, units))
    else:
        each = xp.transpose(xp.reshape(each, (gates, units, inner)), (0, 2, 1))
    return xp.reshape(xp.transpose(each, (1, 0, 2)), (inner, width))


def _step_weights(cell) -> tuple:
    """Return the weights of a CuDNN cell as those of ``GRUCell`` or ``LSTMCell``."""
    kernel, recurrent = (_turned(ops, w, cell.gates, False) for w in (cell.kernel, cell.recurrent_kernel))
    bias = ops.reshape(cell.bias, (2, -1))
    return kernel, recurrent, ops.sum(bias, axis=0) if cell.gates == 4 else bias


class _CuDNNGRUCell(GRUCell):
    """Weights: bias of the inputs, then of the state; gates z, r, h."""

    def _bias_shape(self, width):
        return (2 * width,)

    def step_weights(self):
        return _step_weights(self)


class _CuDNNLSTMCell(LSTMCell):
    """Weights: bias of the inputs, then of the state; gates i, f, c, o."""

    def _bias_shape(self, width):
        return (2 * width,)

    def _first_bias(self):
        return with_forget_bias(self, 5, 2)  # the ones are in that of the state

    def step_weights(self):
        return _step_weights(self)


class _CuDNN(_Fused):
    def get_config(self):
        config = super().get_config()
        hidden = set(self.cell.get_config()) - set(_WRITTEN) - {"name", "trainable", "dtype"}
        return {k: v for k, v in config.items() if k not in hidden}


class CuDNNGRU(_CuDNN):
    """The GRU that Keras 2 ran on NVIDIA's library; here it runs on any device.

    It is ``GRU(reset_after=True)`` with its weights in another order: ``recurrent_cudnn.plain_weights``
    translates them.

    Parameters
    ----------
    units : int
        Size of the state and of each output.
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str or Regularizer, optional
    activity_regularizer : str or Regularizer, optional
    kernel_constraint, recurrent_constraint, bias_constraint : str or Constraint, optional
    return_sequences, return_state, go_backwards, stateful, **kwargs
        As in ``RNN``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.CuDNNGRU(4)
    >>> layer(keras.ops.ones((2, 5, 3))).shape, layer.weights[2].shape
    ((2, 4), (24,))
    """

    op = staticmethod(ops.gru)
    cell_class = GRUCell

    def __init__(
        self, units, kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal",
        bias_initializer="zeros", kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None,
        activity_regularizer=None, kernel_constraint=None, recurrent_constraint=None, bias_constraint=None,
        return_sequences=False, return_state=False, go_backwards=False, stateful=False, **kwargs,
    ):
        cell = _CuDNNGRUCell(
            units, kernel_initializer=kernel_initializer, recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer, bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint, recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint, name="cudnn_gru_cell", dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True), activation="tanh", recurrent_activation="sigmoid",
            reset_after=True,
        )
        super().__init__(
            cell, return_sequences=return_sequences, return_state=return_state, go_backwards=go_backwards,
            stateful=stateful, activity_regularizer=activity_regularizer, **kwargs,
        )


class CuDNNLSTM(_CuDNN):
    """The LSTM that Keras 2 ran on NVIDIA's library; here it runs on any device.

    It is ``LSTM`` with its weights in another order, and two biases whose sum counts:
    ``recurrent_cudnn.plain_weights`` translates them.

    Parameters
    ----------
    units : int
        Size of the state and of each output.
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
    unit_forget_bias : bool
        Start the bias of the forget gate at one.
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str or Regularizer, optional
    activity_regularizer : str or Regularizer, optional
    kernel_constraint, recurrent_constraint, bias_constraint : str or Constraint, optional
    return_sequences, return_state, go_backwards, stateful, **kwargs
        As in ``RNN``; the states are h and c.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.CuDNNLSTM(4, return_sequences=True)
    >>> layer(keras.ops.ones((2, 5, 3))).shape, layer.weights[2].shape
    ((2, 5, 4), (32,))
    """

    op = staticmethod(ops.lstm)
    cell_class = LSTMCell
    unit_forget_bias = _of_cell("unit_forget_bias")

    def __init__(
        self, units, kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal",
        bias_initializer="zeros", unit_forget_bias=True, kernel_regularizer=None, recurrent_regularizer=None,
        bias_regularizer=None, activity_regularizer=None, kernel_constraint=None, recurrent_constraint=None,
        bias_constraint=None, return_sequences=False, return_state=False, go_backwards=False, stateful=False,
        **kwargs,
    ):
        cell = _CuDNNLSTMCell(
            units, kernel_initializer=kernel_initializer, recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer, unit_forget_bias=unit_forget_bias,
            kernel_regularizer=kernel_regularizer, recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer, kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint, bias_constraint=bias_constraint,
            name="cudnn_lstm_cell", dtype=kwargs.get("dtype"), trainable=kwargs.get("trainable", True),
            activation="tanh", recurrent_activation="sigmoid",
        )
        super().__init__(
            cell, return_sequences=return_sequences, return_state=return_state, go_backwards=go_backwards,
            stateful=stateful, activity_regularizer=activity_regularizer, **kwargs,
        )
