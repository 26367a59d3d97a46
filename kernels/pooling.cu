// Pooling over windows of up to three axes, channels last: x (N, size, C), y, where and dy (N, out, C).
//
// A thread has V neighbouring channels of one place. Rows of the plane of threads are those of all images and
// all axes but the last; columns are what lies along a row. Gradients are gathered: every input looks for the
// windows that reach it, so nothing is added to memory and overlapping windows need no atomics.
//
#include "common.cuh"
#include "windows.cuh"

typedef USE_T T;       // of the elements
typedef USE_W W;       // of ``where``, the number of the tap that won
constexpr int V = USE_V;  // channels of a thread

struct Place {
  int n, d, h, w, c;  // image, three axes, first channel
  bool inside;
};

// Place of this thread in images of the given sizes.
__device__ __forceinline__ Place place(const int* size, int rows, int channels) {
  int packs = channels / V;
  Place p;
  p.inside = row() < rows && column() < size[2] * packs;
  p.w = column() / packs;
  p.c = column() % packs * V;
  p.h = row() % size[1];
  p.d = row() / size[1] % size[0];
  p.n = row() / size[1] / size[0];
  return p;
}

__device__ __forceinline__ long long offset(const int* size, int channels, int n, int d, int h, int w, int c) {
  return ((((long long)n * size[0] + d) * size[1] + h) * size[2] + w) * channels + c;
}

__device__ __forceinline__ long long offset(const int* size, int channels, const Place& p) {
  return offset(size, channels, p.n, p.d, p.h, p.w, p.c);
}

// Part of an axis: elements from start to stop.
struct Span {
  int start, stop;
};

// Elements of an axis under the window at ``position``.
__device__ __forceinline__ Span under(const Windows& s, int axis, int position) {
  int start = position * s.strides[axis] - s.lows[axis];
  return {max(start, 0), min(start + s.window[axis], s.size[axis])};
}

// Positions of windows that reach ``element``.
__device__ __forceinline__ Span reaching(const Windows& s, int axis, int element) {
  int stride = s.strides[axis];
  int last = element + s.lows[axis];
  int start = max(last - s.window[axis] + stride, 0) / stride;
  return {start, min(last / stride + 1, s.out[axis])};
}

// Number of a tap: where ``element`` lies in the window at ``position``, axis by axis.
__device__ __forceinline__ int tap(const Windows& s, int axis, int element, int position) {
  return element + s.lows[axis] - position * s.strides[axis];
}

// y: the largest of every window; where, unless it is null: which tap it was, of equals the first. NaN wins.
extern "C" __global__ void __launch_bounds__(128, 4)
max_pool_forward(const T* __restrict__ x, T* __restrict__ y, W* __restrict__ where, Windows s, int rows, int channels) {
  Place p = place(s.out, rows, channels);
  if (!p.inside) return;
  Span depth = under(s, 0, p.d), height = under(s, 1, p.h), width = under(s, 2, p.w);
  float best[V];
  int won[V];
  for (int k = 0; k < V; ++k) {
    best[k] = -infinity();
    won[k] = 0;
  }
  bool any = false;
  for (int d = depth.start; d < depth.stop; ++d)
    for (int h = height.start; h < height.stop; ++h)
      for (int w = width.start; w < width.stop; ++w) {
        Pack<T, V> found = load<V>(x + offset(s.size, channels, p.n, d, h, w, p.c));
        int number_of = (tap(s, 0, d, p.d) * s.window[1] + tap(s, 1, h, p.h)) * s.window[2] + tap(s, 2, w, p.w);
        for (int k = 0; k < V; ++k) {
          float value = number(found.values[k]);
          if (!any || value > best[k]) {
            best[k] = value;
            won[k] = number_of;
          } else if (value != value) {
            best[k] = value;
          }
        }
        any = true;
      }
  Pack<T, V> result;
  Pack<W, V> at;
  for (int k = 0; k < V; ++k) {
    result.values[k] = element<T>(best[k]);
    at.values[k] = (W)won[k];
  }
  long long target = offset(s.out, channels, p);
  store(y + target, result);
  if (where) store(where + target, at);
}

