"""Every optimizer against an independent float64 loop, and against real Keras, over whole trajectories."""

from __future__ import annotations

import numpy as np
import pytest

from gpukeras import optimizers
from gpukeras.tensor import Tensor, Variable

SHAPES = [(3, 4), (4,), (4, 2), (2,), (1, 1)]
CASES = [
    ("SGD", {"learning_rate": 0.1}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
    ("RMSprop", {"learning_rate": 0.02}),
    ("RMSprop", {"learning_rate": 0.02, "momentum": 0.7, "centered": True}),
    ("RMSprop", {"learning_rate": 0.02, "rho": 0.8, "epsilon": 1e-3}),
    ("Adagrad", {"learning_rate": 0.3, "initial_accumulator_value": 0.2}),
    ("Adadelta", {"learning_rate": 1.0, "epsilon": 1e-3}),
    ("Adam", {"learning_rate": 0.05}),
    ("Adam", {"learning_rate": 0.05, "amsgrad": True, "beta_2": 0.9}),
    ("Adam", {"learning_rate": 0.05, "weight_decay": 0.1}),
    ("AdamW", {"learning_rate": 0.05, "weight_decay": 0.2}),
    ("Adamax", {"learning_rate": 0.05}),
    ("Nadam", {"learning_rate": 0.05}),
    ("Ftrl", {"learning_rate": 0.5, "l1_regularization_strength": 0.01, "l2_regularization_strength": 0.02}),
    ("Ftrl", {"learning_rate": 0.5, "learning_rate_power": -0.7, "beta": 0.3,
              "l2_shrinkage_regularization_strength": 0.1}),
    ("Lion", {"learning_rate": 0.02}),
    ("Lamb", {"learning_rate": 0.05}),
    ("Adam", {"learning_rate": 0.05, "adaptive_epsilon": True, "epsilon": 0.1}),
    ("Adafactor", {"learning_rate": 0.5}),
    ("Adafactor", {"learning_rate": 0.3, "beta_2_decay": -0.5, "epsilon_1": 1e-3, "epsilon_2": 0.1,
                   "clip_threshold": 0.5, "relative_step": False}),
    ("Muon", {"learning_rate": 0.05, "weight_decay": None, "adam_weight_decay": None}),
    ("Muon", {"learning_rate": 0.05, "weight_decay": 0.1, "adam_weight_decay": 0.1, "nesterov": False,
              "ns_steps": 3, "rms_rate": None, "momentum": 0.5, "adam_lr_ratio": 0.5, "muon_a": 3.0,
              "adam_beta_1": 0.8, "adam_beta_2": 0.9, "exclude_layers": ["^v2"]}),
    ("ScheduleFreeAdamW", {"learning_rate": 0.1}),
    ("ScheduleFreeAdamW", {"learning_rate": 0.1, "beta_1": 0.5, "beta_2": 0.9, "warmup_steps": 4,
                           "weight_decay": 0.05}),
]
SHARED = [
    {"clipnorm": 0.5}, {"clipvalue": 0.2}, {"global_clipnorm": 0.7}, {"weight_decay": 0.05},
    {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
    {"gradient_accumulation_steps": 3}, {"gradient_accumulation_steps": 2, "clipnorm": 0.3, "use_ema": True},
    {"loss_scale_factor": 8.0},
]


def identify(case):
    return "-".join([case[0], *(f"{k}={v}" for k, v in case[1].items() if k != "learning_rate")])


def start_values():
    rng = np.random.default_rng(1)
    return [rng.standard_normal(s) for s in SHAPES]


def gradient_of(values, targets, step):
    """Gradient of a quadratic with a drifting target: a trajectory that depends on every step before."""
    return [np.cos(step * 0.3 + i) * 0.5 + (v - t) for i, (v, t) in enumerate(zip(values, targets))]


def targets():
    rng = np.random.default_rng(2)
    return [rng.standard_normal(s) for s in SHAPES]


def our_trajectory(name, settings, steps=25, dtype="float32", cls=None):
    optimizer = (cls or getattr(optimizers, name))(**settings)
    variables = [Variable(v, dtype=dtype, name=f"v{i}") for i, v in enumerate(start_values())]
    goal, seen = targets(), []
    for step in range(steps):
        grads = gradient_of([v.numpy().astype("float64") for v in variables], goal, step)
        scale = settings.get("loss_scale_factor") or 1
        grads = [Tensor(v.backend.asarray(g * scale, dtype)) for g, v in zip(grads, variables)]
        optimizer.apply(grads, variables)
        seen.append([v.numpy().astype("float64") for v in variables])
    return seen, optimizer


# ---- the naive references: plain NumPy in float64, one weight array at a time --------------------
def reference_rule(name, s, state, w, g, lr, t):
    get = state.setdefault
    zero = np.zeros_like(w)
    if name == "SGD":
        if not s.get("momentum"):
            return w - lr * g
        m = state["m"] = s["momentum"] * get("m", zero) - lr * g
        return w + s["momentum"] * m - lr * g if s.get("nesterov") else w + m
    if name == "RMSprop":
        rho, eps = s.get("rho", 0.9), s.get("epsilon", 1e-7)
        v = state["v"] = rho * get("v", zero) + (1 - rho) * g**2
        if s.get("centered"):
            a = state["a"] = rho * get("a", zero) + (1 - rho) * g
            v = v - a**2
        step = lr * g / np.sqrt(v + eps)
        if s.get("momentum"):
            step = state["m"] = s["momentum"] * get("m", zero) + step
        return w - step
    if name == "Adagrad":
        a = state["a"] = get("a", zero + s["initial_accumulator_value"]) + g**2
        return w - lr * g / np.sqrt(a + 1e-7)
    if name == "Adadelta":
        eps = s["epsilon"]
        a = state["a"] = 0.95 * get("a", zero) + 0.05 * g**2
        step = g * np.sqrt(get("d", zero) + eps) / np.sqrt(a + eps)
        state["d"] = 0.95 * state["d"] + 0.05 * step**2
        return w - lr * step
    if name == "Ftrl":
        power, n = s.get("learning_rate_power", -0.5), get("n", zero + 0.1)
        l1, l2 = s.get("l1_regularization_strength", 0), s.get("l2_regularization_strength", 0)
        new = state["n"] = n + g**2
        used = g + 2 * s.get("l2_shrinkage_regularization_strength", 0) * w
        z = state["z"] = get("z", zero) + used - (new**-power - n**-power) / lr * w
        return (np.clip(z, -l1, l1) - z) / (new**-power / lr + 2 * l2 + s.get("beta", 0) / lr)
    if name in LARGER:
        return LARGER[name](s, state, w, g, lr, t)
    b1, b2 = s.get("beta_1", 0.9), s.get("beta_2", 0.99 if name == "Lion" else 0.999)
    m_before = get("m", zero)
    if name == "Lion":
        state["m"] = b2 * m_before + (1 - b2) * g
        return w - lr * np.sign(b1 * m_before + (1 - b1) * g)
    m = state["m"] = b1 * m_before + (1 - b1) * g
    if name == "Adamax":
        u = state["u"] = np.maximum(b2 * get("u", zero), abs(g))
        return w - lr / (1 - b1**t) * m / (u + 1e-7)
    v = state["v"] = b2 * get("v", zero) + (1 - b2) * g**2
    if name == "Nadam":
        now, then = b1 * (1 - 0.5 * 0.96**t), b1 * (1 - 0.5 * 0.96 ** (t + 1))
        product = state["p"] = get("p", 1.0) * now
        mean = then * m / (1 - product * then) + (1 - now) * g / (1 - product)
        return w - lr * mean / (np.sqrt(v / (1 - b2**t)) + 1e-7)
    if name == "Lamb":
        step = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + 1e-7)
        return w - lr * np.linalg.norm(w) / np.linalg.norm(step) * step
    if s.get("amsgrad"):
        v = state["h"] = np.maximum(get("h", zero), v)
    eps = s.get("epsilon", 1e-7) * (np.sqrt(1 - b2**t) if s.get("adaptive_epsilon") else 1)
    return w - lr * np.sqrt(1 - b2**t) / (1 - b1**t) * m / (np.sqrt(v) + eps)


def adafactor(s, state, w, g, lr, t):
    keep, squares = 1 - t ** s.get("beta_2_decay", -0.8), g**2 + s.get("epsilon_1", 1e-30)
    if w.ndim > 1:
        for key, axis in (("r", -1), ("c", -2)):
            means = squares.mean(axis)
            state[key] = keep * state.get(key, 0 * means) + (1 - keep) * means
        v = np.outer(state["r"] / state["r"].mean(), state["c"])
    else:
        v = state["v"] = keep * state.get("v", 0 * w) + (1 - keep) * squares
    u, size = g / np.sqrt(v), lambda x: np.sqrt((x**2).mean())
    scale = max(s.get("epsilon_2", 1e-3), size(w)) * min(lr, t**-0.5)
    return w - scale * u / max(1, size(u) / s.get("clip_threshold", 1.0))


def muon(s, state, w, g, lr, t):
    if w.ndim != 2 or (s.get("exclude_layers") and w.shape == SHAPES[2]):
        own = {"beta_1": s.get("adam_beta_1", 0.9), "beta_2": s.get("adam_beta_2", 0.999)}
        return reference_rule("Adam", own, state, w, g, lr * s.get("adam_lr_ratio", 1), t)
    mu, a, b, c = s.get("momentum", 0.95), s.get("muon_a", 3.4445), -4.775, 2.0315
    m = state["m"] = mu * state.get("m", 0 * w) + g
    x = g + mu * m if s.get("nesterov", True) else m
    left, values, right = np.linalg.svd(x / (np.linalg.norm(x) + 1e-7), full_matrices=False)
    for _ in range(s.get("ns_steps", 5)):
        values = a * values + b * values**3 + c * values**5
    rate = s.get("rms_rate", 0.2)
    return w - lr * (1 if rate is None else np.sqrt(max(w.shape)) * rate) * (left * values) @ right


def schedule_free(s, state, w, g, lr, t):
    b1, b2 = s.get("beta_1", 0.9), s.get("beta_2", 0.999)
    lr = lr * min(1, t / s["warmup_steps"]) if "warmup_steps" in s else lr
    if t == 1:
        state["z"] = start_values()[[v.shape for v in start_values()].index(w.shape)]
    x = (w - (1 - b1) * state["z"]) / b1
    v = state["v"] = b2 * state.get("v", 0 * w) + (1 - b2) * g**2
    z = state["z"] = state["z"] - lr * g / (np.sqrt(v / (1 - b2**t)) + 1e-8)
    return (1 - b1) * z + b1 * (x + (z - x) / t)


LARGER = {"Adafactor": adafactor, "Muon": muon, "ScheduleFreeAdamW": schedule_free}


def clipped(grads, s):
    if "clipnorm" in s:
        return [g * min(1, s["clipnorm"] / np.linalg.norm(g)) for g in grads]
    if "clipvalue" in s:
        return [np.clip(g, -s["clipvalue"], s["clipvalue"]) for g in grads]
    if "global_clipnorm" in s:
        norm = np.sqrt(sum((g**2).sum() for g in grads))
        return [g * min(1, s["global_clipnorm"] / norm) for g in grads]
    return grads


def reference_trajectory(name, settings, steps=25):
    weights, goal, states = start_values(), targets(), [{} for _ in SHAPES]
    lr = float(np.float32(settings["learning_rate"]))
    every, kept, averages, seen = settings.get("gradient_accumulation_steps", 1), None, None, []
    for step in range(steps):
        grads = gradient_of(weights, goal, step)
        kept = grads if kept is None else [k + g for k, g in zip(kept, grads)]
        update = step // every
        if (step + 1) % every == 0:
            grads = clipped([k / every for k in kept], settings)
            kept = None
            decay = settings.get("weight_decay") or 0.0
            weights = [w - lr * decay * w for w in weights]
            weights = [
                reference_rule(name, settings, state, w, g, lr, update + 1)
                for state, w, g in zip(states, weights, grads)
            ]
        if settings.get("use_ema"):
            k = settings.get("ema_momentum", 0.99) if update else 0.0
            averages = [k * a + (1 - k) * w for a, w in zip(averages or weights, weights)]
            frequency = settings.get("ema_overwrite_frequency")
            if frequency and (update + 1) % frequency == 0:
                weights = list(averages)
        seen.append(weights)
    return seen


def compare(found, expected, rtol):
    for step, (a, b) in enumerate(zip(found, expected, strict=True)):
        for x, y in zip(a, b):
            np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol, err_msg=f"step {step}")


