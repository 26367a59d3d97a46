"""What is asked of Keras 2.2.4 and of us in its era: the same calls by the same names.

Read by Python 3.7 as well, with real Keras 2.2.4 (``make_keras2.py``), so nothing of ours is imported here.
"""

import numpy as np

BATCH = 3
MASK = np.array([[1, 1, 0, 1, 1], [1, 0, 0, 0, 0], [0, 1, 1, 1, 0]], "float32")

# Layers: class, arguments (or a function of ``keras.layers`` that gives them), shapes of inputs, and maybe:
# "train" runs in the training phase, "masked" puts a Masking layer before, "int" takes integers.
LAYERS = [
    ("Dense", {"units": 3, "activation": "hard_sigmoid"}, [(4,)]),
    ("Dense", {"output_dim": 3, "init": "uniform", "bias": False}, [(4,)]),
    ("Activation", {"activation": "softmax"}, [(3, 4)]),
    ("ActivityRegularization", {"l1": 0.1}, [(4,)]),
    ("Flatten", {}, [(2, 3)]),
    ("Flatten", {"data_format": "channels_first"}, [(2, 3, 4)]),
    ("Permute", {"dims": (2, 1)}, [(2, 3)]),
    ("RepeatVector", {"n": 2}, [(4,)]),
    ("Reshape", {"target_shape": (-1, 2)}, [(2, 3)]),
    ("Masking", {"mask_value": 0.5}, [(5, 2)]),
    ("Embedding", {"input_dim": 7, "output_dim": 3}, [(5,)], "int"),
    ("LeakyReLU", {}, [(5,)]), ("LeakyReLU", {"alpha": 0.1}, [(5,)]), ("ELU", {}, [(5,)]),
    ("PReLU", {"shared_axes": [1]}, [(3, 4)]), ("ThresholdedReLU", {}, [(5,)]), ("Softmax", {"axis": 1},
         [(3, 4)]),
    ("ReLU", {"max_value": 1.0, "negative_slope": 0.2, "threshold": 0.1}, [(5,)]),
    ("BatchNormalization", {}, [(4,)]), ("BatchNormalization", {}, [(4,)], "train"),
    ("BatchNormalization", {"axis": 1, "momentum": 0.9}, [(3, 4)], "train"),
    ("Add", {}, [(3, 4), (3, 4)]), ("Subtract", {}, [(4,), (4,)]), ("Multiply", {}, [(4,), (4,)]),
    ("Average", {}, [(4,), (4,)]), ("Maximum", {}, [(4,), (4,)]), ("Minimum", {}, [(4,), (4,)]),
    ("Concatenate", {"axis": 1}, [(2, 4), (3, 4)]), ("Dot", {"axes": -1, "normalize": True}, [(3, 4), (5,
         4)]),
    ("Conv1D", {"filters": 3, "kernel_size": 3, "padding": "causal", "dilation_rate": 2}, [(7, 2)]),
    ("Conv1D", {"nb_filter": 3, "filter_length": 2, "subsample_length": 2, "border_mode": "same"}, [(7, 2)]),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}, [(6, 7, 2)]),
    ("Convolution2D", {"nb_filter": 3, "nb_row": 3, "nb_col": 2, "border_mode": "same"}, [(6, 7, 2)]),
    ("Conv3D", {"filters": 2, "kernel_size": 2}, [(3, 4, 4, 2)]),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}, [(3, 4, 2)]),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2, "output_padding": 1}, [(3, 4, 2)]),
    ("Conv3DTranspose", {"filters": 2, "kernel_size": 2, "strides": 2}, [(2, 3, 2, 2)]),
    ("SeparableConv1D", {"filters": 3, "kernel_size": 3, "depth_multiplier": 2}, [(7, 2)]),
    ("SeparableConv2D", {"filters": 3, "kernel_size": 3, "padding": "same"}, [(6, 5, 2)]),
    ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2}, [(6, 5, 2)]),
    ("LocallyConnected1D", {"filters": 3, "kernel_size": 3, "strides": 2}, [(7, 2)]),
    ("LocallyConnected2D", {"filters": 2, "kernel_size": (2, 3)}, [(4, 5, 2)]),
    ("MaxPooling1D", {}, [(7, 2)]), ("AveragePooling1D", {"padding": "same"}, [(7, 2)]),
    ("MaxPooling2D", {"pool_size": 3, "strides": 2, "padding": "same"}, [(6, 7, 2)]),
    ("AveragePooling2D", {"pool_size": 3, "strides": 2, "padding": "same"}, [(6, 7, 2)]),
    ("MaxPooling3D", {}, [(4, 4, 5, 2)]), ("AveragePooling3D", {"padding": "same"}, [(3, 4, 5, 2)]),
    ("GlobalMaxPooling1D", {}, [(5, 2)]), ("GlobalAveragePooling1D", {}, [(5, 2)], "masked"),
    ("GlobalAveragePooling2D", {}, [(3, 4, 2)]), ("GlobalMaxPooling3D", {}, [(2, 3, 4, 2)]),
    ("UpSampling1D", {}, [(3, 2)]), ("UpSampling2D", {"size": (2, 3)}, [(3, 2, 2)]),
    ("UpSampling2D", {"interpolation": "bilinear"}, [(3, 4, 2)]), ("UpSampling3D", {}, [(2, 2, 3, 2)]),
    ("ZeroPadding1D", {"padding": (1, 2)}, [(3, 2)]), ("ZeroPadding2D", {"padding": ((1, 0), (2, 1))}, [(3,
         4, 2)]),
    ("ZeroPadding3D", {}, [(2, 3, 2, 2)]), ("Cropping1D", {"cropping": (1, 2)}, [(5, 2)]),
    ("Cropping2D", {"cropping": (1, 1)}, [(4, 5, 2)]), ("Cropping3D", {}, [(3, 4, 5, 2)]),
    ("SimpleRNN", {"units": 3}, [(5, 4)]), ("SimpleRNN", {"units": 3, "return_sequences": True}, [(5, 4)],
         "masked"),
    ("LSTM", {"units": 3}, [(5, 4)]), ("LSTM", {"units": 3, "return_sequences": True}, [(5, 4)], "masked"),
    ("LSTM", {"output_dim": 3, "inner_activation": "sigmoid", "go_backwards": True}, [(5, 4)]),
    ("LSTM", {"units": 3, "implementation": 2, "unit_forget_bias": False}, [(5, 4)]),
    ("GRU", {"units": 3}, [(5, 4)]), ("GRU", {"units": 3, "reset_after": True}, [(5, 4)]),
    ("GRU", {"units": 3, "return_sequences": True}, [(5, 4)], "masked"),
    ("RNN", lambda L: {"cell": [L.LSTMCell(3), L.GRUCell(2)], "return_sequences": True}, [(5, 4)]),
    ("Bidirectional", lambda L: {"layer": L.LSTM(3), "merge_mode": "sum"}, [(5, 4)]),
    ("Bidirectional", lambda L: {"layer": L.GRU(2, return_sequences=True)}, [(5, 4)], "masked"),
    ("TimeDistributed", lambda L: {"layer": L.Dense(3)}, [(5, 4)]),
    ("ConvLSTM2D", {"filters": 2, "kernel_size": 2, "return_sequences": True}, [(3, 4, 4, 2)]),
    ("ConvLSTM2D", {"filters": 2, "kernel_size": 3, "padding": "same", "go_backwards": True}, [(3, 4, 4, 2)]),
    ("MaxoutDense", {"output_dim": 3, "nb_feature": 2}, [(4,)]), ("Highway", {}, [(4,)]),
]

