"""Models of text: what zeros cost, and what rows of a table cost that a step does not use.

Training steps of gpukeras in this process, in turn, a few rounds; medians in milliseconds. Bags of words are
given as an array (with ``config.skip_zeros`` on and off) and as a scipy matrix, where scipy is installed;
models with an embedding run with gradients by rows and with whole ones. Peers: ``compare_peers.py``, c and g
to i.

    OMP_NUM_THREADS=1 python benchmarks/text.py --words 10000 --json text.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import time
from pathlib import Path

ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--words", type=int, default=10000, help="columns of a bag of words")
    parser.add_argument("--samples", type=int, default=8192)
    parser.add_argument("--json", help="file for the figures")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the library beside this folder
    found = {}
    for name, (steps, train) in {**bags(options), **tables()}.items():
        found[name] = (steps, train, [])
        train()  # the first time builds
    for _ in range(ROUNDS):
        for steps, train, times in found.values():
            start = time.perf_counter()
            train()
            times.append((time.perf_counter() - start) / steps * 1e3)
    figures = {name: round(statistics.median(times), 3) for name, (_, _, times) in found.items()}
    for name, value in figures.items():
        print(f"{name:42}{value:9.3f} ms")
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1), encoding="utf-8")


def bags(options) -> dict:
    """Return {name: (steps, function that trains them)} for bags of words."""
    import numpy as np

    import gpukeras as keras

    rng = np.random.default_rng(0)
    often = np.cumsum(1.0 / (np.arange(options.words) + 2.7))
    drawn = np.searchsorted(often, rng.random((options.samples, 240)) * often[-1])
    x = np.zeros((options.samples, options.words), "float32")
    np.put_along_axis(x, np.minimum(drawn, options.words - 1), 1.0, 1)
    y = rng.integers(0, 2, (options.samples, 1)).astype("float32")
    steps = -(-options.samples // 512)
    print(f"bags of words: {x.shape}, {np.count_nonzero(x) / x.size:.1%} are not zero")

    def trainer(data, skip):
        model = keras.Sequential([
            keras.Input((options.words,)), keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1, activation="sigmoid"),
        ])
        model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy"])

        def train():
            before = keras.config.zeros_skipped()
            keras.config.skip_zeros(skip)
            try:
                model.fit(data, y, batch_size=512, verbose=0)
            finally:
                keras.config.skip_zeros(before)

        return steps, train

    found = {
        "bag of words, array": trainer(x, True),
        "bag of words, array, zeros multiplied": trainer(x, False),
    }
    with contextlib.suppress(ImportError):
        from scipy import sparse

        found["bag of words, scipy matrix"] = trainer(sparse.csr_matrix(x), True)
    return found


def tables() -> dict:
    """Return {name: (steps, function that trains them)} for the workloads with an embedding."""
    from unittest import mock

    from workloads import WORKLOADS

    import gpukeras as keras
    from gpukeras import backends

    def trainer(workload, rows):
        model = workload.build(keras)
        x, y = workload.data()
        whole = mock.patch.object(type(backends.CPU), "embedding_row_gradient", lambda *arguments: None)

        def train():
            with contextlib.nullcontext() if rows else whole:
                model.fit(x, y, batch_size=workload.batch, verbose=0)

        return workload.steps, train

    found = {}
    for letter in "hg":
        workload = WORKLOADS[letter]
        found[f"({letter}) by rows"] = trainer(workload, True)
        found[f"({letter}) whole tables"] = trainer(workload, False)
    return found


if __name__ == "__main__":
    main()
