// Gradients of kernel and bias for any number of channels, above all for a network's first layer.
//
// A block has M rows (taps and channels, and with ``with_bias`` one more whose inputs are ones: the bias) and N
// filters. The gradient of the outputs is taken back through the activation as it is read, so it is never stored:
// a first layer has few channels, and outputs that are much larger than its inputs. Places are split over blocks;
// each part has sums of its own, added in their order afterwards.
#include "convolution.cuh"

typedef USE_T T;
constexpr int N = USE_N;
constexpr int R = 4, S = N == 64 ? 4 : 2;  // rows and columns of a thread
constexpr int K = 32;                      // places of a slice: one for each lane
constexpr int PAD = 4;
constexpr int WARPS = 4, THREADS = 32 * WARPS;
constexpr int ACROSS = N / (8 * S);         // warps along columns; a warp is 4 x 8 threads
constexpr int M = WARPS / ACROSS * 4 * R;

struct alignas(16) Slices {
  float a[M][K + PAD];
  float b[K][N];
  Corner reaches[M];  // of the rows: offset from a place's corner, and how far along each axis
};

// sums (splits, rows, F); rows are taps and channels, then the bias.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
convolution_backward_first(const T* __restrict__ x, const T* __restrict__ dy, const T* __restrict__ y,
                           float* __restrict__ sums, Windows s, int images, int inner, int columns, int groups,
                           int splits, int activation, int with_bias) {
  __shared__ Slices shared;
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  const int group = blockIdx.z % groups, split = blockIdx.z / groups;
  const Gather g = under_windows(s);
  const int taps = all(g.taps) * inner, rows = taps + with_bias;
  const int across = (columns + N - 1) / N;
  const int row = blockIdx.x / across * M, column = blockIdx.x % across * N;
  const int channels = inner * groups, filters = columns * groups;
  const int places = images * all(g.places);
  const int share = ((places + K - 1) / K + splits - 1) / splits * K;
  const int start = split * share, stop = min(places, start + share);
  for (int m = thread; m < M; m += THREADS) {
    Corner found = no_corner();
    if (row + m < taps) {
      Reach reach = reach_of(g, tap_of(row + m, inner, g.taps), channels);
      found = {reach.offset, reach.d, reach.h, reach.w};
    }
    shared.reaches[m] = found;
  }
  __syncthreads();

  Place at = {0, 0, 0, 0}, step = at;
  if (start < stop) {
    at = place_of(start + lane, g.places);
    step = place_of(K, g.places);
  }
  const int top = warp / ACROSS * 4 * R + lane / 8, left = warp % ACROSS * 8 * S + lane % 8 * S;
  float sum[R][S] = {};
  for (int k = start; k < stop; k += K) {
    const bool some = k + lane < stop;
    const Corner corner = some ? corner_of(g, at, channels) : no_corner();
    advance(at, step, g.places);
#pragma unroll 4
    for (int m = warp; m < M; m += WARPS) {
      Corner row_of = shared.reaches[m];
      Reach reach = {row_of.offset, row_of.d, row_of.h, row_of.w};
      float value = row + m == taps ? 1.f : 0.f;  // the bias, where there is one
      if (inside(g, corner, reach)) value = number(x[corner.offset + group * inner + reach.offset]);
      shared.a[m][lane] = value;
    }
#pragma unroll 4
    for (int q = thread; q < K * N; q += THREADS) {
      int p = k + q / N, n = column + q % N;
      float value = 0.f;
      if (p < stop && n < columns) {
        int offset = p * filters + group * columns + n;
        value = number(dy[offset]);
        if (activation != LINEAR) value *= slope(number(y[offset]), activation);
      }
      shared.b[q / N][q % N] = value;
    }
    __syncthreads();
#pragma unroll 2
    for (int j = 0; j < K; j += 4) {
      Pack<float, 4> u[R];  // of four places
#pragma unroll
      for (int r = 0; r < R; ++r) u[r] = load<4>(&shared.a[top + 4 * r][j]);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        Pack<float, S> v = load<S>(&shared.b[j + i][left]);
#pragma unroll
        for (int r = 0; r < R; ++r)
#pragma unroll
          for (int c = 0; c < S; ++c) sum[r][c] += u[r].values[i] * v.values[c];
      }
    }
    __syncthreads();
  }

  sums += (long long)split * rows * filters;
#pragma unroll
  for (int r = 0; r < R; ++r)
#pragma unroll
    for (int c = 0; c < S; ++c) {
      int found = row + top + 4 * r, n = column + left + c;
      if (found < rows && n < columns) sums[found * filters + group * columns + n] = sum[r][c];
    }
}
