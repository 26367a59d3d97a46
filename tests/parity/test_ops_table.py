"""Every op against real Keras 3 on JAX, from one table: values, gradients, result types, symbolic shapes."""

from __future__ import annotations

import numpy as np
import pytest
from support.op_cases import every_case
from support.quick_jax import quickly

from gpukeras import GradientTape, KerasTensor, ops, tree
from gpukeras.tensor import Tensor

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype:UserWarning"),  # JAX has no 64 bits here
]
CASES = [case for case in every_case() if case.real]
# So many cases are compiled at once, which is half the work.
PARTS = [CASES[i:i + 8] for i in range(0, len(CASES), 8)]


@pytest.mark.parametrize("cases", PARTS, ids=lambda cases: f"{cases[0]!r}...{cases[-1]!r}")
def test_values(real_keras, cases):
    """Results and gradients of all calls."""
    problems = []
    for case, expected in zip(cases, _theirs(cases, real_keras.ops)):
        try:
            _compare_calls(case, *expected)
        except AssertionError as error:
            problems.append(f"{case!r}: {error}")
    assert not problems, "\n".join(problems)


def _compare_calls(case, expected, containers):
    for settings, (results, gradients), kind in zip(case.settings, expected, containers):
        with GradientTape() as tape, np.errstate(all="ignore"):
            inputs = {name: tree.map_structure(Tensor, x) for name, x in case.arrays(settings).items()}
            sources = [inputs[name] for name in case.floats(settings)] if case.gradients else []
            tape.watch(sources)
            found = case.call(ops, settings, inputs)
        if case.name != "top_k":  # Keras speaks of a tuple; that of JAX is a list
            assert _containers(found) == kind, settings
        _compare(f"{settings}", found, results, case.tolerance)
        if gradients is None:
            continue
        leaves = [(y, Tensor(_seed(y))) for y in tree.flatten(found) if _is_float(y)]
        with np.errstate(all="ignore"):
            ours = tape.gradient([y for y, _ in leaves], tree.flatten(sources), [dy for _, dy in leaves],
                                 unconnected_gradients="zero")
        _compare(f"{settings}, gradient", ours, gradients, 10 * case.tolerance)


def _theirs(cases, theirs):
    """Return, for each case, real Keras's results and gradients of each call, and the kinds of results."""
    compiled = [case for case in cases if not case.eager]
    found = iter(_both_ways(compiled, theirs, quickly) if compiled else ())
    return [_both_ways([case], theirs, lambda f, x: f(x))[0] if case.eager else next(found) for case in cases]


def _both_ways(cases, theirs, run):
    """Return what ``_theirs`` does, where ``run(f, x)`` is ``f(x)``."""
    import jax

    containers: list = [[] for _ in cases]

    def every_call(floats):
        return [[both_ways(n, settings, inputs) for settings, inputs in zip(case.settings, floats[n])]
                for n, case in enumerate(cases)]

    def both_ways(n, settings, inputs):
        case = cases[n]
        others = {name: tree.map_structure(jax.numpy.asarray, x)
                  for name, x in case.arrays(settings).items() if name not in inputs}

        def call(inputs):
            results = case.call(theirs, settings, others | inputs)
            containers[n].append(_containers(results))
            return tree.flatten(results)

        if not case.gradients or not inputs:
            return call(inputs), None
        results, backward = jax.vjp(call, inputs)
        seeds = [_seed(y) for y in results]
        if all(seed.dtype == jax.dtypes.float0 for seed in seeds):
            return results, None
        gradients = backward([seed if seed.dtype == jax.dtypes.float0 else jax.numpy.asarray(seed)
                              for seed in seeds])[0]
        return results, tree.flatten([gradients[name] for name in case.floats(settings)])

    found = run(every_call, [[case.floats(settings) for settings in case.settings] for case in cases])
    return list(zip(found, containers))


def _containers(structure):
    """Return a structure with the names of its lists, tuples and dictionaries in place of the tensors."""
    if isinstance(structure, dict):
        return {key: _containers(value) for key, value in structure.items()}
    if isinstance(structure, (list, tuple)):
        return ("tuple" if isinstance(structure, tuple) else "list", *map(_containers, structure))
    return "tensor" if hasattr(structure, "dtype") else type(structure).__name__


def _is_float(y):
    return np.dtype(y.dtype).kind in "fV"


def _seed(y):
    """Return the gradient of a result to start from."""
    import jax

    if not hasattr(y, "dtype") or not _is_float(y):
        return np.zeros(np.shape(y), jax.dtypes.float0)
    return np.cos(np.arange(y.size) * 2.3 + 0.4).reshape(y.shape).astype(y.dtype)


def _compare(what, ours, theirs, tolerance):
    ours, theirs = tree.flatten(ours), tree.flatten(theirs)
    assert len(ours) == len(theirs), f"{what}: {len(ours)} results, Keras has {len(theirs)}"
    for a, b in zip(ours, theirs):
        kinds = [str(getattr(t, "dtype", type(t).__name__)) for t in (a, b)]
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape, f"{what}: shape {a.shape}, Keras has {b.shape}"
        assert kinds[0] == kinds[1], f"{what}: dtype {kinds[0]}, Keras has {kinds[1]}"
        if a.dtype.kind in "biu":
            np.testing.assert_array_equal(a, b, what)
        else:
            large = np.max(np.abs(b), initial=1e-3, where=np.isfinite(b))
            np.testing.assert_allclose(a, b, tolerance, tolerance * large, err_msg=what)


