// Depthwise convolution: every channel has filters of its own, w (taps, C * many), y (n, out, C * many).
//
// There is no product of matrices, so memory decides: a thread has V neighbouring channels of the result at several
// places, which share the weights that it reads, and reads of the source what other threads have just read from the
// first cache.
#include "convolution.cuh"

typedef USE_T T;
constexpr int V = USE_V;  // channels of a thread; more than one only where every channel has one filter
constexpr int RUN = 4;    // places of a thread, neighbours or as far apart as the strides
constexpr int THREADS = 128;

// Rows of the plane of threads are those of all images of the result and all axes but the last. Where the gradient
// of the data is asked for, x is dy, and a thread's places have one remainder by the strides.
template <bool BACK>
__device__ __forceinline__ void slide(const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ bias,
                                      T* __restrict__ y, const Windows& s, int rows, int channels, int many,
                                      int activation) {
  const int filters = channels * many;
  const int deep = BACK ? filters : channels, wide = BACK ? channels : filters;  // of the source and of the result
  const int packs = wide / V, phases = BACK ? s.strides[2] : 1;
  const int pack = column(), first_channel = pack % packs * V, number_of = pack / packs;
  const int* size = BACK ? s.size : s.out;
  const int line = row();
  if (line >= rows) return;
  const int h = line % size[1], d = line / size[1] % size[0];
  Gather g = under_windows(s);
  Place p = {line / size[1] / size[0], d, h, number_of / phases * RUN};
  if (BACK) {
    reach_axis(g, s, 2, number_of % phases);
    reach_axis(g, s, 1, h % s.strides[1]);
    reach_axis(g, s, 0, d % s.strides[0]);
    p.h = h / s.strides[1];
    p.d = d / s.strides[0];
  }
  if (p.w >= g.places[2]) return;
  const Corner corner = corner_of(g, p, deep);
  const T* from = x + corner.offset + (BACK ? first_channel * many : first_channel / many);
  const T* weights = w + (BACK ? first_channel * many : first_channel);
  const int next = g.strides[2] * deep;  // from one place of this thread to the next
  float sum[RUN][V] = {};
#pragma unroll 1
  for (int a = 0; a < g.taps[0]; ++a)
#pragma unroll 1
    for (int b = 0; b < g.taps[1]; ++b) {
      if ((unsigned int)(corner.d + a * g.dilation[0]) >= (unsigned int)g.size[0] ||
          (unsigned int)(corner.h + b * g.dilation[1]) >= (unsigned int)g.size[1])
        continue;
#pragma unroll 1
      for (int t = 0; t < g.taps[2]; ++t) {
        const Tap tap = {0, t, b, a};
        const T* here = from + reach_of(g, tap, deep).offset;
        const T* weights_of_tap = weights + kernel_tap(g, tap, s.window) * filters;
        const int at = corner.w + t * g.dilation[2];
#pragma unroll 1
        for (int m = 0; m < (BACK ? many : 1); ++m) {
          const Pack<T, V> weight = load<V>(weights_of_tap + m);
#pragma unroll
          for (int i = 0; i < RUN; ++i) {
            if ((unsigned int)(at + i * g.strides[2]) >= (unsigned int)g.size[2]) continue;
            const Pack<T, V> value = load<V>(here + i * next + m);
#pragma unroll
            for (int v = 0; v < V; ++v) sum[i][v] += number(value.values[v]) * number(weight.values[v]);
          }
        }
      }
    }
  const Target target = {nullptr, 0, wide, activation};
  const int offset = target_of(g, p, size, wide);
#pragma unroll 1
  for (int i = 0; i < RUN && p.w + i < g.places[2]; ++i, next_row(sum))
    write<V>(target, y, bias, offset + i * g.gap[2] * wide, first_channel, sum[0], true);
}

// y = activation(x * w + bias)
extern "C" __global__ void __launch_bounds__(THREADS, 4)
convolution_depthwise_forward(const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ bias,
                              T* __restrict__ y, Windows s, int rows, int channels, int many, int activation) {
  slide<false>(x, w, bias, y, s, rows, channels, many, activation);
}

// dx: what all windows that reach an element say of it, after bias and activation.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
convolution_depthwise_backward_data(const T* __restrict__ dy, const T* __restrict__ w, const T* __restrict__ bias,
                                    T* __restrict__ dx, Windows s, int rows, int channels, int many,
                                    int activation) {
  slide<true>(dy, w, bias, dx, s, rows, channels, many, activation);
}

constexpr int TAPS = 9;  // of a thread (a window of 3 x 3): their inputs meet the same gradient of an output
constexpr int LANES = 32, DOWN = THREADS / LANES;

// sums (parts, taps, F) of dw: lanes are filters, warps and blocks share the places of windows.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
convolution_depthwise_backward_kernel(const T* __restrict__ x, const T* __restrict__ dy, float* __restrict__ sums,
                                      Windows s, int images, int channels, int many, int share) {
  __shared__ float partial[DOWN][TAPS][LANES];
  const int filters = channels * many;
  const int filter = blockIdx.y * LANES + threadIdx.x;
  const Gather g = under_windows(s);
  const int places = images * all(g.places), taps = all(g.taps);
  const int first_tap = blockIdx.z * TAPS;
  const int start = blockIdx.x * share + threadIdx.y, stop = min(places, ((int)blockIdx.x + 1) * share);
  float sum[TAPS];
#pragma unroll
  for (int t = 0; t < TAPS; ++t) sum[t] = 0.f;
  if (filter < filters && start < stop) {
    Place at = place_of(start, g.places);
    const Place step = place_of(DOWN, g.places);
    Reach reaches[TAPS];
#pragma unroll
    for (int t = 0; t < TAPS; ++t) {
      reaches[t] = {0, OUTSIDE, 0, 0};
      if (first_tap + t < taps) reaches[t] = reach_of(g, tap_of(first_tap + t, 1, g.taps), channels);
    }
    for (int k = start; k < stop; k += DOWN) {
      const Corner corner = corner_of(g, at, channels);
      const float value = number(dy[k * filters + filter]);
#pragma unroll
      for (int t = 0; t < TAPS; ++t)
        if (inside(g, corner, reaches[t])) sum[t] += number(x[corner.offset + reaches[t].offset + filter / many]) * value;
      advance(at, step, g.places);
    }
  }
#pragma unroll
  for (int t = 0; t < TAPS; ++t) partial[threadIdx.y][t][threadIdx.x] = sum[t];
  __syncthreads();
  for (int t = threadIdx.y; t < TAPS && first_tap + t < taps; t += DOWN) {
    if (filter >= filters) break;
    float total = 0.f;
#pragma unroll
    for (int i = 0; i < DOWN; ++i) total += partial[i][t][threadIdx.x];
    sums[((long long)blockIdx.x * taps + first_tap + t) * filters + filter] = total;
  }
}
