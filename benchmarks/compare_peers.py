"""gpukeras beside Keras 3 on every engine, ``tf_keras`` and bare PyTorch: steps, calls, cold start, memory.

    python benchmarks/compare_peers.py --setup environments --threads 1 --json one.json --chart one.png

``--setup`` makes a virtual environment for each peer; ``--python keras-torch=/path/to/python`` names one that
exists. Without either a peer runs on this interpreter. Peers that fail, or whose losses are not ours, are
named and left out; then the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import environments
import initial
import report
from harness import Peer, PeerError, disagreements, interleave, summarize
from workloads import WORKLOADS

OURS = "gpukeras"
PEERS = (OURS, "keras-jax", "keras-tensorflow", "keras-torch", "tf_keras", "torch")
SHARES = {"fit": 0.4, "train_on_batch": 0.15, "predict_one": 0.1, "predict": 0.15, "evaluate": 0.2}  # of time
SAMPLE = 0.4  # seconds of one sample at most, where one call is shorter


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=PEERS, metavar="PEER",
                        help=f"among {', '.join(PEERS)} (default: all)")
    parser.add_argument("--workloads", nargs="+", default=sorted(WORKLOADS), choices=sorted(WORKLOADS),
                        metavar="LETTER", help="among a to p (default: all)")
    parser.add_argument("--kinds", nargs="+", default=list(SHARES), choices=list(SHARES), metavar="KIND",
                        help=f"among {', '.join(SHARES)} (default: all)")
    parser.add_argument("--threads", type=int, default=None, help="of every peer (default: as it likes)")
    parser.add_argument("--rounds", type=int, default=9, help="samples of each peer, at most")
    parser.add_argument("--seconds", type=float, default=30.0, help="for the samples of one workload, about")
    parser.add_argument("--cold", type=int, default=3, help="fresh processes per peer for the cold start")
    parser.add_argument("--quick", action="store_true", help="three short rounds, to see that all works")
    parser.add_argument("--python", nargs="+", default=[], metavar="PEER=PATH", help="interpreters of peers")
    parser.add_argument("--setup", type=Path, default=None, metavar="FOLDER",
                        help="make virtual environments for the peers there, or use those made before")
    parser.add_argument("--sizes", action="store_true", help="installed size of what each peer needs")
    parser.add_argument("--json", type=Path, default=None, help="file for the figures, written as they come")
    parser.add_argument("--resume", action="store_true", help="leave out the workloads that the file holds")
    parser.add_argument("--markdown", action="store_true", help="tables as in README.md at the end")
    parser.add_argument("--chart", type=Path, default=None, help="PNG file (needs matplotlib)")
    options = parser.parse_args(given)
    options.pythons = {}
    for pair in options.python:
        name, _, path = pair.partition("=")
        if name not in PEERS or not path:
            parser.error(f"--python expects PEER=PATH with a PEER among {', '.join(PEERS)}; came {pair!r}")
        options.pythons[name] = path
    if options.rounds < 1 or options.threads is not None and options.threads < 1:
        parser.error("--rounds and --threads expect a number of at least 1")
    if options.resume and options.json is None:
        parser.error("--resume needs the file of the figures: --json FILE")
    if options.quick:
        options.rounds, options.seconds = min(options.rounds, 3), min(options.seconds, 8.0)
        options.cold = min(options.cold, 1)
    if OURS not in options.peers:
        options.peers.insert(0, OURS)  # the others' losses and times are held against it
    return options


# ---- one workload ---------------------------------------------------------------------------------------
def measure(letter: str, options: argparse.Namespace) -> dict:
    """Return the figures of one workload."""
    found: dict = {"errors": {}, "losses": {}, "versions": {}, "cold": {}, "memory": {}}
    with tempfile.TemporaryDirectory() as folder:
        initial.write(WORKLOADS[letter], Path(folder))
        peers = start(letter, folder, options, found)
        try:
            agree(folder, peers, found)
            found["times"] = times(peers, options, found)
        finally:
            for peer in peers.values():
                peer.close()
    return found


def start(letter: str, folder: str, options, found: dict) -> dict[str, Peer]:
    """Start the peers one after the other, each to its first trained step."""
    peers = {}
    for name in options.peers:
        peer = Peer(name, options.pythons.get(name), options.threads)
        try:
            peer.ask(do="start", workload=letter, folder=folder)
            found["cold"][name] = time.perf_counter() - peer.born
            found["versions"][name] = peer.ask(do="versions")
            peers[name] = peer
        except PeerError as error:
            drop(error, {name: peer}, found)
    return peers


def agree(folder: str, peers: dict[str, Peer], found: dict, limit: float = 1e-2) -> None:
    """Train the same batches everywhere, compare the losses, and look at the memory after an epoch of fit."""
    for name, peer in list(peers.items()):
        try:
            found["losses"][name] = peer.ask(do="check", folder=folder)["losses"]
            peer.ask(do="fit", count=1)
            found["memory"][name] = peer.ask(do="memory")["peak"]
        except PeerError as error:
            drop(error, peers, found)
    for name, reason in disagreements(found["losses"], OURS, limit).items():
        drop(PeerError(name, f"other work than ours: {reason}"), peers, found)


def drop(error: PeerError, peers: dict[str, Peer], found: dict) -> None:
    """Go on without the peer that failed; not without ours."""
    if error.peer == OURS:
        raise error
    found["errors"][error.peer] = str(error)
    peers.pop(error.peer).close()


def times(peers: dict[str, Peer], options, found: dict) -> dict[str, dict]:
    """Return the samples of every kind of work."""
    shares = sum(SHARES[kind] for kind in options.kinds)
    result: dict = {}
    waiting = list(options.kinds)
    while waiting:
        kind = waiting[0]
        budget = options.seconds * SHARES[kind] / shares
        target = min(SAMPLE, budget / (options.rounds * len(peers)))
        try:
            result[kind] = interleave(peers, kind, options.rounds, target, budget, warm=kind == "fit")
            waiting.pop(0)
        except PeerError as error:
            drop(error, peers, found)  # and once more without it
    return result


# ---- what is measured once ------------------------------------------------------------------------------
def cold_starts(options, letter: str = "a") -> dict[str, dict]:
    """Return the time from a fresh process to its first trained step, by peer."""
    samples: dict[str, list] = {name: [] for name in options.peers}
    with tempfile.TemporaryDirectory() as folder:
        initial.write(WORKLOADS[letter], Path(folder))
        for _ in range(options.cold):
            found: dict = {"errors": {}, "versions": {}, "cold": {}}
            for peer in start(letter, folder, options, found).values():
                peer.close()
            for name, seconds in found["cold"].items():
                samples[name].append((seconds, 0.0))
    return {name: summarize(values) for name, values in samples.items() if values}


def machine() -> dict:
    """Return what the figures depend on."""
    model = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # no Linux: the platform's name stays
        lines = []
    model = next((li.partition(":")[2].strip() for li in lines if li.startswith("model name")), model)
    return {"processor": model, "cores": os.cpu_count(), "system": platform.system(),
            "date": time.strftime("%Y-%m-%d")}


def begin(options) -> dict:
    """Return the record of a new run, or of the one that is resumed."""
    if options.resume and options.json.exists():
        run = json.loads(options.json.read_text())
        if run["threads"] != options.threads:
            raise SystemExit(f"{options.json} holds a run with threads={run['threads']}")
        return run
    return {"machine": machine(), "threads": options.threads, "cold": {}, "sizes": {}, "workloads": {}}


def save(path: Path | None, run: dict) -> None:
    """Write the figures so far; a broken run leaves a whole file."""
    if path is None:
        return
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(run, indent=1) + "\n")
    part.replace(path)


def main() -> int:
    """Run the comparison and print it, workload by workload."""
    options = arguments()
    if options.setup is not None:
        options.pythons = environments.create(options.setup, options.peers) | options.pythons
    run = begin(options)
    if options.sizes:
        run["sizes"] = {n: environments.size(n, options.pythons.get(n)) for n in options.peers}
    if options.cold and not run["cold"]:
        run["cold"] = cold_starts(options)
    for letter in options.workloads:
        if letter in run["workloads"]:
            continue
        print(f"({letter}) {WORKLOADS[letter].title}", flush=True)
        run["workloads"][letter] = measure(letter, options)
        save(options.json, run)
        print(report.workload(run["workloads"][letter]), flush=True)
    save(options.json, run)
    print(report.markdown([run]) if options.markdown else report.summary(run))
    if options.chart is not None:
        print(report.chart([run], options.chart))
    return int(any(found["errors"] for found in run["workloads"].values()))


if __name__ == "__main__":
    sys.exit(main())
