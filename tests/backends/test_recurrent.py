"""How recurrent layers lay out weights, cut products and share work: the results stay what they are."""

import threading

import numpy as np
import pytest

from gpukeras.backends import CPU, blas, recurrent, recurrent_products, threads
from gpukeras.backends.recurrent_overlap import Ahead, Followers
from gpukeras.backends.recurrent_products import Product, lay_out, tile


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# ---- products --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("inner, units, want", [
    (128, 128, (32, 64)), (512, 128, (16, 64)), (2048, 512, (8, 32)), (129, 100, (32, 50)), (4, 10, (32, 10)),
    (10**6, 64, (None, 64)), (3, 1, (32, 1)), (64, 101, (None, 101)), (64, 17, (32, 17)),
])
def test_tiles(inner, units, want, monkeypatch):
    monkeypatch.setattr(blas.current(), "core", "skylakex")
    rows, width = tile(inner, units)
    assert (rows, width) == want
    assert units % width == 0 and (rows is None or rows * inner * width <= recurrent_products.PACKED)


@pytest.mark.parametrize("core", ["haswell", ""])
def test_no_tiles_without_kernels_for_them(core, monkeypatch):
    monkeypatch.setattr(blas.current(), "core", core)
    assert tile(128, 128) == (None, 128)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
def test_lay_out(single, with_bias):
    weights, bias = draw(5, 3 * 4), draw(12, seed=1) if with_bias else None
    panels = lay_out(CPU, weights, (2, 0, 1), (1.0, 0.5, 0.5), 2, bias, single)
    whole = weights if bias is None else np.vstack([weights, bias])
    found = panels.transpose(0, 2, 1, 3).reshape(3, -1, 4)
    np.testing.assert_array_equal(
        found, np.stack([whole[:, 8:], 0.5 * whole[:, :4], 0.5 * whole[:, 4:8]])
    )


@pytest.mark.parametrize("batch", [0, 1, 5, 8, 11, 16])
@pytest.mark.parametrize("per_gate", [False, True])
def test_products_in_pieces(batch, per_gate):
    """Batches that pieces of 4 rows divide and do not divide, one step and many."""
    weights = draw(6, 2 * 4)
    product = Product(np, lay_out(CPU, weights, (0, 1), (1.0, 1.0), 2), rows=4)
    source = draw(*([2] if per_gate else []), 3, batch, 6)
    gates = weights.reshape(6, 2, 4).transpose(1, 0, 2)[:, None]
    want = source @ gates
    out = np.empty((2, 3, batch, 4))
    product(source, out)
    np.testing.assert_allclose(out, want, rtol=1e-13, atol=1e-14)
    one = np.empty((2, batch, 4))
    product.into(one, per_gate=per_gate)(source[..., 1, :, :])
    np.testing.assert_allclose(one, want[:, 1], rtol=1e-13, atol=1e-14)


def test_one_row_in_the_order_of_the_weights():
    weights = draw(6, 2 * 4)
    out = np.empty((2, 1, 4))
    h = draw(1, 6, seed=1)
    Product(np, lay_out(CPU, weights, (0, 1), (1.0, 1.0), single=True)).into(out)(h)
    np.testing.assert_allclose(out.reshape(1, 8), h @ weights, rtol=1e-13)


# ---- threads ---------------------------------------------------------------------------------------------
KINDS = {"lstm": (4, 2), "gru": (3, 1), "simple_rnn": (1, 1)}


