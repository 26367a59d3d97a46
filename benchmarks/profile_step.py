"""Where one training step of gpukeras goes: layers forward and backward, loss, optimizer, metrics, data.

    OMP_NUM_THREADS=1 python benchmarks/profile_step.py e

A step that is recorded and replayed (small models) is shown call by call, any other one layer by layer.
"""

from __future__ import annotations

import argparse
import inspect
import math
import statistics
import time
from collections import defaultdict

import numpy as np
from worker import load
from workloads import WORKLOADS

PRODUCTS = {"dot", "matmul"}


class Clock:
    """Seconds by label; what a nested label takes is not counted for the outer one."""

    def __init__(self):
        self.seconds: dict = defaultdict(float)
        self.calls: dict = defaultdict(int)
        self.stack: list = []

    def timed(self, function, label):
        """Return ``function``, timed; ``label`` is a value or a function of the arguments."""

        def call(*args, **kwargs):
            with self.section(label(*args, **kwargs) if callable(label) else label):
                return function(*args, **kwargs)

        return call

    def section(self, label):
        """Return a context manager that counts for ``label``."""
        return _Section(self, label)

    def here(self):
        """Return the label that time counts for now."""
        return self.stack[-1].label if self.stack else None


class _Section:
    def __init__(self, clock, label):
        self.clock, self.label, self.nested = clock, label, 0.0

    def __enter__(self):
        self.clock.stack.append(self)
        self.start = time.perf_counter()

    def __exit__(self, *exc):
        elapsed = time.perf_counter() - self.start
        self.clock.stack.pop()
        self.clock.seconds[self.label] += elapsed - self.nested
        self.clock.calls[self.label] += 1
        if self.clock.stack:
            self.clock.stack[-1].nested += elapsed


class Patches:
    """Attributes replaced inside a ``with`` block."""

    def __init__(self):
        self.before: list = []

    def set(self, owner, name, value) -> None:
        """Replace an attribute of a class or module."""
        self.before.append((owner, name, owner.__dict__[name]))
        setattr(owner, name, value)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for owner, name, value in reversed(self.before):
            setattr(owner, name, value)


# ---- the processor --------------------------------------------------------------------------------------
def peak(size: int = 1024, rounds: int = 9) -> float:
    """Return the best rate of a large float32 matrix product, in floating-point operations per second."""
    a = np.random.default_rng(0).random((size, size), "float32")
    out = np.empty_like(a)
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        np.matmul(a, a, out=out)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def operations(layer, batch: int) -> float:
    """Return the floating-point operations of a layer's products forward; Winograd does with fewer."""
    kernels = [(v.name, tuple(v.shape)) for v in layer.weights if v.name.endswith("kernel")]
    if not kernels:
        return 0.0
    shapes, kind = dict(kernels), type(layer).__name__
    given = layer.input[0] if isinstance(layer.input, list) else layer.input
    places = math.prod(layer.output.shape[1:-1])  # where the kernels are applied
    if "recurrent_kernel" in shapes:
        axes = len(shapes["kernel"]) - 2  # of images, in a ConvLSTM
        places = given.shape[1] * math.prod(layer.output.shape[-1 - axes : -1])
    elif "Transpose" in kind:
        places = math.prod(given.shape[1:-1])
    flops = 2.0 * batch * places * sum(math.prod(shape) for _, shape in kernels)
    if kind == "MultiHeadAttention":
        flops += 4.0 * batch * places**2 * math.prod(kernels[0][1][1:])
    return flops


# ---- layer by layer -------------------------------------------------------------------------------------
def watch(keras, model, clock: Clock, patches: Patches) -> None:
    """Time the parts of the ordinary training step."""
    from gpukeras import autograd, backends
    from gpukeras.layers.layer import Layer
    from gpukeras.models.data import ArraySource
    from gpukeras.models.training import Trainer

    run, record, batches = Layer._run, autograd.record, ArraySource.__iter__

    def run_layer(self, *args, **kwargs):
        if self is model:
            return run(self, *args, **kwargs)
        with clock.section((self.name, "forward")):
            return run(self, *args, **kwargs)

    def record_op(name, inputs, outputs, vjp):
        here = clock.here()
        label = (here[0], "backward") if here and here[1] == "forward" else ("loss", "backward")
        record(name, inputs, outputs, clock.timed(vjp, label))

    def iterate(self):
        source = batches(self)
        while True:
            with clock.section(("data", "")):
                batch = next(source, None)
            if batch is None:
                return
            yield batch

    patches.set(Layer, "_run", run_layer)
    patches.set(autograd, "record", record_op)
    patches.set(ArraySource, "__iter__", iterate)
    patches.set(Trainer, "_loss_of", clock.timed(Trainer._loss_of, ("loss", "forward")))
    patches.set(Trainer, "compute_metrics", clock.timed(Trainer.compute_metrics, ("metrics", "")))
    optimizer = next(c for c in type(model.optimizer).__mro__ if "apply" in c.__dict__)
    patches.set(optimizer, "apply", clock.timed(optimizer.apply, ("optimizer", "")))
    for name in PRODUCTS:
        patches.set(np, name, _product(clock, getattr(np, name)))
    backend = type(backends.CPU)
    for name in ("dense_forward", "dense_backward"):  # they call the arrays' own ``dot``
        owner = next(c for c in backend.__mro__ if name in c.__dict__)
        patches.set(owner, name, _product(clock, getattr(owner, name)))
    for name in ("relu", "relu_backward", "column_sum"):  # not a part of these products
        owner = next(c for c in backend.__mro__ if name in c.__dict__)
        patches.set(owner, name, clock.timed(getattr(owner, name), _elementwise(clock)))


