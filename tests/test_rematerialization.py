"""Results computed again for gradients: the same numbers, fewer results kept."""

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import layers, ops

MODES = [{}, {"mode": "activations"}, {"mode": "larger_than", "output_size_threshold": 2},
         {"mode": "list_of_layers", "layer_names": ["hidden"]}, {"mode": None}]


def build(**scope):
    keras.utils.set_random_seed(1)
    with keras.RematScope(**scope):
        model = keras.Sequential([
            keras.Input((4,)), layers.Dense(6, activation="tanh", name="hidden"), layers.Dropout(0.4),
            layers.BatchNormalization(), layers.Dense(2, activation="gelu"),
        ])
    model.compile("adam", "mse")
    return model


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((16, 4)).astype("float32"), rng.standard_normal((16, 2)).astype("float32")


@pytest.mark.parametrize("scope", MODES, ids=str)
def test_training_is_the_same(scope):
    x, y = data()
    found = []
    for settings in (scope, {"mode": None}):
        model = build(**settings)
        history = model.fit(x, y, batch_size=4, epochs=3, verbose=0, shuffle=False)
        found.append([*model.get_weights(), np.array(history.history["loss"])])
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)


def test_on_the_gpu(on_gpu):
    x, y = data()
    found = []
    for device in (None, on_gpu):
        def train():
            model = build(mode="list_of_layers", layer_names=["hidden"])
            model.layers[1].rate = 0.0  # the devices draw different noise
            model.fit(x, y, batch_size=4, epochs=3, verbose=0, shuffle=False)
            return model.get_weights()

        if device is None:
            found.append(train())
        else:
            with device():
                found.append(train())
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


def test_results_inside_are_not_kept():
    calls = []

    def f(x):
        calls.append(1)
        for _ in range(5):
            x = ops.sin(x)
        return x

    x = ops.convert_to_tensor(np.linspace(0.1, 1, 4, dtype="float32"))
    with keras.GradientTape() as plain:
        plain.watch(x)
        y = f(x)
    with keras.GradientTape() as tape:
        tape.watch(x)
        z = keras.remat(f)(x)
    assert len(tape._records) == 1 and len(plain._records) == 5 and len(calls) == 2
    np.testing.assert_allclose(tape.gradient(z, x).numpy(), plain.gradient(y, x).numpy(), rtol=1e-6)
    assert len(calls) == 3
    assert keras.remat(f)(x).shape == (4,) and len(calls) == 4  # no tape: f alone
    assert keras.remat(f)(keras.Input((2,))).shape == (None, 2)


def test_variables_keywords_and_several_results():
    w, frozen = keras.Variable([2.0, 3.0]), keras.Variable([5.0, 5.0], trainable=False)

    def f(x, scale=None, count=1):
        y = ops.exp(x * w) * scale
        return {"y": y, "plain": ops.cast(x, "int32"), "more": y * frozen * float(count)}

    x, s = ops.convert_to_tensor([0.1, 0.2]), ops.convert_to_tensor([1.0, 2.0])
    gradients = []
    for function in (f, keras.remat(f)):
        with keras.GradientTape() as tape:
            tape.watch([x, s, frozen])
            found = function(x, scale=s, count=3)
            total = ops.sum(found["more"]) + ops.sum(found["y"])
        gradients.append(tape.gradient(total, [x, s, w, frozen]))
    for a, b in zip(*gradients):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)


def test_second_order():
    x = ops.convert_to_tensor([0.3, 0.7])
    found = []
    for wrap in (lambda f: f, keras.remat):
        with keras.GradientTape() as outer:
            outer.watch(x)
            with keras.GradientTape() as inner:
                inner.watch(x)
                y = ops.sum(wrap(lambda v: ops.sin(v) * v * v)(x))
            (g,) = inner.gradient(y, [x])
            total = ops.sum(g * g)
        found.append(outer.gradient(total, x).numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_random_numbers_are_drawn_again_alike():
    keras.utils.set_random_seed(0)
    x = ops.ones((50,))
    with keras.GradientTape() as tape:
        tape.watch(x)
        y = keras.remat(lambda v: keras.random.dropout(v, 0.5))(x)
    after = keras.random.uniform((3,)).numpy()
    g = tape.gradient(y, x)
    np.testing.assert_array_equal(g.numpy(), y.numpy())
    assert not np.array_equal(after, keras.random.uniform((3,)).numpy())


def test_averages_move_once():
    with keras.RematScope():
        layer = layers.BatchNormalization(momentum=0.5)
    x = ops.convert_to_tensor(np.full((4, 2), 8, "float32"))
    with keras.GradientTape() as tape:
        y = ops.sum(layer(x, training=True))
    tape.gradient(y, layer.trainable_variables)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 4)


class Penalized(layers.Layer):
    def call(self, x):
        self.add_loss(ops.sum(x))
        return x


def test_what_it_refuses():
    with pytest.raises(ValueError, match="mode must be one of"):
        keras.RematScope("all")
    with keras.RematScope():
        layer = Penalized()
    with keras.GradientTape(), pytest.raises(NotImplementedError, match="outside of the scope"):
        layer(ops.ones((2, 2)))
