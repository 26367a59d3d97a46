// Random numbers by Philox 4x32-10 (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011,
// doi:10.1145/2063384.2063405): a counter, encrypted with a key, gives four words of 32 bits.
//
// state holds the key, the number of the next draw, and how many blocks of a draw have finished. The counter is
// (number of the draw, place in it), so draws never share words. The last block to finish counts the draw: a
// recorded launch takes fresh numbers whenever it is repeated.
//
#include "elementwise.cuh"

typedef USE_T T;
typedef unsigned int Word;
constexpr int LANES = 8;  // elements decided by one counter, 16 bits each

struct Words {
  Word values[4];
};

__device__ __forceinline__ Words philox(unsigned long long key, unsigned long long draw, unsigned long long place) {
  Word c0 = (Word)place, c1 = (Word)(place >> 32), c2 = (Word)draw, c3 = (Word)(draw >> 32);
  Word k0 = (Word)key, k1 = (Word)(key >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    unsigned long long first = 0xD2511F53ull * c0, second = 0xCD9E8D57ull * c2;
    c0 = (Word)(second >> 32) ^ c1 ^ k0;
    c1 = (Word)second;
    c2 = (Word)(first >> 32) ^ c3 ^ k1;
    c3 = (Word)first;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c0, c1, c2, c3};
}

struct Draw {
  unsigned long long key, number;
};

// Key and number of this draw; every thread must call it, and ``finish`` after.
__device__ __forceinline__ Draw begin(const unsigned long long* state) { return {state[0], state[1]}; }

__device__ __forceinline__ void finish(unsigned long long* state) {
  __syncthreads();  // all threads of this block have read the state
  if (threadIdx.x) return;
  __threadfence();
  if (atomicAdd(state + 2, 1ull) + 1 < gridDim.x) return;
  __threadfence();
  state[1] += 1;
  state[2] = 0;
}

// In (0, 1], and in [0, 1), of 24 bits.
__device__ __forceinline__ float above_zero(Word word) { return ((word >> 8) + 1) * 5.9604644775390625e-8f; }
__device__ __forceinline__ float below_one(Word word) { return (word >> 8) * 5.9604644775390625e-8f; }

// The words themselves, from the place ``start`` on; the draw is not counted.
extern "C" __global__ void __launch_bounds__(256, 4)
random_words(
    const unsigned long long* __restrict__ state, unsigned int* __restrict__ words, long long n,
    unsigned long long start) {
  Draw draw = begin(state);
  for (long long i = first(); i * 4 < n; i += stride()) {
    Words found = philox(draw.key, draw.number, start + i);
    for (int k = 0; k < 4; ++k)
      if (i * 4 + k < n) words[i * 4 + k] = found.values[k];
  }
}

// low + (high - low) u with u in [0, 1), never above ``most``.
extern "C" __global__ void __launch_bounds__(256, 4)
uniform(unsigned long long* state, T* __restrict__ y, long long n, int packed, float low, float range, float most) {
  Draw draw = begin(state);
  each<4>(n, packed, [=](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Words words = philox(draw.key, draw.number, i / 4);
    Pack<T, W> result;
    for (int k = 0; k < W; ++k) {
      Word word = W == 4 ? words.values[k] : i % 4 < 2 ? words.values[i % 2] : words.values[2 + i % 2];
      result.values[k] = element<T>(smaller(low + range * below_one(word), most));
    }
    store(y + i, result);
  });
  finish(state);
}

// Normal draws by Box and Muller: two words make two of them.
extern "C" __global__ void __launch_bounds__(256, 4)
normal(unsigned long long* state, T* __restrict__ y, long long n, int packed, float average, float deviation) {
  Draw draw = begin(state);
  auto pair = [=](Word one, Word two, float* results) {
    float length = deviation * sqrtf(-2.f * logf(above_zero(one))), turn = 2.f * below_one(two);
    results[0] = average + length * cospif(turn);
    results[1] = average + length * sinpif(turn);
  };
  each<4>(n, packed, [=](auto width, long long i) {
    constexpr int W = decltype(width)::value;
    Words words = philox(draw.key, draw.number, i / 4);
    Pack<T, W> result;
    float found[2];
    for (int k = 0; k < W; k += 2) {
      bool second = W == 1 ? i % 4 >= 2 : k == 2;
      pair(words.values[second ? 2 : 0], words.values[second ? 3 : 1], found);
      result.values[k] = element<T>(W == 1 && i % 2 ? found[1] : found[0]);
      if (W > 1) result.values[(k + 1) % W] = element<T>(found[1]);
    }
    store(y + i, result);
  });
  finish(state);
}

