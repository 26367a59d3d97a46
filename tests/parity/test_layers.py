"""Every layer against real Keras 3 (on JAX): outputs, all gradients, shapes, configurations."""

import json

import numpy as np
import pytest

from gpukeras import GradientTape, layers, ops, tree
from gpukeras.tensor import Tensor

pytestmark = [
    pytest.mark.parity,
    # Real Keras turns its variables into arrays in a way that NumPy 2 warns about.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]

TOLERANCE = 1e-5
MASK = np.array([[1, 1, 0, 1, 1], [1, 0, 0, 0, 0], [0, 1, 1, 1, 0]], bool)
ACTIVATIONS = (
    "relu", "relu6", "leaky_relu", "sigmoid", "tanh", "softmax", "softplus", "softsign", "elu", "selu",
    "silu", "gelu", "hard_sigmoid", "hard_silu", "exponential", "mish", "log_softmax", "linear",
)
MERGES = ("Add", "Multiply", "Average", "Maximum", "Minimum")
RNN_KINDS = (("SimpleRNN", {}), ("GRU", {}), ("GRU", {"reset_after": False}), ("LSTM", {}))
RNN_CALLS = (
    ({}, {}), ({"return_sequences": True, "return_state": True}, {}),
    ({"go_backwards": True, "return_sequences": True, "use_bias": False}, {}),
    ({"return_sequences": True}, {"mask": MASK}), ({"return_state": True}, {"mask": MASK}),
)


class Case:
    """A layer, its inputs and how it is called; ``kwargs`` may be a function of the ``layers`` module."""

    def __init__(self, name, kwargs, *shapes, integers=None, call=None, training=None):
        self.name, self.kwargs, self.shapes = name, kwargs, shapes
        self.integers, self.call, self.training = integers, call or {}, training

    def make(self, module, **extra):
        kwargs = self.kwargs(module) if callable(self.kwargs) else self.kwargs
        return getattr(module, self.name)(**kwargs, **extra)

    def data(self):
        rng = np.random.default_rng(3)
        if self.integers:
            return [rng.integers(0, self.integers, (3, *s)).astype("int32") for s in self.shapes]
        return [rng.uniform(-2.0, 2.0, (3, *s)).astype("float32") for s in self.shapes]

    def __repr__(self):
        kwargs = "..." if callable(self.kwargs) else ", ".join(f"{k}={v}" for k, v in self.kwargs.items())
        more = "".join(f", {k}" for k in self.call)
        more += f", training={self.training}" if self.training is not None else ""
        return f"{self.name}({kwargs}){more}-{'x'.join(map(str, self.shapes[0]))}"


def images(name, *many, shape=(6, 7, 4), **settings):
    return [Case(name, kwargs, shape, **settings) for kwargs in many]


CASES = [
    Case("Dense", {"units": 3}, (4,)),
    Case("Dense", {"units": 3, "activation": "relu", "use_bias": False}, (2, 4)),
    *[Case("Dense", {"units": 3, "activation": a}, (4,)) for a in ("tanh", "sigmoid", "softmax", "gelu")],
    *[Case("Activation", {"activation": a}, (5,)) for a in ACTIVATIONS],
    Case("Dropout", {"rate": 0.5}, (5,)),
    Case("Dropout", {"rate": 0.0}, (5,), training=True),
    Case("Flatten", {}, (2, 3)),
    Case("Flatten", {"data_format": "channels_first"}, (2, 3, 4)),
    Case("Reshape", {"target_shape": (3, -1)}, (2, 6)),
    Case("Permute", {"dims": (2, 3, 1)}, (2, 3, 4)),
    Case("RepeatVector", {"n": 3}, (4,)),
    Case("Masking", {"mask_value": 0.5}, (5, 2)),
    Case("Embedding", {"input_dim": 7, "output_dim": 3}, (5,), integers=7),
    Case("Embedding", {"input_dim": 7, "output_dim": 3, "mask_zero": True}, (5,), integers=7),
    Case("ReLU", {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.3}, (5,)),
    Case("LeakyReLU", {}, (5,)),
    Case("PReLU", {"alpha_initializer": "ones", "shared_axes": [1]}, (3, 4)),
    Case("ELU", {"alpha": 0.5}, (5,)),
    Case("Softmax", {"axis": 1}, (3, 4)),
    Case("Softmax", {"axis": [1, 2]}, (3, 4)),
    Case("Softmax", {}, (5,), call={"mask": MASK}),
    Case("ActivityRegularization", {"l1": 0.1}, (3,)),
    # ---- normalisation
    *[Case("BatchNormalization", kwargs, shape, training=mode)
      for mode in (True, False) for kwargs, shape in (
        ({}, (4,)), ({"axis": 1, "epsilon": 0.01}, (4, 3)), ({"center": False, "scale": False}, (2, 3, 4)),
    )],
    Case("BatchNormalization", {"renorm": True, "renorm_clipping": {"rmax": 1.2, "dmax": 0.3}}, (4,),
         training=True),
    Case("BatchNormalization", {}, (5, 4), training=True, call={"mask": MASK}),
    Case("LayerNormalization", {}, (3, 4)),
    Case("LayerNormalization", {"axis": [1, 2], "epsilon": 0.01}, (3, 4)),
    Case("LayerNormalization", {"center": False, "scale": False}, (4,)),
    # ---- merging
    *[Case(name, {}, (3, 4), (3, 4)) for name in (*MERGES, "Subtract")],
    *[Case(name, {}, (4,), (3, 4), (1, 4)) for name in MERGES],
    Case("Concatenate", {"axis": 1}, (2, 4), (3, 4)),
    Case("Concatenate", {}, (2, 3), (2, 4)),
    Case("Dot", {"axes": 1}, (4,), (4,)),
    Case("Dot", {"axes": -1, "normalize": True}, (3, 4), (5, 4)),
    Case("Dot", {"axes": (1, 2)}, (3, 4), (5, 3)),
    # ---- convolution and pooling
    *[Case("Conv1D", {"filters": 4, "kernel_size": 3, **kwargs}, (7, 2)) for kwargs in (
        {}, {"padding": "same", "strides": 2, "activation": "relu"},
        {"padding": "causal", "dilation_rate": 2}, {"groups": 2, "use_bias": False},
    )],
    *images("Conv2D", {"filters": 4, "kernel_size": 3}, {"filters": 4, "kernel_size": (2, 3), "strides": 2},
            {"filters": 4, "kernel_size": 3, "padding": "same", "activation": "tanh", "strides": (1, 2)},
            {"filters": 4, "kernel_size": 2, "dilation_rate": 2},
            {"filters": 4, "kernel_size": 3, "groups": 2}),
    *[Case(f"{kind}Pooling1D", kwargs, (7, 3)) for kind in ("Max", "Average") for kwargs in (
        {"pool_size": 2}, {"pool_size": 3, "strides": 1, "padding": "same"}, {"pool_size": 3, "strides": 2},
    )],
    *[Case(f"{kind}Pooling2D", kwargs, (6, 7, 3)) for kind in ("Max", "Average") for kwargs in (
        {"pool_size": 2}, {"pool_size": (3, 2), "strides": (2, 1), "padding": "same"},
        {"pool_size": 3, "strides": 2},
    )],
    *[Case(f"Global{kind}Pooling{rank}D", kwargs, shape) for kind in ("Max", "Average")
      for rank, shape in ((1, (5, 3)), (2, (4, 5, 3))) for kwargs in ({}, {"keepdims": True})],
    Case("GlobalAveragePooling1D", {}, (5, 3), call={"mask": MASK}),
    *images("ZeroPadding2D", {}, {"padding": (1, 2)}, {"padding": ((0, 1), (2, 0))}),
    *images("UpSampling2D", {}, {"size": (2, 3)}, {"interpolation": "bilinear"}, shape=(3, 4, 2)),
    # ---- recurrent
    *[Case(name, {"units": 3, **extra, **kwargs}, (5, 4), call=call)
      for name, extra in RNN_KINDS for kwargs, call in RNN_CALLS],
    *[Case(name, {"units": 3, "activation": "relu", "unroll": True}, (5, 4))
      for name in ("SimpleRNN", "GRU", "LSTM")],
    *[Case("Bidirectional", lambda L, name=name, kwargs=kwargs, merge=merge: {
        "layer": getattr(L, name)(3, **kwargs), "merge_mode": merge}, (5, 4), call=call)
      for name, kwargs, merge, call in (
          ("LSTM", {"return_sequences": True}, "concat", {}), ("GRU", {}, "sum", {}),
          ("SimpleRNN", {}, "ave", {}), ("LSTM", {}, "mul", {"mask": MASK}),
          ("LSTM", {"return_sequences": True}, None, {}),
      )],
    Case("TimeDistributed", lambda L: {"layer": L.Dense(3, activation="tanh")}, (5, 4)),
    Case("TimeDistributed", lambda L: {"layer": L.Conv2D(2, 3)}, (2, 5, 5, 3)),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_layer(real_keras, case):
    data = case.data()
    theirs, ours = case.make(real_keras.layers), case.make(layers)
    single = data[0] if len(data) == 1 else data
    theirs.build(tree.map_structure(lambda x: x.shape, single))
    ours(single)
    weights = _random_weights(theirs)
    theirs.set_weights(weights)
    ours.set_weights(weights)
    _same_weights(ours, theirs)
    expected, seeds, theirs_after = _run_theirs(theirs, case, data)
    found, ours_after = _run_ours(ours, case, data, seeds)
    for key in expected:
        assert len(found[key]) == len(expected[key]), key
        for i, (a, b) in enumerate(zip(found[key], expected[key])):
            scale = max(1.0, float(np.abs(b).max(initial=0)))
            assert a.shape == b.shape, f"{key} {i}"
            np.testing.assert_allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * scale, err_msg=f"{key} {i}")
    for a, b in zip(ours_after, theirs_after):
        np.testing.assert_allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, err_msg="weights after the call")
    shape = tree.map_structure(lambda x: (None, *x.shape[1:]), single)
    assert _plain(ours.compute_output_shape(shape)) == _plain(theirs.compute_output_shape(shape))
    _exchange_configurations(real_keras, ours, theirs, single)


