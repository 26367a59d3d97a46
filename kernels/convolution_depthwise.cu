// Depthwise convolution: every channel has filters of its own, w (taps, C * many), y (n, out, C * many).
//
// There is no product of matrices, so memory decides: a thread has V neighbouring filters of one place and reads
// what other threads have just read from the first cache.
#include "convolution.cuh"

typedef USE_T T;
constexpr int V = USE_V;  // filters of a thread; more than one only where every channel has one filter
constexpr int THREADS = 128;

// Place of this thread, its rows those of all images and axes but the last.
struct Spot {
  Place place;
  int column;  // first filter or channel
  bool inside;
};

__device__ __forceinline__ Spot spot(const int* places, int rows, int columns) {
  int packs = columns / V;
  Spot p;
  p.inside = row() < rows && column() < places[2] * packs;
  p.column = column() % packs * V;
  p.place.w = column() / packs;
  p.place.h = row() % places[1];
  p.place.d = row() / places[1] % places[0];
  p.place.n = row() / places[1] / places[0];
  return p;
}

// y = activation(x * w + bias)
extern "C" __global__ void __launch_bounds__(THREADS, 4)
convolution_depthwise_forward(const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ bias,
                              T* __restrict__ y, Windows s, int rows, int channels, int many, int activation) {
  const int filters = channels * many;
  const Spot p = spot(s.out, rows, filters);
  if (!p.inside) return;
  const Gather g = under_windows(s);
  const Corner corner = corner_of(g, p.place, channels);
  const T* from = x + corner.offset + p.column / many;
  float sum[V];
#pragma unroll
  for (int v = 0; v < V; ++v) sum[v] = 0.f;
  for (int d = 0; d < g.taps[0]; ++d)
    for (int h = 0; h < g.taps[1]; ++h)
#pragma unroll 4
      for (int t = 0; t < g.taps[2]; ++t) {
        Reach reach = reach_of(g, {0, t, h, d}, channels);
        if (!inside(g, corner, reach)) continue;
        Pack<T, V> value = load<V>(from + reach.offset);
        Pack<T, V> weight = load<V>(w + ((d * g.taps[1] + h) * g.taps[2] + t) * filters + p.column);
#pragma unroll
        for (int v = 0; v < V; ++v) sum[v] += number(value.values[v]) * number(weight.values[v]);
      }
  Target target = {nullptr, 0, filters, activation};
  write<V>(target, y, bias, target_of(g, p.place, s.out, filters), p.column, sum, true);
}

// dx: what all windows that reach an element say of it.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
convolution_depthwise_backward_data(const T* __restrict__ dy, const T* __restrict__ w, T* __restrict__ dx, Windows s,
                                    int rows, int channels, int many) {
  const int filters = channels * many;
  const Spot p = spot(s.size, rows, channels);
  if (!p.inside) return;
  Gather g;
  reach_axis(g, s, 0, p.place.d % s.strides[0]);
  reach_axis(g, s, 1, p.place.h % s.strides[1]);
  reach_axis(g, s, 2, p.place.w % s.strides[2]);
  const Place own = {p.place.n, p.place.d / s.strides[0], p.place.h / s.strides[1], p.place.w / s.strides[2]};
  const Corner corner = corner_of(g, own, filters);
  float sum[V];
#pragma unroll
  for (int v = 0; v < V; ++v) sum[v] = 0.f;
#pragma unroll 1
  for (int d = 0; d < g.taps[0]; ++d)
#pragma unroll 1
    for (int h = 0; h < g.taps[1]; ++h)
#pragma unroll 1
      for (int t = 0; t < g.taps[2]; ++t) {
        const Tap tap = {0, t, h, d};
        Reach reach = reach_of(g, tap, filters);
        if (!inside(g, corner, reach)) continue;
        const T* slopes = dy + corner.offset + reach.offset + p.column * many;
        const T* weights = w + kernel_tap(g, tap, s.window) * filters + p.column * many;
#pragma unroll 2
        for (int i = 0; i < many; ++i) {
          Pack<T, V> value = load<V>(slopes + i), weight = load<V>(weights + i);
#pragma unroll
          for (int v = 0; v < V; ++v) sum[v] += number(value.values[v]) * number(weight.values[v]);
        }
      }
  Pack<T, V> result;
#pragma unroll
  for (int v = 0; v < V; ++v) result.values[v] = element<T>(sum[v]);
  store(dx + (((p.place.n * s.size[0] + p.place.d) * s.size[1] + p.place.h) * s.size[2] + p.place.w) * channels +
            p.column,
        result);
}

constexpr int TAPS = 8;  // of a thread: their inputs meet the same gradient of an output
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
    for (int t = 0; t < TAPS; ++t)
      reaches[t] = reach_of(g, tap_of(min(first_tap + t, taps - 1), 1, g.taps), channels);
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