// ---- dropout ----------------------------------------------------------------------------------------------
// A counter decides LANES elements: V neighbours, and V more a warp's packs further on, so that the lanes of a
// warp, whose counters follow each other, always load and store side by side.
constexpr int V = 4;
constexpr int GROUP = 32 * LANES;  // elements of a warp

// Call body(Width, first element, bits) for all n elements; a set bit: its element stays.
template <typename Body>
__device__ __forceinline__ void each_kept(Draw draw, long long n, int packed, Word threshold, Body body) {
  long long counters = (n + GROUP - 1) / GROUP * 32;
  for (long long i = first(); i < counters; i += stride()) {
    Words words = philox(draw.key, draw.number, i);
    Word bits = 0;
#pragma unroll
    for (int k = 0; k < LANES; ++k) bits |= (Word)((words.values[k / 2] >> k % 2 * 16 & 0xffffu) >= threshold) << k;
    long long at = i / 32 * GROUP + i % 32 * V;
#pragma unroll
    for (int part = 0; part < LANES / V; ++part, at += 32 * V, bits >>= V) {
      if (packed && at + V <= n) {
        body(Width<V>(), at, bits);
      } else {
        for (int k = 0; k < V && at + k < n; ++k) body(Width<1>(), at + k, bits >> k);
      }
    }
  }
}

// y: scale where an element stays, else 0.
extern "C" __global__ void __launch_bounds__(256, 4)
dropout_factor(
    unsigned long long* state, T* __restrict__ y, long long n, int packed, unsigned int threshold, float scale) {
  Draw draw = begin(state);
  each_kept(draw, n, packed, threshold, [=](auto width, long long i, Word bits) {
    constexpr int W = decltype(width)::value;
    Pack<T, W> result;
    for (int k = 0; k < W; ++k) result.values[k] = element<T>(bits >> k & 1 ? scale : 0.f);
    store(y + i, result);
  });
  finish(state);
}

// y = x * scale where an element stays, else 0; drawn: key and number of the draw, for the backward pass.
extern "C" __global__ void __launch_bounds__(256, 4)
dropout_forward(
    unsigned long long* state, unsigned long long* __restrict__ drawn, const T* x, T* y, long long n, int packed,
    unsigned int threshold, float scale) {
  Draw draw = begin(state);
  if (!blockIdx.x && !threadIdx.x) {
    drawn[0] = draw.key;
    drawn[1] = draw.number;
  }
  each_kept(draw, n, packed, threshold, [=](auto width, long long i, Word bits) {
    constexpr int W = decltype(width)::value;
    Pack<T, W> v = load<W>(x + i);
    for (int k = 0; k < W; ++k) v.values[k] = element<T>(bits >> k & 1 ? number(v.values[k]) * scale : 0.f);
    store(y + i, v);
  });
  finish(state);
}

// The same elements as in the forward pass, drawn again instead of kept.
extern "C" __global__ void __launch_bounds__(256, 4)
dropout_backward(
    const unsigned long long* __restrict__ drawn, const T* dy, T* dx, long long n, int packed, unsigned int threshold,
    float scale) {
  Draw draw = begin(drawn);
  each_kept(draw, n, packed, threshold, [=](auto width, long long i, Word bits) {
    constexpr int W = decltype(width)::value;
    Pack<T, W> v = load<W>(dy + i);
    for (int k = 0; k < W; ++k) v.values[k] = element<T>(bits >> k & 1 ? number(v.values[k]) * scale : 0.f);
    store(dx + i, v);
  });
}
