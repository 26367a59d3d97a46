"""Tables, verdicts and a chart of what ``compare_devices.py`` has measured.

    python benchmarks/device_report.py results/devices.json --chart results/devices.png
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import report
from harness import ratio

OURS, CPU, BARE = report.OURS, f"{report.OURS}-cpu", report.BARE
COURSE = "adegh"  # workloads with a target
STEPS, COPY, CONVOLUTION, LSTM, SLOWER = 3.0, 0.8, 0.6, 1.0, 1.05
AIM = {"convolution": 0.9}


# ---- one layer ---------------------------------------------------------------------------------------------
def shares(row: dict, ceilings: dict | None) -> tuple[float | None, float | None]:
    """Return which parts of the card's operations and of its copy bandwidth a layer reaches."""
    seconds, ceilings = row["times"][OURS]["median"], ceilings or {}
    top, copy = ceilings.get(row["precision"]), ceilings.get("copy")
    return (
        row["flops"] / seconds / top if row["flops"] and top else None,
        row["bytes"] / seconds / copy if row["bytes"] and copy else None,
    )


def over(row: dict, peer: str) -> dict | None:
    """Return a peer's time over ours."""
    times = row["times"]
    return ratio(times[peer], times[OURS]) if peer in times else None


def layer(name: str, found: dict, ceilings: dict | None) -> str:
    """Return the figures of one group of cases as text."""
    if "error" in found:
        return f"{name}: error: {found['error']}"
    if "left_out" in found:
        return f"{name}: {found['left_out']}, left out"
    lines = [name]
    for row in found["rows"]:
        ours = row["times"][OURS]
        parts = [f"  {row['step']:<22} {_time(ours['median'])} [{_time(ours['low'])}, {_time(ours['high'])}]"]
        for peer in (BARE, CPU):
            if r := over(row, peer):
                parts.append(f"{peer} / ours {r['ratio']:.2f} [{r['low']:.2f}, {r['high']:.2f}]")
        parts += [_rate(row["flops"], ours, "FLOP/s", shares(row, ceilings)[0]),
                  _rate(row["bytes"], ours, "B/s", shares(row, ceilings)[1])]
        lines.append("  ".join(filter(None, parts)))
    return "\n".join(lines)


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def _rate(amount: float, ours: dict, unit: str, share: float | None) -> str:
    if not amount:
        return ""
    rate = amount / ours["median"]
    text = f"{rate / 1e12:.3g} T{unit}" if rate >= 1e12 else f"{rate / 1e9:.3g} G{unit}"
    return text if share is None else f"{text} ({share:.0%})"


# ---- targets -----------------------------------------------------------------------------------------------
class Verdict(NamedTuple):
    """One figure beside what was asked for.

    Attributes
    ----------
    target, what : str
        The figure's kind, and what was measured.
    value : float or None
        ``None`` where it was not measured.
    least, aim : float
        From which it counts as reached, and what was hoped for; times of variants are compared the other way
        round: ``least`` is the most.
    most : bool
        Whether ``least`` is an upper bound.
    """

    target: str
    what: str
    value: float | None
    least: float
    aim: float
    most: bool = False

    @property
    def word(self) -> str:
        """In one word."""
        if self.value is None:
            return "not measured"
        if self.most:
            return "reached" if self.value <= self.least else "missed"
        if self.value < self.least:
            return "missed"
        return "aim" if self.value >= self.aim > self.least else "reached"


def verdicts(run: dict) -> list[Verdict]:
    """Return every figure that has a target; none of a CPU has."""
    if run["device"]["kind"] != "gpu":
        return []
    return [*_fits(run), *_layers(run), *_variants(run)]


def _fits(run: dict) -> Iterator[Verdict]:
    for letter in COURSE:
        compared = report.against_best(run["workloads"].get(letter, {}).get("times", {}).get("fit", {}))
        value = None if compared is None else compared[1]["ratio"]
        what = f"({letter})" if compared is None else f"({letter}), best: {compared[0]}"
        yield Verdict("steps of fit, best Keras engine / ours", what, value, STEPS, STEPS)


