// All steps of a recurrent layer in one launch: each block keeps its part of the recurrent kernel in shared memory.
//
// A block has `tiles` times `width` neighbouring units, with all their gates, of `pieces` times SIZE samples. Blocks of
// the same samples (blockIdx.y) form a group, meet at a barrier in every step, and exchange through global memory: the
// states forward, sums over their own gates backward. Exchanges have two places that take turns, so that a block may
// run ahead of those that still read. Groups know nothing of each other.
//
// The state of one tile and one piece has PAIRS units of samples, one for each thread. Pair p belongs to lane p % 32,
// which has unit lane % width, and is its sample p / 32 of ROWS: so lanes of a warp meet no bank of memory twice.
//
#include "grid_barrier.cuh"
#include "recurrent_cells.cuh"

constexpr int ROWS = USE_ROWS;  // samples of a lane
constexpr int PAIRS = 32 * ROWS;
constexpr int THREADS = 256, WARPS = THREADS / 32;
constexpr int SPACE = 4;    // behind each row of gradients in shared memory
constexpr int ACROSS = 2;   // neighbouring units of a lane in backward products

struct Tiling {
  int width;   // units of a tile: 8, 16 or 32
  int tiles;   // of a block
  int pieces;  // of samples
  int splits;  // backward: parts into which a block's sums over its gates are cut
};

__device__ __forceinline__ int warp() { return threadIdx.x / 32; }
__device__ __forceinline__ int lane() { return threadIdx.x % 32; }

struct Block {
  int size;          // samples of a piece
  int first_unit, own;
  int first_sample;
  int place;         // of this thread's pair among the samples of its piece
};

__device__ __forceinline__ Block this_block(const Tiling& tiling) {
  Block b;
  b.size = PAIRS / tiling.width;
  b.own = tiling.tiles * tiling.width;
  b.first_unit = blockIdx.x * b.own;
  b.first_sample = blockIdx.y * tiling.pieces * b.size;
  b.place = lane() / tiling.width * ROWS + warp();
  return b;
}

// One unit of one sample.
struct Pair {
  int n, u;
  bool known;   // the thread has one, with a unit of the layer
  bool inside;  // and a sample of the batch
};

__device__ __forceinline__ Pair pair(const Sequence& s, const Tiling& tiling, const Block& b, int piece, int tile) {
  Pair p;
  p.n = b.first_sample + piece * b.size + b.place;
  p.u = b.first_unit + tile * tiling.width + lane() % tiling.width;
  p.known = threadIdx.x < PAIRS && p.u < s.units;
  p.inside = p.known && p.n < s.batch;
  return p;
}

// ---- forward ----------------------------------------------------------------------------------------
// Where the states of a piece lie in the exchange: (feeds, U, size).
__device__ __forceinline__ long long exchanged(const Sequence& s, const Tiling& tiling, const Block& b, int turn, int piece) {
  long long before = ((long long)turn * gridDim.y + blockIdx.y) * tiling.pieces + piece;
  return before * max(s.drops, 1) * s.units * b.size;
}

__device__ __forceinline__ void feed(
    const Sequence& s, const Block& b, const float* drop, float* exchange, const Pair& p, float h) {
  for (int f = 0; f < max(s.drops, 1); ++f) {
    float factor = drop && p.inside ? drop[((long long)f * s.batch + p.n) * s.units + p.u] : 1.f;
    __stcg(exchange + ((long long)f * s.units + p.u) * b.size + b.place, h * factor);
  }
}

// sums += products of states and weights over units start to stop. Each gate has states of its own, or all the first.
template <bool Each>
__device__ __forceinline__ void multiply(
    float (&sums)[GATES][ROWS], const float* weights, int row, int width, const float* states, int size, int feed,
    int start, int stop) {
  #pragma unroll 4
  for (int k = start; k < stop; ++k) {
    float h[ROWS];
    #pragma unroll
    for (int g = 0; g < GATES; ++g) {
      if (Each || g == 0)
        #pragma unroll
        for (int m = 0; m < ROWS; m += 4) {
          Pack<float, 4> found = load<4>(states + (Each ? g * feed : 0) + k * size + m);
          for (int j = 0; j < 4; ++j) h[m + j] = found.values[j];
        }
      float w = weights[k * row + g * width];
      #pragma unroll
      for (int m = 0; m < ROWS; ++m) sums[g][m] += w * h[m];
    }
  }
}

