"""Attention: scaled dot products, masks, dropout, shared keys; additive scores."""

import numpy as np
import pytest
from support.checks import check_gradient, check_op, tensor_here

from gpukeras import GradientTape, autograd, backends, config, ops
from gpukeras.ops.attention import additive_scores, attention, weighted_values
from gpukeras.symbolic import KerasTensor

RNG = np.random.default_rng(0)
# (samples, queries, keys, heads, heads of keys, width, width of values); the larger ones go head by head
SIZES = [(2, 3, 4, 2, 2, 3, 5), (2, 3, 4, 4, 2, 3, 3), (3, 24, 30, 4, 4, 5, 6), (2, 20, 70, 4, 2, 5, 6),
         (1, 300, 240, 3, 3, 4, 2)]


def draw(b, t, s, n, k, h, v):
    return [RNG.standard_normal(shape) for shape in ((b, t, n, h), (b, s, k, h), (b, s, k, v))]


def weights_of(q, k, bias=None, mask=None, scale=None, causal=False, window=None):
    """The softmax (B, N, T, S) by the formula; rows without any key are equal everywhere."""
    k = np.repeat(k, q.shape[2] // k.shape[2], axis=2)
    scores = np.einsum("btnh,bsnh->bnts", q, k) * (1 / np.sqrt(q.shape[-1]) if scale is None else scale)
    scores = scores if bias is None else scores + bias
    seen = np.ones(scores.shape, bool) if mask is None else np.broadcast_to(mask, scores.shape)
    ahead = np.arange(scores.shape[3]) - np.arange(scores.shape[2])[:, None]
    seen = seen & (ahead <= 0) if causal else seen
    seen = seen if window is None else seen & (np.abs(ahead) < window)
    scores = np.where(seen | ~seen.any(-1, keepdims=True), scores, -np.inf)
    scores = np.where(seen.any(-1, keepdims=True), scores, 0.0)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def reference(q, k, v, bias=None, mask=None, scale=None, is_causal=False):
    p = weights_of(q, k, bias, mask, scale, is_causal)
    return np.einsum("bnts,bsnv->btnv", p, np.repeat(v, q.shape[2] // v.shape[2], axis=2))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_dot_product_attention(backend, sizes):
    b, t, s, n, *_ = sizes
    inputs = draw(*sizes)
    small = t < 10
    check_op(ops.dot_product_attention, inputs, reference, second_order=small, strided=small)
    mask = RNG.random((b, 1, t, s)) < 0.6
    mask[0, 0, 1] = False  # a query that sees nothing
    bias = RNG.standard_normal((1, n, t, s))
    check_op(ops.dot_product_attention, [*inputs, bias, mask], reference, kwargs={"scale": 0.3},
             second_order=small, strided=small)
    check_op(ops.dot_product_attention, [*inputs, RNG.standard_normal((s,)), None], reference,
             kwargs={"is_causal": True}, strided=False)


def test_windows(backend):
    """A band of neighbours; queries beyond the keys see nothing and get zeros."""
    q, k, v = draw(2, 7, 4, 2, 2, 3, 2)

    def expected(q, k, v, **settings):
        p = weights_of(q, k, scale=1.0, causal=True, window=2)
        p[:, :, 5:] = 0
        return np.einsum("bnts,bsnv->btnv", p, v), p

    check_op(attention, [q, k, v], expected, second_order=True,
             kwargs={"causal": True, "window": 2, "idle": "zero", "scores": "plain"})


def test_without_heads(backend):
    """Rank 3 counts as one head; a mask then has three axes."""
    q, k, v = (x[:, :, 0] for x in draw(2, 6, 5, 1, 1, 3, 2))
    mask = RNG.random((2, 1, 5)) < 0.7
    mask[..., 0] = True

    def expected(q, k, v, bias, mask, scores):
        q, k, v = (x[:, :, None] for x in (q, k, v))
        p = weights_of(q, k, mask=mask[:, None], scale=1.0)
        return np.einsum("bnts,bsnv->btv", p, v), p[:, 0]

    check_op(attention, [q, k, v, None, mask], expected, kwargs={"scores": "plain"}, second_order=True)


@pytest.mark.parametrize("sizes", [SIZES[0], SIZES[2], SIZES[3]], ids=str)
def test_dropout(backend, sizes):
    """What is dropped is 0 in the weights, the rest is scaled; gradients go the same way."""
    q, k, v = map(tensor_here, draw(*sizes))
    y, p = attention(q, k, v, rate=0.5, seed=3, scores="dropped")
    whole = weights_of(*(x.numpy() for x in (q, k)), scale=1.0)
    p = p.numpy()
    assert 0.2 < (p == 0).mean() < 0.8
    np.testing.assert_allclose(p, np.where(p == 0, 0, 2 * whole), rtol=1e-9, atol=1e-12)
    wide = np.repeat(v.numpy(), q.shape[2] // v.shape[2], axis=2)
    np.testing.assert_allclose(y.numpy(), np.einsum("bnts,bsnv->btnv", p, wide), rtol=1e-9, atol=1e-9)

    def dropped(q, k, v):
        return attention(q, k, v, rate=0.5, seed=3)

    check_gradient(dropped, [x.numpy() for x in (q, k, v)], second_order=sizes is SIZES[0])


@pytest.mark.parametrize("sizes", [SIZES[0], SIZES[2]], ids=str)
def test_gradients_through_both_outputs(backend, sizes):
    q, k, v = draw(*sizes)
    mask = RNG.random((sizes[0], 1, 1, sizes[2])) < 0.6
    mask[..., 0] = True
    mask[0] = False
    for idle in ("mean", "zero"):
        for scores in ("plain", "dropped"):
            check_gradient(
                lambda q, k, v, idle=idle, scores=scores: attention(
                    q, k, v, None, tensor_here(mask), idle=idle, scores=scores, rate=0.3, seed=1),
                [q, k, v], directions=1,
            )


def test_queries_that_see_nothing(backend):
    """The three ways in which Keras treats them."""
    q, k, v = map(tensor_here, draw(2, 3, 4, 1, 1, 3, 2))
    mask = np.ones((2, 1, 3, 4), bool)
    mask[1] = False
    mean = np.broadcast_to(v.numpy()[1].mean(0)[None], (3, 1, 2))
    for idle, expected, steep in (("flow", mean, True), ("mean", mean, False), ("zero", 0 * mean, False)):
        kind = "float32" if idle == "flow" else "float64"
        tensors = [ops.cast(x, kind) for x in (q, k, v)]
        with GradientTape() as tape:
            tape.watch(tensors)
            y, p = attention(*tensors, None, tensor_here(mask), idle=idle, scores="plain")
        np.testing.assert_allclose(y.numpy()[1], expected, rtol=1e-5, atol=1e-6, err_msg=idle)
        np.testing.assert_allclose(p.numpy()[1], 0.0 if idle == "zero" else 0.25, rtol=1e-5)
        dy = np.arange(12.0).reshape(y.shape).astype(kind)
        dq = tape.gradient(y, tensors[0], ops.convert_to_tensor(dy))
        assert (np.abs(dq.numpy()[1]).max() > 1e-3) == steep, idle


def test_soft_cap(backend):
    q, k, v = draw(2, 3, 4, 2, 1, 3, 2)

    def capped(q, k, v, attn_logits_soft_cap):
        wide = np.repeat(k, 2, axis=2)
        scores = np.einsum("btnh,bsnh->bnts", q, wide) / np.sqrt(3)
        scores = np.tanh(scores / attn_logits_soft_cap) * attn_logits_soft_cap
        p = np.exp(scores)
        return np.einsum("bnts,bsnv->btnv", p / p.sum(-1, keepdims=True), np.repeat(v, 2, axis=2))

    check_op(ops.dot_product_attention, [q, k, v], capped, kwargs={"attn_logits_soft_cap": 0.7},
             second_order=True)


def test_float16(backend):
    """Masked scores stay finite, and large ones do not overflow in the softmax."""
    q, k, v = draw(2, 20, 30, 4, 4, 8, 8)
    mask = RNG.random((2, 1, 20, 30)) < 0.5
    mask[0, 0, 0] = False
    expected = reference(q, k, v, mask=mask)
    tensors = [tensor_here(x.astype("float16")) for x in (q, k, v)]
    with GradientTape() as tape:
        tape.watch(tensors)
        y = ops.dot_product_attention(*tensors, mask=tensor_here(mask))
    assert y.dtype == "float16"
    np.testing.assert_allclose(y.numpy(), expected, rtol=2e-2, atol=2e-2)
    assert all(g.dtype == "float16" and np.isfinite(g.numpy()).all() for g in tape.gradient(y, tensors))


def test_mixed_and_empty():
    """Integers become floats, types are promoted, and no samples give no results."""
    q, k, v = (ops.ones((2, 3, 1, 2), dtype=kind) for kind in ("int32", "float16", "float32"))
    assert ops.dot_product_attention(q, k, v).dtype == "float32"
    none = ops.zeros((0, 3, 2, 4))
    assert ops.dot_product_attention(none, none, none).shape == (0, 3, 2, 4)


def test_flash_attention_changes_nothing():
    q, k, v = (ops.convert_to_tensor(x) for x in draw(*SIZES[0]))
    expected = ops.dot_product_attention(q, k, v).numpy()
    assert config.is_flash_attention_enabled() is None
    config.disable_flash_attention()
    assert config.is_flash_attention_enabled() is False
    config.enable_flash_attention()
    assert config.is_flash_attention_enabled() is None
    for flash in (True, False):
        found = ops.dot_product_attention(q, k, v, flash_attention=flash)
        np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("shapes, text", [
    ([(2, 3, 4), (2, 5, 4), (2, 5, 4)], "axes .batch, time, heads, features., came query"),
    ([(2, 3, 2, 4), (2, 5, 2, 4), (2, 6, 2, 4)], "keys and values equally many"),
    ([(2, 3, 2, 4), (2, 5, 2, 3), (2, 5, 2, 4)], "queries and keys of one width"),
    ([(2, 3, 3, 4), (2, 5, 2, 4), (2, 5, 2, 4)], "a multiple of that of queries"),
    ([(2, 3, 2, 4), (3, 5, 2, 4), (3, 5, 2, 4)], "batch sizes must be equal"),
])
def test_wrong_shapes(shapes, text):
    with pytest.raises(ValueError, match=text):
        ops.dot_product_attention(*map(ops.zeros, shapes))
    if len(shapes[0]) == 4:
        with pytest.raises(ValueError, match=text):
            ops.dot_product_attention(*map(KerasTensor, shapes))


def test_wrong_masks_and_rates():
    q, k, v = (ops.convert_to_tensor(x) for x in draw(2, 3, 4, 2, 2, 3, 5))
    with pytest.raises(ValueError, match=r"mask must broadcast to shape \(2, 2, 3, 4\), came \(3, 3, 4\)"):
        ops.dot_product_attention(q, k, v, mask=ops.ones((3, 3, 4), dtype="bool"))
    with pytest.raises(ValueError, match="the bias must broadcast"):
        ops.dot_product_attention(q, k, v, bias=ops.ones((5,)))
    with pytest.raises(ValueError, match="dropout rate must lie between 0 and 1, came 2"):
        attention(q, k, v, rate=2)


def test_symbolic():
    q, k = KerasTensor((None, 3, 4, 8)), KerasTensor((None, None, 2, 8))
    y = ops.dot_product_attention(q, k, k)
    assert (y.shape, y.dtype) == ((None, 3, 4, 8), "float32")
    y, p = attention(q, k, k, scores="plain")
    assert p.shape == (None, 4, 3, None)


def test_parts_in_any_order(monkeypatch):
    """Heads in turn: samples and heads in pieces of every size give the same."""
    from gpukeras.backends import attention as module

    q, k, v = (np.moveaxis(x, 1, 2) for x in draw(3, 40, 30, 4, 4, 5, 6))
    expected, seen = backends.CPU.attention_forward(q, k, v, None, 0.5)
    dy = RNG.standard_normal(expected.shape)
    gradients = backends.CPU.attention_backward(dy, expected, seen, True)
    assert not isinstance(seen, module.Seen)
    for chunk in (1, 1 << 11, 3 << 11, 1 << 13):
        monkeypatch.setattr(module, "CHUNK", chunk)
        y, seen = backends.CPU.attention_forward(q, k, v, None, 0.5)
        np.testing.assert_allclose(y, expected, rtol=1e-12)
        for a, b in zip(backends.CPU.attention_backward(dy, y, seen, True), gradients):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_predict_keeps_no_record(backend):
    q, k, v = map(tensor_here, draw(*SIZES[0]))
    assert not autograd.recording()
    ops.dot_product_attention(q, k, v)
    assert not q.uid


# ---- additive scores --------------------------------------------------------------------------------
def test_additive_scores(backend):
    q, k, w = RNG.standard_normal((2, 3, 4)), RNG.standard_normal((2, 5, 4)), RNG.standard_normal(4)
    check_op(additive_scores, [q, k, w],
             lambda q, k, w: (np.tanh(q[:, :, None] + k[:, None]) * w).sum(-1), second_order=True)
    with pytest.raises(ValueError, match="equal batch size and width"):
        additive_scores(ops.zeros((2, 3, 4)), ops.zeros((2, 3, 5)), ops.zeros((4,)))


def test_weighted_values(backend):
    scores, v = RNG.standard_normal((2, 4, 4)), RNG.standard_normal((2, 4, 3))
    mask = np.array([[[1, 1, 0, 1]], [[1, 0, 0, 1]]], bool)

    def expected(scores, v):
        scores = np.where(mask & np.tri(4, dtype=bool), scores, -np.inf)
        e = np.exp(scores - scores.max(-1, keepdims=True))
        p = e / e.sum(-1, keepdims=True)
        return p @ v, p

    check_op(lambda s, v: weighted_values(s, v, tensor_here(mask), causal=True), [scores, v], expected,
             symbolic=False)
    y, p = weighted_values(tensor_here(scores), tensor_here(v), rate=0.5, seed=1)
    np.testing.assert_allclose(y.numpy(), p.numpy() @ v, rtol=1e-12)
    assert (p.numpy() == 0).any()
