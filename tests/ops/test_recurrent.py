"""The fused recurrent ops against plain float64 loops, finite differences and each other's contracts."""

import numpy as np
import pytest
from support.checks import check_op

from gpukeras import autograd
from gpukeras.ops import recurrent
from gpukeras.tensor import Tensor

N, T, D, U = 3, 5, 2, 4

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


def _gate(a, factor, weights, gate):
    """Product of ``a``, with its dropout factor, and the columns of one gate."""
    if factor is not None:
        a = a * (factor[gate] if factor.ndim == 3 else factor)
    return a @ weights[:, gate * U:(gate + 1) * U]


def _loop(x, states, mask, step, go_backwards, return_sequences, zero_output_for_mask):
    states = [np.zeros((len(x), U)) if s is None else s for s in states]
    outputs = []
    last = np.zeros((len(x), U))
    order = range(x.shape[1])
    for t in reversed(order) if go_backwards else order:
        new = step(x[:, t], *states)
        y = new[0]
        if mask is not None:
            valid = mask[:, t, None]
            new = [np.where(valid, b, a) for a, b in zip(states, new)]
            y = np.where(valid, y, 0 if zero_output_for_mask else last)
        states, last = new, y
        outputs.append(y)
    return np.stack(outputs, 1) if return_sequences else outputs[-1], *states


def lstm(x, h, c, kernel, recurrent_kernel, bias=None, mask=None, drop=None, recurrent_drop=None, *,
         go_backwards=False, activation="tanh", recurrent_activation="sigmoid", return_sequences=True,
         zero_output_for_mask=False):
    act, gate = PLAIN[activation], PLAIN[recurrent_activation]
    bias = np.zeros(4 * U) if bias is None else bias

    def step(x, h, c):
        i, f, g, o = (
            _gate(x, drop, kernel, k) + bias[k * U:(k + 1) * U]
            + _gate(h, recurrent_drop, recurrent_kernel, k)
            for k in range(4)
        )
        c = gate(f) * c + gate(i) * act(g)
        return gate(o) * act(c), c

    return _loop(x, (h, c), mask, step, go_backwards, return_sequences, zero_output_for_mask)


def gru(x, h, kernel, recurrent_kernel, bias=None, mask=None, drop=None, recurrent_drop=None, *,
        go_backwards=False, activation="tanh", recurrent_activation="sigmoid", reset_after=True,
        return_sequences=True, zero_output_for_mask=False):
    act, gate = PLAIN[activation], PLAIN[recurrent_activation]
    inner = np.zeros(3 * U)
    outer = np.zeros(3 * U) if bias is None else bias
    if bias is not None and reset_after:
        outer, inner = bias

    def step(x, h):
        def total(k):
            return (_gate(x, drop, kernel, k) + outer[k * U:(k + 1) * U]
                    + _gate(h, recurrent_drop, recurrent_kernel, k) + inner[k * U:(k + 1) * U])

        z, r = gate(total(0)), gate(total(1))
        n = _gate(x, drop, kernel, 2) + outer[2 * U:]
        if reset_after:
            n = act(n + r * (_gate(h, recurrent_drop, recurrent_kernel, 2) + inner[2 * U:]))
        else:
            n = act(n + _gate(r * h, recurrent_drop, recurrent_kernel, 2))
        return (z * h + (1 - z) * n,)

    return _loop(x, (h,), mask, step, go_backwards, return_sequences, zero_output_for_mask)


def simple_rnn(x, h, kernel, recurrent_kernel, bias=None, mask=None, drop=None, recurrent_drop=None, *,
               go_backwards=False, activation="tanh", return_sequences=True, zero_output_for_mask=False):
    act = PLAIN[activation]

    def step(x, h):
        a = _gate(x, drop, kernel, 0) + _gate(h, recurrent_drop, recurrent_kernel, 0)
        return (act(a if bias is None else a + bias),)

    return _loop(x, (h,), mask, step, go_backwards, return_sequences, zero_output_for_mask)


FAMILIES = {  # op, reference, gates, number of states, settings
    "lstm": (recurrent.lstm, lstm, 4, 2, {}),
    "gru": (recurrent.gru, gru, 3, 1, {}),
    "gru_reset_before": (recurrent.gru, gru, 3, 1, {"reset_after": False}),
    "simple_rnn": (recurrent.simple_rnn, simple_rnn, 1, 1, {}),
}
family = pytest.mark.parametrize("family", FAMILIES)
# Full, padded on both sides, gaps.
MASK = np.array([[1, 1, 1, 1, 1], [0, 0, 1, 1, 0], [1, 0, 1, 0, 0]], bool)


