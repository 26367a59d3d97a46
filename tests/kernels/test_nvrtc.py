"""Every kernel compiles for every architecture, within its budget: no spills, no stack, enough occupancy.

What the compiler said is kept in pytest's cache, by a hash of all it was given; budgets are judged anew.
"""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from support import nvrtc

FOLDER = nvrtc.KERNEL_FOLDER
FILES = sorted(path.name for path in FOLDER.glob("*.cu"))
pytestmark = pytest.mark.nvrtc


class Store(dict):
    """Stands in for pytest's cache, where that is switched off and in the tests below."""

    set = dict.__setitem__


@pytest.fixture
def cache(request):
    """What is kept from one run to the next."""
    return getattr(request.config, "cache", None) or Store()


def compile_all(cache, name, variants, arch):
    """Compile on all cores what is not known from earlier runs.

    Returns
    -------
    compiled : list of (variant, Compiled)
    failed : list of str
    """
    known = cache.get(name, {})
    keys = [nvrtc.key(v, arch) for v in variants]
    new = [(key, v) for key, v in zip(keys, variants) if key not in known]
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // processes)) as pool:
        done = list(pool.map(lambda item: _outcome(item[1], arch), new))
    failed = [outcome for outcome in done if isinstance(outcome, str)]
    known |= {key: outcome.as_json() for (key, _), outcome in zip(new, done) if not isinstance(outcome, str)}
    if new:
        cache.set(name, {key: known[key] for key in keys if key in known})
    compiled = [(v, nvrtc.Compiled.from_json(known[key])) for key, v in zip(keys, variants) if key in known]
    return compiled, failed


def _outcome(variant, arch):
    """Return what came of compiling: the kernels, or the error's text."""
    try:
        return nvrtc.compiled(variant, arch)
    except nvrtc.CompileError as error:
        return str(error)


@pytest.mark.parametrize("arch", nvrtc.ARCHITECTURES, ids=lambda arch: f"sm_{arch}")
@pytest.mark.parametrize("file", FILES)
def test_kernels_fit(file, arch, cache):
    variants = [v for v in nvrtc.variants(file) if nvrtc.exists(v, arch)]
    compiled, said = compile_all(cache, f"gpukeras/nvrtc/{file}-sm_{arch}", variants, arch)
    for variant, found in compiled:
        said += nvrtc.problems(variant, found, arch)
    assert not said, "\n".join(["", *said])


@pytest.mark.parametrize("file", FILES)
def test_every_kernel_is_declared(file):
    variants = nvrtc.variants(file)
    assert variants, f"{file}: nothing is declared"
    declared = {name for v in variants for name in v.budgets}
    assert declared == set(nvrtc.kernel_names(variants[0].module.source))


def test_all_files_are_in_the_catalogue():
    assert {v.module.file for v in nvrtc.variants()} == set(FILES)


def test_listing_leaves_no_modules_behind():
    """The launchers' own modules, on CuPy or a stand-in, are those that others have imported."""
    import sys

    before = {n: m for n, m in sys.modules.items() if n.startswith(("cupy", nvrtc.KERNELS))}
    nvrtc.launch.cache_clear()
    assert nvrtc.launch().FOLDER == FOLDER
    assert {n: m for n, m in sys.modules.items() if n.startswith(("cupy", nvrtc.KERNELS))} == before


# ---- the gate itself: what is planted must be found -------------------------------------------------------
FLOAT = (("T", "float"),)


def variant(source, name="planted", least=75, defines=(), **budget):
    """Return a variant as a launcher would declare it, of a source that is written here."""
    usual = nvrtc.launch().USUAL._asdict()
    budgets = {name: nvrtc.launch().Budget(**{**usual, "least": least, **budget})}
    return nvrtc.launch().Variant(SimpleNamespace(file="planted.cu", source=source), defines, budgets)


def verdict(planted, arch=90):
    return nvrtc.problems(planted, nvrtc.compiled(planted, arch), arch)