def _random_weights(layer):
    rng = np.random.default_rng(5)
    positive = ("moving", "renorm")
    signs = [1 if w.name.startswith(positive) else rng.choice([-1, 1], w.shape) for w in layer.weights]
    return [rng.uniform(0.2, 1.0, w.shape).astype("float32") * s for w, s in zip(layer.weights, signs)]


def _same_weights(ours, theirs):
    ours_named, theirs_named = ([(w.name, tuple(w.shape)) for w in layer.weights] for layer in (ours, theirs))
    assert ours_named == theirs_named
    assert len(ours.trainable_weights) == len(theirs.trainable_weights)


def _run_theirs(layer, case, data):
    """Return outputs and gradients of real Keras, and the output gradients that were used."""
    import jax
    import jax.numpy as jnp

    trainable = [v.value for v in layer.trainable_variables]
    fixed = [v.value for v in layer.non_trainable_variables]
    call = {k: jnp.asarray(v) for k, v in case.call.items()}
    if case.training is not None:
        call["training"] = case.training
    rng = np.random.default_rng(7)

    def forward(trainable, inputs):
        single = inputs[0] if len(inputs) == 1 else inputs
        outputs, state = layer.stateless_call(trainable, fixed, single, **call)
        return jax.tree_util.tree_leaves(outputs), state

    inputs = [jnp.asarray(x) for x in data]
    shapes = jax.eval_shape(forward, trainable, inputs)[0]
    seeds = [rng.standard_normal(y.shape).astype("float32") for y in shapes]

    @jax.jit  # one compilation instead of one for every op
    def both_ways(trainable, inputs):
        outputs, backward, state = jax.vjp(forward, trainable, inputs, has_aux=True)
        return outputs, state, *backward([jnp.asarray(s) for s in seeds])

    outputs, state, of_weights, of_inputs = both_ways(trainable, inputs)
    found = {"output": [np.asarray(y) for y in outputs],
             "gradient of a weight": [np.asarray(g) for g in of_weights]}
    if not case.integers:
        found["gradient of an input"] = [np.asarray(g) for g in of_inputs]
    for variable, value in zip(layer.non_trainable_variables, state):
        variable.assign(value)
    return found, seeds, layer.get_weights()


