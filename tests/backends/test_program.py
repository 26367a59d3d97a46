"""Recording NumPy calls: replayed on new values they must give what the code itself would."""

import numpy as np
import pytest

from gpukeras.backends.program import CannotRecord, Recording, plain, recorded_draw, recorded_whole


def replayed(function, first, second):
    """Record ``function`` on ``first``, replay on ``second``; return that result and the true one."""
    x = first.copy()
    recording = Recording()
    with recording:
        result = function(recording.follow(x))
    assert type(plain(result)) is np.ndarray
    np.testing.assert_array_equal(plain(result), function(first.copy()))  # recording computes as well
    x[...] = second
    for call in recording.calls:
        call()
    return plain(result), function(second.copy())


def in_place(x):
    y = np.empty_like(x)
    np.multiply(x, 2, out=y)
    y += 1
    y[0] = x[1]
    y[1] += 3
    return y


@pytest.mark.parametrize("function", [
    lambda x: np.exp(x) + 1.0,
    lambda x: 2 - x,
    lambda x: x.T.dot(x),
    lambda x: np.matmul(x, x.T),
    lambda x: x.sum(axis=0),
    lambda x: np.asanyarray(x.sum()),
    lambda x: x.max(axis=-1, keepdims=True) - x,
    lambda x: x.mean(axis=1),
    lambda x: x.argmax(axis=-1),
    lambda x: np.argmin(x, axis=0),
    lambda x: (x > 0).astype("float32"),
    lambda x: x.reshape(-1)[2:5] * 3,
    lambda x: x.T.reshape(-1) + 0,
    lambda x: x.ravel(),
    lambda x: x.flatten() + x[0, 0],
    lambda x: x[..., 1] * x[1, 2],
    lambda x: x[np.array([1, 0])] + 1,
    lambda x: x[:, np.array([1, 0])],
    lambda x: x.take(np.array([1, 0]), 1),
    lambda x: np.take(x, np.array([0]), axis=0, mode="clip"),
    lambda x: np.concatenate([x, x * 2], axis=1),
    lambda x: np.stack([x, -x]),
    lambda x: np.where(x > 0, x, x * 0.1),
    lambda x: np.clip(x, -0.5, 0.5),
    lambda x: x.clip(0, None),
    lambda x: np.tile(x, 2),
    lambda x: np.broadcast_to(x[:1], (4, x.shape[1])) + 1,
    lambda x: np.moveaxis(x, 0, 1).copy(),
    lambda x: np.expand_dims(x, 0) * np.ones_like(x),
    lambda x: np.sqrt(np.abs(x), dtype="float64").astype("float32"),
    lambda x: np.add.accumulate(x, axis=1),
    lambda x: (x.any(axis=0) | (x > 0).all(axis=1)[:1]),
    lambda x: np.sum(x, axis=1) + np.max(x) + np.prod(x),
    lambda x: np.dot(np.ones(len(x), x.dtype), x),
    lambda x: np.repeat(x, 2, axis=0),
    in_place,
])
def test_replay_equals_the_code(function):
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 2, 3)).astype("float32")
    found, expected = replayed(function, first, second)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("call", [
    lambda x, y: x.clip(0, np.inf, out=y),
    lambda x, y: np.clip(x, -1, 1, y),
    lambda x, y: x.take(np.array([1, 0]), 0, y, "clip"),
    lambda x, y: np.take(x, np.array([1, 0]), 0, out=y, mode="clip"),
    lambda x, y: x.dot(np.eye(3, dtype="float32"), y),
    lambda x, y: np.matmul(x, np.eye(3, dtype="float32"), out=y),
    lambda x, y: np.concatenate([x[1:], x[:1]], 0, y),
    lambda x, y: np.add(x, 1, y),
    lambda x, y: np.copyto(y, x),
])
@pytest.mark.parametrize("follow_output", [True, False])
def test_outputs_of_the_caller(call, follow_output):
    x, y = np.arange(12, dtype="float32").reshape(2, 2, 3) - 4
    with Recording() as recording:
        call(recording.follow(x), recording.follow(y) if follow_output else y)
    x[...] = [[1, -2, 3], [9, 8, 7]]
    y[...] = expected = np.full((2, 3), 5, "float32")
    call(x, expected)
    for made in recording.calls:
        made()
    np.testing.assert_array_equal(y, expected)


def test_scatter_into_memory_of_the_caller():
    table = np.zeros(4, "float32")
    x = np.arange(3, dtype="float32")
    rows = np.array([0, 2, 2])
    with Recording() as recording:
        np.copyto(table, 0 * recording.follow(x)[:1])
        np.add.at(recording.follow(table), recording.follow(rows), x)
    rows[...] = [3, 1, 3]
    for call in recording.calls:
        call()
    np.testing.assert_array_equal(table, [0, 1, 0, 2])


@pytest.mark.parametrize("read", [
    lambda x: float(x.sum()), lambda x: bool(x.max() > 3), lambda x: x.sum().item(), lambda x: x.tolist(),
    lambda x: int(x[0]), lambda x: list(x), lambda x: sorted(x), lambda x: 1 in x, lambda x: x.nonzero(),
    lambda x: np.unique(x, return_counts=True), lambda x: x.sort(), lambda x: x[x.argmax(axis=None)],
])
def test_reading_values_cannot_be_recorded(read):
    with Recording() as recording, pytest.raises(CannotRecord):
        read(recording.follow(np.arange(3.0)))


def test_after_the_recording_followed_arrays_are_ordinary():
    with Recording() as recording:
        x = recording.follow(np.arange(4.0))
        y = x + 1
    count = len(recording.calls)
    assert float(y.sum()) == 10 and (x * 2).tolist() == [0, 2, 4, 6] and x[1] == 1 and x.copy()[0] == 0
    assert x.astype("int32").dtype == "int32" and list(x.reshape(2, 2)[1]) == [2, 3]
    x[0] = 5
    x.sort()
    assert x.tolist() == [1, 2, 3, 5] and len(recording.calls) == count


def test_functions_that_look_at_values_are_repeated_whole():
    seen = []

    @recorded_whole
    def check(x, limit):
        seen.append(x.tolist())
        if x.max() > limit:
            raise ValueError("too large")

    @recorded_whole
    def double_if_positive(x):
        return x * 2 if x.min() > 0 else x

    @recorded_whole
    def bad(x):
        return {"no": "array"}

    x = np.ones(2)
    with Recording() as recording:
        check(recording.follow(x), 5)
        y = double_if_positive(recording.follow(x)) + 0
        with pytest.raises(CannotRecord, match="dict"):
            bad(recording.follow(x))
    x[...] = [-1, 4]
    for call in recording.calls:
        call()
    assert seen == [[1, 1], [-1, 4]] and plain(y).tolist() == [-1, 4]
    x[...] = 9
    with pytest.raises(ValueError, match="too large"):
        recording.calls[0]()


def test_draws_are_made_anew():
    @recorded_draw
    def draw(generator, count):
        return generator.random(count)

    generator = np.random.default_rng(3)
    with Recording() as recording:
        y = draw(generator, 2) + 0
    first = plain(y).copy()
    for call in recording.calls:
        call()
    expected = np.random.default_rng(3).random((2, 2))
    np.testing.assert_array_equal([first, plain(y)], expected)
    assert recording.seeds == [generator]


def test_limits():
    with Recording(limit=1000) as recording, pytest.raises(CannotRecord, match="MB"):
        recording.follow(np.ones(1000)) + 1
    with Recording(), pytest.raises(CannotRecord, match="already"), Recording():
        pass
