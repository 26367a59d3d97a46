"""Launches that a GPU would misunderstand, or refuse, are refused by name."""

import numpy as np
import pytest
from support.emulator import LaunchError, using

CODE = """
extern "C" __global__ void __launch_bounds__(128)
f(const float* __restrict__ x, float* __restrict__ y, int n, float a) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i];
}
extern "C" __global__ void dynamic(float* y, int n) {
  extern __shared__ unsigned char memory[];
  for (int i = threadIdx.x; i < n; i += blockDim.x) memory[i] = 1;
  __syncthreads();
  y[threadIdx.x] = memory[threadIdx.x];
}
extern "C" __global__ void vectors(const float4* x, float* y) { y[threadIdx.x] = x[threadIdx.x].w; }
"""


@pytest.fixture
def kernel(cupy):
    return cupy.RawModule(code=CODE, options=()).get_function("f")


def arguments(cupy, **changes):
    values = {"x": cupy.zeros(8, "f4"), "y": cupy.zeros(8, "f4"), "n": 8, "a": np.float32(1)}
    values.update(changes)
    return tuple(values.values())


WRONG = {
    "float64 array": (dict(x=lambda c: c.zeros(8)), "`x`: expected float32, came float64"),
    "host array": (dict(x=lambda c: np.zeros(8, "f4")), "came a NumPy array"),
    "None": (dict(x=lambda c: None), "`x`: expected an array of the device, came NoneType"),
    "number for an array": (dict(x=lambda c: 3), "expected an array of the device"),
    "Python float": (dict(a=lambda c: 1.0), "`a`: a Python float is passed as a double, expected float32"),
    "int for float": (dict(a=lambda c: 1), "`a`: expected float32, came int 1"),
    "float64 scalar": (dict(a=lambda c: np.float64(1)), "expected numpy.float32, came numpy.float64"),
    "float for int": (dict(n=lambda c: 8.0), "expected int32"),
    "int64 scalar": (dict(n=lambda c: np.int64(8)), "expected numpy.int32, came numpy.int64"),
    "too large int": (dict(n=lambda c: 2**31), "2147483648 does not fit into int32"),
    "array for int": (dict(n=lambda c: c.zeros((), "i4")), "`n`: expected int32"),
    "transposed": (dict(x=lambda c: c.zeros((2, 4), "f4").T), "kernels ignore strides"),
    "every second": (dict(x=lambda c: c.zeros(16, "f4")[::2]), "kernels ignore strides"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(cupy, kernel, case):
    changes, message = WRONG[case]
    given = arguments(cupy, **{name: make(cupy) for name, make in changes.items()})
    with pytest.raises((LaunchError, TypeError), match=message):
        kernel((1,), (32,), given)


def test_number_of_arguments(cupy, kernel):
    with pytest.raises(LaunchError, match=r"takes 4 arguments \(x, y, n, a\), came 3"):
        kernel((1,), (32,), arguments(cupy)[:3])


def test_restricted_arrays_must_not_overlap(cupy, kernel):
    memory = cupy.zeros(12, "f4")
    with pytest.raises(LaunchError, match="`x` and `y` share memory"):
        kernel((1,), (32,), arguments(cupy, x=memory[:8], y=memory[4:]))
    kernel((1,), (32,), arguments(cupy, x=memory[:6], y=memory[6:], n=6))


def test_vectors_need_their_alignment(cupy):
    kernel = cupy.RawModule(code=CODE).get_function("vectors")
    memory = cupy.arange(12, dtype="f4")
    y = cupy.empty(2, "f4")
    kernel((1,), (2,), (memory[4:], y))
    assert y.get().tolist() == [7, 11]
    with pytest.raises(LaunchError, match="divisible by 16, the array starts 4 bytes past"):
        kernel((1,), (2,), (memory[1:9], y))


def test_null_pointers_are_zeros(cupy):
    code = 'extern "C" __global__ void f(const float* x, int* y) { *y = x == nullptr; }'
    y = cupy.zeros(1, "i4")
    cupy.RawModule(code=code).get_function("f")((1,), (1,), (0, y))
    assert y.get() == 1


@pytest.mark.parametrize("grid, block, error, message", [
    ((0,), (32,), "LaunchError", "CuPy makes one of a zero"),
    ((1,), (0,), "LaunchError", "CuPy makes one of a zero"),
    ((1,), (129,), "CUDADriverError", r"exceeds __launch_bounds__\(128\)"),
    ((1,), (32, 33), "CUDADriverError", "INVALID_VALUE"),
    ((1,), (1, 1, 65), "CUDADriverError", "INVALID_VALUE"),
    ((1, 65536), (32,), "CUDADriverError", "INVALID_VALUE"),
    (1, (32,), "TypeError", "must be tuples"),
    ((1.0,), (32,), "TypeError", "must be integers"),
])
def test_sizes(cupy, kernel, grid, block, error, message):
    with pytest.raises(Exception, match=message) as found:
        kernel(grid, block, arguments(cupy))
    assert type(found.value).__name__ == error


def test_shared_memory_limits(cupy):
    kernel = cupy.RawModule(code=CODE).get_function("dynamic")
    y = cupy.empty(32, "f4")
    kernel((1,), (32,), (y, 48 * 1024), shared_mem=48 * 1024)
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="set max_dynamic_shared_size_bytes"):
        kernel((1,), (32,), (y, 1), shared_mem=48 * 1024 + 1)
    kernel.max_dynamic_shared_size_bytes = 227 * 1024
    kernel((1,), (32,), (y, 227 * 1024), shared_mem=227 * 1024)
    assert (y.get() == 1).all()
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="232449 bytes"):
        kernel.max_dynamic_shared_size_bytes = 227 * 1024 + 1
    with using(compute_capability="75"), pytest.raises(cupy.cuda.driver.CUDADriverError):
        kernel.max_dynamic_shared_size_bytes = 64 * 1024 + 1


def test_what_does_not_compile(cupy):
    code = 'extern "C" __global__ void f(float* x) { x[0] = nowhere; }'
    module = cupy.RawModule(code=code, options=("-DA=1",))
    with pytest.raises(cupy.cuda.compiler.CompileException, match="nowhere") as found:
        module.get_function("f")
    assert "kernel.cu:1" in str(found.value)
    with pytest.raises(cupy.cuda.compiler.CompileException, match="line 2: .* not use __constant__"):
        cupy.RawModule(code="\n__constant__ float c[4];").get_function("f")


def test_what_is_not_there(cupy):
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="NOT_FOUND"):
        cupy.RawModule(code=CODE).get_function("g")
    with pytest.raises(TypeError, match="expected tuple"):
        cupy.RawModule(code=CODE, options=[])


def test_arrays_of_another_device(cupy, kernel):
    given = arguments(cupy)
    with cupy.cuda.Device(1), pytest.raises(LaunchError, match="on device 0, the launch on 1"):
        kernel((1,), (32,), given)
