"""Compare peers fairly: each in its own process, interleaved rounds, disturbed samples dropped.

A worker (``worker.py``) prepares workloads and times blocks of steps when told to, over JSON lines on its
standard streams. The harness asks the peers in turn, so that a slow moment of the machine hits all of them.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Peer:
    """A worker process for one library.

    Parameters
    ----------
    name : str
        ``"gpukeras"`` or ``"keras-jax"``, ``"keras-torch"``, ``"keras-tensorflow"``.
    python : str, optional
        Interpreter of the environment that has the library.
    threads : int, optional
        Limit for the libraries' threads; default: theirs.
    """

    def __init__(self, name: str, python: str | None = None, threads: int | None = None):
        self.name = name
        env = dict(os.environ, PYTHONWARNINGS="ignore", TF_CPP_MIN_LOG_LEVEL="3")
        if name.startswith("keras-"):
            env["KERAS_BACKEND"] = name.partition("-")[2]
        if threads:
            env.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
            if threads == 1:
                env["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        if threads and threads < (os.cpu_count() or 1) and hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))[:threads]
            preexec = lambda: os.sched_setaffinity(0, cores)  # noqa: E731
        else:
            preexec = None
        self.process = subprocess.Popen(
            [python or sys.executable, str(HERE / "worker.py"), name], env=env, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=preexec,
        )

    def ask(self, **request) -> dict:
        """Send one request and return the answer."""
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        while line := self.process.stdout.readline():
            if line.startswith("{"):
                answer = json.loads(line)
                if "error" in answer:
                    raise RuntimeError(f"{self.name}: {answer['error']}")
                return answer
        raise RuntimeError(f"{self.name}: the worker ended with status {self.process.wait()}")

    def close(self) -> None:
        """End the worker."""
        self.process.stdin.close()
        self.process.wait(timeout=30)


def stolen() -> float:
    """Return the CPU seconds that the host has taken from this machine so far (0 where it is not told)."""
    try:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()
    except OSError:
        return 0.0
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


def interleave(peers: dict[str, Peer], rounds: int, request: dict, limit: float = 0.05) -> dict[str, dict]:
    """Ask the peers in turn, ``rounds`` times, and return what remains of their timings.

    Parameters
    ----------
    peers : dict of str to Peer
    rounds : int
    request : dict
        Sent to each peer each time; the answer holds ``seconds`` (wall) and ``steps``.
    limit : float
        A sample is dropped where more than this part of its time was stolen by the host, or where it is
        more than 1.5 times the peer's median.

    Returns
    -------
    dict
        By peer: median, quartiles (seconds per step), samples kept, samples dropped.
    """
    samples: dict[str, list] = {name: [] for name in peers}
    for i in range(rounds):
        order = list(peers.items())
        for name, peer in order[i % len(order):] + order[: i % len(order)]:
            before = stolen()
            answer = peer.ask(**request)
            share = (stolen() - before) / max(answer["seconds"], 1e-9)
            samples[name].append((answer["seconds"] / answer["steps"], share))
    return {name: summarize(values, limit) for name, values in samples.items()}


def summarize(values: list[tuple[float, float]], limit: float) -> dict:
    """Return median and quartiles of the undisturbed samples."""
    calm = [s for s, share in values if share <= limit] or [s for s, _ in values]
    middle = statistics.median(calm)
    kept = [s for s in calm if s <= 1.5 * middle]
    quartiles = statistics.quantiles(kept, n=4) if len(kept) > 1 else [kept[0]] * 3
    return {"median": statistics.median(kept), "low": quartiles[0], "high": quartiles[2],
            "kept": len(kept), "dropped": len(values) - len(kept)}


def table(results: dict[str, dict], base: str) -> str:
    """Return the results as text: time per step, spread, ratio to ``base`` (above 1: base is faster)."""
    lines = []
    for name, r in results.items():
        ratio = r["median"] / results[base]["median"]
        lines.append(
            f"  {name:<18} {r['median'] * 1e3:9.4f} ms/step  [{r['low'] * 1e3:.4f}, {r['high'] * 1e3:.4f}]  "
            f"{ratio:6.2f} x {base}  ({r['kept']} samples, {r['dropped']} dropped)"
        )
    return "\n".join(lines)
