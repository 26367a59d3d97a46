"""What splitting work over threads costs and gains, alone and beside a program that keeps a core busy.

Times, in microseconds: handing over an empty part; matrix products on one thread, in parts on two, and with
two threads of the BLAS; the same while another process computes without pause on every core but one. BLAS
threads that wait by spinning lose most there, which is why models run with one.

    python benchmarks/threads.py
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from gpukeras.backends import CPU, threads

SHAPES = [(32, 784, 128), (128, 784, 128), (128, 784, 512), (128, 9216, 128)]
SECONDS = 0.3  # of each figure


def timed(function) -> float:
    """Return the median time of a call in microseconds."""
    function()
    taken, end = [], time.perf_counter() + SECONDS
    while len(taken) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1e6


def product_times(rows, inputs, units) -> list[float]:
    """Return the times of a product on one thread, in parts on two, and by two threads of the BLAS."""
    rng = np.random.default_rng(0)
    x, kernel = rng.random((rows, inputs), "float32"), rng.random((inputs, units), "float32")
    found = []
    for count in (1, 2):
        threads.set_threads(count)
        with threads.session():
            found.append(timed(lambda: CPU.dense_product(x, kernel)))
    out = np.empty((rows, units), "float32")
    found.append(timed(lambda: np.dot(x, kernel, out)))  # outside of a session the BLAS has the two
    threads.set_threads(1)
    return found


def report(title: str) -> None:
    print(f"{title}\n{'product':>20} {'one thread':>12} {'two parts':>12} {'BLAS':>12}")
    for shape in SHAPES:
        times = " ".join(f"{t:12.0f}" for t in product_times(*shape))
        print(f"{' x '.join(map(str, shape)):>20} {times}", flush=True)


def busy() -> None:
    while True:
        pass


def main() -> None:
    if not threads.may_split() and threads.get_threads() < 2:
        raise SystemExit("one core, or one thread by the environment: there is nothing to measure")
    threads.set_threads(2)
    with threads.session():
        print(f"empty parts: {timed(lambda: threads.parallel(lambda i: None, [(0,), (1,)])):.0f} us")
    report("alone")
    others = [multiprocessing.get_context("spawn").Process(target=busy, daemon=True)
              for _ in range(max(1, threads._cores() - 1))]
    for process in others:
        process.start()
    time.sleep(1)
    report("beside a busy program")
    for process in others:
        process.terminate()


if __name__ == "__main__":
    main()
