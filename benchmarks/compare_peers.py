"""gpukeras beside Keras 3 on every engine, ``tf_keras`` and bare PyTorch: steps, calls, cold start, memory.

    python benchmarks/compare_peers.py --peers gpukeras keras-jax --workloads a d --threads 1

A peer with an environment of its own: ``--python keras-torch=/path/to/python``.
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

import initial
import report
from harness import Peer, PeerError, disagreements, interleave
from workloads import WORKLOADS

OURS = "gpukeras"
ENGINES = ("keras-jax", "keras-tensorflow", "keras-torch", "tf_keras")
PEERS = (OURS, *ENGINES, "torch")
SHARES = {"fit": 0.4, "train_on_batch": 0.15, "predict_one": 0.1, "predict": 0.15, "evaluate": 0.2}


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=PEERS, metavar="PEER",
                        help=f"among {', '.join(PEERS)} (default: all)")
    parser.add_argument("--workloads", nargs="+", default=sorted(WORKLOADS), choices=sorted(WORKLOADS),
                        metavar="LETTER", help="a to j (default: all)")
    parser.add_argument("--kinds", nargs="+", default=list(SHARES), choices=list(SHARES), metavar="KIND",
                        help=f"among {', '.join(SHARES)} (default: all)")
    parser.add_argument("--threads", type=int, default=None, help="of every peer (default: as it likes)")
    parser.add_argument("--rounds", type=int, default=9, help="samples of each peer, at most")
    parser.add_argument("--seconds", type=float, default=60.0, help="for the samples of one workload, about")
    parser.add_argument("--quick", action="store_true", help="three short rounds, to see that all works")
    parser.add_argument("--python", nargs="+", default=[], metavar="PEER=PATH", help="interpreters of peers")
    parser.add_argument("--json", type=Path, default=None, help="file for the figures, written as they come")
    options = parser.parse_args(given)
    options.pythons = {}
    for pair in options.python:
        name, _, path = pair.partition("=")
        if name not in PEERS or not path:
            parser.error(f"--python expects PEER=PATH with a PEER among {', '.join(PEERS)}; came {pair!r}")
        options.pythons[name] = path
    if options.quick:
        options.rounds, options.seconds = min(options.rounds, 3), min(options.seconds, 8.0)
    if OURS not in options.peers:
        options.peers.insert(0, OURS)  # the others' losses and times are held against it
    return options


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
            found["errors"][name] = str(error)
            peer.close()
    return peers


def agree(folder: str, peers: dict[str, Peer], found: dict) -> None:
    """Train the same batches everywhere, compare the losses, and look at the memory after an epoch of fit."""
    for name, peer in list(peers.items()):
        try:
            found["losses"][name] = peer.ask(do="check", folder=folder)["losses"]
            peer.ask(do="fit", count=1)
            found["memory"][name] = peer.ask(do="memory")["peak"]
        except PeerError as error:
            drop(name, str(error), peers, found)
    if OURS not in found["losses"]:
        raise PeerError(found["errors"][OURS])
    for name, reason in disagreements(found["losses"], OURS).items():
        drop(name, f"{name}: other work than ours: {reason}", peers, found)


def drop(name: str, reason: str, peers: dict[str, Peer], found: dict) -> None:
    """Go on without a peer, and say why."""
    found["errors"][name] = reason
    peers.pop(name).close()


def times(peers: dict[str, Peer], options, found: dict) -> dict[str, dict]:
    """Return the samples of every kind of work."""
    shares = sum(SHARES[kind] for kind in options.kinds)
    result = {}
    for kind in options.kinds:
        budget = options.seconds * SHARES[kind] / shares
        target = min(0.4, budget / (options.rounds * len(peers)))
        result[kind] = interleave(peers, kind, options.rounds, target, budget)
    return result


def machine() -> dict:
    """Return what the figures depend on."""
    model = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((li.partition(":")[2].strip() for li in lines if li.startswith("model name")), model)
    except OSError:
        pass  # the name given by the platform stays
    return {"processor": model, "cores": os.cpu_count(), "system": platform.system(),
            "date": time.strftime("%Y-%m-%d")}


def save(path: Path | None, run: dict) -> None:
    """Write the figures so far; a broken run leaves a whole file."""
    if path is None:
        return
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(run, indent=1))
    part.replace(path)


def main() -> int:
    """Run the comparison, print it workload by workload; status 1 where a peer failed or disagreed."""
    options = arguments()
    run = {"machine": machine(), "threads": options.threads, "workloads": {}}
    for letter in options.workloads:
        print(f"({letter}) {WORKLOADS[letter].title}", flush=True)
        run["workloads"][letter] = measure(letter, options)
        save(options.json, run)
        print(report.workload(letter, run["workloads"][letter]), flush=True)
    print(report.summary(run))
    return int(any(w["errors"] for w in run["workloads"].values()))


if __name__ == "__main__":
    sys.exit(main())
