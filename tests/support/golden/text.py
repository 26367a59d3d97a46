"""Layers that need TensorFlow in Keras 3: cases, and the script that stored what Keras makes of them.

``text.json`` was written by ``python tests/support/golden/text.py`` with Keras 3.15.1 and TensorFlow 2.21.
"""

from __future__ import annotations

import json
import pathlib

import numpy as np

FILE = pathlib.Path(__file__).with_suffix(".json")
WORDS = [["a", "", "hello"], ["zz", "b", "a"], ["é", "x" * 70, "b"]]
LENGTHS = [["".join(chr(97 + i * n % 26) for i in range(n))] for n in
           (0, 1, 3, 4, 7, 8, 16, 17, 32, 33, 63, 64, 65, 100, 128, 129, 200)]
NUMBERS = [[5, 7, 9], [0, -3, 1234567890123]]
TEXTS = ["Hello, WORLD! it's ÄÖ x-y  a\tb\nc\u00a0d\u3000e", "a_b #tag @x <br /> 5.5 é a", "", "a b a"]
BIG = 1000003


def _each(layer, settings, *rest) -> list:
    return [(layer, kwargs, *rest) for kwargs in settings]


# (layer, constructor arguments, data to adapt to or None, inputs)
CASES = [
    *_each("Hashing", (
        {"num_bins": BIG}, {"num_bins": BIG, "salt": 5}, {"num_bins": BIG, "salt": [133, 137]},
        {"num_bins": 4, "mask_value": ""}, {"num_bins": 3, "output_mode": "one_hot"},
        {"num_bins": 3, "output_mode": "multi_hot"}, {"num_bins": 3, "output_mode": "count", "salt": 1},
    ), None, WORDS),
    *_each("Hashing", ({"num_bins": BIG}, {"num_bins": BIG, "salt": [2**40, 7]}), None, LENGTHS),
    *_each("Hashing", ({"num_bins": BIG}, {"num_bins": BIG, "salt": 3}, {"num_bins": 4, "mask_value": 7}),
           None, NUMBERS),
    *_each("StringLookup", (
        {}, {"mask_token": ""}, {"num_oov_indices": 3}, {"num_oov_indices": 3, "salt": [5, 7]},
        {"num_oov_indices": 3, "mask_token": "", "salt": 9}, {"output_mode": "one_hot", "mask_token": ""},
        {"output_mode": "multi_hot"}, {"output_mode": "count", "mask_token": "a"},
        {"output_mode": "count", "pad_to_max_tokens": True, "max_tokens": 9},
    ), [["b", "a", "c"], ["b", "", "a"]], WORDS),
    *_each("StringLookup", ({"output_mode": "tf_idf"}, {"output_mode": "tf_idf", "num_oov_indices": 2},
                            {"output_mode": "tf_idf", "max_tokens": 3, "pad_to_max_tokens": True}),
           [["b", "a", "b"], ["b", "d", "é"]], WORDS),
    *_each("StringLookup", (
        {"vocabulary": ["b", "a"], "invert": True},
        {"vocabulary": ["b", "a"], "invert": True, "mask_token": "", "oov_token": "?"},
        {"vocabulary": ["b", "a"], "invert": True, "num_oov_indices": 2},
    ), None, [[0, 1, 2], [3, 9, -1]]),
    ("StringLookup", {"vocabulary": ["b", "a"], "output_mode": "tf_idf", "idf_weights": [0.5, 2.0]}, None,
     WORDS),
    *_each("IntegerLookup", (
        {}, {"mask_token": 0}, {"num_oov_indices": 3}, {"num_oov_indices": 100, "oov_method": "farmhash"},
        {"num_oov_indices": 100, "oov_method": "farmhash", "salt": 7}, {"max_tokens": 3},
        {"output_mode": "multi_hot", "mask_token": 0}, {"output_mode": "count", "num_oov_indices": 2},
        {"output_mode": "tf_idf"},
    ), [[3, 5, 0], [5, -2, 12], [12, 100, 20]], NUMBERS),
    ("IntegerLookup", {"vocabulary": [12, 36], "invert": True, "mask_token": 0}, None,
     [[0, 1, 2], [3, 4, 9]]),
    *_each("TextVectorization", (
        {}, {"standardize": "lower"}, {"standardize": "strip_punctuation"}, {"standardize": None},
        {"split": "character"}, {"split": None}, {"ngrams": 2}, {"ngrams": [3]}, {"output_mode": "multi_hot"},
        {"output_mode": "count", "ngrams": 2}, {"output_mode": "tf_idf"}, {"output_sequence_length": 3},
        {"max_tokens": 5}, {"max_tokens": 5, "output_mode": "count", "pad_to_max_tokens": True},
        {"split": "character", "ngrams": 2, "output_mode": "count"},
    ), TEXTS, [[t] for t in [*TEXTS, "A b? C"]]),
    *_each("HashedCrossing", ({"num_bins": BIG}, {"num_bins": 3, "output_mode": "one_hot"}), None,
           ([["a"], [""], ["x" * 40]], [[1], [-3], [2**40]], [["q"], ["r"], ["a"]])),
    *_each("Discretization", [{"num_bins": n, "epsilon": e} for n, e in ((3, 0.01), (10, 0.02), (4, 0.3))],
           [[float((i * 7919) % 1009) ** 1.5] for i in range(777)], [[-1.0], [500.0], [9000.0], [1e6]]),
]


def made(layers, case, convert):
    """Return what a case gives with a library: its outputs, and its state after ``adapt``.

    Parameters
    ----------
    layers : module
        Of the layers.
    convert : callable
        Array to what layers take.
    """
    name, kwargs, data, inputs = case
    kwargs = {k: tuple(v) if k == "ngrams" and isinstance(v, (list, tuple)) else v for k, v in kwargs.items()}
    layer = getattr(layers, name)(**kwargs)
    if data is not None:
        layer.adapt(convert(_array(data)))
    given = [convert(_array(x)) for x in inputs] if isinstance(inputs, tuple) else convert(_array(inputs))
    found = np.asarray(layer(given))
    outputs = [x.decode() for x in found.ravel()] if found.dtype == object else found.ravel().tolist()
    state = {"outputs": outputs, "shape": list(found.shape)}
    if hasattr(layer, "get_vocabulary"):
        state["vocabulary"] = [t if isinstance(t, str) else int(t) for t in layer.get_vocabulary()]
    if name == "Discretization":
        state["bin_boundaries"] = [float(b) for b in layer.bin_boundaries]
    return state


def _array(values):
    found = np.array(values)
    return found.astype(object) if found.dtype.kind == "U" else found


if __name__ == "__main__":
    import os

    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf

    results = [made(keras.layers, case, tf.constant) for case in CASES]
    lines = ",\n".join(json.dumps(r, ensure_ascii=False) for r in results)
    FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
