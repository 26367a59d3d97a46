// Sums of parts in a fixed order, and the way back through bias and activation.
#include "convolution.cuh"

typedef USE_T T;
constexpr int V = USE_V;  // neighbours of a thread

// y = activation(the sum of all parts + bias); ``size`` numbers in a part of which ``step`` are apart.
extern "C" __global__ void __launch_bounds__(256, 4)
convolution_total(const float* __restrict__ sums, const T* __restrict__ bias, T* __restrict__ y, int parts, int size,
                  long long step, int columns, int activation) {
  for (int i = first() * V; i < size; i += stride() * V) {
    float total[V];
#pragma unroll
    for (int v = 0; v < V; ++v) total[v] = 0.f;
#pragma unroll 4
    for (int part = 0; part < parts; ++part) {
      Pack<float, V> found = load<V>(sums + part * step + i);
#pragma unroll
      for (int v = 0; v < V; ++v) total[v] += found.values[v];
    }
    Pack<T, V> result;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      if (bias) total[v] += number(bias[(i + v) % columns]);
      result.values[v] = element<T>(activated(total[v], activation));
    }
    store(y + i, result);
  }
}

constexpr int THREADS = 256;

// dz = dy times the slope of the activation (unless null), and of every block's rows the sums of columns.
//
// A thread stays in its pack of columns: its rows are as many apart as the block has threads for whole rows.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
convolution_backward_output(const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ dz,
                            float* __restrict__ sums, int rows, int columns, int share, int activation) {
  __shared__ float partial[V][THREADS];
  const int packs = columns / V;
  const int wide = min(packs - (int)blockIdx.y * THREADS, THREADS);  // packs of this block
  const int down = THREADS / wide;                                   // rows at once
  const int pack = threadIdx.x % wide, at = threadIdx.x / wide;
  const int column = (blockIdx.y * THREADS + pack) * V;
  const int stop = min(rows, ((int)blockIdx.x + 1) * share);
  float total[V];
#pragma unroll
  for (int v = 0; v < V; ++v) total[v] = 0.f;
  if (at < down)
#pragma unroll 2
    for (int row_of = blockIdx.x * share + at; row_of < stop; row_of += down) {
      const int offset = row_of * columns + column;
      Pack<T, V> slopes = load<V>(dy + offset);
      if (dz) {
        Pack<T, V> results = load<V>(y + offset);
#pragma unroll
        for (int v = 0; v < V; ++v)
          slopes.values[v] = element<T>(number(slopes.values[v]) * slope(number(results.values[v]), activation));
        store(dz + offset, slopes);
      }
#pragma unroll
      for (int v = 0; v < V; ++v) total[v] += number(slopes.values[v]);
    }
  if (!sums) return;
#pragma unroll
  for (int v = 0; v < V; ++v) partial[v][threadIdx.x] = total[v];
  __syncthreads();
  if (threadIdx.x >= wide) return;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    float sum = 0.f;
    for (int i = 0; i < down; ++i) sum += partial[v][i * wide + threadIdx.x];
    sums[blockIdx.x * columns + column + v] = sum;
  }
}