# ---- symbolic tensors ------------------------------------------------------------------------------------
# What real Keras tells of symbolic tensors, but does not keep when it comes to run.
NOT_KEPT = {
    "rot90": "turns shapes by half a turn as by a quarter",
    "vstack-vectors": "joins vectors end to end", "corrcoef": "keeps the shape of the input",
    "multi_hot": "tells the type of the input", "lu_factor": "tells a float type of row numbers",
    "nn.polar": "tells a float type of complex numbers", "unravel_index": "tells a list of a tuple",
    "nn.categorical_crossentropy": "drops the last axis whatever axis holds the classes",
    "nn.adaptive_average_pool": "takes pairs for three sizes",
    "nn.adaptive_max_pool": "as adaptive_average_pool",
    "array_split": "tells a tuple of a list",
    "searchsorted": "tells int64 of an unknown size",
}


TOLD = [c for c in CASES if c.symbolic and repr(c) not in NOT_KEPT]


@pytest.mark.parametrize("name", dict.fromkeys(case.name for case in TOLD))
def test_symbolic_results(real_keras, name):
    """Shapes and types told of symbolic tensors, with all sizes known and with one unknown."""
    problems = []
    calls = [(c, settings, unknown) for c in TOLD if c.name == name
             for settings in c.settings for unknown in {None, c.unknown}]
    for case, settings, unknown in calls:
        try:
            theirs = _told(case, settings, unknown, real_keras.ops, real_keras.KerasTensor)
        except Exception:  # of any type: what Keras refuses, or fails at, we may do
            continue
        ours = _told(case, settings, unknown, ops, KerasTensor)
        if ours != theirs:
            problems.append(f"{case!r} {settings} unknown {unknown}: {ours}, Keras {theirs}")
    assert not problems, "\n".join(problems)


def _told(case, settings, unknown, ops, make):
    """Return shapes and types of the results for symbolic inputs."""
    arrays = case.arrays(settings)
    first = tree.flatten(next(iter(arrays.values())))[0].shape if arrays else ()

    def symbol(x):
        shape = [None if i == unknown and x.shape == first else n for i, n in enumerate(x.shape)]
        return make(tuple(shape), str(x.dtype))

    inputs = {name: tree.map_structure(symbol, x) for name, x in arrays.items()}
    found = case.call(ops, settings, inputs)
    told = [(tuple(y.shape), str(y.dtype)) if hasattr(y, "shape") else y for y in tree.flatten(found)]
    return told, _containers(found)


# ---- types of results ------------------------------------------------------------------------------------
KINDS = ("bool", "uint8", "int8", "int32", "float16", "bfloat16", "float32")
OTHER_KINDS = {  # where ours are others on purpose
    "dot": "int8 is summed in int32, as by matmul", "dot-integers": "as dot", "vdot": "as dot",
    "nn.relu": "booleans become what NumPy counts with", "nn.hard_tanh": "as relu",
    "nn.relu6": "keeps integers, as Keras tells of symbolic tensors", "nn.threshold": "as relu6",
    "nn.layer_normalization-axes": "integers become floats; Keras rounds the result",
    "nn.rms_normalization-axes": "as layer_normalization", "nn.dot_product_attention-grouped": "as these",
}
TYPED = [c for c in CASES if c.kinds and not c.eager and repr(c) not in OTHER_KINDS]


@pytest.mark.parametrize("name", dict.fromkeys(case.name for case in TYPED))
def test_kinds(real_keras, name):
    """Types of the results of the first call for inputs of all types (64 bits JAX has not)."""
    wrong = {repr(case): found for case in TYPED if case.name == name
             if (found := _other_kinds(case, real_keras))}
    assert not wrong


def _other_kinds(case, real_keras) -> dict:
    import jax

    settings = case.settings[0]
    arrays = case.arrays(settings)
    first = tree.flatten(next(iter(arrays.values()), [None]))[0]
    wrong = {}
    for kind in KINDS:
        given = tree.map_structure(lambda x: _of_kind(x, kind, first), arrays)
        try:
            told = jax.eval_shape(lambda xs: case.call(real_keras.ops, settings, xs), given)
        except Exception:  # of any type: what Keras refuses, or fails at, we may do
            continue
        theirs = [str(y.dtype) for y in jax.tree_util.tree_leaves(told)]
        with np.errstate(all="ignore"):
            found = tree.flatten(case.call(ops, settings, tree.map_structure(Tensor, given)))
        ours = [str(y.dtype) for y in found]
        if ours != theirs:
            wrong[kind] = f"{ours}, Keras {theirs}"
    return wrong


def _of_kind(x, kind, first):
    """Return an array like ``x`` of another type; places beside floats stay integers."""
    if x.dtype.kind != first.dtype.kind:
        return x
    square = x.ndim > 1 and x.shape[-1] == x.shape[-2]
    return np.broadcast_to(np.eye(x.shape[-1]) if square else 1, x.shape).astype(kind)
