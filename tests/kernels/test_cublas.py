"""The road to cuBLAS: a library of this test takes the calls, checks them and multiplies column by column.

Arrays of the stand-in lie in the host's memory, so pointers that the calls carry can be followed.
"""

import ctypes
import pathlib
import sys
import types

import numpy as np
import pytest
from support.fake_device import emulated
from support.halves import FLOATS, HAS_BFLOAT16, needs_bfloat16

RNG = np.random.default_rng(54)
KINDS = ["nn", "nt", "tn", "tt"]
HANDLE = 4711
ELEMENTS = {0: np.dtype("float32"), 2: np.dtype("float16")}
if HAS_BFLOAT16:
    ELEMENTS[14] = np.dtype("bfloat16")


class FakeLibrary:
    """What of cuBLAS is used, as its manual describes it."""

    def __init__(self):
        self.calls, self.status = [], 0
        for name in ("cublasSetStream_v2", "cublasSetWorkspace_v2", "cublasSetMathMode"):
            setattr(self, name, self._recorded(name))
        self.cublasGemmEx = self._recorded("cublasGemmEx", self._one)
        self.cublasGemmStridedBatchedEx = self._recorded("cublasGemmStridedBatchedEx", self._many)

    def _recorded(self, name, compute=None):
        def function(*args):  # called as a C function would be: by position, with its types
            assert len(args) == len(function.argtypes), name
            for kind, value in zip(function.argtypes, args):
                kind.from_param(value)
            self.calls.append((name, args))
            if compute and not self.status:
                compute(*args)
            return self.status

        return function

    def names(self):
        return [name for name, _ in self.calls]

    def _one(self, handle, op_a, op_b, m, n, k, alpha, a, a_type, a_line, b, b_type, b_line, beta, c, c_type,
             c_line, compute, algorithm):
        self._many(handle, op_a, op_b, m, n, k, alpha, a, a_type, a_line, 0, b, b_type, b_line, 0, beta, c,
                   c_type, c_line, 0, 1, compute, algorithm)

    def _many(self, handle, op_a, op_b, m, n, k, alpha, a, a_type, a_line, a_step, b, b_type, b_line, b_step,
              beta, c, c_type, c_line, c_step, count, compute, algorithm):
        assert handle == HANDLE and algorithm == -1
        assert {a_type, b_type, c_type} <= ELEMENTS.keys() and a_type == b_type == c_type
        self.compute = compute
        for i in range(count):
            left = matrix(a, a_type, a_step * i, a_line, (m, k) if op_a == 0 else (k, m))
            right = matrix(b, b_type, b_step * i, b_line, (k, n) if op_b == 0 else (n, k))
            left, right = left.T if op_a else left, right.T if op_b else right
            result = matrix(c, c_type, c_step * i, c_line, (m, n))
            assert beta._obj.value == 0  # else what is in memory would count
            result[...] = alpha._obj.value * (left.astype("float64") @ right.astype("float64"))


def matrix(address, kind, start, line, shape):
    """Return a matrix that lies column by column, ``line`` elements from one column to the next."""
    rows, columns = shape
    assert line >= max(1, rows)
    dtype = ELEMENTS[kind]
    size = line * (columns - 1) + rows
    memory = (ctypes.c_char * (size * dtype.itemsize)).from_address(address + start * dtype.itemsize)
    return np.lib.stride_tricks.as_strided(
        np.frombuffer(memory, dtype), shape, (dtype.itemsize, line * dtype.itemsize), writeable=True
    )


@pytest.fixture
def library(monkeypatch):
    """The backend of the stand-in, with a cuBLAS."""
    with emulated() as gpu:
        from gpukeras.kernels import cublas, gemm

        cupy = sys.modules["cupy"]
        found = cublas.typed(FakeLibrary())
        found.gpu, found.stream = gpu, 0
        stream = types.SimpleNamespace(ptr=0, is_capturing=lambda: False)
        monkeypatch.setattr(cublas, "_found", lambda: found)
        monkeypatch.setattr(cublas, "_workspaces", {})
        monkeypatch.setitem(vars(cupy.cuda), "get_cublas_handle", lambda: HANDLE)
        monkeypatch.setitem(vars(cupy.cuda), "get_current_stream", lambda: stream)
        found.current = stream
        yield found
        gemm.prefer("auto")
        gemm.precision.set_tf32(False)


def numbers(*shape, dtype="float32"):
    return RNG.integers(-4, 5, shape).astype(dtype)


