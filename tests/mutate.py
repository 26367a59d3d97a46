"""Change kernels a little, and see whether their tests notice::

    python tests/mutate.py pooling                      # kernels/pooling.cu by tests/kernels/test_pooling.py
    python tests/mutate.py pooling --count 200 --seed 1
    python tests/mutate.py recurrent_lstm --tests tests/kernels/test_recurrent.py -k lstm

Each mutant is one changed operator, bound, constant or barrier, in a copy of the project. Its tests run on
the emulator, tier fast first and, where that finds nothing, tier check. Listed is what became of each; one
that survived is a test that is missing, or a change that changes nothing.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[1]
SECONDS = 5  # of a kernel, before it counts as endless

# What to look for in code, and what to put there.
CHANGES = [
    (r"__syncthreads\(\);", ";"),
    (r"__syncwarp\(\w*\);", ";"),
    (r"__threadfence\(\);", ";"),
    (r"(?<= )<(?= )", "<="), (r"(?<= )<=(?= )", "<"), (r"(?<= )>(?= )", ">="), (r"(?<= )>=(?= )", ">"),
    (r"(?<= )==(?= )", "!="), (r"(?<= )!=(?= )", "=="), (r"(?<= )&&(?= )", "||"), (r"(?<= )\|\|(?= )", "&&"),
    (r"(?<= )\+(?= )", "-"), (r"(?<= )-(?= )", "+"), (r"(?<= )\*(?= )", "+"), (r"(?<= )/(?= )", "*"),
    (r"(?<= )%(?= )", "/"), (r"\+=", "-="), (r"(?<=[+-] )1\b(?!\.)", "2"), (r"(?<== )0(?=[;,])", "1"),
    (r"\bmin\(", "max("), (r"\bmax\(", "min("), (r"\bfminf\(", "fmaxf("), (r"\bfmaxf\(", "fminf("),
    (r"\btrue\b", "false"), (r"\bfalse\b", "true"), (r"\b0\.f\b", "1.f"), (r"\b1\.f\b", "2.f"),
    (r"\bthreadIdx\.x / 32\b", "threadIdx.x / 16"),
]
NO_CODE = r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/|^[ \t]*#[^\n]*|template\s*<[^>]*>'


class Mutant(NamedTuple):
    """One change of a source."""

    line: int
    before: str
    after: str
    source: str
    text: str  # of the line

    def __str__(self) -> str:
        return f"line {self.line}: {self.before!r} -> {self.after!r} in  {self.text}"


def mutants(source: str) -> list[Mutant]:
    """Return all changes of a source, in its order."""
    code = re.sub(NO_CODE, lambda m: re.sub(r"[^\n]", "\0", m[0]), source, flags=re.S | re.M)
    found = {}
    for pattern, after in CHANGES:
        for match in re.finditer(pattern, code):
            start, stop = match.span()
            line = source.count("\n", 0, start)
            found[start, after] = Mutant(line + 1, match[0], after, source[:start] + after + source[stop:],
                                         source.splitlines()[line].strip())
    return [found[key] for key in sorted(found)]


def copied(folder: pathlib.Path) -> None:
    """Copy what tests of kernels need."""
    for name in ("gpukeras", "backends", "kernels", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)


def run(folder: pathlib.Path, tests: list[str], selection: str, seconds: float) -> str:
    """Return "passed", "failed", "no such tests", or "does not compile"."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "GPUKERAS_EMULATOR_SECONDS": str(SECONDS)}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests, "-k", selection]
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True,
                              timeout=seconds)
    except subprocess.TimeoutExpired:
        return "failed"
    if "CompileException" in done.stdout or "does not compile" in done.stdout:
        return "does not compile"
    return {0: "passed", 5: "no such tests"}.get(done.returncode, "failed")


def judged(folder, tests, selection, seconds) -> str:
    """Return the tier that notices a mutant, "survived" or "does not compile"."""
    rest = f"and ({selection})" if selection else ""
    for tier, other in (("fast", f"not check {rest}"), ("check", f"check {rest}")):
        result = run(folder, tests, other, seconds)
        if result == "does not compile":
            return result
        if result == "failed":
            return tier
    return "survived"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("family", help="name of a file in kernels/, without .cu")
    parser.add_argument("--tests", nargs="*", help="default: tests/kernels/test_<family>.py")
    parser.add_argument("-k", dest="selection", default="", help="of these tests, as pytest takes it")
    parser.add_argument("--count", type=int, default=40, help="how many mutants, drawn at random (0: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=600, help="for the tests of one mutant")
    given = parser.parse_args()
    name = given.family if "." in given.family else f"{given.family}.cu"
    tests = given.tests or [f"tests/kernels/test_{given.family}.py"]
    all_found = mutants((ROOT / "kernels" / name).read_text())
    drawn = sorted(random.Random(given.seed).sample(all_found, min(given.count or 10**9, len(all_found))))
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        copied(folder)
        if (before := judged(folder, tests, given.selection, given.seconds)) != "survived":
            print(f"the tests fail without any change ({before}): {' '.join(tests)}")
            return 2
        for i, mutant in enumerate(drawn, 1):
            (folder / "kernels" / name).write_text(mutant.source)
            start = time.perf_counter()
            result = judged(folder, tests, given.selection, given.seconds)
            counts[result] = counts.get(result, 0) + 1
            print(f"{i}/{len(drawn)} {result:16} {time.perf_counter() - start:5.1f} s  {mutant}", flush=True)
    fast, check, survived, broken = (
        counts.get(result, 0) for result in ("fast", "check", "survived", "does not compile"))
    print(f"\n{name}: {len(all_found)} mutants, tried {len(drawn)}: {fast + check} noticed ({fast} in tier "
          f"fast, {check} in check alone), {survived} survived, {broken} do not compile")
    return int(survived > 0)


if __name__ == "__main__":
    sys.exit(main())
