"""What is not a matrix product: gpukeras' passes beside PyTorch's, and beside what memory allows.

Pooling, batch, layer and group normalisation, depthwise convolution, dropout, ReLU, softmax, on activations
of course models. gpukeras is timed through its backend methods, PyTorch through the functions that its layers
call, in both of its layouts where they matter: the quicker one counts. All run in this process, in turn, a
few rounds each; medians. "copy" is the time of copying the input into an array that is there: a pass over
memory that nothing can avoid. Without torch only gpukeras is timed.

    python benchmarks/elementwise.py --threads 1 --only "max_pool|batch_norm" --json elementwise.json
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

ROUNDS, BLOCK = 7, 0.02  # samples of each, seconds of a sample


def cases(rng, backend) -> dict:
    """Return {name: (function that makes (ours, input array), function that makes PyTorch's calls)}."""
    found: dict = {}
    for shape in [(128, 24, 24, 64), (32, 30, 30, 32), (8, 112, 112, 64)]:
        found |= pooling(rng, backend, shape, 2, 2)
    found |= pooling(rng, backend, (16, 56, 56, 64), 3, 2)
    for shape in [(64, 32, 32, 64), (64, 32, 32, 16), (128, 512)]:
        found |= batch_norm(rng, backend, shape)
    found |= layer_norm(rng, backend, (32 * 80, 128))
    found |= layer_norm(rng, backend, (32 * 128, 512))
    for shape, groups in [((64, 32, 32, 32), 8), ((8, 56, 56, 256), 32)]:
        found |= group_norm(rng, backend, shape, groups)
    for shape, stride, many in [
        ((8, 56, 56, 64), 1, 1), ((8, 112, 112, 32), 1, 1), ((8, 14, 14, 512), 1, 1),
        ((8, 56, 56, 128), 2, 1), ((32, 28, 28, 32), 1, 2),
    ]:
        found |= depthwise(rng, backend, shape, stride, many)
    for shape in [(32, 128), (128, 9216), (64, 32, 32, 64)]:
        found |= elementwise(rng, backend, shape)
    found |= softmax(rng, backend, (128, 10))
    found |= softmax(rng, backend, (2560, 1000))
    return found


def _floats(rng, *shape):
    return rng.standard_normal(shape, "float32")


def _windows(shape, size: int, stride: int, padding: str):
    from gpukeras.backends import window_shapes

    return window_shapes.windows(shape[1:-1], (size,) * 2, (stride,) * 2, padding, (1, 1), "benchmark")


# ---- gpukeras and PyTorch, family by family ----------------------------------------------------------------
def pooling(rng, backend, shape, size, stride) -> dict:
    windows = _windows(shape, size, stride, "valid")
    x = _floats(rng, *shape)
    y, where = backend.max_pool_training(x, windows)
    dy = _floats(rng, *y.shape)

    def torchs(torch, F):
        calls: dict = {name: [] for name in names}
        aten, pair, none = torch.ops.aten, [size] * 2, [0, 0]
        for layout in (torch.contiguous_format, torch.channels_last):
            a, d = (
                torch.from_dlpack(v).permute(0, 3, 1, 2).contiguous(memory_format=layout) for v in (x, dy))
            places = F.max_pool2d(a, size, stride, return_indices=True)[1]
            for name, call in zip(names, [
                lambda a=a: F.max_pool2d(a, size, stride),
                lambda a=a: F.max_pool2d(a, size, stride, return_indices=True),
                lambda a=a, d=d, i=places: aten.max_pool2d_with_indices_backward(
                    d, a, pair, [stride] * 2, none, [1, 1], False, i),
                lambda a=a: F.avg_pool2d(a, size, stride),
                lambda a=a, d=d: aten.avg_pool2d_backward(d, a, pair, [stride] * 2, none, False, True, None),
            ]):
                calls[name].append(call)
        return calls

    text = f"{size}/{stride} {shape}"
    names = [f"max_pool predict {text}", f"max_pool forward {text}", f"max_pool backward {text}",
             f"average_pool forward {text}", f"average_pool backward {text}"]
    ours = dict(zip(names, [
        lambda: backend.max_pool_forward(x, windows), lambda: backend.max_pool_training(x, windows),
        lambda: backend.max_pool_backward(dy, where, windows),
        lambda: backend.average_pool_forward(x, windows), lambda: backend.average_pool_backward(dy, windows),
    ]))
    return _together(names, ours, torchs, x)


def batch_norm(rng, backend, shape) -> dict:
    x, dy, c = _floats(rng, *shape), _floats(rng, *shape), shape[-1]
    gamma, beta, scale, offset = (_floats(rng, c) for _ in range(4))
    rows, drows = x.reshape(-1, c), dy.reshape(-1, c)
    cache = backend.batch_norm_forward(rows, gamma, beta, 1e-3)[-1]

    def torchs(torch, F):
        calls: dict = {name: [] for name in names}
        vectors = [torch.from_dlpack(v) for v in (gamma, beta, scale, abs(offset))]
        native, back = torch.ops.aten.native_batch_norm, torch.ops.aten.native_batch_norm_backward
        for layout in (torch.contiguous_format, torch.channels_last)[: len(shape) // 2]:
            a, d = (torch.from_dlpack(v) for v in (x, dy))
            if len(shape) == 4:
                a, d = (v.permute(0, 3, 1, 2).contiguous(memory_format=layout) for v in (a, d))
            found = native(a, *vectors[:2], None, None, True, 0.1, 1e-3)
            for name, call in zip(names, [
                lambda a=a: native(a, *vectors, False, 0.1, 1e-3),
                lambda a=a: native(a, *vectors[:2], None, None, True, 0.1, 1e-3),
                lambda a=a, d=d, f=found: back(
                    d, a, vectors[0], None, None, f[1], f[2], True, 1e-3, [True] * 3),
            ]):
                calls[name].append(call)
        return calls

    names = [f"batch_norm predict {shape}", f"batch_norm forward {shape}", f"batch_norm backward {shape}"]
    ours = dict(zip(names, [
        lambda: backend.affine_columns(rows, scale, offset),
        lambda: backend.batch_norm_forward(rows, gamma, beta, 1e-3),
        lambda: backend.batch_norm_backward(drows, cache),
    ]))
    return _together(names, ours, torchs, x)


def layer_norm(rng, backend, shape) -> dict:
    x, dy = _floats(rng, *shape), _floats(rng, *shape)
    gamma, beta = (_floats(rng, shape[-1]) for _ in range(2))
    cache = backend.layer_norm_forward(x, gamma, beta, 1e-3)[-1]

    def torchs(torch, F):
        a, d, g, b = (torch.from_dlpack(v) for v in (x, dy, gamma, beta))
        aten, last = torch.ops.aten, [shape[-1]]
        _, mean, r = aten.native_layer_norm(a, last, g, b, 1e-3)
        return {
            names[0]: [lambda: aten.native_layer_norm(a, last, g, b, 1e-3)],
            names[1]: [lambda: aten.native_layer_norm_backward(d, a, last, mean, r, g, b, [True] * 3)],
        }

    names = [f"layer_norm forward {shape}", f"layer_norm backward {shape}"]
    ours = dict(zip(names, [
        lambda: backend.layer_norm_forward(x, gamma, beta, 1e-3),
        lambda: backend.layer_norm_backward(dy, cache),
    ]))
    return _together(names, ours, torchs, x)


def group_norm(rng, backend, shape, groups) -> dict:
    x, dy = _floats(rng, *shape), _floats(rng, *shape)
    n, c, places = shape[0], shape[-1], shape[1] * shape[2]
    gamma, beta = (_floats(rng, c) for _ in range(2))
    flat, slopes = x.reshape(n, places, c), dy.reshape(n, places, c)
    cache = backend.group_norm_forward(flat, groups, gamma, beta, 1e-3)[-1]

    def torchs(torch, F):
        calls: dict = {name: [] for name in names}
        aten, sizes = torch.ops.aten, (n, c, places, groups)
        g, b = torch.from_dlpack(gamma), torch.from_dlpack(beta)
        for layout in (torch.contiguous_format, torch.channels_last):
            a, d = (
                torch.from_dlpack(v).permute(0, 3, 1, 2).contiguous(memory_format=layout) for v in (x, dy))
            _, mean, r = aten.native_group_norm(a, g, b, *sizes, 1e-3)
            calls[names[0]].append(lambda a=a: aten.native_group_norm(a, g, b, *sizes, 1e-3))
            calls[names[1]].append(lambda a=a, d=d, m=mean, r=r: aten.native_group_norm_backward(
                d, a, m, r, g, *sizes, [True] * 3))
        return calls

    names = [f"group_norm forward {groups} {shape}", f"group_norm backward {groups} {shape}"]
    ours = dict(zip(names, [
        lambda: backend.group_norm_forward(flat, groups, gamma, beta, 1e-3),
        lambda: backend.group_norm_backward(slopes, cache),
    ]))
    return _together(names, ours, torchs, x)


def depthwise(rng, backend, shape, stride, many) -> dict:
    c = shape[-1]
    windows = _windows(shape, 3, stride, "same")
    x, w = _floats(rng, *shape), _floats(rng, 3, 3, 1, c * many)
    dy = _floats(rng, shape[0], *windows.out, c * many)

    def torchs(torch, F):
        calls: dict = {name: [] for name in names}
        back = torch.ops.aten.convolution_backward
        rest = (None, [stride] * 2, [1, 1], [1, 1], False, [0, 0], c)
        for layout in (torch.contiguous_format, torch.channels_last):
            a, d, k = (
                torch.from_dlpack(v).permute(order).contiguous(memory_format=layout)
                for v, order in ((x, (0, 3, 1, 2)), (dy, (0, 3, 1, 2)), (w, (3, 2, 0, 1)))
            )
            for name, call in zip(names, [
                lambda a=a, k=k: F.conv2d(a, k, None, stride, 1, 1, c),
                lambda a=a, k=k, d=d: back(d, a, k, *rest, [True, False, False]),
                lambda a=a, k=k, d=d: back(d, a, k, *rest, [False, True, False]),
            ]):
                calls[name].append(call)
        return calls

    text = f"3x3/{stride} x{many} {shape}"
    names = [f"depthwise forward {text}", f"depthwise data {text}", f"depthwise kernel {text}"]
    ours = dict(zip(names, [
        lambda: backend.conv_forward(x, w, windows, c),
        lambda: backend.conv_backward_data(dy, w, windows, c),
        lambda: backend.conv_backward_kernel(x, dy, windows, c),
    ]))
    return _together(names, ours, torchs, x)


def elementwise(rng, backend, shape) -> dict:
    x, dy = _floats(rng, *shape), _floats(rng, *shape)
    y, generator = backend.relu(x), backend.new_generator([1])

    def torchs(torch, F):
        a, d, b = (torch.from_dlpack(v) for v in (x, dy, y))
        return {
            names[0]: [lambda: torch.relu(a)],
            names[1]: [lambda: torch.ops.aten.threshold_backward(d, b, 0)],
            names[2]: [lambda: F.dropout(a, 0.5, True)],
            names[3]: [lambda: torch.sigmoid(a)],
        }

    names = [f"relu forward {shape}", f"relu backward {shape}", f"dropout forward {shape}",
             f"sigmoid forward {shape}"]
    ours = dict(zip(names, [
        lambda: backend.relu(x), lambda: backend.relu_backward(dy, y),
        lambda: backend.times(x, backend.dropout_factor(generator, shape, 0.5, x.dtype)),
        lambda: backend.sigmoid(x),
    ]))
    return _together(names, ours, torchs, x)


def softmax(rng, backend, shape) -> dict:
    x, dy = _floats(rng, *shape), _floats(rng, *shape)
    y = backend.softmax(x)

    def torchs(torch, F):
        a, d, b = (torch.from_dlpack(v) for v in (x, dy, y))
        return {
            names[0]: [lambda: torch.softmax(a, -1)],
            names[1]: [lambda: torch.ops.aten._softmax_backward_data(d, b, -1, torch.float32)],
        }

    names = [f"softmax forward {shape}", f"softmax backward {shape}"]
    ours = dict(zip(names, [lambda: backend.softmax(x), lambda: backend.softmax_backward(dy, y)]))
    return _together(names, ours, torchs, x)


def _together(names, ours, torchs, x) -> dict:
    return {name: (ours[name], torchs, x) for name in names}


# ---- timing ------------------------------------------------------------------------------------------------
def interleaved(calls: dict) -> dict[str, float]:
    """Return the median time of each call, in seconds; all are timed in turn."""
    times: dict = {name: [] for name in calls}
    counts = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        counts[name] = max(1, int(BLOCK / max(1e-7, time.perf_counter() - start)))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            call()
            start = time.perf_counter()
            for _ in range(counts[name]):
                call()
            times[name].append((time.perf_counter() - start) / counts[name])
    return {name: statistics.median(found) for name, found in times.items()}


def measure(name: str, case: tuple, peer) -> dict:
    """Return the times of one case in milliseconds."""
    import numpy as np

    ours, torchs, x = case
    target = np.empty_like(x)
    calls = {"ours": ours, "copy": lambda: np.copyto(target, x)}
    if peer is not None:
        with peer[0].no_grad():
            calls |= {f"torch{i}": call for i, call in enumerate(torchs(*peer)[name])}
            found = interleaved(calls)
    else:
        found = interleaved(calls)
    theirs = [t for call, t in found.items() if call.startswith("torch")]
    return {
        "name": name, "ours_ms": found["ours"] * 1e3, "copy_ms": found["copy"] * 1e3,
        "torch_ms": min(theirs) * 1e3 if theirs else None,
        "ratio": min(theirs) / found["ours"] if theirs else None,
    }


def find_torch(threads: int):
    """Return (torch, torch.nn.functional), or ``None`` where there is none."""
    try:
        import torch
        import torch.nn.functional as F
    except ImportError:
        print("torch cannot be imported: only gpukeras is timed", file=sys.stderr)
        return None
    torch.set_num_threads(threads)
    return torch, F


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="regular expression on the names of the cases")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    # Threads that spin after their work would disturb whoever comes next.
    os.environ.update(OMP_NUM_THREADS=str(options.threads), OMP_WAIT_POLICY="passive")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import numpy as np

    from gpukeras.backends import CPU, threads

    threads.set_threads(options.threads)
    peer, results = find_torch(options.threads), []
    print(f"{'case':58} {'ours ms':>9} {'copy ms':>9} {'torch ms':>9} {'torch/ours':>10}")
    for name, case in cases(np.random.default_rng(0), CPU).items():
        if re.search(options.only, name):
            found = measure(name, case, peer)
            results.append(found)
            rest = "" if peer is None else f" {found['torch_ms']:9.3f} {found['ratio']:10.2f}"
            print(f"{name:58} {found['ours_ms']:9.3f} {found['copy_ms']:9.3f}{rest}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"threads": options.threads, "cases": results}, indent=1))


if __name__ == "__main__":
    main()
