"""What all optimizers share: layout in memory, sharing, missing gradients, errors, state, configuration."""

from __future__ import annotations

import contextlib
import copy
import pickle

import numpy as np
import pytest
from support.checks import tensor_here
from support.fake_device import fake_device

import gpukeras
from gpukeras import GradientTape, constraints, ops, optimizers
from gpukeras.backends import CPU, DeviceError
from gpukeras.optimizers import schedules
from gpukeras.tensor import Tensor, Variable

ALL = ["SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "AdamW", "Adamax", "Nadam", "Ftrl", "Lion", "Lamb",
       "Adafactor", "Muon", "ScheduleFreeAdamW"]
SHAPES = [(5, 3), (3,), (3, 2), (2,), (300, 300)]  # the last one is large enough to be updated in place


def make_variables(shapes=SHAPES, seed=0, dtype="float32"):
    rng = np.random.default_rng(seed)
    return [Variable(rng.standard_normal(s), dtype=dtype, name=f"v{i}") for i, s in enumerate(shapes)]


def make_gradients(variables, seed=1):
    rng = np.random.default_rng(seed)
    return [Tensor(v.backend.asarray(rng.standard_normal(v.shape), v.dtype)) for v in variables]


def values(variables):
    return [v.numpy() for v in variables]


def assert_same(found, expected, rtol=1e-6):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-7)


def one_by_one(name, steps=4, **settings):
    """The same updates with an optimizer of its own for every variable: nothing lies side by side."""
    variables = make_variables()
    opts = [getattr(optimizers, name)(**settings) for _ in variables]
    for step in range(steps):
        for o, g, v in zip(opts, make_gradients(variables, step), variables):
            o.apply([g], [v])
    return values(variables)


# ---- layout --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ALL)
def test_flat_equals_one_by_one(backend, name):
    variables = make_variables()
    optimizer = getattr(optimizers, name)()
    for step in range(4):
        optimizer.apply(make_gradients(variables, step), variables)
    assert_same(values(variables), one_by_one(name))
    homes = {id(v.home[0]) for v in variables}
    assert len(homes) == 1 and len(optimizer._segments) == 1, "all variables lie in one buffer"
    assert all(v.version == 4 for v in variables)


@pytest.mark.parametrize("name", ALL)
def test_nothing_waits_for_the_device(name):
    """The whole step runs on arrays that refuse to become host values, and gives the CPU's numbers."""
    many = {"weight_decay": 0.01, "global_clipnorm": 1.0, "use_ema": True, "gradient_accumulation_steps": 2}
    for extra in ({}, many, {"clipnorm": 0.5}, {"clipvalue": 0.1}):
        expected = make_variables()
        reference = getattr(optimizers, name)(**extra)
        for step in range(4):
            reference.apply(make_gradients(expected, step), expected)
        with fake_device():
            variables = make_variables()
            optimizer = getattr(optimizers, name)(**extra)
            for step in range(4):
                optimizer.apply(make_gradients(variables, step), variables)
            assert_same(values(variables), values(expected), rtol=2e-5)


def test_gradients_and_variables_of_mixed_dtypes(backend):
    variables = make_variables(SHAPES[:2]) + make_variables(SHAPES[:2], dtype="float64", seed=5)
    optimizer = optimizers.Adam(0.1)
    optimizer.apply(make_gradients(variables), variables)
    assert len(optimizer._segments) == 2
    assert [v.dtype.name for v in variables] == ["float32", "float32", "float64", "float64"]
    halves = [Tensor(g.array.astype("float16")) for g in make_gradients(variables)]
    optimizer.apply(halves, variables)  # gradients of another dtype are converted
    assert [v.dtype.name for v in variables] == ["float32", "float32", "float64", "float64"]


def test_two_optimizers_share_variables():
    """As in a GAN: overlapping subsets, two optimizers in turn, no state lost, no values lost."""
    variables, plain = make_variables(), make_variables()
    first, second = optimizers.Adam(0.1), optimizers.RMSprop(0.05)
    slow_first = [optimizers.Adam(0.1) for _ in plain[:3]]
    slow_second = [optimizers.RMSprop(0.05) for _ in plain[1:]]
    for step in range(6):
        first.apply(make_gradients(variables[:3], step), variables[:3])
        for o, g, v in zip(slow_first, make_gradients(plain[:3], step), plain[:3]):
            o.apply([g], [v])
        second.apply(make_gradients(variables[1:], step + 50), variables[1:])
        for o, g, v in zip(slow_second, make_gradients(plain[1:], step + 50), plain[1:]):
            o.apply([g], [v])
        assert_same(values(variables), values(plain))
    assert len(first._segments) == 1  # the second one left them where they were


