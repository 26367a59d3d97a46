"""Decoding label sequences against trying every alignment."""

import itertools
from collections import defaultdict

import numpy as np
import pytest

from gpukeras import KerasTensor, ops

pytestmark = pytest.mark.usefixtures("backend")
LOGITS = np.random.default_rng(0).standard_normal((3, 5, 3)) * 2
LENGTHS = np.array([5, 3, 0])


def collapse(path, blank):
    return tuple(c for c, _ in itertools.groupby(path) if c != blank)


def by_probability(logits, blank):
    """Return (log-probability, labels) of all label sequences, the most probable first."""
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    found = defaultdict(float)
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        found[collapse(path, blank)] += np.exp(sum(log_p[t, c] for t, c in enumerate(path)))
    return sorted(((np.log(p), labels) for labels, p in found.items()), reverse=True)


@pytest.mark.parametrize("blank", [0, 2])
def test_beam_search_finds_the_most_probable(blank):
    labels, scores = ops.ctc_decode(LOGITS, LENGTHS, "beam_search", 60, 3, mask_index=blank)
    assert labels.shape == (3, 3, 5) and labels.dtype == "int32" and scores.shape == (3, 3)
    for n, length in enumerate(LENGTHS[:2]):
        expected = by_probability(LOGITS[n, :length], blank)
        for i in range(3):
            np.testing.assert_allclose(scores.numpy()[n, i], expected[i][0], rtol=1e-4)
            found = labels.numpy()[i, n]
            assert tuple(found[found >= 0]) == expected[i][1] and (found[len(expected[i][1]):] == -1).all()
    assert (labels.numpy()[:, 2] == -1).all() and scores.tolist()[2] == [0.0, -np.inf, -np.inf]


def test_a_narrow_beam_may_miss_it():
    """Of the first step, the beam keeps the best beginning alone."""
    logits = np.log([[[0.4, 0.35, 0.25], [0.05, 0.9, 0.05]]])
    wide, narrow = (ops.ctc_decode(logits, [2], "beam_search", width) for width in (9, 1))
    assert wide[0].tolist() == narrow[0].tolist() == [[[1, -1]]]
    np.testing.assert_allclose(wide[1].numpy(), np.log(0.4 * 0.9 + 0.35 * 0.9 + 0.35 * 0.05), rtol=1e-5)
    np.testing.assert_allclose(narrow[1].numpy(), np.log(0.4 * 0.9), rtol=1e-5)


def test_a_beginning_that_left_the_beam_and_came_back_is_the_same():
    rng = np.random.default_rng(3)
    for _ in range(5):
        logits = rng.standard_normal((1, 12, 3)) * 0.5
        labels, _ = ops.ctc_decode(logits, [12], "beam_search", 6, 6)
        rows = {tuple(row) for row in labels.numpy()[:, 0]}
        assert len(rows) == 6


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("blank", [0, 1])
def test_greedy(merge, blank):
    labels, scores = ops.ctc_decode(LOGITS.astype("float32"), LENGTHS, merge_repeated=merge, mask_index=blank)
    assert labels.shape == (1, 3, 5) and scores.dtype == "float32"
    for n, length in enumerate(LENGTHS):
        path = LOGITS[n, :length].argmax(-1)
        kept = collapse(path, blank) if merge else tuple(path[path != blank])
        assert tuple(labels.numpy()[0, n]) == kept + (-1,) * (5 - len(kept))
        np.testing.assert_allclose(scores.numpy()[n, 0], -LOGITS[n, :length].max(-1).sum(), rtol=1e-5)


def test_refusals_and_symbolic_shapes():
    with pytest.raises(ValueError, match="strategy must be"):
        ops.ctc_decode(LOGITS, LENGTHS, "best")
    with pytest.raises(ValueError, match="top_paths must lie"):
        ops.ctc_decode(LOGITS, LENGTHS, "beam_search", 2, 3)
    with pytest.raises(ValueError, match=r"\(N, T, C\)"):
        ops.ctc_decode(LOGITS[0], LENGTHS)
    with pytest.raises(TypeError, match="floating logits"):
        ops.ctc_decode(np.ones((1, 2, 3), "int32"), [2])
    x, lengths = KerasTensor((None, 5, 4)), KerasTensor((None,), "int32")
    labels, scores = ops.ctc_decode(x, lengths, "beam_search", top_paths=2)
    assert (labels.shape, labels.dtype, scores.shape) == ((2, None, 5), "int32", (None, 2))
