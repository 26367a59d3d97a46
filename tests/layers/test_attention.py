"""Attention, AdditiveAttention, MultiHeadAttention, GroupQueryAttention."""

import numpy as np
import pytest
from support import emulator
from support.fake_device import emulated
from support.layer_checks import check_layer

import gpukeras as keras
from gpukeras import layers, ops
from gpukeras.symbolic import KerasTensor

RNG = np.random.default_rng(1)
X, Y = RNG.standard_normal((3, 4, 6)), RNG.standard_normal((3, 5, 6))
KEPT = np.array([[1, 1, 0, 1, 1], [1, 0, 0, 0, 0], [0, 1, 1, 1, 0]], bool)


def softmax(scores, seen=True):
    scores = np.where(seen, scores, -1e30)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def project(x, kernel, bias=None):
    y = np.einsum("btd,dnh->btnh", x, kernel)
    return y if bias is None else y + bias


def heads(query, value, weights, mask=True, bias=True):
    """What MultiHeadAttention computes; of fewer heads of keys, neighbours share."""
    weights = list(weights) if bias else [w for k in weights for w in (k, None)]
    q, k, v = (project(x, *weights[2 * i:2 * i + 2]) for i, x in enumerate((query, value, value)))
    k, v = (np.repeat(x, q.shape[2] // x.shape[2], axis=2) for x in (k, v))
    p = softmax(np.einsum("btnh,bsnh->bnts", q, k) / np.sqrt(q.shape[-1]), mask)
    y = np.einsum("btnh,nho->bto", np.einsum("bnts,bsnh->btnh", p, v), weights[6])
    return (y if weights[7] is None else y + weights[7]), p


def random_weights(layer):
    layer.set_weights([RNG.standard_normal(w.shape) for w in layer.weights])


# ---- one head ----------------------------------------------------------------------------------------
def test_attention():
    def reference(inputs, scale):
        q, v = inputs
        return softmax(scale * q @ v.swapaxes(1, 2)) @ v

    check_layer(layers.Attention, {"use_scale": True}, inputs=[X, Y], setup=random_weights,
                reference=reference, output_shape=(None, 4, 6))
    check_layer(layers.Attention, {"dropout": 0.3, "seed": 2}, inputs=[X, Y], random=True, trainable=False)


def test_additive_attention():
    def reference(inputs, scale):
        q, v = inputs
        return softmax((np.tanh(q[:, :, None] + v[:, None]) * scale).sum(-1)) @ v

    check_layer(layers.AdditiveAttention, {}, inputs=[X, Y], setup=random_weights, reference=reference)
    check_layer(layers.AdditiveAttention, {"dropout": 0.5}, inputs=[X, Y], random=True, trainable=False)


@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention"])
def test_masks(name):
    """The query's mask makes zeros and goes on; values whose mask is false do not count."""
    layer = getattr(layers, name)()
    queries = KEPT[:, :4]
    y, p = layer([X, Y], mask=[queries, KEPT], return_attention_scores=True)
    assert (y.numpy()[~queries] == 0).all() and (np.abs(y.numpy()[queries]).max(-1) > 0).all()
    assert (p.numpy()[~np.broadcast_to(KEPT[:, None], p.shape)] == 0).all()
    np.testing.assert_array_equal(y._keras_mask.numpy(), queries)
    changed = np.where(KEPT[..., None], Y, 100.0)
    np.testing.assert_array_equal(layer([X, changed], mask=[queries, KEPT]).numpy(), y.numpy())
    padded = layers.Masking()(np.where(KEPT[..., None], Y, 0.0))  # masks that travel with tensors
    np.testing.assert_array_equal(layer([ops.convert_to_tensor(X.astype("float32")), padded]).numpy(),
                                  layer([X, Y], mask=[None, KEPT]).numpy())


def test_causal():
    later = X.copy()
    later[:, 2:] += 10
    for layer in (layers.Attention(), layers.AdditiveAttention(), layers.Attention(score_mode="concat")):
        first, second = (layer([x, x], use_causal_mask=True).numpy()[:, :2] for x in (X, later))
        np.testing.assert_array_equal(first, second)
    q = ops.convert_to_tensor(X)
    for layer in (layers.MultiHeadAttention(2, 3), layers.GroupQueryAttention(3, 4, 2)):
        layer(q, q)
        first, second = (layer(x, x, use_causal_mask=True).numpy()[:, :2] for x in (X, later))
        np.testing.assert_allclose(first, second, rtol=1e-6)


def test_attention_errors():
    layer = layers.Attention()
    for wrong, text in ((X, "takes a list of tensors"), ([X], "came 1 of them"), ([X] * 4, "came 4 of them")):
        with pytest.raises(ValueError, match=text):
            layer(wrong)
    with pytest.raises(ValueError, match="the mask must be a list, .query_mask, value_mask."):
        layer([X, Y], mask=KEPT)
    with pytest.raises(ValueError, match="score_mode must be 'dot' or 'concat', came 'mean'"):
        layers.Attention(score_mode="mean")
    with pytest.raises(ValueError, match="dropout must be between 0 and 1, came 1.5"):
        layers.AdditiveAttention(dropout=1.5)


# ---- many heads --------------------------------------------------------------------------------------
def check_heads(cls, kwargs, *tensors, reference=None, **call):
    """``check_layer`` for layers that take query, value and key one by one: inside a model."""
    layer = cls(**kwargs, dtype="float64")
    layer(*tensors)
    random_weights(layer)
    found = layer(*tensors, **call)
    if reference is not None:
        expected = reference(*tensors[:2], [w.numpy() for w in layer.weights])
        found = found if isinstance(found, tuple) else (found,)
        for a, b in zip(found, expected):
            np.testing.assert_allclose(a.numpy(), b, rtol=1e-9, atol=1e-12)
    inputs = [keras.Input(x.shape[1:], dtype="float64") for x in tensors]
    model = keras.Model(inputs, layer(*inputs, **call))
    copy = cls.from_config(layer.get_config())
    copy(*tensors)
    copy.set_weights(layer.get_weights())
    for a, b, c in zip(*map(keras.tree.flatten, (layer(*tensors, **call), copy(*tensors, **call),
                                                 model(list(tensors))))):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        np.testing.assert_allclose(a.numpy(), c.numpy(), rtol=1e-4, atol=1e-4)  # models read float32
    return layer


def test_multi_head_attention():
    check_heads(layers.MultiHeadAttention, {"num_heads": 2, "key_dim": 3, "value_dim": 5}, X, Y,
                reference=heads, return_attention_scores=True)
    layer = check_heads(layers.MultiHeadAttention, {"num_heads": 2, "key_dim": 3, "use_bias": False}, X, Y,
                        reference=lambda q, v, w: heads(q, v, w, bias=False)[:1])
    assert [w.path.rpartition("/")[0].rpartition("/")[2] for w in layer.weights] == [
        "query", "key", "value", "attention_output"]
    assert layer.query_dense.kernel is layer.weights[0] and layer.output_dense.kernel is layer.weights[-1]


def test_group_query_attention():
    layer = check_heads(
        layers.GroupQueryAttention, {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}, X, Y,
        reference=heads, return_attention_scores=True)
    assert layers.serialize(layer)["class_name"] == "GroupQueryAttention"
    assert layer.name.startswith("grouped_query_attention")  # as Keras calls it
    again = layers.deserialize(layers.serialize(layer))
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("make", [
    lambda: layers.MultiHeadAttention(2, 3), lambda: layers.GroupQueryAttention(3, 4, 2),
], ids=["MultiHead", "GroupQuery"])
def test_masks_of_heads(make):
    """Masks as arguments and masks that travel with the inputs count together."""
    layer = make()
    padded = layers.Masking()(np.where(KEPT[..., None], Y, 0.0))
    queries = layers.Masking()(np.where(KEPT[:, :4, None], X, 0.0))
    seen = RNG.random((3, 4, 5)) < 0.7
    y, p = layer(queries, padded, attention_mask=seen, return_attention_scores=True)
    counts = KEPT[:, :4, None] & KEPT[:, None] & seen
    assert ((p.numpy() > 0) == np.broadcast_to(counts[:, None], p.shape)).all()
    np.testing.assert_array_equal(y._keras_mask.numpy(), KEPT[:, :4])
    given = layer(queries.numpy(), padded.numpy(), query_mask=KEPT[:, :4], value_mask=KEPT, key_mask=KEPT,
                  attention_mask=seen, return_attention_scores=True)[0]
    np.testing.assert_array_equal(given.numpy(), y.numpy())


def test_attention_axes():
    """Attention along one axis of several treats the others as samples."""
    x = RNG.standard_normal((2, 3, 4, 6)).astype("float32")
    layer = layers.MultiHeadAttention(2, 3, attention_axes=2)
    y, p = layer(x, x, return_attention_scores=True)
    assert y.shape == x.shape and p.shape == (2, 3, 2, 4, 4)
    flat = layers.MultiHeadAttention(2, 3)
    rows = x.reshape(6, 4, 6)
    flat(rows, rows)
    flat.set_weights(layer.get_weights())
    np.testing.assert_allclose(y.numpy().reshape(6, 4, 6), flat(rows, rows).numpy(), rtol=1e-5, atol=1e-6)
    mask = RNG.random((2, 3, 4, 4)) < 0.7
    mask[..., 0] = True
    masked = layer(x, x, attention_mask=mask[:, :, None])
    expected = flat(rows, rows, attention_mask=mask.reshape(6, 4, 4))
    np.testing.assert_allclose(masked.numpy().reshape(6, 4, 6), expected.numpy(), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="attention_axes=.3,. must be axes of time"):
        layers.MultiHeadAttention(2, 3, attention_axes=3)(x, x)


def test_regularizers():
    """The activity regularizer is that of every projection, masks or not."""
    layer = layers.MultiHeadAttention(2, 3, activity_regularizer="l2", kernel_regularizer="l1")
    x = layers.Masking()(X)
    layer(x, x)
    assert len(layer.losses) == 8
    config = layer.get_config()
    assert config["activity_regularizer"]["class_name"] == "L2"
    assert layers.MultiHeadAttention.from_config(config).get_config() == config


def test_configuration_of_keras_2():
    """tf.keras 2 wrote shapes, and the layer is built by them."""
    config = {"name": "mha", "trainable": True, "dtype": "float32", "num_heads": 2, "key_dim": 3,
              "value_dim": 3, "dropout": 0.0, "use_bias": True, "output_shape": None, "attention_axes": (1,),
              "query_shape": (None, 4, 6), "key_shape": (None, 5, 6), "value_shape": (None, 5, 6),
              "softmax_robust_masking": False}
    layer = layers.MultiHeadAttention.from_config(config)
    assert layer.built and layer.weights[0].shape == (6, 2, 3)


def test_shapes():
    q, v = KerasTensor((None, None, 6)), KerasTensor((None, 5, 4))
    layer = layers.MultiHeadAttention(2, 3, output_shape=7)
    y, p = layer(q, v, return_attention_scores=True)
    assert y.shape == (None, None, 7) and p.shape == (None, 2, None, 5)
    layer = layers.GroupQueryAttention(3, 4, 2)
    y, p = layer(q, v, return_attention_scores=True)
    assert y.shape == (None, None, 6) and p.shape == (None, 4, None, 5)


@pytest.mark.parametrize("make, text", [
    (lambda: layers.MultiHeadAttention(0, 3), "num_heads must be a positive integer, came 0"),
    (lambda: layers.MultiHeadAttention(2, 3, sliding_window=0), "sliding_window must be None or a positive"),
    (lambda: layers.MultiHeadAttention(2, 3, dropout=-1), "dropout must be between 0 and 1, came -1"),
    (lambda: layers.MultiHeadAttention(2, 3, attention_axes=()), "must name an axis"),
    (lambda: layers.MultiHeadAttention(2, 3)(X, X[:, 0]), "of shape .batch, time, features., or with more"),
    (lambda: layers.GroupQueryAttention(3, 4, 3), "num_key_value_heads=3 must divide num_query_heads=4"),
    (lambda: layers.GroupQueryAttention(3, 0, 1), "num_query_heads must be a positive integer, came 0"),
    (lambda: layers.GroupQueryAttention(3, 4, 2)(X[None], X[None]), "of shape .batch, time, features.; came"),
])
def test_errors(make, text):
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.cpu
def test_training():
    """A block of a transformer learns which step of a sequence is the largest, in half precision as well."""
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(256, 6, 8)).astype("float32")
    y = x[:, :, 0].argmax(1)
    for policy in ("float32", "mixed_float16"):
        keras.utils.set_random_seed(1)
        inputs = keras.Input((6, 8))
        z = layers.MultiHeadAttention(2, 8, dropout=0.05, dtype=policy)(inputs, inputs)
        z = layers.LayerNormalization(dtype=policy)(layers.Concatenate()([inputs, z]))
        outputs = layers.Flatten()(layers.Dense(1)(z))
        model = keras.Model(inputs, layers.Softmax(dtype="float32")(outputs))
        model.compile(keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(x, y, epochs=15, batch_size=32, verbose=0).history
        assert history["accuracy"][-1] > 0.6 > history["accuracy"][0], policy


@pytest.mark.cpu
def test_recorded_steps():
    """Small models with attention train by recorded steps."""
    x, y = RNG.standard_normal((128, 6, 8)).astype("float32"), RNG.integers(0, 2, 128)
    for make in (lambda t: layers.MultiHeadAttention(2, 4, dropout=0.1)(t, t, use_causal_mask=True),
                 lambda t: layers.GroupQueryAttention(4, 4, 2, use_gate=True)(t, t),
                 lambda t: layers.Attention(use_scale=True)([t, t]),
                 lambda t: layers.AdditiveAttention(dropout=0.2)([t, t])):
        inputs = keras.Input((6, 8))
        z = layers.RMSNormalization()(layers.GroupNormalization(2)(make(layers.Dense(8)(inputs))))
        model = keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Flatten()(z)))
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=16, verbose=0)
        assert "recorded" in keras.config.explain(model)


@pytest.mark.cpu
@pytest.mark.skipif(bool(emulator.missing()), reason=f"kernels: {emulator.missing()}")
def test_captured_steps():
    """On a GPU, steps with attention become graphs."""
    x, y = RNG.standard_normal((48, 6, 8)).astype("float32"), RNG.integers(0, 2, 48)
    with emulated():
        inputs = keras.Input((6, 8))
        z = layers.MultiHeadAttention(2, 4, dropout=0.1)(inputs, inputs, use_causal_mask=True)
        z = layers.GroupQueryAttention(4, 2, 1)(z, z)
        z = layers.GroupNormalization(2)(layers.Attention()([inputs, z]))
        model = keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Flatten()(z)))
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=8, verbose=0)
        assert "captured as a graph" in keras.config.explain(model)