def test_variables_moved_by_somebody_else():
    """An optimizer notices that its variables moved, and keeps its slots."""
    variables, plain = make_variables(), make_variables()
    optimizer, reference = optimizers.Adam(0.1), optimizers.Adam(0.1)
    for step in range(6):
        optimizer.apply(make_gradients(variables, step), variables)
        reference.apply(make_gradients(plain, step), plain)
        if step == 2:
            for v in variables[1:3]:
                buffer = v.backend.xp.zeros(v.size + 7, "float32")
                v.rebind(buffer[7:].reshape(v.shape), (buffer, 7))
        assert_same(values(variables), values(plain))
    assert len(optimizer._segments) == 4  # before, two alone, after
    assert_same([v.numpy() for v in optimizer.variables], [v.numpy() for v in reference.variables])


def test_recompiling_keeps_one_run():
    variables = make_variables()
    for name in ("Adam", "SGD", "RMSprop"):
        optimizer = getattr(optimizers, name)()
        optimizer.apply(make_gradients(variables), list(reversed(variables))[::-1])
    assert len(optimizer._segments) == 1


def test_order_of_variables_may_differ_between_calls():
    variables, plain = make_variables(), make_variables()
    optimizer, reference = optimizers.Adam(0.1), optimizers.Adam(0.1)
    grads = make_gradients(variables)
    for _ in range(3):
        optimizer.apply(grads, variables)
        reference.apply(grads, plain)
        optimizer.apply(grads[::-1], variables[::-1])
        reference.apply(grads, plain)
    assert_same(values(variables), values(plain))


# ---- missing and wrong gradients ---
@pytest.mark.parametrize("settings", [{}, {"global_clipnorm": 0.5}, {"gradient_accumulation_steps": 2}])
def test_variable_without_gradient_stays(backend, settings):
    variables = make_variables()
    optimizer = optimizers.Adam(0.1, **settings)
    for step in range(4):
        grads = make_gradients(variables, step)
        if step % 4 != 2:
            grads[1] = None
            with pytest.warns(UserWarning, match="no gradients for variables .*v1"):
                optimizer.apply(grads, variables)
        else:
            optimizer.apply(grads, variables)
    assert np.isfinite(variables[1].numpy()).all()
    fresh = make_variables()
    optimizer = optimizers.Adam(0.1, **settings)
    with pytest.warns(UserWarning, match="v1"):
        optimizer.apply([None if i == 1 else g for i, g in enumerate(make_gradients(fresh))], fresh)
    np.testing.assert_array_equal(fresh[1].numpy(), make_variables()[1].numpy())
    assert fresh[1].version == 0


def test_errors():
    variables = make_variables()
    grads = make_gradients(variables)
    with pytest.raises(ValueError, match="no gradients for any variable"):
        optimizers.SGD().apply([None] * 5, variables)
    with pytest.raises(ValueError, match="no gradients came"):
        optimizers.SGD().apply_gradients([])
    with pytest.raises(ValueError, match="not built"):
        optimizers.SGD().apply(grads)
    with pytest.raises(ValueError, match="5 gradients came for 4 variables"):
        optimizers.SGD().apply(grads, variables[:4])
    optimizer = optimizers.SGD()
    optimizer.build(variables[:4])
    with pytest.raises(ValueError, match=r"unknown variable\(s\) \['v4'\].*compile the model again"):
        optimizer.apply(grads, variables)
    with pytest.raises(ValueError, match=r"'v1' has shape \(3,\), its gradient has \(1,\)"):
        optimizer.apply([grads[0], tensor_here(np.ones(1, "float32")), *grads[2:4]], variables[:4])
    with pytest.raises(ValueError, match=r"'v4' has shape"):
        optimizers.SGD().apply([tensor_here(np.ones((2, 2), "float32"))], variables[4:])
    with pytest.raises(TypeError, match="expected the variables to train"):
        optimizers.SGD().apply(grads, values(variables))
    with pytest.raises(TypeError, match="dtype int32 cannot be trained"):
        optimizers.SGD().apply(grads[:1], [Variable(1, dtype="int32")])
    with pytest.raises(ValueError, match="twice"):
        optimizers.SGD().apply(grads[:2], [variables[0], variables[0]])
    with pytest.raises(ValueError, match="unknown argument.*learning"):
        optimizers.SGD(learning=3)
    with pytest.raises(ValueError, match="only one of"):
        optimizers.Adam(clipnorm=1.0, clipvalue=1.0)
    with pytest.raises(ValueError, match="gradient_accumulation_steps"):
        optimizers.Adam(gradient_accumulation_steps=1)
    with pytest.raises(ValueError, match="ema_momentum"):
        optimizers.Adam(use_ema=True, ema_momentum=2.0)
    with pytest.raises(ValueError, match="learning_rate must be a number"):
        optimizers.Adam("fast", name="x")
    with pytest.raises(ValueError, match="momentum"):
        optimizers.SGD(momentum=2)