def stored(gpu, x, letter):
    return gpu.asarray(np.ascontiguousarray(x if letter == "n" else x.swapaxes(-1, -2)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("m, n, k", [(3, 4, 5), (1, 7, 2), (6, 1, 3), (2, 5, 1)])
def test_rows_and_columns(library, kind, dtype, m, n, k):
    from gpukeras.kernels import cublas

    a, b = numbers(m, k, dtype=dtype), numbers(k, n, dtype=dtype)
    gpu = library.gpu
    c = cublas.multiply(stored(gpu, a, kind[0]), stored(gpu, b, kind[1]), kind, alpha=0.5)
    assert c.dtype == dtype
    np.testing.assert_array_equal(gpu.to_numpy(c), 0.5 * a.astype(float) @ b.astype(float))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shapes", [
    ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)),
], ids=str)
def test_batches(library, kind, shapes):
    from gpukeras.kernels import cublas

    a, b = (numbers(*s) for s in shapes)
    gpu = library.gpu
    c = cublas.multiply(stored(gpu, a, kind[0]), stored(gpu, b, kind[1]), kind)
    np.testing.assert_array_equal(gpu.to_numpy(c), a.astype(float) @ b.astype(float))


def test_result_in_given_memory(library):
    from gpukeras.kernels import cublas

    gpu = library.gpu
    a, b, flat = numbers(3, 4), numbers(4, 5), gpu.asarray(np.full(17, 7, "float32"))
    out = flat[1:16].reshape(3, 5)
    assert cublas.multiply(gpu.asarray(a), gpu.asarray(b), out=out) is out
    np.testing.assert_array_equal(gpu.to_numpy(flat), [7, *(a @ b).ravel(), 7])


def test_every_call_is_made_ready_first(library):
    """CuPy changes the handle between our calls, and a change of stream takes the workspace away."""
    from gpukeras.kernels import cublas

    a = library.gpu.asarray(numbers(3, 3))
    for stream in (0, 64, 64, 0):
        library.current.ptr = stream
        cublas.multiply(a, a)
    ready = ["cublasSetStream_v2", "cublasSetWorkspace_v2", "cublasSetMathMode", "cublasGemmEx"]
    assert library.names() == ready * 4
    streams, workspaces, modes = ([args for name, args in library.calls if name == r] for r in ready[:3])
    assert streams == [(HANDLE, s) for s in (0, 64, 64, 0)]
    assert modes == [(HANDLE, 0)] * 4
    assert all(handle == HANDLE and size == 32 << 20 for handle, _, size in workspaces)
    places = [place for _, place, _ in workspaces]
    assert places[0] == places[3] != places[1] == places[2]  # one for each stream, kept


@pytest.mark.parametrize("dtype, tf32, compute", [
    ("float32", False, 68), ("float32", True, 77), ("float16", False, 68), ("float16", True, 68),
    pytest.param("bfloat16", True, 68, marks=needs_bfloat16),
])
def test_arithmetic(library, dtype, tf32, compute):
    from gpukeras.kernels import cublas

    a = library.gpu.asarray(numbers(3, 3, dtype=dtype))
    cublas.multiply(a, a, tf32=tf32)
    assert library.compute == compute


def test_errors_tell_the_call(library):
    from gpukeras.kernels import cublas

    a, b = library.gpu.asarray(numbers(3, 4)), library.gpu.asarray(numbers(5, 2))
    with pytest.raises(ValueError, match=r"\(3, 4\) and \(5, 2\) do not fit"):
        cublas.multiply(a, b)
    library.status = 13
    with pytest.raises(cublas.LibraryError, match="cublasSetStream_v2 answered 13 .execution failed."):
        cublas.multiply(a, a, "nt")


# ---- instead of our own kernels --------------------------------------------------------------------------
def test_large_products_go_to_the_library(library):
    from gpukeras.kernels import gemm

    float32, float16 = np.dtype("float32"), np.dtype("float16")
    assert gemm.library_does(1, 1024, 1024, 1024, float32)
    assert not gemm.library_does(1, 64, 64, 64, float32)
    assert not gemm.library_does(1, 8, 1 << 20, 1024, float32)
    assert gemm.library_does(1, 512, 512, 128, float16) and not gemm.library_does(1, 512, 512, 128, float32)
    assert gemm.library_does(64, 128, 128, 128, float32)
    if HAS_BFLOAT16:
        assert gemm.library_does(1, 512, 512, 128, ELEMENTS[14])
    gemm.prefer("own")
    assert not gemm.library_does(1, 1024, 1024, 1024, float32)
    gemm.prefer("library")
    assert gemm.library_does(1, 2, 2, 2, float32) and not gemm.library_does(1, 2, 2, 0, float32)


