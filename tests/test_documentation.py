"""Every example in a docstring, and the first model of the README, runs as printed."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import gpukeras

MODULES = sorted(
    m.name for m in pkgutil.walk_packages([str(Path(gpukeras.__file__).parent)], "gpukeras.")
    if not m.name.endswith("__main__")
)
README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.mark.parametrize("name", ["gpukeras", *MODULES])
def test_examples_in_docstrings(name):
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert not failed


def test_readme_examples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    assert len(blocks) >= 3
    names: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["model"].evaluate(names["x"], names["y"], verbose=0)[1] > 0.9


def test_readme_commands_name_real_things():
    text = README.read_text(encoding="utf-8")
    for extra in set(re.findall(r"\[(\w+)\]\"", text)):
        assert f"\n{extra} = [" in (README.parent / "pyproject.toml").read_text(encoding="utf-8"), extra
    for path in set(re.findall(r"`((?:gpukeras|backends|kernels|tests|benchmarks)/[\w/.]*)`", text)):
        assert (README.parent / path).exists(), path
