"""Embedding: rows, gradients that meet, bounds."""

import numpy as np
import pytest
from support.checks import check_op

import gpukeras as keras
from gpukeras import ops

RNG = np.random.default_rng(4)
TABLE = RNG.standard_normal((7, 3))


@pytest.mark.parametrize("shape", [(5,), (2, 4), (2, 2, 3), (), (0,), (3, 0)])
def test_embedding(backend, shape):
    ids = RNG.integers(0, 7, shape)
    check_op(ops.embedding, [ids, TABLE], lambda ids, table: table[ids], second_order=True, batch=(0,))


def test_gradient_op(backend):
    ids = np.array([1, 1, 4, 1])

    def reference(dy, ids, rows):
        total = np.zeros((rows, 3))
        for d, i in zip(dy, ids):
            total[i] += d
        return total

    check_op(ops.embedding_gradient, [RNG.standard_normal((4, 3)), ids], reference, settings=(7,),
             second_order=True,
             batch=(0, 1))


def test_float_ids():
    assert ops.embedding(np.array([2.0, 0.0], "float32"), TABLE).shape == (2, 3)


def test_errors():
    for bad in (7, -1):
        with pytest.raises(ValueError, match=f"index {bad} is out of range: expected 0 to 6"):
            ops.embedding([0, bad], TABLE)
    with pytest.raises(ValueError, match="table of shape"):
        ops.embedding([0], np.ones(3, "float32"))
    assert ops.embedding(keras.KerasTensor((None, 4), "int32"), keras.Variable(TABLE)).shape == (None, 4, 3)
