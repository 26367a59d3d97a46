"""A GPU beside the CPU, and beside bare PyTorch (cuDNN) and Keras 3 on JAX and PyTorch on the same GPU.

    python benchmarks/compare_devices.py --json devices.json --chart devices.png
    python benchmarks/compare_devices.py --workloads a d --layers "lstm|pool" --json devices.json --resume

Steps per second through ``fit`` on the workloads of ``compare_peers.py`` and on blocks of ResNet-50, and
single layers (``device_layers.py``), held against what a copy and large matrix products reach on the card.
What decides a target is measured first; what does not fit into ``--minutes`` is named, and left to
``--resume``. Without a GPU the CPU is measured alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import device_report
import initial
import report
from compare_peers import OURS, SHARES, agree, machine, save, times
from harness import Peer, PeerError
from workloads import ALL, BLOCKS, WORKLOADS

CPU = f"{OURS}-cpu"
PEERS = (OURS, CPU, "keras-jax", "keras-torch", "torch")
NEEDS = {"keras-jax": ("keras", "jax"), "keras-torch": ("keras", "torch"), "torch": ("torch",)}
AGREEMENT = {"cpu": 1e-2, "gpu": 3e-2}  # of losses: on GPUs JAX and cuDNN use TF32 unless told otherwise
MOST_FAILURES = 5  # of the process that times layers, after which nothing more is expected of it


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "gpu"), help="default: auto")
    parser.add_argument("--peers", nargs="+", default=None, choices=PEERS, metavar="PEER",
                        help=f"among {', '.join(PEERS)} (default: what is installed; on a CPU {OURS} alone)")
    parser.add_argument("--workloads", nargs="*", default=None, choices=sorted(ALL), metavar="NAME",
                        help=f"among a to p, {', '.join(BLOCKS)} (default: all; on a CPU a to p)")
    parser.add_argument("--layers", default="", metavar="PATTERN",
                        help="only layers whose name this regular expression is found in; '-': none")
    parser.add_argument("--kinds", nargs="+", default=list(SHARES), choices=list(SHARES), metavar="KIND",
                        help=f"among {', '.join(SHARES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="samples of each peer, at most")
    parser.add_argument("--seconds", type=float, default=5.0, help="for the samples of one workload, about")
    parser.add_argument("--minutes", type=float, default=9.0, help="nothing is begun after that")
    parser.add_argument("--quick", action="store_true", help="few rounds, tiny layers, to see that all works")
    parser.add_argument("--python", nargs="+", default=[], metavar="PEER=PATH", help="interpreters of peers")
    parser.add_argument("--json", type=Path, default=None, help="file for the figures, written as they come")
    parser.add_argument("--resume", action="store_true", help="leave out what the file holds")
    parser.add_argument("--markdown", action="store_true", help="tables as in README.md at the end")
    parser.add_argument("--chart", type=Path, default=None, help="PNG file (needs matplotlib)")
    options = parser.parse_args(given)
    options.pythons = {}
    for pair in options.python:
        name, _, path = pair.partition("=")
        if name not in PEERS or not path:
            parser.error(f"--python expects PEER=PATH with a PEER among {', '.join(PEERS)}; came {pair!r}")
        options.pythons[name] = path
    if options.rounds < 1:
        parser.error("--rounds expects a number of at least 1")
    if options.resume and options.json is None:
        parser.error("--resume needs the file of the figures: --json FILE")
    if options.quick:
        options.rounds, options.seconds = min(options.rounds, 3), min(options.seconds, 2.0)
    return options


# ---- what there is ----------------------------------------------------------------------------------------
def find_device(options) -> dict:
    """Return what the device is; where ``auto`` finds no GPU that works, say so and return the CPU."""
    for kind in ("gpu", "cpu") if options.device == "auto" else (options.device,):
        layers = layer_peer(options, kind)
        try:
            return {"kind": kind, **layers.ask(do="describe")}
        except PeerError as error:
            if kind == "cpu" or options.device == "gpu":
                raise SystemExit(str(error)) from error
            print(f"no GPU is measured, only the CPU: {error}", flush=True)
        finally:
            layers.close()
    raise AssertionError("a CPU is always found")


def layer_peer(options, kind: str) -> Peer:
    """Start the process that times layers."""
    return Peer(OURS, options.pythons.get(OURS), None, kind, "device_layers.py")


def choose(options, kind: str) -> None:
    """Fill in what was not asked for: peers that are installed, workloads that suit the device."""
    if options.peers is None:
        options.peers = [OURS]
        if kind == "gpu":
            missing = {name: [n for n in needs if importlib.util.find_spec(n) is None]
                       for name, needs in NEEDS.items() if name not in options.pythons}
            options.peers = [name for name in PEERS if not missing.get(name)]
            for name in set(PEERS) - set(options.peers):
                print(f"{name} is left out: {' and '.join(missing[name])} not installed", flush=True)
    if OURS not in options.peers:
        options.peers.insert(0, OURS)  # the others' losses and times are held against it
    if kind == "cpu":
        options.peers = [name for name in options.peers if name != CPU]
    if options.workloads is None:
        options.workloads = list(ALL if kind == "gpu" else WORKLOADS)


# ---- workloads --------------------------------------------------------------------------------------------
class Crew:
    """The peers' processes, which stay for the next workload: starting them takes longer than measuring."""

    def __init__(self, options, kind: str):
        self.options, self.kind = options, kind
        self.peers: dict[str, Peer] = {}

    def start(self, letter: str, folder: str, found: dict) -> dict[str, Peer]:
        """Let all peers train a first batch, at the same time; return those that did."""
        for name in self.options.peers:
            if name not in self.peers:
                self.peers[name] = Peer(name, self.options.pythons.get(name), None, self.kind)
        with ThreadPoolExecutor(len(self.peers)) as pool:
            answers = {name: pool.submit(peer.ask, do="start", workload=letter, folder=folder)
                       for name, peer in self.peers.items()}
        for name, answer in answers.items():
            try:
                answer.result()
                found["versions"][name] = self.peers[name].ask(do="versions")
            except PeerError as error:
                self.end(name, error, found)
        return self.peers

    def end(self, name: str, error: PeerError, found: dict) -> None:
        """Close the process of a peer that failed; ours cannot be done without."""
        found["errors"][name] = str(error)
        self.peers.pop(name).close()
        if name == OURS:
            raise error

    def close(self) -> None:
        """End all processes."""
        for peer in self.peers.values():
            peer.close()
        self.peers.clear()