LOSSES = ["mse", "mae", "mape", "msle", "squared_hinge", "hinge", "categorical_hinge", "logcosh", "kld",
    "poisson",
          "cosine", "binary_crossentropy", "categorical_crossentropy"]
METRICS = ["binary_accuracy", "categorical_accuracy", "top_k_categorical_accuracy"]
ACTIVATIONS = ["elu", "exponential", "hard_sigmoid", "linear", "relu", "selu", "sigmoid", "softmax",
    "softplus",
               "softsign", "tanh"]
CONSTRAINTS = [("MaxNorm", {}), ("MaxNorm", {"max_value": 0.5, "axis": 1}), ("NonNeg", {}), ("UnitNorm", {}),
               ("MinMaxNorm", {"min_value": 0.2, "max_value": 0.8, "rate": 0.5})]
REGULARIZERS = [("l1", {}), ("l2", {"l": 0.3}), ("l1_l2", {})]
OPTIMIZERS = [
    ("SGD", {}), ("SGD", {"lr": 0.1, "momentum": 0.9, "decay": 0.01, "nesterov": True}),
    ("SGD", {"lr": 0.1, "clipnorm": 0.5}), ("SGD", {"lr": 0.1, "clipvalue": 0.2, "momentum": 0.5}),
    ("RMSprop", {}), ("RMSprop", {"lr": 0.01, "decay": 0.1}), ("Adagrad", {}), ("Adadelta", {}), ("Adam", {}),
    ("Adam", {"lr": 0.01, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3, "decay": 0.1, "amsgrad": True}),
    ("Adamax", {}), ("Nadam", {}), ("Nadam", {"schedule_decay": 0.1}),
]
OPTIMIZER_STEPS = 4


