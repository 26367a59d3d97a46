"""The setting of TF32 reaches the kernels."""

import numpy as np
from support.fake_device import emulated

from gpukeras import config


def test_products_round_only_when_told_to():
    rng = np.random.default_rng(7)
    a, b = rng.standard_normal((2, 64, 64)).astype("float32")
    exact = a.astype(float) @ b.astype(float)
    errors = {}
    with emulated() as backend:
        assert config.tf32() is False
        for enabled in (False, True, False):
            config.set_tf32(enabled)
            assert config.tf32() is enabled
            found = backend.to_numpy(backend.matmul(backend.asarray(a), backend.asarray(b)))
            errors[enabled] = np.abs(found - exact).max()
    assert errors[False] < 1e-4 < errors[True] < 0.1
