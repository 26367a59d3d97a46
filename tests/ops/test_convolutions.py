"""Convolutions against naive loops, finite differences and real Keras."""

import itertools

import numpy as np
import pytest
from support.checks import check_gradient, check_op

from gpukeras import autograd, ops
from gpukeras.backends import window_shapes
from gpukeras.ops.convolutions import convolution_data, convolution_kernel
from gpukeras.tensor import Tensor, Variable

RNG = np.random.default_rng(7)


def draw(*shape):
    return RNG.standard_normal(shape)


def per_axis(value, rank):
    return (value,) * rank if isinstance(value, int) else tuple(value)


def naive_padding(size, k, s, d, padding):
    """Return (padding in front, positions), from the definition of each mode."""
    reach = (k - 1) * d + 1
    if padding == "valid":
        return 0, len(range(0, size - reach + 1, s))
    out = -(-size // s)
    if padding == "causal":
        return reach - 1, out
    return max(0, (out - 1) * s + reach - size) // 2, out


def naive_conv(x, w, bias=None, strides=1, padding="valid", data_format="channels_last", dilation_rate=1,
               groups=1, activation=None):
    """Loop over positions, taps and groups in float64."""
    if data_format == "channels_first":
        x = np.moveaxis(x, 1, -1)
    rank = x.ndim - 2
    strides, dilation = per_axis(strides, rank), per_axis(dilation_rate, rank)
    spots = [naive_padding(*axis, padding) for axis in zip(x.shape[1:-1], w.shape, strides, dilation)]
    filters, inner = w.shape[-1], x.shape[-1] // groups
    y = np.zeros((len(x), *(n for _, n in spots), filters))
    for place in itertools.product(*(range(n) for _, n in spots)):
        for tap in itertools.product(*(range(k) for k in w.shape[:-2])):
            at = [o * s - p + t * d for o, s, (p, _), t, d in zip(place, strides, spots, tap, dilation)]
            if all(0 <= a < n for a, n in zip(at, x.shape[1:-1])):
                for f in range(filters):
                    first = f // (filters // groups) * inner
                    seen = x[(slice(None), *at, slice(first, first + inner))]
                    y[(slice(None), *place, f)] += seen @ w[(*tap, slice(None), f)]
    if bias is not None:
        y = y + bias
    y = {None: lambda z: z, "relu": lambda z: np.maximum(z, 0), "tanh": np.tanh,
         "sigmoid": lambda z: 1 / (1 + np.exp(-z))}[activation](y)
    return np.moveaxis(y, -1, 1) if data_format == "channels_first" else y


def naive_transpose(x, w, strides=1, padding="valid", output_padding=None, dilation_rate=1):
    """Spread every element of ``x`` (N, *size, C) over a window; ``w`` is (*window, filters, C)."""
    rank = x.ndim - 2
    strides, dilation = per_axis(strides, rank), per_axis(dilation_rate, rank)
    full = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(x.shape[1:-1], strides, w.shape, dilation)]
    y = np.zeros((len(x), *(2 * n + 9 for n in full), w.shape[-2]))
    for place in itertools.product(*(range(n) for n in x.shape[1:-1])):
        for tap in itertools.product(*(range(k) for k in w.shape[:-2])):
            at = [o * s + t * d for o, s, t, d in zip(place, strides, tap, dilation)]
            y[(slice(None), *at)] += x[(slice(None), *place)] @ w[tap].T
    for axis, (n, s, k, d) in enumerate(zip(x.shape[1:-1], strides, w.shape, dilation), 1):
        reach = (k - 1) * d + 1
        if padding == "valid":
            start = 0
            size = (n - 1) * s + reach + (max(s - reach, 0) if output_padding is None else output_padding)
        elif output_padding is None:
            size = n * s
            start = max(0, (reach - s) // 2)
        else:
            size = (n - 1) * s + reach % 2 + output_padding  # half a window goes on either side
            start = reach - 1 - min((reach + reach % 2 - 1 + output_padding) // 2, reach - 1)
        y = np.take(y, range(start, start + size), axis=axis)
    return y


# (x shape, w shape, settings)
CASES = {
    "1d": ((2, 7, 3), (3, 3, 4), {}),
    "1d same even window": ((2, 7, 3), (4, 3, 2), dict(padding="same")),
    "1d causal": ((2, 7, 2), (3, 2, 3), dict(padding="causal")),
    "1d causal dilated": ((2, 8, 2), (2, 2, 3), dict(padding="causal", dilation_rate=3)),
    "1d stride": ((2, 9, 2), (3, 2, 3), dict(strides=2, padding="same")),
    "1d channels first": ((2, 3, 7), (3, 3, 4), dict(data_format="channels_first", strides=2)),
    "1d window of one": ((2, 5, 3), (1, 3, 4), dict()),
    "2d": ((2, 5, 6, 3), (3, 3, 3, 4), {}),
    "2d one channel": ((2, 6, 5, 1), (3, 3, 1, 2), {}),
    "2d many channels": ((1, 4, 5, 18), (2, 3, 18, 2), dict(padding="same")),
    "2d few to many": ((1, 5, 5, 2), (3, 3, 2, 19), dict(padding="same")),
    "2d same": ((2, 5, 4, 2), (3, 2, 2, 3), dict(padding="same")),
    "2d strides": ((2, 7, 6, 2), (3, 2, 2, 3), dict(strides=(2, 3))),
    "2d strides same": ((2, 7, 6, 2), (3, 3, 2, 3), dict(strides=2, padding="same")),
    "2d stride beyond window": ((2, 7, 7, 2), (2, 1, 2, 3), dict(strides=3)),
    "2d dilation": ((2, 7, 8, 2), (3, 2, 2, 3), dict(dilation_rate=(2, 3))),
    "2d dilation and strides": ((2, 9, 8, 2), (3, 2, 2, 3), dict(dilation_rate=2, strides=2, padding="same")),
    "2d one by one": ((2, 3, 4, 5), (1, 1, 5, 3), {}),
    "2d one by one strided": ((2, 5, 4, 5), (1, 1, 5, 3), dict(strides=2)),
    "2d whole image": ((2, 3, 4, 2), (3, 4, 2, 5), {}),
    "2d channels first": ((2, 3, 5, 6), (3, 2, 3, 4), dict(data_format="channels_first", padding="same")),
    "2d groups": ((2, 5, 4, 4), (3, 2, 2, 6), dict(groups=2, padding="same")),
    "2d groups strided first": (
        (1, 6, 5, 6), (2, 3, 3, 4), dict(groups=2, strides=2, data_format="channels_first")),
    "2d depthwise": ((2, 5, 4, 3), (3, 2, 1, 3), dict(groups=3, padding="same")),
    "2d depthwise multiplied": ((2, 5, 5, 3), (2, 2, 1, 6), dict(groups=3, strides=2)),
    "3d": ((1, 4, 3, 5, 2), (2, 2, 3, 2, 3), {}),
    "3d same strides": ((1, 4, 3, 5, 2), (3, 2, 3, 2, 2), dict(strides=(2, 1, 2), padding="same")),
    "3d channels first dilated": (
        (1, 2, 5, 4, 5), (2, 2, 2, 2, 2), dict(data_format="channels_first", dilation_rate=2)),
}


@pytest.mark.parametrize("case", CASES)
def test_convolution(backend, case):
    x, w, settings = CASES[case]
    check_op(lambda a, k: ops.convolution(a, k, None, **settings), [draw(*x), draw(*w)],
             lambda a, k: naive_conv(a, k, **settings))


@pytest.mark.parametrize(
    "case", ["1d causal", "2d strides same", "2d groups", "2d depthwise", "2d channels first"])
def test_small_blocks(backend, monkeypatch, case):
    """Blocks smaller than an image, than a row, and not dividing the batch."""
    x, w, settings = CASES[case]
    x = (3, *x[1:])
    inputs = [draw(*x), draw(*w), draw(w[-1])]
    for size in (200, 1500, 4000):
        monkeypatch.setattr(type(backend), "column_bytes", size)
        check_op(lambda a, k, b: ops.convolution(a, k, b, activation="tanh", **settings), inputs,
                 lambda a, k, b: naive_conv(a, k, b, activation="tanh", **settings),
                 strided=False, symbolic=False, dtypes=("float64",), directions=1)


@pytest.mark.parametrize("activation", [None, "relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("settings", [{}, dict(groups=2), dict(data_format="channels_first")])
def test_bias_and_activation(backend, activation, settings):
    groups = settings.get("groups", 1)
    shape = (2, 4, 5, 4) if settings.get("data_format") else (2, 5, 4, 4)
    inputs = [draw(*shape), draw(3, 2, 4 // groups, 6), draw(6)]
    check_op(ops.convolution, inputs, naive_conv, second_order=True,
             kwargs={**settings, "activation": activation, "padding": "same"})


@pytest.mark.parametrize("case", ["1d causal dilated", "2d strides", "2d groups", "2d depthwise multiplied",
                                  "3d same strides", "2d channels first"])
def test_second_order(case):
    x, w, settings = CASES[case]
    check_gradient(lambda a, k: ops.convolution(a, k, None, **settings), [draw(*x), draw(*w)],
                   second_order=True)


def test_third_order():
    """The three ops are closed under differentiation."""
    x, w = Tensor(draw(1, 5, 2)), Tensor(draw(3, 2, 2))

    def power(tensor):
        return ops.sum(ops.conv(tensor, w, padding="same") ** 4)

    with autograd.GradientTape() as outer:
        outer.watch(x)
        with autograd.GradientTape() as middle:
            middle.watch(x)
            with autograd.GradientTape() as inner:
                inner.watch(x)
                y = power(x)
            first = ops.sum(inner.gradient(y, x) ** 2)
        second = ops.sum(middle.gradient(first, x) * x)
    third = outer.gradient(second, x).numpy()
    # first is homogeneous of degree 6, so second = 6 * first and its gradient along x is 36 * first.
    assert np.isclose(float(second), 6 * float(first))
    assert np.isclose(np.vdot(third, x.numpy()), 36 * float(first))


def test_gradient_ops_have_gradients():
    windows = window_shapes.windows((5, 4), (3, 2), (2, 1), "same", (1, 1), "test")
    dy, w, x = draw(2, 3, 4, 3), draw(3, 2, 2, 3), draw(2, 5, 4, 2)
    check_gradient(lambda a, b: convolution_data(a, b, windows), [dy, w], second_order=True)
    check_gradient(lambda a, b: convolution_kernel(a, b, windows), [x, dy], second_order=True)


@pytest.mark.parametrize("activation", [None, "relu"])
def test_half_precision(backend, activation):
    inputs = [draw(2, 5, 4, 3), draw(3, 3, 3, 4), draw(4)]
    check_op(ops.convolution, inputs, naive_conv, kwargs=dict(padding="same", activation=activation),
             dtypes=("float64", "float16"))


def test_untracked_inputs_get_no_gradient():
    x, w = Tensor(draw(1, 5, 2)), Variable(draw(3, 2, 2))
    calls = []
    true = type(x.backend).conv_backward_data
    with autograd.GradientTape() as tape:
        y = ops.conv(x, w)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(x.backend), "conv_backward_data", lambda *a: calls.append(1) or true(*a))
        assert tape.gradient(y, w) is not None
    assert not calls


def test_public_functions(backend):
    x = draw(2, 6, 5, 4)
    check_op(ops.conv, [x, draw(3, 3, 4, 2)], lambda a, k, *_: naive_conv(a, k, None, 2, "same"),
             settings=(2, "SAME"))
    grouped = draw(3, 3, 2, 6)  # the kernel's channels say that there are two groups
    check_op(ops.conv, [x, grouped], lambda a, k: naive_conv(a, k, groups=2))


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("settings", [{}, dict(strides=2, padding="same"), dict(dilation_rate=2)])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_conv(backend, rank, settings, multiplier):
    x, w = draw(2, *(6, 7)[:rank], 3), draw(*(3, 2)[:rank], 3, multiplier)

    def reference(a, k, **settings):
        parts = [naive_conv(a[..., c:c + 1], k[..., c:c + 1, :], **settings) for c in range(3)]
        return np.concatenate(parts, axis=-1)

    check_op(ops.depthwise_conv, [x, w], reference, kwargs=settings, second_order=multiplier == 2)


def test_separable_conv(backend):
    def reference(a, depth, point, *_):
        parts = [naive_conv(a[..., c:c + 1], depth[..., c:c + 1, :], None, 2, "same") for c in range(2)]
        return naive_conv(np.concatenate(parts, axis=-1), point)

    check_op(ops.separable_conv, [draw(2, 5, 4, 2), draw(3, 2, 2, 3), draw(1, 1, 6, 4)], reference,
             settings=(2, "same"))


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides, window, output_padding, dilation", [
    (1, 3, None, 1), (2, 3, None, 1), (2, 2, None, 1), (3, 2, None, 1), (2, 4, None, 1), (2, 3, 1, 1),
    (2, 4, 0, 1), (1, 3, None, 2), ((2, 1), (3, 2), (1, 0), 1),
])
def test_conv_transpose(backend, padding, strides, window, output_padding, dilation):
    settings = dict(strides=strides, padding=padding, output_padding=output_padding, dilation_rate=dilation)
    rank = 2 if isinstance(window, tuple) else 1
    x, w = draw(2, *(4, 3)[:rank], 2), draw(*per_axis(window, rank), 3, 2)
    if rank == 1:
        check_op(ops.conv_transpose, [x, w], naive_transpose, kwargs=settings, second_order=True)
    else:
        check_op(ops.conv_transpose, [x, w], kwargs=settings,
                 reference=lambda a, k, **_: naive_transpose_axes(a, k, strides, padding, output_padding))
    first = np.moveaxis(x, -1, 1)
    y = ops.conv_transpose(first, w, data_format="channels_first", **settings)
    last = ops.conv_transpose(x, w, **settings)
    np.testing.assert_allclose(np.moveaxis(y.numpy(), 1, -1), last.numpy(), 1e-4, 1e-5)


def naive_transpose_axes(x, w, strides, padding, output_padding):
    """A transposed convolution with a separate setting for each of two axes, one output filter at a time.

    Each axis is worked out by the one-dimensional rule on basis vectors.
    """
    n, h, v, c = x.shape
    spread = []
    for size, k, s, o in zip((h, v), w.shape, strides, output_padding):
        taps = np.eye(k).reshape(k, k, 1)  # one filter for each tap
        spread.append(naive_transpose(np.eye(size)[:, :, None], taps, s, padding, o))  # (size, out, k)
    return np.einsum("nhvc,hak,vbl,klfc->nabf", x, spread[0], spread[1], w)


ACTIVATIONS = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "sigmoid": lambda z: 1 / (1 + np.exp(-z))}


@pytest.mark.parametrize("activation, settings", [
    (None, dict(strides=2)), ("relu", dict(strides=2, padding="same")), ("tanh", dict(strides=3)),
    ("sigmoid", dict(dilation_rate=2)),
])
def test_transposed_in_one_step(backend, activation, settings):
    def reference(a, k, b, **settings):
        y = naive_transpose(a, k, **settings) + b
        return ACTIVATIONS.get(activation, np.array)(y)

    check_op(lambda *a, **s: ops.transposed_convolution(*a, activation=activation, **s),
             [draw(2, 4, 2), draw(2, 3, 2), draw(3)], reference, kwargs=settings, second_order=True)


def naive_depthwise(x, w, **settings):
    """One convolution for each channel."""
    parts = [naive_conv(x[..., c:c + 1], w[..., c:c + 1, :], **settings) for c in range(w.shape[-2])]
    return np.concatenate(parts, axis=-1)


@pytest.mark.parametrize("rank, activation, settings", [
    (1, "relu", dict(padding="causal")), (2, "tanh", dict(strides=2, padding="same")),
    (2, None, dict(dilation_rate=2)), (3, "sigmoid", dict(strides=2)),
])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_and_separable_in_one_step(backend, rank, activation, settings, multiplier):
    x, w = draw(2, *(5, 6, 4)[:rank], 3), draw(*(3, 2, 2)[:rank], 3, multiplier)
    after = ACTIVATIONS.get(activation, np.array)
    check_op(lambda *a: ops.depthwise_convolution(*a, activation=activation, **settings),
             [x, w, draw(3 * multiplier)], lambda a, k, b: after(naive_depthwise(a, k, **settings) + b),
             second_order=rank == 1, dtypes=("float64", "float32", "float16") if rank == 1 else ("float64",))
    point = draw(*(1,) * rank, 3 * multiplier, 4)
    check_op(lambda *a: ops.separable_convolution(*a, activation=activation, **settings),
             [x, w, point, draw(4)],
             lambda a, k, p, b: after(naive_conv(naive_depthwise(a, k, **settings), p) + b),
             second_order=rank == 1, dtypes=("float64", "float32"), strided=rank == 1)


def test_separable_in_three_dimensions_channels_first(backend):
    x, w, p = draw(1, 2, 4, 3, 4), draw(2, 2, 3, 2, 2), draw(1, 1, 1, 4, 3)
    check_op(ops.separable_conv, [x, w, p], lambda a, k, q, **_: np.moveaxis(
        naive_conv(naive_depthwise(np.moveaxis(a, 1, -1), k, padding="same"), q), -1, 1),
        kwargs=dict(padding="same", data_format="channels_first"), dtypes=("float64",))


def test_what_nobody_asks_for_is_not_computed():
    """Of a separable convolution: only the gradients of what is trained."""
    x, w, p = Tensor(draw(1, 5, 2)), Tensor(draw(3, 2, 1)), Variable(draw(1, 2, 3))
    with autograd.GradientTape() as tape:
        y = ops.separable_convolution(x, w, p, activation="relu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(x.backend), "conv_backward_data", None)
        assert tape.gradient(y, p).shape == p.shape


# ---- odd sizes and errors -------------------------------------------------------------------------------
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_empty_batch(backend, groups):
    x = Tensor(backend.xp.zeros((0, 5, 5, 4), "float32"))
    w = Variable(np.ones((3, 3, 4 // groups, 4), "float32"))
    with autograd.GradientTape() as tape:
        tape.watch(x)
        y = ops.convolution(x, w, None, groups=groups, strides=2)
    dx, dw = tape.gradient(y, [x, w])
    assert y.shape == (0, 2, 2, 4) and dx.shape == x.shape
    assert not dw.numpy().any() and dw.shape == w.shape


def test_integers_meet_a_float_kernel():
    y = ops.conv(np.arange(5, dtype="int32").reshape(1, 5, 1), np.ones((2, 1, 1), "float32"))
    assert y.dtype == "float32" and y.numpy().ravel().tolist() == [1, 3, 5, 7]


@pytest.mark.parametrize("call, words", [
    (lambda: ops.conv(np.ones((1, 2, 5, 1)), np.ones((3, 3, 1, 1))), "window of 3.*axis 0 of size 2.*same"),
    (lambda: ops.conv(np.ones((1, 4, 1)), np.ones((3, 1, 1)), dilation_rate=2), "window of 5 .size 3"),
    (lambda: ops.conv(np.ones((1, 5, 5, 3)), np.ones((3, 3, 2, 1))), "expects 2 input channels.*have 3"),
    (lambda: ops.conv(np.ones((1, 5, 5, 3)), np.ones((3, 3, 3, 1)), data_format="channels_first"),
     "channels_first"),
    (lambda: ops.conv(np.ones((5, 3)), np.ones((3, 3, 3, 1))), "spatial axes"),
    (lambda: ops.conv(np.ones((1, 5, 3)), np.ones((3, 3, 3, 1))), "kernel with 3 axes"),
    (lambda: ops.conv(np.ones((1, 5, 3)), np.ones((3, 3, 1)), strides=0), "strides must be a positive"),
    (lambda: ops.conv(np.ones((1, 5, 3)), np.ones((3, 3, 1)), strides=(1, 2)), "strides must be a positive"),
    (lambda: ops.conv(np.ones((1, 5, 3)), np.ones((3, 3, 1)), padding="full"), "padding must be"),
    (lambda: ops.conv(np.ones((1, 5, 5, 3)), np.ones((3, 3, 3, 1)), padding="causal"), "one spatial axis"),
    (lambda: ops.conv(np.ones((1, 5, 3)), np.ones((3, 3, 1)), data_format="NHWC"), "data_format"),
    (lambda: ops.convolution(np.ones((1, 5, 4)), np.ones((3, 2, 3)), None, groups=2), "3 filters.*groups=2"),
    (lambda: ops.convolution(np.ones((1, 5, 3)), np.ones((3, 3, 2)), np.ones(3)), r"bias must .* \(2,\)"),
    (lambda: ops.convolution(np.ones((1, 5, 3)), np.ones((3, 3, 2)), None, activation="gelu"), "gelu"),
    (lambda: ops.depthwise_conv(np.ones((1, 5, 3)), np.ones((3, 2, 1))), "2 channels.*have 3"),
    (lambda: ops.conv_transpose(np.ones((1, 5, 3)), np.ones((3, 2, 2))), "filters, 3"),
    (lambda: ops.conv_transpose(np.ones((1, 5, 3)), np.ones((3, 2, 3)), padding="causal"), "padding must be"),
])
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# ---- real Keras ------------------------------------------------------------------------------------------
PARITY = [
    dict(rank=rank, strides=s, padding=p, dilation_rate=d, groups=g, data_format="channels_last")
    for rank in (1, 2, 3) for p in ("valid", "same") for s, d in ((1, 1), (2, 1), (1, 2)) for g in (1, 2)
]


@pytest.mark.parity
@pytest.mark.parametrize("case", PARITY, ids=lambda c: "-".join(map(str, c.values())))
def test_conv_as_keras(real_keras, case):
    case = dict(case)
    rank, groups = case.pop("rank"), case.pop("groups")
    x = draw(2, *(8, 7, 6)[:rank], 4).astype("float32")
    w = draw(*(3, 2, 3)[:rank], 4 // groups, 6).astype("float32")
    y = ops.conv(x, w, **case).numpy()
    want = np.asarray(real_keras.ops.conv(x, w, **case))
    assert y.dtype == want.dtype
    np.testing.assert_allclose(y, want, 1e-5, 1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("output_padding", [None, 0, 1])
def test_conv_transpose_as_keras(real_keras, padding, strides, k, output_padding):
    x, w = draw(2, 4, 5, 2).astype("float32"), draw(k, 3, 3, 2).astype("float32")
    settings = dict(strides=strides, padding=padding, output_padding=output_padding)
    want = np.asarray(real_keras.ops.conv_transpose(x, w, **settings))
    np.testing.assert_allclose(ops.conv_transpose(x, w, **settings).numpy(), want, 1e-5, 1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("settings", [{}, dict(strides=2, padding="same"), dict(dilation_rate=2)])
def test_depthwise_and_separable_as_keras(real_keras, settings):
    x, d, p = (a.astype("float32") for a in (draw(2, 7, 8, 3), draw(3, 2, 3, 2), draw(1, 1, 6, 4)))
    np.testing.assert_allclose(ops.depthwise_conv(x, d, **settings).numpy(),
                               np.asarray(real_keras.ops.depthwise_conv(x, d, **settings)), 1e-5, 1e-5)
    np.testing.assert_allclose(ops.separable_conv(x, d, p, **settings).numpy(),
                               np.asarray(real_keras.ops.separable_conv(x, d, p, **settings)), 1e-4, 1e-4)


def test_threads_do_not_share_buffers():
    """Two threads convolving at once (a data loader and a training loop) do not disturb each other."""
    from concurrent.futures import ThreadPoolExecutor

    jobs = [(draw(2, 9, 8, 5), draw(3, 3, 5, 4)) for _ in range(2)]
    want = [naive_conv(x, w, padding="same") for x, w in jobs]

    def run(i):
        return [ops.conv(*jobs[i], padding="same").numpy() for _ in range(30)]

    with ThreadPoolExecutor(2) as pool:
        for i, results in enumerate(pool.map(run, range(2))):
            for y in results:
                np.testing.assert_allclose(y, want[i], 1e-4, 1e-4)


def test_results_do_not_share_buffers(backend):
    """A later call leaves the results of an earlier one alone."""
    x, w = draw(2, 6, 5, 4), draw(3, 3, 4, 4)
    first = ops.conv(x, w, padding="same")
    before = first.numpy().copy()
    ops.conv(2 * x, w, padding="same")
    np.testing.assert_array_equal(first.numpy(), before)
