"""Single layers on one device, beside the CPU and bare PyTorch: the process that ``compare_devices.py`` asks.

    python device_layers.py gpukeras 0 gpu

Reads requests as ``worker.py`` does. gpukeras is timed through the methods of its backend (recurrent layers
through their ops and a tape), PyTorch through the functions that its layers call, on the same memory: its
tensors are views of our arrays. On a GPU all calls go to CUDA's default stream and are timed by events there,
behind a queue of copies long enough for the launches to be ahead: what counts is the time of the device.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import by_ops
import convolutions
import elementwise
import recurrent
from clocks import DeviceClock, HostClock, Timed
from harness import interleave
from worker import load, serve

ROUNDS = 5
SAMPLE = 0.006  # seconds of one sample, about
CPU_LIMIT = 0.3  # seconds of one call on the CPU, as estimated; larger ones are left out there
RESNET = (
    "stem", "2-reduce-first", "2-3x3", "2-expand", "3-3x3-down", "3-3x3", "3-expand", "4-3x3", "4-reduce",
    "5-3x3",
)
HALVES = ("float16", *(["bfloat16"] if importlib.util.find_spec("ml_dtypes") else []))
PRECISIONS = ("float32", "tf32", *HALVES)
TRAFFIC = {  # least bytes moved, in multiples of input and output; an index of the maximum takes a byte
    "max_pool predict": (1, 1), "max_pool forward": (1, 1.25), "max_pool backward": (1, 1.25),
    "average_pool forward": (1, 1), "average_pool backward": (1, 1),
    "batch_norm predict": (1, 1), "batch_norm forward": (2, 1), "batch_norm backward": (4, 1),
    "layer_norm forward": (1, 1), "layer_norm backward": (2, 1),
    "group_norm forward": (1, 1), "group_norm backward": (2, 1),
    "depthwise forward": (1, 1), "depthwise data": (1, 1), "depthwise kernel": (1, 1),
    "relu forward": (1, 1), "relu backward": (2, 1), "dropout forward": (1, 1), "sigmoid forward": (1, 1),
    "softmax forward": (1, 1), "softmax backward": (2, 1),
}


class Case(NamedTuple):
    """One pass of a layer.

    Attributes
    ----------
    step : str
        Of the group's cases: which pass of which layer.
    ours : callable
    torchs : callable
        Returns what PyTorch can be timed on: a call for each layout.
    flops, bytes : float
        Operations, and least bytes that have to be moved; 0 where that says nothing.
    """

    step: str
    ours: Callable
    torchs: Callable
    flops: float = 0.0
    bytes: float = 0.0


class Group(NamedTuple):
    """Cases that share their data.

    Attributes
    ----------
    family, precision : str
    make : callable
        Returns the cases, given a ``Values``.
    work : tuple of float
        Operations and bytes of the largest case, known before anything is made.
    cpu : bool
        Whether the CPU is timed as well.
    """

    family: str
    precision: str
    make: Callable
    work: tuple[float, float]
    cpu: bool = True


class Values:
    """Made-up arrays of a device, for functions that ask a NumPy generator for theirs."""

    def __init__(self, backend, dtype: str = "float32"):
        import numpy as np

        from gpukeras import dtypes

        self.backend, self.dtype = backend, dtypes.standardize_dtype(dtype)
        block = np.random.default_rng(0).standard_normal(1 << 20, "float32")[:-7]  # no power of two
        self._block = backend.asarray(block.astype(dtype))

    def standard_normal(self, shape, dtype=None):
        """Return normal numbers that repeat after a while, in the type of this object."""
        xp, size = self.backend.xp, math.prod(shape)
        return xp.tile(self._block, -(-size // self._block.size))[:size].reshape(shape)

    def integers(self, shape, below: int):
        """Return whole numbers, few of them often and most of them seldom."""
        xp = self.backend.xp
        return (xp.square(self.standard_normal(shape)) * (below / 20)).astype("int32") % below


def storage(precision: str) -> str:
    """Return the dtype of arrays that are computed with in a precision."""
    return precision if precision in HALVES else "float32"


# ---- the groups -------------------------------------------------------------------------------------------
def groups(tiny: bool = False) -> dict[str, Group]:
    """Return all groups by name, those with targets first; ``tiny``: of a size for tests."""
    found: dict[str, Group] = {}
    for precision in ("float32", "tf32"):
        for units in (8,) if tiny else (128, 256, 512):
            for kind in ("lstm", "gru"):
                for kept in ("", " masked", " recurrent dropout"):
                    size = (3, 5, 4, units) if tiny else (64, 80, 128, units)
                    name = f"{kind} {'x'.join(map(str, size))}{kept}, {precision}"
                    found[name] = _recurrent(kind, size, kept, precision)
    big = (2, 8, 8, 4) if tiny else (256, 112, 112, 64)
    for window, stride in ((2, 2), (3, 2)):
        found |= _borrowed("pooling", elementwise.pooling, big, window, stride)
    found |= _borrowed("elementwise", elementwise.elementwise, (3, 40) if tiny else (8192, 8192))
    for batch in (2, 3) if tiny else (64, 256):
        shapes = {shape.name.partition("-")[2]: shape for shape in convolutions.shapes(batch)}
        for name in RESNET[:2] if tiny else RESNET:
            shape = shapes[name]
            if tiny:
                shape = shape._replace(size=9, channels=min(shape.channels, 4), filters=5)
            for precision in PRECISIONS:
                found[f"conv {name}, batch {batch}, {precision}"] = _convolution(shape, precision)
    for shape in ((2, 4, 4, 3),) if tiny else ((256, 56, 56, 64), (256, 14, 14, 1024)):
        found |= _borrowed("normalization", elementwise.batch_norm, shape)
    found |= _borrowed("normalization", elementwise.layer_norm, (3, 8) if tiny else (32768, 1024))
    found |= _borrowed("normalization", elementwise.group_norm, (2, 4, 4, 6) if tiny else (64, 56, 56, 256),
                       2 if tiny else 32)
    for stride in (1, 2):
        shape = (2, 6, 6, 3) if tiny else (64, 56, 56, 128)
        found |= _borrowed("depthwise", elementwise.depthwise, shape, stride, 1)
    found |= _by_ops(tiny)
    for shape in ((3, 5),) if tiny else ((8192, 1000), (65536, 1024)):
        found |= _borrowed("softmax", elementwise.softmax, shape)
        found[f"cross entropy {shape}"] = _group("softmax", cross_entropy, *shape, work=(0, shape))
    for precision in PRECISIONS:
        for sizes in ((3, 8, 5),) if tiny else ((8192, 1024, 4096), (256, 512, 512)):
            found[f"dense {'x'.join(map(str, sizes))}, {precision}"] = _group(
                "dense", dense, *sizes, work=(4 * math.prod(sizes), ()), precision=precision)
    for sizes in ((7, 4, 2, 3),) if tiny else ((20000, 128, 64, 80), (100000, 256, 256, 128)):
        found[f"embedding {sizes}"] = _group("embedding", embedding, *sizes, work=(0, sizes[1:]))
    count = 1000 if tiny else 10_000_000
    found[f"adam over {count} parameters"] = _group("update", adam, count, work=(0, (7, count)))
    return found


def _group(family, make, *sizes, work, precision="float32") -> Group:
    flops, shape = work
    return Group(family, precision, lambda values: make(values, *sizes), (flops, 8.0 * math.prod(shape)),
                 cpu=precision == "float32")


def _borrowed(family: str, make, shape, *rest) -> dict[str, Group]:
    """Return the cases of a function of ``elementwise.py``."""

    def cases(values):
        found = make(values, values.backend, shape, *rest)
        for name, (ours, torchs, _) in found.items():
            reads, writes = next(v for k, v in TRAFFIC.items() if name.startswith(k))
            moved = 4.0 * math.prod(shape) * (reads + writes * _output_share(family, shape, rest))
            step = " ".join(name.split()[:2])
            yield Case(step, ours, _without_gradients(torchs, name), bytes=moved)

    text = " ".join([make.__name__.replace("pooling", "pool"), "/".join(map(str, rest)), str(shape)])
    return {text.replace("  ", " "): Group(family, "float32", cases, (0.0, 16.0 * math.prod(shape)))}


def _output_share(family: str, shape, rest) -> float:
    """Return the size of the output in that of the input."""
    share = 1.0
    for size in shape[1:3]:
        if family == "pooling":
            window, stride = rest
            share *= ((size - window) // stride + 1) / size
        elif family == "depthwise":
            share *= -(-size // rest[0]) / size
    return share


def _by_ops(tiny: bool) -> dict[str, Group]:
    """Return the cases of ``by_ops.py``."""
    many = ("float32", "tf32", "float16")
    kinds: dict = {
        by_ops.separable: (many, ((2, 6, 6, 3), 4) if tiny else ((64, 56, 56, 128), 256)),
        by_ops.transposed: (many, ((2, 3, 3, 4), 5, 4) if tiny else ((64, 16, 16, 256), 128, 4)),
        by_ops.conv_lstm: (many[:2], ((2, 3, 6, 6, 3), 4) if tiny else ((16, 10, 64, 64, 32), 64)),
        by_ops.attention: (many, ((2, 5, 2, 4), False) if tiny else ((32, 512, 8, 64), False)),
    }
    found = {}
    for make, (precisions, sizes) in kinds.items():
        for causal in (False, True) if make is by_ops.attention else (False,):
            sizes = (sizes[0], causal) if make is by_ops.attention else sizes
            for precision in precisions:
                text = " ".join(["x".join(map(str, sizes[0])), *map(str, sizes[1:])])
                text = text.replace(" False", "").replace("True", "causal")
                found[f"{make.__name__} {text}, {precision}"] = _from_ops(make, sizes, precision)
    return found


def _from_ops(make, sizes, precision: str) -> Group:
    work = by_ops.operations(make, *sizes)

    def cases(values):
        family = make(values, *sizes)
        theirs: list = []  # made once for both passes

        def torchs(torch, step):
            if not theirs:
                theirs.extend(family.torchs(torch))
            return [layout[step] for layout in theirs]

        for step, passes in (("forward", 1), ("both", 3)):
            yield Case(step, family.ours[step], lambda torch, s=step: torchs(torch, s), passes * work)

    return Group(make.__name__, precision, cases, (3 * work, 0.0), cpu=precision == "float32")


def _without_gradients(torchs, name):
    def calls(torch):
        import torch.nn.functional as F

        with torch.no_grad():
            return [_quietly(torch, call) for call in torchs(torch, F)[name]]

    return calls


def _quietly(torch, call):
    def run():
        with torch.no_grad():
            return call()

    return run


def _convolution(shape: convolutions.Shape, precision: str) -> Group:
    itemsize = 2 if precision in HALVES else 4
    sizes = {
        "x": (shape.batch, shape.size, shape.size, shape.channels),
        "w": (shape.window, shape.window, shape.channels, shape.filters),
        "b": (shape.filters,), "dy": (shape.batch, shape.out, shape.out, shape.filters),
    }
    moved = float(itemsize * sum(map(math.prod, sizes.values())))

    def cases(values):
        arrays = {name: values.standard_normal(size) for name, size in sizes.items()}
        calls, _ = convolutions.ours(shape, **arrays)
        theirs: dict = {}  # made once for all passes

        def torchs(torch, step):
            if not theirs:
                theirs.update(convolutions.torchs(shape, **arrays))
            return [layout[step] for layout in theirs.values()]

        for step, call in calls.items():
            yield Case(step, call, lambda torch, s=step: torchs(torch, s), shape.flops, moved)

    return Group("convolution", precision, cases, (shape.flops, moved),
                 cpu=precision == "float32" and shape.batch <= 64)


def _recurrent(kind: str, size, kept: str, precision: str) -> Group:
    batch, steps, features, units = size
    work = 2.0 * batch * steps * recurrent.GATES[kind] * units * (features + units)

    def cases(values):
        calls = recurrent.ours(kind, size, values, kept == " masked", kept == " recurrent dropout")
        for step, passes in (("forward", 1), ("both", 3)):
            yield Case(step, calls[step],
                       lambda torch, s=step: [recurrent.torchs(kind, size, values)[s]], passes * work)

    return Group("recurrent", precision, cases, (3 * work, 0.0), cpu=precision == "float32")


# ---- families of this file --------------------------------------------------------------------------------
def cross_entropy(values, rows: int, classes: int) -> Iterator[Case]:
    """Softmax and cross entropy in one, from logits and class numbers."""
    backend = values.backend
    x, dy = values.standard_normal((rows, classes)), values.standard_normal((rows,))
    labels = values.integers((rows,), classes)
    _, parts = backend.softmax_cross_entropy(x, labels)

    def torchs(torch, step):
        a, d = torch.from_dlpack(x).requires_grad_(), torch.from_dlpack(dy)
        target = torch.from_dlpack(labels).long()
        lost = torch.nn.functional.cross_entropy(a, target, reduction="none")
        return [
            lambda: torch.nn.functional.cross_entropy(a, target, reduction="none") if step == "forward"
            else torch.autograd.grad(lost, a, d, retain_graph=True)
        ]

    calls = {"forward": lambda: backend.softmax_cross_entropy(x, labels),
             "backward": lambda: backend.softmax_cross_entropy_backward(dy, parts, labels)}
    for step, call in calls.items():
        yield Case(step, call, lambda torch, s=step: torchs(torch, s), bytes=2.0 * x.nbytes)


def dense(values, rows: int, inputs: int, units: int) -> Iterator[Case]:
    """Dense layer with bias and ReLU."""
    backend = values.backend
    x, w = values.standard_normal((rows, inputs)), values.standard_normal((inputs, units))
    b, dy = values.standard_normal((units,)), values.standard_normal((rows, units))
    y = backend.dense_forward(x, w, b, "relu")

    def torchs(torch, step):
        a, k, c, d, out = (convolutions.shared(torch, v) for v in (x, w, b, dy, y))

        def backward():
            z = torch.ops.aten.threshold_backward(d, out, 0)
            return z @ k.T, a.T @ z, z.sum(0)

        return [lambda: torch.relu_(torch.addmm(c, a, k)) if step == "forward" else backward()]

    calls = {"forward": lambda: backend.dense_forward(x, w, b, "relu"),
             "backward": lambda: backend.dense_backward(dy, x, w, y, "relu", True, True, True)}
    work, moved = 2.0 * rows * inputs * units, float(x.nbytes + w.nbytes + y.nbytes)
    for (step, call), times in zip(calls.items(), (1, 2)):
        yield Case(step, call, lambda torch, s=step: torchs(torch, s), times * work, times * moved)


def embedding(values, words: int, width: int, batch: int, steps: int) -> Iterator[Case]:
    """Rows of a table, and the gradient of the whole table."""
    backend = values.backend
    table, dy = values.standard_normal((words, width)), values.standard_normal((batch, steps, width))
    rows = values.integers((batch, steps), words)

    def torchs(torch, step):
        t, d, places = torch.from_dlpack(table), torch.from_dlpack(dy), torch.from_dlpack(rows).long()
        return [
            lambda: torch.nn.functional.embedding(places, t) if step == "forward"
            else torch.ops.aten.embedding_dense_backward(d, places, words, -1, False)
        ]

    yield Case("forward", lambda: backend.embedding_forward(table, rows),
               lambda torch: torchs(torch, "forward"), bytes=2.0 * dy.nbytes)
    yield Case("backward", lambda: backend.embedding_backward(dy, rows, words),
               lambda torch: torchs(torch, "backward"), bytes=float(dy.nbytes + table.nbytes))


def adam(values, count: int) -> Iterator[Case]:
    """One update of all parameters."""
    backend = values.backend
    p, g = (values.standard_normal((count,)) for _ in range(2))
    m, v = (backend.xp.zeros(count, "float32") for _ in range(2))
    settings = {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}

    def torchs(torch):
        weights = torch.from_dlpack(backend.xp.array(p)).requires_grad_()
        weights.grad = torch.from_dlpack(g)
        return [torch.optim.Adam([weights], fused=weights.is_cuda).step]

    yield Case("update", lambda: backend.adam_update(p, g, m, v, **settings), torchs, bytes=28.0 * count)


# ---- requests -------------------------------------------------------------------------------------------
@contextlib.contextmanager
def at_precision(name: str, torch) -> Iterator[None]:
    """Let float32 products be rounded to TF32 on tensor cores, or not, by all libraries."""
    from gpukeras import config

    rounded, before = name == "tf32", config.tf32()
    if torch is not None:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = rounded
        torch.backends.cudnn.benchmark = True
    config.set_tf32(rounded)
    try:
        yield
    finally:
        config.set_tf32(before)


class Layers:
    """What the process can be asked for; every answer is a dict.

    Parameters
    ----------
    peer, threads, device
        As ``worker.serve`` gives them.
    tiny : bool
        Whether everything is small, for tests.
    """

    def __init__(self, peer: str = "gpukeras", threads: int = 0, device: str = "cpu", tiny: bool = False):
        load(peer, threads)
        from gpukeras import backends

        self.backend, self.cpu = backends.resolve(device), backends.CPU
        self.gpu = self.backend is not self.cpu
        self.tiny, self.torch, self.rates = tiny, None, {"copy": 1e10, "float32": 1e11}
        size = 1 << 10 if tiny else 1 << 27
        self.clock: Any = DeviceClock(self.backend, size) if self.gpu else HostClock()

    def describe(self) -> dict:
        """Return what the device is."""
        import numpy

        found = {"device": self.backend.name, "text": self.backend.describe(), "numpy": numpy.__version__}
        if self.gpu:
            from gpukeras.kernels import launch

            found |= {"capability": launch.capability(), "processors": launch.processors()}
        return found

    def shrink(self) -> dict:
        """Make everything small from now on."""
        self.tiny = True
        return {}

    def use_torch(self) -> dict:
        """Time PyTorch as well; it must be able to use the device."""
        import torch

        if self.gpu and not torch.cuda.is_available():
            raise RuntimeError("PyTorch finds no GPU")
        self.torch = torch
        return {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version() if self.gpu else None}

    def ceilings(self) -> dict:
        """Return what the device and the CPU can do: bytes per second copied, operations per second."""
        from gpukeras.backends import threads

        with threads.session():
            self.rates = self._ceilings(self.cpu, HostClock(), 32 if self.tiny else 1536, ("float32",))
        found = {"cpu": dict(self.rates)}
        if self.gpu:
            found["gpu"] = self._ceilings(self.backend, self.clock, 32 if self.tiny else 8192, PRECISIONS)
        return found

    def _ceilings(self, backend, clock, side: int, names) -> dict[str, float]:
        xp = backend.xp
        one, other = (xp.ones(1 << (10 if self.tiny else 26), "float32") for _ in range(2))
        found = {"copy": 2 * one.nbytes / self._seconds(lambda: xp.copyto(one, other), clock)}
        for name in names:
            a = Values(backend, storage(name)).standard_normal((side, side))
            with at_precision(name, self.torch):
                calls = [lambda a=a: backend.dense_product(a, a)]
                if self.torch is not None:
                    t = convolutions.shared(self.torch, a)
                    calls.append(lambda t=t: t @ t)
                found[name] = 2.0 * side**3 / min(self._seconds(call, clock) for call in calls)
        return found

    def _seconds(self, call, clock) -> float:
        call()
        return interleave({"": Timed(call, clock)}, "call", 5, 0.02, pause=0.0, warm=True)[""]["median"]

    def groups(self) -> dict:
        """Return names and families of what can be measured."""
        return {name: group.family for name, group in groups(self.tiny).items()
                if self.gpu or group.precision == "float32"}

    def measure(self, group: str, rounds: int = ROUNDS, cpu: bool = True) -> dict:
        """Return a row for each case of a group, or why it was left out."""
        found = groups(self.tiny)[group]
        expected = found.work[0] / self.rates["float32"] + found.work[1] / self.rates["copy"]
        for_cpu = found.cpu and expected <= CPU_LIMIT
        if not self.gpu and not for_cpu:
            return {"left_out": f"{expected:.1f} s a call on this CPU"}
        rows = self._rows(found, self.backend, self.clock, rounds, self.torch)
        if self.gpu and cpu and for_cpu:
            others = self._rows(found, self.cpu, HostClock(), min(rounds, 3), None)
            for row, other in zip(rows, others):
                row["times"]["gpukeras-cpu"] = other["times"]["gpukeras"]
        self._give_back()
        return {"rows": rows}

    def _give_back(self) -> None:
        """Let the next group have the memory of this one."""
        gc.collect()
        if self.gpu:
            self.backend.xp.get_default_memory_pool().free_all_blocks()
            if self.torch is not None:
                self.torch.cuda.empty_cache()

    def _rows(self, group: Group, backend, clock, rounds: int, torch) -> list[dict]:
        from gpukeras import backends
        from gpukeras.backends import threads

        # The session: a CPU's cores are shared out as while a model trains.
        with backends.backend_scope(backend), at_precision(group.precision, torch), threads.session():
            values = Values(backend, storage(group.precision))
            return [self._row(group, case, clock, rounds, torch) for case in group.make(values)]

    def _row(self, group: Group, case: Case, clock, rounds: int, torch) -> dict:
        calls = {"gpukeras": case.ours}
        if torch is not None:
            calls |= {f"torch{i}": call for i, call in enumerate(case.torchs(torch))}
        for call in calls.values():
            call()
        timed = {name: Timed(call, clock) for name, call in calls.items()}
        found = interleave(timed, "call", rounds, SAMPLE, pause=0.0, warm=True)
        times = {"gpukeras": found.pop("gpukeras")}
        if found:
            times["torch"] = min(found.values(), key=lambda t: t["median"])
        return {"family": group.family, "step": case.step, "precision": group.precision, "flops": case.flops,
                "bytes": case.bytes, "launch": timed["gpukeras"].launch, "times": times}


if __name__ == "__main__":
    serve(Layers)