// dx: the gradients of those windows that an element has won.
extern "C" __global__ void __launch_bounds__(128, 4)
max_pool_backward(const T* __restrict__ dy, const W* __restrict__ where, T* __restrict__ dx, Windows s, int rows, int channels) {
  Place p = place(s.size, rows, channels);
  if (!p.inside) return;
  Span depth = reaching(s, 0, p.d), height = reaching(s, 1, p.h), width = reaching(s, 2, p.w);
  float sum[V];
  for (int k = 0; k < V; ++k) sum[k] = 0.f;
  for (int d = depth.start; d < depth.stop; ++d)
    for (int h = height.start; h < height.stop; ++h)
      for (int w = width.start; w < width.stop; ++w) {
        long long from = offset(s.out, channels, p.n, d, h, w, p.c);
        Pack<T, V> slope = load<V>(dy + from);
        Pack<W, V> at = load<V>(where + from);
        int number_of = (tap(s, 0, p.d, d) * s.window[1] + tap(s, 1, p.h, h)) * s.window[2] + tap(s, 2, p.w, w);
        for (int k = 0; k < V; ++k)
          if ((int)at.values[k] == number_of) sum[k] += number(slope.values[k]);
      }
  Pack<T, V> result;
  for (int k = 0; k < V; ++k) result.values[k] = element<T>(sum[k]);
  store(dx + offset(s.size, channels, p), result);
}

// y: of every window the element of v at ``where``.
extern "C" __global__ void __launch_bounds__(128, 4)
max_pool_select(const T* __restrict__ v, const W* __restrict__ where, T* __restrict__ y, Windows s, int rows, int channels) {
  Place p = place(s.out, rows, channels);
  if (!p.inside) return;
  long long target = offset(s.out, channels, p);
  Pack<W, V> at = load<V>(where + target);
  Pack<T, V> result;
  for (int k = 0; k < V; ++k) {
    int won = (int)at.values[k];
    int d = p.d * s.strides[0] - s.lows[0] + won / s.window[2] / s.window[1];
    int h = p.h * s.strides[1] - s.lows[1] + won / s.window[2] % s.window[1];
    int w = p.w * s.strides[2] - s.lows[2] + won % s.window[2];
    result.values[k] = v[offset(s.size, channels, p.n, d, h, w, p.c + k)];
  }
  store(y + target, result);
}

// One over the number of elements, without padding, under the window at a position.
__device__ __forceinline__ float weight(const Windows& s, int d, int h, int w) {
  Span depth = under(s, 0, d), height = under(s, 1, h), width = under(s, 2, w);
  return 1.f / ((depth.stop - depth.start) * (height.stop - height.start) * (width.stop - width.start));
}

// y: the mean of every window.
extern "C" __global__ void __launch_bounds__(128, 4)
average_pool_forward(const T* __restrict__ x, T* __restrict__ y, Windows s, int rows, int channels) {
  Place p = place(s.out, rows, channels);
  if (!p.inside) return;
  Span depth = under(s, 0, p.d), height = under(s, 1, p.h), width = under(s, 2, p.w);
  float sum[V];
  for (int k = 0; k < V; ++k) sum[k] = 0.f;
  for (int d = depth.start; d < depth.stop; ++d)
    for (int h = height.start; h < height.stop; ++h)
      for (int w = width.start; w < width.stop; ++w) {
        Pack<T, V> found = load<V>(x + offset(s.size, channels, p.n, d, h, w, p.c));
        for (int k = 0; k < V; ++k) sum[k] += number(found.values[k]);
      }
  float scale = weight(s, p.d, p.h, p.w);
  Pack<T, V> result;
  for (int k = 0; k < V; ++k) result.values[k] = element<T>(sum[k] * scale);
  store(y + offset(s.out, channels, p), result);
}

// dx: the sum of the shares of all windows that reach an element.
extern "C" __global__ void __launch_bounds__(128, 4)
average_pool_backward(const T* __restrict__ dy, T* __restrict__ dx, Windows s, int rows, int channels) {
  Place p = place(s.size, rows, channels);
  if (!p.inside) return;
  Span depth = reaching(s, 0, p.d), height = reaching(s, 1, p.h), width = reaching(s, 2, p.w);
  float sum[V];
  for (int k = 0; k < V; ++k) sum[k] = 0.f;
  for (int d = depth.start; d < depth.stop; ++d)
    for (int h = height.start; h < height.stop; ++h)
      for (int w = width.start; w < width.stop; ++w) {
        Pack<T, V> slope = load<V>(dy + offset(s.out, channels, p.n, d, h, w, p.c));
        float scale = weight(s, d, h, w);
        for (int k = 0; k < V; ++k) sum[k] += number(slope.values[k]) * scale;
      }
  Pack<T, V> result;
  for (int k = 0; k < V; ++k) result.values[k] = element<T>(sum[k]);
  store(dx + offset(s.size, channels, p), result);
}
