// Sums, maxima and minima of rows and of columns, and how many predictions are right.
//
// What one block cannot do at full speed many do in parts; ``finish_columns`` joins the parts, in their order.
#include "reduction.cuh"

typedef USE_T T;          // of the elements
constexpr int V = USE_V;  // elements of a pack

enum { SUM, MAXIMUM, MINIMUM };  // operations, as the launcher numbers them

// ---- rows ---------------------------------------------------------------------------------------------------
template <class Op>
__device__ __forceinline__ float of_row(const T* from, int columns, int group) {
  float found[V];
#pragma unroll
  for (int v = 0; v < V; ++v) found[v] = Op::start();
#pragma unroll 4
  for (int c = threadIdx.x % group * V; c < columns; c += group * V) {
    Pack<T, V> pack = load<V>(from + c);
#pragma unroll
    for (int v = 0; v < V; ++v) found[v] = Op::join(found[v], number(pack.values[v]));
  }
#pragma unroll
  for (int v = 1; v < V; ++v) found[0] = Op::join(found[0], found[v]);
  return across<Op>(found[0], group);
}

// y (M,): of every row of x (M, C), times scale. Block row y of the grid treats ``part`` columns; where there are
// several, their results go to parts (gridDim.y, M) and y is null.
extern "C" __global__ void __launch_bounds__(256, 2)
reduce_rows(const T* __restrict__ x, T* __restrict__ y, float* __restrict__ parts, int rows, int columns, int part, int group, int operation, float scale) {
  int row = row_of(group), start = blockIdx.y * part;
  int count = row < rows ? min(part, columns - start) : 0;
  const T* from = x + (long long)row * columns + start;
  float found = operation == SUM       ? of_row<Sum>(from, count, group)
                : operation == MAXIMUM ? of_row<Largest>(from, count, group)
                                       : of_row<Smallest>(from, count, group);
  if (row >= rows || threadIdx.x % group) return;
  if (y) y[row] = element<T>(found * scale);
  else parts[(long long)blockIdx.y * rows + row] = found;
}

// ---- columns ------------------------------------------------------------------------------------------------
// Reduce the rows of a block, and write the results: y[column] times scale, or parts[column] where y is null.
// ``found`` is shared memory for all threads' columns.
template <class Op, typename Element, int Count>
__device__ __forceinline__ void of_columns(const Element* x, T* y, float* parts, float* found, int rows, int columns, float scale) {
  Tile t = tile<Count>(columns);
  float mine[Count];
#pragma unroll
  for (int v = 0; v < Count; ++v) mine[v] = Op::start();
  down<Element, Count>(x, t, rows, columns, [&](long long, const Pack<Element, Count>& pack) {
#pragma unroll
    for (int v = 0; v < Count; ++v) mine[v] = Op::join(mine[v], number(pack.values[v]));
  });
  int width = blockDim.x * Count;
#pragma unroll
  for (int v = 0; v < Count; ++v) found[threadIdx.y * width + threadIdx.x * Count + v] = mine[v];
  up(blockDim.y, width, [&](int i, int j) { found[i] = Op::join(found[i], found[j]); });
  for (int c = threadIdx.y * blockDim.x + threadIdx.x; c < t.width; c += blockDim.x * blockDim.y) {
    if (y) y[t.start + c] = element<T>(found[c] * scale);
    else parts[t.start + c] = found[c];
  }
}

template <typename Element, int Count>
__device__ __forceinline__ void of_columns(const Element* x, T* y, float* parts, float* found, int rows, int columns, int operation, float scale) {
  if (operation == SUM) of_columns<Sum, Element, Count>(x, y, parts, found, rows, columns, scale);
  else if (operation == MAXIMUM) of_columns<Largest, Element, Count>(x, y, parts, found, rows, columns, scale);
  else of_columns<Smallest, Element, Count>(x, y, parts, found, rows, columns, scale);
}

// y (B, C): of the columns of every matrix of x (B, M, C), times scale. Matrices along the grid's z; where several
// blocks share the rows, their results go to parts (gridDim.x, B, C) and y is null.
extern "C" __global__ void __launch_bounds__(256, 2)
reduce_columns(const T* __restrict__ x, T* __restrict__ y, float* __restrict__ parts, int rows, int columns, int operation, float scale) {
  __shared__ float found[256 * V];
  long long matrix = blockIdx.z;
  of_columns<T, V>(x + matrix * rows * columns, y ? y + matrix * columns : nullptr,
                   parts ? parts + (blockIdx.x * (long long)gridDim.z + matrix) * columns : nullptr, found, rows,
                   columns, operation, scale);
}

// y (C,): of the columns of parts (M, C), which other blocks have found, times scale.
extern "C" __global__ void __launch_bounds__(256, 2)
finish_columns(const float* __restrict__ parts, T* __restrict__ y, int rows, int columns, int operation, float scale) {
  __shared__ float found[256];
  of_columns<float, 1>(parts, y, nullptr, found, rows, columns, operation, scale);
}

template <class Op>
__device__ __forceinline__ Pack<T, V> of_middle(const T* from, int rows, int columns, float scale) {
  float found[V];
#pragma unroll
  for (int v = 0; v < V; ++v) found[v] = Op::start();
#pragma unroll 4
  for (int r = 0; r < rows; ++r) {
    Pack<T, V> pack = load<V>(from + (long long)r * columns);
#pragma unroll
    for (int v = 0; v < V; ++v) found[v] = Op::join(found[v], number(pack.values[v]));
  }
  Pack<T, V> result;
#pragma unroll
  for (int v = 0; v < V; ++v) result.values[v] = element<T>(found[v] * scale);
  return result;
}

