"""Virtual environments for the peers, and how large what each of them needs is when installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CPU_WHEELS = ("--extra-index-url", "https://download.pytorch.org/whl/cpu")
NEEDS = {  # what a user would install; the rest comes with it
    "gpukeras": ["numpy", "h5py"],
    "keras-jax": ["keras", "jax"],
    "keras-tensorflow": ["keras", "tensorflow-cpu"],
    "keras-torch": ["keras", "torch"],
    "tf_keras": ["tf_keras", "tensorflow-cpu"],
    "torch": ["torch", "numpy"],
}

# Run by the peer's own interpreter: bytes of the files of some distributions and of all that they require.
SIZE = """
import json, re, sys
from importlib.metadata import PackageNotFoundError, distribution

def name_of(requirement):
    return re.sub(r"[-_.]+", "-", re.match(r"[\\w.-]+", requirement)[0]).lower()

found, files, waiting = {}, set(), sys.argv[1:]
while waiting:
    name = name_of(waiting.pop())
    if name in found:
        continue
    try:
        dist = distribution(name)
    except PackageNotFoundError:  # an option, or meant for another system
        continue
    new = {str(p.locate().resolve()): p.locate() for p in dist.files or ()}
    found[name] = sum(p.stat().st_size for k, p in new.items() if k not in files and p.is_file())
    files |= set(new)
    waiting += [r for r in dist.requires or () if "extra ==" not in r]
print(json.dumps(found))
"""


def create(folder: Path, peers: list[str]) -> dict[str, str]:
    """Make an environment for each peer in ``folder`` where there is none yet; return the interpreters."""
    pythons = {}
    for name in peers:
        place = folder / name
        python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        if not (place / "ready").exists():
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
            wheels = CPU_WHEELS if "torch" in NEEDS[name] else ()
            subprocess.run([str(python), "-m", "pip", "install", "-q", *NEEDS[name], *wheels], check=True)
            (place / "ready").touch()
        pythons[name] = str(python)
    return pythons


def size(name: str, python: str | None = None) -> dict[str, int]:
    """Return the bytes of what a peer needs, by distribution; gpukeras itself is counted from this folder."""
    command = [python or sys.executable, "-c", SIZE, *NEEDS[name]]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    if name == "gpukeras":
        root = HERE.parent
        sources = [p for room in ("gpukeras", "backends", "kernels") for p in (root / room).rglob("*.*")]
        found["gpukeras"] = sum(p.stat().st_size for p in sources if p.suffix in (".py", ".cu", ".cuh"))
    return found