// Shared memory: weights (U, tiles, G, width), states (feeds, U, size), sums (WARPS, G, PAIRS).
extern "C" __global__ void __launch_bounds__(256, 1)
recurrent_persistent_forward(
    float* gates, const float* bias, const bool* mask, const bool* blank, const float* drop, float* h, float* c,
    float* y, float* before, float* second, const float* recurrent, float* exchange, unsigned int* counters,
    Sequence s, Tiling tiling) {
  extern __shared__ __align__(16) float memory[];
  Block b = this_block(tiling);
  Forward a = {gates, bias, mask, blank, h, c, y, before, second};
  int width = tiling.width, row = GATES * b.own, piece_of_states = max(s.drops, 1) * s.units * b.size;
  float* weights = memory;
  float* states = weights + s.units * row;
  float* parts = states + piece_of_states;
  unsigned int* counter = counters + blockIdx.y;

  for (int i = threadIdx.x; i < s.units * row; i += THREADS) {
    int k = i / row, column = i % row;
    int g = column / width % GATES, u = b.first_unit + column / (width * GATES) * width + column % width;
    weights[i] = u < s.units ? recurrent[(k * GATES + g) * s.units + u] : 0.f;
  }
  for (int piece = 0; piece < tiling.pieces; ++piece)
    for (int tile = 0; tile < tiling.tiles; ++tile) {
      Pair p = pair(s, tiling, b, piece, tile);
      float state = p.inside ? h[(long long)p.n * s.units + p.u] : 0.f;
      if (p.known) feed(s, b, drop, exchange + exchanged(s, tiling, b, 0, piece), p, state);
    }
  arrive(counter);

  int share = (s.units + WARPS - 1) / WARPS;  // of the sums, for each warp
  int start = min(warp() * share, s.units), stop = min(start + share, s.units);
  for (int t = 0; t < s.steps; ++t) {
    for (int piece = 0; piece < tiling.pieces; ++piece)
      for (int tile = 0; tile < tiling.tiles; ++tile) {
        Pair p = pair(s, tiling, b, piece, tile);
        Entry e;
        if (p.inside) e = enter(s, a, p.n, p.u, t);  // on its way while others are waited for
        if (tile == 0) {
          if (piece == 0) await(counter, (t + 1) * gridDim.x);
          const float* found = exchange + exchanged(s, tiling, b, t % 2, piece);
          for (int i = threadIdx.x; i < piece_of_states / 4; i += THREADS)
            reinterpret_cast<float4*>(states)[i] = __ldcg(reinterpret_cast<const float4*>(found) + i);
          __syncthreads();
        }
        float sums[GATES][ROWS];
        for (int g = 0; g < GATES; ++g)
          for (int m = 0; m < ROWS; ++m) sums[g][m] = 0.f;
        const float* own_weights = weights + tile * GATES * width + lane() % width;
        const float* own_states = states + lane() / width * ROWS;
        if (s.drops > 1) multiply<true>(sums, own_weights, row, width, own_states, b.size, s.units * b.size, start, stop);
        else multiply<false>(sums, own_weights, row, width, own_states, b.size, 0, start, stop);
        for (int g = 0; g < GATES; ++g)
          for (int m = 0; m < ROWS; ++m) parts[(warp() * GATES + g) * PAIRS + m * 32 + lane()] = sums[g][m];
        __syncthreads();
        float state = 0.f;
        if (p.inside) {
          float products[GATES];
          for (int g = 0; g < GATES; ++g) {
            products[g] = 0.f;
            for (int w = 0; w < WARPS; ++w) products[g] += parts[(w * GATES + g) * PAIRS + threadIdx.x];
          }
          state = advance(s, a, p.n, p.u, t, e, products);
        }
        if (p.known && t + 1 < s.steps) feed(s, b, drop, exchange + exchanged(s, tiling, b, (t + 1) % 2, piece), p, state);
        __syncthreads();
      }
    if (t + 1 < s.steps) arrive(counter);
  }
}

// ---- backward ---------------------------------------------------------------------------------------
// Where the exchange has the summands of one tile of a group and one piece: (blocks and splits, PAIRS).
__device__ __forceinline__ long long summands(const Tiling& tiling, int turn, int piece, int tile) {
  long long before = ((long long)turn * gridDim.y + blockIdx.y) * tiling.pieces + piece;
  return (before * gridDim.x * tiling.tiles + tile) * gridDim.x * tiling.splits * PAIRS;
}

// sums += products of gradients and weights over the gates start to stop of this block.
__device__ __forceinline__ void multiply_back(
    float (&sums)[ROWS][ACROSS], const float* weights, int row, const float* slopes, int size, int start, int stop) {
  #pragma unroll 4
  for (int k = start; k < stop; ++k) {
    Pack<float, ACROSS> w = load<ACROSS>(weights + k * row);
    #pragma unroll
    for (int m = 0; m < ROWS; m += 4) {
      Pack<float, 4> dz = load<4>(slopes + k * size + m);
      #pragma unroll
      for (int j = 0; j < 4; ++j)
        for (int i = 0; i < ACROSS; ++i) sums[m + j][i] += dz.values[j] * w.values[i];
    }
  }
}

