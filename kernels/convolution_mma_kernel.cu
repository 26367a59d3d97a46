// Gradient of a convolution's kernel on tensor cores (from compute capability 8.0): float as tf32, or halves.
//
// The same product as in convolution_kernel.cu: rows are taps and channels, columns filters, and what is summed are
// the places of windows in all images; parts of them have sums of their own.
#include "convolution_mma.cuh"

constexpr int LOADS_A = K * (M / V) / THREADS, LOADS_B = K * (N / V) / THREADS;
constexpr int AT_ONCE = THREADS / (M / V);  // places whose packs of A the block loads at once
constexpr int SIZE_A = K * ACROSS_M, SIZE_B = K * ACROSS_N;
constexpr int BLOCKS = USE_B;  // that are to fit on a multiprocessor
static_assert(THREADS % (M / V) == 0, "a thread loads packs of one row");

// dw, or with ``sums`` those of every part (splits, taps, C / groups, F).
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
convolution_backward_kernel_mma(const T* __restrict__ x, const T* __restrict__ dy, T* __restrict__ dw,
                                float* __restrict__ sums, Windows s, int images, int inner, int columns, int groups,
                                int splits) {
  extern __shared__ __align__(16) unsigned char memory[];
  T* const slices_a = reinterpret_cast<T*>(memory);
  T* const slices_b = slices_a + STAGES * SIZE_A;
  const int thread = threadIdx.x;
  const int group = blockIdx.z % groups, split = blockIdx.z / groups;
  const Gather g = under_windows(s);
  const int rows = all(g.taps) * inner;
  const int across = (columns + N - 1) / N;
  const int row = blockIdx.x / across * M, column = blockIdx.x % across * N;
  const int channels = inner * groups, filters = columns * groups;
  const int places = images * all(g.places);
  const int share = ((places + K - 1) / K + splits - 1) / splits * K;
  const int start = split * share, stop = min(places, start + share);
  const int count = start < stop ? (stop - start + K - 1) / K : 0;

  // A thread loads packs of one row; only the places change.
  const int m = thread % (M / V) * V;
  const bool needed = row + m < rows;
  const Reach reach = reach_of(g, tap_of(needed ? row + m : 0, inner, g.taps), channels);
  Place at = {0, 0, 0, 0}, step = at;
  if (count) {
    at = place_of(start + thread / (M / V), g.places);
    step = place_of(AT_ONCE, g.places);
  }
  const T* source = x + group * inner + reach.offset;

  auto load_slice = [&](int number_of) {  // slices are asked for in their order
    const int k = start + number_of * K;
    T* const a = slices_a + number_of % STAGES * SIZE_A;
    T* const b = slices_b + number_of % STAGES * SIZE_B;
#pragma unroll
    for (int i = 0; i < LOADS_A; ++i) {
      const int p = thread / (M / V) + i * AT_ONCE;
      const Corner corner = corner_of(g, at, channels);
      const bool found = needed && k + p < stop && inside(g, corner, reach);
      copy_async<16>(a + p * ACROSS_M + m, found ? source + corner.offset : x, found ? 16 : 0);
      advance(at, step, g.places);
    }
#pragma unroll
    for (int i = 0; i < LOADS_B; ++i) {
      const int q = thread + i * THREADS;
      const int p = q / (N / V), n = q % (N / V) * V;
      const bool found = k + p < stop && column + n < columns;
      copy_async<16>(b + p * ACROSS_N + n, dy + (found ? (k + p) * filters + group * columns + column + n : 0),
                     found ? 16 : 0);
    }
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
    multiply_slice<false, false>(sum, slices_a + i % STAGES * SIZE_A, slices_b + i % STAGES * SIZE_B, top, left);
  }

  Target target = {sums, group * columns, columns, LINEAR};
  if (sums) target.sums += (long long)split * rows * filters;
#pragma unroll 1
  for (int r = 0; r < R; ++r, next_rows(sum)) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int found = row + top + r * 16 + half * 8 + lane / 4;
      if (found >= rows) continue;
#pragma unroll
      for (int c = 0; c < S; ++c)
        write<2, T>(target, dw, nullptr, found * filters, column + left + c * 8 + lane % 4 * 2, &sum[0][c][half * 2],
                    true);
    }
  }
}