@pytest.mark.parametrize("shapes", [SHAPES[:2], SHAPES[4:]])
def test_gradients_on_another_device(shapes):
    with fake_device():
        variables = make_variables(shapes)
        grads = [Tensor(g.numpy()) for g in make_gradients(variables)]
        with pytest.raises(DeviceError, match="'v0' is on cpu, the variable on gpu"):
            optimizers.SGD().apply(grads, variables)


# ---- around the rule ---
@pytest.mark.parametrize("name", [n for n in ALL if n not in ("Adadelta", "AdamW")])
def test_converges_on_a_quadratic(name):
    goal = np.array([1.0, -2.0, 0.5], "float32")
    x = Variable(np.zeros(3, "float32"))
    rates = {"Adagrad": 1.0, "Ftrl": 2.0, "SGD": 0.1, "Lamb": 0.1, "Adafactor": 1.0, "ScheduleFreeAdamW": 0.2}
    rate = rates.get(name, 0.05)
    optimizer = getattr(optimizers, name)(schedules.InverseTimeDecay(rate, 100, 2.0))
    for _ in range(600):
        with GradientTape() as tape:
            loss = ops.sum(ops.square(x - goal))
        optimizer.apply_gradients([(tape.gradient(loss, x), x)])
    np.testing.assert_allclose(x.numpy(), goal, atol=0.05)


def test_constraints_follow_the_step():
    v = Variable(np.array([0.1, 1.0], "float32"), constraint=constraints.NonNeg())
    free = Variable(np.array([0.1, 1.0], "float32"))
    g = tensor_here(np.array([1.0, 1.0], "float32"))
    optimizers.SGD(0.5).apply([g, g], [v, free])
    np.testing.assert_allclose(v.numpy(), [0.0, 0.5], atol=1e-7)
    np.testing.assert_allclose(free.numpy(), [-0.4, 0.5], atol=1e-7)


def test_weight_decay_spares_the_excluded(backend):
    variables = [Variable(np.ones(s, "float32"), name=n) for s, n in
                 [((4, 3), "kernel"), ((3,), "bias"), ((3, 2), "kernel2"), ((2,), "gamma")]]
    optimizer = optimizers.SGD(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[variables[3]], var_names=["bias"])
    zero = [Tensor(v.backend.xp.zeros_like(v.array)) for v in variables]
    optimizer.apply(zero, variables)
    assert_same(values(variables), [np.full((4, 3), 0.95), np.ones(3), np.full((3, 2), 0.95), np.ones(2)])
    with pytest.raises(ValueError, match="before build"):
        optimizer.exclude_from_weight_decay(var_names=["x"])


def test_global_norm_recovers_after_an_overflow():
    """Gaps between variables must not keep a NaN that passed through."""
    variables = make_variables([(3,), (2,)])
    optimizer = optimizers.SGD(0.1, global_clipnorm=1.0)
    grads = make_gradients(variables)
    bad = [tensor_here(np.full(3, np.inf, "float32")), grads[1]]
    with np.errstate(invalid="ignore"):
        optimizer.apply(bad, variables)
    assert np.isnan(variables[0].numpy()).all()
    for v in variables:
        v.assign(np.zeros(v.shape))
    optimizer.apply(grads, variables)
    norm = np.sqrt(sum((g.numpy() ** 2).sum() for g in grads))
    assert_same(values(variables), [-0.1 * g.numpy() / max(norm, 1) for g in grads])


