"""Mistakes that students make: each must say where, what was expected, what came, what to do."""

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import layers, ops


def model(units=3, activation="softmax"):
    return keras.Sequential([keras.Input((4,)), layers.Dense(5, activation="relu", name="hidden"),
                             layers.Dense(units, activation=activation, name="head")], name="net")


def compiled(loss="sparse_categorical_crossentropy", units=3, activation="softmax", **kwargs):
    made = model(units, activation)
    made.compile("adam", loss, **kwargs)
    return made


X = np.random.default_rng(0).standard_normal((8, 4)).astype("float32")
LABELS = np.arange(8) % 3


# ---- shapes ------------------------------------------------------------------------------------------------
def test_wrong_input_shape_names_the_model_and_both_shapes():
    with pytest.raises(ValueError, match=r"'net'.*expects shape \(None, 4\), came \(8, 5\)"):
        compiled().fit(np.ones((8, 5)), LABELS, verbose=0)
    with pytest.raises(ValueError, match=r"'net'.*expects shape \(None, 4\), came \(8, 2, 2\)"):
        model().predict(np.ones((8, 2, 2)), verbose=0)
    image = keras.Sequential([layers.Conv2D(2, 3, input_shape=(8, 8, 3))])
    with pytest.raises(ValueError, match=r"expects shape \(None, 8, 8, 3\), came \(2, 8, 8, 1\)"):
        image(np.ones((2, 8, 8, 1)))


def test_layers_that_do_not_fit_together_name_the_layer():
    with pytest.raises(ValueError, match=r"'conv'.*4.*2"):
        keras.Sequential([keras.Input((10,)), layers.Conv2D(2, 3, name="conv")])
    lstm = keras.Input((10,))
    with pytest.raises(ValueError, match=r"'seq'.*3"):
        layers.LSTM(3, name="seq")(lstm)
    with pytest.raises(ValueError, match="'down'|too small|larger than"):
        keras.Sequential([keras.Input((2, 2, 1)), layers.Conv2D(2, 5, name="down")])
    a, b = keras.Input((3,)), keras.Input((4,))
    with pytest.raises(ValueError, match=r"'sum'.*\(None, 3\).*\(None, 4\)"):
        layers.Add(name="sum")([a, b])
    with pytest.raises(ValueError, match=r"'r'|reshape"):
        layers.Reshape((5, 5), name="r")(keras.Input((24,)))


def test_targets_that_do_not_fit_the_outputs():
    with pytest.raises(ValueError, match=r"\(8, 2\).*\(8, 3\)"):
        compiled("categorical_crossentropy").fit(X, np.ones((8, 2)), verbose=0)
    with pytest.raises(ValueError, match=r"\(8, 7\)|\(8, 3\)"):
        compiled("mse").fit(X, np.ones((8, 7)), verbose=0)
    with pytest.raises(ValueError, match="same number of samples, came x: 8; y: 7"):
        compiled().fit(X, LABELS[:7], verbose=0)
    with pytest.raises(ValueError, match="same number of samples, came x: 8; y: 8; sample_weight: 3"):
        compiled().fit(X, LABELS, sample_weight=np.ones(3), verbose=0)
    with pytest.raises(ValueError, match="compiled with a loss, but no targets y"):
        compiled().fit(X, verbose=0)


def test_targets_without_last_axis_are_aligned_with_one_warning():
    made = compiled("mse", 1, None)
    message = r"y_true has shape \(8,\) and y_pred \(8, 1\).*Reshape the targets"
    with pytest.warns(UserWarning, match=message) as seen:
        history = made.fit(X, X[:, 0], epochs=3, verbose=0)
    assert len(seen) == 1
    again = compiled("mse", 1, None)
    again.set_weights(made.get_weights())
    expected = np.mean((again.predict(X, verbose=0)[:, 0] - X[:, 0]) ** 2)
    assert again.evaluate(X, X[:, :1], verbose=0) == pytest.approx(expected, rel=1e-5)
    assert len(history.history["loss"]) == 3


# ---- dtypes and contents -----------------------------------------------------------------------------------
def test_text_and_ragged_data():
    with pytest.raises(ValueError, match="takes float32, came text; turn it into numbers first"):
        compiled().fit(np.array([["a"] * 4] * 8), LABELS, verbose=0)
    with pytest.raises(ValueError, match="y holds values of dtype"):
        compiled().fit(X, np.array(["cat"] * 8), verbose=0)
    with pytest.raises(ValueError, match="pad_sequences|ragged|inhomogeneous"):
        keras.Sequential([layers.Embedding(9, 2)]).predict([[1, 2], [1, 2, 3]], verbose=0)
    with pytest.raises(ValueError, match="expected numbers|dtype"):
        compiled().predict(np.array([None] * 8), verbose=0)


@pytest.mark.cpu  # a GPU is not asked; there the result is not a number
@pytest.mark.parametrize("bad", [3, -1])
def test_labels_out_of_range(bad):
    labels = LABELS.copy()
    labels[5] = bad
    with pytest.raises(ValueError, match=rf"{bad}.*(0 to 2|3 classes|\[0, 3\))"):
        compiled().fit(X, labels, verbose=0)
    with pytest.raises(ValueError, match=f"{bad}"):
        keras.utils.to_categorical(labels, num_classes=3)


@pytest.mark.cpu  # a GPU is not asked; there the result is not a number
def test_embedding_indices_out_of_range():
    made = keras.Sequential([layers.Embedding(5, 2, name="words"), layers.Flatten()])
    with pytest.raises((ValueError, IndexError), match=r"'?words'?|index.*5"):
        made(np.array([[0, 7]]))


