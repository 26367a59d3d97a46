// Batch normalisation over columns and layer normalisation over rows of matrices x (M, C), forward and backward.
//
// Means and variances are found in one walk over memory without the sums of squares that lose digits: each thread
// takes the mean and squared distances of a few rows that it has in registers, and joins such findings by the
// formula of Chan, Golub and LeVeque (The American Statistician 37, 1983). A rounded mean would enter that formula
// with its distance from the others, so means are kept to twice the digits of a float.
//
// Batch normalisation of many rows takes three launches: findings of parts, join them, write the result. For few
// rows one block does all that for its columns (``_small``). Vectors along the columns are arrays of float.
#include "reduction.cuh"

typedef USE_T T;          // of the elements
constexpr int V = USE_V;  // elements of a pack
constexpr int H = USE_H;  // packs of a row that a thread holds in registers, 0: rows are read again and again

constexpr int PLACES = 256 * V;  // columns of all threads of a block together

// Elements c, c + 1, ... of a vector along the columns; of a null pointer all are ``other``.
__device__ __forceinline__ Pack<float, V> along(const float* vector, int c, float other) {
  Pack<float, V> found;
  if (vector) return load<V>(vector + c);
#pragma unroll
  for (int v = 0; v < V; ++v) found.values[v] = other;
  return found;
}

// ---- batch normalisation: statistics ------------------------------------------------------------------------
// The sum of weights, the weighted mean as the sum of two floats, and the weighted squared distances from it.
struct Moments {
  float weight, mean, rest, square;

  // Join other findings; ``share`` is their part of all weights.
  __device__ __forceinline__ void take(float share, float other_mean, float other_rest, float other_square) {
    if (weight == 0.f) mean = other_mean;
    float distance = (other_mean - mean) + (other_rest - rest);
    square += other_square + distance * distance * weight * share;
    float step = rest + distance * share, sum = mean + step, added = sum - mean;
    rest = (mean - (sum - added)) + (step - added);  // what the addition has rounded away
    mean = sum;
  }
  __device__ __forceinline__ void take(const Moments& other) {
    if (other.weight == 0.f) return;
    float total = weight + other.weight;
    take(other.weight / total, other.mean, other.rest, other.square);
    weight = total;
  }
};

// Of a block's rows, in shared memory: an element for each place.
struct SharedMoments {
  float weight[PLACES], mean[PLACES], rest[PLACES], square[PLACES];

  __device__ __forceinline__ Moments at(int i) const { return {weight[i], mean[i], rest[i], square[i]}; }
  __device__ __forceinline__ void set(int i, const Moments& m) {
    weight[i] = m.weight;
    mean[i] = m.mean;
    rest[i] = m.rest;
    square[i] = m.square;
  }
};

__device__ __forceinline__ void join(SharedMoments& found, int groups, int width) {
  up(groups, width, [&](int i, int j) {
    Moments m = found.at(i);
    m.take(found.at(j));
    found.set(i, m);
  });
}

// Find the moments of the columns of a block; weights (M,) may be null.
__device__ __forceinline__ void moments(const T* x, const float* weights, const Tile& t, SharedMoments& found, int rows, int columns) {
  Moments mine[V];
#pragma unroll
  for (int v = 0; v < V; ++v) mine[v] = {0.f, 0.f, 0.f, 0.f};
  chunks<T, V>(x, t, rows, columns, [&](long long r, const Pack<T, V>* packs) {
    float w[ROWS], more = 0.f;
#pragma unroll
    for (int i = 0; i < ROWS; ++i) {
      bool inside = r + i * t.step < rows;
      w[i] = inside ? (weights ? weights[r + i * t.step] : 1.f) : 0.f;
      more += w[i];
    }
    if (more == 0.f) return;
    float total = mine[0].weight + more, inverse = 1.f / more, share = more / total;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      float base = number(packs[0].values[v]), center = 0.f, spread = 0.f;
#pragma unroll
      for (int i = 1; i < ROWS; ++i)
        if (w[i] != 0.f) center += w[i] * (number(packs[i].values[v]) - base);
      center *= inverse;
#pragma unroll
      for (int i = 0; i < ROWS; ++i) {
        float distance = number(packs[i].values[v]) - base - center;
        if (w[i] != 0.f) spread += w[i] * distance * distance;
      }
      mine[v].take(share, base, center, spread);
      mine[v].weight = total;
    }
  });
  int width = blockDim.x * V;
