"""One call that makes a run repeatable."""

from __future__ import annotations

import random as python_random

import numpy as np

from gpukeras import random


def set_random_seed(seed: int) -> None:
    """Seed Python's, NumPy's and gpukeras' random numbers.

    Parameters
    ----------
    seed : int
        From 0 to 2**32 - 1.

    Notes
    -----
    The same seed gives the same initial weights and batch order on every device, and the same run bit by bit
    on the same device.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.utils.set_random_seed(3)
    >>> a = keras.initializers.HeNormal()((2, 2))
    >>> keras.utils.set_random_seed(3)
    >>> (a == keras.initializers.HeNormal()((2, 2))).all().item()
    True
    """
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool):
        raise ValueError(f"seed must be an integer, came {seed!r}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be from 0 to 2**32 - 1, came {seed}")
    python_random.seed(int(seed))
    np.random.seed(int(seed))
    random.set_seed(int(seed))
