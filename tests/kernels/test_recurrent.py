"""Recurrent kernels, in one launch and by steps, against naive float64 loops and finite differences."""

import importlib

import numpy as np
import pytest
from support import emulator
from support.fake_device import emulated, forbid_waiting

from gpukeras.backends import CPU

GATES = {"lstm": 4, "gru": 3, "gru_before": 3, "simple_rnn": 1}
PLAIN = {
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_sigmoid_keras2": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "exponential": np.exp,
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(x) - 1)),
}
SETTINGS = {
    "mask": None, "drop": None, "recurrent_drop": None, "go_backwards": False, "return_sequences": True,
    "zero_output_for_mask": False,
}
cells = pytest.mark.parametrize("cell", GATES)


# ---- the reference ---------------------------------------------------------------------------------------
def naive(cell, inputs, *, activation="tanh", recurrent_activation="sigmoid", **settings):
    """Return output and last states: one sample, one step, one gate after the other."""
    s = SETTINGS | settings
    x, states, (kernel, recurrent, bias) = inputs[0], inputs[1:-3], inputs[-3:]
    batch, steps, _ = x.shape
    units = len(recurrent)
    outputs = np.zeros((batch, steps, units))
    last = [np.zeros((batch, units)) for _ in states]
    for n in range(batch):
        state = [np.zeros(units) if a is None else a[n] for a in states]
        shown = np.zeros(units)
        for step in range(steps):
            t = steps - 1 - step if s["go_backwards"] else step
            valid = s["mask"] is None or s["mask"][n, t]
            if valid:
                def of_input(g, n=n, t=t):
                    return (x[n, t] * _factor(s["drop"], g, n)) @ kernel[:, g * units:(g + 1) * units]

                def of_state(g, h, n=n):
                    return (h * _factor(s["recurrent_drop"], g, n)) @ recurrent[:, g * units:(g + 1) * units]

                state = STEPS[cell](
                    state, of_input, of_state, _biases(cell, bias, units), PLAIN[activation],
                    PLAIN[recurrent_activation],
                )
                shown = state[0]
            outputs[n, step] = 0 if s["zero_output_for_mask"] and not valid else shown
        for kept, found in zip(last, state):
            kept[n] = found
    return (outputs if s["return_sequences"] else outputs[:, -1]), *last


def _factor(drop, gate, n):
    return 1.0 if drop is None else drop[n] if drop.ndim == 2 else drop[gate, n]


def _biases(cell, bias, units):
    """Return (biases of inputs, biases of states), a list for the gates each."""
    gates = GATES[cell]
    both = np.zeros((2, gates * units))
    if bias is not None:
        both[:len(np.atleast_2d(bias))] = bias
    return both.reshape(2, gates, units)


def _lstm(state, of_input, of_state, biases, squash, gate):
    h, c = state
    i, f, g, o = (of_input(k) + of_state(k, h) + biases[0][k] for k in range(4))
    c = gate(f) * c + gate(i) * squash(g)
    return [gate(o) * squash(c), c]


def _gru(state, of_input, of_state, biases, squash, gate):
    (h,) = state
    z, r = (gate(of_input(k) + biases[0][k] + of_state(k, h) + biases[1][k]) for k in range(2))
    new = squash(of_input(2) + biases[0][2] + r * (of_state(2, h) + biases[1][2]))
    return [z * h + (1 - z) * new]


def _gru_before(state, of_input, of_state, biases, squash, gate):
    (h,) = state
    z, r = (gate(of_input(k) + biases[0][k] + of_state(k, h)) for k in range(2))
    new = squash(of_input(2) + biases[0][2] + of_state(2, r * h))
    return [z * h + (1 - z) * new]


def _simple_rnn(state, of_input, of_state, biases, squash, gate):
    return [squash(of_input(0) + of_state(0, state[0]) + biases[0][0])]


STEPS = {"lstm": _lstm, "gru": _gru, "gru_before": _gru_before, "simple_rnn": _simple_rnn}


