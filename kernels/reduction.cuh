// What reductions stand on: operations, groups of threads that work on one row, tiles of columns.
//
// All sums are taken in an order that the launch alone decides: results repeat to the last bit.
#include "common.cuh"

constexpr int WARP = 32;
constexpr int MOST_WARPS = 16;  // of a block

__device__ __forceinline__ float not_a_number() { return __int_as_float(0x7fc00000); }

struct Sum {
  static __device__ __forceinline__ float start() { return 0.f; }
  static __device__ __forceinline__ float join(float a, float b) { return a + b; }
};
// Of numbers and NaN the result is NaN.
struct Largest {
  static __device__ __forceinline__ float start() { return -infinity(); }
  static __device__ __forceinline__ float join(float a, float b) { return b > a || b != b ? b : a; }
};
struct Smallest {
  static __device__ __forceinline__ float start() { return infinity(); }
  static __device__ __forceinline__ float join(float a, float b) { return b < a || b != b ? b : a; }
};

// ---- rows ---------------------------------------------------------------------------------------------------
// A row is treated by ``group`` neighbouring threads, a power of two; a block has blockDim.x / group rows.
__device__ __forceinline__ int row_of(int group) {
  return blockIdx.x * (blockDim.x / group) + threadIdx.x / group;
}

// Give every thread of a group what Op makes of the values of all. Every thread of the block has to come.
template <class Op>
__device__ __forceinline__ float across(float value, int group) {
  for (int far = min(group, WARP) / 2; far; far /= 2) value = Op::join(value, __shfl_xor_sync(0xffffffffu, value, far));
  if (group <= WARP) return value;
  __shared__ float of_warps[MOST_WARPS];
  __syncthreads();  // an earlier call may still be read
  if (threadIdx.x % WARP == 0) of_warps[threadIdx.x / WARP] = value;
  __syncthreads();
  const float* of_group = of_warps + threadIdx.x / group * (group / WARP);
  value = of_group[0];
  for (int warp = 1; warp < group / WARP; ++warp) value = Op::join(value, of_group[warp]);
  return value;
}

// One row of one or two matrices, as one thread of its group sees it: packs of Count neighbouring elements. With
// Held > 0 a thread's packs, at most Held, are read once and stay in registers, where changes to them last; else
// every walk reads them anew.
template <typename Element, int Count, int Held, int Inputs>
struct Row {
  const Element* from[Inputs];
  int columns, lane, group;
  float held[Inputs][Held ? Held : 1][Count];

  // A row that is none (``inside`` false) has no elements.
  __device__ __forceinline__ Row(const Element* first, const Element* last, bool inside, int all_columns, int of_group)
      : columns(inside ? all_columns : 0), lane(threadIdx.x % of_group), group(of_group) {
    from[0] = first;
    from[Inputs - 1] = last;
#pragma unroll
    for (int k = 0; k < Held; ++k) {
      if (column(k) >= columns) break;
#pragma unroll
      for (int i = 0; i < Inputs; ++i) read(i, column(k), held[i][k]);
    }
  }

  // First column of a thread's pack k.
  __device__ __forceinline__ int column(int k) const { return (k * group + lane) * Count; }

  // Call f(k, first column, pack of the first matrix, of the last) for all packs of this thread, in order.
  template <class F>
  __device__ __forceinline__ void packs(F f) {
    if constexpr (Held > 0) {
#pragma unroll
      for (int k = 0; k < Held; ++k) {
        if (column(k) >= columns) break;
        f(k, column(k), held[0][k], held[Inputs - 1][k]);
      }
    } else {
      for (int k = 0; column(k) < columns; ++k) {
        float found[Inputs][Count];
#pragma unroll
        for (int i = 0; i < Inputs; ++i) read(i, column(k), found[i]);
        f(k, column(k), found[0], found[Inputs - 1]);
      }
    }
  }

  // Call f(column, element of the first matrix, of the last) for all elements of this thread, in order.
  template <class F>
  __device__ __forceinline__ void walk(F f) {
    packs([&](int, int c, float (&a)[Count], float (&b)[Count]) {
#pragma unroll
      for (int v = 0; v < Count; ++v) f(c + v, a[v], b[v]);
    });
  }

  // As walk; what f returns is written to the row at ``to``.
  template <class F>
  __device__ __forceinline__ void write(Element* to, F f) {
    packs([&](int, int c, float (&a)[Count], float (&b)[Count]) {
      Pack<Element, Count> pack;
#pragma unroll
      for (int v = 0; v < Count; ++v) pack.values[v] = element<Element>(f(c + v, a[v], b[v]));
      store(to + c, pack);
    });
  }

 private:
  __device__ __forceinline__ void read(int i, int c, float (&to)[Count]) {
    Pack<Element, Count> pack = load<Count>(from[i] + c);
#pragma unroll
    for (int v = 0; v < Count; ++v) to[v] = number(pack.values[v]);
  }
};

// ---- columns ------------------------------------------------------------------------------------------------
// A block of blockDim.x by blockDim.y threads treats blockDim.x * Count columns of a matrix: thread (x, y) has
// Count neighbouring columns and every so many-th row.
struct Tile {
  int column;       // the first of this thread
  bool inside;      // whether there are such columns
  long long row, step;  // the first row, and how far the next is
  int start, width;   // columns of the block
};

template <int Count>
__device__ __forceinline__ Tile tile(int columns) {
  Tile t;
  t.start = blockIdx.y * blockDim.x * Count;
  t.width = min((int)blockDim.x * Count, columns - t.start);
  t.column = t.start + threadIdx.x * Count;
  t.inside = t.column < columns;
  t.row = blockIdx.x * blockDim.y + threadIdx.y;
  t.step = (long long)gridDim.x * blockDim.y;
  return t;
}

constexpr int ROWS = 4;  // that a thread reads before it uses them, so that reads overlap

// Call f(row, packs) for every ROWS rows of a thread, ``row`` the first and the others t.step apart; those past the
// last are zeros.
template <typename Element, int Count, class F>
__device__ __forceinline__ void chunks(const Element* x, const Tile& t, int rows, int columns, F f) {
  if (!t.inside) return;
  const Element* from = x + t.column;
  for (long long r = t.row; r < rows; r += ROWS * t.step) {
    Pack<Element, Count> packs[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; ++i) {
      packs[i] = {};
      if (r + i * t.step < rows) packs[i] = load<Count>(from + (r + i * t.step) * columns);
    }
    f(r, packs);
  }
}

// Call f(row, pack) for the rows of a thread.
template <typename Element, int Count, class F>
__device__ __forceinline__ void down(const Element* x, const Tile& t, int rows, int columns, F f) {
  chunks<Element, Count>(x, t, rows, columns, [&](long long r, const Pack<Element, Count>* packs) {
#pragma unroll
    for (int i = 0; i < ROWS; ++i)
      if (r + i * t.step < rows) f(r + i * t.step, packs[i]);
  });
}

// Reduce what the rows of a block's threads have found: of ``groups`` runs of ``width`` places in shared memory the
// first gets the result. ``join(i, j)`` takes place j into place i. Every thread of the block has to come.
template <class Join>
__device__ __forceinline__ void up(int groups, int width, Join join) {
  int thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
  __syncthreads();
  while (groups > 1) {
    int half = (groups + 1) / 2;
    for (int i = thread; i < (groups - half) * width; i += threads) join(i, i + half * width);
    __syncthreads();
    groups = half;
  }
}
