"""The models of the workloads, in the API that Keras and gpukeras share.

Layers have names, so that every peer can be given the same weights (``initial.py``). Settings in which Keras
2 and Keras 3 differ are written out. There is no dropout, so that peers can be held to the same losses.
"""

from __future__ import annotations

WORDS = 20000


def _sequential(keras, *layers, optimizer, loss, metric="accuracy"):
    model = keras.Sequential(list(layers))
    model.compile(optimizer=optimizer, loss=loss, metrics=[metric])
    return model


def _functional(keras, inputs, outputs, loss):
    model = keras.Model(inputs, outputs)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    return model


def mlp_digits(keras):
    """Return the model of (a)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((784,)),
        L.Dense(128, activation="relu", name="hidden"), L.Dense(10, activation="softmax", name="out"),
        optimizer="adam", loss="sparse_categorical_crossentropy",
    )


def mlp_wide(keras):
    """Return the model of (b)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((784,)),
        L.Dense(512, activation="relu", name="hidden"), L.Dense(10, activation="softmax", name="out"),
        optimizer="rmsprop", loss="sparse_categorical_crossentropy",
    )


def mlp_reviews(keras):
    """Return the model of (c)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((10000,)),
        L.Dense(16, activation="relu", name="hidden1"), L.Dense(16, activation="relu", name="hidden2"),
        L.Dense(1, activation="sigmoid", name="out"),
        optimizer="rmsprop", loss="binary_crossentropy",
    )


def mlp_houses(keras):
    """Return the model of (d)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((13,)),
        L.Dense(64, activation="relu", name="hidden1"), L.Dense(64, activation="relu", name="hidden2"),
        L.Dense(1, name="out"),
        optimizer="rmsprop", loss="mse", metric="mae",
    )


def convnet_digits(keras):
    """Return the model of (e)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((28, 28, 1)),
        L.Conv2D(32, 3, activation="relu", name="conv1"), L.Conv2D(64, 3, activation="relu", name="conv2"),
        L.MaxPooling2D(2), L.Flatten(),
        L.Dense(128, activation="relu", name="hidden"), L.Dense(10, activation="softmax", name="out"),
        optimizer="adam", loss="sparse_categorical_crossentropy",
    )


def convnet_pictures(keras):
    """Return the model of (f)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((32, 32, 3)),
        L.Conv2D(32, 3, padding="same", activation="relu", name="conv1"),
        L.Conv2D(32, 3, activation="relu", name="conv2"), L.MaxPooling2D(2),
        L.Conv2D(64, 3, padding="same", activation="relu", name="conv3"),
        L.Conv2D(64, 3, activation="relu", name="conv4"), L.MaxPooling2D(2), L.Flatten(),
        L.Dense(512, activation="relu", name="hidden"), L.Dense(10, activation="softmax", name="out"),
        optimizer=keras.optimizers.RMSprop(learning_rate=1e-4), loss="sparse_categorical_crossentropy",
    )


def lstm_reviews(keras):
    """Return the model of (g)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((80,), dtype="int32"),
        L.Embedding(WORDS, 128, name="words"), L.LSTM(128, name="lstm"),
        L.Dense(1, activation="sigmoid", name="out"),
        optimizer="adam", loss="binary_crossentropy",
    )


def average_reviews(keras):
    """Return the model of (h)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((256,), dtype="int32"),
        L.Embedding(WORDS, 64, name="words"), L.GlobalAveragePooling1D(),
        L.Dense(16, activation="relu", name="hidden"), L.Dense(1, activation="sigmoid", name="out"),
        optimizer="adam", loss="binary_crossentropy",
    )


