"""Models, optimizers and data of long trainings that are compared step by step.

They are built by a library with Keras' names: real Keras, or ours on one device or the other.
"""

import numpy as np

STEPS = 100


# Keras on JAX computes tanh and batch normalisation in float32 whatever the dtype: 1e-7 is all they allow.
# Runs in float64, which must agree to 1e-8, use other functions in their places.
def tanh(k):
    return "tanh" if k.config.floatx() == "float32" else "sigmoid"


def mlp(k):
    return k.Sequential([
        k.Input((12,)), k.layers.Dense(16, activation="relu", kernel_regularizer="l2"),
        k.layers.Dense(8, activation=tanh(k)), k.layers.Dense(4, activation="softmax"),
    ])


def convnet(k):
    normalize = [k.layers.BatchNormalization()] if k.config.floatx() == "float32" else []
    return k.Sequential([
        k.Input((8, 8, 2)), k.layers.Conv2D(4, 3, padding="same", use_bias=False), *normalize,
        k.layers.Activation("relu"), k.layers.MaxPooling2D(2), k.layers.Conv2D(6, 3, activation="relu"),
        k.layers.Dropout(0.0), k.layers.Flatten(), k.layers.Dense(4, activation="softmax"),
    ])


def recurrent(k):
    return k.Sequential([
        k.Input((7,), dtype="int32"), k.layers.Embedding(20, 6, mask_zero=True),
        k.layers.LSTM(8, activation=tanh(k), return_sequences=True),
        k.layers.GRU(5, activation=tanh(k)), k.layers.Dense(4, activation="softmax"),
    ])


def two_inputs(k):
    a, b = k.Input((6,), name="a"), k.Input((5, 3), name="b")
    shared = k.layers.Dense(7, activation="relu")
    x = k.layers.Concatenate()([shared(a), k.layers.GlobalAveragePooling1D()(k.layers.Conv1D(7, 2)(b))])
    x = k.layers.Add()([k.layers.Dense(7, activation="gelu")(x), shared(a)])
    return k.Model([a, b], k.layers.Dense(4, activation="softmax")(x))


def inputs_for(build, rng, count):
    if build is mlp:
        return rng.standard_normal((count, 12))
    if build is convnet:
        return rng.standard_normal((count, 8, 8, 2))
    if build is recurrent:
        x = rng.integers(1, 20, (count, 7)).astype("int32")
        x[rng.random(count) < 0.5, 5:] = 0
        return x
    return [rng.standard_normal((count, 6)), rng.standard_normal((count, 5, 3))]


def losses(model, x, y, size=16):
    """Return the loss of every step, batches in order, round after round."""
    found = []
    count = len(y)
    cut = (lambda v, i: [a[i:i + size] for a in v]) if isinstance(x, list) else (lambda v, i: v[i:i + size])
    for step in range(STEPS):
        i = step * size % count
        model.reset_metrics()
        result = model.train_on_batch(cut(x, i), y[i:i + size])
        found.append(float(result[0] if isinstance(result, list) else result))
    return np.array(found)


MODELS = [mlp, convnet, recurrent, two_inputs]
OPTIMIZERS = {
    "sgd": lambda k: k.optimizers.SGD(0.1),
    "momentum": lambda k: k.optimizers.SGD(0.05, momentum=0.9),
    "nesterov": lambda k: k.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "rmsprop": lambda k: k.optimizers.RMSprop(0.01),
    "rmsprop_centered": lambda k: k.optimizers.RMSprop(0.005, momentum=0.5, centered=True),
    "adagrad": lambda k: k.optimizers.Adagrad(0.1),
    "adadelta": lambda k: k.optimizers.Adadelta(1.0),
    "adam": lambda k: k.optimizers.Adam(0.01),
    "amsgrad": lambda k: k.optimizers.Adam(0.01, amsgrad=True),
    "adamw": lambda k: k.optimizers.AdamW(0.01, weight_decay=0.02),
    "adamax": lambda k: k.optimizers.Adamax(0.01),
    "nadam": lambda k: k.optimizers.Nadam(0.01),
    "ftrl": lambda k: k.optimizers.Ftrl(
        0.1, l1_regularization_strength=0.001, l2_regularization_strength=0.01
    ),
    "clipnorm": lambda k: k.optimizers.SGD(0.5, clipnorm=0.05),
    "clipvalue": lambda k: k.optimizers.SGD(0.5, clipvalue=0.01),
    "global_clipnorm": lambda k: k.optimizers.SGD(0.5, global_clipnorm=0.1),
    "weight_decay": lambda k: k.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.01),
    "schedule": lambda k: k.optimizers.Adam(k.optimizers.schedules.ExponentialDecay(0.05, 20, 0.7)),
    "cosine": lambda k: k.optimizers.SGD(k.optimizers.schedules.CosineDecay(0.2, 80)),
}
