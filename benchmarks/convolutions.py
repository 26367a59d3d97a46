"""Every convolution shape of VGG16, ResNet50 and the course models: gpukeras' three passes beside PyTorch's.

gpukeras is timed through its backend methods (``conv_forward`` with bias and ReLU as in a model,
``conv_backward_data``, ``conv_backward_kernel``): no tape, no layers. PyTorch is timed through
``torch.nn.functional`` (convolution with bias, then ReLU in place) and ``aten::convolution_backward`` with
one gradient asked for; in both of its layouts, the quicker one counts, weights in that layout beforehand.
All run in this process, in turn, a few rounds each; the least time of each counts. Where torch cannot be
imported only gpukeras is timed.

    python benchmarks/convolutions.py --threads 1 --shapes "resnet|course" --json convolutions.json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple


class Shape(NamedTuple):
    """One convolution; sizes of one axis stand for all ``rank`` axes."""

    name: str
    batch: int
    size: int
    channels: int
    filters: int
    window: int
    stride: int = 1
    pad: tuple[int, int] = (0, 0)  # in front, behind
    rank: int = 2
    groups: int = 1
    dilation: int = 1

    @property
    def out(self) -> int:
        reach = (self.window - 1) * self.dilation + 1
        return (self.size + sum(self.pad) - reach) // self.stride + 1

    @property
    def flops(self) -> float:
        taps = self.window**self.rank * self.channels // self.groups
        return 2.0 * self.batch * self.out**self.rank * taps * self.filters


def shapes(batch: int) -> list[Shape]:
    """Return all shapes; ``batch`` is that of the two large models."""
    same = (1, 1)
    found = [
        Shape("course-mnist-1", 128, 28, 1, 32, 3),
        Shape("course-mnist-2", 128, 26, 32, 64, 3),
        Shape("course-cifar-1", 32, 32, 3, 32, 3, 1, same),
        Shape("course-cifar-2", 32, 32, 32, 32, 3),
        Shape("course-cifar-3", 32, 15, 32, 64, 3, 1, same),
        Shape("course-cifar-4", 32, 15, 64, 64, 3),
        Shape("course-residual", 64, 32, 32, 32, 3, 1, same),
        Shape("course-residual-down", 64, 32, 32, 64, 3, 2, (0, 1)),
        Shape("course-text-5", 32, 400, 128, 128, 5, rank=1),
        Shape("course-text-3", 32, 250, 50, 250, 3, rank=1),
        Shape("course-text-7", 128, 500, 128, 32, 7, rank=1),
        Shape("course-text-causal", 32, 128, 64, 64, 2, 1, (4, 0), rank=1, dilation=4),
        Shape("course-video", 4, 16, 8, 16, 3, 1, same, rank=3),
        Shape("course-lenet", 32, 28, 1, 6, 5, 1, (2, 2)),
        Shape("course-5x5", 32, 14, 32, 64, 5, 1, (2, 2)),
        Shape("course-decoder-out", 64, 28, 32, 1, 5, 1, (2, 2)),
        Shape("course-colours-out", 64, 32, 64, 3, 3, 1, same),
        Shape("course-frames-out", 4, 16, 16, 1, 3, 1, same, rank=3),
        Shape("course-grouped", 32, 14, 128, 128, 3, 1, same, groups=32),
    ]
    for i, (size, channels, filters) in enumerate([
        (224, 3, 64), (224, 64, 64), (112, 64, 128), (112, 128, 128), (56, 128, 256), (56, 256, 256),
        (28, 256, 512), (28, 512, 512), (14, 512, 512),
    ], 1):
        found.append(Shape(f"vgg16-{i}", batch, size, channels, filters, 3, 1, same))
    found.append(Shape("resnet50-stem", batch, 224, 3, 64, 7, 2, (3, 3)))
    size, before = 56, 64
    for stage, width in enumerate((64, 128, 256, 512), 2):
        name = f"resnet50-{stage}"
        if stage > 2:
            # Keras' ResNet50 halves in the first 1x1, later variants (and PyTorch) in the 3x3.
            found.append(Shape(f"{name}-reduce-down", batch, 2 * size, before, width, 1, 2))
            found.append(Shape(f"{name}-3x3-down", batch, 2 * size, width, width, 3, 2, same))
            found.append(Shape(f"{name}-reduce-late", batch, 2 * size, before, width, 1))
        else:
            found.append(Shape(f"{name}-reduce-first", batch, size, before, width, 1))
        found.append(Shape(f"{name}-shortcut", batch, size * (1 if stage == 2 else 2), before, 4 * width, 1,
                           1 if stage == 2 else 2))
        found.append(Shape(f"{name}-3x3", batch, size, width, width, 3, 1, same))
        found.append(Shape(f"{name}-expand", batch, size, width, 4 * width, 1))
        found.append(Shape(f"{name}-reduce", batch, size, 4 * width, width, 1))
        size, before = size // 2, 4 * width
    return found


# ---- the two sides ----------------------------------------------------------------------------------------
def ours(shape: Shape, x, w, b, dy) -> tuple[dict, dict]:
    """Return functions that run each pass where the arrays lie, and on a CPU the name of each's algorithm."""
    from gpukeras import backends
    from gpukeras.backends import window_shapes

    backend, every = backends.backend_of(x), shape.rank
    windows = window_shapes.Windows(
        (shape.size,) * every, (shape.window,) * every, (shape.out,) * every, (shape.stride,) * every,
        (shape.pad[0],) * every, (shape.dilation,) * every,
    )
    calls = {
        "forward": lambda: backend.conv_forward(x, w, windows, shape.groups, b, "relu"),
        "data": lambda: backend.conv_backward_data(dy, w, windows, shape.groups),
        "kernel": lambda: backend.conv_backward_kernel(x, dy, windows, shape.groups),
    }
    ways = {
        step: backend._conv_way(step, x.shape, w.shape, windows, shape.groups, x.dtype)
        for step in calls if backend is backends.CPU
    }
    return calls, ways


