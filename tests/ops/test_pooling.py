"""Pooling against naive loops, finite differences and real Keras."""

import itertools

import numpy as np
import pytest
from support.checks import check_op

from gpukeras import autograd, ops
from gpukeras.backends import threads
from gpukeras.tensor import Tensor

RNG = np.random.default_rng(3)


def distinct(*shape):
    """Values without ties, far enough apart for finite differences."""
    return RNG.permutation(np.arange(np.prod(shape, dtype=int))).reshape(shape) / 8.0 - 2.0


def naive_pool(x, pool_size, strides=None, padding="valid", data_format="channels_last", mode=np.max):
    """Loop over windows in float64; padding is left out of every window."""
    if data_format == "channels_first":
        x = np.moveaxis(x, 1, -1)
    rank = x.ndim - 2
    window = (pool_size,) * rank if isinstance(pool_size, int) else pool_size
    strides = window if strides is None else (strides,) * rank if isinstance(strides, int) else strides
    spots = []
    for n, k, s in zip(x.shape[1:-1], window, strides):
        out = -(-n // s) if padding == "same" else (n - k) // s + 1
        low = max(0, (out - 1) * s + k - n) // 2 if padding == "same" else 0
        spots.append([range(max(0, o * s - low), min(n, o * s - low + k)) for o in range(out)])
    y = np.zeros((len(x), *map(len, spots), x.shape[-1]))
    for place in itertools.product(*(range(len(s)) for s in spots)):
        part = x
        for axis, (o, spot) in enumerate(zip(place, spots), 1):
            part = np.take(part, spot[o], axis=axis)
        y[(slice(None), *place)] = mode(part, axis=tuple(range(1, rank + 1)))
    return np.moveaxis(y, -1, 1) if data_format == "channels_first" else y


CASES = {
    "1d": ((2, 8, 3), 2, {}),
    "1d rest": ((2, 7, 3), 3, {}),
    "1d overlap": ((2, 7, 3), 3, dict(strides=1)),
    "1d gaps": ((2, 8, 2), 2, dict(strides=3)),
    "1d same": ((2, 7, 2), 3, dict(strides=2, padding="same")),
    "2d": ((2, 4, 6, 3), 2, {}),
    "2d odd": ((2, 5, 7, 2), 2, {}),
    "2d same odd": ((2, 5, 7, 2), 2, dict(padding="same")),
    "2d rectangle": ((2, 6, 7, 2), (3, 2), dict(strides=(1, 2))),
    "2d overlap": ((2, 6, 7, 2), 3, dict(strides=2)),
    "2d overlap same": ((2, 6, 7, 2), 3, dict(strides=(2, 1), padding="same")),
    "2d one row": ((2, 4, 6, 2), (1, 3), {}),
    "2d strides only": ((2, 5, 6, 2), 1, dict(strides=2)),
    "2d strides and window apart": ((2, 5, 6, 2), (1, 2), dict(strides=(2, 1))),
    "2d one": ((2, 3, 4, 2), 1, {}),
    "2d window beyond same input": ((2, 2, 3, 2), 4, dict(strides=2, padding="same")),
    "2d channels first": ((2, 3, 5, 6), 2, dict(data_format="channels_first")),
    "2d channels first same": (
        (2, 3, 5, 6), 3, dict(data_format="channels_first", padding="same", strides=2)),
    "3d": ((1, 4, 5, 6, 2), 2, {}),
    "3d same overlap": ((1, 4, 3, 4, 2), (2, 3, 2), dict(strides=(1, 2, 2), padding="same")),
}


@pytest.mark.parametrize("case", CASES)
def test_max_pool(backend, case):
    shape, size, settings = CASES[case]
    check_op(ops.max_pool, [distinct(*shape)], naive_pool, settings=(size,), kwargs=settings)


@pytest.mark.parametrize("case", CASES)
def test_average_pool(backend, case):
    shape, size, settings = CASES[case]
    check_op(ops.average_pool, [distinct(*shape)], lambda x, *a, **k: naive_pool(x, *a, **k, mode=np.mean),
             settings=(size,), kwargs=settings)


@pytest.mark.parametrize("op", [ops.max_pool, ops.average_pool])
@pytest.mark.parametrize("case", ["2d", "2d overlap same", "2d channels first same"])
def test_second_order(op, case):
    shape, size, settings = CASES[case]
    mode = np.max if op is ops.max_pool else np.mean

    # Squares, so that there is a second derivative.
    def squared(x):
        return op(x, size, **settings) ** 2

    check_op(squared, [distinct(*shape)], lambda x: naive_pool(x, size, **settings, mode=mode) ** 2,
             second_order=True, rtol=1e-4, grad_rtol=1e-5)


@pytest.mark.parametrize("case", ["2d", "2d odd", "2d overlap same"])
@pytest.mark.parametrize("op, mode", [(ops.max_pool, np.max), (ops.average_pool, np.mean)])
def test_small_blocks(backend, monkeypatch, case, op, mode):
    """A few rows at a time, one image, and two of three."""
    shape, size, settings = CASES[case]
    x = distinct(3, *shape[1:])

    def reference(x, *args, **kwargs):
        return naive_pool(x, *args, **kwargs, mode=mode)

    for images in (0.3, 1, 2):
        monkeypatch.setattr(type(backend), "pool_bytes", int(images * x[0].nbytes))
        check_op(op, [x], reference, settings=(size,), kwargs=settings, dtypes=("float64",), strided=False,
                 directions=1)


@pytest.mark.parametrize(
    "size, settings", [(2, {}), (3, dict(strides=1)), (3, dict(strides=2, padding="same"))])
def test_ties_go_to_the_first(backend, size, settings):
    """Each window sends its whole gradient to one element: the first, row by row."""
    x = Tensor(backend.xp.zeros((1, 4, 4, 1), "float32"))
    with autograd.GradientTape() as tape:
        tape.watch(x)
        y = ops.max_pool(x, size, **settings)
    dx = tape.gradient(y, x).numpy()[0, :, :, 0]
    expected = np.zeros((4, 4))
    step = settings.get("strides", size)
    low = 0  # four elements, windows of 3 with stride 2: padding only behind
    for i, j in itertools.product(range(y.shape[1]), range(y.shape[2])):
        expected[i * step - low, j * step - low] += 1
    np.testing.assert_array_equal(dx, expected)


def test_many_taps(backend):
    """More taps than a byte can number."""
    x = distinct(1, 20, 21, 1)
    check_op(ops.max_pool, [x], naive_pool, settings=(17,), dtypes=("float64",), directions=1)


def test_nan_is_passed_on_and_keeps_the_gradient(backend):
    x = Tensor(backend.xp.asarray(np.array([[1, np.nan, 3, 2, 5, 4]], "float32").reshape(1, 6, 1)))
    with autograd.GradientTape() as tape:
        tape.watch(x)
        y = ops.max_pool(x, 2)
    assert np.isnan(y.numpy()).ravel().tolist() == [True, False, False]
    dx = tape.gradient(y, x).numpy().ravel()
    assert dx[:2].sum() == 1 and dx[2:].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("settings", [dict(), dict(strides=1, padding="same")])
def test_threads_change_nothing(settings):
    x = Tensor(RNG.standard_normal((9, 32, 33, 64)).astype("float32"))
    found = []
    for count in (1, 3):
        threads.set_threads(count)
        try:
            for op in (ops.max_pool, ops.average_pool):
                with autograd.GradientTape() as tape:
                    tape.watch(x)
                    y = op(x, 2, **settings)
                found.append((y.numpy(), op(x, 2, **settings).numpy(), tape.gradient(y, x).numpy()))
        finally:
            threads.set_threads(None)
    for one, many in zip(found[:2], found[2:]):
        for a, b in zip(one, many):
            np.testing.assert_array_equal(a, b)


def test_negative_values_beat_padding(backend):
    x = Tensor(backend.xp.full((1, 3, 3, 2), -5, "float32"))
    assert (ops.max_pool(x, 2, 1, "same").numpy() == -5).all()


@pytest.mark.parametrize("op, mode", [(ops.max_pool, np.max), (ops.average_pool, np.mean)])
def test_half_precision(backend, op, mode):
    check_op(op, [distinct(2, 4, 4, 2)], lambda x, *a: naive_pool(x, *a, mode=mode),
             settings=(3, 1, "same"), dtypes=("float64", "float16"))


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_integers(dtype):
    x = np.arange(8, dtype=dtype).reshape(1, 8, 1)
    y = ops.max_pool(x, 2, padding="same")
    assert y.dtype == dtype and y.numpy().ravel().tolist() == [1, 3, 5, 7]
    y = ops.average_pool(x, 2)
    assert y.dtype == "float32" and y.numpy().ravel().tolist() == [0.5, 2.5, 4.5, 6.5]


@pytest.mark.parametrize("op", [ops.max_pool, ops.average_pool])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_empty_batch(backend, op, padding):
    x = Tensor(backend.xp.zeros((0, 5, 5, 2), "float32"))
    with autograd.GradientTape() as tape:
        tape.watch(x)
        y = op(x, 2, padding=padding)
    assert y.shape == (0, *((2, 2) if padding == "valid" else (3, 3)), 2)
    assert tape.gradient(y, x).shape == x.shape


@pytest.mark.parametrize("call, words", [
    (lambda: ops.max_pool(np.ones((1, 2, 5, 1)), 3), "pooling: a window of 3.*axis 0 of size 2.*same"),
    (lambda: ops.max_pool(np.ones((1, 5, 1)), 0), "pool_size must be a positive"),
    (lambda: ops.max_pool(np.ones((1, 5, 1)), (2, 2)), "pool_size must be a positive"),
    (lambda: ops.average_pool(np.ones((1, 5, 1)), 2, -1), "strides must be a positive"),
    (lambda: ops.average_pool(np.ones((5, 1)), 2), "spatial axes"),
    (lambda: ops.average_pool(np.ones((1, 5, 1)), 2, padding="causal"), "'valid' or 'same'"),
    (lambda: ops.max_pool(np.ones((1, 5, 1)), 2, padding="full"), "'valid' or 'same'"),
])
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parity
@pytest.mark.parametrize("case", CASES)
def test_as_keras(real_keras, case):
    shape, size, settings = CASES[case]
    settings = {"strides": size, **settings}  # Keras 3.15 on JAX fails without strides
    x = distinct(*shape).astype("float32")
    for name in ("max_pool", "average_pool"):
        want = np.asarray(getattr(real_keras.ops, name)(x, size, **settings))
        found = getattr(ops, name)(x, size, **settings).numpy()
        np.testing.assert_allclose(found, want, 1e-5, 1e-6, err_msg=name)


@pytest.mark.parity
@pytest.mark.parametrize("settings", [dict(strides=3), dict(strides=1), dict(strides=2, padding="same")])
def test_gradient_of_ties_as_keras(real_keras, settings):
    import jax

    x = RNG.integers(0, 3, (2, 6, 5, 2)).astype("float32")
    want = jax.grad(lambda a: real_keras.ops.max_pool(a, 3, **settings).sum())(x)
    tensor = Tensor(x)
    with autograd.GradientTape() as tape:
        tape.watch(tensor)
        y = ops.max_pool(tensor, 3, **settings)
    np.testing.assert_array_equal(tape.gradient(y, tensor).numpy(), np.asarray(want))
