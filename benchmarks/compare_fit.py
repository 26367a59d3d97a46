"""Steps of ``fit`` and small ``predict`` calls, gpukeras beside Keras 3, interleaved in one run.

    python benchmarks/compare_fit.py --peers gpukeras keras-jax --workloads a d --threads 1

A peer with an environment of its own: ``--python keras-torch=/path/to/python``.
"""

from __future__ import annotations

import argparse
import json

from harness import Peer, interleave, table
from workloads import WORKLOADS


def main() -> None:
    """Run the comparison and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", nargs="+", default=["gpukeras", "keras-jax"])
    parser.add_argument("--workloads", nargs="+", default=["a", "d"], choices=sorted(WORKLOADS))
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=1, help="epochs in one sample")
    parser.add_argument("--python", nargs="*", default=[], metavar="PEER=PATH")
    parser.add_argument("--json", default=None, help="file for the figures")
    options = parser.parse_args()
    pythons = dict(p.split("=", 1) for p in options.python)
    results = {}
    for workload in options.workloads:
        peers = {n: Peer(n, pythons.get(n), options.threads) for n in options.peers}
        for peer in peers.values():
            peer.ask(do="setup", workload=workload)
        steps = interleave(peers, options.rounds, {"do": "fit", "epochs": options.epochs})
        one = interleave(peers, options.rounds, {"do": "predict", "calls": 20, "samples": 1})
        for peer in peers.values():
            peer.close()
        results[workload] = {"fit": steps, "predict one sample": one}
        print(f"({workload}) {WORKLOADS[workload].__doc__.splitlines()[0]}")
        for kind, found in results[workload].items():
            print(f" {kind}\n{table(found, options.peers[0])}", flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"threads": options.threads, "results": results}, file, indent=1)


if __name__ == "__main__":
    main()
