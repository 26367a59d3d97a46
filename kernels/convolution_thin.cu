// Convolution and its data gradient for few channels, few filters, and numbers of either that are no multiples.
//
// A block has 128 rows and N columns of the result. Each thread gathers one row of the columns' matrix: places that
// are neighbours in the source are read by neighbouring lanes, and the tap is the same for all, so counting taps
// costs next to nothing. K is cut into equal slices of at most 32: nothing is multiplied that is not there (a first
// layer has K = 9, 25, 27, 147). Blocks are small and many on a multiprocessor; they hide each other's waiting.
#include "convolution.cuh"

typedef USE_T T;
constexpr int N = USE_N;
constexpr int V = USE_V;  // channels of the source read at once
constexpr int M = 128, K = 32;
constexpr int R = N >= 32 ? 8 : N == 16 ? 4 : 1;  // rows of a thread
constexpr int S = N == 64 ? 8 : 4;                // columns of a thread
constexpr int ACROSS = N / S;                     // threads of a warp along columns
constexpr int DOWN = 32 / ACROSS;                 // and along rows: a warp has 32 of them
constexpr int AHEAD = V == 4 || N == 64 ? 2 : 4;   // loads under way at once: registers are short
constexpr int RUN = R < 4 ? R : 4;                // rows of a thread that are neighbours
static_assert(DOWN * R == 32, "a warp multiplies the rows that it gathers");

struct alignas(16) Slices {
  float a[K][M];
  float b[K][N + 4];
  int targets[M];
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
  Corner corner = no_corner();
  shared.targets[thread] = -1;
  if (row + thread < rows) {
    Place p = place_of(row + thread, g.places);
    corner = corner_of(g, p, channels);
    shared.targets[thread] = target_of(g, p, BACK ? s.size : s.out, filters);
  }

  const int depth = all(g.taps) * inner;
  const int share = ((depth + V - 1) / V + splits - 1) / splits * V;
  const int start = split * share, stop = min(depth, start + share);
  const int slices = (stop - start + K - 1) / K;
  const int length = start < stop ? ((stop - start + slices - 1) / slices + V - 1) / V * V : 1;
  const T* source = x + group * inner;
  Tap tap = {0, 0, 0, 0};
  if (start < stop) tap = tap_of(start, inner, g.taps);

  const int warp = thread / 32, lane = thread % 32;
  const int top = warp * 32 + lane / ACROSS * RUN, left = lane % ACROSS * 4;
  float sum[R][S] = {};
  for (int k = start; k < stop; k += length) {
    const int count = min(length, stop - k);
#pragma unroll AHEAD
    for (int j = 0; j < count; j += V) {
      Reach reach = reach_of(g, tap, channels);
      Pack<T, V> found{};
      if (inside(g, corner, reach)) found = load<V>(source + corner.offset + reach.offset);
#pragma unroll
      for (int i = 0; i < V; ++i) shared.a[j + i][thread] = number(found.values[i]);
      advance(tap, {V, 0, 0, 0}, inner, g.taps);
    }
    if (BACK) {  // lanes along k, as the kernel lies
      const int j = thread % K;
      if (j < count) {
        Tap mine = tap_of(k + j, inner, g.taps);
        const T* from = w + kernel_tap(g, mine, s.window) * columns * channels + group * inner + mine.c;
        for (int n = thread / K; n < N; n += M / K)
          shared.b[j][n] = column + n < columns ? number(from[(column + n) * channels]) : 0.f;
      }
    } else {
      for (int q = thread; q < count * N; q += M) {
        int j = q / N, n = column + q % N;
        shared.b[j][q % N] = n < columns ? number(w[(k + j) * filters + group * columns + n]) : 0.f;
      }
    }
    __syncthreads();
#pragma unroll 2
    for (int j = 0; j < count; ++j) {
      float u[R], v[S];
#pragma unroll
      for (int r = 0; r < R; r += RUN) {
        Pack<float, RUN> pack = load<RUN>(&shared.a[j][top + r / RUN * DOWN * RUN]);
#pragma unroll
        for (int i = 0; i < RUN; ++i) u[r + i] = pack.values[i];
      }
#pragma unroll
      for (int c = 0; c < S; c += 4) {
        Pack<float, 4> pack = load<4>(&shared.b[j][left + c / 4 * ACROSS * 4]);
#pragma unroll
        for (int i = 0; i < 4; ++i) v[c + i] = pack.values[i];
      }
#pragma unroll
      for (int r = 0; r < R; ++r)
#pragma unroll
        for (int c = 0; c < S; ++c) sum[r][c] += u[r] * v[c];
    }
    __syncthreads();
  }
  __syncthreads();

  Target target = {sums, group * columns, columns, activation};
  if (sums) target.sums += (long long)split * images * all(BACK ? s.size : s.out) * filters;
  const bool whole = columns % 4 == 0;
#pragma unroll 1
  for (int r = 0; r < R; ++r, next_row(sum)) {
    int offset = shared.targets[top + r / RUN * DOWN * RUN + r % RUN];
    if (offset < 0) continue;
#pragma unroll
    for (int c = 0; c < S; c += 4)
      write<4>(target, y, bias, offset, column + left + c * ACROSS, &sum[0][c], whole);
  }
}

// y = activation(x * w + bias); with ``sums``, the sums of every part of K (splits, n, out, F) instead.
extern "C" __global__ void __launch_bounds__(M, 4)
convolution_forward_thin(const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ bias,
                         T* __restrict__ y, float* __restrict__ sums, Windows s, int images, int inner, int columns,
                         int groups, int splits, int activation) {
  multiply<false>(x, w, bias, y, sums, s, images, inner, columns, groups, splits, activation);
}

// dx, after bias and activation (a transposed convolution has them); ``inner`` are the filters of a group,
// ``columns`` its channels.
extern "C" __global__ void __launch_bounds__(M, 4)
convolution_backward_data_thin(const T* __restrict__ dy, const T* __restrict__ w, const T* __restrict__ bias,
                               T* __restrict__ dx, float* __restrict__ sums, Windows s, int images, int inner,
                               int columns, int groups, int splits, int activation) {
  multiply<true>(dy, w, bias, dx, sums, s, images, inner, columns, groups, splits, activation);
}