def _rows(run: dict) -> Iterator[tuple[str, dict]]:
    for name, found in run["layers"].items():
        for row in found.get("rows", ()):
            yield name, row


def _layers(run: dict) -> Iterator[Verdict]:
    ceilings = run["ceilings"].get("gpu")
    for name, row in _rows(run):
        what, torch = f"{name}: {row['step']}", over(row, BARE)
        value = torch and torch["ratio"]
        if row["family"] in ("pooling", "elementwise"):
            yield Verdict("share of the copy bandwidth", what, shares(row, ceilings)[1], COPY, COPY)
        elif row["family"] == "convolution":
            yield Verdict("convolution, cuDNN / ours", what, value, CONVOLUTION, AIM["convolution"])
        elif row["family"] == "recurrent" and name.startswith("lstm"):
            yield Verdict("LSTM, cuDNN / ours", what, value, LSTM, LSTM)


def _variants(run: dict) -> Iterator[Verdict]:
    """Compare LSTMs with masks or recurrent dropout with those without."""
    plain = {(name, row["step"]): row["times"][OURS]["median"] for name, row in _rows(run)}
    for name, row in _rows(run):
        usual = name.replace(" masked", "").replace(" recurrent dropout", "")
        if name.startswith("lstm") and usual != name:
            base = plain.get((usual, row["step"]))
            value = base and row["times"][OURS]["median"] / base
            what = f"{name}: {row['step']}"
            yield Verdict("LSTM, time over that without", what, value, SLOWER, 1.0, most=True)


def failed(run: dict) -> bool:
    """Tell whether something could not be measured."""
    return any(found["errors"] for found in run["workloads"].values()) or any(
        "error" in found for found in run["layers"].values())


# ---- text --------------------------------------------------------------------------------------------------
def summary(run: dict) -> str:
    """Return the ceilings, every figure with a target, and what is missing."""
    return "\n".join([*_setting(run), *_judged(run), *_missing(run)])


def _setting(run: dict) -> Iterator[str]:
    yield f"{run['device']['text']}, {run['machine']['date']}"
    for kind, found in run["ceilings"].items():
        rates = [f"{name} {rate / 1e12:.3g} TFLOP/s" for name, rate in found.items() if name != "copy"]
        yield f"  {kind}: copy {found['copy'] / 1e9:.4g} GB/s, matrix products {', '.join(rates)}"
    for letter, found in run["workloads"].items():
        times = found["times"].get("fit", {})
        if OURS in times:
            parts = [f"{1 / times[OURS]['median']:.4g} steps/s in fit"]
            parts += [f"{name} / ours {ratio(t, times[OURS])['ratio']:.2f}" for name, t in times.items()
                      if name != OURS]
            yield f"  ({letter}) {', '.join(parts)}"


def _judged(run: dict) -> Iterator[str]:
    found = verdicts(run)
    if not found:
        yield "targets are those of a GPU: none is judged here"
    for target in dict.fromkeys(v.target for v in found):
        figures = [v for v in found if v.target == target]
        good = sum(v.word in ("aim", "reached") for v in figures)
        bound = f"at {'most' if figures[0].most else 'least'} {figures[0].least:g}"
        aim = f", aim {figures[0].aim:g}" if figures[0].aim > figures[0].least else ""
        yield f"{target}: {bound}{aim}; {good} of {len(figures)} reached"
        for v in figures:
            yield f"  {v.word:<12} {'' if v.value is None else f'{v.value:.2f}':>6}  {v.what}"


def _missing(run: dict) -> Iterator[str]:
    for letter, found in run["workloads"].items():
        for reason in found["errors"].values():
            yield f"error: ({letter}) {reason}"
    for name, found in run["layers"].items():
        if "error" in found:
            yield f"error: {name}: {found['error']}"
    left = [name for name, found in run["layers"].items() if "left_out" in found]
    if left:
        yield f"too large for this device: {', '.join(left)}"
    if run["unfinished"]:
        yield f"no time was left for {len(run['unfinished'])} (--resume): {', '.join(run['unfinished'])}"


