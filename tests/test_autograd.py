"""The tape: recording, gradients of every order, jacobians, custom gradients, memory."""

import gc
import weakref

import numpy as np
import pytest
from support.checks import check_gradient

from gpukeras import ops
from gpukeras.autograd import GradientTape, custom_gradient, is_tracked, no_recording, recording
from gpukeras.tensor import Tensor, Variable


def tensor(values):
    return ops.array(values, "float64")


# ---- watching -------------------------------------------------------------------------------------
def test_constants_are_watched_only_on_demand(backend):
    x = tensor(3.0)
    with GradientTape() as tape:
        y = x * x
    assert tape.gradient(y, x) is None
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    assert float(tape.gradient(y, x)) == 6


def test_watch_after_the_op_comes_too_late(backend):
    x = tensor(3.0)
    with GradientTape() as tape:
        y = x * x
        tape.watch(x)
    assert tape.gradient(y, x) is None


def test_trainable_variables_watch_themselves(backend):
    v, w, fixed = Variable(2.0), Variable(3.0), Variable(4.0, trainable=False)
    with GradientTape() as tape:
        y = v * w * fixed
    assert tape.watched_variables() == (v, w)
    dv, dw, df = tape.gradient(y, [v, w, fixed])
    assert (float(dv), float(dw), df) == (12, 8, None)


def test_watch_accessed_variables_off(backend):
    v, w = Variable(2.0), Variable(3.0)
    with GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(w)
        y = v * w
    assert tape.watched_variables() == (w,)
    dv, dw = tape.gradient(y, [v, w])
    assert dv is None and float(dw) == 2


def test_watch_takes_structures_and_refuses_strangers(backend):
    x, y = tensor(1.0), tensor(2.0)
    with GradientTape() as tape:
        tape.watch({"a": x, "b": [y]})
        z = x * y
    found = tape.gradient(z, {"a": x, "b": [y]})
    assert (float(found["a"]), float(found["b"][0])) == (2, 1)
    with pytest.raises(TypeError, match="tape.watch expects tensors"):
        tape.watch(1.0)
    with pytest.raises(TypeError, match="only floating"):
        tape.watch(ops.array([1]))
    with pytest.raises(TypeError, match="tape.gradient expects"):
        GradientTape().gradient(z, 1.0)


def test_frozen_while_recording(backend):
    v = Variable(2.0)
    v.trainable = False
    with GradientTape() as tape:
        y = v * v
    assert tape.gradient(y, v) is None
    v.trainable = True
    with GradientTape() as tape:
        y = v * v
    assert float(tape.gradient(y, v)) == 4


# ---- gradients ------------------------------------------------------------------------------------
def test_fan_out_accumulates(backend):
    check_gradient(lambda x: x * 2 + x * x + ops.sin(x) * x, [np.array([0.5, -1.0])], second_order=True)