#pragma unroll
  for (int v = 0; v < V; ++v) found.set(threadIdx.y * width + threadIdx.x * V + v, mine[v]);
  join(found, blockDim.y, width);
}

// What becomes of the moments of a column. ``statistics`` (5, C): mean, variance, 1 / deviation, that times gamma,
// sum of the weights. Moving averages, unless they are null, are moved towards mean and variance.
struct Finish {
  const float* gamma;
  float epsilon, guard, momentum;
  float *moving_mean, *moving_variance, *statistics;

  __device__ __forceinline__ float2 operator()(int c, int columns, const Moments& m) const {
    float total = m.weight + guard, mean = m.mean * (m.weight / total), away = m.mean * (guard / total);
    float variance = (m.square + m.weight * away * away) / total;
    float r = 1.f / sqrtf(variance + epsilon), scale = gamma ? r * gamma[c] : r;
    float values[5] = {mean, variance, r, scale, total};
#pragma unroll
    for (int i = 0; i < 5; ++i) statistics[(long long)i * columns + c] = values[i];
    if (moving_mean) moving_mean[c] = moving_mean[c] * momentum + mean * (1.f - momentum);
    if (moving_variance) moving_variance[c] = moving_variance[c] * momentum + variance * (1.f - momentum);
    return make_float2(mean, scale);
  }
};

// y = (x - shift) * scale + offset for the columns of a thread.
__device__ __forceinline__ void affine(const T* x, T* y, const Tile& t, const Pack<float, V>& shift, const Pack<float, V>& scale, const Pack<float, V>& offset, int rows, int columns) {
  down<T, V>(x, t, rows, columns, [&](long long r, const Pack<T, V>& pack) {
    Pack<T, V> result;
#pragma unroll
    for (int v = 0; v < V; ++v)
      result.values[v] =
          element<T>((number(pack.values[v]) - shift.values[v]) * scale.values[v] + offset.values[v]);
    store(y + r * columns + t.column, result);
  });
}

// parts (gridDim.x, 4, C): the moments of the rows of each block.
extern "C" __global__ void __launch_bounds__(256, 2)
batch_norm_moments(const T* __restrict__ x, const float* __restrict__ weights, float* __restrict__ parts, int rows, int columns) {
  __shared__ SharedMoments found;
  Tile t = tile<V>(columns);
  moments(x, weights, t, found, rows, columns);
  float* to = parts + blockIdx.x * 4ll * columns + t.start;
  for (int c = threadIdx.y * blockDim.x + threadIdx.x; c < t.width; c += blockDim.x * blockDim.y) {
    to[c] = found.weight[c];
    to[columns + c] = found.mean[c];
    to[2ll * columns + c] = found.rest[c];
    to[3ll * columns + c] = found.square[c];
  }
}

// Join the parts; a thread of the block's first axis has one column.
extern "C" __global__ void __launch_bounds__(256, 2)
batch_norm_finish(const float* __restrict__ parts, const float* __restrict__ gamma, float* __restrict__ statistics, float* __restrict__ moving_mean, float* __restrict__ moving_variance, float epsilon, float guard, float momentum, int count, int columns) {
  __shared__ SharedMoments found;
  int c = blockIdx.x * blockDim.x + threadIdx.x;
  Moments m = {0.f, 0.f, 0.f, 0.f};
  if (c < columns)
    for (int i = threadIdx.y; i < count; i += blockDim.y) {
      const float* from = parts + i * 4ll * columns + c;
      m.take({from[0], from[columns], from[2ll * columns], from[3ll * columns]});
    }
  found.set(threadIdx.y * blockDim.x + threadIdx.x, m);
  join(found, blockDim.y, blockDim.x);
  if (threadIdx.y || c >= columns) return;
  Finish finish = {gamma, epsilon, guard, momentum, moving_mean, moving_variance, statistics};
  finish(c, columns, found.at(threadIdx.x));
}