# ---- Markdown ----------------------------------------------------------------------------------------------
def markdown(run: dict) -> str:
    """Return all tables of a run."""
    found = verdicts(run)
    parts = ["\n".join(f"- {line.strip()}" for line in _setting(run))]
    names = list(dict.fromkeys(n for f in run["workloads"].values() for n in f["times"].get("fit", {})))
    if names:
        rows = [[letter, *(_steps(f["times"].get("fit", {}).get(n)) for n in names)]
                for letter, f in run["workloads"].items()]
        parts += ["Steps per second in `fit`:", report.table(["", *names], rows)]
    if found:
        rows = [[v.target, v.what, "" if v.value is None else f"{v.value:.2f}", f"{v.least:g}", v.word]
                for v in found]
        parts += ["Targets:", report.table(["", "", "measured", "needed", "verdict"], rows)]
    rows = [_cells(name, row, run["ceilings"].get(run["device"]["kind"])) for name, row in _rows(run)]
    if rows:
        header = ["layer", "pass", "time", "PyTorch / ours", "CPU / ours", "FLOP/s", "B/s", "launch"]
        parts += ["Layers (shares of large matrix products and of a copy):", report.table(header, rows)]
    missing = [f"- {line}" for line in _missing(run)]
    return "\n\n".join([*parts, *(["\n".join(missing)] if missing else [])])


def _steps(times: dict | None) -> str:
    return "" if times is None else f"{1 / times['median']:.4g}"


def _cells(name: str, row: dict, ceilings: dict | None) -> list[str]:
    ours, (work, moved) = row["times"][OURS], shares(row, ceilings)
    ratios = [f"{r['ratio']:.2f}" if (r := over(row, peer)) else "" for peer in (BARE, CPU)]
    return [name, row["step"], _time(ours["median"]), *ratios, _rate(row["flops"], ours, "FLOP/s", work),
            _rate(row["bytes"], ours, "B/s", moved), "" if row["launch"] is None else _time(row["launch"])]


# ---- chart -------------------------------------------------------------------------------------------------
def chart(run: dict, path: Path) -> str:
    """Draw steps of fit over ours, and PyTorch's time of every layer over ours; return what was done."""
    try:
        import matplotlib
    except ImportError:
        return "no chart: matplotlib is not installed (pip install matplotlib)"
    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups = {name: [over(row, BARE) or over(row, CPU) for row in found.get("rows", ())]
              for name, found in run["layers"].items()}
    groups = {name: [r["ratio"] for r in found if r] for name, found in groups.items()}
    groups = {name: found for name, found in groups.items() if found}
    heights = [3.6, max(1.5, 0.16 * len(groups))] if groups else [3.6]
    figure, panels = pyplot.subplots(len(heights), 1, figsize=(10, sum(heights)), height_ratios=heights,
                                     squeeze=False)
    report.bars(panels[0, 0], run)
    panels[0, 0].set_title(f"{run['device']['text']}: above 1 gpukeras is faster")
    if groups:
        axes = panels[1, 0]
        for i, found in enumerate(groups.values()):
            axes.plot(found, [i] * len(found), "o", markersize=3, color="tab:blue")
        axes.set_yticks(range(len(groups)), groups, fontsize=5)
        axes.invert_yaxis()
        axes.axvline(1.0, color="black", linewidth=0.8)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        peer = BARE if any(BARE in row["times"] for _, row in _rows(run)) else "the CPU"
        axes.set_xlabel(f"time of {peer} / ours, a dot for each pass")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return f"chart: {path}"


def main() -> None:
    """Print the tables of a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="written by compare_devices.py --json")
    parser.add_argument("--chart", type=Path, default=None, help="PNG file (needs matplotlib)")
    options = parser.parse_args()
    run = json.loads(options.file.read_text())
    print(markdown(run))
    if options.chart is not None:
        print(chart(run, options.chart))


if __name__ == "__main__":
    main()
