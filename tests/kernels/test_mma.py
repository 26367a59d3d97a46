"""Tensor cores and asynchronous copies: what ``mma.cuh`` says of them, by kernels of this test alone."""

import sys

import numpy as np
import pytest
from support import emulator, nvrtc
from support.emulator.settings import SCHEDULES
from support.fake_device import emulated

RNG = np.random.default_rng(52)
ARCHITECTURES = [arch for arch in nvrtc.ARCHITECTURES if arch >= 80]
SOURCE = r"""
// One warp multiplies a (16, K) by b (8, K) turned; both lie along K.
template <void (*multiply)(float (&)[4], const unsigned (&)[4], const unsigned (&)[2])>
__device__ __forceinline__ void multiplied(
    const unsigned short* a, const unsigned short* b, float* d, int K) {
  int g = threadIdx.x / 4, t = threadIdx.x % 4;
  float sum[4] = {1.f, 2.f, 3.f, 4.f};
  for (int k = 0; k < K; k += 16) {
    unsigned ra[4], rb[2];
    for (int i = 0; i < 4; ++i) ra[i] = *(const unsigned*)(a + (g + i % 2 * 8) * K + k + 2 * t + i / 2 * 8);
    for (int i = 0; i < 2; ++i) rb[i] = *(const unsigned*)(b + g * K + k + 2 * t + i * 8);
    multiply(sum, ra, rb);
  }
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sum[i];
}
extern "C" __global__ void halves(const unsigned short* a, const unsigned short* b, float* d, int K) {
  multiplied<multiply_half>(a, b, d, K);
}
extern "C" __global__ void bfloats(const unsigned short* a, const unsigned short* b, float* d, int K) {
  multiplied<multiply_bfloat>(a, b, d, K);
}

extern "C" __global__ void tf32(const float* a, const float* b, float* d, int K) {
  int g = threadIdx.x / 4, t = threadIdx.x % 4;
  float sum[4] = {1.f, 2.f, 3.f, 4.f};
  for (int k = 0; k < K; k += 8) {
    unsigned ra[4], rb[2];
    for (int i = 0; i < 4; ++i) ra[i] = to_tf32(a[(g + i % 2 * 8) * K + k + t + i / 2 * 4]);
    for (int i = 0; i < 2; ++i) rb[i] = to_tf32(b[g * K + k + t + i * 4]);
    multiply_tf32(sum, ra, rb);
  }
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sum[i];
}

// Without rounding before: the product itself drops the low bits.
extern "C" __global__ void cut(const float* a, float* d) {
  float sum[4] = {0.f, 0.f, 0.f, 0.f};
  unsigned bits = __float_as_uint(a[threadIdx.x]), ra[4] = {bits, 0u, 0u, 0u};
  unsigned one = __float_as_uint(threadIdx.x % 4 == threadIdx.x / 4 ? 1.f : 0.f), rb[2] = {one, 0u};
  multiply_tf32(sum, ra, rb);  // the four first columns of A come out again
  for (int i = 0; i < 2; ++i)
    if (threadIdx.x % 4 < 2) d[threadIdx.x / 4 * 4 + threadIdx.x % 4 * 2 + i] = sum[i];
}

extern "C" __global__ void rounded(const float* x, unsigned* y) { y[threadIdx.x] = to_tf32(x[threadIdx.x]); }

template <int Count, bool Turned>
__device__ __forceinline__ void loaded(const unsigned short* x, unsigned* y) {
  __shared__ __align__(16) unsigned short rows[32][24];
  for (int i = threadIdx.x; i < 32 * 8; i += 32) rows[i / 8][i % 8] = x[i];
  __syncthreads();
  unsigned r[Count];
  if (Turned)
    load_matrices_turned(r, rows[threadIdx.x % (8 * Count)]);
  else
    load_matrices(r, rows[threadIdx.x % (8 * Count)]);
  for (int i = 0; i < Count; ++i) y[i * 32 + threadIdx.x] = r[i];
}
extern "C" __global__ void load_four(const unsigned short* x, unsigned* y) { loaded<4, false>(x, y); }
extern "C" __global__ void load_two(const unsigned short* x, unsigned* y) { loaded<2, false>(x, y); }
extern "C" __global__ void turn_four(const unsigned short* x, unsigned* y) { loaded<4, true>(x, y); }
extern "C" __global__ void turn_two(const unsigned short* x, unsigned* y) { loaded<2, true>(x, y); }

// Every thread copies `valid` of Bytes bytes, twice; what the second group brings is not waited for.
template <int Bytes, bool Waits>
__device__ __forceinline__ void copied(const float* x, float* y, int valid) {
  __shared__ __align__(16) float first[64 * 4], second[64 * 4];
  constexpr int N = Bytes / 4;
  copy_async<Bytes>(first + threadIdx.x * N, x + threadIdx.x * N, valid);
  copy_commit();
  copy_async<Bytes>(second + threadIdx.x * N, x + threadIdx.x * N);
  copy_commit();
  if (Waits) copy_wait<1>();
  __syncthreads();
  int other = 63 - threadIdx.x;
  for (int i = 0; i < N; ++i) y[other * N + i] = first[other * N + i];
  copy_wait<0>();
}
extern "C" __global__ void copy4(const float* x, float* y, int valid) { copied<4, true>(x, y, valid); }
extern "C" __global__ void copy8(const float* x, float* y, int valid) { copied<8, true>(x, y, valid); }
extern "C" __global__ void copy16(const float* x, float* y, int valid) { copied<16, true>(x, y, valid); }
extern "C" __global__ void copy_unwaited(const float* x, float* y, int valid) {
  copied<16, false>(x, y, valid);
}

// Each block waits for the one before it.
extern "C" __global__ void chain(unsigned* flags, float* sums, int n) {
  int block = blockIdx.x;
  if (threadIdx.x == 0) {
    if (block > 0)
      while (load_acquire(flags + block - 1) == 0u) spin();
    float before = block > 0 ? sums[block - 1] : 0.f;
    sums[block] = before + block;
    store_release(flags + block, 1u);
  }
}
"""


