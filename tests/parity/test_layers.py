"""Every layer against real Keras 3 (on JAX): outputs, all gradients, shapes, configurations."""

import json

import numpy as np
import pytest
from support.layer_cases import every_case
from support.layer_cases.case import random_weights

from gpukeras import GradientTape, layers, ops, tree
from gpukeras.tensor import Tensor

pytestmark = [
    pytest.mark.parity,
    # Real Keras turns its variables into arrays in a way that NumPy 2 warns about.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
    # Its MixUp asks JAX for int64.
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
]


@pytest.mark.parametrize("case", [c for c in every_case() if c.keras3], ids=repr)
def test_layer(real_keras, case):
    data = case.data()
    theirs, ours = case.make(real_keras.layers), case.make(layers)
    single = data[0] if len(data) == 1 else data
    if case.setup:
        case.setup(theirs, single)
        case.setup(ours, single)
    if not theirs.built:
        theirs.build(*tree.map_structure(lambda x: x.shape, case.arguments(data)))
    ours(*case.arguments(data))
    weights = random_weights(theirs) if not case.setup else theirs.get_weights()
    theirs.set_weights(weights)
    ours.set_weights(weights)
    _same_weights(ours, theirs)
    expected, seeds, theirs_after = _run_theirs(theirs, case, data)
    found, ours_after = _run_ours(ours, case, data, seeds)
    for key in expected:
        assert len(found[key]) == len(expected[key]), key
        for i, (a, b) in enumerate(zip(found[key], expected[key])):
            case.compare(a, b, f"{key} {i}")
    for a, b in zip(ours_after, theirs_after):
        case.compare(a, b, "weights after the call")
    shapes = tree.map_structure(lambda x: (None, *x.shape[1:]), case.arguments(data))
    assert _plain(ours.compute_output_shape(*shapes)) == _plain(theirs.compute_output_shape(*shapes))
    mode = {"training": False} if case.random else {}
    _exchange_configurations(real_keras, ours, theirs, case.arguments(data), mode)


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
    call = case.keywords(jnp.asarray)
    if case.training is not None:
        call["training"] = case.training
    rng = np.random.default_rng(7)

    def forward(trainable, inputs):
        outputs, state = layer.stateless_call(trainable, fixed, *case.arguments(inputs), **call)
        return jax.tree_util.tree_leaves(outputs), state

    inputs = [jnp.asarray(x) for x in data]
    shapes = jax.eval_shape(forward, trainable, inputs)[0]
    seeds = [rng.standard_normal(y.shape).astype("float32") if np.dtype(y.dtype).kind == "f"
             else np.zeros(y.shape, jax.dtypes.float0) for y in shapes]

    @jax.jit  # one compilation instead of one for every op
    def both_ways(trainable, inputs):
        outputs, backward, state = jax.vjp(forward, trainable, inputs, has_aux=True)
        return outputs, state, *backward(seeds)

    outputs, state, of_weights, of_inputs = both_ways(trainable, inputs)
    found = {"output": [np.asarray(y) for y in outputs],
             "gradient of a weight": [np.asarray(g) for g in of_weights]}
    if case.gradients:
        found["gradient of an input"] = [np.asarray(g) for g in of_inputs]
    for variable, value in zip(layer.non_trainable_variables, state):
        variable.assign(value)
    return found, seeds, layer.get_weights()


def _run_ours(layer, case, data, seeds):
    inputs = [ops.convert_to_tensor(x) for x in data]
    call = case.keywords(ops.convert_to_tensor)
    if case.training is not None:
        call["training"] = case.training
    with GradientTape() as tape:
        if case.gradients:
            tape.watch(inputs)
        outputs = tree.flatten(layer(*case.arguments(inputs), **call))
    weights = layer.trainable_weights
    sources = [*weights, *(inputs if case.gradients else [])]
    pairs = [(y, Tensor(s)) for y, s in zip(outputs, seeds) if s.dtype.kind == "f"]
    grads = tape.gradient([y for y, _ in pairs], sources, [s for _, s in pairs], unconnected_gradients="zero")
    found = {"output": [ops.convert_to_numpy(y) for y in outputs],
             "gradient of a weight": [g.numpy() for g in grads[: len(weights)]]}
    if case.gradients:
        found["gradient of an input"] = [g.numpy() for g in grads[len(weights):]]
    return found, layer.get_weights()


def _plain(shape):
    if isinstance(shape, (tuple, list)):
        return tuple(_plain(s) for s in shape)
    return shape


def _exchange_configurations(real_keras, ours, theirs, data, mode):
    """Real Keras makes our layer from our configuration and it is the same as theirs; we make theirs."""
    weights = theirs.get_weights()
    unsupported = {"quantization_config", "activity_regularizer"}
    lacking = set(theirs.get_config()) - set(ours.get_config()) - unsupported
    assert not lacking, f"our configuration lacks {lacking}"
    from_theirs = layers.deserialize(json.loads(json.dumps(real_keras.layers.serialize(theirs))))
    from_ours = real_keras.layers.deserialize(json.loads(json.dumps(layers.serialize(ours))))
    from_theirs(*data, **mode)
    from_theirs.set_weights(weights)
    for a, b in zip(tree.flatten(from_theirs(*data, **mode)), tree.flatten(ours(*data, **mode))):
        np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))
    if not from_ours.built:
        from_ours.build(*tree.map_structure(lambda x: x.shape, data))
    from_ours.set_weights(weights)
    assert _without_names(from_ours.get_config()) == _without_names(theirs.get_config())


def _without_names(config):
    """Drop what may differ: names, and shapes that inner layers were built for."""
    if isinstance(config, dict):
        return {k: _without_names(v) for k, v in config.items() if k not in ("name", "build_config")}
    return [_without_names(v) for v in config] if isinstance(config, (list, tuple)) else config