// y = (x - shift) * scale + offset; shift and offset may be null.
extern "C" __global__ void __launch_bounds__(256, 4)
affine_columns(const T* __restrict__ x, const float* __restrict__ shift, const float* __restrict__ scale, const float* __restrict__ offset, T* __restrict__ y, int rows, int columns) {
  Tile t = tile<V>(columns);
  if (!t.inside) return;
  affine(x, y, t, along(shift, t.column, 0.f), along(scale, t.column, 1.f), along(offset, t.column, 0.f), rows, columns);
}

// All of it by one block for each tile of columns.
extern "C" __global__ void __launch_bounds__(256, 2)
batch_norm_small(const T* __restrict__ x, const float* __restrict__ weights, const float* __restrict__ gamma, const float* __restrict__ beta, T* __restrict__ y, float* __restrict__ statistics, float* __restrict__ moving_mean, float* __restrict__ moving_variance, float epsilon, float guard, float momentum, int rows, int columns) {
  __shared__ SharedMoments found;
  Tile t = tile<V>(columns);
  moments(x, weights, t, found, rows, columns);
  Finish finish = {gamma, epsilon, guard, momentum, moving_mean, moving_variance, statistics};
  for (int c = threadIdx.y * blockDim.x + threadIdx.x; c < t.width; c += blockDim.x * blockDim.y) {
    float2 made = finish(t.start + c, columns, found.at(c));
    found.mean[c] = made.x;
    found.square[c] = made.y;
  }
  __syncthreads();
  if (!t.inside) return;
  Pack<float, V> mean, scale;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    mean.values[v] = found.mean[threadIdx.x * V + v];
    scale.values[v] = found.square[threadIdx.x * V + v];
  }
  affine(x, y, t, mean, scale, along(beta, t.column, 0.f), rows, columns);
}

// ---- batch normalisation: gradient --------------------------------------------------------------------------
// Two sums for each place of a block, in shared memory.
struct SharedSums {
  float total[PLACES], product[PLACES];
};

__device__ __forceinline__ void join(SharedSums& found, int groups, int width) {
  up(groups, width, [&](int i, int j) {
    found.total[i] += found.total[j];
    found.product[i] += found.product[j];
  });
}

// Find the sums of dy and dy * (x - shift) * scale over a block's rows, where shift and scale are those of the
// column (``of_rows`` false) or of the row; null pointers stand for 0 and 1.
template <bool of_rows>
__device__ __forceinline__ void sums(const T* dy, const T* x, const float* shift, const float* scale, const Tile& t, SharedSums& found, int rows, int columns) {
  float total[V], product[V];
#pragma unroll
  for (int v = 0; v < V; ++v) total[v] = product[v] = 0.f;
  if (t.inside) {
    Pack<float, V> center;
    if (!of_rows) center = along(shift, t.column, 0.f);
    chunks<T, V>(dy, t, rows, columns, [&](long long r, const Pack<T, V>* slopes) {
      Pack<T, V> packs[ROWS];
#pragma unroll
      for (int i = 0; i < ROWS; ++i) {
        packs[i] = {};
        if (r + i * t.step < rows) packs[i] = load<V>(x + (r + i * t.step) * columns + t.column);
      }
#pragma unroll
      for (int i = 0; i < ROWS; ++i) {
        long long at = r + i * t.step;
        if (at >= rows) break;
        float by = of_rows ? scale[at] : 1.f, from = of_rows && shift ? shift[at] : 0.f;
#pragma unroll
        for (int v = 0; v < V; ++v) {
          float slope = number(slopes[i].values[v]);
          total[v] += slope;
          product[v] += slope * ((number(packs[i].values[v]) - (of_rows ? from : center.values[v])) * by);
        }
      }
    });
  }
  int width = blockDim.x * V;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    found.total[threadIdx.y * width + threadIdx.x * V + v] = total[v];
    found.product[threadIdx.y * width + threadIdx.x * V + v] = product[v];
  }
  join(found, blockDim.y, width);
}

