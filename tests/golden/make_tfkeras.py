"""Write ``tfkeras2.npz`` with real tf.keras, as TensorFlow had it up to 2.15 (the package ``tf_keras``).

    python -m venv tfkeras
    tfkeras/bin/pip install tensorflow-cpu tf_keras
    tfkeras/bin/python tests/golden/make_tfkeras.py
"""

import os
import pathlib

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras2_cases as cases
import keras2_fits as fits
import numpy as np
import tensorflow as tf
import tf_keras as keras
from tf_keras import layers

FOUND = {}


def layer(case):
    name, kwargs, shapes = case[:3]
    kind = case[3] if len(case) > 3 else None
    made = getattr(layers, name)(**(kwargs(layers) if callable(kwargs) else kwargs))
    data = [tf.constant(x) for x in cases.inputs(shapes, kind)]

    def forward():
        first = layers.Masking()(data[0]) if kind == "masked" else data[0]
        return made(first if len(data) == 1 else data, training=kind == "train")

    forward()
    made.set_weights(cases.weights([w.shape for w in made.weights], [w.name for w in made.weights]))
    with tf.GradientTape() as tape:
        tape.watch(data)
        outputs = forward()
        seed = np.random.RandomState(11).standard_normal(outputs.shape).astype("float32")
        total = tf.reduce_sum(outputs * seed)
    wanted = list(made.trainable_weights) + ([] if kind == "int" else data)
    grads = tape.gradient(total, wanted, unconnected_gradients="zero")
    for i, value in enumerate([outputs, *grads]):
        FOUND[f"{cases.label(case)}/{i}"] = tf.convert_to_tensor(value).numpy()


def optimizer(number, name, kwargs):
    model = cases.small_model(keras, getattr(keras.optimizers.legacy, name)(**kwargs))
    x, y = cases.small_data()
    for _ in range(cases.OPTIMIZER_STEPS):
        model.train_on_batch(x, y)
    for i, w in enumerate(model.get_weights()):
        FOUND[f"optimizer_{number}/{i}"] = w


def main():
    for case in filter(cases.in_tfkeras, cases.LAYERS):
        layer(case)
    for name in cases.LOSSES + cases.METRICS:
        y_true, y_pred = cases.targets(name)
        name_there = "cosine_similarity" if name == "cosine" else name
        f = keras.losses.get(name_there) if name in cases.LOSSES else getattr(keras.metrics, name)
        FOUND[name] = f(y_true, y_pred).numpy()
    grid = tf.constant(np.linspace(-4, 4, 18, dtype="float32").reshape(2, 9))
    for name in cases.ACTIVATIONS:
        FOUND["activation_" + name] = keras.activations.get(name)(grid).numpy()
    w = tf.constant(np.random.RandomState(2).standard_normal((3, 4)).astype("float32"))
    for room, made in (("constraint", cases.CONSTRAINTS), ("regularizer", cases.REGULARIZERS)):
        for i, (name, kwargs) in enumerate(made):
            FOUND[f"{room}_{i}"] = getattr(getattr(keras, f"{room}s"), name)(**kwargs)(w).numpy()
    for i, (name, kwargs) in enumerate(cases.OPTIMIZERS):
        optimizer(i, name, kwargs)
    for name, fit in fits.FITS.items():
        for what, value in fit(cases.WithLegacyOptimizers(keras)).items():
            FOUND[f"fit_{name}/{what}"] = np.asarray(value, "float32")
    np.savez_compressed(pathlib.Path(__file__).parent / "tfkeras2.npz", **FOUND)
    print(f"{len(FOUND)} values, tf.keras {keras.__version__}")


main()