def test_moving_average_replaces_the_weights_at_the_end():
    v = Variable(np.zeros(2, "float32"))
    optimizer = optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    for _ in range(3):
        optimizer.apply([tensor_here(np.full(2, -1.0, "float32"))], [v])
    np.testing.assert_allclose(v.numpy(), 3.0)
    optimizer.finalize_variable_values([v])
    np.testing.assert_allclose(v.numpy(), 0.5 * (0.5 * 1 + 0.5 * 2) + 0.5 * 3)


def test_overwritten_variable_takes_its_gradient():
    scale = Variable(np.ones(2, "float32"))
    scale.overwrite_with_gradient = True
    v = Variable(np.ones(3, "float32"))
    optimizer = optimizers.Adam(0.1)
    grads = [np.array([5.0, 6.0], "float32"), np.ones(3, "float32")]
    optimizer.apply([tensor_here(g) for g in grads], [scale, v])
    np.testing.assert_allclose(scale.numpy(), [5, 6])
    np.testing.assert_allclose(v.numpy(), 0.9, rtol=1e-5)


def test_minimize_and_loss_scale():
    v = Variable(np.array([3.0], "float32"))
    optimizer = optimizers.SGD(0.1, loss_scale_factor=16.0)
    optimizer.minimize(lambda: ops.sum(v * v), [v])
    np.testing.assert_allclose(v.numpy(), [2.4], rtol=1e-6)
    with GradientTape() as tape:
        loss = ops.sum(v * v)
    assert int(optimizer.minimize(loss, [v], tape=tape)) == 2
    np.testing.assert_allclose(v.numpy(), [1.92], rtol=1e-6)
    with pytest.raises(ValueError, match="needs tape="):
        optimizer.minimize(loss, [v])


# ---- rates ---
def step_sizes(optimizer, steps):
    v = Variable(np.zeros(1, "float64"))
    seen = []
    for _ in range(steps):
        before = v.numpy()[0]
        optimizer.apply([tensor_here(np.ones(1))], [v])
        seen.append(before - v.numpy()[0])
    return seen


def test_learning_rate_spellings_and_assignment():
    assert_same(step_sizes(optimizers.SGD(lr=0.25), 1), [0.25])
    assert_same(step_sizes(optimizers.SGD(0.5, decay=1.0), 3), [0.5, 0.25, 0.5 / 3])
    optimizer = optimizers.SGD(1)
    optimizer.learning_rate = 0.25
    assert float(optimizer.learning_rate) == float(optimizer.lr) == 0.25
    assert_same(step_sizes(optimizer, 1), [0.25])
    optimizer.lr = 0.5
    assert optimizer.get_config()["learning_rate"] == 0.5
    optimizer.learning_rate.assign(0.125)  # as K.set_value does
    optimizer = optimizers.SGD(optimizer.learning_rate)
    assert_same(step_sizes(optimizer, 1), [0.125])
    rates = iter([0.5, 0.25])
    assert_same(step_sizes(optimizers.SGD(lambda: next(rates)), 2), [0.5, 0.25])


def test_schedules_drive_the_rate():
    optimizer = optimizers.SGD(schedules.PiecewiseConstantDecay([0, 2], [1.0, 0.5, 0.25]))
    assert_same(step_sizes(optimizer, 5), [1, 0.5, 0.5, 0.25, 0.25])
    with pytest.raises(TypeError, match="follows PiecewiseConstantDecay"):
        optimizer.learning_rate = 0.1
    optimizer.learning_rate = schedules.ExponentialDecay(1.0, 1, 0.5)
    assert_same([float(optimizer.learning_rate)], [0.5**5])

    class Custom(schedules.LearningRateSchedule):
        def __call__(self, step):
            return 1.0 / (ops.cast(step, "float32") + 1.0)

    assert_same(step_sizes(optimizers.SGD(Custom()), 3), [1, 1 / 2, 1 / 3])
    with fake_device():  # stays on the device
        v = Variable(np.zeros(2, "float32"))
        optimizer = optimizers.Adam(Custom())
        for _ in range(2):
            optimizer.apply([Tensor(v.backend.xp.ones(2, "float32"))], [v])
        np.testing.assert_allclose(v.numpy(), -1.5, rtol=1e-4)


