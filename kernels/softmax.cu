// Softmax of rows and the cross-entropies that follow it, forward and backward: x (M, C) with rows of ``columns``
// elements, each treated by ``group`` threads (reduction.cuh).
//
// The cross-entropies keep no probabilities: a row's maximum ``top`` and sum ``sum`` of exp(x - top) are enough
// to make them again, which costs less than to write and read them. A class number outside of the row gives NaN
// as loss and gradient, as nobody waits here to raise an error.
#include "reduction.cuh"

typedef USE_T T;          // of the elements
constexpr int V = USE_V;  // elements of a pack
constexpr int H = USE_H;  // packs that a thread holds in registers, 0: rows are read as often as they are needed

// The class of a row, -1 where it has none; class numbers come in one of two widths.
__device__ __forceinline__ int label(const int* narrow, const long long* wide, int row, int columns) {
  long long found = wide ? wide[row] : narrow[row];
  return found >= 0 && found < columns ? (int)found : -1;
}

// Replace the elements of a row by exp(x - top), if it is held, and return their maximum and sum.
template <int Inputs>
__device__ __forceinline__ float2 exponentials(Row<T, V, H, Inputs>& line, int group) {
  float top = -infinity(), sum = 0.f;
  line.walk([&](int, float& x, float&) { top = Largest::join(top, x); });
  top = across<Largest>(top, group);
  line.walk([&](int, float& x, float&) {
    float e = expf(x - top);
    sum += e;
    if (Inputs == 1 && H) x = e;
  });
  return make_float2(top, across<Sum>(sum, group));
}

// y: the softmax; top and sum, unless they are null: of every row.
extern "C" __global__ void __launch_bounds__(512, 1)
softmax_forward(const T* __restrict__ x, T* __restrict__ y, float* __restrict__ top, float* __restrict__ sum, int rows, int columns, int group) {
  int row = row_of(group);
  bool inside = row < rows;
  long long start = (long long)row * columns;
  Row<T, V, H, 1> line(x + start, x + start, inside, columns, group);
  float2 found = exponentials(line, group);
  float scale = 1.f / found.y;
  line.write(y + start, [&](int, float& e, float&) { return (H ? e : expf(e - found.x)) * scale; });
  if (!inside || line.lane) return;
  if (top) top[row] = found.x;
  if (sum) sum[row] = found.y;
}

// dx = y (dy - sum(dy y)).
extern "C" __global__ void __launch_bounds__(512, 1)
softmax_backward(const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ dx, int rows, int columns, int group) {
  int row = row_of(group);
  long long start = (long long)row * columns;
  Row<T, V, H, 2> line(dy + start, y + start, row < rows, columns, group);
  float along = 0.f;
  line.walk([&](int, float& d, float& p) { along += d * p; });
  along = across<Sum>(along, group);
  line.write(dx + start, [&](int, float& d, float& p) { return p * (d - along); });
}

// loss = -log softmax(x) at the class numbers.
extern "C" __global__ void __launch_bounds__(512, 1)
sparse_cross_entropy_forward(const T* __restrict__ x, const int* __restrict__ narrow, const long long* __restrict__ wide, T* __restrict__ loss, float* __restrict__ top, float* __restrict__ sum, int rows, int columns, int group) {
  int row = row_of(group);
  bool inside = row < rows;
  long long start = (long long)row * columns;
  Row<T, V, H, 1> line(x + start, x + start, inside, columns, group);
  float2 found = exponentials(line, group);
  if (!inside || line.lane) return;
  int c = label(narrow, wide, row, columns);
  loss[row] = element<T>(c < 0 ? not_a_number() : logf(found.y) - (number(x[start + c]) - found.x));
  top[row] = found.x;
  sum[row] = found.y;
}

// dx = (softmax(x) - one at the class) dy; with top and sum null, x holds the softmax itself.
extern "C" __global__ void __launch_bounds__(512, 1)
sparse_cross_entropy_backward(const T* __restrict__ x, const int* __restrict__ narrow, const long long* __restrict__ wide, const float* __restrict__ top, const float* __restrict__ sum, const T* __restrict__ dy, T* __restrict__ dx, int rows, int columns, int group) {
  int row = row_of(group);
  if (row >= rows) return;
  long long start = (long long)row * columns;
  int at = label(narrow, wide, row, columns);
  float slope = at < 0 ? not_a_number() : number(dy[row]);
  float scale = sum ? slope / sum[row] : slope, shift = top ? top[row] : 0.f;
  Row<T, V, 0, 1> line(x + start, x + start, true, columns, group);
  line.write(dx + start, [&](int c, float& a, float&) {
    float share = (top ? expf(a - shift) : a) * scale;
    return c == at ? share - slope : share;
  });
}