def test_source_inside_the_graph(backend):
    x = tensor(2.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
        z = y * y
    dx, dy, dz = tape.gradient(z, [x, y, z])
    assert (float(dx), float(dy), float(dz)) == (32, 8, 1)


def test_targets_are_summed(backend):
    x = tensor([1.0, 2.0])
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y, z = x * x, x * 3
    np.testing.assert_allclose(tape.gradient([y, z], x).numpy(), [5, 7])
    np.testing.assert_allclose(tape.gradient({"a": y, "b": z}, x).numpy(), [5, 7])
    np.testing.assert_allclose(tape.gradient([y, y], x).numpy(), [4, 8])


def test_output_gradients(backend):
    x = tensor([1.0, 2.0])
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y, z = x * x, x * 3
    np.testing.assert_allclose(tape.gradient(y, x, tensor([10.0, 0.5])).numpy(), [20, 2])
    np.testing.assert_allclose(tape.gradient([y, z], x, [None, np.array([1.0, 2.0])]).numpy(), [5, 10])
    with pytest.raises(ValueError, match="shape"):
        tape.gradient(y, x, tensor([1.0]))
    with pytest.raises(ValueError, match="2 targets but 1"):
        tape.gradient([y, z], x, [None])


def test_unconnected(backend):
    x, y = tensor([1.0, 2.0]), tensor([3.0])
    with GradientTape(persistent=True) as tape:
        tape.watch([x, y])
        z = x * 2
    assert tape.gradient(z, y) is None
    assert tape.gradient(z, [x, y], unconnected_gradients="zero")[1].numpy().tolist() == [0]
    with pytest.raises(ValueError, match="unconnected_gradients"):
        tape.gradient(z, y, unconnected_gradients="nought")


def test_integer_steps_cut_the_way(backend):
    x = tensor([1.5])
    with GradientTape() as tape:
        tape.watch(x)
        y = ops.cast(ops.cast(x, "int32"), "float64") * 2
    assert tape.gradient(y, x) is None


# ---- life of a tape -------------------------------------------------------------------------------
def test_a_plain_tape_serves_once(backend):
    x = tensor(1.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    tape.gradient(y, x)
    with pytest.raises(RuntimeError, match="persistent=True"):
        tape.gradient(y, x)
    with pytest.raises(RuntimeError, match="persistent=True"):
        tape.jacobian(y, x)


def test_persistent(backend):
    x = tensor(3.0)
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
        z = y * y
    assert [float(tape.gradient(*pair)) for pair in ((z, x), (y, x), (z, y))] == [108, 6, 18]


def test_gradient_inside_the_block(backend):
    x = tensor(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
        dx = tape.gradient(y, x)
    assert float(dx) == 6


def test_stop_recording(backend):
    x = tensor(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        with tape.stop_recording():
            assert not recording()
            y = x * x
        z = y * x
    assert float(tape.gradient(z, x)) == 9


def test_reset(backend):
    x = tensor(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
        tape.reset()
        tape.watch(x)
        z = x * 2
    assert tape.gradient(y, x) is None
    with GradientTape() as tape:
        tape.watch(x)
        z = x * 2
    tape.gradient(z, x)
    tape.reset()
    with tape:
        tape.watch(x)
        z = x * 5
    assert float(tape.gradient(z, x)) == 5


def test_entering_twice_is_an_error(backend):
    tape = GradientTape()
    with tape:
        with pytest.raises(RuntimeError, match="already recording"):
            tape.__enter__()
    assert not recording()


def test_recording_ends_with_an_exception(backend):
    with pytest.raises(KeyError):
        with GradientTape():
            raise KeyError
    assert not recording()


def test_is_tracked(backend):
    x, v = tensor(1.0), Variable(1.0)
    assert not is_tracked(x) and not is_tracked(v) and not is_tracked(None)
    with GradientTape() as tape:
        assert is_tracked(v) and not is_tracked(x)
        tape.watch(x)
        assert is_tracked(x) and is_tracked(x * 2)
        with no_recording():
            assert not is_tracked(v)


def test_changed_variable_is_an_error(backend):
    v = Variable([1.0, 2.0], name="kernel")
    for change in (
        lambda: v.assign([3.0, 4.0]), lambda: v.assign_add([1.0, 1.0]), lambda: v.assign_sub([1.0, 1.0])
    ):
        with GradientTape() as tape:
            y = v * v
            change()
        with pytest.raises(RuntimeError, match="'kernel' was changed after multiply"):
            tape.gradient(y, v)


def test_memory_goes_with_the_gradient(backend):
    held = []

    class Marked(np.ndarray):
        pass

    def closure_of(x):
        token = Marked((1,))
        held.append(weakref.ref(token))

        @custom_gradient
        def f(x):
            def grad(dy):
                assert token is not None
                return dy

            return x * 1.0, grad

        return f(x)

    x = tensor([1.0])
    with GradientTape() as tape:
        tape.watch(x)
        y = closure_of(x)
    gc.collect()
    assert held[0]() is not None  # the tape keeps what the gradient needs
    tape.gradient(y, x)
    gc.collect()
    assert held[0]() is None and tape._records == []


def test_long_chains_need_no_recursion(backend):
    x = tensor(1.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x
        for _ in range(5000):
            y = y + 1.0
    assert float(tape.gradient(y, x)) == 1


# ---- higher order ---------------------------------------------------------------------------------
def test_nested_tapes(backend):
    x = tensor(2.0)
    with GradientTape() as third:
        third.watch(x)
        with GradientTape() as second:
            second.watch(x)
            with GradientTape() as first:
                first.watch(x)
                y = x**4
            dy = first.gradient(y, x)
        ddy = second.gradient(dy, x)
    dddy = third.gradient(ddy, x)
    assert (float(dy), float(ddy), float(dddy)) == (32, 48, 48)


def test_gradient_penalty(backend):
    """The inner gradient is part of a loss on a variable, as in WGAN-GP."""
    w = Variable(np.array([[1.0, 2.0], [3.0, -1.0]]), dtype="float64")
    x = tensor([[0.5, -1.0]])

    def penalty():
        with GradientTape() as inner:
            inner.watch(x)
            score = ops.sum(ops.tanh(ops.matmul(x, w)))
        g = inner.gradient(score, x)
        return (ops.norm(g) - 1.0) ** 2

    with GradientTape() as outer:
        loss = penalty()
    found = outer.gradient(loss, w).numpy()
    step, numeric = 1e-6, np.zeros((2, 2))
    for i in range(2):
        for j in range(2):
            ends = []
            for sign in (1, -1):
                values = np.array([[1.0, 2.0], [3.0, -1.0]])
                values[i, j] += sign * step
                w.assign(values)
                ends.append(float(penalty()))
            numeric[i, j] = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(found, numeric, rtol=1e-6)


def test_two_tapes_of_a_gan(backend):
    g, d = Variable([[0.5]]), Variable([[2.0]])
    z = ops.array([[3.0]])
    with GradientTape() as g_tape, GradientTape() as d_tape:
        fake = z @ g
        score = fake @ d
        g_loss, d_loss = ops.sum(-score), ops.sum(score * score)
    assert float(g_tape.gradient(g_loss, g)[0, 0]) == -6
    assert float(d_tape.gradient(d_loss, d)[0, 0]) == 9
    g.assign_add([[1.0]])  # both gradients were taken before the update


def test_changing_one_network_between_the_tapes_is_noticed(backend):
    g, d = Variable([[0.5]]), Variable([[2.0]], name="critic")
    with GradientTape() as g_tape, GradientTape() as d_tape:
        score = ops.array([[3.0]]) @ g @ d
    d.assign_sub(d_tape.gradient(score, d))
    with pytest.raises(RuntimeError, match="'critic' was changed"):
        g_tape.gradient(score, g)


# ---- jacobians ------------------------------------------------------------------------------------
def test_jacobian(backend):
    a = np.arange(6.0).reshape(2, 3)
    x = tensor([1.0, 2.0, 3.0])
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = ops.matmul(tensor(a), x * x)
        other = x[:2] * 1.0
    found = tape.jacobian(y, x)
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found.numpy(), a * 2 * np.array([1.0, 2.0, 3.0]))
    both = tape.jacobian(other, {"x": x, "none": tensor([1.0])})
    np.testing.assert_allclose(both["x"].numpy(), [[1, 0, 0], [0, 1, 0]])
    assert both["none"] is None


def test_jacobian_of_matrices(backend):
    x = tensor(np.arange(4.0).reshape(2, 2))
    with GradientTape() as tape:
        tape.watch(x)
        y = ops.transpose(x) * 2
    found = tape.jacobian(y, x).numpy()
    expected = np.einsum("il,jk->ijkl", 2 * np.eye(2), np.eye(2))
    np.testing.assert_allclose(found, expected)


def test_batch_jacobian(backend):
    x = tensor(np.arange(1.0, 7.0).reshape(3, 2))
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = ops.stack([x[:, 0] * x[:, 1], x[:, 0] ** 2, x[:, 1]], axis=1)
    found = tape.batch_jacobian(y, x).numpy()
    assert found.shape == (3, 3, 2)
    for n, (a, b) in enumerate(x.numpy()):
        np.testing.assert_allclose(found[n], [[b, a], [2 * a, 0], [0, 1]])
    with pytest.raises(ValueError, match="leading batch axis"):
        tape.batch_jacobian(ops.sum(y), x)


# ---- custom gradients -----------------------------------------------------------------------------
def test_custom_gradient(backend):
    @custom_gradient
    def f(x, y):
        return x * y, lambda dy: (dy * 100.0, dy * 200.0)

    x, y = tensor(2.0), tensor(3.0)
    with GradientTape() as tape:
        tape.watch([x, y])
        z = f(x, y) * 2.0
    assert float(z) == 12
    assert [float(g) for g in tape.gradient(z, [x, y])] == [200, 400]


def test_custom_gradient_upstream(backend):
    @custom_gradient
    def log1pexp(x):
        e = ops.exp(x)

        def grad(*args, upstream=None):
            return upstream * (1 - 1 / (1 + e))

        return ops.log(1 + e), grad

    x = tensor(100.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = log1pexp(x)
    assert float(tape.gradient(y, x)) == 1


def test_custom_gradient_with_variables(backend):
    v = Variable(3.0, dtype="float64")

    @custom_gradient
    def f(x):
        def grad(dy, variables=None):
            assert variables == [v]
            return dy * 7.0, [dy * 9.0]

        return x * v, grad

    x = tensor(2.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = f(x)
    dx, dv = tape.gradient(y, [x, v])
    assert (float(dx), float(dv)) == (7, 9)

    @custom_gradient
    def g(x):
        return x * v, lambda dy: dy

    with GradientTape() as tape:
        tape.watch(x)
        y = g(x)
    with pytest.raises(TypeError, match="variables=None"):
        tape.gradient(y, x)


def test_custom_gradient_of_several_outputs(backend):
    @custom_gradient
    def f(x):
        return (x * 2, x * 3), lambda da, db: da * 10.0 + db * 100.0

    x = tensor([1.0])
    with GradientTape() as tape:
        tape.watch(x)
        a, b = f(x)
        y = b * 1.0
    assert tape.gradient(y, x).numpy().tolist() == [100]
    assert a.numpy().tolist() == [2]


def test_custom_gradient_twice(backend):
    @custom_gradient
    def cube(x):
        return x**3, lambda dy: dy * 3 * x**2

    check_gradient(cube, [np.array([0.5, 2.0])], second_order=True)


def test_reversed_gradient(backend):
    """A gradient reversal layer, as in domain adaptation."""
    flip = custom_gradient(lambda x: (x * 1.0, lambda dy: -dy))
    v = Variable([1.0])
    with GradientTape() as tape:
        y = flip(v * 2.0) * 3.0
    assert tape.gradient(y, v).numpy().tolist() == [-6]


# ---- threads --------------------------------------------------------------------------------------
def test_tapes_belong_to_their_thread(backend):
    import threading

    seen = []
    with GradientTape():
        thread = threading.Thread(target=lambda: seen.append(recording()))
        thread.start()
        thread.join()
        assert recording()
    assert seen == [False]


def test_results_are_tensors(backend):
    x = tensor([1.0])
    with GradientTape() as tape:
        tape.watch(x)
        y = ops.sum(x)
    assert type(tape.gradient(y, x)) is Tensor