def _product(clock, function):
    return clock.timed(function, lambda *args, **kwargs: (*(clock.here() or ("other", ""))[:2], "products"))


def _elementwise(clock):
    return lambda *args, **kwargs: (clock.here() or ("other", ""))[:2]


def by_layer(keras, model, workload, data, epochs: int) -> list[tuple]:
    """Return rows (name, seconds forward, backward, of them products, operations) for one step."""
    clock = Clock()
    eager, model.run_eagerly = model.run_eagerly, True
    try:
        with Patches() as patches:
            watch(keras, model, clock, patches)
            start = time.perf_counter()
            model.fit(*data, batch_size=workload.batch, epochs=epochs, verbose=0)
            whole = time.perf_counter() - start
    finally:
        model.run_eagerly = eager
    steps = epochs * workload.steps
    rows, counted = [], 0.0
    names = [layer.name for layer in model.layers] + ["loss", "metrics", "optimizer", "data"]
    known = {layer.name: layer for layer in model.layers}
    for name in names:
        parts = {k[1:]: s / steps for k, s in clock.seconds.items() if k[0] == name}
        forward = sum(s for k, s in parts.items() if k[0] != "backward")
        backward = sum(s for k, s in parts.items() if k[0] == "backward")
        products = sum(s for k, s in parts.items() if k[-1] == "products")
        counted += forward + backward
        flops = operations(known[name], workload.batch) if name in known else 0.0
        first = name == next((n for n in names if n in known and known[n].weights), None)
        if forward + backward:
            rows.append((name, forward, backward, products, flops * (2 if first else 3)))
    rows.append(("remaining Python", whole / steps - counted, 0.0, 0.0, 0.0))
    return rows


# ---- call by call ---------------------------------------------------------------------------------------
def program(model):
    """Return the recorded step of a model, or ``None``."""
    found = getattr(model, "_captured", None)
    programs = [p for p in getattr(found, "programs", {}).values() if getattr(p, "proven", False)]
    return programs[0] if programs else None


def by_call(recorded, rounds: int = 300) -> list[tuple]:
    """Return rows (name, seconds, operations) for the calls of a recorded step, in their order."""
    calls = recorded.calls
    seconds: list[list] = [[] for _ in calls]
    for _ in range(rounds):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            seconds[i].append(time.perf_counter() - start)
    nothing, update = _nothing(), first_of_update(recorded)
    rows = []
    for i, (call, samples) in enumerate(zip(calls, seconds)):
        name, flops = _describe(call)
        name = f"optimizer: {name}" if i >= update else name
        rows.append((name, flops, max(statistics.median(samples) - nothing, 0.0)))
    return rows


def first_of_update(recorded) -> int:
    """Return where the optimizer's update begins among the calls; their number where it is not recorded."""
    plan = getattr(recorded, "plan", None)
    if plan is None:
        return len(recorded.calls)
    memory = [recorded.rate, *(a for run in plan.runs for a in run.slots.values())]
    for i, call in enumerate(recorded.calls):
        used = [a for a in _leaves(getattr(call, "args", ())) if isinstance(a, np.ndarray)]
        if any(np.may_share_memory(a, m) for a in used for m in memory):
            return i
    return len(recorded.calls)


def _leaves(values):
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from _leaves(value)
        else:
            yield value


