"""The table that ``model.summary()`` prints."""

from __future__ import annotations

import re
import shutil

from gpukeras import tree
from gpukeras.layers.layer import Layer
from gpukeras.tensor import Variable


def summary_text(model, line_length=None, positions=None, expand_nested=False, show_trainable=False,
                 layer_range=None) -> str:
    """Return the layers of ``model`` with output shapes and numbers of parameters as a table in text."""
    linear = _is_linear(model)
    titles = ["Layer (type)", "Output Shape", "Param #"]
    if not linear:
        titles.append("Connected to")
    if show_trainable:
        titles.append("Trainable")
    rows = _rows(model, linear, expand_nested, show_trainable, layer_range)
    widths = _widths(titles, rows, line_length, positions)
    line = "─"
    lines = [
        f'Model: "{model.name}"',
        _rule("┌┬┐", widths, line), _row(titles, widths), _rule("├┼┤", widths, line),
    ]
    for i, row in enumerate(rows):
        lines += _wrapped(row, widths)
        lines.append(_rule("└┴┘" if i == len(rows) - 1 else "├┼┤", widths, line))
    if not rows:
        lines[-1] = _rule("└┴┘", widths, line)
    return "\n".join([*lines, *_totals(model)])


def _rows(model, linear, expand_nested, show_trainable, layer_range) -> list[list[str]]:
    first, last = _range(model, layer_range)
    rows = []

    def add(layer, depth):
        shown = layer if isinstance(layer, Layer) else None
        row = [f"{'   ' * depth}{'└ ' if depth else ''}{layer.name} ({_kind(layer)})",
               _output_shape(layer), f"{_count(layer):,}" if shown is None or layer.built else "0 (unbuilt)"]
        if not linear:
            row.append(_sources(layer, model))
        if show_trainable:
            row.append("-" if shown is None or not layer.weights else "Y" if layer.trainable_weights else "N")
        rows.append(row)
        if expand_nested and getattr(layer, "_graph", None) is not None:
            for inner in layer.layers if _is_sequential(layer) else layer._graph.operations:
                add(inner, depth + 1)

    graph = getattr(model, "_graph", None)
    operations = model.layers
    if graph is not None and not _is_sequential(model):
        operations = graph.operations
    for layer in operations[first:last]:
        add(layer, 0)
    return rows


def _range(model, layer_range):
    if layer_range is None:
        return 0, None
    if len(layer_range) != 2:
        raise ValueError(f"layer_range must hold two names, came {layer_range!r}")
    names = [layer.name for layer in model.layers]
    found = []
    for pattern in layer_range:
        matches = [i for i, name in enumerate(names) if re.match(pattern, name)]
        if not matches:
            raise ValueError(f"layer_range: no layer matches {pattern!r}; the layers are {names}")
        found.append(matches)
    return min(found[0]), max(found[1]) + 1


def _is_sequential(model) -> bool:
    from gpukeras.models.sequential import Sequential

    return isinstance(model, Sequential)


def _is_linear(model) -> bool:
    """Tell whether every layer has one input, so that the column of connections says nothing."""
    graph = getattr(model, "_graph", None)
    if graph is None or _is_sequential(model):
        return True
    uses: dict[int, int] = {}
    for node in graph.nodes:
        if len(node.inputs) > 1:
            return False
        for t in node.inputs:
            uses[id(t)] = uses.get(id(t), 0) + 1
    return len(graph.inputs) == 1 and all(n == 1 for n in uses.values())


def _output_shape(layer) -> str:
    if not layer._inbound_nodes:
        return "?" if getattr(layer, "built", True) else "? (unbuilt)"
    shapes = [str(tuple(t.shape)) for t in layer._inbound_nodes[0].outputs]
    return ", ".join(shapes)


def _kind(layer) -> str:
    op = getattr(layer, "op", None)
    return type(layer).__name__ if isinstance(layer, Layer) or op is None else op.__name__


def _count(layer) -> int:
    return sum(v.size for v in layer.weights) if isinstance(layer, Layer) else 0


def _sources(layer, model) -> str:
    known = {id(n) for n in model._graph.nodes}
    names = [
        f"{t.history[0].operation.name}[{t.history[0].index}][{t.history[1]}]"
        for node in layer._inbound_nodes if id(node) in known for t in node.inputs if t.history
    ]
    return ", ".join(names) or "-"


def _widths(titles, rows, line_length, positions) -> list[int]:
    needed = [max([len(t), *(len(r[i]) for r in rows)]) for i, t in enumerate(titles)]
    if positions is not None:
        total = line_length or 80
        ends = [int(total * p) if p <= 1 else int(p) for p in positions[: len(titles)]]
        return [max(3, b - a - 3) for a, b in zip([0, *ends], ends)]
    total = line_length or min(120, max(65, shutil.get_terminal_size((80, 24)).columns))
    space = total - 3 * len(titles) - 1
    if sum(needed) <= space:
        needed[0] += (space - sum(needed)) // 2
        needed[1] += space - sum(needed)
        return needed
    over = sum(needed) - space
    for i in sorted(range(len(needed)), key=lambda i: -needed[i]):
        cut = min(over, max(0, needed[i] - 10))
        needed[i] -= cut
        over -= cut
    return needed


def _rule(corners: str, widths, line) -> str:
    return corners[0] + corners[1].join(line * (w + 2) for w in widths) + corners[2]


def _row(cells, widths) -> str:
    aligned = [c.rjust(w) if i == 2 else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths))]
    return "│ " + " │ ".join(aligned) + " │"


def _wrapped(cells, widths) -> list[str]:
    """Break long cells into several lines."""
    parts = [[c[k:k + w] for k in range(0, max(len(c), 1), w)] for c, w in zip(cells, widths)]
    height = max(map(len, parts))
    return [_row([p[k] if k < len(p) else "" for p in parts], widths) for k in range(height)]


def _totals(model) -> list[str]:
    if not model.built:
        return [" Total params: 0 (unbuilt)"]
    trained, frozen = model.trainable_weights, model.non_trainable_weights
    slots = []
    optimizer = getattr(model, "optimizer", None)
    if getattr(optimizer, "built", False):  # what it holds before is a counter and a rate
        slots = [v for v in tree.flatten(getattr(optimizer, "variables", [])) if isinstance(v, Variable)]
    lines = []
    for title, variables in (("Total params", [*trained, *frozen, *slots]), ("Trainable params", trained),
                             ("Non-trainable params", frozen), ("Optimizer params", slots)):
        if variables or title != "Optimizer params":
            count = sum(v.size for v in variables)
            size = sum(v.size * v.dtype.itemsize for v in variables)
            lines.append(f" {title}: {count:,} ({_readable(size)})")
    return lines


def _readable(size: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            return f"{size:.2f} {unit}"
        size /= 1024
    return ""
