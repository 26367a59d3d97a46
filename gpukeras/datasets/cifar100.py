"""CIFAR-100: small colour photographs in a hundred classes."""

from __future__ import annotations

import numpy as np

from gpukeras import config

from .cifar import folder_of, load_batch


def load_data(label_mode: str = "fine"):
    """Return the CIFAR-100 images.

    Parameters
    ----------
    label_mode : {"fine", "coarse"}
        A hundred classes, or the twenty groups they belong to.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Images of shape (50000, 32, 32, 3) and (10000, 32, 32, 3), uint8, channels first where
        ``keras.config.image_data_format()`` says so; labels of shape (N, 1), int64.

    Notes
    -----
    The archive (``cifar-100-python.tar.gz``) is checked against its SHA-256 when it is unpacked.

    References
    ----------
    Krizhevsky, 2009, https://www.cs.toronto.edu/~kriz/cifar.html
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError(f"label_mode must be 'fine' or 'coarse', came {label_mode!r}")
    folder = folder_of(
        "cifar-100-python", "cifar-100-python.tar.gz",
        "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7", "test",
    )
    found = []
    for name in ("train", "test"):
        x, labels = load_batch(folder / name, f"{label_mode}_labels")
        if config.image_data_format() == "channels_last":
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        found.append((x, np.reshape(labels, (-1, 1))))
    return tuple(found)
