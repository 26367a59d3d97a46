"""Compiled kernels are kept by content, and several processes may compile at once."""

import os
import shutil
import subprocess
import sys

import pytest
from support.emulator import build, missing

CODE = 'extern "C" __global__ void f(int* y) { y[0] = VALUE; }'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    shutil.copy(build.runtime()._name, tmp_path)  # takes seconds to compile
    monkeypatch.setenv("GPUKERAS_EMULATOR_CACHE", str(tmp_path))
    return tmp_path


def test_kept_by_content(folder):
    before = build._compiled.cache_info().misses
    build.compiled(CODE, ("-DVALUE=1",), "fast", "90")
    build.compiled(CODE, ("-DVALUE=1", "--use_fast_math"), "fast", "90")
    assert len(list(folder.glob("kernel-*.so"))) == 1
    build.compiled(CODE, ("-D", "VALUE=2"), "fast", "90")
    build.compiled(CODE, ("--define-macro=VALUE=1",), "check", "90")
    build.compiled(CODE, ("-DVALUE=1",), "fast", "75")
    assert len(list(folder.glob("kernel-*.so"))) == 4
    assert build._compiled.cache_info().misses > before
    assert not list(folder.glob("*.o")) and not list(folder.glob("*.lock"))


def test_several_processes(folder):
    program = f"from support.emulator import build; build.compiled({CODE!r}, ('-DVALUE=7',), 'fast', '90')"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    runs = [subprocess.Popen([sys.executable, "-c", program], env=environment) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert len(list(folder.glob("kernel-*.so"))) == 1


def test_without_a_compiler(monkeypatch):
    monkeypatch.setattr(build, "COMPILER", "no-such-compiler")
    missing.cache_clear()
    try:
        assert "needs the compiler no-such-compiler" in missing()
    finally:
        missing.cache_clear()
