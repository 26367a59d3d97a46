"""Small trainings in the spelling of Keras 2, run there and here: how losses are weighted and averaged.

Read by Python 3.7 as well; each function takes the library and returns named numbers.
"""

import numpy as np


def _start(keras, model, seed=1):
    rng = np.random.RandomState(seed)
    model.set_weights([rng.uniform(-0.5, 0.5, w.shape).astype("float32") for w in model.get_weights()])


def _dense(keras, **compile_arguments):
    model = keras.models.Sequential([
        keras.layers.Dense(5, activation="tanh", input_dim=4), keras.layers.Dense(3, activation="softmax"),
    ])
    _start(keras, model)
    model.compile(loss="categorical_crossentropy", metrics=["accuracy"], **compile_arguments)
    rng = np.random.RandomState(2)
    x = rng.uniform(-1, 1, (10, 4)).astype("float32")
    y = np.eye(3, dtype="float32")[rng.randint(0, 3, 10)]
    return model, x, y


def _result(model, history):
    found = {f"weight_{i}": w for i, w in enumerate(model.get_weights())}
    found["loss"] = history.history["loss"]
    return found


def plain(keras):
    model, x, y = _dense(keras, optimizer=keras.optimizers.SGD(lr=0.5, momentum=0.5))
    return _result(model, model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0))


def sample_weights(keras):
    model, x, y = _dense(keras, optimizer=keras.optimizers.SGD(lr=0.5))
    weights = np.array([0, 1, 2, 0, 0.5, 1, 1, 3, 0, 1], "float32")
    return _result(model, model.fit(x, y, batch_size=5, epochs=2, shuffle=False, verbose=0,
        sample_weight=weights))


def class_weights(keras):
    model, x, y = _dense(keras, optimizer=keras.optimizers.SGD(lr=0.5))
    return _result(model, model.fit(x, y, batch_size=5, epochs=2, shuffle=False, verbose=0,
                                    class_weight={0: 1.0, 1: 2.0, 2: 0.5}))


def masked(keras):
    model = keras.models.Sequential([
        keras.layers.Masking(input_shape=(5, 2)), keras.layers.SimpleRNN(4, return_sequences=True),
        keras.layers.TimeDistributed(keras.layers.Dense(1)),
    ])
    _start(keras, model)
    model.compile(loss="mse", optimizer=keras.optimizers.SGD(lr=0.1))
    rng = np.random.RandomState(2)
    x = rng.uniform(-1, 1, (4, 5, 2)).astype("float32")
    x[0, 3:] = x[1, 2:] = 0
    y = rng.uniform(-1, 1, (4, 5, 1)).astype("float32")
    return _result(model, model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0))


def frozen_normalization(keras):
    inner = keras.layers.BatchNormalization(momentum=0.5)
    inner.trainable = False
    model = keras.models.Sequential([
        keras.layers.Dense(5, input_dim=4), inner, keras.layers.Dense(1),
    ])
    rng = np.random.RandomState(1)
    model.set_weights([rng.uniform(0.2, 0.5, w.shape).astype("float32") for w in model.get_weights()])
    model.compile(loss="mse", optimizer=keras.optimizers.SGD(lr=0.1))
    x = rng.uniform(-1, 1, (6, 4)).astype("float32")
    history = model.fit(x, x[:, :1], batch_size=6, epochs=2, shuffle=False, verbose=0)
    found = _result(model, history)
    found["prediction"] = model.predict(x)
    return found


def two_outputs(keras):
    a = keras.layers.Input((3,))
    h = keras.layers.Dense(4, activation="tanh", kernel_regularizer=keras.regularizers.l2(0.01))(a)
    model = keras.models.Model(a, [keras.layers.Dense(1, name="one")(h), keras.layers.Dense(2,
        name="two")(h)])
    _start(keras, model)
    model.compile(optimizer=keras.optimizers.RMSprop(lr=0.01, decay=0.1), loss=["mse", "mae"],
        loss_weights=[1.0, 0.3])
    rng = np.random.RandomState(4)
    x = rng.uniform(-1, 1, (8, 3)).astype("float32")
    history = model.fit(x, [x[:, :1], x[:, 1:]], batch_size=4, epochs=3, shuffle=False, verbose=0)
    found = _result(model, history)
    found["one_loss"] = history.history["one_loss"]
    return found


def early_frozen_weights(keras):
    """What counts is ``trainable`` at the time of ``compile``."""
    model, x, y = _dense(keras, optimizer=keras.optimizers.Adam(lr=0.05))
    model.layers[0].trainable = False
    model.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.Adam(lr=0.05))
    model.layers[0].trainable = True
    return _result(model, model.fit(x, y, batch_size=5, epochs=2, shuffle=False, verbose=0))


FITS = {f.__name__: f for f in (
    plain, sample_weights, class_weights, masked, frozen_normalization, two_outputs, early_frozen_weights,
)}
