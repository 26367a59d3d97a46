// Products of matrices: c = f(alpha op(a) op(b) + bias), with op the matrix itself (n) or turned (t).
//
// All matrices lie row by row: a (m, k) or turned (k, m), b (k, n) or turned (n, k), c (m, n). A block has Rows x
// Columns results. It walks along the sum with Stages tiles under way, then adds up what its groups of threads have,
// adds the bias and applies the activation. Where the sum is long and results are few, blocks split it: then
// ``partial`` takes what each has, and ``gemm_join`` adds that up in order.
//
// Gradients: gemm_nt_slope and gemm_tn_slope multiply dy, their left and right operand, by the slope of an activation
// that is told by its result y. gemm_tn gives with it the column sums of its right operand: the bias gradient.
//
#include "gemm_core.cuh"

typedef USE_T T;
constexpr bool TENSOR = USE_TENSOR;     // tensor cores
constexpr int ROWS = USE_ROWS;          // of the block's part of c
constexpr int COLUMNS = USE_COLUMNS;
constexpr int DEPTH = USE_DEPTH;        // of a tile along the sum
constexpr int HEIGHT = USE_HEIGHT;      // of the part of a thread; with tensor cores, of a warp
constexpr int WIDTH = USE_WIDTH;
constexpr int GROUPS = USE_GROUPS;      // that split the depth of a tile
constexpr int STAGES = USE_STAGES;      // tiles in shared memory
constexpr int BLOCKS = USE_BLOCKS;      // that are to fit on a multiprocessor
constexpr int THREADS = (ROWS / HEIGHT) * (COLUMNS / WIDTH) * GROUPS * (TENSOR ? 32 : 1);
constexpr int JOINING = 256;            // threads that join parts

// gemm.py fills this in.
struct Product {
  long long stride_a, stride_b, stride_c;  // from one matrix of a batch to the next
  int m, n, k;
  int line_a, line_b;                      // from one line of a matrix to the next
  int splits, slice;                       // parts of the sum, and how long each is
  int activation;                          // of the results; with a slope, that of y
  int wide;                                // 1: a, 2: b may be copied 16 bytes at once; 4: c is stored in fours
  float alpha;
};

enum Slope { no_slope, slope_of_a, slope_of_b };

// Which results a block has: neighbouring blocks share what they read, eight rows of tiles at a time.
struct Where {
  int row, column;
};
__device__ __forceinline__ Where where(const Product& p) {
  int across = (p.n + COLUMNS - 1) / COLUMNS, down = (p.m + ROWS - 1) / ROWS;
  int band = blockIdx.x / (8 * across), rest = blockIdx.x % (8 * across), height = min(8, down - 8 * band);
  return {(8 * band + rest % height) * ROWS, rest / height * COLUMNS};
}

// alpha x + bias, activated. The bias of a column is the same for all rows.
__device__ __forceinline__ float finished(float x, const T* bias, int column, const Product& p, int activation) {
  x *= p.alpha;
  if (bias) x += number(bias[column]);
  return activated(x, activation);
}

// Four results, or those of them that lie inside.
template <typename Element>
__device__ __forceinline__ void write(Element* to, const float (&v)[4], int inside, bool wide) {
  if (wide) {
    Pack<Element, 4> pack;
    for (int i = 0; i < 4; ++i) pack.values[i] = element<Element>(v[i]);
    store(to, pack);
  } else {
    for (int i = 0; i < 4; ++i)
      if (i < inside) to[i] = element<Element>(v[i]);
  }
}

// Parts of the sums that fit into shared memory at once.
__host__ __device__ constexpr int parts_at_once(int steps, int bytes_of_part, int bytes) {
  return steps * bytes_of_part <= bytes ? steps : parts_at_once(steps / 2, bytes_of_part, bytes);
}

