"""Write ``golden/legacy.json``: what the older optimizers of ``tf.keras`` do, by TensorFlow itself.

Needs ``pip install tf_keras tensorflow-cpu``; run as ``python tests/optimizers/make_golden.py``.
"""

from __future__ import annotations

import json
import pathlib

import numpy as np

FILE = pathlib.Path(__file__).with_name("golden") / "legacy.json"
STEPS = 5
CASES = [
    ("SGD", {"learning_rate": 0.1, "decay": 0.5}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "clipnorm": 0.5}),
    ("RMSprop", {"learning_rate": 0.1, "epsilon": 0.3}),
    ("RMSprop", {"learning_rate": 0.1, "epsilon": 0.3, "centered": True, "decay": 0.1}),
    ("RMSprop", {"learning_rate": 0.1, "epsilon": 0.3, "momentum": 0.5, "rho": 0.8}),
    ("RMSprop", {"learning_rate": 0.1, "epsilon": 0.3, "momentum": 0.5, "centered": True}),
    ("Adam", {"learning_rate": 0.1, "epsilon": 0.2, "decay": 0.2}),
    ("Adam", {"learning_rate": 0.1, "amsgrad": True, "beta_2": 0.5, "clipvalue": 0.3}),
    ("Adadelta", {"learning_rate": 1.0, "epsilon": 0.1, "rho": 0.8}),
    ("Adagrad", {"learning_rate": 0.5, "epsilon": 0.3, "initial_accumulator_value": 0.2}),
    ("Adamax", {"learning_rate": 0.1, "epsilon": 0.2}),
    ("Nadam", {"learning_rate": 0.1}),
    ("Nadam", {"learning_rate": 0.1, "schedule_decay": 0.1, "epsilon": 0.2}),
    ("Ftrl", {"learning_rate": 0.5, "l1_regularization_strength": 0.1, "l2_regularization_strength": 0.2,
              "l2_shrinkage_regularization_strength": 0.1, "beta": 0.3, "learning_rate_power": -0.7}),
]


def start() -> list:
    return [np.array([[1.0, -2.0], [0.5, 3.0]], "float32"), np.array([0.3, -0.7], "float32")]


def gradients(values, step) -> list:
    """Return gradients that depend on all steps before."""
    return [np.asarray(v * 0.5 + np.cos(step + i), "float32") for i, v in enumerate(values)]


def run(make, variable, name, settings) -> dict:
    """Return weights after every step, the state at the end, and the configuration."""
    optimizer = make(name)(**settings)
    variables = [variable(v) for v in start()]
    seen = []
    for step in range(STEPS):
        grads = gradients([v.numpy() for v in variables], step)
        optimizer.apply_gradients(list(zip(grads, variables)))
        seen.append([v.numpy().tolist() for v in variables])
    state = [np.asarray(w).tolist() for w in optimizer.get_weights()]
    config = {k: float(v) if isinstance(v, np.floating) else v for k, v in optimizer.get_config().items()}
    return {"name": name, "settings": settings, "weights": seen, "state": state, "config": config,
            "slots": sorted(optimizer.get_slot_names())}


def main() -> None:
    import tensorflow as tf
    import tf_keras

    def tensors(pairs):
        return [(tf.constant(g), v) for g, v in pairs]

    def make(name):
        cls = getattr(tf_keras.optimizers.legacy, name)

        class Converting(cls):
            def apply_gradients(self, pairs):
                return super().apply_gradients(tensors(pairs))

        return Converting

    found = [run(make, tf.Variable, *case) for case in CASES]
    FILE.write_text("[\n" + ",\n".join(map(json.dumps, found)) + "\n]\n")


if __name__ == "__main__":
    main()
