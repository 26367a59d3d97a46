// One step of a recurrent layer, behind the product of its state with the recurrent kernel: a thread for each unit of
// each sample. The products, and what is fed into the next one, are (N, G U) and (N, U); with a dropout mask for each
// gate (G, N, U), for as many gates as meet the state at once.
//
#include "recurrent_cells.cuh"

constexpr int FED = CELL == GRU_BEFORE ? 2 : GATES;  // gates that meet the state at once

// Place of gate g in products (forward) or gradients (backward) of FED gates.
__device__ __forceinline__ long long place(const Sequence& s, int g, int n, int u) {
  return s.drops > 1 ? ((long long)g * s.batch + n) * s.units + u : ((long long)n * FED + g) * s.units + u;
}

// Factor of recurrent dropout for gate g.
__device__ __forceinline__ float factor(const Sequence& s, const float* drop, int g, int n, int u) {
  return drop ? drop[((long long)(s.drops > 1 ? g : 0) * s.batch + n) * s.units + u] : 1.f;
}

// fed: the state for the next product, once or for each gate.
__device__ __forceinline__ void feed(const Sequence& s, const float* drop, float* fed, int n, int u, float h) {
  for (int g = 0; g < (s.drops > 1 ? FED : 1); ++g)
    fed[((long long)g * s.batch + n) * s.units + u] = h * factor(s, drop, g, n, u);
}

// GRU_BEFORE in two phases: z, r and r * h, fed; then the new state, fed.
__device__ __forceinline__ void reset(
    const Sequence& s, const Forward& a, const float* products, const float* drop, float* fed, int n, int u, int t) {
  Entry e = enter(s, a, n, u, t);
  float* gates = a.gates + row_of_x(s, n, t) * GATES * s.units + u;
  float found[2];
  for (int g = 0; g < 2; ++g) {
    found[g] = activate(s.recurrent_activation, e.sums[g] + (products ? products[place(s, g, n, u)] : 0.f));
    gates[g * s.units] = found[g];
  }
  float inner = found[1] * e.h;
  if (a.second) a.second[row_of_x(s, n, t) * s.units + u] = inner;
  fed[(long long)n * s.units + u] = inner * factor(s, drop, 2, n, u);
}

__device__ __forceinline__ float renew(
    const Sequence& s, const Forward& a, const float* products, int n, int u, int t) {
  Entry e = enter(s, a, n, u, t);
  float* gates = a.gates + row_of_x(s, n, t) * GATES * s.units + u;
  float product = products ? products[(long long)n * s.units + u] : 0.f;
  float h = activate(s.activation, e.sums[2] + product);
  float z = gates[0];
  gates[2 * s.units] = h;
  return leave(s, a, n, u, t, e, (e.h - h) * z + h);
}

// products: null where the state is zero. phase: 1 for the second half of a step of GRU_BEFORE.
extern "C" __global__ void __launch_bounds__(256, 2)
recurrent_step_forward(
    float* gates, const float* bias, const bool* mask, const bool* blank, const float* drop, float* h, float* c,
    float* y, float* before, float* second, const float* products, float* fed, Sequence s, int t, int phase) {
  int i = first();
  if (i >= s.batch * s.units) return;
  int n = i / s.units, u = i % s.units;
  Forward a = {gates, bias, mask, blank, h, c, y, before, second};
  if constexpr (CELL == GRU_BEFORE) {
    if (phase == 0) reset(s, a, products, drop, fed, n, u, t);
    else feed(s, drop, fed, n, u, renew(s, a, products, n, u, t));
  } else {
    float of_state[GATES];
    for (int g = 0; g < GATES; ++g) of_state[g] = products ? products[place(s, g, n, u)] : 0.f;
    feed(s, drop, fed, n, u, advance(s, a, n, u, t, enter(s, a, n, u, t), of_state));
  }
}

// What comes through the recurrent kernel: (N, U), or (G, N, U) with a mask for each gate.
__device__ __forceinline__ float coming(const Sequence& s, const float* through, const float* drop, int n, int u) {
  float sum = 0.f;
  if (through)
    for (int g = 0; g < (s.drops > 1 ? FED : 1); ++g)
      sum += through[((long long)g * s.batch + n) * s.units + u] * factor(s, drop, g, n, u);
  return sum;
}

// GRU_BEFORE in two phases: gradients of h's sum (fed) and z; then, with what came back through r * h, of r.
__device__ __forceinline__ void retreat_to_reset(
    const Sequence& s, const Backward& a, float through, float* fed, int n, int u, int t) {
  Kept k = recall(s, a, n, u, t);
  float* dsums = a.dsums + row_of_x(s, n, t) * GATES * s.units + u;
  long long at = (long long)n * s.units + u;
  float dh = k.dh + through + k.dy, z = k.gates[0], h = k.gates[2];
  float new_slope = k.held ? 0.f : dh * (1.f - z) * slope(s.activation, h);
  dsums[0] = k.held ? 0.f : dh * (k.before - h) * slope(s.recurrent_activation, z);
  dsums[2 * s.units] = fed[at] = new_slope;
  a.dh[at] = k.held ? dh : dh * z;
}

__device__ __forceinline__ void retreat_from_reset(
    const Sequence& s, const Backward& a, float through, float* fed, int n, int u, int t) {
  Kept k = recall(s, a, n, u, t);
  float* dsums = a.dsums + row_of_x(s, n, t) * GATES * s.units + u;
  float r = k.gates[1];
  float dr = through * k.before * slope(s.recurrent_activation, r);  // nothing comes through where steps are held
  dsums[s.units] = dr;
  fed[place(s, 0, n, u)] = dsums[0];
  fed[place(s, 1, n, u)] = dr;
  a.dh[(long long)n * s.units + u] = k.dh + through * r;
}

// through: null before the last step; t: -1 to end with the gradient of the first state.
extern "C" __global__ void __launch_bounds__(256, 2)
recurrent_step_backward(
    const float* gates, const float* before, const float* second, const bool* mask, const bool* blank,
    const float* drop, const float* dy, float* dh, float* dc, float* dsums, float* dinner, const float* through,
    float* fed, Sequence s, int t, int phase) {
  int i = first();
  if (i >= s.batch * s.units) return;
  int n = i / s.units, u = i % s.units;
  Backward a = {gates, before, second, mask, blank, dy, dh, dc, dsums, dinner};
  if (t < 0) {
    dh[i] += coming(s, through, drop, n, u);
    return;
  }
  if constexpr (CELL == GRU_BEFORE) {
    if (phase == 0) retreat_to_reset(s, a, coming(s, through, drop, n, u), fed, n, u, t);
    else retreat_from_reset(s, a, through[i] * factor(s, drop, 2, n, u), fed, n, u, t);
  } else {
    float dz[GATES];
    retreat(s, a, n, u, t, recall(s, a, n, u, t), coming(s, through, drop, n, u), dz);
    for (int g = 0; g < GATES; ++g) fed[place(s, g, n, u)] = dz[g];
  }
}
