// Steps of optimizers on flat buffers: parameters p, gradients g and the slots of the rule, all of n elements.
//
// A rate is a number of the host times one that the device may hold (``rate_at``, else null), so that a step
// recorded once can be repeated with other rates.
//
#include "elementwise.cuh"

constexpr int V = 4;  // elements of a pack

__device__ __forceinline__ float held(float rate, const float* rate_at) { return rate_at ? rate * *rate_at : rate; }
// Of a running mean: what is kept and what comes.
__device__ __forceinline__ float mean(float state, float keep, float value, float gain) {
  return state * keep + value * gain;
}
__device__ __forceinline__ float sign_of(float x) { return x > 0.f ? 1.f : x < 0.f ? -1.f : x; }  // NaN stays
// Not powf, whose slow branch needs a stack.
__device__ __forceinline__ float power_of(float x, float exponent) {
  return exponent == 0.5f ? sqrtf(x) : exponent == 0.f ? 1.f : exp2f(exponent * log2f(x));
}

extern "C" __global__ void __launch_bounds__(256, 4)
sgd_update(
    float* __restrict__ p, const float* __restrict__ g, long long n, int packed, float rate, const float* rate_at) {
  rate = held(rate, rate_at);
  each<V>(n, packed, [=](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Pack<float, W> weight = load<W>(p + i), slope = load<W>(g + i);
    for (int k = 0; k < W; ++k) weight.values[k] -= rate * slope.values[k];
    store(p + i, weight);
  });
}

extern "C" __global__ void __launch_bounds__(256, 4)
momentum_update(
    float* __restrict__ p, const float* __restrict__ g, float* __restrict__ m, long long n, int packed, float rate,
    const float* rate_at, float momentum, int nesterov) {
  rate = held(rate, rate_at);
  each<V>(n, packed, [=](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Pack<float, W> weight = load<W>(p + i), slope = load<W>(g + i), speed = load<W>(m + i);
    for (int k = 0; k < W; ++k) {
      float now = speed.values[k] * momentum - rate * slope.values[k];
      speed.values[k] = now;
      weight.values[k] += nesterov ? momentum * now - rate * slope.values[k] : now;
    }
    store(m + i, speed);
    store(p + i, weight);
  });
}

// m and a: null without momentum, and where the variance is not centred.
extern "C" __global__ void __launch_bounds__(256, 4)
rmsprop_update(
    float* __restrict__ p, const float* __restrict__ g, float* __restrict__ v, float* __restrict__ m,
    float* __restrict__ a, long long n, int packed, float rate, const float* rate_at, float rho, float gain,
    float momentum, float epsilon) {
  rate = held(rate, rate_at);
  each<V>(n, packed, [=](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Pack<float, W> weight = load<W>(p + i), slope = load<W>(g + i), square = load<W>(v + i), step, average;
    for (int k = 0; k < W; ++k) {
      float d = slope.values[k];
      square.values[k] = step.values[k] = mean(square.values[k], rho, d * d, gain);
    }
    store(v + i, square);
    if (a) {
      average = load<W>(a + i);
      for (int k = 0; k < W; ++k) {
        float now = average.values[k] = mean(average.values[k], rho, slope.values[k], gain);
        step.values[k] -= now * now;
      }
      store(a + i, average);
    }
    for (int k = 0; k < W; ++k) step.values[k] = rate * slope.values[k] / sqrtf(step.values[k] + epsilon);
    if (m) {
      Pack<float, W> before = load<W>(m + i);
      for (int k = 0; k < W; ++k) step.values[k] += before.values[k] * momentum;
      store(m + i, step);
    }
    for (int k = 0; k < W; ++k) weight.values[k] -= step.values[k];
    store(p + i, weight);
  });
}

extern "C" __global__ void __launch_bounds__(256, 4)
adagrad_update(
    float* __restrict__ p, const float* __restrict__ g, float* __restrict__ s, long long n, int packed, float rate,
    const float* rate_at, float epsilon) {
  rate = held(rate, rate_at);
  each<V>(n, packed, [=](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Pack<float, W> weight = load<W>(p + i), slope = load<W>(g + i), sum = load<W>(s + i);
    for (int k = 0; k < W; ++k) {
      float d = slope.values[k];
      sum.values[k] += d * d;
      weight.values[k] -= rate * d / sqrtf(sum.values[k] + epsilon);
    }
    store(s + i, sum);
    store(p + i, weight);
  });
}

