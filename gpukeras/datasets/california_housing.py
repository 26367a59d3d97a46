"""California housing: prices of 20,640 districts."""

from __future__ import annotations

import numpy as np

from .storage import BASE, cached, check, read_npz, split

_SHA256 = "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f"


def load_data(
    version: str = "large", path: str = "california_housing.npz", test_split: float = 0.2, seed: int = 113
):
    """Return the California housing data of the census of 1990.

    Parameters
    ----------
    version : {"large", "small"}
        All 20,640 districts, or 600 of them.
    path : str
        Name in ``~/.keras/datasets`` (checked against its SHA-256), or a file elsewhere.
    test_split : float
        Part of the samples that goes into the test set.
    seed : int
        For the order of the samples.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : arrays of float32
        8 features; median prices in dollars.

    References
    ----------
    Pace and Barry, 1997, "Sparse spatial autoregressions".
    """
    if version not in ("large", "small"):
        raise ValueError(f"version must be 'large' or 'small', came {version!r}")
    path = cached(path, BASE + "california_housing.npz", _SHA256)
    x, y = read_npz(path, ("x", "y"))
    check(path, "a table and one value for each of its rows", x.ndim == 2 and y.shape == x.shape[:1])
    if version == "small":
        x, y = x[:600], y[:600]
    order = np.arange(len(x))
    np.random.RandomState(seed).shuffle(order)
    return split(x[order], y[order], test_split)