template <bool ADepth, bool BDepth, int Sloped, bool WithSums>
__device__ __forceinline__ void multiplied(
    const T* __restrict__ a, const T* __restrict__ b, const T* __restrict__ y, const T* __restrict__ bias,
    T* __restrict__ c, T* __restrict__ sums, float* __restrict__ partial, const Product& p) {
  typedef Tile<T, ROWS, DEPTH, ADepth, TENSOR, THREADS> A;
  typedef Tile<T, COLUMNS, DEPTH, BDepth, TENSOR, THREADS> B;
  typedef typename Choice<
      TENSOR, TensorCore<T, ROWS, COLUMNS, DEPTH, HEIGHT, WIDTH, GROUPS, A, B, ADepth, BDepth>,
      PlainCore<ROWS, COLUMNS, DEPTH, HEIGHT, WIDTH, GROUPS, A, B>>::type Core;
  typedef typename A::Stored Stored;
  extern __shared__ __align__(16) unsigned char memory[];
  Stored* tiles_a = (Stored*)memory;
  Stored* tiles_b = tiles_a + STAGES * A::Size;
  Stored* tiles_y = tiles_b + STAGES * B::Size;
  constexpr int SizeY = Sloped == slope_of_a ? A::Size : B::Size;

  int matrix = blockIdx.z / p.splits, split = blockIdx.z % p.splits;
  Where at = where(p);
  int start = split * p.slice, stop = min(p.k, start + p.slice);
  Source<T> from_a = {a + matrix * p.stride_a, at.row, p.m, stop, p.line_a, (p.wide & 1) != 0};
  Source<T> from_b = {b + matrix * p.stride_b, at.column, p.n, stop, p.line_b, (p.wide & 2) != 0};
  Source<T> from_y = Sloped == slope_of_a ? from_a : from_b;
  if (Sloped) from_y.from = y + matrix * (Sloped == slope_of_a ? p.stride_a : p.stride_b);

  auto copy = [&](int step) {
    int stage = step % STAGES, depth = start + step * DEPTH;
    if (depth < stop) {
      A::copy(tiles_a + stage * A::Size, from_a, depth);
      B::copy(tiles_b + stage * B::Size, from_b, depth);
      if (Sloped == slope_of_a) A::copy(tiles_y + stage * SizeY, from_y, depth);
      if (Sloped == slope_of_b) B::copy(tiles_y + stage * SizeY, from_y, depth);
    }
    copy_commit();
  };
  Core core;
  float total = 0.f;  // of column threadIdx.x of b
  bool summing = WithSums && sums && at.row == 0 && threadIdx.x < COLUMNS;
  for (int step = 0; step < STAGES - 1; ++step) copy(step);
  int steps = (stop - start + DEPTH - 1) / DEPTH;
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    int stage = step % STAGES;
    Stored* tile_a = tiles_a + stage * A::Size;
    Stored* tile_b = tiles_b + stage * B::Size;
    copy_wait<STAGES - 2>();
    if (Sloped == slope_of_a) A::scale(tile_a, tiles_y + stage * SizeY, from_y.wide, p.activation);
    if (Sloped == slope_of_b) B::scale(tile_b, tiles_y + stage * SizeY, from_y.wide, p.activation);
    __syncthreads();
    copy(step + STAGES - 1);  // into the tile of which all have done their part before the barrier
    if (summing) {
#pragma unroll 4
      for (int k = 0; k < DEPTH; ++k) total += number(tile_b[B::place(threadIdx.x, k)]);
    }
    core.add(tile_a, tile_b);
  }
  copy_wait<0>();

  // The sums go through shared memory, so that groups meet and neighbouring threads store neighbouring results.
  constexpr int Pitch = COLUMNS + 8, PartBytes = GROUPS * Core::PartRows * Pitch * (int)sizeof(float);
  constexpr int Together = parts_at_once(Core::Steps, PartBytes, STAGES * (A::Size + B::Size) * (int)sizeof(Stored));
  constexpr int Height = Together * Core::PartRows;
  float* shown = (float*)memory;
  bool split_up = p.splits > 1;
  int activation = Sloped ? linear : p.activation;
  long long rows = p.m + (WithSums && sums ? 1 : 0);  // of a part: the column sums lie below
  float* mine = partial + blockIdx.z * rows * p.n;
  T* result = c + matrix * p.stride_c;
