// What the kernels of convolution share: which element of its source a product reads, and what comes last.
//
// Convolution is a product of matrices that are never stored. A row is a place (of a window, or of an element that
// windows reach), K counts the taps of the window and the channels of each: row and k say which element of the
// source is read. Spatial axes are depth, height and width; those that are not there have one element.
#pragma once
#include "common.cuh"
#include "windows.cuh"

// Element of the source = place * strides - lows + tap * dilation, along every axis.
struct Gather {
  int size[3];      // of the source
  int places[3];
  int strides[3], lows[3], dilation[3];
  int taps[3];
  int first[3], step[3];  // tap of the kernel = first + tap * step
  int start[3], gap[3];   // element of the result = start + place * gap
};

// The forward pass reads the inputs under every window.
__device__ __forceinline__ Gather under_windows(const Windows& s) {
  Gather g;
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    g.size[i] = s.size[i];
    g.places[i] = s.out[i];
    g.strides[i] = s.strides[i];
    g.lows[i] = s.lows[i];
    g.dilation[i] = s.dilation[i];
    g.taps[i] = s.window[i];
    g.first[i] = g.start[i] = 0;
    g.step[i] = g.gap[i] = 1;
  }
  return g;
}

// Of one axis: the taps through which windows reach the elements p, p + stride, p + 2 stride, ...
//
// Element p + stride q lies under tap t of the window at q + (p + low - t dilation) / stride, where that is a whole
// number: for t = first, first + step, ... So elements of one phase p read the windows' gradients like a
// convolution with steps of one.
__device__ __forceinline__ void reach_axis(Gather& g, const Windows& s, int axis, int p) {
  int stride = s.strides[axis], dilation = s.dilation[axis], window = s.window[axis];
  int before = p + s.lows[axis], first = 0, step = 1;
  while (step < stride && step * dilation % stride != 0) ++step;
  while (first < step && (before - first * dilation) % stride != 0) ++first;
  bool any = first < step && first < window;
  g.size[axis] = s.out[axis];
  g.places[axis] = p < s.size[axis] ? (s.size[axis] - p + stride - 1) / stride : 0;
  g.strides[axis] = 1;
  g.lows[axis] = any ? -((before - first * dilation) / stride) : 0;
  g.dilation[axis] = -(step * dilation / stride);
  g.taps[axis] = any ? (window - first + step - 1) / step : 0;
  g.first[axis] = first;
  g.step[axis] = step;
  g.start[axis] = p;
  g.gap[axis] = stride;
}

// The gradient of the data reads the gradients of all windows that reach an element; ``phase`` numbers the
// remainders of the elements by the strides.
__device__ __forceinline__ Gather reaching_windows(const Windows& s, int phase) {
  Gather g;
  reach_axis(g, s, 2, phase % s.strides[2]);
  reach_axis(g, s, 1, phase / s.strides[2] % s.strides[1]);
  reach_axis(g, s, 0, phase / s.strides[2] / s.strides[1]);
  return g;
}

__device__ __forceinline__ int all(const int* counts) { return counts[0] * counts[1] * counts[2]; }

// ---- places ----------------------------------------------------------------------------------------------
struct Place {
  int n, d, h, w;  // image and axes
};

__device__ __forceinline__ Place place_of(int number, const int* places) {
  Place p;
  p.w = number % places[2];
  number /= places[2];
  p.h = number % places[1];
  number /= places[1];
  p.d = number % places[0];
  p.n = number / places[0];
  return p;
}

// Go on by ``step``, whose parts are below those of ``places``: no division.
__device__ __forceinline__ void advance(Place& p, const Place& step, const int* places) {
  p.w += step.w;
  p.h += step.h;
  p.d += step.d;
  p.n += step.n;
  if (p.w >= places[2]) { p.w -= places[2]; ++p.h; }
  if (p.h >= places[1]) { p.h -= places[1]; ++p.d; }
  if (p.d >= places[0]) { p.d -= places[0]; ++p.n; }
}

// Where the windows of a row begin in the source.
struct alignas(16) Corner {
  int offset;   // of the element at d, h, w: where that lies outside, of no element
  int d, h, w;  // may lie outside
};
constexpr int OUTSIDE = -(1 << 29);  // of rows beyond the last: no tap brings them inside

__device__ __forceinline__ Corner no_corner() { return {0, OUTSIDE, OUTSIDE, OUTSIDE}; }

__device__ __forceinline__ Corner corner_of(const Gather& g, const Place& p, int channels) {
  Corner c;
  c.d = p.d * g.strides[0] - g.lows[0];
  c.h = p.h * g.strides[1] - g.lows[1];
  c.w = p.w * g.strides[2] - g.lows[2];
  c.offset = (((p.n * g.size[0] + c.d) * g.size[1] + c.h) * g.size[2] + c.w) * channels;
  return c;
}

