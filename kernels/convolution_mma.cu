// Convolution and its data gradient on tensor cores (from compute capability 8.0): float as tf32, or halves.
//
// The same product as in convolution.cu: a block has M rows and N columns of the result, slices of K are copied
// asynchronously, sums are floats.
#include "convolution_mma.cuh"

constexpr int LOADS_A = M * (K / V) / THREADS, LOADS_B = N * (K / V) / THREADS;
constexpr int SIZE_A = M * K, SIZE_B = K * ACROSS_N;  // B may lie along K too, which takes less
constexpr int BLOCKS = USE_B;  // that are to fit on a multiprocessor

// Shared memory: STAGES slices of A, as many of B, corners and targets of M rows (convolution_mma.py knows it too).
template <bool BACK>
__device__ __forceinline__ void product(unsigned char* memory, const T* __restrict__ x, const T* __restrict__ w,
                                        const T* __restrict__ bias, T* __restrict__ y, float* __restrict__ sums,
                                        const Windows& s, int images, int inner, int columns, int groups, int splits,
                                        int activation) {
  T* const slices_a = reinterpret_cast<T*>(memory);
  T* const slices_b = slices_a + STAGES * SIZE_A;
  Corner* const corners = reinterpret_cast<Corner*>(slices_b + STAGES * SIZE_B);
  int* const targets = reinterpret_cast<int*>(corners + M);
  const int thread = threadIdx.x;
  const int group = blockIdx.z % groups;
  const int split = blockIdx.z / groups % splits;
  const Gather g = BACK ? reaching_windows(s, blockIdx.z / groups / splits) : under_windows(s);
  const int rows = images * all(g.places);
  const int across = (columns + N - 1) / N;
  const int row = blockIdx.x / across * M, column = blockIdx.x % across * N;
  if (row >= rows) return;  // the whole block: phases differ in size
  const int channels = inner * groups, filters = columns * groups;
  for (int r = thread; r < M; r += THREADS) {
    corners[r] = no_corner();
    targets[r] = -1;
    if (row + r < rows) {
      Place p = place_of(row + r, g.places);
      corners[r] = corner_of(g, p, channels);
      targets[r] = target_of(g, p, BACK ? s.size : s.out, filters);
    }
  }
  __syncthreads();

  const int depth = all(g.taps) * inner;
  const int share = ((depth + K - 1) / K + splits - 1) / splits * K;
  const int start = split * share, stop = min(depth, start + share);
  const int count = start < stop ? (stop - start + K - 1) / K : 0;

  // What this thread loads: packs of V neighbouring k of some rows; they all have the same k.
  const int part = thread % (K / V) * V;
  Tap tap = {0, 0, 0, 0}, step = tap;
  if (count) {
    tap = tap_of(start + part, inner, g.taps);
    step = tap_of(K, inner, g.taps);
  }
  const T* source = x + group * inner;

  auto load_slice = [&](int number_of) {  // slices are asked for in their order
    const int k = start + number_of * K;
    T* const a = slices_a + number_of % STAGES * SIZE_A;
    T* const b = slices_b + number_of % STAGES * SIZE_B;
    const bool some = k + part < stop;
    const Reach reach = reach_of(g, tap, channels);
#pragma unroll
    for (int i = 0; i < LOADS_A; ++i) {
      const int r = (thread + i * THREADS) / (K / V);
      const Corner corner = corners[r];
      const bool found = some && inside(g, corner, reach);
      copy_async<16>(a + along(r, part), found ? source + corner.offset + reach.offset : x, found ? 16 : 0);
    }
#pragma unroll
    for (int i = 0; i < LOADS_B; ++i) {
      const int q = thread + i * THREADS;
      if (BACK) {
        const int n = q / (K / V);
        const bool found = some && column + n < columns;
        const int from = found ? (kernel_tap(g, tap, s.window) * columns + column + n) * channels + group * inner + tap.c
                               : 0;
        copy_async<16>(b + along(n, part), w + from, found ? 16 : 0);
      } else {
        const int at = q / (N / V), n = q % (N / V) * V;
        const bool found = k + at < stop && column + n < columns;
        const int from = found ? (k + at) * filters + group * columns + column + n : 0;
        copy_async<16>(b + at * ACROSS_N + n, w + from, found ? 16 : 0);
      }
    }
    advance(tap, step, inner, g.taps);
  };

  const int warp = thread / 32, lane = thread % 32;
  const int top = warp / ACROSS * WARP_M, left = warp % ACROSS * WARP_N;
  float sum[R][S][4] = {};
#pragma unroll
  for (int i = 0; i < STAGES - 1; ++i) {
    if (i < count) load_slice(i);
    copy_commit();
  }
  for (int i = 0; i < count; ++i) {
    copy_wait<STAGES - 2>();
    __syncthreads();  // slice i is there, and slice i - 1 is no longer read
    if (i + STAGES - 1 < count) load_slice(i + STAGES - 1);
    copy_commit();
    multiply_slice<true, BACK>(sum, slices_a + i % STAGES * SIZE_A, slices_b + i % STAGES * SIZE_B, top, left);
  }

  Target target = {sums, group * columns, columns, activation};
  if (sums) target.sums += (long long)split * images * all(BACK ? s.size : s.out) * filters;
#pragma unroll 1
  for (int r = 0; r < R; ++r, next_rows(sum)) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int offset = targets[top + r * 16 + half * 8 + lane / 4];
      if (offset < 0) continue;
#pragma unroll
      for (int c = 0; c < S; ++c)
        write<2>(target, y, bias, offset, column + left + c * 8 + lane % 4 * 2, &sum[0][c][half * 2], true);
    }
  }
}

// y = activation(x * w + bias); with ``sums``, the sums of every part of K (splits, n, out, F) instead.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
convolution_forward_mma(const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ bias,
                        T* __restrict__ y, float* __restrict__ sums, Windows s, int images, int inner, int columns,
                        int groups, int splits, int activation) {
  extern __shared__ __align__(16) unsigned char memory[];
  product<false>(memory, x, w, bias, y, sums, s, images, inner, columns, groups, splits, activation);
}

// dx, after bias and activation (a transposed convolution has them); ``inner`` are the filters of a group,
// ``columns`` its channels.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
convolution_backward_data_mma(const T* __restrict__ dy, const T* __restrict__ w, const T* __restrict__ bias,
                              T* __restrict__ dx, float* __restrict__ sums, Windows s, int images, int inner,
                              int columns, int groups, int splits, int activation) {
  extern __shared__ __align__(16) unsigned char memory[];
  product<true>(memory, dy, w, bias, dx, sums, s, images, inner, columns, groups, splits, activation);
}
