"""Functions beside the ops, with the arguments they need and other values of those they may take."""

from __future__ import annotations

import numpy as np

from .op_cases import Case
from .op_cases.data import CORNERS, ONE_HOT, SOFT, P, X, Y

_LABELS = np.array([1, 3, 0], "int32")
_BINARY = (P > 0.5).astype("float32")
_POINTS = np.array([[0.6, 0.8, 0], [0.8, 0.6, 0], [0, 0.6, 0.8], [0, 1, 0]], "float32")
_PAIR = {"y_true": P, "y_pred": SOFT}
_CLASSES = {"y_true": ONE_HOT, "y_pred": SOFT}
_CUSTOM = {"custom_objects": {"mine": abs, "Mine": abs}}


def _objects():
    """Return, for each room, the name of one of its objects and the object itself."""
    import gpukeras as keras

    return {
        "activations": ("relu", keras.activations.relu),
        "constraints": ("NonNeg", keras.constraints.NonNeg()),
        "initializers": ("Zeros", keras.initializers.Zeros()),
        "regularizers": ("L2", keras.regularizers.L2()),
        "losses": ("MeanSquaredError", keras.losses.MeanSquaredError()),
        "metrics": ("MeanSquaredError", keras.metrics.MeanSquaredError()),
    }


def _of_a_room(room, name, thing):
    """Return cases of ``get``, ``serialize`` and ``deserialize``."""
    module = __import__("gpukeras", fromlist=[room])
    written = getattr(module, room).serialize(thing)
    # Older releases call the same parameter otherwise.
    single = {"activations": "activation", "losses": "loss"}.get(room, room.removesuffix("s"))
    yield Case(f"{room}.get", {"identifier": name})
    yield Case(f"{room}.serialize", {single: thing}, {}, {"use_legacy_format": True})
    for parameter in ("config", "name"):
        yield Case(f"{room}.deserialize", {parameter: name}, {}, {parameter: written},
                   {parameter: "mine", **_CUSTOM}, {"use_legacy_format": True}, label=parameter)


def every_case() -> list[Case]:
    """Return the cases; names are paths below ``keras``."""
    found = [case for room, (name, thing) in _objects().items() for case in _of_a_room(room, name, thing)]
    found += [Case(f"{room}.{name}", inputs, *settings) for room, cases in _TABLE.items()
              for names, inputs, *settings in cases for name in names.split()]
    return found + _metrics()


def _metrics():
    import gpukeras as keras

    one, two = keras.metrics.Mean(name="one"), keras.metrics.Recall(thresholds=0.3)
    return [Case("metrics.clone_metric", {"metric": two}),
            Case("metrics.clone_metrics", {"metrics": [one, two]}),
            Case("losses.is_categorical_crossentropy", {"loss": "categorical_crossentropy"}, {},
                 {"loss": keras.losses.categorical_crossentropy}, {"loss": "mse"})]


_SHAPED = {"shape": (2, 3), "seed": 1}
_DRAWN = ({"dtype": "float16"}, {"seed": 2})
_NESTED = [1, (2, {"a": None})]