def test_counter_can_be_set():
    optimizer = optimizers.SGD(schedules.InverseTimeDecay(1.0, 1, 1.0))
    optimizer.iterations.assign(3)
    assert_same(step_sizes(optimizer, 2), [1 / 4, 1 / 5])
    assert int(optimizer.iterations) == 5
    optimizer = optimizers.SGD(gradient_accumulation_steps=3)
    step_sizes(optimizer, 7)
    assert int(optimizer.iterations) == 2


# ---- custom optimizers ---
class PerVariable(optimizers.Optimizer):
    """Momentum in the way of Keras's documentation."""

    def __init__(self, learning_rate=0.1, momentum=0.9, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum = momentum

    def build(self, var_list):
        super().build(var_list)
        self.speeds = [self.add_variable_from_reference(v, name="speed") for v in var_list]

    def update_step(self, gradient, variable, learning_rate):
        rate = ops.cast(learning_rate, variable.dtype)
        speed = self.speeds[self._get_variable_index(variable)]
        self.assign(speed, self.momentum * speed - rate * gradient)
        self.assign_add(variable, speed)


@pytest.mark.cpu  # a GPU fuses multiplications and additions
@pytest.mark.parametrize("settings", [{}, {"clipnorm": 0.3}, {"weight_decay": 0.1}, {"use_ema": True},
                                      {"gradient_accumulation_steps": 2}])
def test_custom_rule_per_variable(settings, monkeypatch):
    monkeypatch.setattr(type(CPU), "_one_pass", 1 << 60)  # rounds as the custom rule does
    ours, plain = make_variables(), make_variables()
    custom, reference = PerVariable(**settings), optimizers.SGD(0.1, momentum=0.9, **settings)
    for step in range(4):
        custom.apply(make_gradients(ours, step), ours)
        reference.apply(make_gradients(plain, step), plain)
    assert_same(values(ours), values(plain), rtol=1e-5)


def test_subclass_that_changes_the_gradient():
    class Doubled(optimizers.Adam):
        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient * 2.0, variable, learning_rate)

    ours, plain = make_variables(), make_variables()
    custom, reference = Doubled(0.1), optimizers.Adam(0.1)
    for step in range(3):
        custom.apply(make_gradients(ours, step), ours)
        reference.apply([Tensor(g.array * 2) for g in make_gradients(plain, step)], plain)
    assert_same(values(ours), values(plain))


def test_custom_without_a_rule():
    with pytest.raises(NotImplementedError, match="must define update_step"):
        optimizers.Optimizer(0.1).apply(make_gradients(make_variables()), make_variables())


# ---- dynamic loss scaling -------------------------------------------------------------------------------
@pytest.mark.parametrize("where", ["cpu", "fake"])
def test_dynamic_loss_scale(where):
    with contextlib.ExitStack() as stack:
        if where == "fake":
            stack.enter_context(fake_device())
        v, plain = (Variable(np.array([1.0, 2.0], "float32")) for _ in range(2))
        inner = optimizers.Adam(0.1, clipnorm=1.0)
        optimizer = optimizers.LossScaleOptimizer(inner, initial_scale=8.0, dynamic_growth_steps=2)
        reference = optimizers.Adam(0.1, clipnorm=1.0)
        scales = []
        for value in (3.0, 0.5, np.inf, 1.0, np.nan, 2.0):
            one = Tensor(v.backend.asarray(np.float32(1)))
            scale = optimizer.scale_loss(one).numpy()
            scales.append(float(scale))
            g = np.array([value, -1.0], "float32")
            optimizer.apply([Tensor(v.backend.asarray(g * scale))], [v])
            if np.isfinite(value):
                reference.apply([Tensor(v.backend.asarray(g))], [plain])
        assert_same([v.numpy()], [plain.numpy()])
        assert scales == [8, 8, 16, 8, 8, 4]
        assert int(optimizer.iterations) == 4
        again = optimizers.deserialize(optimizers.serialize(optimizer))
        assert again.get_config() == optimizer.get_config()
        again.build([v])
        again.set_weights(optimizer.get_weights())
        assert float(again.scale_loss(one)) == 4.0
        again.learning_rate = 0.5
        assert float(again.inner_optimizer.learning_rate) == float(again.learning_rate) == 0.5
    with pytest.raises(ValueError, match="clipnorm on the inner"):
        optimizers.LossScaleOptimizer(inner, clipnorm=1.0)
    with pytest.raises(TypeError, match="must be another optimizer"):
        optimizers.LossScaleOptimizer("adam")


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_dynamic_loss_scale_parity(real_keras):
    ours = optimizers.LossScaleOptimizer(optimizers.SGD(0.1), 8.0, 2)
    theirs = real_keras.optimizers.LossScaleOptimizer(real_keras.optimizers.SGD(0.1), 8.0, 2)
    a, b = Variable(np.ones(2, "float32")), real_keras.Variable(np.ones(2, "float32"))
    theirs.build([b])
    weights, state = [b.value], [v.value for v in theirs.variables]
    for value in (3.0, 0.5, np.inf, 1.0, 2.0, 1.0):
        g = np.array([value, -1.0], "float32")
        ours.apply([tensor_here(g)], [a])
        weights, state = theirs.stateless_apply(state, [real_keras.ops.array(g)], weights)
        assert_same([a.numpy()], [np.asarray(weights[0])])
    assert [v.name for v in ours.variables[:4]] == [v.name for v in theirs.variables[:4]]
    assert_same([v.numpy() for v in ours.variables], [np.asarray(v) for v in state])


