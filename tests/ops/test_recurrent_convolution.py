"""The fused ConvLSTM against plain float64 loops and finite differences."""

import functools
import importlib
import itertools

import numpy as np
import pytest
from support.checks import check_op, tensor_here
from support.fake_device import emulated, forbid_waiting

from gpukeras import autograd, ops
from gpukeras.ops.recurrent_convolution import conv_lstm
from gpukeras.tensor import Tensor

N, T, C, F = 2, 3, 2, 3
PLAIN = {
    "tanh": np.tanh, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "softsign": lambda x: x / (1 + np.abs(x)),
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
}
MASK = np.array([[True, False, True], [False, True, True]])


def _convolve(x, w, strides, padding, dilation):
    """One image (*size, C) and one kernel, element by element."""
    rank = x.ndim - 1
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape, dilation)]
    if padding == "same":
        sizes = [-(-n // s) for n, s in zip(x.shape, strides)]
        total = [max(0, (o - 1) * s + r - n) for o, s, r, n in zip(sizes, strides, reach, x.shape)]
        x = np.pad(x, [*((t // 2, t - t // 2) for t in total), (0, 0)])
    else:
        sizes = [(n - r) // s + 1 for n, r, s in zip(x.shape, reach, strides)]
    y = np.zeros((*sizes, w.shape[-1]))
    for place in itertools.product(*map(range, sizes)):
        for tap in itertools.product(*map(range, w.shape[:rank])):
            at = tuple(p * s + k * d for p, s, k, d in zip(place, strides, tap, dilation))
            y[place] += x[at] @ w[tap]
    return y


def reference(x, h, c, kernel, recurrent, bias=None, mask=None, drop=None, recurrent_drop=None, *, strides=1,
              padding="valid", data_format="channels_last", dilation_rate=1, go_backwards=False,
              activation="tanh", recurrent_activation="sigmoid", return_sequences=True,
              zero_output_for_mask=False):
    rank = kernel.ndim - 2
    strides, dilation = ((v,) * rank if isinstance(v, int) else v for v in (strides, dilation_rate))
    first = data_format == "channels_first"
    if first:
        x, h, c, drop, recurrent_drop = (
            None if a is None else np.moveaxis(a, -1 - rank, -1) for a in (x, h, c, drop, recurrent_drop)
        )
    act, gate = PLAIN[activation], PLAIN[recurrent_activation]

    def of_gates(a, factors, weights, *geometry):
        found = []
        for k in range(4):
            b = a if factors is None else a * (factors[k] if factors.ndim > a.ndim else factors)
            found.append([_convolve(one, weights[..., k * F:(k + 1) * F], *geometry) for one in b])
        return np.array(found)

    outputs, last = [], 0
    order = range(x.shape[1])
    for t in reversed(order) if go_backwards else order:
        z = of_gates(x[:, t], drop, kernel, strides, padding, dilation)
        h, c = (np.zeros(z.shape[1:]) if s is None else s for s in (h, c))
        z = z + of_gates(h, recurrent_drop, recurrent, (1,) * rank, "same", (1,) * rank)
        if bias is not None:
            z = z + bias.reshape(4, *(1,) * (rank + 1), F)
        new_c = gate(z[1]) * c + gate(z[0]) * act(z[2])
        new_h = y = gate(z[3]) * act(new_c)
        if mask is not None:
            valid = mask[:, t].reshape(-1, *(1,) * (rank + 1))
            y = np.where(valid, y, 0 if zero_output_for_mask else last)
            new_h, new_c = np.where(valid, new_h, h), np.where(valid, new_c, c)
        h, c, last = new_h, new_c, y
        outputs.append(y)
    found = np.stack(outputs, 1) if return_sequences else outputs[-1], h, c
    return tuple(np.moveaxis(a, -1, -1 - rank) for a in found) if first else found


def _draw(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def _factors(*shape, seed=0):
    return np.random.default_rng(seed).choice([0.0, 2.0], shape)


@pytest.mark.parametrize("size, window, kwargs", [
    ((5,), (3,), {"return_sequences": False}),
    ((4, 5), (3, 2), {}),
    ((5, 6), (2, 3), {"strides": (2, 1), "padding": "same", "go_backwards": True}),
    ((5, 5), (2, 2), {"dilation_rate": 2, "data_format": "channels_first", "activation": "softsign",
                      "recurrent_activation": "hard_sigmoid"}),
    ((3, 2, 3), (2, 1, 2), {"padding": "same", "return_sequences": False}),
], ids=str)
def test_settings(backend, size, window, kwargs):
    first = kwargs.get("data_format") == "channels_first"
    x = _draw(N, T, C, *size) if first else _draw(N, T, *size, C)
    kernel, recurrent = _draw(*window, C, 4 * F, seed=1), _draw(*window, F, 4 * F, seed=2)
    inputs = [x, None, None, kernel, recurrent, _draw(4 * F, seed=3)]
    check_op(conv_lstm, inputs, reference, kwargs=kwargs, directions=1)


@pytest.mark.parametrize("kwargs", [{}, {"return_sequences": False}, {"zero_output_for_mask": True}], ids=str)
@pytest.mark.parametrize("drops", ["none", "one", "each"])
def test_states_masks_and_dropout(backend, kwargs, drops):
    count = {"none": None, "one": (), "each": (4,)}[drops]
    state = (N, 3, 3, F)
    inputs = [
        _draw(N, T, 4, 4, C), _draw(*state, seed=4), _draw(*state, seed=5), _draw(2, 2, C, 4 * F, seed=1),
        _draw(2, 2, F, 4 * F, seed=2), None, MASK,
        None if count is None else _factors(*count, N, 4, 4, C),
        None if count is None else _factors(*count, *state, seed=1),
    ]
    check_op(conv_lstm, inputs, reference, kwargs=kwargs, wrt=range(5), directions=1, strided=False,
             batch=(0, 1, 2, 6) if count is None else ())


def test_gradients_are_made_where_asked_for():
    """Without the gradient of the input; of the kernel alone; of nothing: the results stay what they are."""
    x, kernel, recurrent, bias = (tensor_here(a) for a in (
        _draw(N, T, 4, 4, C), _draw(2, 2, C, 4 * F, seed=1), _draw(2, 2, F, 4 * F, seed=2), _draw(4 * F)))

    def gradients(*watched):
        with autograd.GradientTape() as tape:
            tape.watch(list(watched))
            y = conv_lstm(x, None, None, kernel, recurrent, bias)
            loss = ops.sum(y[0] ** 2) + ops.sum(y[2])
        return [g.numpy() for g in tape.gradient(loss, list(watched))], y[0].numpy()

    whole, expected = gradients(x, kernel, recurrent, bias)
    for watched in ((1, 3), (2,), (0,), (3,)):
        found, y = gradients(*((x, kernel, recurrent, bias)[i] for i in watched))
        for i, g in zip(watched, found):
            np.testing.assert_allclose(g, whole[i], rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(y, expected)
    alone = conv_lstm(x, None, None, kernel, recurrent, bias, return_sequences=False)
    np.testing.assert_allclose(alone[0].numpy(), expected[:, -1], rtol=1e-13)


def test_errors_say_what_is_wrong():
    x, kernel, recurrent = (np.zeros(s) for s in ((2, 3, 5, 5, 2), (3, 3, 2, 12), (3, 3, 3, 12)))
    with pytest.raises(ValueError, match="recurrent_kernel"):
        conv_lstm(x, None, None, kernel, recurrent[..., :8])
    with pytest.raises(ValueError, match=r"initial_h must have shape \(2, 3, 3, 3\), came \(2, 5, 5, 3\)"):
        conv_lstm(x, np.zeros((2, 5, 5, 3)), None, kernel, recurrent)
    with pytest.raises(ValueError, match="one to three spatial axes"):
        conv_lstm(x[:, 0, 0], None, None, kernel, recurrent)
    with pytest.raises(ValueError, match="activation must be one of"):
        conv_lstm(x, None, None, kernel, recurrent, activation="gelu")
    with autograd.GradientTape() as outer:
        x = tensor_here(x)
        outer.watch(x)
        with autograd.GradientTape() as tape:
            tape.watch(x)
            y = conv_lstm(x, None, None, kernel, recurrent)[0]
        dx = tape.gradient(y, x)
    with pytest.raises(NotImplementedError, match="unroll=True"):
        outer.gradient(dx, x)


def test_a_step_on_a_gpu_is_one_launch_beside_its_convolution(monkeypatch):
    """For float32; nothing waits for the device, and other types go the generic way."""
    with emulated() as gpu:
        step = importlib.import_module("gpukeras.kernels.recurrent_step")
        launches = []
        for name in ("forward", "backward"):
            monkeypatch.setattr(step, name, functools.partial(_noted, launches, name, getattr(step, name)))
        for dtype, count in (("float32", T), ("float64", 0)):
            x, kernel, recurrent = (Tensor(gpu.asarray(a.astype(dtype))) for a in (
                _draw(N, T, 4, 4, C), _draw(2, 2, C, 4 * F, seed=1), _draw(2, 2, F, 4 * F, seed=2)))
            mask = Tensor(gpu.asarray(MASK))
            with forbid_waiting(), autograd.GradientTape() as tape:
                tape.watch([kernel, recurrent])
                y = conv_lstm(x, None, None, kernel, recurrent, None, mask)[0]
                tape.gradient(y, [kernel, recurrent])
            assert launches == ["forward"] * count + ["backward"] * count
            launches.clear()


def _noted(launches, name, function, *args):
    launches.append(name)
    function(*args)
