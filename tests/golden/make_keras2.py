"""Write ``keras224.npz`` with real Keras 2.2.4 (or ``keras231.npz`` with 2.3.1).

    python3.7 -m venv keras2
    keras2/bin/pip install tensorflow==1.15.5 keras==2.2.4 'h5py<3' 'protobuf<3.21' 'numpy<1.19'
    keras2/bin/python tests/golden/make_keras2.py
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf

# With the variables that TensorFlow 1 makes by itself, gradients may read weights that are already updated.
tf.compat.v1.enable_resource_variables()
tf.compat.v1.logging.set_verbosity("ERROR")

import keras  # noqa: E402
import keras2_cases as cases  # noqa: E402
import keras2_fits as fits  # noqa: E402
from keras import backend as K  # noqa: E402
from keras import layers  # noqa: E402

FOUND = {}


def count_after_each_step():
    """Let the counter of steps go up when a step is over; TensorFlow 1 may do so before it is read."""
    update_add, make = K.update_add, keras.models.Model._make_train_function

    def without_counters(x, increment):
        return tf.no_op() if K.dtype(x) == "int64" else update_add(x, increment)

    def counting(self):
        make(self)
        if self.train_function is None or hasattr(self.train_function, "counts"):
            return
        inner = self.train_function

        def step(ins):
            found = inner(ins)
            K.set_value(self.optimizer.iterations, K.get_value(self.optimizer.iterations) + 1)
            return found

        step.counts = True
        self.train_function = step

    K.update_add, keras.models.Model._make_train_function = without_counters, counting


count_after_each_step()


def layer(case):
    K.clear_session()
    name, kwargs, shapes = case[:3]
    kind = case[3] if len(case) > 3 else None
    made = getattr(layers, name)(**(kwargs(layers) if callable(kwargs) else kwargs))
    tensors = [keras.Input(s) for s in shapes]
    first = layers.Masking()(tensors[0]) if kind == "masked" else tensors[0]
    outputs = made(first if len(tensors) == 1 else tensors)
    values = cases.weights([K.int_shape(w) for w in made.weights], [w.name for w in made.weights])
    made.set_weights(values)
    seed = np.random.RandomState(11).standard_normal([cases.BATCH] + list(K.int_shape(outputs)[1:]))
    total = K.sum(outputs * K.constant(seed.astype("float32")))
    wanted = list(made.trainable_weights) + ([] if kind == "int" else tensors)
    # The gradient of an embedding comes as rows; asked for as a whole it is one array.
    grads = [None if g is None else g + K.zeros_like(w) for g, w in zip(K.gradients(total, wanted), wanted)]
    training = [K.learning_phase()] if kind == "train" else []
    run = K.function(tensors + training, [outputs] + [K.zeros_like(w) if g is None else g
                                                      for g, w in zip(grads, wanted)])
    data = cases.inputs(shapes, kind)
    for i, value in enumerate(run(data + ([1] if training else []))):
        FOUND[f"{cases.label(case)}/{i}"] = value


def optimizer(number, name, kwargs):
    K.clear_session()
    model = cases.small_model(keras, getattr(keras.optimizers, name)(**kwargs))
    x, y = cases.small_data()
    for _ in range(cases.OPTIMIZER_STEPS):
        model.train_on_batch(x, y)
    for i, w in enumerate(model.get_weights()):
        FOUND[f"optimizer_{number}/{i}"] = w


def main():
    for case in cases.LAYERS:
        layer(case)
    for name in cases.LOSSES + cases.METRICS:
        y_true, y_pred = cases.targets(name)
        f = (keras.losses if name in cases.LOSSES else keras.metrics).get(name)
        FOUND[name] = K.eval(f(K.constant(y_true), K.constant(y_pred)))
    grid = np.linspace(-4, 4, 18, dtype="float32").reshape(2, 9)
    for name in cases.ACTIVATIONS:
        FOUND["activation_" + name] = K.eval(keras.activations.get(name)(K.constant(grid)))
    for i, (name, kwargs) in enumerate(cases.CONSTRAINTS):
        w = np.random.RandomState(2).standard_normal((3, 4)).astype("float32")
        FOUND[f"constraint_{i}"] = K.eval(getattr(keras.constraints, name)(**kwargs)(K.constant(w)))
    for i, (name, kwargs) in enumerate(cases.REGULARIZERS):
        w = np.random.RandomState(2).standard_normal((3, 4)).astype("float32")
        FOUND[f"regularizer_{i}"] = K.eval(getattr(keras.regularizers, name)(**kwargs)(K.constant(w)))
    for i, (name, kwargs) in enumerate(cases.OPTIMIZERS):
        optimizer(i, name, kwargs)
    for name, fit in sorted(fits.FITS.items()):
        K.clear_session()
        for what, value in fit(keras).items():
            FOUND[f"fit_{name}/{what}"] = np.asarray(value, "float32")
    here = os.path.dirname(os.path.abspath(__file__))
    np.savez_compressed(os.path.join(here, "keras" + keras.__version__.replace(".", "") + ".npz"), **FOUND)
    print(f"{len(FOUND)} values, Keras {keras.__version__}")


main()