extern "C" __global__ void __launch_bounds__(256, 4)
adadelta_update(
    float* __restrict__ p, const float* __restrict__ g, float* __restrict__ s, float* __restrict__ d, long long n,
    int packed, float rate, const float* rate_at, float rho, float gain, float epsilon) {
  rate = held(rate, rate_at);
  each<V>(n, packed, [=](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Pack<float, W> weight = load<W>(p + i), slope = load<W>(g + i), square = load<W>(s + i), moved = load<W>(d + i);
    for (int k = 0; k < W; ++k) {
      float now = slope.values[k];
      square.values[k] = mean(square.values[k], rho, now * now, gain);
      float step = now * (sqrtf(moved.values[k] + epsilon) / sqrtf(square.values[k] + epsilon));
      moved.values[k] = mean(moved.values[k], rho, step * step, gain);
      weight.values[k] -= rate * step;
    }
    store(s + i, square);
    store(d + i, moved);
    store(p + i, weight);
  });
}

// h: the largest v so far, null but for amsgrad.
extern "C" __global__ void __launch_bounds__(256, 4)
adam_update(
    float* __restrict__ p, const float* __restrict__ g, float* __restrict__ m, float* __restrict__ v,
    float* __restrict__ h, long long n, int packed, float rate, const float* rate_at, float beta_1, float gain_1,
    float beta_2, float gain_2, float epsilon) {
  rate = held(rate, rate_at);
  each<V>(n, packed, [=](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Pack<float, W> weight = load<W>(p + i), slope = load<W>(g + i), first = load<W>(m + i), second = load<W>(v + i);
    for (int k = 0; k < W; ++k) {
      float d = slope.values[k];
      first.values[k] = mean(first.values[k], beta_1, d, gain_1);
      second.values[k] = mean(second.values[k], beta_2, d * d, gain_2);
    }
    store(m + i, first);
    store(v + i, second);
    if (h) {
      Pack<float, W> most = load<W>(h + i);
      for (int k = 0; k < W; ++k) second.values[k] = larger(most.values[k], second.values[k]);
      store(h + i, second);
    }
    for (int k = 0; k < W; ++k) weight.values[k] -= rate * first.values[k] / (sqrtf(second.values[k]) + epsilon);
    store(p + i, weight);
  });
}

extern "C" __global__ void __launch_bounds__(256, 4)
adamax_update(
    float* __restrict__ p, const float* __restrict__ g, float* __restrict__ m, float* __restrict__ u, long long n,
    int packed, float rate, const float* rate_at, float beta_1, float gain_1, float beta_2, float epsilon) {
  rate = held(rate, rate_at);
  each<V>(n, packed, [=](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Pack<float, W> weight = load<W>(p + i), slope = load<W>(g + i), first = load<W>(m + i), norm = load<W>(u + i);
    for (int k = 0; k < W; ++k) {
      first.values[k] = mean(first.values[k], beta_1, slope.values[k], gain_1);
      norm.values[k] = larger(norm.values[k] * beta_2, fabsf(slope.values[k]));
      weight.values[k] -= rate * first.values[k] / (norm.values[k] + epsilon);
    }
    store(m + i, first);
    store(u + i, norm);
    store(p + i, weight);
  });
}

// factors: of m, of g, and what v is divided by.
extern "C" __global__ void __launch_bounds__(256, 4)
nadam_update(
    float* __restrict__ p, const float* __restrict__ g, float* __restrict__ m, float* __restrict__ v,
    const float* __restrict__ factors, long long n, int packed, float rate, const float* rate_at, float beta_1,
    float gain_1, float beta_2, float gain_2, float epsilon, float of_m, float of_g, float correction) {
  rate = held(rate, rate_at);
  if (factors) {
    of_m = factors[0];
    of_g = factors[1];
    correction = factors[2];
  }
  float of_v = 1.f / correction;
  each<V>(n, packed, [=](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Pack<float, W> weight = load<W>(p + i), slope = load<W>(g + i), first = load<W>(m + i), second = load<W>(v + i);
    for (int k = 0; k < W; ++k) {
      float d = slope.values[k];
      float now = first.values[k] = mean(first.values[k], beta_1, d, gain_1);
      second.values[k] = mean(second.values[k], beta_2, d * d, gain_2);
      float step = (of_m * now + of_g * d) / (sqrtf(second.values[k] * of_v) + epsilon);
      weight.values[k] -= rate * step;
    }
    store(m + i, first);
    store(v + i, second);
    store(p + i, weight);
  });
}

