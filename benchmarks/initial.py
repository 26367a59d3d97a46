"""The same start for all peers: data and weights of a workload, drawn once and kept as files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np


def draw(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return the first value of a variable called ``name``, as Keras's default initializers would draw it."""
    if name in ("gamma", "moving_variance"):
        return np.ones(shape, "float32")
    if name in ("bias", "beta", "moving_mean"):
        return np.zeros(shape, "float32")
    if name == "embeddings":
        return rng.uniform(-0.05, 0.05, shape).astype("float32")
    field = math.prod(shape[:-2])
    limit = math.sqrt(6.0 / (field * (shape[-2] + shape[-1])))
    return rng.uniform(-limit, limit, shape).astype("float32")


def weights(model) -> dict[str, list[np.ndarray]]:
    """Return weights for the layers of a gpukeras model, by the name of the layer."""
    rng = np.random.default_rng(11)
    found = {}
    for layer in model.layers:
        if layer.weights:
            found[layer.name] = [draw(v.name, tuple(v.shape), rng) for v in layer.weights]
    return found


def write(workload, folder: Path) -> None:
    """Write ``x.npy``, ``y.npy`` and ``weights.npz`` of a workload (needs gpukeras for the shapes)."""
    from worker import load

    x, y = workload.data()
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    keras = load("gpukeras")
    with keras.config.device("cpu"):
        arrays = weights(workload.build(keras))
    np.savez(folder / "weights.npz", **{f"{n}/{i}": w for n, ws in arrays.items() for i, w in enumerate(ws)})


def read_weights(folder: Path) -> dict[str, list[np.ndarray]]:
    """Return what ``write`` has written, by the name of the layer."""
    found: dict[str, list] = {}
    with np.load(folder / "weights.npz") as file:
        for key in file.files:  # in the order written
            found.setdefault(key.partition("/")[0], []).append(file[key])
    return found
