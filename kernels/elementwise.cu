// Activations and their gradients. Which one, and its settings a, b and c, come at run time: all threads take
// the same way, and memory takes longer than any of them.
//
#include "elementwise.cuh"

typedef USE_T T;
constexpr int V = 16 / sizeof(T);  // elements of a pack

// The launcher reads the numbers from here.
enum Kind {
  linear, relu, clipped_relu, leaky_relu, elu, selu, celu, sigmoid, tanh_, silu, log_sigmoid, hard_sigmoid, hard_silu,
  hard_tanh, softplus, softsign, mish, gelu_tanh, gelu_erf, squareplus, sparse_plus, soft_shrink, hard_shrink,
  tanh_shrink, threshold
};

constexpr float SELU_SCALE = 1.0507009873554805f;
constexpr float SELU_LOW = 1.7580993408473766f;  // scale * alpha
constexpr float SQRT_2_PI = 0.7978845608028654f;  // sqrt(2 / pi)
constexpr float SQRT_HALF = 0.7071067811865476f;
constexpr float GELU_CUBE = 0.044715f;

__device__ __forceinline__ float logistic(float x) { return 1.f / (1.f + expf(-x)); }
__device__ __forceinline__ float log_of_exp_plus_1(float x) { return larger(x, 0.f) + log1pf(expf(-fabsf(x))); }
__device__ __forceinline__ float limited(float x, float low, float high) { return smaller(larger(x, low), high); }

__device__ __forceinline__ float clipped(float x, float slope, float threshold, float most) {
  float y = x > threshold || x != x ? x : slope != 0.f ? (x - threshold) * slope : 0.f;
  return smaller(y, most);
}

__device__ __forceinline__ float activated(float x, int kind, float a, float b, float c) {
  switch (kind) {
    case relu: return larger(x, 0.f);
    case clipped_relu: return clipped(x, a, b, c);
    case leaky_relu: return x >= 0.f ? x : x * a;
    case elu: return x > 0.f ? x : expm1f(x) * a;
    case selu: return x > 0.f ? x * SELU_SCALE : expm1f(x) * SELU_LOW;
    case celu: return x > 0.f ? x : expm1f(x / a) * a;
    case sigmoid: return logistic(x);
    case tanh_: return tanhf(x);
    case silu: return x * logistic(x);
    case log_sigmoid: return -log_of_exp_plus_1(-x);
    case hard_sigmoid: return limited(a * x + b, 0.f, 1.f);
    case hard_silu: return x * limited(x * (1.f / 6) + 0.5f, 0.f, 1.f);
    case hard_tanh: return limited(x, -1.f, 1.f);
    case softplus: return log_of_exp_plus_1(x);
    case softsign: return x / (fabsf(x) + 1.f);
    case mish: return x * tanhf(log_of_exp_plus_1(x));
    case gelu_tanh: return x * 0.5f * (tanhf((x * x * GELU_CUBE + 1.f) * x * SQRT_2_PI) + 1.f);
    case gelu_erf: return x * 0.5f * (erff(x * SQRT_HALF) + 1.f);
    case squareplus: {
      float r = sqrtf(x * x + a);
      return 0.5f * (x < 0.f ? a / (r - x) : x + r);  // both the same: digits stay
    }
    case sparse_plus: return x <= -1.f ? 0.f : x < 1.f ? (x + 1.f) * (x + 1.f) * 0.25f : x;
    case soft_shrink: return x - limited(x, -a, a);
    case hard_shrink: return fabsf(x) > a || x != x ? x : 0.f;
    case tanh_shrink: return x - tanhf(x);
    case threshold: return x > a ? x : b;
  }
  return x;
}

