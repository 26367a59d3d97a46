// Gradient of a convolution's kernel where channels come in fours: a product in tiles, twice buffered.
//
// A block has M rows (taps and channels) and N filters of dw (taps, C / groups, F); what is summed are the places of
// windows in all images, in slices of eight. Places are split over blocks as well: each part has sums of its own,
// added in their order afterwards, so results do not depend on which block comes first.
#include "convolution.cuh"

typedef USE_T T;
constexpr int M = USE_M, N = USE_N, R = USE_R, S = USE_S;
constexpr int K = 8;                           // places of a slice
constexpr int WARP_M = 4 * R, WARP_N = 8 * S;  // a warp is 4 x 8 threads
constexpr int THREADS = M / R * (N / S);
constexpr int BLOCKS = USE_B;  // that are to fit on a multiprocessor
constexpr int LOADS_A = M * K / 4 / THREADS, LOADS_B = N * K / 4 / THREADS;
constexpr int AT_ONCE = THREADS / (M / 4);  // places whose packs of A the block loads at once
constexpr int UNROLL = R * S <= 32 ? 4 : LOADS_A == 1 ? 2 : 1;  // registers are short
static_assert(M * K / 4 % THREADS == 0 && N * K / 4 % THREADS == 0 && THREADS % (M / 4) == 0,
              "every thread loads as many packs, those of A of one row");

struct alignas(16) Slices {
  float a[2][K][M];
  float b[2][K][N];
};

// dw, or with ``sums`` those of every part (splits, taps, C / groups, F).
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
convolution_backward_kernel(const T* __restrict__ x, const T* __restrict__ dy, T* __restrict__ dw,
                            float* __restrict__ sums, Windows s, int images, int inner, int columns, int groups,
                            int splits) {
  __shared__ Slices shared;
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

  // A thread loads packs of one row; only the places change.
  const int m = row + thread % (M / 4) * 4;
  const bool needed = m < rows;
  const Tap tap = tap_of(needed ? m : 0, inner, g.taps);
  const Reach reach = reach_of(g, tap, channels);
  Place at = {0, 0, 0, 0}, step = at;
  if (start < stop) {
    at = place_of(start + thread / (M / 4), g.places);
    step = place_of(AT_ONCE, g.places);
  }
  Pack<T, 4> a[LOADS_A], b[LOADS_B];

  auto load_slice = [&](int k) {
#pragma unroll
    for (int i = 0; i < LOADS_A; ++i) {
      Corner corner = corner_of(g, at, channels);
      bool found = needed && k + thread / (M / 4) + i * AT_ONCE < stop && inside(g, corner, reach);
      a[i] = found ? load<4>(x + group * inner + corner.offset + reach.offset) : Pack<T, 4>{};
      advance(at, step, g.places);
    }
#pragma unroll
    for (int i = 0; i < LOADS_B; ++i) {
      int q = thread + i * THREADS;
      int p = k + q / (N / 4), n = column + q % (N / 4) * 4;
      b[i] = p < stop && n < columns ? load<4>(dy + p * filters + group * columns + n) : Pack<T, 4>{};
    }
  };
  auto put = [](float* to, const Pack<T, 4>& pack) {
    Pack<float, 4> wide;
#pragma unroll
    for (int j = 0; j < 4; ++j) wide.values[j] = number(pack.values[j]);
    store(to, wide);
  };
  auto store_slice = [&](int buffer) {
#pragma unroll
    for (int i = 0; i < LOADS_A; ++i)
      put(&shared.a[buffer][thread / (M / 4) + i * AT_ONCE][thread % (M / 4) * 4], a[i]);
#pragma unroll
    for (int i = 0; i < LOADS_B; ++i) {
      int q = thread + i * THREADS;
      put(&shared.b[buffer][q / (N / 4)][q % (N / 4) * 4], b[i]);
    }
  };

  const int warp = thread / 32, lane = thread % 32;
  const int top = warp / (N / WARP_N) * WARP_M + lane / 8 * 4;  // first row of this thread; further ones 16 on
  const int left = warp % (N / WARP_N) * WARP_N + lane % 8 * 4;  // first column; further ones 32 on
  float sum[R][S] = {};
  int buffer = 0;
  if (start < stop) {
    load_slice(start);
    store_slice(0);
  }
  __syncthreads();
  for (int k = start; k < stop; k += K) {
    const bool more = k + K < stop;
    if (more) load_slice(k + K);
#pragma unroll UNROLL
    for (int j = 0; j < K; ++j) {
      Pack<float, 4> u[R / 4], v[S / 4];
#pragma unroll
      for (int i = 0; i < R / 4; ++i) u[i] = load<4>(&shared.a[buffer][j][top + 16 * i]);
#pragma unroll
      for (int i = 0; i < S / 4; ++i) v[i] = load<4>(&shared.b[buffer][j][left + 32 * i]);
#pragma unroll
      for (int r = 0; r < R; ++r)
#pragma unroll
        for (int c = 0; c < S; ++c) sum[r][c] += u[r / 4].values[r % 4] * v[c / 4].values[c % 4];
    }
    if (more) store_slice(buffer ^ 1);
    buffer ^= 1;
    __syncthreads();
  }

  Target target = {sums, group * columns, columns, LINEAR};
  if (sums) target.sums += (long long)split * rows * filters;
#pragma unroll 1
  for (int r = 0; r < R; ++r, next_row(sum)) {
    int found = row + top + r / 4 * 16 + r % 4;
    if (found >= rows) continue;
#pragma unroll
    for (int c = 0; c < S; c += 4)
      write<4, T>(target, dw, nullptr, found * filters, column + left + c * 8, &sum[0][c], true);
  }
}
