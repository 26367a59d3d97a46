// Cells of recurrent layers, element by element: what one unit of one sample does in one step, forward and backward.
//
// Arrays of all steps are (N, T, ...). Sums of inputs, gates and what backward needs lie in the order of x; y, the
// masks and dy in the order in which steps run, which is the reverse of it with `backwards`.
//
//   cell         gates        second array kept        sums that meet the recurrent kernel
//   SIMPLE_RNN   h            -                        all
//   LSTM         i f c o      c before                 all
//   GRU          z r h        h U + b of h             all; backward, those of h differ from those of x
//   GRU_BEFORE   z r h        r * h                    z r with h, then h with r * h
#pragma once
#include "common.cuh"

enum Cell { SIMPLE_RNN, LSTM, GRU, GRU_BEFORE };
enum Activation {
  TANH, SIGMOID, LINEAR, RELU, RELU6, HARD_SIGMOID, HARD_TANH, EXPONENTIAL, SOFTPLUS, SOFTSIGN, ELU, SELU,
  HARD_SIGMOID_KERAS2
};

constexpr int CELL = USE_CELL;
constexpr int GATES = CELL == SIMPLE_RNN ? 1 : CELL == LSTM ? 4 : 3;
constexpr float SELU_ALPHA = 1.6732632423543772f;
constexpr float SELU_SCALE = 1.0507009873554805f;

struct Sequence {
  int batch, steps, units;
  int backwards;  // whether x is read from its end
  int drops;      // masks of recurrent dropout: 0, 1, or one for each gate
  int activation, recurrent_activation;
};

__device__ __forceinline__ float elu(float x) { return x > 0.f ? x : expm1f(x); }

__device__ __forceinline__ float activate(int kind, float x) {
  switch (kind) {
    case TANH: return tanhf(x);
    case SIGMOID: return 0.5f * tanhf(0.5f * x) + 0.5f;
    case RELU: return fmaxf(x, 0.f);
    case RELU6: return fminf(fmaxf(x, 0.f), 6.f);
    case HARD_SIGMOID: return fminf(fmaxf(x * (1.f / 6.f) + 0.5f, 0.f), 1.f);
    case HARD_SIGMOID_KERAS2: return fminf(fmaxf(0.2f * x + 0.5f, 0.f), 1.f);
    case HARD_TANH: return fminf(fmaxf(x, -1.f), 1.f);
    case EXPONENTIAL: return expf(x);
    case SOFTPLUS: return log1pf(expf(-fabsf(x))) + fmaxf(x, 0.f);
    case SOFTSIGN: return x / (1.f + fabsf(x));
    case ELU: return elu(x);
    case SELU: return elu(x) * (x > 0.f ? SELU_SCALE : SELU_SCALE * SELU_ALPHA);
    default: return x;
  }
}

// The slope, told from the result y.
__device__ __forceinline__ float slope(int kind, float y) {
  switch (kind) {
    case TANH: return 1.f - y * y;
    case SIGMOID: return y - y * y;
    case RELU: return y > 0.f ? 1.f : 0.f;
    case RELU6: return y > 0.f && y < 6.f ? 1.f : 0.f;
    case HARD_SIGMOID: return y > 0.f && y < 1.f ? 1.f / 6.f : 0.f;
    case HARD_SIGMOID_KERAS2: return y > 0.f && y < 1.f ? 0.2f : 0.f;
    case HARD_TANH: return y > -1.f && y < 1.f ? 1.f : 0.f;
    case EXPONENTIAL: return y;
    case SOFTPLUS: return -expm1f(-y);
    case SOFTSIGN: return (1.f - fabsf(y)) * (1.f - fabsf(y));
    case ELU: return y > 0.f ? 1.f : y + 1.f;
    case SELU: return y > 0.f ? SELU_SCALE : y + SELU_SCALE * SELU_ALPHA;
    default: return 1.f;
  }
}