def _inputs(family, states=True, bias=True, mask=None, drops=None, seed=0):
    """Inputs of one op in its order; ``drops``: None, "one" mask or one "per gate"."""
    rng = np.random.default_rng(seed)
    _, _, gates, count, settings = FAMILIES[family]

    def draw(*shape):
        return 0.7 * rng.standard_normal(shape)

    def factors(size):
        if drops is None:
            return None
        shape = (N, size) if drops == "one" else (gates, N, size)
        return rng.integers(0, 2, shape) * 1.5

    width = gates * U
    bias_shape = (2, width) if settings.get("reset_after", family == "gru") else (width,)
    return [
        draw(N, T, D), *[draw(N, U) if states else None for _ in range(count)],
        draw(D, width), draw(U, width),
        draw(*bias_shape) if bias else None, mask, factors(D), factors(U),
    ]


def _differentiable(inputs):
    return [i for i, x in enumerate(inputs[:-3]) if x is not None]


def _check(family, inputs, **kwargs):
    op, reference, _, _, settings = FAMILIES[family]
    check_op(op, inputs, reference, kwargs=settings | kwargs, wrt=_differentiable(inputs))


@family
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_values_and_gradients(backend, family, go_backwards, mask):
    _check(family, _inputs(family, mask=mask), go_backwards=go_backwards)


@family
@pytest.mark.parametrize("return_sequences", [False, True])
def test_samples_without_valid_steps(backend, family, return_sequences):
    mask = MASK.copy()
    mask[1] = False
    _check(family, _inputs(family, mask=mask), return_sequences=return_sequences)


@family
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_no_states_no_bias_last_output(backend, family, mask):
    _check(family, _inputs(family, states=False, bias=False, mask=mask), return_sequences=False)


@family
@pytest.mark.parametrize("return_sequences", [False, True])
def test_zero_output_for_mask(backend, family, return_sequences):
    _check(family, _inputs(family, mask=MASK), zero_output_for_mask=True, return_sequences=return_sequences)


@family
@pytest.mark.parametrize("drops", ["one", "per gate"])
def test_dropout_masks(backend, family, drops):
    _check(family, _inputs(family, drops=drops, mask=MASK), go_backwards=True)


@family
@pytest.mark.parametrize("activation", PLAIN)
def test_activations(family, activation):
    inputs = _inputs(family, mask=MASK)
    if activation == "exponential":  # explodes over the steps otherwise
        inputs = [x if i > 5 or x is None or x is MASK else 0.2 * x for i, x in enumerate(inputs)]
    _check(family, inputs, activation=activation)
    if family != "simple_rnn":
        _check(family, inputs, activation="softsign", recurrent_activation=activation)


def test_every_activation_is_covered():
    assert set(PLAIN) == set(recurrent.ACTIVATIONS) == set(recurrent.recurrent_gates.SLOPES)


@family
def test_float16_in_float16_out(family):
    op, reference, _, _, settings = FAMILIES[family]
    inputs = _inputs(family)
    check_op(op, inputs, reference, kwargs=settings, wrt=_differentiable(inputs), dtypes=("float16",),
             strided=False, symbolic=False)


@family
@pytest.mark.parametrize("used", [[0], [1], [0, 1], [-1]])
def test_gradients_arrive_at_any_outputs(family, used):
    """Only some outputs are used: the others' gradients come as None."""
    op, reference, _, _, settings = FAMILIES[family]
    inputs = _inputs(family, mask=MASK)
    places = _differentiable(inputs)

    def total(*arrays):
        outputs = reference(*arrays, **settings)
        return sum((outputs[i] * seed(outputs[i])).sum() for i in used)

    def seed(y):
        return np.cos(np.arange(y.size)).reshape(y.shape)

    tensors = [None if x is None else Tensor(x) for x in inputs]
    with autograd.GradientTape() as tape:
        tape.watch([tensors[i] for i in places])
        outputs = op(*tensors, **settings)
    targets = [outputs[i] for i in used]
    found = tape.gradient(targets, [tensors[i] for i in places], [Tensor(seed(y)) for y in targets])
    rng = np.random.default_rng(1)
    for place, grad in zip(places, found):
        way = rng.standard_normal(inputs[place].shape)
        ends = [
            total(*[x + step * way if i == place else x for i, x in enumerate(inputs)])
            for step in (1e-6, -1e-6)
        ]
        slope = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(np.vdot(grad.numpy(), way), slope, rtol=1e-6, atol=1e-8)


@family
def test_only_wanted_gradients(family):
    """A frozen kernel has no gradient; the others are what they were."""
    op, _, _, _, settings = FAMILIES[family]
    inputs = _inputs(family)
    places = _differentiable(inputs)
    every = _gradients(op, inputs, settings, places)
    for place in places:
        (alone,) = _gradients(op, inputs, settings, [place])
        np.testing.assert_allclose(alone, every[places.index(place)], rtol=1e-12)


def _gradients(op, inputs, settings, places):
    tensors = [None if x is None else Tensor(x) for x in inputs]
    with autograd.GradientTape() as tape:
        tape.watch([tensors[i] for i in places])
        outputs = op(*tensors, **settings)
    return [g.numpy() for g in tape.gradient(list(outputs), [tensors[i] for i in places])]