def convnet_news(keras):
    """Return the model of (i)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((200,), dtype="int32"),
        L.Embedding(WORDS, 128, name="words"),
        L.Conv1D(128, 5, activation="relu", name="conv1"), L.MaxPooling1D(5),
        L.Conv1D(128, 5, activation="relu", name="conv2"), L.GlobalMaxPooling1D(),
        L.Dense(128, activation="relu", name="hidden"), L.Dense(20, activation="softmax", name="out"),
        optimizer="rmsprop", loss="sparse_categorical_crossentropy",
    )


def bottlenecks(size, width):
    """Return a function that returns the model of two bottleneck blocks, as in ResNet-50."""

    def build(keras):
        L = keras.layers

        def convolve(x, filters, window, name):
            x = L.Conv2D(filters, window, padding="same", use_bias=False, name=f"conv_{name}")(x)
            return L.BatchNormalization(name=f"norm_{name}")(x)

        def block(x, number):
            y = L.Activation("relu")(convolve(x, width, 1, f"{number}a"))
            y = L.Activation("relu")(convolve(y, width, 3, f"{number}b"))
            y = convolve(y, 4 * width, 1, f"{number}c")
            x = convolve(x, 4 * width, 1, f"{number}d") if number == 1 else x  # from one width to the other
            return L.Activation("relu")(L.Add()([x, y]))

        inputs = keras.Input((size, size, width))
        x = block(block(inputs, 1), 2)
        outputs = L.Dense(10, activation="softmax", name="out")(L.GlobalAveragePooling2D()(x))
        return _functional(keras, inputs, outputs, "sparse_categorical_crossentropy")

    return build


def residual_pictures(keras):
    """Return the model of (j)."""
    L = keras.layers

    def convolve(x, number):
        x = L.Conv2D(64, 3, padding="same", use_bias=False, name=f"conv{number}")(x)
        return L.BatchNormalization(name=f"norm{number}")(x)

    inputs = keras.Input((32, 32, 3))
    x = L.Activation("relu")(convolve(inputs, 0))
    for number in (1, 3):
        y = L.Activation("relu")(convolve(x, number))
        y = convolve(y, number + 1)
        x = L.Activation("relu")(L.Add()([x, y]))
    outputs = L.Dense(10, activation="softmax", name="out")(L.GlobalAveragePooling2D()(x))
    return _functional(keras, inputs, outputs, "sparse_categorical_crossentropy")


# ---- k to p: the other families of layers -----------------------------------------------------------------
def separable_pictures(keras):
    """Return the model of (k): separable convolutions as in Xception, a block as in MobileNet."""
    L = keras.layers
    same = {"padding": "same", "use_bias": False}
    kinds = {
        "conv1": lambda name: L.Conv2D(32, 3, name=name, **same),
        "separable2": lambda name: L.SeparableConv2D(64, 3, name=name, **same),
        "depthwise3": lambda name: L.DepthwiseConv2D(3, strides=2, name=name, **same),
        "pointwise4": lambda name: L.Conv2D(128, 1, name=name, **same),
        "separable5": lambda name: L.SeparableConv2D(128, 3, name=name, **same),
    }
    layers = []
    for name, make in kinds.items():
        layers += [make(name), L.BatchNormalization(name=f"norm{name[-1]}"), L.Activation("relu")]
    return _sequential(
        keras, keras.Input((32, 32, 3)), *layers, L.GlobalAveragePooling2D(),
        L.Dense(10, activation="softmax", name="out"),
        optimizer="adam", loss="sparse_categorical_crossentropy",
    )


def generator_digits(keras):
    """Return the model of (l): the generator of a DCGAN, or the decoder of an autoencoder."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((64,)),
        L.Dense(7 * 7 * 128, activation="relu", name="project"), L.Reshape((7, 7, 128)),
        L.Conv2DTranspose(64, 4, strides=2, padding="same", use_bias=False, name="up1"),
        L.BatchNormalization(name="norm1"), L.LeakyReLU(0.2),
        L.Conv2DTranspose(32, 4, strides=2, padding="same", use_bias=False, name="up2"),
        L.BatchNormalization(name="norm2"), L.LeakyReLU(0.2),
        L.Conv2DTranspose(1, 5, padding="same", activation="sigmoid", name="out"),
        optimizer="adam", loss="binary_crossentropy", metric="mae",
    )


def gru_reviews(keras):
    """Return the model of (m)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((80,), dtype="int32"),
        L.Embedding(WORDS, 128, name="words"), L.GRU(128, name="gru"),
        L.Dense(1, activation="sigmoid", name="out"),
        optimizer="rmsprop", loss="binary_crossentropy",
    )


def next_frames(keras):
    """Return the model of (n)."""
    L = keras.layers
    settings = {"padding": "same", "recurrent_activation": "sigmoid", "return_sequences": True}
    return _sequential(
        keras, keras.Input((10, 32, 32, 1)),
        L.ConvLSTM2D(16, 3, name="lstm1", **settings), L.BatchNormalization(name="norm1"),
        L.ConvLSTM2D(16, 3, name="lstm2", **settings), L.BatchNormalization(name="norm2"),
        L.Conv3D(1, 3, padding="same", activation="sigmoid", name="out"),
        optimizer="adam", loss="binary_crossentropy", metric="mae",
    )


def transformer_reviews(keras):
    """Return the model of (o): one block of a Transformer's encoder."""
    L = keras.layers
    inputs = keras.Input((128,), dtype="int32")
    x = L.Embedding(WORDS, 64, name="words")(inputs)
    y = L.MultiHeadAttention(4, 16, name="attention")(x, x)
    x = L.LayerNormalization(epsilon=1e-6, name="norm1")(L.Add()([x, y]))
    y = L.Dense(128, activation="relu", name="inner")(x)
    y = L.Dense(64, name="outer")(y)
    x = L.LayerNormalization(epsilon=1e-6, name="norm2")(L.Add()([x, y]))
    outputs = L.Dense(1, activation="sigmoid", name="out")(L.GlobalAveragePooling1D()(x))
    return _functional(keras, inputs, outputs, "binary_crossentropy")


def grouped_pictures(keras):
    """Return the model of (p)."""
    L = keras.layers
    layers = []
    for number, width in enumerate((32, 64, 128), 1):
        layers += [
            L.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv{number}"),
            L.GroupNormalization(8, epsilon=1e-3, name=f"norm{number}"), L.Activation("relu"),
            L.MaxPooling2D(2) if number < 3 else L.GlobalAveragePooling2D(),
        ]
    return _sequential(
        keras, keras.Input((32, 32, 3)), *layers, L.Dense(10, activation="softmax", name="out"),
        optimizer="adam", loss="sparse_categorical_crossentropy",
    )