@pytest.mark.parametrize("case", CASES, ids=identify)
@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-9), ("float32", 2e-4)])
def test_rule_against_naive_loop(backend, case, dtype, rtol):
    found, _ = our_trajectory(*case, dtype=dtype)
    compare(found, reference_trajectory(*case), rtol)


@pytest.mark.parametrize("shared", SHARED, ids=str)
@pytest.mark.parametrize("name", ["SGD", "Adam", "Lamb"])
def test_shared_settings_against_naive_loop(backend, name, shared):
    settings = {"learning_rate": 0.05, **shared}
    found, _ = our_trajectory(name, settings, dtype="float64")
    compare(found, reference_trajectory(name, settings), 1e-9)


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adam", "Adagrad", "Nadam", "Ftrl", "Lamb"])
def test_half_precision_stays_half(backend, name):
    found, optimizer = our_trajectory(name, {"learning_rate": 0.05, "epsilon": 1e-3} if name not in (
        "SGD", "Ftrl") else {"learning_rate": 0.05}, dtype="float16", steps=5)
    assert all(np.isfinite(v).all() for v in found[-1])
    assert {str(v.dtype) for v in optimizer.variables[2:]} <= {"float16"}


def keras_trajectory(keras, name, settings, steps=25):
    optimizer = getattr(keras.optimizers, name)(**settings)
    variables = [keras.Variable(v.astype("float32"), name=f"v{i}") for i, v in enumerate(start_values())]
    goal, seen = targets(), []
    for step in range(steps):
        grads = gradient_of([np.asarray(v).astype("float64") for v in variables], goal, step)
        scale = settings.get("loss_scale_factor") or 1
        optimizer.apply([keras.ops.array((g * scale).astype("float32")) for g in grads], variables)
        seen.append([np.asarray(v).astype("float64") for v in variables])
    return seen, optimizer


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in real Keras's .numpy()
@pytest.mark.parametrize(
    "case", [c for c in CASES if "adaptive_epsilon" not in c[1]] + [
        ("Adam", {"learning_rate": 0.05, **s}) for s in SHARED if "loss_scale_factor" not in s] + [
        ("Muon", {"learning_rate": 0.05, "weight_decay": 0.2, "adam_weight_decay": 0.1}),
        ("Muon", {"learning_rate": 0.05, "gradient_accumulation_steps": 2, "use_ema": True}),
        ("Adafactor", {"learning_rate": 0.1, "weight_decay": 0.1, "global_clipnorm": 0.5})],
    ids=identify,
)
def test_parity(real_keras, case):
    steps = 12
    expected, theirs = keras_trajectory(real_keras, *case, steps=steps)
    found, ours = our_trajectory(*case, steps=steps)
    compare(found, expected, 1e-3 if case[0] in ("Ftrl", "Lion", "Muon") else 2e-4)
    # The same state in the same order: files can be exchanged.
    assert [v.shape for v in ours.variables] == [tuple(v.shape) for v in theirs.variables]
    for a, b in zip(ours.variables[2:], theirs.variables[2:]):
        np.testing.assert_allclose(a.numpy(), np.asarray(b), rtol=2e-3, atol=2e-4, err_msg=a.path)
    config, other = ours.get_config(), theirs.get_config()
    assert list(config) == list(other)
    assert {k: v for k, v in config.items() if k not in ("name", "learning_rate")} == {
        k: v for k, v in other.items() if k not in ("name", "learning_rate")
    }