// parts (gridDim.x, 2, C): the sums of a block's rows.
__device__ __forceinline__ void keep(const SharedSums& found, float* parts, const Tile& t, int columns) {
  float* to = parts + blockIdx.x * 2ll * columns + t.start;
  for (int c = threadIdx.y * blockDim.x + threadIdx.x; c < t.width; c += blockDim.x * blockDim.y) {
    to[c] = found.total[c];
    to[columns + c] = found.product[c];
  }
}

// What becomes of the sums of a column. ``slopes`` (4, C): of beta, of gamma; of the input by its distance from the
// mean, and the rest. dmean and dvariance, unless null, come from other uses of the statistics.
struct Slopes {
  const float *statistics, *dmean, *dvariance;
  float* slopes;

  __device__ __forceinline__ float2 operator()(int c, int columns, float total, float product) const {
    const float* from = statistics + c;
    float r = from[2ll * columns], scale = from[3ll * columns], rows = from[4ll * columns];
    float through_variance = product * scale * r * r * -0.5f + (dvariance ? dvariance[c] : 0.f);
    float through_mean = (dmean ? dmean[c] : 0.f) - total * scale;
    float by_distance = through_variance * (2.f / rows), rest = through_mean / rows;
    float values[4] = {total, product * r, by_distance, rest};
#pragma unroll
    for (int i = 0; i < 4; ++i) slopes[(long long)i * columns + c] = values[i];
    return make_float2(by_distance, rest);
  }
};

// dx = dy * scale + weight * ((x - mean) * by_distance + rest) for the columns of a thread.
__device__ __forceinline__ void input_gradient(const T* dy, const T* x, const float* weights, const float* statistics, T* dx, const Tile& t, const Pack<float, V>& by_distance, const Pack<float, V>& rest, int rows, int columns) {
  Pack<float, V> mean = along(statistics, t.column, 0.f), scale = along(statistics + 3ll * columns, t.column, 0.f);
  down<T, V>(dy, t, rows, columns, [&](long long r, const Pack<T, V>& slope) {
    Pack<T, V> pack = load<V>(x + r * columns + t.column), result;
    float weight = weights ? weights[r] : 1.f;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      float spread = (number(pack.values[v]) - mean.values[v]) * by_distance.values[v] + rest.values[v];
      result.values[v] = element<T>(number(slope.values[v]) * scale.values[v] + weight * spread);
    }
    store(dx + r * columns + t.column, result);
  });
}

extern "C" __global__ void __launch_bounds__(256, 2)
batch_norm_sums(const T* __restrict__ dy, const T* __restrict__ x, const float* __restrict__ mean, float* __restrict__ parts, int rows, int columns) {
  __shared__ SharedSums found;
  Tile t = tile<V>(columns);
  sums<false>(dy, x, mean, nullptr, t, found, rows, columns);
  keep(found, parts, t, columns);
}

// Join the parts; a thread of the block's first axis has one column.
extern "C" __global__ void __launch_bounds__(256, 2)
batch_norm_slopes(const float* __restrict__ parts, const float* __restrict__ statistics, const float* __restrict__ dmean, const float* __restrict__ dvariance, float* __restrict__ slopes, int count, int columns) {
  __shared__ SharedSums found;
  int c = blockIdx.x * blockDim.x + threadIdx.x, place = threadIdx.y * blockDim.x + threadIdx.x;
  float total = 0.f, product = 0.f;
  if (c < columns)
    for (int i = threadIdx.y; i < count; i += blockDim.y) {
      total += parts[i * 2ll * columns + c];
      product += parts[(i * 2ll + 1) * columns + c];
    }
  found.total[place] = total;
  found.product[place] = product;
  join(found, blockDim.y, blockDim.x);
  if (threadIdx.y || c >= columns) return;
  Slopes finish = {statistics, dmean, dvariance, slopes};
  finish(c, columns, found.total[threadIdx.x], found.product[threadIdx.x]);
}

