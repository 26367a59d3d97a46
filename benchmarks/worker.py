"""One peer in its own process: trains one workload and times what it is told to (see ``harness.py``).

    python worker.py PEER THREADS [DEVICE]

THREADS limits the library's threads and the cores of the process; 0: no limit. DEVICE is ``cpu`` or ``gpu``.
Requests and answers are lines of JSON on the standard streams.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def load(peer: str, threads: int = 0, device: str = "cpu"):
    """Import the library of ``peer`` and limit its threads (0: leave them); it must find its device."""
    if peer == "gpukeras":
        try:
            import gpukeras
        except ImportError:
            sys.path.insert(0, str(HERE.parent))
            import gpukeras
        return gpukeras
    if peer in ("keras-tensorflow", "tf_keras"):
        import tensorflow as tf

        if threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        if device == "gpu" and not tf.config.list_physical_devices("GPU"):
            raise RuntimeError("TensorFlow finds no GPU")
    if peer in ("keras-torch", "torch"):
        import torch

        if threads:
            torch.set_num_threads(threads)
            torch.set_num_interop_threads(threads)
        if device == "gpu" and not torch.cuda.is_available():
            raise RuntimeError("PyTorch finds no GPU")
    if peer == "tf_keras":
        import tf_keras

        return tf_keras
    if peer == "torch":
        import torch_workloads

        return torch_workloads
    import keras

    return keras


def peak_memory() -> int:
    """Return the most bytes this process has held so far."""
    try:  # ru_maxrss would also count the parent at the moment of the fork
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def memory() -> int:
    """Return the bytes this process holds now (its peak where that is not told)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return peak_memory()


def waited() -> float:
    """Return the seconds that this thread could have run but had no core (0 where it is not told)."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


class Worker:
    """What a peer can be asked for; every answer is a dict."""

    def __init__(self, peer: str, threads: int, device: str = "cpu"):
        self.peer, self.threads, self.device = peer, threads, device
        self.model = self.x = self.y = self.workload = None

    def start(self, workload: str, folder: str) -> dict:
        """Import the library, make the model, train its first batch. Everything a cold start has to do."""
        import numpy as np
        from initial import read_weights
        from workloads import ALL

        self.workload = ALL[workload]
        library = load(self.peer, self.threads, self.device)
        if self.peer == "torch":
            self.model = library.build(workload, "cuda" if self.device == "gpu" else "cpu")
            self.model.set_weights(read_weights(Path(folder)))
        else:
            self.model = self.workload.build(library)
            for name, arrays in read_weights(Path(folder)).items():
                self.model.get_layer(name).set_weights(arrays)
        batch = self.workload.batch
        x, y = (np.array(np.load(Path(folder) / f"{n}.npy", mmap_mode="r")[:batch]) for n in "xy")
        history = self.model.fit(x, y, batch_size=batch, epochs=1, shuffle=False, verbose=0)
        return {"loss": float(history.history["loss"][-1])}

    def check(self, folder: str) -> dict:
        """Train the checked batches in order and return the losses that the peers must agree on."""
        import numpy as np

        self.x, self.y = (np.load(Path(folder) / f"{n}.npy") for n in "xy")
        seen = self.workload.checked * self.workload.batch
        x, y = self.x[:seen], self.y[:seen]
        history = self.model.fit(x, y, batch_size=self.workload.batch, epochs=2, shuffle=False, verbose=0)
        evaluated = self.model.evaluate(x[:256], y[:256], verbose=0)
        return {"losses": [float(v) for v in history.history["loss"]] + [float(evaluated[0])]}

    def fit(self, count: int) -> dict:
        """Time ``count`` epochs."""
        batch = self.workload.batch
        found = self._calls(1, lambda: self.model.fit(
            self.x, self.y, batch_size=batch, epochs=count, verbose=0))
        return found | {"steps": count * self.workload.steps}

    def train_on_batch(self, count: int) -> dict:
        """Time ``count`` single training steps."""
        x, y = self.x[: self.workload.batch], self.y[: self.workload.batch]
        return self._calls(count, lambda: self.model.train_on_batch(x, y))

    def predict_one(self, count: int) -> dict:
        """Time ``count`` calls of ``predict`` on one sample."""
        x = self.x[:1]
        return self._calls(count, lambda: self.model.predict(x, verbose=0))

    def predict(self, count: int) -> dict:
        """Time ``count`` calls of ``predict`` with its default batches."""
        x = self.x[: self.workload.predicted]
        return self._calls(count, lambda: self.model.predict(x, verbose=0))

    def evaluate(self, count: int) -> dict:
        """Time ``count`` calls of ``evaluate`` with its default batches."""
        x, y = self.x[: self.workload.predicted], self.y[: self.workload.predicted]
        return self._calls(count, lambda: self.model.evaluate(x, y, verbose=0))

    def _calls(self, count: int, call) -> dict:
        before, start = waited(), time.perf_counter()
        for _ in range(count):
            call()
        return {"seconds": time.perf_counter() - start, "waited": waited() - before, "steps": count}

    def memory(self) -> dict:
        """Return the memory held now and at most so far."""
        return {"now": memory(), "peak": peak_memory()}

    def versions(self) -> dict:
        """Return the versions of what this peer is made of."""
        from importlib.metadata import PackageNotFoundError, version

        found = {"python": sys.version.split()[0]}
        for name in ("numpy", "keras", "jax", "tensorflow", "tf_keras", "torch"):
            if name in sys.modules:
                try:
                    found[name] = version(name)
                except PackageNotFoundError:
                    found[name] = getattr(sys.modules[name], "__version__", "?")
        return found


def serve(make) -> None:
    """Answer requests by the methods of ``make(peer, threads, device)`` until the input ends."""
    peer, threads, device = sys.argv[1], int(sys.argv[2]), (*sys.argv[3:], "cpu")[0]
    if threads and hasattr(os, "sched_setaffinity"):  # before any library starts its threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    worker = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            worker = worker or make(peer, threads, device)
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:  # told to the harness, which leaves this peer out
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(Worker)