// The derivative, of relu, sigmoid and tanh from the result v, else from the input v.
__device__ __forceinline__ float slope(float v, int kind, float a, float b, float c) {
  switch (kind) {
    case relu: return v > 0.f ? 1.f : 0.f;
    case clipped_relu:
      if (c < infinity() && !(v < c)) return 0.f;
      return v > b ? 1.f : v == b && b != 0.f ? 0.f : a;
    case leaky_relu: return v >= 0.f ? 1.f : a;
    case elu: return v > 0.f ? 1.f : expf(v) * a;
    case selu: return v > 0.f ? SELU_SCALE : expf(v) * SELU_LOW;
    case celu: return v > 0.f ? 1.f : expf(v / a);
    case sigmoid: return v * (1.f - v);
    case tanh_: return 1.f - v * v;
    case silu: {
      float s = logistic(v);
      return s + s * (1.f - s) * v;
    }
    case log_sigmoid: return logistic(-v);
    case hard_sigmoid: return fabsf(v) < c ? a : 0.f;
    case hard_silu: return fabsf(v) < 3.f ? v * (1.f / 3) + 0.5f : v > 0.f ? 1.f : 0.f;
    case hard_tanh: return fabsf(v) <= 1.f ? 1.f : 0.f;
    case softplus: return logistic(v);
    case softsign: {
      float r = 1.f / (fabsf(v) + 1.f);
      return r * r;
    }
    case mish: {
      float t = tanhf(log_of_exp_plus_1(v));
      return t + v * (1.f - t * t) * logistic(v);
    }
    case gelu_tanh: {
      float t = tanhf((v * v * GELU_CUBE + 1.f) * v * SQRT_2_PI);
      float inner = (v * v * (3.f * GELU_CUBE) + 1.f) * SQRT_2_PI;
      return (t + 1.f) * 0.5f + v * (1.f - t * t) * inner * 0.5f;
    }
    case gelu_erf: return (erff(v * SQRT_HALF) + 1.f) * 0.5f + v * expf(v * v * -0.5f) * (SQRT_2_PI * 0.5f);
    case squareplus: return (v / sqrtf(v * v + a) + 1.f) * 0.5f;
    case sparse_plus: return limited((v + 1.f) * 0.5f, 0.f, 1.f);
    case soft_shrink:
    case hard_shrink: return fabsf(v) > a ? 1.f : 0.f;
    case tanh_shrink: {
      float t = tanhf(v);
      return t * t;
    }
    case threshold: return v > a ? 1.f : 0.f;
  }
  return 1.f;
}

// y = f(x); both may be one array.
extern "C" __global__ void __launch_bounds__(256, 4)
activation_forward(const T* x, T* y, long long n, int packed, int kind, float a, float b, float c) {
  each<V>(n, packed, [=](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Pack<T, W> v = load<W>(x + i);
#pragma unroll
    for (int k = 0; k < W; ++k) v.values[k] = element<T>(activated(number(v.values[k]), kind, a, b, c));
    store(y + i, v);
  });
}

// dx = dy * slope(v), 0 where the slope is 0; dx and dy may be one array.
extern "C" __global__ void __launch_bounds__(256, 4)
activation_backward(const T* dy, const T* v, T* dx, long long n, int packed, int kind, float a, float b, float c) {
  each<V>(n, packed, [=](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Pack<T, W> d = load<W>(dy + i), at = load<W>(v + i);
#pragma unroll
    for (int k = 0; k < W; ++k) {
      float s = slope(number(at.values[k]), kind, a, b, c);
      d.values[k] = element<T>(s == 0.f ? 0.f : number(d.values[k]) * s);
    }
    store(dx + i, d);
  });
}

// y = f(x + bias) for rows of x; x and y may be one array.
extern "C" __global__ void __launch_bounds__(256, 4)
bias_activation(
    const T* x, const T* bias, T* y, int rows, int columns, int packed, int kind, float a, float b, float c) {
  auto body = [=](auto width) {
    constexpr int W = decltype(width)::value;
    if (row() >= rows || column() * W >= columns) return;
    long long i = (long long)row() * columns + column() * W;
    Pack<T, W> v = load<W>(x + i), shift = load<W>(bias + column() * W);
#pragma unroll
    for (int k = 0; k < W; ++k)
      v.values[k] = element<T>(activated(number(v.values[k]) + number(shift.values[k]), kind, a, b, c));
    store(y + i, v);
  };
  if (packed) body(Width<V>());
  else body(Width<1>());
}
