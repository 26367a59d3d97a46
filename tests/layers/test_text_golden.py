"""Hashing, lookups and text vectors: what Keras 3 makes of the same cases (stored: it needs TensorFlow)."""

import json

import numpy as np
import pytest
from support.golden import text

from gpukeras import layers

STORED = json.loads(text.FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case, expected", list(zip(text.CASES, STORED, strict=True)),
                         ids=[f"{i}-{case[0]}" for i, case in enumerate(text.CASES)])
def test_as_keras(case, expected):
    found = text.made(layers, case, lambda x: x)
    assert found["shape"] == expected["shape"]
    assert found.get("vocabulary") == expected.get("vocabulary")
    for name in ("outputs", "bin_boundaries"):
        if expected.get(name) and not isinstance(expected[name][0], str):
            np.testing.assert_allclose(found[name], expected[name], rtol=2e-6)
        else:
            assert found.get(name) == expected.get(name)
