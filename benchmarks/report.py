"""Tables and a chart of what ``compare_peers.py`` has measured.

    python benchmarks/report.py results/one-thread.json results/default.json --chart results/chart.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from harness import ratio
from workloads import WORKLOADS

OURS = "gpukeras"
BARE = "torch"  # shown, but no Keras engine
KINDS = {
    "fit": "a training step in `fit`", "train_on_batch": "`train_on_batch`",
    "predict_one": "`predict`, one sample", "predict": "`predict`, default batches",
    "evaluate": "`evaluate`, default batches",
}


# ---- what the figures say ---------------------------------------------------------------------------------
def engines(figures: dict) -> list[str]:
    """Return the Keras engines among the peers."""
    return [name for name in figures if name not in (OURS, f"{OURS}-cpu", BARE)]


def best(times: dict[str, dict]) -> str | None:
    """Return the fastest Keras engine."""
    return min(engines(times), key=lambda name: times[name]["median"], default=None)


def against_best(times: dict[str, dict]) -> tuple[str, dict] | None:
    """Return the fastest Keras engine and its time over ours."""
    name = best(times)
    return None if name is None or OURS not in times else (name, ratio(times[name], times[OURS]))


def verdict(letter: str, value: float) -> str:
    """Return which target a ratio of step times reaches."""
    target = WORKLOADS[letter]
    return "aim" if value >= target.aim else "must" if value >= target.must else "missed"


# ---- text, as the run goes --------------------------------------------------------------------------------
def workload(found: dict) -> str:
    """Return the figures of one workload as text."""
    lines = [f"  error: {reason}" for reason in found["errors"].values()]
    for name, values in found["losses"].items():
        memory, cold = found["memory"].get(name, 0) / 2**20, found["cold"].get(name)
        shown = " ".join(f"{v:.5f}" for v in values)
        first = "" if cold is None else f"   first step {cold:5.2f} s"
        lines.append(f"  {name:<18} losses {shown}{first}   peak {memory:6.0f} MB")
    for kind, times in found["times"].items():
        lines.append(f" {KINDS[kind]}")
        for name, t in times.items():
            r = ratio(t, times[OURS])
            lines.append(
                f"  {name:<18} {t['median'] * 1e3:10.4f} ms [{t['low'] * 1e3:.4f}, {t['high'] * 1e3:.4f}]"
                f"  {r['ratio']:6.2f} x ours  ({t['kept']} samples, {t['dropped']} dropped)"
            )
    return "\n".join(lines)


def summary(run: dict) -> str:
    """Return one line for each workload: the best Keras engine's step over ours, and the targets."""
    lines = ["best Keras engine's time per step / ours"]
    for letter, found in run["workloads"].items():
        compared = against_best(found["times"].get("fit", {}))
        if compared is None:
            continue
        (name, r), target = compared, WORKLOADS[letter]
        spread = f"{r['ratio']:6.2f} [{r['low']:.2f}, {r['high']:.2f}]"
        targets = f"must {target.must:<5} aim {target.aim:<4}"
        lines.append(f"  ({letter}) {spread}  {targets} {verdict(letter, r['ratio']):<7} best: {name}")
    return "\n".join(lines)


# ---- Markdown ---------------------------------------------------------------------------------------------
def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def setting(run: dict) -> str:
    """Return the thread setting of a run in words."""
    threads = run["threads"]
    if threads is None:
        return f"default threads ({run['machine']['cores']} cores)"
    return "1 thread" if threads == 1 else f"{threads} threads"


def ratios(runs: list[dict], kind: str) -> list[list[str]]:
    """Return a row for each run: best engine over ours, with the spread and the engine's name."""
    rows = []
    for run in runs:
        row = [setting(run)]
        for letter in WORKLOADS:
            times = run["workloads"].get(letter, {}).get("times", {}).get(kind, {})
            compared = against_best(times)
            row.append("" if compared is None else
                       f"{compared[1]['ratio']:.2f} ({compared[1]['low']:.2f}–{compared[1]['high']:.2f})")
        rows.append(row)
    return rows


def times_table(run: dict, kind: str) -> str:
    """Return milliseconds of every peer on every workload."""
    names = list(dict.fromkeys(n for f in run["workloads"].values() for n in f["times"].get(kind, {})))
    rows = []
    for name in names:
        row = [name]
        for letter in WORKLOADS:
            t = run["workloads"].get(letter, {}).get("times", {}).get(kind, {}).get(name)
            row.append("" if t is None else _short(t["median"] * 1e3))
        rows.append(row)
    return table([f"{setting(run)}, ms", *WORKLOADS], rows)


