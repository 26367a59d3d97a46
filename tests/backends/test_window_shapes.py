"""Shape rules of windows against counting."""

import itertools

import numpy as np
import pytest

from gpukeras.backends import window_shapes


@pytest.mark.parametrize("size, window, stride, dilation",
                         [*itertools.product((5, 6), (1, 2, 3), (1, 2, 3), (1, 2))])
def test_windows(size, window, stride, dilation):
    for padding in ("valid", "same", "causal"):
        before, after = window_shapes.window_padding(size, window, stride, padding, dilation)
        line = np.arange(size + before + after)
        reach = (window - 1) * dilation + 1
        count = len(range(0, len(line) - reach + 1, stride))
        assert window_shapes.window_output(size, window, stride, padding, dilation) == count
        if padding == "same":
            assert 0 <= after - before <= 1 and count == -(-size // stride)
    assert window_shapes.window_output(None, window, stride, "same", dilation) is None
