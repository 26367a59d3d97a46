"""Boston housing: prices of 506 districts."""

from __future__ import annotations

import numpy as np

from .storage import BASE, cached, check, read_npz, split

_SHA256 = "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"


def load_data(path: str = "boston_housing.npz", test_split: float = 0.2, seed: int = 113):
    """Return the Boston housing data.

    Parameters
    ----------
    path : str
        Name in ``~/.keras/datasets`` (checked against its SHA-256), or a file elsewhere.
    test_split : float
        Part of the samples that goes into the test set.
    seed : int
        For the order of the samples.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : arrays of float64
        13 features; median prices in thousands of dollars.

    Notes
    -----
    One feature counts Black residents in a way that supposes segregation makes homes dear: fit for learning
    to program, not for statements about the world. ``california_housing`` is an alternative.

    References
    ----------
    Harrison and Rubinfeld, 1978, "Hedonic prices and the demand for clean air".
    """
    path = cached(path, BASE + "boston_housing.npz", _SHA256)
    x, y = read_npz(path, ("x", "y"))
    check(path, "a table and one value for each of its rows", x.ndim == 2 and y.shape == x.shape[:1])
    order = np.arange(len(x))
    np.random.RandomState(seed).shuffle(order)
    return split(x[order], y[order], test_split)
