"""One peer in its own process: prepares workloads and times them when told to (see ``harness.py``)."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def load(name: str):
    """Import the library called ``name``."""
    if name == "gpukeras":
        try:
            import gpukeras
        except ImportError:
            sys.path.insert(0, str(ROOT))
            import gpukeras
        return gpukeras
    import keras

    return keras


def memory() -> int:
    """Return the bytes this process holds now (Linux), or its peak."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Worker:
    def __init__(self, keras):
        self.keras = keras
        self.model = self.x = self.y = None
        self.batch = 1

    def setup(self, workload: str) -> dict:
        """Make the model and its data; train one epoch so that everything is compiled and allocated."""
        from workloads import WORKLOADS

        self.keras.utils.set_random_seed(1)
        self.model, self.x, self.y, self.batch = WORKLOADS[workload](self.keras)
        self.model.fit(self.x, self.y, batch_size=self.batch, epochs=1, verbose=0)
        return {"parameters": int(self.model.count_params())}

    def fit(self, epochs: int) -> dict:
        """Time ``epochs`` epochs of ``fit``."""
        start = time.perf_counter()
        history = self.model.fit(self.x, self.y, batch_size=self.batch, epochs=epochs, verbose=0)
        seconds = time.perf_counter() - start
        steps = epochs * -(-len(self.x) // self.batch)
        return {"seconds": seconds, "steps": steps, "loss": float(history.history["loss"][-1])}

    def predict(self, calls: int, samples: int) -> dict:
        """Time ``calls`` calls of ``predict`` on ``samples`` samples."""
        x = self.x[:samples]
        start = time.perf_counter()
        for _ in range(calls):
            self.model.predict(x, verbose=0)
        return {"seconds": time.perf_counter() - start, "steps": calls}

    def memory(self) -> dict:
        """Return the memory held now."""
        return {"bytes": memory()}


def main() -> None:
    """Answer requests until the input ends."""
    worker = Worker(load(sys.argv[1]))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:  # told to the harness, which stops
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