def test_without_a_library_our_kernels_do_all():
    with emulated():
        from gpukeras.kernels import cublas, gemm

        assert "CuPy has no cuBLAS" in cublas.problem()
        assert not gemm.library_does(1, 4096, 4096, 4096, np.dtype("float32"))
        with pytest.raises(cublas.LibraryMissing, match="CuPy has no cuBLAS"):
            gemm.prefer("library")


@pytest.mark.parametrize("activation", [None, "relu", "tanh", "sigmoid"], ids=str)
def test_dense_is_the_same_with_the_library(library, activation):
    from gpukeras.kernels import gemm

    gpu = library.gpu
    x, w, b, dy = map(gpu.asarray, (numbers(9, 6), numbers(6, 5), numbers(5), numbers(9, 5)))
    found = []
    for engine in ("own", "library"):
        gemm.prefer(engine)
        y = gpu.dense_forward(x, w, b, activation)
        plain = gpu.dense_forward(x, w, None, activation)
        several = [gpu.dense_backward(dy, x, w, y, activation, *asked)
                   for asked in ((True, True, True), (True, False, False), (False, True, True))]
        found.append([y, plain, *(v for results in several for v in results)])
    assert "cublasGemmEx" in library.names()
    for own, other in zip(*found):
        assert (own is None) == (other is None)
        if own is not None:
            np.testing.assert_allclose(gpu.to_numpy(own), gpu.to_numpy(other), rtol=1e-5, atol=1e-5)


def test_matmul_of_batches_by_the_library(library):
    from gpukeras.kernels import gemm

    gemm.prefer("library")
    x, y = numbers(2, 3, 4), numbers(2, 5, 4)
    found = library.gpu.matmul(library.gpu.asarray(x), library.gpu.asarray(y).swapaxes(-1, -2))
    assert library.names()[-1] == "cublasGemmStridedBatchedEx"
    np.testing.assert_array_equal(library.gpu.to_numpy(found), x @ y.swapaxes(-1, -2))


# ---- where it is looked for ------------------------------------------------------------------------------
@pytest.fixture
def cublas():
    with emulated():
        from gpukeras.kernels import cublas

        yield cublas


def test_places(cublas, tmp_path, monkeypatch):
    wheel = tmp_path / "nvidia" / "cublas" / "lib" / "libcublas.so.12"
    newer = tmp_path / "nvidia" / "cu12" / "lib" / "libcublas.so.12"
    for path in (wheel, newer):
        path.parent.mkdir(parents=True)
        path.touch()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setenv("CUDA_PATH", "/opt/cuda")
    monkeypatch.setattr(cublas, "_loaded", lambda name: [f"/loaded/{name}.9"])
    assert cublas.candidates(12) == [
        "/loaded/libcublas.so.12.9", "libcublas.so.12", str(wheel), str(newer),
        "/opt/cuda/lib64/libcublas.so.12", "/opt/cuda/lib/libcublas.so.12",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process has loaded")
def test_what_the_process_has_loaded_is_found(cublas):
    lines = pathlib.Path("/proc/self/maps").read_text().splitlines()
    name = next(line.rpartition("/")[2] for line in lines if "/libc." in line)
    found = cublas._loaded(name)
    assert len(found) == 1 and found[0].endswith(f"/{name}")
    assert cublas._loaded("libnothing.so.1") == []


def test_a_missing_library_is_explained(cublas, monkeypatch):
    cupy = sys.modules["cupy"]
    monkeypatch.setitem(vars(cupy.cuda.runtime), "runtimeGetVersion", lambda: 12090)
    monkeypatch.setitem(vars(cupy.cuda), "get_cublas_handle", lambda: HANDLE)
    monkeypatch.setattr(cublas, "candidates", lambda major: [f"libnothing.so.{major}"])
    reason = cublas._found.__wrapped__()
    for part in ("cuBLAS of CUDA 12 was not found", "libnothing.so.12", "cupy-cuda12x[ctk]"):
        assert part in reason


def test_functions_are_typed(cublas):
    with pytest.raises(AttributeError):
        cublas.typed(types.SimpleNamespace())
    assert len(cublas.SIGNATURES["cublasGemmEx"]) == 19
    assert len(cublas.SIGNATURES["cublasGemmStridedBatchedEx"]) == 23