// Row of sample n and step t: in arrays that lie as x does, and in those in the order of steps.
__device__ __forceinline__ long long row_of_x(const Sequence& s, int n, int t) {
  return (long long)n * s.steps + (s.backwards ? s.steps - 1 - t : t);
}
__device__ __forceinline__ long long row_of_y(const Sequence& s, int n, int t) { return (long long)n * s.steps + t; }

// ---- forward ----------------------------------------------------------------------------------------
struct Forward {
  float* gates;        // (N, T, G U): products of the inputs, and then, if all is kept, the gates
  const float* bias;   // (G U), of GRU (2, G U); null: none. Pointers below may be null, except h
  const bool* mask;    // (N, T): false where the state is held
  const bool* blank;   // (N, T): true where the output is zero
  float* h;            // (N, U): state, in place
  float* c;            // (N, U), of LSTM alone
  float* y;            // (N, T, U)
  float* before;       // (N, T, U): h before each step; not null: all is kept
  float* second;       // (N, T, U)
};

// What a unit of a sample begins a step with.
struct Entry {
  float sums[GATES];  // of inputs and biases
  float inner;        // recurrent bias of GRU's h
  float h, c;
  bool held, blank;
};

__device__ __forceinline__ Entry enter(const Sequence& s, const Forward& a, int n, int u, int t) {
  Entry e;
  const float* sums = a.gates + row_of_x(s, n, t) * GATES * s.units + u;
  for (int g = 0; g < GATES; ++g) e.sums[g] = sums[g * s.units] + (a.bias ? a.bias[g * s.units + u] : 0.f);
  e.inner = 0.f;
  if (CELL == GRU && a.bias) {
    const float* bias = a.bias + GATES * s.units + u;
    e.sums[0] += bias[0];
    e.sums[1] += bias[s.units];
    e.inner = bias[2 * s.units];
  }
  long long at = (long long)n * s.units + u;
  e.h = a.h[at];
  e.c = CELL == LSTM ? a.c[at] : 0.f;
  e.held = a.mask && !a.mask[row_of_y(s, n, t)];
  e.blank = a.blank && a.blank[row_of_y(s, n, t)];
  return e;
}

// Write output and state, and return the state.
__device__ __forceinline__ float leave(const Sequence& s, const Forward& a, int n, int u, int t, const Entry& e, float h) {
  if (e.held) h = e.h;
  if (a.y) a.y[row_of_y(s, n, t) * s.units + u] = e.blank ? 0.f : h;
  if (a.before) a.before[row_of_x(s, n, t) * s.units + u] = e.h;
  a.h[(long long)n * s.units + u] = h;
  return h;
}

// Finish a step: `products` are those of the state with the recurrent kernel. Returns the new state.
__device__ __forceinline__ float advance(
    const Sequence& s, const Forward& a, int n, int u, int t, const Entry& e, const float (&products)[GATES]) {
  int squash = s.activation, gate = s.recurrent_activation;
  long long row = row_of_x(s, n, t);
  float found[GATES];
  float h, second = 0.f;
  if constexpr (CELL == SIMPLE_RNN) {
    h = found[0] = activate(squash, e.sums[0] + products[0]);
  } else if constexpr (CELL == LSTM) {
    for (int g = 0; g < GATES; ++g) found[g] = activate(g == 2 ? squash : gate, e.sums[g] + products[g]);
    float c = found[0] * found[2] + found[1] * e.c;
    h = found[3] * activate(squash, c);
    second = e.c;
    a.c[(long long)n * s.units + u] = e.held ? e.c : c;
  } else {
    found[0] = activate(gate, e.sums[0] + products[0]);
    found[1] = activate(gate, e.sums[1] + products[1]);
    second = products[2] + e.inner;
    found[2] = activate(squash, e.sums[2] + found[1] * second);
    h = (e.h - found[2]) * found[0] + found[2];
  }
  if (a.before) {
    for (int g = 0; g < GATES; ++g) a.gates[(row * GATES + g) * s.units + u] = found[g];
    if (CELL != SIMPLE_RNN) a.second[row * s.units + u] = second;
  }
  return leave(s, a, n, u, t, e, h);
}

