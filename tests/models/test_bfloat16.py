"""Models that compute in bfloat16 learn, on both devices, in ordinary and in recorded steps."""

import numpy as np
import pytest
from support.halves import needs_bfloat16

import gpukeras as keras
from gpukeras import layers

pytestmark = needs_bfloat16
POLICIES = ["mixed_bfloat16", "bfloat16"]
RNG = np.random.default_rng(9)
X = RNG.standard_normal((96, 8)).astype("float32")
Y = (X[:, :3].sum(1) > 0).astype("int32")


@pytest.fixture(params=POLICIES)
def policy(request):
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(None)


def dense():
    return [keras.Input((8,)), layers.Dense(16, activation="relu"), layers.Dense(16, activation="tanh"),
            layers.Dense(2, activation="softmax")]


def images():
    return [
        keras.Input((8,)), layers.Reshape((4, 2, 1)), layers.Conv2D(4, 3, padding="same", activation="relu"),
        layers.BatchNormalization(), layers.MaxPooling2D((2, 1)), layers.Dropout(0.1), layers.Flatten(),
        layers.Dense(8, activation="gelu"), layers.LayerNormalization(), layers.Dense(2),
    ]


def text():
    return [keras.Input((8,), dtype="int32"), layers.Embedding(20, 6), layers.LSTM(5),
            layers.Dense(2, activation="softmax")]


def trained(made, x=X, epochs=6, **compile_options):
    keras.utils.set_random_seed(3)
    model = keras.Sequential(made())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=made is images)
    model.compile(keras.optimizers.Adam(0.02), loss, metrics=["accuracy"], **compile_options)
    history = model.fit(x, Y, batch_size=32, epochs=epochs, verbose=0).history
    return model, history


@pytest.mark.parametrize("made", [dense, images])
def test_models_learn(policy, made):
    model, history = trained(made)
    assert history["loss"][-1] < 0.75 * history["loss"][0]
    assert {str(w.dtype) for w in model.weights if "seed" not in w.name} == {
        "float32" if policy == "mixed_bfloat16" else "bfloat16"}
    loss, accuracy = model.evaluate(X, Y, verbose=0)
    predictions = model.predict(X, verbose=0)
    assert type(predictions) is np.ndarray and predictions.shape == (96, 2)
    assert predictions.dtype == "bfloat16"
    assert abs((predictions.argmax(1) == Y).mean() - accuracy) < 1e-6
    assert isinstance(loss, float) and loss < 0.75 * history["loss"][0]
    assert model(X[:2]).dtype == "bfloat16" and np.isfinite(float(model.train_on_batch(X[:32], Y[:32])[0]))


def test_words(policy):
    _, history = trained(text, RNG.integers(0, 20, (96, 8)).astype("int32"), epochs=2)
    assert np.isfinite(history["loss"]).all()


def test_steps_are_recorded(policy):
    """As graphs on a GPU, as a list of calls on a CPU; they give what ordinary steps give."""
    model, history = trained(dense)
    told = keras.config.explain(model)
    assert "recorded, " in told or "captured as a graph" in told
    _, eager = trained(dense, run_eagerly=True)
    np.testing.assert_allclose(history["loss"], eager["loss"], 2e-3)


def test_half_and_float32_are_near(policy):
    """Training in bfloat16 follows training in float32 for some steps."""
    _, history = trained(dense, epochs=3)
    keras.config.set_dtype_policy("float32")
    _, exact = trained(dense, epochs=3)
    np.testing.assert_allclose(history["loss"], exact["loss"], 0.03)


def test_losses_and_metrics_are_float32(policy):
    model = keras.Sequential(dense())
    y = keras.ops.one_hot(Y, 2)
    model.compile("sgd", "mse", metrics=["mae", keras.metrics.MeanSquaredError()])
    found = model.evaluate(X, y, verbose=0, return_dict=True)
    predictions = model.predict(X, verbose=0).astype("float32")
    expected = ((predictions - y.numpy()) ** 2).mean()
    np.testing.assert_allclose([found["loss"], found["mean_squared_error"]], expected, 1e-5)
    np.testing.assert_allclose(found["mae"], abs(predictions - y.numpy()).mean(), 1e-5)
    assert all(v.dtype == "float32" for m in model.metrics for v in m.variables)
    loss = keras.losses.MeanSquaredError()(y, keras.ops.convert_to_tensor(model.predict(X, verbose=0)))
    assert loss.dtype == "float32"


def test_saved_and_loaded(policy, tmp_path):
    model, _ = trained(dense, epochs=1)
    expected = model.predict(X, verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert [str(w.dtype) for w in again.weights] == [str(w.dtype) for w in model.weights]
    np.testing.assert_array_equal(again.predict(X, verbose=0).view("uint16"), expected.view("uint16"))
    slots = [(a.numpy(), b.numpy()) for a, b in zip(again.optimizer.variables, model.optimizer.variables)]
    assert all((a == b).all() and a.dtype == b.dtype for a, b in slots)
    for name in ("w.weights.h5", "w.h5"):
        model.save_weights(tmp_path / name)
        again.set_weights([0 * w for w in again.get_weights()])
        again.load_weights(tmp_path / name)
        np.testing.assert_array_equal(again.predict(X, verbose=0).view("uint16"), expected.view("uint16"))


@pytest.mark.parametrize("optimizer", [
    "SGD", "RMSprop", "Adagrad", "Adadelta", "Adamax", "Nadam", "Ftrl", "Lion", "AdamW", "Lamb",
])
def test_every_rule_updates_weights_of_bfloat16(optimizer):
    v = keras.Variable(np.linspace(-1, 1, 40), dtype="bfloat16")
    rule = getattr(keras.optimizers, optimizer)(learning_rate=0.1)
    g = keras.ops.cast(keras.ops.convert_to_tensor(np.linspace(0.5, 2, 40)), "bfloat16")
    wide = keras.Variable(v.numpy().astype("float32"))
    exact = getattr(keras.optimizers, optimizer)(learning_rate=0.1)
    for _ in range(3):
        rule.apply([g], [v])
        exact.apply([keras.ops.cast(g, "float32")], [wide])
    assert v.dtype == "bfloat16"
    moved = np.linspace(-1, 1, 40) - wide.numpy()
    assert abs(moved).max() > 1e-3
    np.testing.assert_allclose(v.numpy().astype(float), wide.numpy(), 0.02, 0.03 * abs(moved).max() + 4e-3)