// One warp's part of the products of a piece: write summands for ACROSS units and ROWS samples of each lane.
__device__ __forceinline__ void summand(
    const Sequence& s, const Tiling& tiling, const Block& b, const float* weights, const float* slopes,
    const float* drop, float* exchange, int turn, int piece, int task) {
  int row = (s.units + ACROSS - 1) / ACROSS * ACROSS, chunks = 32 / tiling.width;
  int split = task % tiling.splits, chunk = task / tiling.splits % chunks;
  int u = (task / tiling.splits / chunks * 32 + lane()) * ACROSS;
  if (u >= s.units) return;
  int columns = GATES * b.own, share = (columns + tiling.splits - 1) / tiling.splits;
  int start = split * share, stop = min(start + share, columns);
  slopes += chunk * ROWS;
  float sums[ROWS][ACROSS];
  for (int m = 0; m < ROWS; ++m)
    for (int i = 0; i < ACROSS; ++i) sums[m][i] = 0.f;
  if (s.drops <= 1) {
    multiply_back(sums, weights + u, row, slopes, b.size + SPACE, start, stop);
  } else {
    for (int g = 0; g < GATES; ++g) {
      float of_gate[ROWS][ACROSS];
      for (int m = 0; m < ROWS; ++m)
        for (int i = 0; i < ACROSS; ++i) of_gate[m][i] = 0.f;
      multiply_back(of_gate, weights + u, row, slopes, b.size + SPACE, max(start, g * b.own), min(stop, (g + 1) * b.own));
      int n = b.first_sample + piece * b.size + chunk * ROWS;
      for (int m = 0; m < ROWS; ++m)
        for (int i = 0; i < ACROSS; ++i)
          if (n + m < s.batch && u + i < s.units)
            sums[m][i] += of_gate[m][i] * drop[((long long)g * s.batch + n + m) * s.units + u + i];
    }
  }
  float* target = exchange + summands(tiling, turn, piece, u / tiling.width)
      + (blockIdx.x * tiling.splits + split) * PAIRS + chunk * tiling.width + u % tiling.width;
  for (int m = 0; m < ROWS; ++m) {
    Pack<float, ACROSS> found;
    for (int i = 0; i < ACROSS; ++i) found.values[i] = sums[m][i];
    store(target + m * 32, found);
  }
}

// Shared memory: weights (G, units of the block, U rounded up), gradients (G, units of the block, size + SPACE).
// Steps end before the first, or with it where nobody asks for the gradient of the first state.
extern "C" __global__ void __launch_bounds__(256, 1)
recurrent_persistent_backward(
    const float* gates, const float* before, const float* second, const bool* mask, const bool* blank,
    const float* drop, const float* dy, float* dh, float* dc, float* dsums, float* dinner, const float* recurrent,
    float* exchange, unsigned int* counters, Sequence s, Tiling tiling, int want_first) {
  extern __shared__ __align__(16) float memory[];
  Block b = this_block(tiling);
  Backward a = {gates, before, second, mask, blank, dy, dh, dc, dsums, dinner};
  int row = (s.units + ACROSS - 1) / ACROSS * ACROSS, columns = GATES * b.own;
  float* weights = memory;
  float* slopes = weights + columns * row;
  unsigned int* counter = counters + blockIdx.y;

  for (int i = threadIdx.x; i < columns * row; i += THREADS) {
    int column = i % columns, k = i / columns;
    int g = column / b.own, u = b.first_unit + column % b.own;
    weights[column * row + k] = u < s.units && k < s.units ? recurrent[(k * GATES + g) * s.units + u] : 0.f;
  }
  int tasks = (row / ACROSS + 31) / 32 * (32 / tiling.width) * tiling.splits;
  int count = gridDim.x * tiling.splits;
  for (int t = s.steps - 1; t >= -1; --t) {
    int turn = (t + 1) % 2;
    for (int piece = 0; piece < tiling.pieces; ++piece) {
      for (int tile = 0; tile < tiling.tiles; ++tile) {
        Pair p = pair(s, tiling, b, piece, tile);
        Kept k;
        if (p.inside && t >= 0) k = recall(s, a, p.n, p.u, t);
        if (piece == 0 && tile == 0 && t + 1 < s.steps) await(counter, (s.steps - 1 - t) * gridDim.x);
        float through = 0.f, dz[GATES];
        for (int g = 0; g < GATES; ++g) dz[g] = 0.f;
        if (p.inside) {
          const float* found = exchange + summands(tiling, turn, piece, blockIdx.x * tiling.tiles + tile) + threadIdx.x;
          if (t + 1 < s.steps)
            #pragma unroll 8
            for (int i = 0; i < count; ++i) through += __ldcg(found + i * PAIRS);
          long long at = (long long)p.n * s.units + p.u;
          if (s.drops == 1) through *= drop[at];
          if (t >= 0) retreat(s, a, p.n, p.u, t, k, through, dz);
          else dh[at] += through;
        }
        if (threadIdx.x < PAIRS)
          for (int g = 0; g < GATES; ++g)
            slopes[(g * b.own + tile * tiling.width + lane() % tiling.width) * (b.size + SPACE) + b.place] = dz[g];
      }
      if (t < 0 || (t == 0 && !want_first)) continue;
      __syncthreads();
      for (int task = warp(); task < tasks; task += WARPS)
        summand(s, tiling, b, weights, slopes, drop, exchange, (turn + 1) % 2, piece, task);
      __syncthreads();
    }
    if (t == 0 && !want_first) break;
    if (t >= 0) arrive(counter);
  }
}
