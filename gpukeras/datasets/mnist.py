"""MNIST: handwritten digits."""

from __future__ import annotations

from .storage import BASE, cached, check, read_npz

_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


def load_data(path: str = "mnist.npz"):
    """Return the MNIST digits.

    Parameters
    ----------
    path : str
        Name in ``~/.keras/datasets`` (checked against its SHA-256), or a file elsewhere.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : arrays of uint8
        Images of shape (60000, 28, 28) and (10000, 28, 28), values 0 to 255; labels 0 to 9.

    References
    ----------
    LeCun, Cortes, Burges, http://yann.lecun.com/exdb/mnist/
    """
    path = cached(path, BASE + "mnist.npz", _SHA256)
    x_train, y_train, x_test, y_test = read_npz(path, ("x_train", "y_train", "x_test", "y_test"))
    for x, y in ((x_train, y_train), (x_test, y_test)):
        check(path, "images and their labels", x.ndim >= 3 and y.shape[:1] == x.shape[:1])
    return (x_train, y_train), (x_test, y_test)