extern "C" __global__ void __launch_bounds__(256, 2)
batch_norm_backward(const T* __restrict__ dy, const T* __restrict__ x, const float* __restrict__ weights, const float* __restrict__ statistics, const float* __restrict__ slopes, T* __restrict__ dx, int rows, int columns) {
  Tile t = tile<V>(columns);
  if (!t.inside) return;
  Pack<float, V> by_distance = along(slopes + 2ll * columns, t.column, 0.f);
  Pack<float, V> rest = along(slopes + 3ll * columns, t.column, 0.f);
  input_gradient(dy, x, weights, statistics, dx, t, by_distance, rest, rows, columns);
}

// All of it by one block for each tile of columns; dx may be null.
extern "C" __global__ void __launch_bounds__(256, 2)
batch_norm_backward_small(const T* __restrict__ dy, const T* __restrict__ x, const float* __restrict__ weights, const float* __restrict__ statistics, const float* __restrict__ dmean, const float* __restrict__ dvariance, float* __restrict__ slopes, T* __restrict__ dx, int rows, int columns) {
  __shared__ SharedSums found;
  Tile t = tile<V>(columns);
  sums<false>(dy, x, statistics, nullptr, t, found, rows, columns);
  Slopes finish = {statistics, dmean, dvariance, slopes};
  for (int c = threadIdx.y * blockDim.x + threadIdx.x; c < t.width; c += blockDim.x * blockDim.y) {
    float2 made = finish(t.start + c, columns, found.total[c], found.product[c]);
    found.total[c] = made.x;
    found.product[c] = made.y;
  }
  __syncthreads();
  if (!t.inside || !dx) return;
  Pack<float, V> by_distance, rest;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    by_distance.values[v] = found.total[threadIdx.x * V + v];
    rest.values[v] = found.product[threadIdx.x * V + v];
  }
  input_gradient(dy, x, weights, statistics, dx, t, by_distance, rest, rows, columns);
}

// ---- layer normalisation ------------------------------------------------------------------------------------
// y = (x - mean) r gamma + beta with r = 1 / sqrt(mean square + epsilon) of every row; without ``center`` the mean
// is left where it is, and counts as 0.
extern "C" __global__ void __launch_bounds__(512, 1)
layer_norm_forward(const T* __restrict__ x, const float* __restrict__ gamma, const float* __restrict__ beta, T* __restrict__ y, float* __restrict__ means, float* __restrict__ inverses, float epsilon, int center, int rows, int columns, int group) {
  int row = row_of(group);
  bool inside = row < rows;
  long long start = (long long)row * columns;
  Row<T, V, H, 1> line(x + start, x + start, inside, columns, group);
  float mean = 0.f, square = 0.f;
  if (center) {
    line.walk([&](int, float& a, float&) { mean += a; });
    mean = across<Sum>(mean, group) / columns;
  }
  line.walk([&](int, float& a, float&) { square += (a - mean) * (a - mean); });
  float r = 1.f / sqrtf(across<Sum>(square, group) / columns + epsilon);
  line.packs([&](int, int c, float (&a)[V], float (&)[V]) {
    Pack<float, V> scale = along(gamma, c, 1.f), offset = along(beta, c, 0.f);
    Pack<T, V> result;
#pragma unroll
    for (int v = 0; v < V; ++v)
      result.values[v] = element<T>((a[v] - mean) * r * scale.values[v] + offset.values[v]);
    store(y + start + c, result);
  });
  if (!inside || line.lane) return;
  means[row] = mean;
  inverses[row] = r;
}

