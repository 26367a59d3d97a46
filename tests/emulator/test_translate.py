"""The text of kernels becomes C++ that g++ takes, line by line."""

import pytest
from support.emulator.module import kernel_names
from support.emulator.translate import TranslationError, translate, without_comments


def test_kernels_and_their_parameters():
    code, kernels = translate("""
#define N 4
extern "C" __global__ void __launch_bounds__(N * 32, 2)
first(const float* __restrict__ x, float* y /* out, out */, int n) {}
extern "C" __global__ __launch_bounds__(64) void second(Pair<int, 2> p, unsigned long long const n) {}
extern "C" __global__ void declared(int n);
""")
    assert list(kernels) == ["first", "second"]
    assert kernels["first"].parameters == ("x", "y", "n")
    assert kernels["first"].restricted == (True, False, False)
    assert kernels["second"].parameters == ("p", "n")
    assert "EMULATOR_KERNEL(first, N * 32, 2)" in code and "EMULATOR_KERNEL(second, 64)" in code
    assert code.count("\n") == 6


def test_shared_arrays():
    code, _ = translate("""
__shared__ float a[16][17], b[N + 1];
__shared__ __align__(16) __half c[8];
__shared__ int count;
extern __shared__ __align__(16) unsigned char memory[];
""")
    assert "typedef float a__type[16][17], b__type[N + 1]; EMULATOR_SHARED(a, (1)) EMULATOR_SHARED(b" in code
    assert "typedef __half c__type[8]; EMULATOR_SHARED(c, (16))" in code
    assert "typedef int count__type; EMULATOR_SHARED(count, (1))" in code
    assert "unsigned char* memory = (unsigned char*)emulator_dynamic_shared();" in code


def test_comments_and_strings():
    assert without_comments('a // b "\nc /* d\n e */ f "// kept"') == 'a       \nc     \n      f "// kept"'


def test_kernel_names_without_compiling():
    source = 'extern "C" __global__ void __launch_bounds__(64) f(int n) {} // extern "C" __global__ g()'
    assert kernel_names(source) == ["f"]


@pytest.mark.parametrize("source, message", [
    ("\n\n__constant__ int n;", "line 3: kernels must not use __constant__"),
    ("#include <cub/cub.cuh>", "line 1: kernels must not use headers of cub"),
    ("extern __shared__ float a[4];", "expected `extern __shared__ T name"),
    ('extern "C" __global__ void f(int n\n#if A\n, int m\n#endif\n) {}', "preprocessor must not choose"),
    ('extern "C" __global__ void f(int n', "never closed"),
])
def test_rules_for_kernels(source, message):
    with pytest.raises(TranslationError, match=message):
        translate(source)
