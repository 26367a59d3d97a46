// Sums of rows that have equal numbers, always added in the same order: numbers are sorted first. And means of
// rows gathered.
//
// The sort goes from the lowest digit of eight bits to the highest, and leaves equal digits in their order. A
// block treats TILE neighbouring numbers: it counts its digits, one block finds from all counts where each digit
// of each block begins, then the numbers are written there.
//
#include "elementwise.cuh"

typedef USE_T T;
constexpr int DIGITS = 256;  // as many as threads
constexpr int TILE = 4096;
constexpr int CHUNK = 32;  // sorted numbers that one thread goes through

// keys: the numbers, those of no row as ``rows``; places: 0, 1, 2, ...
extern "C" __global__ void __launch_bounds__(256, 4)
number_keys(
    const int* __restrict__ narrow, const long long* __restrict__ wide, unsigned int* __restrict__ keys,
    unsigned int* __restrict__ places, int n, long long rows, int wrap) {
  for (int i = first(); i < n; i += stride()) {
    long long at = narrow ? narrow[i] : wide[i];
    if (wrap && at < 0) at += rows;
    keys[i] = (unsigned int)(at < 0 || at > rows ? rows : at);
    places[i] = i;
  }
}

__device__ __forceinline__ int digit(unsigned int key, int shift) { return key >> shift & (DIGITS - 1); }

// counts (DIGITS, blocks): how often each digit occurs in each block.
extern "C" __global__ void __launch_bounds__(256, 4)
digit_counts(const unsigned int* __restrict__ keys, int* __restrict__ counts, int n, int shift) {
  __shared__ int found[DIGITS];
  found[threadIdx.x] = 0;
  __syncthreads();
  int start = blockIdx.x * TILE, stop = min(n - start, TILE);
  for (int i = threadIdx.x; i < stop; i += DIGITS) atomicAdd(&found[digit(keys[start + i], shift)], 1);
  __syncthreads();
  counts[threadIdx.x * gridDim.x + blockIdx.x] = found[threadIdx.x];
}

// counts become where they begin: the sum of all before them. One block of 1024 threads.
extern "C" __global__ void __launch_bounds__(1024, 1)
digit_starts(int* __restrict__ counts, int n) {
  __shared__ int of_warps[32];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int before = 0;  // of the rounds so far
  for (int start = 0; start < n; start += 4096) {
    int at = start + threadIdx.x * 4;
    int own[4], sum = 0;
    for (int k = 0; k < 4; ++k) {
      own[k] = at + k < n ? counts[at + k] : 0;
      sum += own[k];
    }
    int upto = sum;
    for (int lanes = 1; lanes < 32; lanes *= 2) {
      int other = __shfl_up_sync(0xffffffffu, upto, lanes);
      if (lane >= lanes) upto += other;
    }
    __syncthreads();  // the last round has read
    if (lane == 31) of_warps[warp] = upto;
    __syncthreads();
    int earlier = before + upto - sum;
    for (int w = 0; w < 32; ++w) {
      int other = of_warps[w];
      if (w < warp) earlier += other;
      before += other;
    }
    for (int k = 0; k < 4; ++k) {
      if (at + k < n) counts[at + k] = earlier;
      earlier += own[k];
    }
  }
}

// Write every key and its place to where its digit begins for this block, equal digits one behind the other.
extern "C" __global__ void __launch_bounds__(256, 4)
sort_digit(
    const unsigned int* __restrict__ keys, const unsigned int* __restrict__ places, const int* __restrict__ starts,
    unsigned int* __restrict__ sorted_keys, unsigned int* __restrict__ sorted_places, int n, int shift) {
  __shared__ int next[DIGITS];
  __shared__ int begins[8][DIGITS];  // of a digit of a warp in this round
  int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  next[thread] = starts[thread * gridDim.x + blockIdx.x];
  int start = blockIdx.x * TILE, stop = min(n, start + TILE);
  for (int round = start; round < stop; round += DIGITS) {
    for (int w = 0; w < 8; ++w) begins[w][thread] = 0;
    __syncthreads();
    int i = round + thread;
    bool inside = i < stop;
    unsigned int key = inside ? keys[i] : 0;
    int own = digit(key, shift);
    unsigned int equals = __ballot_sync(0xffffffffu, inside);  // lanes with the same digit
    for (int bit = 0; bit < 8; ++bit) {
      unsigned int set = __ballot_sync(0xffffffffu, own >> bit & 1);
      equals &= own >> bit & 1 ? set : ~set;
    }
    int before = __popc(equals & ((1u << lane) - 1));
    if (inside && !before) begins[warp][own] = __popc(equals);
    __syncthreads();
    int at = next[thread];
    for (int w = 0; w < 8; ++w) {
      int count = begins[w][thread];
      begins[w][thread] = at;
      at += count;
    }
    next[thread] = at;
    __syncthreads();
    if (inside) {
      int target = begins[warp][own] + before;
      sorted_keys[target] = key;
      sorted_places[target] = places[i];
    }
    __syncthreads();
  }
}

