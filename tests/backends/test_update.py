"""The rules on flat buffers: pieces, devices, untouched gradients, clipping factors."""

from __future__ import annotations

import numpy as np
import pytest
from support.fake_device import fake_device

from gpukeras.backends import CPU, threads
from gpukeras.backends.update import UpdateMixin

RULES = {
    "sgd_update": (0, {"learning_rate": 0.1}),
    "momentum_update": (1, {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    "rmsprop_update": (3, {"learning_rate": 0.1, "rho": 0.9, "momentum": 0.5, "epsilon": 1e-3}),
    "adagrad_update": (1, {"learning_rate": 0.1, "epsilon": 1e-3}),
    "adadelta_update": (2, {"learning_rate": 0.1, "rho": 0.9, "epsilon": 1e-3}),
    "adam_update": (3, {"learning_rate": 0.1, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-3}),
    "adamax_update": (2, {"learning_rate": 0.1, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-3}),
    "nadam_update": (2, {"learning_rate": 0.1, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-3,
                         "momentum_factor": 0.8, "gradient_factor": 0.3, "correction": 0.5}),
    "lion_update": (1, {"learning_rate": 0.1, "beta_1": 0.9, "beta_2": 0.99}),
    "ftrl_update": (2, {"learning_rate": 0.1, "power": 0.5, "l1": 0.1, "l2": 0.1, "shrinkage": 0.1,
                        "beta": 0.2}),
}


def run(backend, name, size, dtype="float32", rules=None):
    """Return what a rule of the backend, or that of a class, makes of its arrays."""
    slots, settings = RULES[name]
    rng = np.random.default_rng(0)
    p, g = rng.standard_normal(size), rng.standard_normal(size)
    state = [rng.random(size) + 1 for _ in range(slots)]
    if name == "rmsprop_update":
        state[2] *= 0.3  # a centred variance stays positive
    arrays = [backend.asarray(a, dtype) for a in (p, g, *state)]
    before = backend.to_numpy(arrays[1]).copy()
    rule = getattr(rules, name).__get__(backend) if rules else getattr(backend, name)
    rule(*arrays, **settings)
    np.testing.assert_array_equal(backend.to_numpy(arrays[1]), before)
    assert all(a.dtype == dtype for a in arrays)
    return [backend.to_numpy(a) for a in arrays]


@pytest.mark.parametrize("name", RULES)
def test_pieces_and_generic_version_agree(name, monkeypatch):
    monkeypatch.setattr(type(CPU), "update_chunk", 64)
    in_pieces = run(CPU, name, 1000)
    at_once = run(CPU, name, 50)
    with fake_device() as device:
        for a, b in zip(in_pieces, run(device, name, 1000, rules=UpdateMixin)):
            np.testing.assert_allclose(a, b, rtol=1e-6)
        for a, b in zip(at_once, run(device, name, 50, rules=UpdateMixin)):
            np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("name", RULES)
def test_large_buffers_take_fewer_passes_on_several_threads(name, dtype, monkeypatch):
    """Sums by the BLAS and parts by threads: the results stay the same, up to rounding."""
    plain = run(CPU, name, 5000, dtype)
    monkeypatch.setattr(type(CPU), "_one_pass", 64)
    summed = run(CPU, name, 5000, dtype)
    monkeypatch.setattr(type(CPU), "update_split", 2048)
    monkeypatch.setattr(type(CPU), "update_chunk", 1500)
    monkeypatch.setattr(threads, "WORTH", 0.0)
    monkeypatch.setattr(threads, "get_threads", lambda: 2)
    monkeypatch.setattr(threads, "split", lambda count, seconds: [(0, count // 2), (count // 2, count)])
    split = run(CPU, name, 5000, dtype)
    tolerance = {"rtol": 20 * np.finfo(dtype).eps, "atol": 20 * np.finfo(dtype).eps}
    for a, b, c in zip(plain, summed, split):
        np.testing.assert_allclose(b, a, **tolerance)
        np.testing.assert_allclose(c, b, **tolerance)


@pytest.mark.parametrize("name", RULES)
def test_device(backend, name):
    for found, expected in zip(run(backend, name, 100), run(CPU, name, 100, "float64")):
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("values, limit, factor", [
    ([3.0, 4.0], 1.0, 0.2), ([0.3, 0.4], 1.0, 1.0), ([0.0, 0.0], 1.0, 1.0), ([np.inf, 0.0], 1.0, np.nan),
])
def test_clip_factor(backend, values, limit, factor):
    with np.errstate(invalid="ignore"):
        found = backend.clip_factor(backend.square_sum(backend.asarray(np.float32(values))), limit)
    found = float(backend.to_numpy(found)) if hasattr(found, "shape") else found
    np.testing.assert_allclose(found, factor, rtol=1e-6)


def test_norm_of_half_precision_does_not_overflow(backend):
    total = backend.square_sum(backend.asarray(np.full(1000, 30.0), "float16"))
    np.testing.assert_allclose(float(backend.to_numpy(total)), 900_000, rtol=1e-3)


def test_flat_buffers_are_aligned(backend):
    for size in (1, 7, 1000):
        buffer = backend.flat_buffer(size, np.dtype("float32"))
        assert buffer.shape == (size,) and not backend.to_numpy(buffer).any()
        if backend is CPU:
            assert buffer.ctypes.data % 64 == 0