// Offset in the result.
__device__ __forceinline__ int target_of(const Gather& g, const Place& p, const int* whole, int channels) {
  int d = g.start[0] + p.d * g.gap[0], h = g.start[1] + p.h * g.gap[1], w = g.start[2] + p.w * g.gap[2];
  return (((p.n * whole[0] + d) * whole[1] + h) * whole[2] + w) * channels;
}

// ---- taps ------------------------------------------------------------------------------------------------
// k = ((d * taps + h) * taps + w) * channels + c
struct Tap {
  int c, w, h, d;
};

__device__ __forceinline__ Tap tap_of(int k, int channels, const int* taps) {
  Tap t;
  t.c = k % channels;
  k /= channels;
  t.w = k % taps[2];
  k /= taps[2];
  t.h = k % taps[1];
  t.d = k / taps[1];
  return t;
}

// Go on by ``step``, whose parts are at most as large as what they count to: no division.
__device__ __forceinline__ void advance(Tap& t, const Tap& step, int channels, const int* taps) {
  t.c += step.c;
  t.w += step.w;
  t.h += step.h;
  t.d += step.d;
  if (t.c >= channels) { t.c -= channels; ++t.w; }
  if (t.w >= taps[2]) { t.w -= taps[2]; ++t.h; }
  if (t.h >= taps[1]) { t.h -= taps[1]; ++t.d; }
}

// How far a tap's element lies from the corner.
struct Reach {
  int offset, d, h, w;
};

__device__ __forceinline__ Reach reach_of(const Gather& g, const Tap& t, int channels) {
  Reach r;
  r.d = t.d * g.dilation[0];
  r.h = t.h * g.dilation[1];
  r.w = t.w * g.dilation[2];
  r.offset = ((r.d * g.size[1] + r.h) * g.size[2] + r.w) * channels + t.c;
  return r;
}

__device__ __forceinline__ bool inside(const Gather& g, const Corner& c, const Reach& r) {
  return (unsigned int)(c.d + r.d) < (unsigned int)g.size[0] && (unsigned int)(c.h + r.h) < (unsigned int)g.size[1] &&
         (unsigned int)(c.w + r.w) < (unsigned int)g.size[2];
}

// Number of the kernel's tap.
__device__ __forceinline__ int kernel_tap(const Gather& g, const Tap& t, const int* window) {
  int d = g.first[0] + t.d * g.step[0], h = g.first[1] + t.h * g.step[1], w = g.first[2] + t.w * g.step[2];
  return (d * window[1] + h) * window[2] + w;
}

// ---- what comes last -------------------------------------------------------------------------------------
constexpr int LINEAR = 0, RELU = 1, TANH = 2, SIGMOID = 3;  // as in kernels/convolution.py

__device__ __forceinline__ float activated(float x, int activation) {
  if (activation == RELU) return x < 0.f ? 0.f : x;  // NaN stays
  if (activation == TANH) return tanhf(x);
  if (activation == SIGMOID) return 1.f / (1.f + expf(-x));
  return x;
}

// Derivative of the activation, by its result.
__device__ __forceinline__ float slope(float y, int activation) {
  if (activation == RELU) return y > 0.f ? 1.f : 0.f;
  if (activation == TANH) return 1.f - y * y;
  if (activation == SIGMOID) return (1.f - y) * y;
  return 1.f;
}

// Where one block's results go: finished, or, where K is split, as sums that are added later.
struct Target {
  float* sums;  // of this part of K, or null
  int column, columns;  // first one of the group in the result, and how many the group has
  int activation;
};

// Write Count neighbouring sums that begin at ``column`` of the group; ``whole``: they may be written at once.
template <int Count, typename T>
__device__ __forceinline__ void write(const Target& target, T* y, const T* bias, int offset, int column,
                                      const float* found, bool whole) {
  int at = target.column + column;
  if (target.sums) {
    if (whole && column + Count <= target.columns) {
      Pack<float, Count> pack;
#pragma unroll
      for (int i = 0; i < Count; ++i) pack.values[i] = found[i];
      store(target.sums + offset + at, pack);
    } else {
#pragma unroll
      for (int i = 0; i < Count; ++i)
        if (column + i < target.columns) target.sums[offset + at + i] = found[i];
    }
    return;
  }
  Pack<T, Count> pack;
#pragma unroll
  for (int i = 0; i < Count; ++i) {
    float value = found[i];
    if (bias && column + i < target.columns) value += number(bias[at + i]);
    pack.values[i] = element<T>(activated(value, target.activation));
  }
  if (whole && column + Count <= target.columns) {
    store(y + offset + at, pack);
  } else {
#pragma unroll
    for (int i = 0; i < Count; ++i)
      if (column + i < target.columns) y[offset + at + i] = pack.values[i];
  }
}

// Let a thread's second row be its first, and so on: registers cannot be numbered at run time, and what is written
// for every row apart makes for long code.
template <int R, int S>
__device__ __forceinline__ void next_row(float (&sum)[R][S]) {
#pragma unroll
  for (int r = 1; r < R; ++r)
#pragma unroll
    for (int c = 0; c < S; ++c) sum[r - 1][c] = sum[r][c];
}
