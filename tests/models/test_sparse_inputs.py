"""Sparse matrices through fit, evaluate, predict and calls: the same numbers as for dense arrays."""

import numpy as np
import pytest
from support.fake_device import fake_device

import gpukeras as keras
from gpukeras.backends.sparse import CompressedRows
from gpukeras.models import data as data_module
from gpukeras.models.data import make_source
from gpukeras.sparse import SparseTensor

pytestmark = pytest.mark.cpu

sparse = pytest.importorskip("scipy.sparse")


def words(seed=0, samples=50, width=40, counts=False):
    rng = np.random.default_rng(seed)
    x = (rng.random((samples, width)) < 0.1).astype("float32")
    x *= rng.integers(1, 4, x.shape) if counts else 1
    return x, rng.integers(0, 2, (samples, 1)).astype("float32")


def mlp(first=None, **compiling):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([
        keras.Input((40,)), *(first or []), keras.layers.Dense(6, activation="relu"), keras.layers.Dense(1),
    ])
    model.compile("adam", "mse", **compiling)
    return model


def trained(x, y, model, **fitting):
    keras.utils.set_random_seed(5)
    history = model.fit(x, y, batch_size=16, epochs=2, verbose=0, **fitting).history
    return history, model.get_weights()


def assert_same(found, expected):
    for a, b in zip(found[0].values(), expected[0].values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    for a, b in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("fitting", [
    {}, {"shuffle": False}, {"shuffle": "batch"}, {"validation_split": 0.3},
    {"class_weight": {0: 1.0, 1: 3.0}}, {"sample_weight": np.linspace(0, 2, 50)},
])
def test_fit_gives_the_numbers_of_dense_data(fitting, counts):
    x, y = words(counts=counts)
    assert_same(trained(sparse.csr_matrix(x), y, mlp(), **fitting), trained(x, y, mlp(), **fitting))


def test_a_wide_layer_sees_rows_without_zeros(monkeypatch):
    x, y = words(samples=600, width=3000)

    def model():
        keras.utils.set_random_seed(3)
        made = keras.Sequential([keras.Input((3000,)), keras.layers.Dense(16, activation="relu"),
                                 keras.layers.Dense(1)])
        made.compile("adam", "mse")
        return made

    expected = trained(x, y, model())
    with monkeypatch.context() as patch:
        patch.setattr(CompressedRows, "toarray", lambda self: pytest.fail("made dense"))
        assert_same(trained(sparse.csr_matrix(x), y, model()), expected)


@pytest.mark.parametrize("make", [
    sparse.csr_array, sparse.csc_matrix, sparse.coo_array, sparse.lil_matrix, sparse.dok_matrix,
    sparse.bsr_array, sparse.dia_matrix, lambda x: sparse.csr_matrix(x.astype("int64")),
    lambda x: sparse.csr_matrix(x.astype("float64")), lambda x: sparse.csr_matrix(x.astype(bool)),
])
def test_every_format_and_dtype(make):
    x, y = words()
    matrix = make(x)
    assert_same(trained(matrix, y, mlp()), trained(x, y, mlp()))
    model = mlp()
    np.testing.assert_allclose(model(matrix).numpy(), model(x).numpy(), rtol=1e-5, atol=1e-6)
    assert model.evaluate(matrix, y, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-5)
    np.testing.assert_allclose(model.predict(matrix, verbose=0), model(x).numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict_on_batch(matrix), model(x).numpy(), rtol=1e-5, atol=1e-6)
    assert model.test_on_batch(matrix, y) == pytest.approx(model.test_on_batch(x, y), rel=1e-5)
    assert model.train_on_batch(matrix, y) == pytest.approx(mlp().train_on_batch(x, y), rel=1e-5)


def test_validation_data_labels_and_generators_may_be_sparse():
    x, y = words()
    matrix, labels = sparse.csr_matrix(x), sparse.csr_matrix(y)
    found = trained(matrix, labels, mlp(), validation_data=(matrix, labels))
    assert_same(found, trained(x, y, mlp(), validation_data=(x, y)))

    def batches(x, y):
        while True:
            yield x[:20], y[:20]

    found = mlp().fit(batches(matrix, y), steps_per_epoch=3, verbose=0).history
    assert found["loss"] == pytest.approx(
        mlp().fit(batches(x, y), steps_per_epoch=3, verbose=0).history["loss"], rel=1e-5)


@pytest.mark.parametrize("first", [
    lambda: [keras.layers.Dropout(0.0)], lambda: [keras.layers.Reshape((40, 1)), keras.layers.Flatten()],
    lambda: [keras.layers.BatchNormalization()],
])
def test_layers_that_know_nothing_of_it_get_a_dense_batch(first):
    x, y = words()
    assert_same(trained(sparse.csr_matrix(x), y, mlp(first())), trained(x, y, mlp(first())))


def test_functional_inputs_and_subclasses():
    x, y = words()
    dense = np.random.default_rng(1).random((50, 3)).astype("float32")

    def model():
        keras.utils.set_random_seed(3)
        a, b = keras.Input((40,), sparse=True, name="words"), keras.Input((3,), name="numbers")
        hidden = keras.layers.Dense(4, activation="tanh", use_bias=False)(a)
        out = keras.layers.Dense(1, activation="sigmoid")(keras.layers.Concatenate()([hidden, b]))
        made = keras.Model({"words": a, "numbers": b}, out)
        made.compile("sgd", "binary_crossentropy")
        return made

    matrix = sparse.csr_matrix(x)
    assert_same(trained({"words": matrix, "numbers": dense}, y, model()),
                trained({"words": x, "numbers": dense}, y, model()))

    class Twice(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = keras.layers.Dense(4)
            self.out = keras.layers.Dense(1)

        def call(self, x):
            return self.out(self.hidden(x) + self.hidden(x * 2.0)) + keras.ops.sum(x, axis=1, keepdims=True)

    def subclassed(x):
        keras.utils.set_random_seed(3)
        model = Twice()
        model.compile("adam", "mse")
        return trained(x, y, model)

    assert_same(subclassed(matrix), subclassed(x))


def test_nearly_empty_arrays_are_trained_on_without_their_zeros(monkeypatch):
    monkeypatch.setattr(data_module, "_LARGE", 1000)
    monkeypatch.setattr(data_module, "_WIDE", 20)
    monkeypatch.setattr(data_module, "_NEARLY_EMPTY", 0.15)
    x, y = words()
    before = x.copy()
    source = make_source(x, y, shuffle=True)
    assert type(source.parts[0]) is CompressedRows
    assert type(next(iter(source))[0]) is SparseTensor
    assert type(make_source(x, y, what="evaluate").parts[0]) is np.ndarray
    found = trained(x, y, mlp(), validation_data=(x, y))
    np.testing.assert_array_equal(x, before)
    keras.config.skip_zeros(False)
    try:
        assert type(make_source(x, y).parts[0]) is np.ndarray and not keras.config.zeros_skipped()
        assert_same(found, trained(x, y, mlp(), validation_data=(x, y)))
    finally:
        keras.config.skip_zeros(True)
    for kept in (x + 1, x[:, :10], x[:5], x.astype("int64"), x.reshape(50, 20, 2)):
        assert type(make_source(kept).parts[0]) is np.ndarray
    x[1:10] = 1  # not seen in the sample of rows, but counted
    monkeypatch.setattr(data_module, "density", lambda array: 0.0)
    monkeypatch.setattr(data_module, "_NEARLY_EMPTY", 0.1)
    assert type(make_source(x).parts[0]) is np.ndarray


def test_a_sparse_batch_can_be_watched_and_differentiated_twice():
    x, _ = words(counts=True)
    layer = keras.layers.Dense(3, activation="tanh")
    layer(x)
    batch = next(iter(make_source(sparse.csr_matrix(x), batch_size=50)))[0]
    assert type(batch) is SparseTensor and batch.size == x.size and batch.ndim == 2 and batch.device == "cpu"
    results = []
    for tensor in (batch, keras.ops.convert_to_tensor(x)):
        with keras.GradientTape() as outer:
            with keras.GradientTape() as tape:
                loss = keras.ops.sum(layer(tensor) ** 2)
            gradients = tape.gradient(loss, [layer.kernel, layer.bias])
            norm = sum(keras.ops.sum(g * g) for g in gradients)
        with keras.GradientTape() as watching:
            watching.watch(tensor)
            loss = keras.ops.sum(layer(tensor) ** 2)
        results.append([*gradients, *outer.gradient(norm, layer.trainable_weights),
                        watching.gradient(loss, tensor)])
    for a, b in zip(*results):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5)


def test_policies_of_other_precision():
    x, y = words()
    for policy in ("mixed_float16", "float64"):
        with_policy = [keras.layers.Dense(5, dtype=policy)]
        model, matrix = mlp(with_policy), sparse.csr_matrix(x)
        np.testing.assert_allclose(model(matrix).numpy(), model(x).numpy(), rtol=1e-5, atol=1e-6)
        assert np.isfinite(model.train_on_batch(matrix, y))


def test_errors_say_what_came():
    x, y = words()
    model = mlp()
    with pytest.raises(ValueError, match="expects shape"):
        model.fit(sparse.csr_matrix(x[:, :30]), y, verbose=0)
    with pytest.raises(ValueError, match="same number of samples"):
        model.fit(sparse.csr_matrix(x), y[:20], verbose=0)
    with pytest.raises(ValueError, match="complex"):
        model.fit(sparse.csr_matrix(x.astype("complex64")), y, verbose=0)
    with pytest.raises(ValueError, match="empty"):
        model.fit(sparse.csr_matrix((0, 40)), y[:0], verbose=0)


def test_on_another_device_batches_are_dense():
    x, y = words()
    expected = trained(x, y, mlp())
    with fake_device() as device:
        model = mlp()
        assert_same(trained(sparse.csr_matrix(x), y, model), expected)
        assert device.owns(model(sparse.csr_matrix(x)).array)