extern "C" __global__ void __launch_bounds__(256, 4)
lion_update(
    float* __restrict__ p, const float* __restrict__ g, float* __restrict__ m, long long n, int packed, float rate,
    const float* rate_at, float beta_1, float gain_1, float beta_2, float gain_2) {
  rate = held(rate, rate_at);
  each<V>(n, packed, [=](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Pack<float, W> weight = load<W>(p + i), slope = load<W>(g + i), first = load<W>(m + i);
    for (int k = 0; k < W; ++k) {
      weight.values[k] -= rate * sign_of(mean(first.values[k], beta_1, slope.values[k], gain_1));
      first.values[k] = mean(first.values[k], beta_2, slope.values[k], gain_2);
    }
    store(m + i, first);
    store(p + i, weight);
  });
}

// ridge: 2 * l2, to which beta / rate comes; shrinkage: 2 * that of the configuration.
extern "C" __global__ void __launch_bounds__(256, 4)
ftrl_update(
    float* __restrict__ p, const float* __restrict__ g, float* __restrict__ s, float* __restrict__ z, long long n,
    int packed, float rate, const float* rate_at, float power, float lasso, float ridge, float shrinkage, float beta) {
  rate = held(rate, rate_at);
  if (beta != 0.f) ridge += beta / rate;
  each<V>(n, packed, [=](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Pack<float, W> weight = load<W>(p + i), slope = load<W>(g + i), sum = load<W>(s + i), linear = load<W>(z + i);
    for (int k = 0; k < W; ++k) {
      float d = slope.values[k], w = weight.values[k];
      float before = power_of(sum.values[k], power);
      // Rounded as NumPy rounds: the difference of the powers loses digits, on both devices the same.
      sum.values[k] = __fadd_rn(sum.values[k], __fmul_rn(d, d));
      float after = power_of(sum.values[k], power);
      float l = linear.values[k] - (after - before) / rate * w + d + shrinkage * w;
      linear.values[k] = l;
      weight.values[k] = (smaller(larger(l, -lasso), lasso) - l) / (after / rate + ridge);
    }
    store(s + i, sum);
    store(z + i, linear);
    store(p + i, weight);
  });
}

extern "C" __global__ void __launch_bounds__(256, 4)
average_update(
    float* __restrict__ average, const float* __restrict__ p, long long n, int packed, float momentum, float gain) {
  each<V>(n, packed, [=](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Pack<float, W> state = load<W>(average + i), weight = load<W>(p + i);
    for (int k = 0; k < W; ++k) state.values[k] = mean(state.values[k], momentum, weight.values[k], gain);
    store(average + i, state);
  });
}

// ---- sums that always come out the same -------------------------------------------------------------------
// The sum over a block of 256 threads, in thread 0.
__device__ __forceinline__ float block_sum(float x) {
  __shared__ float of_warps[8];
  for (int lanes = 16; lanes; lanes /= 2) x += __shfl_down_sync(0xffffffffu, x, lanes);
  __syncthreads();  // of an earlier sum
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = x;
  __syncthreads();
  float sum = of_warps[0];
  for (int w = 1; w < 8; ++w) sum += of_warps[w];
  return sum;
}