def inputs(shapes, kind, seed=3):
    """Return the inputs of a layer."""
    rng = np.random.RandomState(seed)
    if kind == "int":
        return [rng.randint(0, 7, (BATCH,) + tuple(s)).astype("float32") for s in shapes]
    found = [rng.uniform(-2.0, 2.0, (BATCH,) + tuple(s)).astype("float32") for s in shapes]
    if kind == "masked":
        found[0][MASK == 0] = 0.0
    return found


def weights(shapes, names, seed=5):
    """Return values for a layer's weights, positive ones for variances."""
    rng = np.random.RandomState(seed)
    values = [rng.uniform(0.2, 1.0, tuple(s)) for s in shapes]
    signs = [rng.choice([-1.0, 1.0], tuple(s)) for s in shapes]
    return [(v if "variance" in n else v * s).astype("float32") for v, s, n in zip(values, signs, names)]


def label(case):
    """Return a short name of a case of a layer."""
    number = [c for c in LAYERS if c[0] == case[0]].index(case)
    return f"{case[0]}_{number}"


def targets(name):
    """Return (y_true, y_pred) for a loss or metric."""
    rng = np.random.RandomState(7)
    y_pred = rng.uniform(0.05, 1.0, (4, 6)).astype("float32")
    y_true = rng.uniform(0.05, 1.0, (4, 6)).astype("float32")
    if "hinge" in name and "categorical" not in name:
        y_true = np.sign(y_true - 0.5).astype("float32")
    elif "categorical" in name:
        y_pred /= y_pred.sum(-1, keepdims=True)
        y_true = np.eye(6, dtype="float32")[[1, 0, 5, 3]]
    elif "binary" in name:
        y_true = np.round(y_true).astype("float32")
    return y_true, y_pred


def small_model(keras, optimizer):
    """Return a model of two layers, the same one each time."""
    model = keras.models.Sequential([
        keras.layers.Dense(3, activation="tanh", input_dim=2), keras.layers.Dense(1),
    ])
    rng = np.random.RandomState(4)
    model.set_weights([rng.uniform(-1, 1, w.shape).astype("float32") for w in model.get_weights()])
    model.compile(loss="mse", optimizer=optimizer)
    return model


def small_data():
    """Return inputs and targets for it."""
    rng = np.random.RandomState(6)
    return rng.uniform(-1, 1, (5, 2)).astype("float32"), rng.uniform(-1, 1, (5, 1)).astype("float32")


def in_tfkeras(case):
    """Tell whether tf.keras has a layer, and its arguments under these names."""
    gone = {"MaxoutDense", "Highway", "Convolution2D"}
    old = {"output_dim", "init", "bias", "nb_filter", "inner_activation"}
    kwargs = {} if callable(case[1]) else case[1]
    return case[0] == "Embedding" or not (case[0] in gone or old & set(kwargs))


class WithLegacyOptimizers:
    """A library whose optimizers are those of ``optimizers.legacy``, which tf.keras had at first."""

    def __init__(self, keras):
        self._keras = keras
        self.optimizers = keras.optimizers.legacy

    def __getattr__(self, name):
        return getattr(self._keras, name)
