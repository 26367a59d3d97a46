"""ReversibleEmbedding, and what embeddings take from older eras."""

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import GradientTape, layers, ops

IDS = np.array([[1, 2, 0], [3, 0, 1]])


@pytest.mark.parametrize("tied", [True, False])
def test_both_ways(tied):
    layer = layers.ReversibleEmbedding(5, 4, tie_weights=tied, logit_soft_cap=0.7)
    y = layer(IDS)
    table = layer.embeddings.numpy()
    np.testing.assert_array_equal(y.numpy(), table[IDS])
    back = table.T if tied else layer.reverse_embeddings.numpy()
    assert back.shape == (4, 5) and len(layer.weights) == 2 - tied
    expected = np.tanh(y.numpy() @ back / 0.7) * 0.7
    np.testing.assert_allclose(layer(y, reverse=True).numpy(), expected, rtol=1e-5)
    assert layer.compute_output_shape((2, 3)) == (2, 3, 4)
    assert layer.compute_output_shape((2, 3, 4), reverse=True) == (2, 3, 5)
    assert layer(keras.Input((3, 4)), reverse=True).shape == (None, 3, 5)
    again = layers.deserialize(layers.serialize(layer))
    assert again.get_config() == layer.get_config()


def test_gradient_of_a_shared_table():
    """Both uses add up."""
    layer = layers.ReversibleEmbedding(5, 4)
    with GradientTape() as tape:
        total = ops.sum(layer(layer(IDS), reverse=True))
    table = layer.embeddings.numpy().astype("float64")
    counts = np.bincount(IDS.ravel(), minlength=5)[:, None]
    expected = counts * table.sum(0) + table[IDS].sum((0, 1))
    np.testing.assert_allclose(tape.gradient(total, layer.embeddings).numpy(), expected, rtol=1e-5)


def test_masks_and_dtypes():
    layer = layers.ReversibleEmbedding(5, 4, mask_zero=True, dtype="mixed_float16", reverse_dtype="float32")
    y = layer(IDS)
    assert y.dtype == "float16"
    np.testing.assert_array_equal(y._keras_mask.numpy(), IDS != 0)
    assert layer(y, reverse=True).dtype == "float32"


@pytest.mark.cpu
def test_language_model():
    """A tied table learns which word follows which."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 8, (256, 3))
    inputs = keras.Input((3,), dtype="int32")
    table = layers.ReversibleEmbedding(8, 16)
    outputs = table(layers.Dense(16, activation="tanh")(table(inputs)), reverse=True)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.03),
                  keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    history = model.fit(x, (x + 1) % 8, epochs=6, batch_size=32, verbose=0).history
    assert history["accuracy"][-1] > 0.95


def test_older_arguments():
    layer = layers.Embedding(5, 4, init="ones", W_regularizer="l2", W_constraint="non_neg",
                             use_one_hot_matmul=True, sparse=True)
    layer(IDS)
    assert (layer.embeddings.numpy() == 1).all()
    assert layer.embeddings_regularizer is not None and layer.embeddings_constraint is not None
    dense = layers.Dense(output_dim=3, init="ones", bias=False, W_regularizer="l1")
    assert dense.units == 3 and not dense.use_bias and dense.kernel_regularizer is not None
    assert layers.BatchNormalization(beta_init="ones", gamma_init="zeros").get_config()[
        "beta_initializer"]["class_name"] == "Ones"
    assert layers.PReLU(init="ones").alpha_initializer((1,)) == 1
    for name in ("lora_rank", "lora_alpha", "quantization_config"):
        for make in (layers.Embedding, layers.ReversibleEmbedding):
            with pytest.raises(NotImplementedError, match=f"{name}=4 is not supported"):
                make(5, 4, **{name: 4})


def test_softmax_without_any_place():
    """Rows that are masked out altogether are zeros."""
    mask = np.array([[1, 1, 0], [0, 0, 0]], bool)
    x = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    y = layers.Softmax()(x, mask=mask).numpy()
    np.testing.assert_allclose(y[0, :2], np.exp([1, 2]) / np.exp([1, 2]).sum(), rtol=1e-6)
    assert not y[1].any() and not layers.Softmax(axis=[0, 1])(x, mask=np.zeros_like(mask)).numpy().any()
