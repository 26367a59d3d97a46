"""Compare peers fairly: each in its own process, interleaved rounds, disturbed samples dropped.

A worker (``worker.py``) trains a workload and times blocks of steps when told to, over JSON lines on its
standard streams. The harness asks the peers in turn, so that a slow moment of the machine hits all of them.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "GPUKERAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
)


class PeerError(RuntimeError):
    """A peer could not do what it was asked for.

    Parameters
    ----------
    peer : str
        Its name.
    reason : str
    """

    def __init__(self, peer: str, reason: str):
        super().__init__(f"{peer}: {reason}")
        self.peer = peer


# ---- one peer -------------------------------------------------------------------------------------------
def environment(name: str, threads: int | None, device: str = "cpu") -> dict[str, str]:
    """Return the environment variables of a peer's process.

    Parameters
    ----------
    name : str
        ``"gpukeras"``, ``"tf_keras"``, ``"torch"`` or ``"keras-"`` with the engine's name.
    threads : int or None
        Limit for the library's threads; ``None``: what it takes by itself.
    device : {"cpu", "gpu"}
        Where the library must compute.
    """
    env = {k: v for k, v in os.environ.items() if k not in THREAD_VARIABLES and k != "XLA_FLAGS"}
    env.update(PYTHONWARNINGS="ignore", TF_CPP_MIN_LOG_LEVEL="3")
    env["GPUKERAS_DEVICE"] = device
    if device == "cpu":
        env.update(CUDA_VISIBLE_DEVICES="-1", JAX_PLATFORMS="cpu")
    else:  # a card for all peers at once: none may take its whole memory
        env.update(JAX_PLATFORMS="cuda", XLA_PYTHON_CLIENT_PREALLOCATE="false",
                   TF_FORCE_GPU_ALLOW_GROWTH="true")
    if name.startswith("keras-"):
        env["KERAS_BACKEND"] = name.partition("-")[2]
    if threads:
        env.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
        if threads == 1:
            env["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return env


class Peer:
    """A worker process for one library.

    Parameters
    ----------
    name : str
        See ``environment``.
    python : str, optional
        Interpreter of the environment that has the library.
    threads : int, optional
        Limit for the library's threads and for the cores of the process; default: none.
    device : {"cpu", "gpu"}
        Where it computes; a name that ends in ``-cpu`` means the CPU.
    script : str
        What the process runs.
    """

    def __init__(self, name: str, python: str | None = None, threads: int | None = None, device: str = "cpu",
                 script: str = "worker.py"):
        self.name = name
        self.born = time.perf_counter()
        library, device = name.removesuffix("-cpu"), "cpu" if name.endswith("-cpu") else device
        self.process = subprocess.Popen(
            [python or sys.executable, str(HERE / script), library, str(threads or 0), device],
            env=environment(library, threads, device), text=True, bufsize=1, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )

    def ask(self, timeout: float = 300, **request) -> dict:
        """Send one request and return the answer; ``PeerError`` where there is none."""
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise PeerError(self.name, f"the worker ended with status {self.process.wait()}") from None
        while True:
            if not select.select([self.process.stdout], [], [], timeout)[0]:
                raise PeerError(self.name, f"no answer to {request['do']} in {timeout:g} s")
            line = self.process.stdout.readline()
            if not line:
                raise PeerError(self.name, f"the worker ended with status {self.process.wait()}")
            if line.startswith("{"):
                break
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(self.name, answer["error"])
        return answer

    def close(self) -> None:
        """End the worker."""
        with contextlib.suppress(BrokenPipeError):  # a request that a dead worker did not read
            self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


# ---- samples --------------------------------------------------------------------------------------------
def stolen() -> float:
    """Return the CPU seconds that the host has taken from this machine so far (0 where it is not told)."""
    try:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()
    except OSError:
        return 0.0
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


def calibrate(peer: Peer, kind: str, target: float, warm: bool = False) -> int:
    """Return how often ``kind`` must be repeated so that a sample takes about ``target`` seconds.

    Where it is not ``warm`` the first call may still compile something, and does not count.
    """
    if not warm:
        peer.ask(do=kind, count=1)
    count = wanted = 1
    for _ in range(4):  # a short call tells little
        seconds = peer.ask(do=kind, count=count)["seconds"]
        wanted = max(1, math.ceil(target * count / max(seconds, 1e-9)))
        if seconds > target / 4:
            break
        count = min(wanted, 20 * count)
    return wanted


def interleave(
    peers: dict[str, Peer], kind: str, rounds: int, target: float = 0.3, budget: float = math.inf,
    pause: float = 0.02, warm: bool = False,
) -> dict[str, dict]:
    """Time ``kind`` on all peers in turn and return what remains of their samples.

    Parameters
    ----------
    peers : dict of str to Peer
    kind : str
        A timing method of ``Worker``.
    rounds : int
        Samples of each peer.
    target : float
        Seconds of one sample, about; slow peers take what one call takes.
    budget : float
        Seconds after which no further round begins (three are always made).
    pause : float
        Seconds between two samples, for threads that still spin to fall asleep.
    warm : bool
        Whether the peers have done this work before.

    Returns
    -------
    dict
        By peer: see ``summarize``.
    """
    start = time.perf_counter()
    counts = {name: calibrate(peer, kind, target, warm) for name, peer in peers.items()}
    samples: dict[str, list] = {name: [] for name in peers}
    for i in range(rounds):
        if i >= 3 and time.perf_counter() - start > budget:
            break
        order = list(peers.items())
        for name, peer in order[i % len(order):] + order[: i % len(order)]:
            time.sleep(pause)
            before = stolen()
            answer = peer.ask(do=kind, count=counts[name])
            lost = max(stolen() - before, answer.get("waited", 0.0))
            share = lost / max(answer["seconds"], 1e-9)
            samples[name].append((answer["seconds"] / answer["steps"], share))
    return {name: summarize(values) for name, values in samples.items()}


def summarize(values: list[tuple[float, float]], stolen: float = 0.05, outlier: float = 1.5) -> dict:
    """Return median and quartiles of the undisturbed samples.

    Parameters
    ----------
    values : list of (seconds, share)
        The share of a sample's time that the host or another process has taken.
    stolen : float
        Samples with a greater share are dropped (unless all have one).
    outlier : float
        So are samples that took more than this many times the median.

    Returns
    -------
    dict
        ``median``, ``low`` and ``high`` (quartiles), ``kept`` and ``dropped`` (counts).
    """
    calm = [s for s, share in values if share <= stolen] or [s for s, _ in values]
    middle = statistics.median(calm)
    kept = [s for s in calm if s <= outlier * middle]
    low, _, high = statistics.quantiles(kept, n=4, method="inclusive") if len(kept) > 1 else kept * 3
    return {"median": statistics.median(kept), "low": low, "high": high,
            "kept": len(kept), "dropped": len(values) - len(kept)}


# ---- comparisons ----------------------------------------------------------------------------------------
def ratio(peer: dict, ours: dict) -> dict[str, float]:
    """Return peer time / our time, with the least and greatest that the quartiles allow."""
    return {"ratio": peer["median"] / ours["median"], "low": peer["low"] / ours["high"],
            "high": peer["high"] / ours["low"]}


def disagreements(losses: dict[str, list[float]], base: str, limit: float = 1e-2) -> dict[str, str]:
    """Return the peers whose losses are not those of ``base``, with what is wrong.

    Parameters
    ----------
    losses : dict of str to list of float
    base : str
    limit : float
        Relative difference allowed.
    """
    found = {}
    for name, values in losses.items():
        for i, (value, expected) in enumerate(zip(values, losses[base])):
            if not abs(value - expected) <= limit * abs(expected):  # also true for nan
                found[name] = f"loss {i} is {value:.6g}, {base} has {expected:.6g}"
                break
    return found
