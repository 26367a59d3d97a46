"""Dense, activations, shapes, embeddings."""

from .case import MASK, Case

ACTIVATIONS = (
    "relu", "relu6", "leaky_relu", "sigmoid", "tanh", "softmax", "softplus", "softsign", "elu", "selu",
    "silu", "gelu", "hard_sigmoid", "hard_silu", "exponential", "mish", "log_softmax", "linear",
)

CASES = [
    Case("Dense", {"units": 3}, (4,)),
    Case("Dense", {"units": 3, "activation": "relu", "use_bias": False}, (2, 4)),
    *[Case("Dense", {"units": 3, "activation": a}, (4,)) for a in ("tanh", "sigmoid", "softmax", "gelu")],
    *[Case("Activation", {"activation": a}, (5,)) for a in ACTIVATIONS],
    Case("Dropout", {"rate": 0.5}, (5,), random=True),
    Case("Dropout", {"rate": 0.0}, (5,), training=True),
    Case("Flatten", {}, (2, 3)),
    Case("Flatten", {"data_format": "channels_first"}, (2, 3, 4)),
    Case("Reshape", {"target_shape": (3, -1)}, (2, 6)),
    Case("Permute", {"dims": (2, 3, 1)}, (2, 3, 4)),
    Case("RepeatVector", {"n": 3}, (4,)),
    Case("Masking", {"mask_value": 0.5}, (5, 2)),
    Case("Embedding", {"input_dim": 7, "output_dim": 3}, (5,), integers=7),
    Case("Embedding", {"input_dim": 7, "output_dim": 3, "mask_zero": True}, (5,), integers=7),
    Case("ReversibleEmbedding", {"input_dim": 7, "output_dim": 3, "tie_weights": False}, (5,), integers=7),
    Case("ReversibleEmbedding", {"input_dim": 7, "output_dim": 3, "logit_soft_cap": 0.5}, (5, 3),
         call={"reverse": True}, interval=(0.0, 6.0)),
    Case("ReversibleEmbedding", {"input_dim": 7, "output_dim": 3, "tie_weights": False,
                                 "reverse_dtype": "float32"}, (5, 3), call={"reverse": True},
         interval=(0.0, 6.0)),
    *[Case("RandomFourierFeatures", {"output_dim": 3, "trainable": True, **kwargs}, (4,), keras3=False)
      for kwargs in ({}, {"kernel_initializer": "laplacian", "scale": 2.0})],
    Case("ReLU", {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.3}, (5,)),
    Case("LeakyReLU", {}, (5,)),
    Case("PReLU", {"alpha_initializer": "ones", "shared_axes": [1]}, (3, 4)),
    Case("ELU", {"alpha": 0.5}, (5,)),
    Case("Softmax", {"axis": 1}, (3, 4)),
    Case("Softmax", {"axis": [1, 2]}, (3, 4)),
    Case("Softmax", {}, (5,), call={"mask": MASK * MASK[:, :1]}),  # one row has no place left
    Case("ActivityRegularization", {"l1": 0.1}, (3,)),
    Case("Identity", {}, (2, 3)),
    Case("ThresholdedReLU", {"theta": 0.5}, (5,), keras3=False),
    Case("GaussianNoise", {"stddev": 0.5}, (5,), random=True),
    Case("GaussianDropout", {"rate": 0.5}, (5,), random=True),
    Case("AlphaDropout", {"rate": 0.5}, (5,), random=True),
]
