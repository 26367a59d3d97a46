"""Launch ``gemm.cu``: products of matrices with bias and activation, and those that make their gradients.

``multiply(a, b, "nn")`` is ``a @ b``; in ``"nt"`` the right and in ``"tn"`` the left operand lies turned.
How a product is cut into blocks is decided by ``plan``, from sizes alone; large products go to cuBLAS where
that is found (``prefer``). Nothing waits for the device, results repeat to the last bit, and all of it may be
captured in a graph.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import cupy
import numpy as np

from . import cublas, elementwise, launch, precision

TYPES = launch.TYPES
ACTIVATIONS = {None: 0, "relu": 1, "tanh": 2, "sigmoid": 3}
KINDS = {  # kernel: whether the left and the right operand lie along the sum
    "gemm_nn": (True, False), "gemm_nt": (True, True), "gemm_tn": (False, False),
}
MOST = 1 << 31  # elements of a side, counted in 32 bits
MOST_MATRICES = 65535  # of a batch, times splits
JOINING = 256  # threads of a block that adds up splits
DTYPE = np.dtype([
    ("stride_a", "i8"), ("stride_b", "i8"), ("stride_c", "i8"), ("m", "i4"), ("n", "i4"), ("k", "i4"),
    ("line_a", "i4"), ("line_b", "i4"), ("splits", "i4"), ("slice", "i4"), ("activation", "i4"),
    ("wide", "i4"), ("alpha", "f4"),
], align=True)


class Tile(NamedTuple):
    """How one block computes its part of a product; see the constants of ``gemm.cu``.

    Attributes
    ----------
    rows, columns : int
        Of the results of a block.
    depth : int
        Of a tile along the sum, in bytes of the operands where tensor cores are used.
    height, width : int
        Of the results of a thread, or of a warp with tensor cores.
    groups : int
        Of threads that split the depth of a tile.
    stages : int
        Tiles that are held at once.
    blocks : int
        That fit on a multiprocessor.
    tensor : bool
        Tensor cores.
    speed : float
        Share of the device's arithmetic that full blocks reach, as the plan reckons.
    """

    rows: int
    columns: int
    depth: int
    height: int
    width: int
    groups: int
    stages: int
    blocks: int
    tensor: bool
    speed: float

    @property
    def threads(self) -> int:
        parts = (self.rows // self.height) * (self.columns // self.width) * self.groups
        return parts * (32 if self.tensor else 1)

    def depth_of(self, itemsize: int) -> int:
        """Return the depth of a tile in elements."""
        return self.depth // itemsize if self.tensor else self.depth

    def shared(self, itemsize: int, kernel: str) -> int:
        """Return the bytes of shared memory that a kernel needs."""
        kind = kernel.removesuffix("_slope")
        sides = list(zip((self.rows, self.columns), KINDS[kind]))
        if kernel != kind:  # the results that tell the slope, beside the gradient
            sides.append(sides[0 if kind == "gemm_nt" else 1])
        return self.stages * sum(self._tile_bytes(side, along, itemsize) for side, along in sides)

    def _tile_bytes(self, side: int, along: bool, itemsize: int) -> int:
        depth = self.depth_of(itemsize)
        if not self.tensor:
            return depth * (side + 4) * 4
        return depth * (side if along else side + 8) * itemsize

    def defines(self, dtype: str) -> dict:
        """Return what ``gemm.cu`` is compiled with, for operands of the dtype of that name."""
        return {
            "T": TYPES[dtype], "TENSOR": int(self.tensor), "ROWS": self.rows, "COLUMNS": self.columns,
            "DEPTH": self.depth_of(_itemsize(dtype)), "HEIGHT": self.height, "WIDTH": self.width,
            "GROUPS": self.groups, "STAGES": self.stages, "BLOCKS": self.blocks,
        }


def _itemsize(dtype: str) -> int:
    return 4 if dtype == "float32" else 2


PLAIN = (
    Tile(128, 128, 8, 8, 8, 1, 3, 2, False, 0.8), Tile(64, 64, 16, 8, 4, 1, 3, 4, False, 0.65),
    Tile(32, 32, 32, 8, 4, 4, 3, 4, False, 0.5), Tile(16, 16, 64, 4, 2, 8, 3, 2, False, 0.25),
)
TENSOR = (
    Tile(128, 128, 64, 64, 32, 1, 3, 2, True, 0.6), Tile(64, 64, 64, 32, 32, 1, 3, 4, True, 0.4),
    Tile(32, 32, 128, 32, 32, 4, 3, 4, True, 0.25),
)
PLAIN_HALVES = PLAIN[1:2]  # for devices whose tensor cores are not used here
MODULE = launch.Module("gemm.cu", structs={"Product": DTYPE})


def _declare() -> None:
    tiles = [(t, name) for name in TYPES for t in (PLAIN if name == "float32" else PLAIN_HALVES) + TENSOR]
    for tile, dtype in tiles:
        least = 80 if tile.tensor else 75
        for kernel in (*KINDS, "gemm_nt_slope", "gemm_tn_slope"):
            shared = tile.shared(_itemsize(dtype), kernel)
            budget = launch.Budget(tile.threads, shared, 65536 // tile.threads // tile.blocks, 0.12, least)
            MODULE.declare(kernel, budget=budget, **tile.defines(dtype))
        MODULE.declare("gemm_join", budget=launch.Budget(JOINING, least=least), **tile.defines(dtype))


_declare()


# ---- plans -----------------------------------------------------------------------------------------------
class Plan(NamedTuple):
    """How a product is cut: ``splits`` parts of the sum, each ``slice`` long."""

    tile: Tile
    splits: int
    slice: int


PLAIN_RATE = 128  # multiplications of a multiprocessor in a cycle
TENSOR_RATE = {4: 512, 2: 1024}  # of its tensor cores, by item size
START_CYCLES = 1500  # until a block has its first tiles, and to store its results
JOIN_CYCLES = 4000  # of a second launch
LEAST_SLICE = 128  # of a sum that is worth a block of its own
MOST_SPLITS = 32


@functools.lru_cache(maxsize=4096)
def plan(m: int, n: int, k: int, batch: int, itemsize: int, tensor: bool, processors: int) -> Plan:
    """Return the plan that should take the fewest cycles; ties go to larger tiles and fewer splits."""
    found = []
    tiles = TENSOR if tensor else PLAIN if itemsize == 4 else PLAIN_HALVES
    for tile in tiles:
        depth = tile.depth_of(itemsize)
        most = max(1, min(MOST_SPLITS, k // LEAST_SLICE, MOST_MATRICES // batch))
        for splits in [s for s in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32) if s <= most]:
            slice_ = -(-k // (splits * depth)) * depth or depth
            found.append(Plan(tile, max(1, -(-k // slice_)), slice_))
    return min(found, key=lambda each: _cycles(each, m, n, batch, itemsize, processors))


def _cycles(found: Plan, m: int, n: int, batch: int, itemsize: int, processors: int) -> float:
    """Estimate how long a product takes."""
    tile, splits, slice_ = found
    blocks = -(-m // tile.rows) * -(-n // tile.columns) * batch * splits
    rate = (TENSOR_RATE[itemsize] if tile.tensor else PLAIN_RATE) * tile.speed
    cycles = -(-blocks // processors) * (tile.rows * tile.columns * slice_ / rate)
    cycles += -(-blocks // (processors * tile.blocks)) * START_CYCLES
    if splits > 1:
        cycles += JOIN_CYCLES + batch * m * n * (splits + 1) / (processors * 16)
    return cycles


# ---- tensor cores for float32 ----------------------------------------------------------------------------
def tf32_allowed() -> bool:
    """Tell whether float32 products may be rounded."""
    return precision.tf32() and launch.capability() >= 80


def _uses_tensor_cores(itemsize: int) -> bool:
    return launch.capability() >= 80 and (itemsize == 2 or precision.tf32())


# ---- our own kernels or cuBLAS ---------------------------------------------------------------------------
ENGINES = ("auto", "own", "library")
# Multiplications that cuBLAS is worth.
LEAST_WORK = {"float32": 1 << 27, "tf32": 1 << 26, "float16": 1 << 25, "bfloat16": 1 << 25}
LEAST_SIDE = 64  # of the result
_engine = "auto"


def prefer(engine: str) -> None:
    """Choose who multiplies: ``"own"`` kernels, the ``"library"``, or by size (``"auto"``, default)."""
    global _engine
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    if engine == "library" and (problem := cublas.problem()):
        raise cublas.LibraryMissing(problem)
    _engine = engine


def library_does(batch: int, m: int, n: int, k: int, dtype) -> bool:
    """Tell whether cuBLAS computes a product."""
    if _engine == "own" or not batch * m * n * k:
        return False
    if dtype.name == "bfloat16" and launch.capability() < 80:  # where the library has it for certain
        return False
    if _engine == "auto":
        kind = "tf32" if precision.tf32() and dtype.name == "float32" else dtype.name
        if batch * m * n * k < LEAST_WORK[kind] or min(m, n) < LEAST_SIDE:
            return False
    return cublas.problem() is None


# ---- products --------------------------------------------------------------------------------------------
def takes(*arrays) -> bool:
    """Tell whether there are kernels for these arrays (or ``None``): one dtype, sizes within 32 bits."""
    kind = arrays[0].dtype
    return kind.name in TYPES and all(
        a is None or (a.dtype == kind and a.size < MOST) for a in arrays
    )


def multiply(a, b, kind: str = "nn", *, bias=None, activation=None, y=None, alpha: float = 1.0,
             sums: bool = False, out=None):
    """Return activation(alpha * a @ b + bias), and column sums of ``b`` where they are asked for.

    Parameters
    ----------
    a : array, shape (M, K), turned (K, M), or with an axis of matrices before
    b : array, shape (K, N), turned (N, K), or with an axis of matrices before
    kind : {"nn", "nt", "tn"}
        Which operand lies turned in memory.
    bias : array, shape (N,), optional
    activation : {None, "relu", "tanh", "sigmoid"}
        With ``y`` that whose slope is meant.
    y : array, optional
        Result of ``activation``. Before the product its slope multiplies the left operand (``"nt"``) or the
        right one (``"tn"``), of the shape of which it is.
    sums : bool
        Return also the column sums of the right operand, after the slope; ``"tn"`` alone, one matrix.
    out : array, shape (M, N), optional
        Takes the result; contiguous.

    Returns
    -------
    c : array, shape (M, N) or with an axis before
    dbias : array, shape (N,)
        Only with ``sums``.
    """
    a, b = cupy.ascontiguousarray(a), cupy.ascontiguousarray(b)
    y = None if y is None or activation is None else cupy.ascontiguousarray(y)
    bias = None if bias is None else cupy.ascontiguousarray(bias)
    sizes = _sizes(a, b, kind)
    batch, m, n, k = sizes
    if y is not None and (kind == "nn" or bias is not None) or sums and (kind != "tn" or batch > 1):
        raise ValueError(f"gemm {kind}: no slope before this product, or no column sums beside it")
    c = cupy.empty((*(a.shape[:-2] or b.shape[:-2]), m, n), a.dtype) if out is None else out
    if library_does(batch, m, n, k, a.dtype):
        return _by_library(kind, (a, b, y, bias, c), activation, alpha, sums)
    dbias = cupy.empty(n, a.dtype) if sums else None
    if c.size:
        tensor = _uses_tensor_cores(a.itemsize)
        found = plan(m, n, k, batch, a.itemsize, tensor, launch.processors())
        _launch(kind, found, (a, b, y, bias, c, dbias), sizes, activation, alpha)
    elif sums and n:
        dbias = _column_sums(b, y, activation)
    return (c, dbias) if sums else c


def _column_sums(b, y=None, activation=None):
    """Return column sums where no product of our own brings them along."""
    ones = cupy.ones((b.shape[0], 1), b.dtype)
    found = plan(1, b.shape[1], b.shape[0], 1, b.itemsize, False, launch.processors())
    total = cupy.empty((1, b.shape[1]), b.dtype)
    _launch("tn", found, (ones, b, y, None, total, None), (1, 1, b.shape[1], b.shape[0]), activation, 1.0)
    return total[0]


def _by_library(kind: str, arrays: tuple, activation, alpha: float, sums: bool):
    """Do what ``multiply`` does with cuBLAS, before and after which elementwise kernels run."""
    a, b, y, bias, c = arrays
    if y is not None and kind == "nt":
        a = elementwise.activation_backward(a, y, activation)
    elif y is not None:
        b = elementwise.activation_backward(b, y, activation)
    cublas.multiply(a, b, kind, alpha=alpha, out=c, tf32=precision.tf32())
    if y is None and bias is not None:
        elementwise.bias_activation(c, bias, activation or "linear", out=c)
    elif y is None and activation is not None:
        elementwise.activation_forward(c, activation, out=c)
    return (c, _column_sums(b)) if sums else c


def _sizes(a, b, kind: str) -> tuple[int, int, int, int]:
    m, k = a.shape[-2:] if kind[0] == "n" else a.shape[:-3:-1]
    inner, n = b.shape[-2:] if kind[1] == "n" else b.shape[:-3:-1]
    batches = {x.shape[0] for x in (a, b) if x.ndim == 3}
    if inner != k or len(batches) > 1 or max(a.ndim, b.ndim) > 3:
        raise ValueError(f"gemm {kind}: operands of shapes {a.shape} and {b.shape} do not fit")
    return (batches or {1}).pop(), m, n, k


def _launch(kind: str, found: Plan, arrays: tuple, sizes: tuple, activation, alpha: float) -> None:
    a, b, y, bias, c, dbias = arrays
    batch, m, n, _ = sizes
    tile, splits = found.tile, found.splits
    scaled = y is not None
    name = f"gemm_{kind}{'_slope' if scaled else ''}"
    defines = tile.defines(a.dtype.name)
    product = _packed(
        kind, sizes, found, a.ndim == 3, b.ndim == 3, _wide(kind, a, b, y, c), ACTIVATIONS[activation], alpha
    )
    partial = None
    if splits > 1:
        partial = cupy.empty((batch * splits, m + (dbias is not None), n), "float32")
    grid = (-(-m // tile.rows) * -(-n // tile.columns), 1, batch * splits)
    taken = (a, b, *((y,) if scaled else (bias,)), c, *((dbias,) if kind == "tn" else ()), partial, product)
    MODULE.kernel(name, **defines)(grid, tile.threads, *taken, shared=tile.shared(a.itemsize, name))
    if splits > 1:
        count = (m + (dbias is not None)) * n
        join = MODULE.kernel("gemm_join", **defines)
        join((-(-count // JOINING), batch), JOINING, partial, bias, c, dbias, product, int(scaled))


@functools.lru_cache(maxsize=4096)
def _packed(kind: str, sizes: tuple, found: Plan, several_a: bool, several_b: bool, wide: int,
            activation: int, alpha: float) -> np.ndarray:
    """Return the structure ``Product``; operands that are one matrix serve the whole batch."""
    batch, m, n, k = sizes
    product = np.zeros((), DTYPE)
    product["stride_a"], product["stride_b"] = m * k * several_a, k * n * several_b
    product["stride_c"] = m * n
    product["m"], product["n"], product["k"] = m, n, k
    product["splits"], product["slice"] = found.splits, found.slice
    product["line_a"], product["line_b"] = k if kind[0] == "n" else m, n if kind[1] == "n" else k
    product["activation"], product["wide"], product["alpha"] = activation, wide, alpha
    return product


def _wide(kind: str, a, b, y, c) -> int:
    """Return what may be copied in packs: 1 the left operand, 2 the right one, 4 the result."""
    bits = 4 * (c.shape[-1] % 4 == 0 and c.data.ptr % (4 * c.itemsize) == 0)
    for bit, x, scaled in ((1, a, kind == "nt"), (2, b, kind == "tn")):
        starts = x.data.ptr | (y.data.ptr if scaled and y is not None else 0)
        bits += bit * (x.shape[-1] * x.itemsize % 16 == 0 and starts % 16 == 0)
    return bits