GOOD = """
#include <cuda_fp16.h>
#include <cuda_bf16.h>
extern "C" __global__ void __launch_bounds__(256)
planted(const USE_T* x, USE_T* y, int n) {
  __shared__ USE_T line[256];
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  line[threadIdx.x] = i < n ? x[i] : USE_T(0.f);
  __syncthreads();
  if (i < n) y[i] = line[255 - threadIdx.x];
}
"""
# 64 sums that all live until the end, with room for 40 registers or so.
SPILL = """
extern "C" __global__ void __launch_bounds__(1024, 2) planted(const float* x, float* y) {
  float sum[64];
  #pragma unroll
  for (int k = 0; k < 64; ++k) sum[k] = x[threadIdx.x + k * 1024];
  for (int n = 0; n < 9; ++n)
    #pragma unroll
    for (int k = 0; k < 64; ++k) sum[k] = sum[k] * sum[(k + 1) % 64] + x[n];
  #pragma unroll
  for (int k = 0; k < 64; ++k) y[threadIdx.x + k * 1024] = sum[k];
}
"""
STACK = """
extern "C" __global__ void planted(const int* at, float* y) {
  float line[64];
  for (int k = 0; k < 64; ++k) line[at[k] & 63] = y[k];
  y[threadIdx.x] = line[at[threadIdx.x] & 63];
}
"""
REGISTERS = """
extern "C" __global__ void __launch_bounds__(256, 1) planted(const float* x, float* y) {
  float sum[150];
  #pragma unroll
  for (int k = 0; k < 150; ++k) sum[k] = x[k * 256 + threadIdx.x];
  __syncthreads();
  float total = y[0];
  #pragma unroll
  for (int k = 149; k >= 0; --k) total = total * sum[k] + sum[(k * 7) % 150];
  y[threadIdx.x] = total;
}
"""