def measure(letter: str, crew: Crew, options) -> dict:
    """Return the figures of one workload."""
    found: dict = {"errors": {}, "losses": {}, "versions": {}, "cold": {}, "memory": {}, "times": {}}
    with tempfile.TemporaryDirectory() as folder:
        initial.write(ALL[letter], Path(folder))
        try:
            peers = crew.start(letter, folder, found)
            agree(folder, peers, found, AGREEMENT[crew.kind])
            found["times"] = times(peers, options, found)
        except PeerError as error:  # of our own: the next workload may do better
            if error.peer in crew.peers:
                crew.peers.pop(error.peer).close()
            found["errors"][error.peer] = str(error)
    return found


# ---- layers -----------------------------------------------------------------------------------------------
class LayerProcess:
    """The process that times layers, started anew after a fault: a GPU's context does not survive some."""

    def __init__(self, options, kind: str):
        self.options, self.kind = options, kind
        self.peer: Peer | None = None
        self.failures = 0
        self.ceilings: dict = {}

    def ask(self, **request) -> dict:
        """Return the answer, from a new process where there is none."""
        try:
            return (self.peer or self._start()).ask(**request)
        except PeerError:
            self.failures += 1
            self.close()
            raise

    def _start(self) -> Peer:
        self.peer = layer_peer(self.options, self.kind)
        if self.options.quick:
            self.peer.ask(do="shrink")
        if "torch" in self.options.peers:
            self.peer.ask(do="use_torch")
        self.ceilings = self.peer.ask(do="ceilings")
        return self.peer

    def close(self) -> None:
        """End the process."""
        if self.peer is not None:
            self.peer.close()
            self.peer = None


def measure_layers(run: dict, process: LayerProcess, options, deadline: float) -> None:
    """Add the figures of all layers to the record."""
    try:
        names = process.ask(do="groups")
    except PeerError as error:
        run["layers"]["all"] = {"error": str(error)}
        return
    run["ceilings"] = run["ceilings"] or process.ceilings
    run["layers"].pop("all", None)
    wanted = {"rounds": options.rounds, "cpu": CPU in options.peers}
    for name in names:
        if not re.search(options.layers, name) or "rows" in run["layers"].get(name, {}):
            continue
        if time.perf_counter() > deadline or process.failures > MOST_FAILURES:
            run["unfinished"].append(name)
            continue
        try:
            run["layers"][name] = process.ask(do="measure", group=name, **wanted)
        except PeerError as error:
            run["layers"][name] = {"error": str(error)}
        save(options.json, run)
        print(device_report.layer(name, run["layers"][name], run["ceilings"].get(process.kind)), flush=True)


# ---- all of it --------------------------------------------------------------------------------------------
def begin(options, device: dict) -> dict:
    """Return the record of a new run, or of the one that is resumed."""
    if options.resume and options.json.exists():
        run = json.loads(options.json.read_text())
        if run["device"]["text"] != device["text"]:
            raise SystemExit(f"{options.json} holds a run on {run['device']['text']}, not {device['text']}")
        return run | {"unfinished": []}
    return {"machine": machine(), "threads": None, "device": device, "ceilings": {}, "workloads": {},
            "layers": {}, "cold": {}, "sizes": {}, "unfinished": []}


def measure_workloads(run: dict, names: list[str], options, deadline: float) -> None:
    """Add the figures of some workloads to the record."""
    crew = Crew(options, run["device"]["kind"])
    try:
        for letter in names:
            if run["workloads"].get(letter, {}).get("times"):
                continue
            if time.perf_counter() > deadline:
                run["unfinished"].append(letter)
                continue
            print(f"({letter}) {ALL[letter].title}", flush=True)
            run["workloads"][letter] = measure(letter, crew, options)
            save(options.json, run)
            print(report.workload(run["workloads"][letter]), flush=True)
    finally:
        crew.close()


def main(given: list[str] | None = None) -> int:
    """Run the comparison and print it, target by target."""
    options = arguments(given)
    deadline = time.perf_counter() + 60 * options.minutes
    device = find_device(options)
    choose(options, device["kind"])
    run = begin(options, device)
    print(f"{device['text']}; beside {', '.join(options.peers[1:]) or 'nothing'}", flush=True)
    first = [letter for letter in options.workloads if letter in device_report.COURSE]
    measure_workloads(run, first, options, deadline)
    if options.layers != "-":
        process = LayerProcess(options, device["kind"])
        try:
            measure_layers(run, process, options, deadline)
        finally:
            process.close()
    measure_workloads(run, [k for k in options.workloads if k not in first], options, deadline)
    save(options.json, run)
    print(device_report.markdown(run) if options.markdown else device_report.summary(run))
    if options.chart is not None:
        print(device_report.chart(run, options.chart))
    return int(device_report.failed(run))


if __name__ == "__main__":
    sys.exit(main())