def source():
    return nvrtc.KERNEL_FOLDER.joinpath("mma.cuh").read_text() + SOURCE


@pytest.fixture
def kernels(tier):
    """Give a function that runs a kernel on host arrays and returns the one that it fills."""
    with emulated(tier=tier):
        cupy = sys.modules["cupy"]
        module = cupy.RawModule(code=source(), options=("-std=c++17",))

        def run(name, *inputs, result, scalars=(), grid=1, block=32):
            given = [cupy.asarray(x) for x in inputs]
            filled = cupy.asarray(result)
            numbers = [np.int32(n) for n in scalars]
            module.get_function(name)((grid,), (block,), (*given, filled, *numbers))
            return cupy.asnumpy(filled)

        yield run


def half_bits(x):
    return x.astype("float16").view("uint16")


def bfloat_bits(x):
    """Return the upper halves of floats that have no more."""
    bits = x.astype("float32").view("uint32")
    assert not (bits & 0xFFFF).any()
    return (bits >> 16).astype("uint16")


@pytest.mark.parametrize("name", ["halves", "bfloats", "tf32"])
@pytest.mark.parametrize("K", [16, 48])
def test_products(kernels, name, K):
    a, b = (RNG.integers(-8, 9, (n, K)).astype("float32") for n in (16, 8))
    encode = {"halves": half_bits, "bfloats": bfloat_bits, "tf32": np.asarray}
    d = kernels(name, encode[name](a), encode[name](b), result=np.zeros((16, 8), "float32"), scalars=(K,))
    start = np.empty((16, 8))
    start[:8, ::2], start[:8, 1::2], start[8:, ::2], start[8:, 1::2] = 1, 2, 3, 4
    np.testing.assert_array_equal(d, start + a.astype(float) @ b.T.astype(float))


def test_products_of_halves_take_all_their_bits(kernels):
    a, b = (RNG.standard_normal((n, 32)).astype("float16") for n in (16, 8))
    zero = np.zeros((16, 8), "float32")
    d = kernels("halves", a.view("uint16"), b.view("uint16"), result=zero, scalars=(32,))
    start = kernels("halves", 0 * a.view("uint16"), b.view("uint16"), result=zero, scalars=(32,))
    np.testing.assert_allclose(d - start, a.astype(float) @ b.T.astype(float), rtol=1e-5, atol=1e-5)


