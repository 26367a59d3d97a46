"""What every kernel takes of a multiprocessor, told by NVIDIA's compiler; no GPU is needed.

    pip install -e ".[test,nvrtc]"
    python benchmarks/kernel_resources.py                       # all, for sm_90
    python benchmarks/kernel_resources.py pooling --arch 75 120
    python benchmarks/kernel_resources.py --write               # results/kernel_resources_sm90.md

Ends with 1 where a kernel is not within the budget that is declared beside its launcher.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from support import nvrtc  # noqa: E402
from support.occupancy import LIMITS, occupancy  # noqa: E402

COLUMNS = (
    "kernel", "defined as", "registers", "shared, own + asked for (bytes)", "threads", "blocks", "occupancy",
    "limited by", "spills + stack (bytes)",
)
ABOUT = """# Kernels on sm_{arch}

Written by `python benchmarks/kernel_resources.py --arch {arch} --write` with NVRTC {version}. For the
largest block that each launcher uses: registers of a thread; shared memory of a block; how many blocks a
multiprocessor runs at once, and their share of the warps that it has room for; bytes of registers spilled and
of stack. Variants with equal figures stand in one line.
"""


def figures(variant, found, arch: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the name of each kernel of a compiled variant, and its figures."""
    for name, budget in variant.budgets.items():
        used = found.kernels.get(name)
        if used is None:  # not meant for this architecture; where it is, the gate says so
            continue
        asked = min(budget.shared, LIMITS[arch].of_block - used.shared) if budget.adapts else budget.shared
        fits = occupancy(arch, budget.threads, used.registers, used.shared + asked)
        yield f"`{name}`", (
            str(used.registers), f"{used.shared} + {asked}", str(budget.threads), str(fits.blocks),
            f"{fits.share:.0%}", fits.limit, f"{used.spills} + {used.stack}",
        )


def table(lines: dict[tuple, list[str]]) -> str:
    """Return a Markdown table of lines: defines by kernel and figures."""
    body = [(name, "; ".join(defines), *cells) for (name, cells), defines in sorted(lines.items())]
    every = [COLUMNS, ("---",) * len(COLUMNS), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in every)


def report(variants: list, arch: int) -> tuple[str, list[str]]:
    """Compile for one architecture; return a table for each file, and what is wrong."""
    def compiled(variant):
        try:
            return nvrtc.compiled(variant, arch)
        except nvrtc.CompileError as error:
            return str(error)

    variants = [v for v in variants if nvrtc.exists(v, arch)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(compiled, variants))
    tables: dict[str, dict[tuple, list[str]]] = {}
    wrong = []
    for variant, found in zip(variants, outcomes):
        lines = tables.setdefault(variant.module.file, {})
        if isinstance(found, str):
            wrong.append(found)
            continue
        defines = ", ".join(f"{k}={v}" for k, v in variant.defines)
        for line in figures(variant, found, arch):
            lines.setdefault(line, []).append(defines)
        wrong += nvrtc.problems(variant, found, arch)
    head = ABOUT.format(arch=arch, version=nvrtc.version())
    parts = [f"## {file}\n\n{table(lines)}\n" for file, lines in tables.items()]
    return "\n".join([head, *parts]), wrong


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("families", nargs="*", help="names of .cu files without the ending; all unless given")
    parser.add_argument("--arch", type=int, nargs="+", default=[90], choices=nvrtc.ARCHITECTURES)
    parser.add_argument("--write", action="store_true", help="write the tables into benchmarks/results")
    chosen = parser.parse_args(arguments)
    if problem := nvrtc.missing():
        parser.error(problem)
    variants = nvrtc.variants()
    if chosen.families:
        variants = [v for v in variants if Path(v.module.file).stem in chosen.families]
    if unknown := set(chosen.families) - {Path(v.module.file).stem for v in variants}:
        parser.error(f"no kernels are declared for {', '.join(sorted(unknown))}")
    if chosen.write and chosen.families:
        parser.error("--write is for all kernels")
    everything = []
    for arch in chosen.arch:
        text, wrong = report(variants, arch)
        print(text)
        everything += wrong
        if chosen.write:
            (RESULTS / f"kernel_resources_sm{arch}.md").write_text(text, encoding="utf-8")
    print("\n".join(["Not within their budgets:", *everything] if everything else ["All within budget."]))
    return 1 if everything else 0


if __name__ == "__main__":
    sys.exit(main())