// y (samples, width): the means of the rows whose numbers (samples, time) are given and good.
extern "C" __global__ void __launch_bounds__(128, 4)
mean_rows(
    const T* __restrict__ table, const int* __restrict__ narrow, const long long* __restrict__ wide, T* __restrict__ y,
    int samples, int time, int width, int packed) {
  auto body = [=](auto pack) {
    constexpr int W = decltype(pack)::value;
    int c = column() * W;
    if (row() >= samples || c >= width) return;
    Pack<float, W> sum = {};
    for (int t = 0; t < time; ++t) {
      long long i = (long long)row() * time + t;
      Pack<T, W> found = load<W>(table + (narrow ? narrow[i] : wide[i]) * (long long)width + c);
      for (int k = 0; k < W; ++k) sum.values[k] += number(found.values[k]);
    }
    Pack<T, W> result;
    for (int k = 0; k < W; ++k) result.values[k] = element<T>(sum.values[k] / time);
    store(y + (long long)row() * width + c, result);
  };
  if (packed) body(Width<4>());
  else body(Width<1>());
}

// ---- sums over equal numbers, once they lie side by side --------------------------------------------------
// A chunk may begin and end within equal numbers; their sums are kept apart and joined by ``join_chunks``.
struct Chunk {
  int start, stop;
  bool goes_on;  // its last number goes on in the next chunk
};

__device__ __forceinline__ Chunk chunk_at(const unsigned int* keys, int number_of, int n) {
  int start = number_of * CHUNK, stop = min(start + CHUNK, n);
  return {start, stop, stop < n && keys[stop] == keys[stop - 1]};
}

// total: of every number (rows of ``width``) whose rows lie in one chunk. heads: of those that have begun in an
// earlier chunk; tails: of those that begin here and go on. ``repeats``: so many neighbouring numbers share one
// row of dy. ``add``: to what is in total.
extern "C" __global__ void __launch_bounds__(128, 4)
sum_chunks(
    const T* __restrict__ dy, const unsigned int* __restrict__ keys, const unsigned int* __restrict__ places,
    T* __restrict__ total, float* __restrict__ heads, float* __restrict__ tails, int n, int width, unsigned int rows,
    int repeats, int add, int packed) {
  auto body = [=](auto pack) {
    constexpr int W = decltype(pack)::value;
    int c = column() * W;
    if (row() * CHUNK >= n || c >= width) return;
    Chunk chunk = chunk_at(keys, row(), n);
    bool begun = chunk.start && keys[chunk.start - 1] == keys[chunk.start];
    Pack<float, W> sum = {};
    for (int i = chunk.start; i < chunk.stop; ++i) {
      unsigned int key = keys[i];
      Pack<T, W> found = load<W>(dy + (long long)(places[i] / repeats) * width + c);
      for (int k = 0; k < W; ++k) sum.values[k] += number(found.values[k]);
      bool last = i + 1 == chunk.stop;
      if (!last && keys[i + 1] == key) continue;
      if (begun) {
        store(heads + (long long)row() * width + c, sum);
      } else if (last && chunk.goes_on) {
        store(tails + (long long)row() * width + c, sum);
      } else if (key < rows) {
        T* target = total + (long long)key * width + c;
        Pack<T, W> result;
        if (add) result = load<W>(target);
        for (int k = 0; k < W; ++k)
          result.values[k] = element<T>(add ? number(result.values[k]) + sum.values[k] : sum.values[k]);
        store(target, result);
      }
      begun = false;
      sum = {};
    }
  };
  if (packed) body(Width<4>());
  else body(Width<1>());
}

// total: of every number that goes on over chunks, by the chunk where it begins.
extern "C" __global__ void __launch_bounds__(128, 4)
join_chunks(
    const unsigned int* __restrict__ keys, const float* __restrict__ heads, const float* __restrict__ tails,
    T* __restrict__ total, int n, int width, unsigned int rows, int add) {
  int c = column();
  if (row() * CHUNK >= n || c >= width) return;
  Chunk chunk = chunk_at(keys, row(), n);
  if (!chunk.goes_on) return;
  unsigned int key = keys[chunk.stop - 1];
  bool begun = chunk.start && keys[chunk.start - 1] == key;
  if (begun || key >= rows) return;
  float sum = tails[(long long)row() * width + c];
  int at = row();
  do {
    chunk = chunk_at(keys, ++at, n);
    sum += heads[(long long)at * width + c];
  } while (chunk.goes_on && keys[chunk.stop - 1] == key);
  T* target = total + (long long)key * width + c;
  *target = element<T>(add ? number(*target) + sum : sum);
}