def test_rounding_to_tf32(kernels):
    one = np.float32(1).view("uint32")
    bits = [one, one + 0xFFF, one + 0x1000, one + 0x1001, one + 0x3000, one + 0x2FFF, 0, 0x80000000]
    bits = np.array(bits * 4, "uint32")
    bits[8:16] |= 0x80000000
    bits[16] = np.float32(np.inf).view("uint32")
    bits[17] = np.float32(3.4028235e38).view("uint32")
    y = kernels("rounded", bits.view("float32"), result=np.zeros(32, "uint32"))
    expected = [one, one, one + 0x2000, one + 0x2000, one + 0x4000, one + 0x2000, 0, 0x80000000]
    np.testing.assert_array_equal(y[:8], np.array(expected, "uint32"))
    np.testing.assert_array_equal(y[8:16], np.array(expected, "uint32") | 0x80000000)
    assert np.isposinf(y[16:18].view("float32")).all()


def test_products_drop_what_tf32_has_no_room_for(kernels):
    x = RNG.standard_normal((8, 4)).astype("float32")
    y = kernels("cut", x, result=np.zeros((8, 4), "float32"))
    np.testing.assert_array_equal(y.view("uint32"), x.view("uint32") & 0xFFFFE000)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("count, word", [(4, "four"), (2, "two")])
def test_loading_matrices(kernels, count, word, turned):
    x = RNG.integers(0, 1 << 16, (4, 8, 8)).astype("uint16")
    name = f"{'turn' if turned else 'load'}_{word}"
    y = kernels(name, x, result=np.zeros((count, 32), "uint32"))
    for i, lane in np.ndindex(count, 32):
        g, t = divmod(lane, 4)
        low, high = (x[i, 2 * t, g], x[i, 2 * t + 1, g]) if turned else x[i, g, 2 * t:2 * t + 2]
        assert y[i, lane] == int(low) | int(high) << 16


@pytest.mark.parametrize("bytes_", [4, 8, 16])
def test_copies_bring_what_is_valid_and_zeros(kernels, bytes_):
    x = RNG.standard_normal((64, bytes_ // 4)).astype("float32")
    for valid in range(0, bytes_ + 1, 4):
        y = kernels(f"copy{bytes_}", x, result=np.full_like(x, 7), scalars=(valid,), block=64)
        expected = x.copy()
        expected[:, valid // 4:] = 0
        np.testing.assert_array_equal(y, expected)


def test_a_missing_wait_is_seen(kernels, tier):
    x = RNG.standard_normal((64, 4)).astype("float32")
    if tier == "check":
        with pytest.raises(emulator.KernelFault, match="wait is missing"):
            kernels("copy_unwaited", x, result=np.zeros_like(x), scalars=(16,), block=64)
    else:
        y = kernels("copy_unwaited", x, result=np.zeros_like(x), scalars=(16,), block=64)
        assert (y != x).any()


def test_blocks_wait_for_blocks(kernels):
    for schedule in SCHEDULES:
        with emulator.using(schedule=schedule):
            flags, zeros = np.zeros(6, "uint32"), np.zeros(6, "float32")
            sums = kernels("chain", flags, result=zeros, scalars=(6,), grid=6)
        np.testing.assert_array_equal(sums, np.cumsum(np.arange(6.0)))


@pytest.mark.nvrtc
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_compiler_takes_the_instructions(arch):
    found = nvrtc.parse(nvrtc.compile_source(source(), "mma.cuh", arch, ("-std=c++17",)))
    assert not found.warnings
    assert set(nvrtc.kernel_names(SOURCE)) <= set(found.kernels)
    assert all(used.spills == used.stack == 0 for used in found.kernels.values())


@pytest.mark.nvrtc
def test_older_devices_do_without():
    nvrtc.compile_source(nvrtc.KERNEL_FOLDER.joinpath("mma.cuh").read_text(), "mma.cuh", 75, ("-std=c++17",))