@pytest.mark.parametrize("arch", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize("type", ["float", "__half", "__nv_bfloat16"])
def test_a_good_kernel_passes(type, arch):
    good = variant(GOOD, defines=(("T", type),))
    found = nvrtc.compiled(good, arch)
    assert found.kernels["planted"].shared == 256 * (4 if type == "float" else 2)
    assert 8 <= found.kernels["planted"].registers <= 32
    assert nvrtc.problems(good, found, arch) == []


def test_spills_fail():
    (said,) = verdict(variant(SPILL, threads=1024))
    assert re.fullmatch(r"planted\.cu, sm_90, planted: \d+ bytes of registers spilled", said)


def test_stack_fails():
    (said,) = verdict(variant(STACK))
    assert "planted: 256 bytes of stack" in said


def test_too_many_registers_fail():
    (said,) = verdict(variant(REGISTERS, occupancy=0.0))
    assert re.search(r"planted: 1\d\d registers, the budget is 128", said)
    assert verdict(variant(REGISTERS, registers=255, occupancy=0.0)) == []


def test_low_occupancy_fails():
    (said,) = verdict(variant(REGISTERS, registers=255))
    assert "1 blocks of 256 threads fit on a multiprocessor, occupancy 12.5%, the floor is 25.0%" in said
    assert said.endswith("short of registers")
    (said,) = verdict(variant(GOOD, shared=114 << 10, defines=FLOAT))
    assert said.endswith("occupancy 12.5%, the floor is 25.0%; short of shared memory")
    assert verdict(variant(GOOD, shared=112 << 10, defines=FLOAT)) == []


@pytest.mark.parametrize("arch", nvrtc.ARCHITECTURES)
def test_too_much_shared_memory_fails(arch):
    most = nvrtc.LIMITS[arch].of_block - 1024  # the kernel itself declares a KB
    good = {"defines": FLOAT, "occupancy": 0.0}
    assert verdict(variant(GOOD, shared=most, **good), arch) == []
    (said,) = verdict(variant(GOOD, shared=most + 1, **good), arch)
    assert f"{most + 1025} bytes of shared memory, a block may have {most + 1024}" in said


def test_too_much_static_shared_memory_does_not_compile():
    source = GOOD.replace("line[256]", "line[12289]")
    with pytest.raises(nvrtc.CompileError, match="kernel planted: 49156 bytes of static shared"):
        nvrtc.compiled(variant(source, defines=FLOAT), 90)


def test_an_error_names_file_architecture_kernel_and_line():
    worse = 'extern "C" __global__ void worse(float* y) {\n  y[0] = missing;\n}\n'
    source = '#line 1 "planted.cu"\n' + GOOD + worse
    with pytest.raises(nvrtc.CompileError) as caught:
        nvrtc.compiled(variant(source, defines=FLOAT), 86)
    line = source.splitlines().index("  y[0] = missing;")
    assert str(caught.value) == (
        f"planted.cu, T=float does not compile for sm_86: kernel worse: planted.cu({line}): error: "
        'identifier "missing" is undefined'
    )


def test_an_error_in_a_header_names_the_header():
    header = '#line 1 "shared.cuh"\nint f() { return missing; }\n'
    source = f'#line 1 "planted.cu"\n{header}#line 2 "planted.cu"\n{GOOD}'
    with pytest.raises(nvrtc.CompileError, match=r"sm_75: shared\.cuh\(1\): error: identifier \"missing\""):
        nvrtc.compiled(variant(source, defines=FLOAT), 75)


def test_bad_instructions_are_errors():
    source = GOOD.replace("__syncthreads();", 'asm volatile("cp.async.wait_all;");')
    planted = variant(source, defines=FLOAT)
    with pytest.raises(nvrtc.CompileError, match="sm_75: ptxas.*sm_80"):
        nvrtc.compiled(planted, 75)
    assert "planted" in nvrtc.compiled(planted, 80).kernels


def test_warnings_fail():
    said = verdict(variant(GOOD.replace("int i =", "int unused; int i ="), defines=FLOAT))
    assert said == [
        "planted.cu, T=float, sm_90: planted.cu(7): warning #177-D:"
        ' variable "unused" was declared but never referenced'
    ]


def test_a_kernel_that_is_not_there_fails():
    assert verdict(variant(GOOD, name="misspelt", defines=FLOAT)) == [
        "planted.cu, T=float, sm_90, misspelt: declared, but there is no such kernel"
    ]


def test_kernels_of_later_architectures_are_left_alone():
    later = variant(STACK, least=80)
    assert not nvrtc.exists(later, 75) and nvrtc.exists(later, 80)
    assert nvrtc.problems(later, nvrtc.Compiled({}, []), 75) == []


def test_key_depends_on_all_that_decides():
    base = nvrtc.key(variant(GOOD), 90)
    others = [
        nvrtc.key(variant(GOOD + " "), 90), nvrtc.key(variant(GOOD), 80),
        nvrtc.key(variant(GOOD, defines=(("A", "1"),)), 90),
    ]
    assert len({base, *others}) == 4
    assert nvrtc.key(variant(GOOD, registers=1), 90) == base  # the budget is judged anew


def test_what_is_kept_is_not_compiled_again(monkeypatch):
    store = Store()
    planted = [variant(GOOD, defines=(("T", type),)) for type in ("float", "__half")]
    first, failed = compile_all(store, "here", planted, 90)
    assert not failed and len(first) == 2
    with monkeypatch.context() as patch:
        patch.setattr(nvrtc, "compile_source", lambda *a: pytest.fail("compiled again"))
        assert compile_all(store, "here", planted, 90) == (first, [])
    compiled, failed = compile_all(store, "here", [planted[0], variant("nonsense")], 90)
    assert compiled == first[:1] and "planted.cu does not compile for sm_90" in failed[0]
    assert list(store["here"]) == [nvrtc.key(planted[0], 90)]  # neither errors nor what is gone