def _short(value: float) -> str:
    """Return a number with three digits that count."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def memory_table(run: dict) -> str:
    """Return the peak memory of every peer on every workload, in MB."""
    names = list(dict.fromkeys(n for f in run["workloads"].values() for n in f["memory"]))
    rows = []
    for name in names:
        values = [run["workloads"].get(letter, {}).get("memory", {}).get(name) for letter in WORKLOADS]
        rows.append([name, *("" if v is None else f"{v / 2**20:.0f}" for v in values)])
    return table([f"{setting(run)}, MB", *WORKLOADS], rows)


def once_table(runs: list[dict]) -> str:
    """Return cold start and installed size of every peer."""
    names = list(dict.fromkeys(n for run in runs for n in (*run["cold"], *run["sizes"])))
    sizes = next((run["sizes"] for run in runs if run["sizes"]), {})
    rows = []
    for name in names:
        starts = [f"{run['cold'][name]['median']:.2f}" if name in run["cold"] else "" for run in runs]
        rows.append([name, *starts, f"{sum(sizes[name].values()) / 1e6:.0f}" if name in sizes else ""])
    header = ["peer", *(f"cold start, {setting(run)}, s" for run in runs), "installed, MB"]
    return table(header, rows)


def problems(run: dict) -> list[str]:
    """Return the errors of a run and the greatest difference of losses, as list items."""
    lines = [f"- ({letter}) {reason}" for letter, found in run["workloads"].items()
             for reason in found["errors"].values()]
    worst = max(
        ((abs(v - o) / abs(o), letter, name) for letter, found in run["workloads"].items()
         for name, values in found["losses"].items() if name != OURS and name not in found["errors"]
         for v, o in zip(values, found["losses"][OURS])), default=None)
    if worst is not None:
        share, letter, name = worst
        lines.append(f"- {setting(run)}: losses differ from ours by {share:.2g} at most ({name} on {letter})")
    return lines


def markdown(runs: list[dict]) -> str:
    """Return all tables of some runs."""
    targets = [["*must*", *(f"{w.must:g}" for w in WORKLOADS.values())],
               ["*aim*", *(f"{w.aim:g}" for w in WORKLOADS.values())]]
    parts = []
    for kind, words in KINDS.items():
        if any(kind in found["times"] for run in runs for found in run["workloads"].values()):
            extra = targets if kind == "fit" else []
            parts += [f"Best Keras engine's time for {words} / ours (quartiles):",
                      table(["", *WORKLOADS], extra + ratios(runs, kind))]
    parts.append("Milliseconds per training step in `fit`:")
    parts += [times_table(run, "fit") for run in runs]
    parts += ["Peak memory of the process after `fit`:", memory_table(runs[0])]
    if any(run["cold"] or run["sizes"] for run in runs):
        parts += ["Fresh process to first trained step of (a), and installed size:", once_table(runs)]
    found = [line for run in runs for line in problems(run)]
    parts += ["Losses after the same batches from the same weights:", "\n".join(found)] if found else []
    return "\n\n".join(parts)


# ---- chart ------------------------------------------------------------------------------------------------
def chart(runs: list[dict], path: Path) -> str:
    """Draw every peer's step time over ours, a panel for each run; return what was done."""
    try:
        import matplotlib
    except ImportError:
        return "no chart: matplotlib is not installed (pip install matplotlib)"
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(len(runs), 1, figsize=(10, 3.6 * len(runs)), squeeze=False)
    for run, axes in zip(runs, panels[:, 0]):
        bars(axes, run)
        axes.set_title(f"{setting(run)}: above 1 gpukeras is faster")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return f"chart: {path}"


def bars(axes, run: dict) -> None:
    """Draw every peer's step time over ours into one panel."""
    letters = [k for k, found in run["workloads"].items() if OURS in found["times"].get("fit", {})]
    names = list(dict.fromkeys(n for k in letters for n in run["workloads"][k]["times"]["fit"]))
    names = [n for n in names if n != OURS]
    for i, name in enumerate(names):
        times = {k: run["workloads"][k]["times"]["fit"] for k in letters}
        places = [j for j, k in enumerate(letters) if name in times[k]]
        found = [ratio(times[letters[j]][name], times[letters[j]][OURS]) for j in places]
        spread = [[r["ratio"] - r["low"] for r in found], [r["high"] - r["ratio"] for r in found]]
        width = 1 / (len(names) + 1)
        middles = [j + (i + 1) * width - 0.5 for j in places]
        axes.bar(middles, [r["ratio"] - 1 for r in found], 0.9 * width, bottom=1, yerr=spread, label=name,
                 error_kw={"linewidth": 0.7})
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks(range(len(letters)), letters)
    axes.set_ylabel("time per step / ours")
    if names:
        axes.legend(ncols=len(names), fontsize="small")


def main() -> None:
    """Print the tables of the files given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="written by compare_peers.py --json")
    parser.add_argument("--chart", type=Path, default=None, help="PNG file (needs matplotlib)")
    options = parser.parse_args()
    runs = [json.loads(path.read_text()) for path in options.files]
    print(markdown(runs))
    if options.chart is not None:
        print(chart(runs, options.chart))


if __name__ == "__main__":
    main()