// dx = r (g - mean(g) - xhat mean(g xhat)) with g = dy gamma, xhat = (x - mean) r. If rows are held, also
// parts (gridDim.x, 2, C): the sums of dy and of dy xhat over a block's rows.
extern "C" __global__ void __launch_bounds__(512, 1)
layer_norm_backward(const T* __restrict__ dy, const T* __restrict__ x, const float* __restrict__ gamma, const float* __restrict__ means, const float* __restrict__ inverses, T* __restrict__ dx, float* __restrict__ parts, int center, int rows, int columns, int group) {
  int each = blockDim.x / group;
  float dbeta[H ? H : 1][V], dgamma[H ? H : 1][V];
#pragma unroll
  for (int k = 0; k < H; ++k)
#pragma unroll
    for (int v = 0; v < V; ++v) dbeta[k][v] = dgamma[k][v] = 0.f;
  for (int base = blockIdx.x * each; base < rows; base += gridDim.x * each) {
    int row = base + threadIdx.x / group;
    bool inside = row < rows;
    long long start = (long long)row * columns;
    Row<T, V, H, 2> line(dy + start, x + start, inside, columns, group);
    float mean = inside ? means[row] : 0.f, r = inside ? inverses[row] : 0.f, total = 0.f, product = 0.f;
    line.packs([&](int k, int c, float (&d)[V], float (&a)[V]) {
      Pack<float, V> scale = along(gamma, c, 1.f);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        float xhat = (a[v] - mean) * r, slope = d[v] * scale.values[v];
        total += slope;
        product += slope * xhat;
        if constexpr (H > 0) {
          dbeta[k][v] += d[v];
          dgamma[k][v] += d[v] * xhat;
          d[v] = slope;
          a[v] = xhat;
        }
      }
    });
    total = center ? across<Sum>(total, group) / columns : 0.f;
    product = across<Sum>(product, group) / columns;
    line.packs([&](int, int c, float (&d)[V], float (&a)[V]) {
      Pack<T, V> result;
      Pack<float, V> scale = along(H ? nullptr : gamma, c, 1.f);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        float xhat = H ? a[v] : (a[v] - mean) * r;
        result.values[v] = element<T>(r * (d[v] * scale.values[v] - total - xhat * product));
      }
      store(dx + start + c, result);
    });
  }
  if constexpr (H > 0) {
    // Of all groups of the block the sums are joined in shared memory; a single group has them already.
    __shared__ float found[256 * (H ? H : 1) * V];
    int wide = group * H * V, lane = threadIdx.x % group, own = threadIdx.x / group * wide;
    float* to = parts + blockIdx.x * 2ll * columns;
#pragma unroll
    for (int which = 0; which < 2; ++which, to += columns) {
      if (each > 1) __syncthreads();
#pragma unroll
      for (int k = 0; k < H; ++k)
#pragma unroll
        for (int v = 0; v < V; ++v) {
          int c = (k * group + lane) * V + v;
          float value = which ? dgamma[k][v] : dbeta[k][v];
          if (each > 1) found[own + c] = value;
          else if (c < columns) to[c] = value;
        }
      if (each == 1) continue;
      up(each, wide, [&](int i, int j) { found[i] += found[j]; });
      for (int c = threadIdx.x; c < columns; c += blockDim.x) to[c] = found[c];
    }
  }
}

// parts (gridDim.x, 2, C): the sums of dy and of dy (x - mean) r, with mean and r of the row.
extern "C" __global__ void __launch_bounds__(256, 2)
layer_norm_sums(const T* __restrict__ dy, const T* __restrict__ x, const float* __restrict__ means, const float* __restrict__ inverses, float* __restrict__ parts, int rows, int columns) {
  __shared__ SharedSums found;
  Tile t = tile<V>(columns);
  sums<true>(dy, x, means, inverses, t, found, rows, columns);
  keep(found, parts, t, columns);
}