# ---- state and configuration ---
@pytest.mark.parametrize("name", ALL)
def test_state_and_configuration_round_trip(name):
    settings = {"amsgrad": True} if name == "Adam" else {"momentum": 0.5} if name == "SGD" else {}
    variables = make_variables()
    optimizer = getattr(optimizers, name)(0.01, **settings)
    for step in range(3):
        optimizer.apply(make_gradients(variables, step), variables)
    again = optimizers.deserialize(optimizers.serialize(optimizer))
    assert type(again) is type(optimizer) and again.get_config() == optimizer.get_config()
    others = [Variable(v.numpy(), name=v.name) for v in variables]
    again.build(others)
    store: dict = {}
    optimizer.save_own_variables(store)
    again.load_own_variables(store)
    for step in range(3, 6):
        optimizer.apply(make_gradients(variables, step), variables)
        again.apply(make_gradients(others, step), others)
    assert_same(values(others), values(variables), rtol=0)
    for copied in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        theirs = copied._trainable_variables
        copied.apply(make_gradients(theirs, 7), theirs)
        assert int(copied.iterations) == 7
    assert_same(values(others), values(variables), rtol=0)  # the copies have variables of their own
    optimizer.apply(make_gradients(variables, 7), variables)
    assert_same(values(theirs), values(variables))


def test_loading_into_an_optimizer_that_is_not_built():
    variables, store = make_variables(), {}
    optimizer = optimizers.Adam()
    optimizer.apply(make_gradients(variables), variables)
    optimizer.save_own_variables(store)
    with pytest.warns(UserWarning, match="not built yet"):
        optimizers.Adam().load_own_variables(store)
    with pytest.raises(ValueError, match="build"):
        optimizers.Adam().set_weights(optimizer.get_weights())
    other = optimizers.Adam()
    other.build(make_variables())
    other.set_weights(optimizer.get_weights())
    assert_same(other.get_weights(), optimizer.get_weights(), rtol=0)