_TABLE = {
    "activations": [
        ("elu celu", {"x": CORNERS}, {}, {"alpha": 0.3}),
        ("exponential hard_sigmoid hard_silu hard_tanh linear log_sigmoid mish relu6 selu sigmoid silu "
         "softplus softsign sparse_plus sparse_sigmoid swish tanh tanh_shrink", {"x": CORNERS}),
        ("gelu", {"x": CORNERS}, {}, {"approximate": True}),
        ("glu", {"x": Y}, {}, {"axis": -2, "x": X[:2]}),
        ("hard_shrink soft_shrink", {"x": CORNERS}, {}, {"threshold": 1.2}),
        ("leaky_relu", {"x": CORNERS}, {}, {"negative_slope": 0.4}),
        ("relu", {"x": CORNERS}, {}, {"negative_slope": 0.1}, {"alpha": 0.1}, {"max_value": 2.0},
         {"threshold": 1.2}),
        ("softmax log_softmax sparsemax", {"x": X}, {}, {"axis": 0}),
        ("squareplus", {"x": CORNERS}, {}, {"b": 1.5}),
        ("threshold", {"x": CORNERS, "threshold": 1.2, "default_value": -2.0}),
    ],
    "losses": [
        ("binary_crossentropy", {"y_true": _BINARY, "y_pred": P}, {}, {"from_logits": True},
         {"label_smoothing": 0.2}, {"axis": 0}),
        ("binary_focal_crossentropy", {"y_true": _BINARY, "y_pred": P}, {},
         {"apply_class_balancing": True}, {"alpha": 0.4, "apply_class_balancing": True}, {"gamma": 3.0},
         {"from_logits": True}, {"label_smoothing": 0.2}, {"axis": 0}),
        ("categorical_crossentropy", _CLASSES, {}, {"from_logits": True}, {"label_smoothing": 0.2},
         {"axis": 0}),
        ("categorical_focal_crossentropy", _CLASSES, {}, {"alpha": 0.4}, {"gamma": 3.0},
         {"from_logits": True}, {"label_smoothing": 0.2}, {"axis": 0}),
        ("categorical_generalized_cross_entropy", {**_CLASSES, "q": 0.5}, {}, {"q": 0.7}),
        ("sparse_categorical_crossentropy", {"y_true": _LABELS, "y_pred": SOFT}, {}, {"from_logits": True},
         {"ignore_class": 1}, {"axis": 0, "y_true": np.array([1, 0, 2, 2])}),
        ("categorical_hinge hinge squared_hinge kl_divergence log_cosh mean_absolute_error "
         "mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error poisson "
         "kullback_leibler_divergence logcosh", _PAIR),
        ("cosine_similarity cosine_proximity", _PAIR, {}, {"axis": 0}),
        ("huber huber_loss", _PAIR, {}, {"delta": 0.1}),
        ("dice", _PAIR, {}, {"axis": 1}),
        ("tversky", _PAIR, {}, {"alpha": 0.2}, {"beta": 0.2}, {"axis": 1}),
        ("circle", {"y_true": np.array([0, 0, 1, 1]), "y_pred": _POINTS}, {},
         {"ref_labels": np.array([0, 1, 1, 0])}, {"ref_embeddings": _POINTS[::-1].copy()},
         {"remove_diagonal": False}, {"gamma": 10}, {"margin": 0.2}),
        ("ctc", {"y_true": np.array([[1, 2], [3, 0]]),
                 "y_pred": np.stack([X, Y, X[::-1]]).swapaxes(0, 1)[:2]}),
    ],
    "metrics": [
        ("accuracy", {"y_true": _LABELS, "y_pred": np.array([1, 2, 0])}),
        ("binary_accuracy", {"y_true": _BINARY, "y_pred": P}, {}, {"threshold": 0.8}),
        ("categorical_accuracy", {"y_true": ONE_HOT, "y_pred": P}),
        ("concordance_correlation pearson_correlation", {"y_true": X, "y_pred": Y}, {}, {"axis": 0}),
        ("cosine_proximity", _PAIR, {}, {"axis": 0}),
        ("sparse_categorical_accuracy", {"y_true": _LABELS, "y_pred": P}),
        ("sparse_top_k_categorical_accuracy", {"y_true": _LABELS, "y_pred": P}, {}, {"k": 1}),
        ("sparse_top_k_categorical_accuracy",
         {"y_true": np.array([1, 1]), "y_pred": np.array([[1, 2], [3, 0]])},
         {"from_sorted_ids": True}),
        ("top_k_categorical_accuracy", {"y_true": ONE_HOT, "y_pred": P}, {}, {"k": 1}),
    ],
    "initializers": [
        ("glorot_normal glorot_uniform he_normal he_uniform lecun_normal lecun_uniform", {}, {}, {"seed": 3}),
    ],
    "regularizers": [("l1 l2", {}, {}, {"l": 0.3}), ("l1_l2", {}, {}, {"l1": 0.3}, {"l2": 0.3})],
    "random": [
        ("beta", {**_SHAPED, "alpha": 0.7, "beta": 2.0}, {}, *_DRAWN),
        ("binomial", {**_SHAPED, "counts": 9.0, "probabilities": 0.4}, {}, *_DRAWN),
        ("categorical", {"logits": X, "num_samples": 9, "seed": 1}, {}, {"dtype": "int64"}, {"seed": 2}),
        ("dropout", {"inputs": X, "rate": 0.5, "seed": 1}, {}, {"noise_shape": (3, 1)}, {"seed": 2}),
        ("gamma", {**_SHAPED, "alpha": 0.7}, {}, *_DRAWN),
        ("normal truncated_normal", _SHAPED, {}, {"mean": 2.0}, {"stddev": 0.3}, *_DRAWN),
        ("randint", {**_SHAPED, "minval": -9, "maxval": 99}, {}, {"dtype": "int64"}, {"seed": 2}),
        ("shuffle", {"x": X, "seed": 1}, {}, {"axis": 1}, {"seed": 2}),
        ("uniform", _SHAPED, {}, {"minval": -2.0}, {"maxval": 3.0}, *_DRAWN),
    ],
    "tree": [
        ("assert_same_paths", {"a": _NESTED, "b": _NESTED}),
        ("assert_same_structure", {"a": _NESTED, "b": _NESTED}, {}, {"check_types": True}),
        ("flatten flatten_with_path is_nested lists_to_tuples", {"structure": _NESTED}),
        ("map_shape_structure", {"func": len, "structure": {"a": (1, 2), "b": [(3,)]}}),
        ("map_structure", {"func": str, "*": (_NESTED,)}, {}, {"none_is_leaf": False}),
        ("map_structure_up_to", {"shallow_structure": [0, 0], "func": len, "*": ([[1], [2, 3]],)}),
        ("pack_sequence_as", {"structure": _NESTED, "flat_sequence": [5, 6, 7]}),
        ("traverse", {"func": lambda x: tuple(x) if isinstance(x, list) else None, "structure": [1, [2]]}, {},
         {"top_down": False}),
    ],
}
