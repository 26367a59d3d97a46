// Convolution and its data gradient where channels come in fours: a product in tiles, twice buffered.
//
// A block has M rows and N columns of the result, a thread R x S of them. While one slice of eight k is multiplied,
// the next is on its way from memory to registers. Forward: x (n, size, C), w (taps, C / groups, F), y (n, out, F).
// Gradient: x is dy and y is dx; phases (remainders by the strides) are blocks of their own, so nothing is added to
// memory.
#include "convolution.cuh"

typedef USE_T T;
constexpr int M = USE_M, N = USE_N, R = USE_R, S = USE_S;
constexpr int K = 8;                        // of a slice
constexpr int PAD = 4;                      // keeps columns of a turned slice in different banks
constexpr int WARP_M = 4 * R, WARP_N = 8 * S;  // a warp is 4 x 8 threads
constexpr int THREADS = M / R * (N / S);
constexpr int LOADS_A = M * K / 4 / THREADS;
constexpr int LOADS_B = (N * K / 4 + THREADS - 1) / THREADS;
constexpr int BLOCKS = USE_B;  // that are to fit on a multiprocessor
constexpr int UNROLL = R * S <= 32 ? 4 : LOADS_A == 1 ? 2 : 1;  // registers are short
static_assert(M * K / 4 % THREADS == 0, "every thread loads as many packs of A");

struct alignas(16) Slices {
  float a[2][K][M + PAD];
  float b[2][K][N + PAD];
  Corner corners[M];
  int targets[M];  // offset of a row in the result, -1 for none
};

template <bool BACK>
__device__ __forceinline__ void multiply(const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ bias,
                                         T* __restrict__ y, float* __restrict__ sums, const Windows& s, int images,
                                         int inner, int columns, int groups, int splits, int activation) {
  __shared__ Slices shared;
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
    shared.corners[r] = no_corner();
    shared.targets[r] = -1;
    if (row + r < rows) {
      Place p = place_of(row + r, g.places);
      shared.corners[r] = corner_of(g, p, channels);
      shared.targets[r] = target_of(g, p, BACK ? s.size : s.out, filters);
    }
  }
  __syncthreads();

  const int depth = all(g.taps) * inner;
  const int share = ((depth + K - 1) / K + splits - 1) / splits * K;
  const int start = split * share, stop = min(depth, start + share);

  // What this thread loads: packs of four k of some rows; they all have the same k. A tap has at
  // least eight channels.
  const int quad = thread % (K / 4) * 4;
  Tap tap = {0, 0, 0, 0};
  if (start < stop) tap = tap_of(start + quad, inner, g.taps);
  Pack<T, 4> a[LOADS_A], b[LOADS_B];
  const T* source = x + group * inner;

  auto load_slice = [&](int k) {
    const bool some = k + quad < stop;
    Reach reach = reach_of(g, tap, channels);
#pragma unroll
    for (int i = 0; i < LOADS_A; ++i) {
      Corner corner = shared.corners[(thread + i * THREADS) / (K / 4)];
      bool found = some && inside(g, corner, reach);
      a[i] = found ? load<4>(source + corner.offset + reach.offset) : Pack<T, 4>{};
    }
    const int number_of = BACK && some ? kernel_tap(g, tap, s.window) : 0;
#pragma unroll
    for (int i = 0; i < LOADS_B; ++i) {
      int q = thread + i * THREADS;
      b[i] = Pack<T, 4>{};
      if (BACK) {
        int n = column + q / (K / 4);
        if (q < N * K / 4 && some && n < columns)
          b[i] = load<4>(w + (number_of * columns + n) * channels + group * inner + tap.c);
      } else {
        int at = k + q / (N / 4), n = column + q % (N / 4) * 4;
        if (q < N * K / 4 && at < stop && n < columns) b[i] = load<4>(w + at * filters + group * columns + n);
      }
    }
    advance(tap, {K, 0, 0, 0}, inner, g.taps);
  };
  auto store_slice = [&](int buffer) {
#pragma unroll
    for (int i = 0; i < LOADS_A; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j)
        shared.a[buffer][quad + j][(thread + i * THREADS) / (K / 4)] = number(a[i].values[j]);
#pragma unroll
    for (int i = 0; i < LOADS_B; ++i) {
      int q = thread + i * THREADS;
      if (q >= N * K / 4) continue;
      Pack<float, 4> wide;
#pragma unroll
      for (int j = 0; j < 4; ++j) wide.values[j] = number(b[i].values[j]);
      if (BACK) {
#pragma unroll
        for (int j = 0; j < 4; ++j) shared.b[buffer][quad + j][q / (K / 4)] = wide.values[j];
      } else {
        store(&shared.b[buffer][q / (N / 4)][q % (N / 4) * 4], wide);
      }
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

  Target target = {sums, group * columns, columns, activation};
  if (sums) target.sums += (long long)split * images * all(BACK ? s.size : s.out) * filters;
#pragma unroll 1
  for (int r = 0; r < R; ++r, next_row(sum)) {
    int offset = shared.targets[top + r / 4 * 16 + r % 4];
    if (offset < 0) continue;
#pragma unroll
    for (int c = 0; c < S; c += 4)
      write<4>(target, y, bias, offset, column + left + c * 8, &sum[0][c], true);
  }
}

// y = activation(x * w + bias); with ``sums``, the sums of every part of K (splits, n, out, F) instead.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
convolution_forward(const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ bias, T* __restrict__ y,
                    float* __restrict__ sums, Windows s, int images, int inner, int columns, int groups, int splits,
                    int activation) {
  multiply<false>(x, w, bias, y, sums, s, images, inner, columns, groups, splits, activation);
}

// dx, after bias and activation (a transposed convolution has them); ``inner`` are the filters of a group,
// ``columns`` its channels.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
convolution_backward_data(const T* __restrict__ dy, const T* __restrict__ w, const T* __restrict__ bias,
                          T* __restrict__ dx, float* __restrict__ sums, Windows s, int images, int inner, int columns,
                          int groups, int splits, int activation) {
  multiply<true>(dy, w, bias, dx, sums, s, images, inner, columns, groups, splits, activation);
}