def shared(torch, array):
    """Return PyTorch's view of an array of ours; bfloat16 goes by its bits, as not every library says so."""
    if array.dtype.name == "bfloat16":
        return torch.from_dlpack(array.view("int16")).view(torch.bfloat16)
    return torch.from_dlpack(array)


def torchs(shape: Shape, x, w, b, dy) -> dict[str, dict]:
    """Return functions that run each pass, for each layout; empty without torch."""
    try:
        import torch
        import torch.nn.functional as F
    except ImportError:
        return {}
    every = shape.rank
    convolve = (F.conv1d, F.conv2d, F.conv3d)[every - 1]
    layouts = {"nchw": torch.contiguous_format}
    if every > 1:
        layouts["nhwc"] = torch.channels_last if every == 2 else torch.channels_last_3d
    low, high = shape.pad
    found = {}
    for name, layout in layouts.items():
        xt, dyt = (
            shared(torch, a).permute(0, -1, *range(1, every + 1)).contiguous(memory_format=layout)
            for a in (x, dy)
        )
        wt = shared(torch, w).permute(-1, -2, *range(every)).contiguous(memory_format=layout)
        bt = shared(torch, b)
        if low != high:  # PyTorch pads evenly: the rest is padded beforehand, untimed
            xt = F.pad(xt, (low, high) * every).contiguous(memory_format=layout)
        even = low if low == high else 0

        def forward(xt=xt, wt=wt, bt=bt, even=even):
            with torch.no_grad():
                return torch.relu_(convolve(xt, wt, bt, shape.stride, even, shape.dilation, shape.groups))

        def backward(mask, xt=xt, wt=wt, dyt=dyt, even=even):
            with torch.no_grad():
                return torch.ops.aten.convolution_backward(
                    dyt, xt, wt, None, [shape.stride] * every, [even] * every, [shape.dilation] * every,
                    False, [0] * every, shape.groups, mask,
                )

        found[name] = {
            "forward": forward,
            "data": lambda run=backward: run([True, False, False]),
            "kernel": lambda run=backward: run([False, True, False]),
        }
    return found


