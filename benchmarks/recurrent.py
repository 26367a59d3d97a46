"""LSTM, GRU and simple RNN: gpukeras beside PyTorch, forward and with all gradients.

gpukeras is timed through the ops that its layers call, with a tape and ``tape.gradient`` for the backward
pass; PyTorch through ``torch.nn``, time-major, which is its quicker layout. The gradient of the last output
is propagated to inputs and weights. Both run in this process, in turn, a few rounds each; medians, and the
rate of the matrix products in them. Without torch only gpukeras is timed.

    python benchmarks/recurrent.py --threads 1 --only "lstm" --json recurrent.json
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
import time
from pathlib import Path

ROUNDS, BLOCK = 7, 0.05  # samples of each, seconds of a sample
SIZES = [  # batch, steps, features, units
    (32, 80, 128, 128), (128, 80, 128, 128), (32, 100, 32, 32), (1, 80, 128, 128), (64, 50, 256, 512),
]
GATES = {"lstm": 4, "gru": 3, "simple_rnn": 1}


def ours(kind: str, size, rng, masked: bool = False, dropped: bool = False) -> dict:
    """Return gpukeras' calls: forward, forward and backward.

    With ``masked`` texts are shorter the later they come in the batch, with ``dropped`` half of the recurrent
    connections are left out.
    """
    from gpukeras import autograd, ops
    from gpukeras.tensor import Tensor

    batch, steps, features, units = size
    width = GATES[kind] * units

    def draw(*shape):
        return Tensor(0.1 * rng.standard_normal(shape, "float32"))

    x = Tensor(rng.standard_normal((batch, steps, features), "float32"))
    states = [None] * (2 if kind == "lstm" else 1)
    weights = [draw(features, width), draw(units, width), draw(*(2, width) if kind == "gru" else (width,))]
    dy = draw(batch, units)
    mask = ops.arange(steps) < ops.reshape(steps - ops.arange(batch) % steps, (batch, 1)) if masked else None
    drop = ops.cast(draw(batch, units) > 0, x.dtype) * 2 if dropped else None
    run = getattr(ops, kind)

    def forward():
        return run(x, *states, *weights, mask, None, drop, return_sequences=False)[0]

    def both():
        with autograd.GradientTape() as tape:
            tape.watch([x, *weights])
            y = forward()
        tape.gradient(y, [x, *weights], dy)

    return {"forward": forward, "both": both}


def torchs(kind: str, size, rng) -> dict:
    """Return PyTorch's calls for the same sizes."""
    import torch

    batch, steps, features, units = size
    x = torch.from_dlpack(rng.standard_normal((steps, batch, features), "float32")).requires_grad_()
    dy = torch.from_dlpack(rng.standard_normal((batch, units), "float32"))
    layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "simple_rnn": torch.nn.RNN}[kind](features, units)
    layer = layer.to(x.device)

    def forward():
        with torch.no_grad():
            return layer(x)[0][-1]

    def both():
        layer.zero_grad(set_to_none=True)
        x.grad = None
        layer(x)[0][-1].backward(dy)

    return {"forward": forward, "both": both}


def time_in_turn(calls: dict) -> dict[str, float]:
    """Return the median seconds of each call; calls take turns so that a slow moment hits all of them."""
    repeats, samples = {}, {name: [] for name in calls}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        repeats[name] = max(1, round(BLOCK / (time.perf_counter() - start)))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            samples[name].append((time.perf_counter() - start) / repeats[name])
    return {name: statistics.median(values) for name, values in samples.items()}


def measure(name: str, kind: str, size, with_torch: bool) -> list[dict]:
    """Time one layer, print its lines and return them."""
    import numpy as np

    calls = {f"gpukeras {k}": f for k, f in ours(kind, size, np.random.default_rng(0)).items()}
    if with_torch:
        calls |= {f"torch {k}": f for k, f in torchs(kind, size, np.random.default_rng(0)).items()}
    found = time_in_turn(calls)
    batch, steps, features, units = size
    work = 2 * batch * steps * GATES[kind] * units * (features + units)
    rows = []
    for part, passes in (("forward", 1), ("both", 3)):
        seconds, other = found[f"gpukeras {part}"], found.get(f"torch {part}")
        rate = passes * work / seconds / 1e9
        beside = f"{other * 1e3:9.3f}{other / seconds:7.2f}" if other else ""
        print(f"{name:<40}{part:<9}{seconds * 1e3:9.3f}{rate:9.1f}{beside}", flush=True)
        rows.append({"name": name, "pass": part, "gpukeras": seconds, "torch": other, "gflops": rate})
    return rows


def main() -> None:
    """Print a line for each layer and size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="regular expression for names like 'lstm 32x80x128x128'")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # before NumPy and PyTorch are loaded
    try:
        import gpukeras  # noqa: F401
    except ImportError:
        sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    try:
        import torch
    except ImportError:
        torch = None
    else:
        torch.set_num_threads(arguments.threads)
    rows = []
    title = "layer, batch x steps x features x units"
    print(f"{title:<40}{'pass':<9}{'ms':>9}{'GFLOP/s':>9}{'torch':>9}{'ratio':>7}")
    for kind in GATES:
        for size in SIZES:
            name = f"{kind} {'x'.join(map(str, size))}"
            if re.search(arguments.only, name):
                rows += measure(name, kind, size, torch is not None)
    if arguments.json:
        arguments.json.write_text(json.dumps({"threads": arguments.threads, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