def test_empty_data():
    with pytest.raises(ValueError, match="fit: the data is empty"):
        compiled().fit(X[:0], LABELS[:0], verbose=0)
    with pytest.raises(ValueError, match="predict: the data is empty"):
        model().predict(X[:0], verbose=0)
    with pytest.raises(ValueError, match="no batch at all"):
        compiled().fit(iter(()), verbose=0)
    with pytest.raises(ValueError, match="validation_split=0.99 of 8 samples leaves nothing to train on"):
        compiled().fit(X, LABELS, validation_split=0.99, verbose=0)


# ---- the order of things -----------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_missing_compile(method):
    with pytest.raises(RuntimeError, match=rf"'net' must be compiled before {method}: model\.compile\("):
        getattr(model(), method)(X, LABELS)


def test_models_without_loss_inputs_or_build():
    made = model()
    made.compile("adam")
    with pytest.raises(ValueError, match="no loss to compute.*loss="):
        made.fit(X, LABELS, verbose=0)
    unbuilt = keras.Sequential([layers.Dense(3)], name="late")
    with pytest.raises(ValueError, match="not built"):
        unbuilt.count_params()
    with pytest.raises(AttributeError, match=r"'late'.*keras\.Input"):
        _ = unbuilt.output
    with pytest.raises(AttributeError, match="never called on a symbolic tensor"):
        _ = layers.Dense(3).output
    with pytest.raises(ValueError, match="late.*not built"):
        unbuilt.save_weights("never.weights.h5")
    with pytest.raises(ValueError, match=r"'hidden' has 2 weights, 1 were given"):
        made.layers[0].set_weights([np.ones((4, 5))])
    with pytest.raises(ValueError, match=r"'hidden/kernel'|'net/hidden/kernel'"):
        made.layers[0].set_weights([np.ones((4, 6)), np.ones(5)])


def test_a_layer_that_forgets_its_parent():
    class Forgetful(layers.Layer):
        def __init__(self):
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    with pytest.raises(RuntimeError, match=r"Forgetful.*super\(\).__init__\(\)"):
        Forgetful()(X)


def test_names_that_occur_twice():
    with pytest.raises(ValueError, match="'same'.*(unique|different|twice|two)"):
        inputs = keras.Input((4,))
        keras.Model(inputs, layers.Dense(2, name="same")(layers.Dense(2, name="same")(inputs)))
    with pytest.raises(ValueError, match="different names; 'same'"):
        keras.Sequential([layers.Dense(2, name="same"), layers.Dense(2, name="same")])


# ---- names ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("make, hint", [
    (lambda: layers.Dense(2, activation="rellu"), "relu"),
    (lambda: layers.Dense(2, kernel_initializer="glorot_unifrom"), "glorot_uniform"),
    (lambda: layers.Dense(2, kernel_regularizer="l22"), "l2"),
    (lambda: layers.Dense(2, kernel_constraint="maxnorm1"), "max_?norm"),
    (lambda: model().compile("adm", "mse"), "adam"),
    (lambda: model().compile("adam", "binary_crosentropy"), "binary_crossentropy"),
    (lambda: model().compile("adam", "mse", metrics=["acuracy"]), "accuracy"),
    (lambda: model().get_layer("hiden"), "hidden"),
    (lambda: keras.optmizers, "optimizers"),
    (lambda: keras.losses.get("huuber"), "huber"),
])
def test_unknown_names_suggest_the_nearest(make, hint):
    with pytest.raises((ValueError, AttributeError), match=rf"did you mean '{hint}'"):
        make()


def test_unknown_arguments():
    with pytest.raises(TypeError, match=r"Dense: unknown arguments \['unit'\]|unit"):
        layers.Dense(3, unit=2)
    with pytest.raises(TypeError, match=r"compile: unknown arguments \['optimiser'\]"):
        model().compile(optimiser="adam")
    with pytest.raises(TypeError, match="epoch"):
        compiled().fit(X, LABELS, epoch=3)
    with pytest.raises(ValueError, match="Adam: unknown argument.*learning_rat"):
        keras.optimizers.Adam(learning_rat=0.1)


# ---- devices and numbers -----------------------------------------------------------------------------------
def test_devices_are_not_mixed_silently():
    with pytest.raises(keras.DeviceError, match="gpu|CuPy"):
        with keras.device("gpu:99"):
            ops.ones((2,))
    with pytest.raises((ValueError, keras.DeviceError), match="tpu"):
        keras.config.set_device("tpu")


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_nan_stops_training_and_is_named_on_request():
    made = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="fine"),
                             layers.Lambda(ops.log, name="logs"), layers.Dense(1, name="after")])
    made.compile("sgd", "mse")
    x = -np.ones((8, 4), "float32")
    made.layers[0].set_weights([np.eye(4, 3), np.zeros(3)])
    history = made.fit(x, np.ones((8, 1)), batch_size=2, epochs=3, verbose=0,
                       callbacks=[keras.callbacks.TerminateOnNaN()])
    assert len(history.epoch) == 1 and np.isnan(history.history["loss"][-1])
    made.layers[0].set_weights([np.eye(4, 3), np.zeros(3)])
    keras.config.check_numerics(True)
    try:
        with pytest.raises(FloatingPointError, match=r"layer 'logs' \(Lambda\) produced NaN.*learning rate"):
            made.fit(x, np.ones((8, 1)), verbose=0)
    finally:
        keras.config.check_numerics(False)