def _everything(kind, batch, steps, features, units, **settings):
    """Return outputs without and with a cache, and all gradients."""
    gates, states = KINDS[kind]
    width = gates * units
    x, kernel, recurrent_kernel = draw(batch, steps, features), draw(features, width), draw(units, width)
    bias = draw(2, width) if kind == "gru" and settings.get("reset_after", True) else draw(width)
    first = [draw(batch, units, seed=s) for s in range(states)]
    options = {"mask": np.random.default_rng(3).random((batch, steps)) > 0.2, "drop": None,
               "recurrent_drop": None, "go_backwards": False, "return_sequences": True,
               "zero_output_for_mask": False} | settings
    forward = getattr(CPU, f"{kind}_forward")
    inputs = (x, *first, 0.3 * kernel, 0.3 * recurrent_kernel, bias)
    *plain, _ = forward(*inputs, keep=False, **options)
    *outputs, run = forward(*inputs, keep=True, **options)
    wants = [True] * (states + 4)
    dy = draw(*outputs[0].shape, seed=5)
    grads = getattr(CPU, f"{kind}_backward")(run, dy, *first, wants)
    return [a.copy() for a in (*plain, *outputs, *grads)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 5, 37])
def test_tiles_change_nothing(kind, batch, monkeypatch):
    found = []
    for core in ("skylakex", "haswell"):
        monkeypatch.setattr(blas.current(), "core", core)
        found.append(_everything(kind, batch, 6, 5, 48))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["parts of samples", "ahead and behind"])
@pytest.mark.parametrize("settings", [
    {}, {"return_sequences": False, "go_backwards": True},
    {"drop": draw(40, 3, seed=7), "recurrent_drop": draw(40, 16, seed=8)},
], ids=["sequences", "last, backwards", "dropout"])
def test_threads_change_nothing(kind, way, settings, monkeypatch):
    monkeypatch.setattr(recurrent, "CACHE_ELEMENTS", 40 * 16 * 2)
    monkeypatch.setattr(recurrent, "GRADIENT_ROWS", 40 * 4)
    alone = _everything(kind, 40, 9, 3, 16, **settings)
    monkeypatch.setattr(threads, "WORTH", 1e-9)
    monkeypatch.setattr(threads, "HEAD_START", 0.0)  # beside so little work it would count
    monkeypatch.setattr(recurrent, "ASIDE", 0.0)
    monkeypatch.setattr(threads, "may_split", lambda: True)
    monkeypatch.setattr(recurrent, "STEP", 1e-12 if way == "parts of samples" else 1.0)
    used = set()
    attribute = "_lstm_steps" if kind == "lstm" else "_gru_steps" if kind == "gru" else "_simple_rnn_steps"
    steps = getattr(type(CPU), attribute)
    monkeypatch.setattr(type(CPU), attribute, lambda self, *a: (used.add(a[-1].start), steps(self, *a)))
    threads.set_threads(2)
    try:
        both = _everything(kind, 40, 9, 3, 16, **settings)
    finally:
        threads.set_threads(None)
    assert used == ({0, 20} if way == "parts of samples" else {0})
    for a, b in zip(alone, both, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def test_ahead_calls_once_and_waits():
    calls, begun, go_on = [], threading.Event(), threading.Event()

    def slow(number):
        calls.append(number)
        if number == 1:
            begun.set()
            assert go_on.wait(10)

    ahead = Ahead(slow, 3)
    ahead.need(0)
    helper = threading.Thread(target=ahead.help)
    helper.start()
    assert begun.wait(10)
    ahead.need(2)  # nobody has begun it
    threading.Timer(0.05, go_on.set).start()
    ahead.need(1)
    helper.join()
    assert calls == [0, 1, 2]


def test_ahead_frees_who_waits_after_an_error():
    def fail(number):
        raise ValueError("no memory")

    ahead = Ahead(fail, 1)
    with pytest.raises(ValueError, match="no memory"):
        ahead.help()
    ahead.need(0)


def test_followers_keep_the_order():
    seen = {"a": [], "b": []}
    followers = Followers([seen["a"].append, seen["b"].append])
    helpers = [threading.Thread(target=followers.work) for _ in range(3)]
    for helper in helpers:
        helper.start()
    for i in range(50):
        followers.put((i,))
    followers.close()
    followers.work()
    for helper in helpers:
        helper.join()
    assert seen == {"a": list(range(50)), "b": list(range(50))}