# ---- drawing and running ---------------------------------------------------------------------------------
def draw_inputs(cell, batch, steps, features, units, states=True, bias=True, scale=0.6, seed=0):
    """Return x, first states, kernel, recurrent kernel, bias, as float32 values in float64."""
    rng = np.random.default_rng(seed)
    width = GATES[cell] * units

    def draw(*shape):
        return (scale * rng.standard_normal(shape)).astype("float32").astype("float64")

    first = [draw(batch, units) if states else None for _ in range(2 if cell == "lstm" else 1)]
    biases = draw(*((2, width) if cell == "gru" else (width,))) if bias else None
    recurrent = draw(units, width) / units**0.5
    return [draw(batch, steps, features), *first, draw(features, width), recurrent, biases]


def draw_drops(cell, kind, batch, features, units):
    rng = np.random.default_rng(7)

    def factors(size):
        shape = (batch, size) if kind == "one" or cell == "simple_rnn" else (GATES[cell], batch, size)
        return rng.integers(0, 2, shape) * 1.5

    return {"drop": factors(features), "recurrent_drop": factors(units)} if kind else {}


def draw_mask(batch, steps, seed=3):
    """Rows in turn: padded in front, full, with gaps, padded behind, nothing valid."""
    rng = np.random.default_rng(seed)
    mask = np.ones((batch, steps), bool)
    mask[0::5, :(steps + 1) // 2] = False
    mask[2::5] = rng.random((len(mask[2::5]), steps)) < 0.5
    mask[3::5, steps // 2:] = False
    mask[4::5] = False
    return mask


def run(backend, cell, inputs, dys=None, wants=None, dtype="float32", **settings):
    """Return outputs and, for gradients ``dys`` of them, gradients of all inputs, as host arrays."""
    settings = SETTINGS | settings
    name, options = cell, {}
    if cell.startswith("gru"):
        name, options = "gru", {"reset_after": cell == "gru"}

    def put(a, dtype=dtype):
        return None if a is None else backend.asarray(np.asarray(a, dtype))

    for key in ("drop", "recurrent_drop"):
        settings[key] = put(settings[key])
    settings["mask"] = put(settings["mask"], "bool")
    *outputs, kept = getattr(backend, f"{name}_forward")(
        *map(put, inputs), keep=dys is not None, **options, **settings
    )
    outputs = [backend.to_numpy(y) for y in outputs]
    if dys is None:
        assert kept is None
        return outputs
    wants = wants or [a is not None for a in inputs]
    grads = getattr(backend, f"{name}_backward")(kept, *map(put, dys), wants)
    return outputs, [backend.to_numpy(g) if want else None for g, want in zip(grads, wants)]


def kernels(name="recurrent"):
    """Return the launchers that the emulated backend uses."""
    return importlib.import_module(f"gpukeras.kernels.{name}")


@pytest.fixture
def gpu(tier):
    with emulated(tier=tier) as backend:
        kernels("launch").debug(True)
        yield backend
        kernels("launch").debug(False)


@pytest.fixture(params=["persistent", "steps"])
def way(request, gpu):
    before = kernels().set_way(request.param)
    yield request.param
    kernels().set_way(before)


def check(backend, cell, inputs, **settings):
    """Compare values with the naive loop, gradients with its differences and the generic way in float64."""
    expected = naive(cell, inputs, **settings)
    rng = np.random.default_rng(11)
    dys = [rng.standard_normal(y.shape).astype("float32").astype("float64") for y in expected]
    outputs, grads = run(backend, cell, inputs, dys, **settings)
    for found, want in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(found, want, rtol=2e-5, atol=2e-6)
    for found, want in zip(run(backend, cell, inputs, **settings), expected, strict=True):
        np.testing.assert_allclose(found, want, rtol=2e-5, atol=2e-6)
    _, precise = run(CPU, cell, inputs, dys, dtype="float64", **settings)
    for place, (found, want) in enumerate(zip(grads, precise, strict=True)):
        if want is None:
            continue
        scale = max(np.abs(want).max(), 1e-3)
        np.testing.assert_allclose(found, want, rtol=2e-5, atol=5e-6 * scale)
        slope = difference(cell, inputs, place, dys, settings)
        np.testing.assert_allclose(np.vdot(want, way_of(inputs[place])), slope, rtol=1e-5, atol=1e-7)
    return outputs, grads


def way_of(a):
    return np.random.default_rng(5).standard_normal(a.shape)


def difference(cell, inputs, place, dys, settings, step=1e-5):
    """Return the slope of the loss, outputs times ``dys``, along a random way."""
    ends = []
    for sign in (step, -step):
        moved = [a + sign * way_of(a) if i == place else a for i, a in enumerate(inputs)]
        ends.append(sum(np.vdot(y, dy) for y, dy in zip(naive(cell, moved, **settings), dys)))
    return (ends[0] - ends[1]) / (2 * step)


# ---- values and gradients --------------------------------------------------------------------------------
CASES = {  # sizes (batch, steps, features, units), what is given, settings, mask, dropout
    "plain": ((3, 4, 2, 5), {}, {}, False, None),
    "masked": ((5, 4, 3, 6), {}, {}, True, None),
    "masked, no states, last": ((5, 3, 2, 3), {"states": False}, {"return_sequences": False}, True, None),
    "masked, states, last": ((5, 3, 2, 3), {}, {"return_sequences": False}, True, None),
    "zeros where masked, backwards": (
        (5, 4, 2, 4), {"bias": False}, {"zero_output_for_mask": True, "go_backwards": True}, True, None,
    ),
    "zeros where masked, last": (
        (5, 3, 2, 4), {}, {"zero_output_for_mask": True, "return_sequences": False}, True, None,
    ),
    "dropout": ((3, 3, 4, 5), {}, {"go_backwards": True}, True, "one"),
    "dropout of each gate": ((5, 3, 4, 9), {}, {}, True, "each"),
    "dropout of each gate, no states": (
        (2, 3, 3, 4), {"states": False}, {"go_backwards": True}, False, "each",
    ),
    "one of all": ((1, 1, 1, 1), {}, {}, False, None),
    "one step, no states": ((3, 1, 2, 7), {"states": False}, {}, False, None),
    "one sample": ((1, 5, 3, 11), {}, {"go_backwards": True}, False, None),
    "many units": ((3, 2, 2, 70), {}, {}, True, None),
    "many samples": ((37, 2, 2, 9), {}, {}, True, None),
}


@cells
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(way, gpu, cell, case):
    sizes, given, settings, masked, dropout = CASES[case]
    batch, steps, features, units = sizes
    settings = settings | draw_drops(cell, dropout, batch, features, units)
    if masked:
        settings["mask"] = draw_mask(batch, steps)
    check(gpu, cell, draw_inputs(cell, *sizes, **given), **settings)


@cells
@pytest.mark.parametrize("activation", PLAIN)
def test_activations(way, gpu, cell, activation):
    inputs = draw_inputs(cell, 3, 2, 3, 8, scale=0.4 if activation == "exponential" else 1.0)
    check(gpu, cell, inputs, activation=activation)
    if cell != "simple_rnn":
        check(gpu, cell, inputs, activation="softsign", recurrent_activation=activation)


def test_every_activation_has_a_number(gpu):
    from gpukeras.backends.recurrent_gates import ACTIVATIONS

    assert set(kernels("recurrent_cells").ACTIVATIONS) == set(ACTIVATIONS) == set(PLAIN)


@cells
def test_only_what_is_wanted(way, gpu, cell):
    """Other gradients are not reckoned, and those that are stay what they were."""
    inputs = draw_inputs(cell, 3, 3, 2, 5)
    dys = [np.ones(y.shape) for y in naive(cell, inputs)]
    _, every = run(gpu, cell, inputs, dys)
    for place in range(len(inputs)):
        _, some = run(gpu, cell, inputs, dys, [i == place for i in range(len(inputs))])
        np.testing.assert_array_equal(some[place], every[place])


@cells
@pytest.mark.parametrize("used", [0, 1, -1])
def test_gradients_of_one_output(way, gpu, cell, used):
    inputs = draw_inputs(cell, 3, 3, 2, 5)
    dys = [np.ones(y.shape) for y in naive(cell, inputs)]
    for sequences in (True, False):
        dys[0] = np.ones((3, 3, 5) if sequences else (3, 5))
        some = [dy if i == used % len(dys) else None for i, dy in enumerate(dys)]
        _, found = run(gpu, cell, inputs, some, return_sequences=sequences)
        _, want = run(CPU, cell, inputs, some, dtype="float64", return_sequences=sequences)
        for a, b in zip(found, want):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-5)


@cells
def test_backward_twice(way, gpu, cell):
    """A run may be walked back again, and nothing that was given is changed."""
    inputs = draw_inputs(cell, 3, 3, 2, 5)
    name = "gru" if cell.startswith("gru") else cell
    options = {"reset_after": cell == "gru"} if name == "gru" else {}
    arrays = [gpu.asarray(a.astype("float32")) for a in inputs]
    *outputs, kept = getattr(gpu, f"{name}_forward")(*arrays, **options, **SETTINGS)
    seen = [gpu.to_numpy(y) for y in outputs]
    dys = [gpu.asarray(np.ones(y.shape, "float32")) for y in outputs]
    backward = getattr(gpu, f"{name}_backward")
    first, again = (
        [gpu.to_numpy(g) for g in backward(kept, *dys, [True] * len(inputs))] for _ in range(2)
    )
    for a, b in zip(first, again):
        np.testing.assert_array_equal(a, b)
    for a, b in zip([*arrays, *outputs, *dys], [*inputs, *seen, *[1.0] * len(dys)]):
        np.testing.assert_array_equal(gpu.to_numpy(a), np.float32(b))


@cells
def test_gradients_that_are_views(way, gpu, cell):
    """Gradients of sums are broadcast, x may be transposed."""
    inputs = draw_inputs(cell, 3, 4, 2, 5)
    want = naive(cell, inputs)
    dys = [np.broadcast_to(np.float32(1), y.shape) for y in want]
    inputs[0] = np.ascontiguousarray(inputs[0].swapaxes(0, 1)).swapaxes(0, 1)
    name = "gru" if cell.startswith("gru") else cell
    options = {"reset_after": cell == "gru"} if name == "gru" else {}
    x = gpu.asarray(np.ascontiguousarray(inputs[0].swapaxes(0, 1)).astype("float32")).swapaxes(0, 1)
    others = [gpu.asarray(a.astype("float32")) for a in inputs[1:]]
    y, *_, kept = getattr(gpu, f"{name}_forward")(x, *others, **options, **SETTINGS)
    np.testing.assert_allclose(gpu.to_numpy(y), want[0], rtol=2e-5, atol=2e-6)
    wide = [gpu.xp.broadcast_to(gpu.asarray(np.ones(1, "float32")), dy.shape) for dy in dys]
    found = getattr(gpu, f"{name}_backward")(kept, *wide, [True] * len(inputs))
    _, precise = run(CPU, cell, inputs, dys, dtype="float64")
    for a, b in zip(found, precise):
        np.testing.assert_allclose(gpu.to_numpy(a), b, rtol=2e-5, atol=1e-5)


@cells
def test_nothing_waits(way, gpu, cell):
    inputs = draw_inputs(cell, 5, 3, 2, 6)
    name = "gru" if cell.startswith("gru") else cell
    options = {"reset_after": cell == "gru"} if name == "gru" else {}
    arrays = [gpu.asarray(a.astype("float32")) for a in inputs]
    mask = gpu.asarray(draw_mask(5, 3))
    kernels("launch").debug(False)  # which waits
    with forbid_waiting():
        y, *states, kept = getattr(gpu, f"{name}_forward")(*arrays, **options, **SETTINGS | {"mask": mask})
        getattr(gpu, f"{name}_backward")(kept, y, *states, [True] * len(inputs))


# ---- what goes the generic way ---------------------------------------------------------------------------
@cells
@pytest.mark.parametrize("sizes, dtype", [
    ((0, 3, 2, 4), "float32"), ((3, 0, 2, 4), "float32"), ((3, 2, 2, 4), "float64"),
], ids=["no samples", "no steps", "float64"])
def test_generic_way(gpu, cell, sizes, dtype):
    inputs = draw_inputs(cell, *sizes)
    batch, steps, _, units = sizes
    dys = [way_of(np.empty((batch, steps, units))), *[np.ones((batch, units))] * (len(inputs) - 4)]
    want, gradients = run(CPU, cell, inputs, dys, dtype="float64")
    found, grads = run(gpu, cell, inputs, dys, dtype=dtype)
    for a, b in zip([*found, *grads], [*want, *gradients], strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


# ---- plans -----------------------------------------------------------------------------------------------
def use_plan(monkeypatch, **wanted):
    """Let layers run with the quickest plan that has these figures."""
    def chosen(cell, batch, units, drops, backward):
        gates = kernels("recurrent_cells").GATES[cell]
        every = kernels("recurrent_persistent").plans(gates, batch, units, drops, backward, 12, 200 << 10)
        found = [p for p in every if all(getattr(p, k) == v for k, v in wanted.items())]
        assert found, wanted
        return min(found, key=lambda p: p.cycles)

    monkeypatch.setattr(kernels(), "plan", chosen)


PLANS = [  # of 45 units and 26 samples
    {"rows": 4, "width": 8, "blocks": 6, "tiles": 1}, {"rows": 8, "width": 8, "blocks": 3, "tiles": 2},
    {"rows": 4, "width": 16, "blocks": 3}, {"rows": 8, "width": 16, "blocks": 1, "tiles": 3},
    {"rows": 4, "width": 32, "blocks": 2}, {"rows": 8, "width": 32, "blocks": 2},
    {"rows": 8, "width": 32, "tiles": 2},
]


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
@pytest.mark.parametrize("wanted", PLANS, ids=lambda p: ", ".join(f"{k} {v}" for k, v in p.items()))
def test_plans(gpu, cell, wanted, monkeypatch):
    """However units and samples are divided, with masks and dropout of each gate."""
    use_plan(monkeypatch, **wanted)
    settings = draw_drops(cell, "each", 26, 3, 45) | {"mask": draw_mask(26, 3)}
    inputs = draw_inputs(cell, 26, 3, 3, 45)
    dys = [way_of(y) for y in naive(cell, inputs, **settings)]
    found, grads = run(gpu, cell, inputs, dys, **settings)
    want, precise = run(CPU, cell, inputs, dys, dtype="float64", **settings)
    for a, b in zip([*found, *grads], [*want, *precise], strict=True):
        np.testing.assert_allclose(a, b, rtol=5e-5, atol=5e-6 * max(np.abs(b).max(), 1))


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_schedules_change_nothing(gpu, cell, monkeypatch):
    """Blocks and threads in any order: the same bits."""
    use_plan(monkeypatch, rows=4, width=8, blocks=3)
    inputs = draw_inputs(cell, 20, 4, 2, 21)
    dys = [way_of(y) for y in naive(cell, inputs)]
    found = []
    for schedule, seed in (("forward", 0), ("reverse", 0), ("random", 1), ("random", 2)):
        with emulator.using(schedule=schedule, seed=seed):
            outputs, grads = run(gpu, cell, inputs, dys)
        found.append([*outputs, *grads])
    for others in found[1:]:
        for a, b in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(a, b)


def test_too_many_blocks_would_wait_forever(gpu, monkeypatch):
    """Why plans never have more blocks than run at once."""
    use_plan(monkeypatch, rows=4, width=8, blocks=3)
    with emulator.using(resident_blocks=2), pytest.raises(emulator.KernelFault, match="deadlock"):
        run(gpu, "lstm", draw_inputs("lstm", 2, 3, 2, 24))


@cells
def test_launches(gpu, cell, monkeypatch):
    """One launch for all steps, or one (GRU with the reset gate before: two) and the products for each."""
    launched = []
    kernel = kernels("launch").Kernel
    call = kernel.__call__

    def counted(self, *args, **kwargs):
        launched.append(self.name)
        call(self, *args, **kwargs)

    monkeypatch.setattr(kernel, "__call__", counted)
    inputs = draw_inputs(cell, 3, 5, 2, 4)
    dys = [np.ones(y.shape) for y in naive(cell, inputs)]
    before = kernels().set_way("auto")
    try:
        run(gpu, cell, inputs, dys)
        ours = [name for name in launched if name.startswith("recurrent")]
        if cell == "gru_before":
            assert ours == ["recurrent_step_forward"] * 10 + ["recurrent_step_backward"] * 11
        else:
            assert ours == ["recurrent_persistent_forward", "recurrent_persistent_backward"]
        kernels().set_way("steps")
        launched.clear()
        run(gpu, cell, inputs, dys)
        ours = [name for name in launched if name.startswith("recurrent")]
        steps = 2 if cell == "gru_before" else 1
        assert ours == ["recurrent_step_forward"] * 5 * steps + ["recurrent_step_backward"] * (5 * steps + 1)
    finally:
        kernels().set_way(before)


@pytest.fixture(scope="module")
def persistent():
    if reason := emulator.missing():
        pytest.skip(reason)
    with emulated():
        yield kernels("recurrent_persistent")


DEVICES = {
    "H200": (132, 227 << 10), "A100": (108, 163 << 10), "T4": (40, 64 << 10), "RTX 4090": (128, 99 << 10),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("gates, drops", [(1, 0), (3, 1), (4, 0), (4, 4)])
def test_plans_fit_and_cover(persistent, device, backward, gates, drops):
    processors, shared = DEVICES[device]
    for batch in (1, 7, 64, 1000):
        for units in (1, 8, 33, 128, 500, 1024):
            for plan in persistent.plans(gates, batch, units, drops, backward, processors, shared):
                assert plan.blocks * plan.groups <= processors and plan.shared <= shared
                own, samples = plan.tiles * plan.width, plan.pieces * plan.size
                assert plan.blocks * own >= units > (plan.blocks - 1) * own
                assert plan.groups * samples >= batch > (plan.groups - 1) * samples


@pytest.mark.parametrize("device, gates, batch, units, fits", [
    ("H200", 4, 64, 32, True), ("H200", 4, 64, 512, True), ("H200", 4, 1, 1024, True),
    ("H200", 4, 64, 1400, False), ("H200", 1, 64, 2048, True), ("A100", 4, 64, 512, True),
    ("A100", 4, 64, 1024, False),
    ("T4", 4, 64, 128, True), ("T4", 4, 64, 256, True), ("T4", 4, 64, 512, False),
    ("RTX 4090", 4, 64, 256, True), ("RTX 4090", 4, 64, 512, False),
])
def test_what_fits(persistent, device, gates, batch, units, fits):
    plan = persistent.best(gates, batch, units, 0, False, *DEVICES[device])
    assert (plan is not None) == fits


def test_small_layers_have_no_barrier(persistent):
    for units in (1, 8, 32, 64):
        assert persistent.best(4, 32, units, 0, False, *DEVICES["H200"]).blocks == 1


@pytest.mark.parametrize("batch, units, quicker", [
    (1, 32, True), (64, 128, True), (256, 128, True), (128, 512, True), (1, 1024, False),
    (8192, 512, False),
])
def test_choice(gpu, batch, units, quicker, monkeypatch):
    module = kernels("recurrent_persistent")
    monkeypatch.setattr(module.launch, "processors", lambda: 132)
    monkeypatch.setattr(module, "shared_memory", lambda: 227 << 10)
    assert (module.choose(4, batch, units, 0, False) is not None) == quicker
    assert module.fitting(4, batch, units, 0, False) is not None


def test_unknown_way(gpu):
    with pytest.raises(ValueError, match="auto, persistent, steps, came 'fast'"):
        kernels().set_way("fast")