def _run_ours(layer, case, data, seeds):
    inputs = [ops.convert_to_tensor(x) for x in data]
    call = {k: ops.convert_to_tensor(v) for k, v in case.call.items()}
    if case.training is not None:
        call["training"] = case.training
    with GradientTape() as tape:
        if not case.integers:
            tape.watch(inputs)
        outputs = tree.flatten(layer(inputs[0] if len(inputs) == 1 else inputs, **call))
    weights = layer.trainable_weights
    sources = [*weights, *([] if case.integers else inputs)]
    grads = tape.gradient(outputs, sources, [Tensor(s) for s in seeds], unconnected_gradients="zero")
    found = {"output": [y.numpy() for y in outputs],
             "gradient of a weight": [g.numpy() for g in grads[: len(weights)]]}
    if not case.integers:
        found["gradient of an input"] = [g.numpy() for g in grads[len(weights):]]
    return found, layer.get_weights()


def _plain(shape):
    if isinstance(shape, (tuple, list)):
        return tuple(_plain(s) for s in shape)
    return shape


def _exchange_configurations(real_keras, ours, theirs, data):
    """Real Keras makes our layer from our configuration and it is the same as theirs; we make theirs."""
    weights = theirs.get_weights()
    unsupported = {"quantization_config", "activity_regularizer"}
    lacking = set(theirs.get_config()) - set(ours.get_config()) - unsupported
    assert not lacking, f"our configuration lacks {lacking}"
    from_theirs = layers.deserialize(json.loads(json.dumps(real_keras.layers.serialize(theirs))))
    from_ours = real_keras.layers.deserialize(json.loads(json.dumps(layers.serialize(ours))))
    from_theirs(data)
    from_theirs.set_weights(weights)
    for a, b in zip(tree.flatten(from_theirs(data)), tree.flatten(ours(data))):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    if not from_ours.built:
        from_ours.build(tree.map_structure(lambda x: x.shape, data))
    from_ours.set_weights(weights)
    assert _without_names(from_ours.get_config()) == _without_names(theirs.get_config())


def _without_names(config):
    """Drop what may differ: names, and shapes that inner layers were built for."""
    if isinstance(config, dict):
        return {k: _without_names(v) for k, v in config.items() if k not in ("name", "build_config")}
    return [_without_names(v) for v in config] if isinstance(config, (list, tuple)) else config
