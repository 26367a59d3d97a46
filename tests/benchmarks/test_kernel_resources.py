"""The table of what kernels take."""

from types import SimpleNamespace

import pytest
from support import nvrtc

SOURCE = """
extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2; }
extern "C" __global__ void later(float* x) { x[threadIdx.x] *= USE_N; }
"""


@pytest.mark.nvrtc
def test_report(script):
    kernels = script("kernel_resources")
    launch = nvrtc.launch()
    module = SimpleNamespace(file="planted.cu", source=SOURCE)
    budgets = {"twice": launch.Budget(threads=128, shared=64 << 10), "later": launch.Budget(occupancy=1.1)}
    variants = [launch.Variant(module, (("N", n),), budgets) for n in ("3", "4", "oops")]
    text, wrong = kernels.report(variants, 90)
    twice = [line for line in text.splitlines() if line.startswith("| `twice` | N=3; N=4 |")]
    assert len(twice) == 1 and twice[0].endswith(
        "| 0 + 65536 | 128 | 3 | 19% | shared memory | 0 + 0 |"
    )
    assert "## planted.cu" in text and "sm_90" in text
    assert len(wrong) == 5  # two kernels of two variants below the floor, one variant that does not compile
    assert 'identifier "oops" is undefined' in wrong[-1] and "kernel later" in wrong[-1]


def test_without_the_compiler_the_script_says_what_to_install(script, monkeypatch, capsys):
    kernels = script("kernel_resources")
    monkeypatch.setattr(kernels.nvrtc, "missing", lambda: "no compiler; pip install it")
    with pytest.raises(SystemExit):
        kernels.main([])
    assert "no compiler; pip install it" in capsys.readouterr().err