// loss = -sum(target log softmax(x)); weight: the sum of the targets.
extern "C" __global__ void __launch_bounds__(512, 1)
dense_cross_entropy_forward(const T* __restrict__ x, const T* __restrict__ target, T* __restrict__ loss, float* __restrict__ top, float* __restrict__ sum, float* __restrict__ weight, int rows, int columns, int group) {
  int row = row_of(group);
  bool inside = row < rows;
  long long start = (long long)row * columns;
  Row<T, V, H, 2> line(x + start, target + start, inside, columns, group);
  float2 found = exponentials(line, group);
  float along = 0.f, total = 0.f;
  line.walk([&](int, float& a, float& t) {
    along += t * (a - found.x);
    total += t;
  });
  along = across<Sum>(along, group);
  total = across<Sum>(total, group);
  if (!inside || line.lane) return;
  loss[row] = element<T>(logf(found.y) * total - along);
  top[row] = found.x;
  sum[row] = found.y;
  weight[row] = total;
}

// dx = (softmax(x) weight - target) dy.
extern "C" __global__ void __launch_bounds__(512, 1)
dense_cross_entropy_backward(const T* __restrict__ x, const T* __restrict__ target, const float* __restrict__ top, const float* __restrict__ sum, const float* __restrict__ weight, const T* __restrict__ dy, T* __restrict__ dx, int rows, int columns, int group) {
  int row = row_of(group);
  if (row >= rows) return;
  long long start = (long long)row * columns;
  float shift = top[row], scale = weight[row] / sum[row], slope = number(dy[row]);
  Row<T, V, 0, 2> line(x + start, target + start, true, columns, group);
  line.write(dx + start, [&](int, float& a, float& t) { return (expf(a - shift) * scale - t) * slope; });
}

// loss = log(sum) + top - x at the class numbers: as above where a row's maximum and sum are known. A thread a row.
extern "C" __global__ void __launch_bounds__(256, 2)
picked_cross_entropy(const T* __restrict__ x, const int* __restrict__ narrow, const long long* __restrict__ wide, const float* __restrict__ top, const float* __restrict__ sum, T* __restrict__ loss, int rows, int columns) {
  int row = first();
  if (row >= rows) return;
  int c = label(narrow, wide, row, columns);
  loss[row] = element<T>(
      c < 0 ? not_a_number() : logf(sum[row]) - (number(x[(long long)row * columns + c]) - top[row]));
}

// y = max(x, 0) - x target + log(1 + exp(-|x|)), for ``count`` elements.
extern "C" __global__ void __launch_bounds__(256, 2)
sigmoid_cross_entropy_forward(const T* __restrict__ x, const T* __restrict__ target, T* __restrict__ y, int count) {
  for (long long i = (long long)first() * V; i < count; i += (long long)stride() * V) {
    Pack<T, V> a = load<V>(x + i), t = load<V>(target + i), result;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      float logit = number(a.values[v]);
      result.values[v] = element<T>(fmaxf(logit, 0.f) - logit * number(t.values[v]) + log1pf(expf(-fabsf(logit))));
    }
    store(y + i, result);
  }
}

// dx = (sigmoid(x) - target) dy, where one element of dy goes with ``inner`` neighbours of x: a multiple of V, or 1.
extern "C" __global__ void __launch_bounds__(256, 2)
sigmoid_cross_entropy_backward(const T* __restrict__ x, const T* __restrict__ target, const T* __restrict__ dy, T* __restrict__ dx, int count, int inner) {
  for (long long i = (long long)first() * V; i < count; i += (long long)stride() * V) {
    Pack<T, V> a = load<V>(x + i), t = load<V>(target + i), slope, result;
    if (inner == 1) {
      slope = load<V>(dy + i);
    } else {
      T same = dy[(unsigned)i / (unsigned)inner];
#pragma unroll
      for (int v = 0; v < V; ++v) slope.values[v] = same;
    }
#pragma unroll
    for (int v = 0; v < V; ++v) {
      float p = 1.f / (1.f + expf(-number(a.values[v])));
      result.values[v] = element<T>((p - number(t.values[v])) * number(slope.values[v]));
    }
    store(dx + i, result);
  }
}