@family
def test_long_sequences_use_blocks(family, monkeypatch):
    """Blocks of the backward pass that do not divide the number of steps change nothing."""
    op, _, _, _, settings = FAMILIES[family]
    inputs = _inputs(family, mask=MASK)
    places = _differentiable(inputs)
    whole = _gradients(op, inputs, settings, places)
    monkeypatch.setattr("gpukeras.backends.recurrent.CACHE_ELEMENTS", 2 * N * U)
    for a, b in zip(whole, _gradients(op, inputs, settings, places)):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@family
def test_gradient_twice_from_a_persistent_tape(family):
    op, _, _, _, settings = FAMILIES[family]
    tensors = [None if x is None else Tensor(x) for x in _inputs(family, mask=MASK)]
    with autograd.GradientTape(persistent=True) as tape:
        tape.watch(tensors[0])
        y = op(*tensors, **settings)[0]
        inside = tape.gradient(y, tensors[0])  # the tape still records: only a second gradient is refused
    for _ in range(2):
        np.testing.assert_array_equal(tape.gradient(y, tensors[0]).numpy(), inside.numpy())


@family
def test_second_order_is_refused_by_name(family):
    op, _, _, _, settings = FAMILIES[family]
    tensors = [None if x is None else Tensor(x) for x in _inputs(family)]
    with autograd.GradientTape() as outer:
        outer.watch(tensors[0])
        with autograd.GradientTape() as inner:
            inner.watch(tensors[0])
            y = op(*tensors, **settings)[0]
        dx = inner.gradient(y, tensors[0])
    with pytest.raises(NotImplementedError, match="unroll=True"):
        outer.gradient(dx, tensors[0])


@family
@pytest.mark.parametrize("return_sequences", [False, True])
def test_no_cache_without_a_tape(family, return_sequences):
    op, _, _, count, settings = FAMILIES[family]
    tensors = [None if x is None else Tensor(x) for x in _inputs(family, mask=MASK)]
    plain = op(*tensors, **settings, return_sequences=return_sequences)
    with autograd.GradientTape() as tape:
        tape.watch(tensors[0])
        taped = op(*tensors, **settings, return_sequences=return_sequences)
    for a, b in zip(plain, taped):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    if not return_sequences:  # two state arrays take turns: nothing of length T stays alive
        assert plain[1].array.base.shape == (2, N, U)


@family
def test_empty_batch_and_no_steps(family):
    op, _, _, count, settings = FAMILIES[family]
    inputs = _inputs(family)
    none = [x[:0] if i <= count else x for i, x in enumerate(inputs)]
    assert op(*none, **settings)[0].shape == (0, T, U)
    inputs[0] = inputs[0][:, :0]
    y, h, *_ = op(*[None if x is None else Tensor(x) for x in inputs], **settings)
    assert y.shape == (N, 0, U)
    np.testing.assert_array_equal(h.numpy(), inputs[1])


def test_extreme_inputs_stay_finite():
    inputs = _inputs("lstm")
    inputs[0] = inputs[0] * 1e6
    (dx,) = _gradients(recurrent.lstm, inputs, {}, [0])
    assert np.isfinite(dx).all()
    assert np.isfinite(recurrent.lstm(*inputs)[0].numpy()).all()


@pytest.mark.parametrize("place, shape, message", [
    (0, (N, D), r"x must have shape \(batch, steps, features\), came \(3, 2\)"),
    (1, (N, U + 1), r"initial state 0 must have shape \(3, 4\), came \(3, 5\)"),
    (3, (D + 1, 4 * U), r"kernel must have shape \(2, 16\), came \(3, 16\)"),
    (4, (U, 3 * U), r"recurrent_kernel must have shape \(units, 4 \* units\), came \(4, 12\)"),
    (5, (2, 4 * U), r"bias must have shape \(16,\), came \(2, 16\)"),
    (6, (N, T + 1), r"mask must have shape \(3, 5\), came \(3, 6\)"),
])
def test_wrong_shapes_name_the_argument(place, shape, message):
    inputs = _inputs("lstm")
    inputs[place] = np.ones(shape)
    with pytest.raises(ValueError, match=f"lstm: {message}"):
        recurrent.lstm(*inputs)


def test_unknown_activation():
    with pytest.raises(ValueError, match="recurrent_activation must be one of tanh, .* came 'gelu'"):
        recurrent.gru(*_inputs("gru"), recurrent_activation="gelu")


@family
@pytest.mark.parametrize("zero_output_for_mask", [False, True])
def test_generic_version_of_the_host_overrides(family, zero_output_for_mask, monkeypatch):
    """What a GPU runs, where mask values are never looked at."""
    mixin = next(c for c in type(Tensor(np.zeros(1)).backend).__mro__ if c.__name__ == "NumpyRecurrentMixin")
    for name in [n for n in vars(mixin) if not n.startswith("__")]:
        monkeypatch.delattr(mixin, name)
    mask = MASK.copy()
    mask[1] = False
    for return_sequences in (False, True):
        _check(family, _inputs(family, mask=mask), return_sequences=return_sequences,
               zero_output_for_mask=zero_output_for_mask)
