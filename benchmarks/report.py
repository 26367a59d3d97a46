"""Tables of what ``compare_peers.py`` has measured."""

from __future__ import annotations

from harness import ratio
from workloads import WORKLOADS

OURS = "gpukeras"
BARE = "torch"  # shown, but no Keras engine
WORDS = {
    "fit": "training step in fit", "train_on_batch": "train_on_batch", "predict_one": "predict, one sample",
    "predict": "predict, default batches", "evaluate": "evaluate, default batches",
}


def best(times: dict[str, dict]) -> str | None:
    """Return the fastest Keras engine."""
    engines = [name for name in times if name not in (OURS, BARE)]
    return min(engines, key=lambda name: times[name]["median"], default=None)


def workload(letter: str, found: dict) -> str:
    """Return the figures of one workload as text."""
    lines = [f"  error: {reason}" for reason in found["errors"].values()]
    for name, values in found["losses"].items():
        memory, cold = found["memory"].get(name, 0) / 2**20, found["cold"][name]
        shown = " ".join(f"{v:.5f}" for v in values)
        lines.append(f"  {name:<18} losses {shown}   cold start {cold:5.2f} s   peak {memory:6.0f} MB")
    for kind, times in found["times"].items():
        lines.append(f" {WORDS[kind]}")
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
        times = found["times"].get("fit", {})
        name = best(times)
        if name is None:
            continue
        r, target = ratio(times[name], times[OURS]), WORKLOADS[letter]
        verdict = "aim" if r["ratio"] >= target.aim else "must" if r["ratio"] >= target.must else "MISSED"
        spread = f"{r['ratio']:6.2f} [{r['low']:.2f}, {r['high']:.2f}]"
        targets = f"must {target.must:<5} aim {target.aim:<4}"
        lines.append(f"  ({letter}) {spread}  {targets} {verdict:<7} best: {name}")
    return "\n".join(lines)