// sums: of the squares that each block sees.
extern "C" __global__ void __launch_bounds__(256, 4)
square_sums(const float* __restrict__ x, float* __restrict__ sums, long long n, int packed) {
  float total = 0.f;
  each<V>(n, packed, [&](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Pack<float, W> found = load<W>(x + i);
    for (int k = 0; k < W; ++k) total += found.values[k] * found.values[k];
  });
  total = block_sum(total);
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

// total: of the sums of all blocks, by one block.
extern "C" __global__ void __launch_bounds__(256, 4)
sum_of_sums(const float* __restrict__ sums, float* __restrict__ total, int count) {
  float sum = 0.f;
  for (int i = threadIdx.x; i < count; i += 256) sum += sums[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *total = sum;
}

// What brings the root of a sum of squares to ``limit`` at most; NaN where it is not finite.
__device__ __forceinline__ float factor_to(float square_sum, float limit) {
  float norm = sqrtf(square_sum);
  return limit / larger(norm, limit) + (norm - norm);
}

extern "C" __global__ void __launch_bounds__(32, 4)
clip_factor(const float* __restrict__ square_sum, float* __restrict__ factor, float limit) {
  if (threadIdx.x == 0) *factor = factor_to(*square_sum, limit);
}

// ---- every variable to a norm of its own ------------------------------------------------------------------
// A block treats one piece of a variable. pieces: rows of start, stop, first piece of the variable, their number.
template <typename Body>
__device__ __forceinline__ void each_in(const long long* piece, int packed, Body body) {
  long long start = piece[0], stop = piece[1];
  long long whole = packed ? start + (stop - start) / V * V : start;
  for (long long i = start + threadIdx.x * V; i < whole; i += 256 * V) body(Width<V>(), i);
  for (long long i = whole + threadIdx.x; i < stop; i += 256) body(Width<1>(), i);
}

// sums: of the squares of every piece.
extern "C" __global__ void __launch_bounds__(256, 4)
piece_sums(const float* __restrict__ g, const long long* __restrict__ pieces, float* __restrict__ sums, int packed) {
  float total = 0.f;
  each_in(pieces + blockIdx.x * 4, packed, [&](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Pack<float, W> found = load<W>(g + i);
    for (int k = 0; k < W; ++k) total += found.values[k] * found.values[k];
  });
  total = block_sum(total);
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

// g: every piece scaled so that the norm of its variable is ``limit`` at most.
extern "C" __global__ void __launch_bounds__(256, 4)
clip_pieces(
    float* __restrict__ g, const long long* __restrict__ pieces, const float* __restrict__ sums, int packed,
    float limit) {
  const long long* piece = pieces + blockIdx.x * 4;
  float total = 0.f;
  for (int i = threadIdx.x; i < (int)piece[3]; i += 256) total += sums[piece[2] + i];
  float factor = factor_to(block_sum(total), limit);
  each_in(piece, packed, [=](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Pack<float, W> found = load<W>(g + i);
    for (int k = 0; k < W; ++k) found.values[k] *= factor;
    store(g + i, found);
  });
}

// ---- Lamb -------------------------------------------------------------------------------------------------
__device__ __forceinline__ float lamb_step(float m, float v, float of_m, float of_v, float epsilon) {
  return m / (sqrtf(v * of_v) + epsilon) * of_m;
}

// Moments, and sums of squares over each block: of the weights, then of the steps.
extern "C" __global__ void __launch_bounds__(256, 4)
lamb_moments(
    const float* __restrict__ p, const float* __restrict__ g, float* __restrict__ m, float* __restrict__ v,
    float* __restrict__ sums, const float* __restrict__ corrections, long long n, int packed, float beta_1,
    float gain_1, float beta_2, float gain_2, float epsilon, float correction_1, float correction_2) {
  float of_m = 1.f / (corrections ? corrections[0] : correction_1);
  float of_v = 1.f / (corrections ? corrections[1] : correction_2);
  float weights = 0.f, steps = 0.f;
  each<V>(n, packed, [&](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Pack<float, W> weight = load<W>(p + i), slope = load<W>(g + i), first = load<W>(m + i), second = load<W>(v + i);
    for (int k = 0; k < W; ++k) {
      float d = slope.values[k];
      first.values[k] = mean(first.values[k], beta_1, d, gain_1);
      second.values[k] = mean(second.values[k], beta_2, d * d, gain_2);
      float step = lamb_step(first.values[k], second.values[k], of_m, of_v, epsilon);
      weights += weight.values[k] * weight.values[k];
      steps += step * step;
    }
    store(m + i, first);
    store(v + i, second);
  });
  weights = block_sum(weights);
  steps = block_sum(steps);
  if (threadIdx.x == 0) {
    sums[blockIdx.x] = weights;
    sums[gridDim.x + blockIdx.x] = steps;
  }
}

// p -= rate * |p| / |step| * step; every block adds up the sums of all.
extern "C" __global__ void __launch_bounds__(256, 4)
lamb_update(
    float* __restrict__ p, const float* __restrict__ m, const float* __restrict__ v, const float* __restrict__ sums,
    const float* __restrict__ corrections, long long n, int packed, float rate, const float* rate_at, float epsilon,
    float correction_1, float correction_2) {
  float of_m = 1.f / (corrections ? corrections[0] : correction_1);
  float of_v = 1.f / (corrections ? corrections[1] : correction_2);
  float weights = 0.f, steps = 0.f;
  for (int i = threadIdx.x; i < gridDim.x; i += 256) {
    weights += sums[i];
    steps += sums[gridDim.x + i];
  }
  weights = sqrtf(block_sum(weights));
  steps = sqrtf(block_sum(steps));
  rate = held(rate, rate_at);
  if (weights > 0.f && steps > 0.f) rate *= weights / steps;
  each<V>(n, packed, [=](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Pack<float, W> weight = load<W>(p + i), first = load<W>(m + i), second = load<W>(v + i);
    for (int k = 0; k < W; ++k)
      weight.values[k] -= rate * lamb_step(first.values[k], second.values[k], of_m, of_v, epsilon);
    store(p + i, weight);
  });
}

// ---- numbers of a step that the device counts -------------------------------------------------------------
// 1 - beta^step from log(beta): no digits lost where beta is near 1.
__device__ __forceinline__ float correction_at(float step, float log_beta) { return -expm1f(step * log_beta); }

// rate: that of Adam (log_beta_2 < 0), else of Adamax, at the step after the ``counter``-th.
extern "C" __global__ void __launch_bounds__(32, 4)
corrected_rate(
    const float* __restrict__ learning_rate, const int* __restrict__ counter, float* __restrict__ rate,
    float log_beta_1, float log_beta_2) {
  if (threadIdx.x) return;
  float step = (float)(*counter + 1);
  float found = *learning_rate / correction_at(step, log_beta_1);
  *rate = log_beta_2 < 0.f ? found * sqrtf(correction_at(step, log_beta_2)) : found;
}

// factors: of m, of g, and the correction of v; product: of all momenta, this step's included.
extern "C" __global__ void __launch_bounds__(32, 4)
nadam_factors(
    const int* __restrict__ counter, float* __restrict__ product, float* __restrict__ factors, float beta_1,
    float log_beta_2, float schedule) {
  if (threadIdx.x) return;
  float step = (float)(*counter + 1);
  float now = beta_1 * (1.f - 0.5f * exp2f(step * schedule));
  float then = beta_1 * (1.f - 0.5f * exp2f((step + 1.f) * schedule));
  float all = *product * now;
  *product = all;
  factors[0] = then / (1.f - all * then);
  factors[1] = (1.f - now) / (1.f - all);
  factors[2] = correction_at(step, log_beta_2);
}

// corrections: of m and of v.
extern "C" __global__ void __launch_bounds__(32, 4)
moment_corrections(
    const int* __restrict__ counter, float* __restrict__ corrections, float log_beta_1, float log_beta_2) {
  if (threadIdx.x) return;
  float step = (float)(*counter + 1);
  corrections[0] = correction_at(step, log_beta_1);
  corrections[1] = correction_at(step, log_beta_2);
}

// ---- tables of which a step has used few rows --------------------------------------------------------------
// rows: of the table p, each once; those outside of it are passed over. values: their gradients, of ``width``.
extern "C" __global__ void __launch_bounds__(256, 4)
sgd_update_rows(
    float* __restrict__ p, const long long* __restrict__ rows, const float* __restrict__ values, int count, int width,
    long long table, float rate, const float* rate_at) {
  if (row() >= count || column() >= width) return;
  long long at = rows[row()];
  if (at < 0 || at >= table) return;
  p[at * width + column()] -= held(rate, rate_at) * values[(long long)row() * width + column()];
}

extern "C" __global__ void __launch_bounds__(256, 4)
adagrad_update_rows(
    float* __restrict__ p, float* __restrict__ s, const long long* __restrict__ rows, const float* __restrict__ values,
    int count, int width, long long table, float rate, const float* rate_at, float epsilon) {
  if (row() >= count || column() >= width) return;
  long long at = rows[row()];
  if (at < 0 || at >= table) return;
  long long i = at * width + column();
  float d = values[(long long)row() * width + column()];
  float sum = s[i] + d * d;
  s[i] = sum;
  p[i] -= held(rate, rate_at) * d / sqrtf(sum + epsilon);
}

// dense: the gradient with its zeros, which are there already.
extern "C" __global__ void __launch_bounds__(256, 4)
put_rows(
    float* __restrict__ dense, const long long* __restrict__ rows, const float* __restrict__ values, int count,
    int width, long long table) {
  if (row() >= count || column() >= width) return;
  long long at = rows[row()];
  if (at < 0 || at >= table) return;
  dense[at * width + column()] = values[(long long)row() * width + column()];
}