#pragma unroll 1
  for (int first_part = 0; first_part < Core::Steps; first_part += Together) {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < Together; ++i)
      core.put(shown + (core.group * Height + i * Core::PartRows) * Pitch, Pitch, first_part + i);
    __syncthreads();
#pragma unroll 1
    for (int i = threadIdx.x; i < Height * (COLUMNS / 4); i += THREADS) {
      int line = i / (COLUMNS / 4), column = i % (COLUMNS / 4) * 4;
      int row_of_c = at.row + Core::row(first_part + line / Core::PartRows, line % Core::PartRows);
      int left = p.n - at.column - column;
      if (row_of_c >= p.m || left <= 0) continue;
      float v[4] = {0.f, 0.f, 0.f, 0.f};
#pragma unroll
      for (int group = 0; group < GROUPS; ++group) {
        Pack<float, 4> of_group = load<4>(shown + (group * Height + line) * Pitch + column);
        for (int j = 0; j < 4; ++j) v[j] += of_group.values[j];
      }
      long long to = (long long)row_of_c * p.n + at.column + column;
      bool wide = p.wide & 4;
      if (split_up) {
        write(mine + to, v, left, wide);
      } else {
        for (int j = 0; j < 4; ++j)
          if (j < left) v[j] = finished(v[j], bias, at.column + column + j, p, activation);
        write(result + to, v, left, wide);
      }
    }
  }
  if (summing && at.column + threadIdx.x < p.n) {
    if (split_up) mine[(long long)p.m * p.n + at.column + threadIdx.x] = total;
    else sums[at.column + threadIdx.x] = element<T>(total);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
gemm_nn(const T* __restrict__ a, const T* __restrict__ b, const T* __restrict__ bias, T* __restrict__ c,
        float* __restrict__ partial, Product p) {
  multiplied<true, false, no_slope, false>(a, b, nullptr, bias, c, nullptr, partial, p);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
gemm_nt(const T* __restrict__ a, const T* __restrict__ b, const T* __restrict__ bias, T* __restrict__ c,
        float* __restrict__ partial, Product p) {
  multiplied<true, true, no_slope, false>(a, b, nullptr, bias, c, nullptr, partial, p);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
gemm_tn(const T* __restrict__ a, const T* __restrict__ b, const T* __restrict__ bias, T* __restrict__ c,
        T* __restrict__ sums, float* __restrict__ partial, Product p) {
  multiplied<false, false, no_slope, true>(a, b, nullptr, bias, c, sums, partial, p);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
gemm_nt_slope(const T* __restrict__ a, const T* __restrict__ b, const T* __restrict__ y, T* __restrict__ c,
              float* __restrict__ partial, Product p) {
  multiplied<true, true, slope_of_a, false>(a, b, y, nullptr, c, nullptr, partial, p);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
gemm_tn_slope(const T* __restrict__ a, const T* __restrict__ b, const T* __restrict__ y, T* __restrict__ c,
              T* __restrict__ sums, float* __restrict__ partial, Product p) {
  multiplied<false, false, slope_of_b, true>(a, b, y, nullptr, c, sums, partial, p);
}

// Add up what the splits of a product have, in their order; a thread has one result. ``sloped``: of a kernel with a
// slope, whose results have no activation.
extern "C" __global__ void __launch_bounds__(JOINING, 4)
gemm_join(const float* __restrict__ partial, const T* __restrict__ bias, T* __restrict__ c, T* __restrict__ sums,
          Product p, int sloped) {
  long long inside = (long long)p.m * p.n, all = inside + (sums ? p.n : 0);
  long long i = (long long)blockIdx.x * JOINING + threadIdx.x;
  if (i >= all) return;
  const float* from = partial + blockIdx.y * p.splits * all + i;
  float v = 0.f;
  for (int split = 0; split < p.splits; ++split) v += from[split * all];
  if (i < inside)
    c[blockIdx.y * p.stride_c + i] = element<T>(finished(v, bias, (int)(i % p.n), p, sloped ? linear : p.activation));
  else
    sums[i - inside] = element<T>(v);
}