// As reduce_columns, for many small matrices: each thread has V columns of one of them, from the first row on.
extern "C" __global__ void __launch_bounds__(256, 2)
reduce_middle(const T* __restrict__ x, T* __restrict__ y, int matrices, int rows, int columns, int operation, float scale) {
  int packs = columns / V;
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= (long long)matrices * packs) return;
  long long matrix = i / packs;
  int c = (int)(i % packs) * V;
  const T* from = x + matrix * rows * columns + c;
  Pack<T, V> found = operation == SUM       ? of_middle<Sum>(from, rows, columns, scale)
                     : operation == MAXIMUM ? of_middle<Largest>(from, rows, columns, scale)
                                            : of_middle<Smallest>(from, rows, columns, scale);
  store(y + matrix * columns + c, found);
}

// ---- right predictions --------------------------------------------------------------------------------------
struct Place {
  float value;
  int column;
};

// The larger one; of equals the first. NaN is larger than all numbers.
__device__ __forceinline__ Place better(Place a, Place b) {
  bool nan_a = a.value != a.value, nan_b = b.value != b.value;
  bool equal = a.value == b.value || (nan_a && nan_b);
  if (equal) return a.column < b.column ? a : b;
  return nan_a || (!nan_b && a.value > b.value) ? a : b;
}

// Where the largest element of a row is; ``group`` is at most a warp's, and its first thread knows.
__device__ __forceinline__ int largest_place(const T* from, int columns, int group) {
  Place found = {-infinity(), columns};
  for (int c = threadIdx.x % group * V; c < columns; c += group * V) {
    Pack<T, V> pack = load<V>(from + c);
#pragma unroll
    for (int v = 0; v < V; ++v) found = better(found, {number(pack.values[v]), c + v});
  }
  for (int far = group / 2; far; far /= 2)
    found = better(found, {__shfl_xor_sync(0xffffffffu, found.value, far),
                           __shfl_xor_sync(0xffffffffu, found.column, far)});
  return found.column;
}

// parts (2, gridDim.x): the sums over this block of what its threads bring.
__device__ __forceinline__ void block_sums(float* parts, float hits, float weights) {
  float right = across<Sum>(hits, blockDim.x), all = across<Sum>(weights, blockDim.x);
  if (threadIdx.x) return;
  parts[blockIdx.x] = right;
  parts[gridDim.x + blockIdx.x] = all;
}

// Sum the weights of all rows, and of those whose largest score (M, C) is at the class that is given: as a number
// in one of three types or, with all of them null, by the largest element of a row of target (M, C).
extern "C" __global__ void __launch_bounds__(256, 2)
count_classes(const T* __restrict__ scores, const T* __restrict__ target, const int* __restrict__ narrow, const long long* __restrict__ wide, const float* __restrict__ real, const float* __restrict__ weights, float* __restrict__ parts, int rows, int columns, int group) {
  int each = blockDim.x / group;
  float hits = 0.f, all = 0.f;
  for (int base = blockIdx.x * each; base < rows; base += gridDim.x * each) {
    int row = base + threadIdx.x / group;
    bool inside = row < rows;
    long long start = (long long)(inside ? row : 0) * columns;
    int found = largest_place(scores + start, inside ? columns : 0, group);
    int wanted = target ? largest_place(target + start, inside ? columns : 0, group) : 0;
    if (!inside || threadIdx.x % group) continue;
    float weight = weights ? weights[row] : 1.f;
    bool hit = target ? found == wanted : wide ? found == wide[row] : real ? found == real[row] : found == narrow[row];
    hits += hit ? weight : 0.f;
    all += weight;
  }
  block_sums(parts, hits, all);
}

// As count_classes: a hit is where truth (count,) is 1 and the score above the threshold, or 0 and it is not.
// One weight goes with ``inner`` neighbours.
extern "C" __global__ void __launch_bounds__(256, 2)
count_binary(const T* __restrict__ scores, const float* __restrict__ truth, const float* __restrict__ weights, float* __restrict__ parts, float threshold, int count, int inner) {
  float hits = 0.f, all = 0.f;
  for (long long i = first(); i < count; i += stride()) {
    float weight = weights ? weights[(unsigned)i / (unsigned)inner] : 1.f;
    hits += truth[i] == (number(scores[i]) > threshold ? 1.f : 0.f) ? weight : 0.f;
    all += weight;
  }
  block_sums(parts, hits, all);
}

// Add the sums of parts (2, blocks), divided by ``inner``, to total and to count: one element each.
extern "C" __global__ void __launch_bounds__(256, 2)
add_counts(const float* __restrict__ parts, float* __restrict__ total, float* __restrict__ count, int blocks, float inner) {
  float hits = 0.f, all = 0.f;
  for (int i = threadIdx.x; i < blocks; i += blockDim.x) {
    hits += parts[i];
    all += parts[blocks + i];
  }
  hits = across<Sum>(hits, blockDim.x);
  all = across<Sum>(all, blockDim.x);
  if (threadIdx.x) return;
  *total += hits / inner;
  *count += all / inner;
}
