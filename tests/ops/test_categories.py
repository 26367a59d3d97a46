"""Counts of categories."""

import numpy as np
import pytest
from support.checks import check_op

from gpukeras import KerasTensor
from gpukeras.ops.categories import bag_of_ids

pytestmark = pytest.mark.usefixtures("backend")
IDS = np.array([[[0, 2, 2], [3, -1, 9]], [[1, 1, 1], [0, 1, 2]]])
WEIGHTS = np.random.default_rng(1).standard_normal(IDS.shape)


def reference(ids, weights=None):
    found = np.zeros((*ids.shape[:-1], 4))
    for place in np.ndindex(ids.shape):
        if 0 <= ids[place] < 4:
            found[(*place[:-1], ids[place])] += 1 if weights is None else weights[place]
    return found


def test_counts_with_weights():
    check_op(lambda w, ids: bag_of_ids(ids, w, 4, w.dtype), [WEIGHTS, IDS], lambda w, ids: reference(ids, w))


def test_counts_and_ones():
    assert bag_of_ids(IDS.astype("int32"), None, 4, "int64").tolist() == reference(IDS).tolist()
    assert bag_of_ids(IDS, None, 4, "float16", binary=True).tolist() == (reference(IDS) > 0).tolist()
    assert bag_of_ids(IDS[:, :, :0], None, 4, "float32").tolist() == np.zeros((2, 2, 4)).tolist()
    assert bag_of_ids(KerasTensor((None, 3), "int32"), None, 4, "float32").shape == (None, 4)


def test_weights_of_another_shape():
    with pytest.raises(ValueError, match="weights have shape"):
        bag_of_ids(IDS, WEIGHTS[:1], 4, "float32")
    with pytest.raises(ValueError, match="weights have shape"):
        bag_of_ids(KerasTensor((None, 3), "int32"), KerasTensor((None, 2)), 4, "float32")