// ---- backward ---------------------------------------------------------------------------------------
struct Backward {
  const float* gates;
  const float* before;
  const float* second;
  const bool* mask;
  const bool* blank;
  const float* dy;   // (N, T, U) or null
  float* dh;         // (N, U): what reaches the state beside the product with the recurrent kernel, in place
  float* dc;         // (N, U), of LSTM alone
  float* dsums;      // (N, T, G U): of what was added to the products of the inputs
  float* dinner;     // (N, T, G U) or null: of the products with the state, where GRU's differ
};

// What a unit of a sample has kept of a step.
struct Kept {
  float gates[GATES];
  float before, second, dy, dh, dc;
  bool held;
};

__device__ __forceinline__ Kept recall(const Sequence& s, const Backward& a, int n, int u, int t) {
  Kept k;
  long long row = row_of_x(s, n, t), at = (long long)n * s.units + u;
  for (int g = 0; g < GATES; ++g) k.gates[g] = a.gates[(row * GATES + g) * s.units + u];
  k.before = a.before[row * s.units + u];
  k.second = CELL == SIMPLE_RNN ? 0.f : a.second[row * s.units + u];
  row = row_of_y(s, n, t);
  k.held = a.mask && !a.mask[row];
  k.dy = a.dy && !(a.blank && a.blank[row]) ? a.dy[row * s.units + u] : 0.f;
  k.dh = a.dh[at];
  k.dc = CELL == LSTM ? a.dc[at] : 0.f;
  return k;
}

// Walk back over a step: `through` has come from the step behind it, through the recurrent kernel. dz becomes the
// gradient of the products with the state.
__device__ __forceinline__ void retreat(
    const Sequence& s, const Backward& a, int n, int u, int t, const Kept& k, float through, float (&dz)[GATES]) {
  int squash = s.activation, gate = s.recurrent_activation;
  long long row = row_of_x(s, n, t), at = (long long)n * s.units + u;
  float dh = k.dh + through + k.dy;
  float left = dh;  // what reaches the state before it directly
  float dx[GATES];
  for (int g = 0; g < GATES; ++g) dx[g] = dz[g] = 0.f;
  if (!k.held) {
    if constexpr (CELL == SIMPLE_RNN) {
      dx[0] = dz[0] = dh * slope(squash, k.gates[0]);
      left = 0.f;
    } else if constexpr (CELL == LSTM) {
      float i = k.gates[0], f = k.gates[1], g = k.gates[2], o = k.gates[3];
      float squashed = activate(squash, i * g + f * k.second);
      float dc = k.dc + dh * o * slope(squash, squashed);
      dz[0] = dc * g * slope(gate, i);
      dz[1] = dc * k.second * slope(gate, f);
      dz[2] = dc * i * slope(squash, g);
      dz[3] = dh * squashed * slope(gate, o);
      for (int j = 0; j < GATES; ++j) dx[j] = dz[j];
      a.dc[at] = dc * f;
      left = 0.f;
    } else {
      float z = k.gates[0], r = k.gates[1], h = k.gates[2];
      dx[2] = dh * (1.f - z) * slope(squash, h);
      dx[0] = dz[0] = dh * (k.before - h) * slope(gate, z);
      dx[1] = dz[1] = dx[2] * k.second * slope(gate, r);
      dz[2] = dx[2] * r;
      left = dh * z;
    }
  }
  a.dh[at] = left;
  for (int g = 0; g < GATES; ++g) a.dsums[(row * GATES + g) * s.units + u] = dx[g];
  if (CELL == GRU && a.dinner)
    for (int g = 0; g < GATES; ++g) a.dinner[(row * GATES + g) * s.units + u] = dz[g];
}
