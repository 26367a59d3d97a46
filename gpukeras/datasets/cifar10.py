"""CIFAR-10: small colour photographs in ten classes."""

from __future__ import annotations

import numpy as np

from gpukeras import config

from .cifar import folder_of, load_batch


def load_data():
    """Return the CIFAR-10 images.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : arrays of uint8
        Images of shape (50000, 32, 32, 3) and (10000, 32, 32, 3), channels first where
        ``keras.config.image_data_format()`` says so; labels of shape (N, 1): 0 airplane, 1 automobile,
        2 bird, 3 cat, 4 deer, 5 dog, 6 frog, 7 horse, 8 ship, 9 truck.

    Notes
    -----
    The archive (``cifar-10-python.tar.gz``) is checked against its SHA-256 when it is unpacked.

    References
    ----------
    Krizhevsky, 2009, https://www.cs.toronto.edu/~kriz/cifar.html
    """
    folder = folder_of(
        "cifar-10-batches-py", "cifar-10-python.tar.gz",
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce", "test_batch",
    )
    parts = [load_batch(folder / f"data_batch_{i}") for i in range(1, 6)]
    x_train = np.concatenate([data for data, _ in parts])
    y_train = np.concatenate([np.asarray(labels, np.uint8) for _, labels in parts]).reshape(-1, 1)
    x_test, labels = load_batch(folder / "test_batch")
    y_test = np.asarray(labels, np.uint8).reshape(-1, 1)
    if config.image_data_format() == "channels_last":
        x_train, x_test = (np.ascontiguousarray(x.transpose(0, 2, 3, 1)) for x in (x_train, x_test))
    return (x_train, y_train), (x_test, y_test)
