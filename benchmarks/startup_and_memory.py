"""Cold start and flat memory: import, first trained step, a long ``fit``, many ``predict`` calls.

    python benchmarks/startup_and_memory.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import initial
from harness import HERE, Peer
from workloads import WORKLOADS

FIRST_STEP = """
import numpy as np, gpukeras as keras
model = keras.Sequential([keras.layers.Input((784,)), keras.layers.Dense(128, activation="relu"),
                          keras.layers.Dense(10, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(np.zeros((32, 784), "float32"), np.zeros(32, int), verbose=0)
"""


def seconds(code: str, rounds: int = 7) -> float:
    """Return the median wall time of a fresh interpreter that runs ``code``."""
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]))
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, env=env, cwd=Path.home())
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    numpy, ours = seconds("import numpy"), seconds("import numpy, gpukeras")
    print(f"import gpukeras beyond NumPy   {ours - numpy:.3f} s  (must stay below 0.2)")
    loaded = seconds("import numpy, gpukeras\nfor name in dir(gpukeras): getattr(gpukeras, name)")
    print(f"all its modules beyond NumPy   {loaded - numpy:.3f} s  (they load on first use)")
    print(f"cold process to trained step   {seconds(FIRST_STEP):.3f} s  (must stay below 0.6)")
    with tempfile.TemporaryDirectory() as folder:
        initial.write(WORKLOADS["a"], Path(folder))
        peer = Peer("gpukeras")
        peer.ask(do="start", workload="a", folder=folder)
        peer.ask(do="check", folder=folder)
    peer.ask(do="fit", count=5)
    start = peer.ask(do="memory")["now"]
    peer.ask(do="fit", count=50)
    after_fit = peer.ask(do="memory")["now"]
    peer.ask(do="predict_one", count=100)
    warm = peer.ask(do="memory")["now"]
    peer.ask(do="predict_one", count=10_000)
    end = peer.ask(do="memory")["now"]
    peer.close()
    print(f"memory over a 50-epoch fit     {(after_fit - start) / 2**20:+.2f} MB  (flat)")
    print(f"memory over 10,000 predicts    {(end - warm) / 2**20:+.2f} MB  (flat)")


if __name__ == "__main__":
    main()