def test_get():
    assert type(optimizers.get("adam")) is optimizers.Adam
    assert type(optimizers.get("RMSProp")) is optimizers.RMSprop
    assert type(optimizers.get(optimizers.SGD)) is optimizers.SGD
    optimizer = optimizers.Adam(schedules.CosineDecay(0.1, 10, warmup_target=0.2, warmup_steps=3))
    again = optimizers.get(optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert optimizers.get({"class_name": "Adam", "config": {"lr": 0.5, "decay": 0.1}}).decay == 0.1
    with pytest.raises(ValueError, match="did you mean 'adam'"):
        optimizers.get("adm")
    with pytest.raises(ValueError, match="expected an optimizer"):
        optimizers.get(lambda: 1)
    assert gpukeras.Optimizer is optimizers.Optimizer


def test_slots_in_every_spelling():
    v = Variable(np.ones((2, 3), "float32"), name="w")
    optimizer = optimizers.SGD()
    optimizer.build([v])
    old = optimizer.add_variable_from_reference(model_variable=v, variable_name="m",
     initial_value=np.full((2, 3), 4.0))
    assert old.name == "w_m" and float(ops.sum(old)) == 24
    assert optimizer.add_variable((2,), "ones").numpy().tolist() == [1, 1]
    assert optimizer.add_variable((2,), 3).numpy().tolist() == [3, 3]
    assert optimizer.add_variable((2,), [1.0, 2.0]).numpy().tolist() == [1, 2]
    first, second = optimizer.add_optimizer_variables([v], ["a", "b"], ["zeros", 0.5])
    assert first[0].numpy().max() == 0 and second[0].numpy().min() == 0.5
    with pytest.raises(ValueError, match="2 names but 1 initializers"):
        optimizer.add_optimizer_variables([v], ["a", "b"], ["zeros"])
    optimizer.own = Variable(1.0, trainable=False)
    assert optimizer.variables[-1] is optimizer.own and optimizer.weights == optimizer.variables
    optimizer.assign_sub(first[0], np.ones((2, 3)))
    assert first[0].numpy().max() == -1
    with pytest.raises(ValueError, match="unknown variable"):
        optimizer._get_variable_index(Variable(1.0))
    with pytest.raises(ValueError, match="state variables"):
        optimizer.set_weights([])
    assert "SGD" in repr(optimizer)


def test_forgotten_constructor():
    class Forgot(optimizers.Optimizer):
        def __init__(self):
            self.momentum = 0.5

    with pytest.raises(RuntimeError, match="super"):
        Forgot().apply(make_gradients(make_variables()), make_variables())
    with pytest.raises(AttributeError, match="no attribute 'betas'"):
        _ = optimizers.Adam().betas


def test_overwritten_variable_accumulates_its_maximum():
    scale, v = Variable(np.ones(2, "float32")), Variable(np.ones(2, "float32"))
    scale.overwrite_with_gradient = True
    optimizer = optimizers.SGD(1.0, gradient_accumulation_steps=2)
    for found in ([3.0, 1.0], [2.0, 5.0]):
        before = scale.numpy()
        grads = [np.array(found, "float32"), np.ones(2, "float32")]
        optimizer.apply([tensor_here(g) for g in grads], [scale, v])
    np.testing.assert_allclose(before, 1)
    np.testing.assert_allclose(scale.numpy(), [3, 5])
    np.testing.assert_allclose(v.numpy(), 0)


@pytest.mark.parametrize("change", [lambda a: a[:, ::-1], lambda a: a.astype("float64"),
 lambda a: a.T.copy().T])
def test_large_gradients_in_any_layout(change):
    v, plain = make_variables(SHAPES[4:]), make_variables(SHAPES[4:])
    g = change(make_gradients(v)[0].array)
    before = g.copy()
    backend = v[0].backend
    optimizers.Adam(0.1).apply([Tensor(g)], v)
    optimizers.Adam(0.1).apply([Tensor(backend.xp.ascontiguousarray(g, "float32"))], plain)
    assert_same(values(v), values(plain))
    np.testing.assert_array_equal(backend.to_numpy(g), backend.to_numpy(before))


@pytest.mark.parametrize("make, message", [
    (lambda: optimizers.Adagrad(initial_accumulator_value=-1), "initial_accumulator_value must be >= 0"),
    (lambda: optimizers.Ftrl(learning_rate_power=1.0), "learning_rate_power must be <= 0"),
    (lambda: optimizers.Ftrl(l1_regularization_strength=-1.0), "l1_regularization_strength must be >= 0"),
    (lambda: optimizers.Lion(beta_1=0.0), "beta_1 must be in"),
    (lambda: optimizers.AdamW(weight_decay=None), "use Adam"),
    (lambda: optimizers.Adam(use_ema=True, ema_overwrite_frequency=0.5), "ema_overwrite_frequency"),
])
def test_wrong_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_spellings_of_keras_2():
    assert optimizers.Nadam(schedule_decay=0.004).get_config()["schedule_decay"] == 0.004
    assert optimizers.RMSprop(epsilon=None).epsilon == 1e-7 and optimizers.Adam(jit_compile=True).decay == 0.0
    assert optimizers.Optimizer("mine").name == "mine"
    v = Variable(np.ones(1, "float32"))
    optimizers.SGD(0.5).apply_gradients([(np.ones(1, "float32"), v)], name="step",
     skip_gradients_aggregation=True)
    np.testing.assert_allclose(v.numpy(), 0.5)