# ---- timing ------------------------------------------------------------------------------------------------
def timed(calls: dict, rounds: int, least: float = 0.01) -> dict:
    """Return the least seconds of each call: asked in turn, each time for ``least`` seconds or more."""
    repeats, best = {}, {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        spent = time.perf_counter() - start
        repeats[name], best[name] = max(1, math.ceil(least / max(spent, 1e-9))), spent
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            best[name] = min(best[name], (time.perf_counter() - start) / repeats[name])
    return best


def peak(rounds: int) -> float:
    """Return operations per second of a large float32 matrix product."""
    import numpy as np

    n = 1536
    a = np.ones((n, n), np.float32)
    out = np.empty_like(a)
    return 2 * n**3 / timed({"gemm": lambda: np.matmul(a, a, out=out)}, rounds)["gemm"]


def measure(shape: Shape, rounds: int, passes, peers: bool) -> list[dict]:
    """Return one row for each pass."""
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.standard_normal((shape.batch, *(shape.size,) * shape.rank, shape.channels), np.float32)
    w = rng.standard_normal(
        (*(shape.window,) * shape.rank, shape.channels // shape.groups, shape.filters), np.float32
    )
    b = rng.standard_normal(shape.filters, np.float32)
    dy = rng.standard_normal((shape.batch, *(shape.out,) * shape.rank, shape.filters), np.float32)
    mine, ways = ours(shape, x, w, b, dy)
    other = torchs(shape, x, w, b, dy) if peers else {}
    rows = []
    for step in passes:
        calls = {"ours": mine[step], **{name: found[step] for name, found in other.items()}}
        seconds = timed(calls, rounds)
        row = dict(shape=shape.name, step=step, way=ways[step], flops=shape.flops, ours=seconds["ours"])
        if other:
            row["layout"] = min(other, key=seconds.get)
            row["torch"] = seconds[row["layout"]]
            row["ratio"] = row["torch"] / row["ours"]
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, help="threads of both libraries; default: theirs")
    parser.add_argument("--shapes", default="", help="only shapes whose name this pattern is found in")
    parser.add_argument("--passes", nargs="+", default=["forward", "data", "kernel"])
    parser.add_argument("--batch", type=int, default=8, help="of VGG16 and ResNet50")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", action="store_true", help="do not time PyTorch")
    parser.add_argument("--json", help="file for the results")
    settings = parser.parse_args()
    if settings.threads:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "GPUKERAS_NUM_THREADS"):
            os.environ[name] = str(settings.threads)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    top = peak(settings.rounds)
    print(f"float32 matrix product: {top / 1e9:.0f} GFLOP/s")
    print(f"{'shape':26} {'pass':8} {'algorithm':10} {'ms':>8} {'GFLOP/s':>8} {'of peak':>8} "
          f"{'torch ms':>9} {'layout':6} {'ratio':>6}")
    rows = []
    for shape in shapes(settings.batch):
        if not re.search(settings.shapes, shape.name):
            continue
        for row in measure(shape, settings.rounds, settings.passes, not settings.alone):
            row["gflops"] = row["flops"] / row["ours"] / 1e9
            row["share"] = row["gflops"] * 1e9 / top
            rows.append(row)
            peer = ""
            if "torch" in row:
                peer = f"{row['torch'] * 1e3:9.3f} {row['layout']:6} {row['ratio']:6.2f}"
            print(f"{row['shape']:26} {row['step']:8} {row['way']:10} {row['ours'] * 1e3:8.3f} "
                  f"{row['gflops']:8.1f} {row['share']:8.2f} {peer}", flush=True)
    if settings.json:
        Path(settings.json).write_text(json.dumps(dict(peak=top, rows=rows), indent=1) + "\n")


if __name__ == "__main__":
    main()