def _nothing(rounds: int = 2000) -> float:
    """Return what timing itself takes."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def _describe(call) -> tuple[str, float]:
    """Return a recorded call as text, and the operations of a product."""
    function = getattr(call, "func", call)
    name = getattr(function, "__name__", type(function).__name__)
    inner = inspect.getclosurevars(function).nonlocals if inspect.isfunction(function) else {}
    if name == "<lambda>":  # rows or columns taken out of an array
        return f"copy({_shape(inner.get('found'))})", 0.0
    if name == "refill":  # a function whose result goes to memory of the program's own
        return f"{getattr(inner.get('function'), '__name__', 'call')}({_shape(inner.get('kept'))})", 0.0
    owner = getattr(function, "__self__", None)
    if isinstance(owner, np.ufunc):
        name = f"{owner.__name__}.{name}"
    arrays = [a for a in getattr(call, "args", ()) if isinstance(a, np.ndarray)]
    flops = 0.0
    if name in PRODUCTS and len(arrays) > 1 and arrays[0].ndim > 1 and arrays[1].ndim > 1:
        flops = 2.0 * arrays[0].size * arrays[1].shape[-1]
    return f"{name}({', '.join(map(_shape, arrays))})", flops


def _shape(array) -> str:
    return "x".join(map(str, getattr(array, "shape", ()))) or "1"


def parts_of_replay(model, workload, data, epochs: int) -> dict[str, float]:
    """Return the seconds per step that a replayed step spends on calls, optimizer, data and the rest."""
    from gpukeras.models.data import ArraySource

    clock = Clock()
    recorded = program(model)
    batches = ArraySource.__iter__

    def iterate(self):
        source = batches(self)
        while True:
            with clock.section("data"):
                batch = next(source, None)
            if batch is None:
                return
            yield batch

    with Patches() as patches:
        optimizer = next(c for c in type(model.optimizer).__mro__ if "apply" in c.__dict__)
        patches.set(optimizer, "apply", clock.timed(optimizer.apply, "optimizer"))
        patches.set(type(recorded), "run", clock.timed(type(recorded).run, "recorded calls"))
        patches.set(ArraySource, "__iter__", iterate)
        start = time.perf_counter()
        model.fit(*data, batch_size=workload.batch, epochs=epochs, verbose=0)
        whole = time.perf_counter() - start
    steps = epochs * workload.steps
    found = {name: s / steps for name, s in clock.seconds.items()}
    found["remaining Python"] = whole / steps - sum(found.values())
    return found


# ---- printing -------------------------------------------------------------------------------------------
def table(header: list[str], rows: list[list[str]], markdown: bool) -> str:
    """Return a table as text."""
    if markdown:
        lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
        return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
        for row in [header, *rows]
    )


def print_layers(rows, best: float, markdown: bool) -> None:
    """Print the layers' table and how much of the products' peak is reached."""
    whole = sum(row[1] + row[2] for row in rows)
    shown = []
    for name, forward, backward, products, flops in rows:
        seconds = forward + backward
        shown.append([
            name, f"{forward * 1e3:.3f}", f"{backward * 1e3:.3f}" if backward else "",
            f"{seconds / whole:.1%}", f"{products / seconds:.0%}" if products else "",
            f"{flops / seconds / best:.0%}" if flops else "",
        ])
    flops, products = sum(row[4] for row in rows), sum(row[3] for row in rows)
    shown.append(["all", f"{whole * 1e3:.3f}", "", "100%", f"{products / whole:.0%}",
                  f"{flops / whole / best:.0%}"])
    print(table(["part", "forward ms", "backward ms", "share", "in products", "of peak"], shown, markdown))


def print_calls(rows, parts, best: float, markdown: bool, most: int = 12) -> None:
    """Print the longest calls of a recorded step, and what is around them."""
    whole = sum(parts.values())
    calls = sum(seconds for _, _, seconds in rows)
    shown = []
    for name, flops, seconds in sorted(rows, key=lambda row: -row[2])[:most]:
        rate = f"{flops / seconds / best:.0%}" if flops and seconds else ""
        shown.append([name, f"{seconds * 1e6:.1f}", f"{seconds / whole:.1%}", rate])
    others = calls - sum(sorted(seconds for _, _, seconds in rows)[-most:])
    if len(rows) > most:
        shown.append([f"{len(rows) - most} more calls", f"{others * 1e6:.1f}", f"{others / whole:.1%}", ""])
    for name, seconds in parts.items():
        if name == "recorded calls":
            name, seconds = "between the calls", max(seconds - calls, 0.0)
        shown.append([name, f"{seconds * 1e6:.1f}", f"{seconds / whole:.1%}", ""])
    products = sum(seconds for name, _, seconds in rows if name.partition("(")[0] in PRODUCTS)
    update = sum(seconds for name, _, seconds in rows if name.startswith("optimizer"))
    flops = sum(f for _, f, _ in rows)
    shown.append(["all", f"{whole * 1e6:.1f}", "100%", f"{flops / whole / best:.0%}"])
    print(table(["call", "us", "share", "of peak"], shown, markdown))
    update += parts.get("optimizer", 0.0)
    print(f"\nmatrix products: {products / whole:.0%} of the step, optimizer: {update / whole:.0%}")


def main() -> None:
    """Train, then profile."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workload", choices=sorted(WORKLOADS))
    parser.add_argument("--epochs", type=int, default=None, help="profiled (default: about two seconds)")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    keras = load("gpukeras")
    keras.utils.set_random_seed(1)
    workload = WORKLOADS[options.workload]
    model, data = workload.build(keras), workload.data()
    model.fit(*data, batch_size=workload.batch, epochs=2, verbose=0)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        model.fit(*data, batch_size=workload.batch, epochs=1, verbose=0)
        seconds.append(time.perf_counter() - start)
    step, best = min(seconds) / workload.steps, peak()
    epochs = options.epochs or max(1, math.ceil(2 / min(seconds)))
    print(f"({options.workload}) {workload.title}: {step * 1e3:.3f} ms per step without profiling; "
          f"float32 products reach {best / 1e9:.0f} GFLOP/s\n")
    recorded = program(model)
    if recorded is None:
        print_layers(by_layer(keras, model, workload, data, epochs), best, options.markdown)
    else:
        parts = parts_of_replay(model, workload, data, epochs)
        print_calls(by_call(recorded), parts, best, options.markdown)


if __name__ == "__main__":
    main()
