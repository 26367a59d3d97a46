"""The package as a clone and as a wheel, used from another folder; what importing it costs."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
USE = """
import sys
import numpy as np
import gpukeras as keras
import gpukeras.backends, gpukeras.kernels
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
model.compile("sgd", "mse")
model.fit(np.ones((4, 3), "float32"), np.ones((4, 2), "float32"), verbose=0)
assert "backends" not in sys.modules and "kernels" not in sys.modules
print(keras.__file__, gpukeras.backends.__file__, gpukeras.kernels.__file__, sep="\\n")
"""


def python(code, folder, path):
    """Run code in a fresh interpreter in ``folder`` with only ``path`` added to it."""
    environment = {**os.environ, "PYTHONPATH": str(path), "GPUKERAS_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


def test_import_is_silent_and_brings_nothing_heavy(tmp_path):
    code = """
import sys
import gpukeras
heavy = {"h5py", "cupy", "matplotlib", "pandas", "sklearn", "PIL", "scipy", "keras", "jax", "urllib.request"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
for name in dir(gpukeras):
    if name != "datasets":
        getattr(gpukeras, name)
assert not heavy & set(sys.modules), heavy & set(sys.modules)
gpukeras.datasets
assert not (heavy - {"urllib.request"}) & set(sys.modules)
"""
    done = python(code, tmp_path, ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())


def test_a_clone_works_from_another_folder(tmp_path):
    done = python(USE, tmp_path, ROOT)
    assert done.returncode == 0, done.stderr
    found = [Path(line).resolve() for line in done.stdout.split()]
    assert found == [ROOT / name / "__init__.py" for name in ("gpukeras", "backends", "kernels")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if importlib.util.find_spec("build") is None:
        pytest.skip("packaging: 'build' is not installed (extra 'test')")
    if int(metadata.version("setuptools").split(".")[0]) < 77:
        pytest.skip("packaging: setuptools >= 77 is not installed (extra 'test')")
    source = tmp_path_factory.mktemp("source")  # building leaves files beside the sources
    for name in ("gpukeras", "backends", "kernels"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(source / "dist")]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = (source / "dist").glob("*.whl")
    return found


def test_the_wheel_holds_every_source_file(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for top in ("gpukeras", "backends", "kernels"):
        for path in (ROOT / top).rglob("*"):
            if path.suffix in (".py", ".cu", ".cuh"):
                inside = path.relative_to(ROOT).as_posix()
                inside = inside if top == "gpukeras" else f"gpukeras/{inside}"
                assert inside in names, f"{inside} is not in the wheel"
    assert not [n for n in names if n.startswith(("backends/", "kernels/", "tests/"))]


def test_the_wheel_works_from_another_folder(wheel, tmp_path):
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    done = subprocess.run([*install, "--target", str(site)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    done = python(USE, folder, site)
    assert done.returncode == 0, done.stderr
    assert all(Path(line).is_relative_to(site / "gpukeras") for line in done.stdout.split())
    done = python("from gpukeras.__main__ import main; main(['--version'])", folder, site)
    assert done.stdout.startswith("gpukeras "), done.stderr
