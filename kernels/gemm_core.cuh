// What a block computes of a product with two tiles in shared memory: by plain arithmetic, or by tensor cores.
//
// The threads form Groups that split the tiles' depth and each sum up all Rows x Columns results, to be added later.
// A core has ``Steps`` parts of its sums; part i are PartRows rows (``row``) of all columns, written by ``put``.
#include "gemm_tile.cuh"

// Threads lie four down and eight across in a warp; each sums Height x Width results in packs of up to four.
template <int Rows, int Columns, int Depth, int Height, int Width, int Groups, class A, class B>
struct PlainCore {
  static constexpr int Down = Rows / Height, Across = Columns / Width, Threads = Down * Across * Groups;
  static constexpr int TallPack = Height < 4 ? Height : 4, WidePack = Width < 4 ? Width : 4;
  static constexpr int Steps = Height, PartRows = Down;

  int down, across, group;
  float sums[Height][Width];

  __device__ __forceinline__ PlainCore() {
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = Across / 8;
    group = warp / (Down * Across / 32);
    warp %= Down * Across / 32;
    across = warp % warps * 8 + lane % 8;
    down = warp / warps * 4 + lane / 8;
#pragma unroll
    for (int i = 0; i < Height; ++i)
#pragma unroll
      for (int j = 0; j < Width; ++j) sums[i][j] = 0.f;
  }

  __device__ __forceinline__ void add(const float* a, const float* b) {
#pragma unroll
    for (int i = 0; i < Depth / Groups; ++i) {
      int k = group * (Depth / Groups) + i;
      float left[Height], right[Width];
      read<TallPack, Down>(left, a + k * A::Pitch, down);
      read<WidePack, Across>(right, b + k * B::Pitch, across);
#pragma unroll
      for (int m = 0; m < Height; ++m)
#pragma unroll
        for (int n = 0; n < Width; ++n) sums[m][n] += left[m] * right[n];
    }
  }

  // Row of the tile that is row ``i`` of a part.
  static __device__ __forceinline__ int row(int part, int i) {
    return part / TallPack * (TallPack * Down) + i * TallPack + part % TallPack;
  }

  __device__ __forceinline__ void put(float* to, int pitch, int part) const {
#pragma unroll
    for (int m = 0; m < Height; ++m) {
      if (m != part) continue;
#pragma unroll
      for (int n = 0; n < Width; n += WidePack) {
        Pack<float, WidePack> v;
#pragma unroll
        for (int i = 0; i < WidePack; ++i) v.values[i] = sums[m][n + i];
        store(to + down * pitch + n * Across + across * WidePack, v);
      }
    }
  }

 private:
  template <int Count, int Distance, int Length>
  static __device__ __forceinline__ void read(float (&to)[Length], const float* line, int place) {
#pragma unroll
    for (int start = 0; start < Length; start += Count) {
      Pack<float, Count> v = load<Count>(line + start * Distance + place * Count);
#pragma unroll
      for (int i = 0; i < Count; ++i) to[start + i] = v.values[i];
    }
  }
};

// Each warp sums Height x Width results, in fragments of 16 x 8 (mma.cuh).
template <typename T, int Rows, int Columns, int Depth, int Height, int Width, int Groups, class A, class B,
          bool ADepth, bool BDepth>
struct TensorCore {
  static constexpr int Down = Rows / Height, Across = Columns / Width, Threads = Down * Across * Groups * 32;
  static constexpr int K = 32 / sizeof(T);  // of one instruction
  static constexpr int Steps = Height / 16, PartRows = Down * 16;
  static constexpr bool Half = sizeof(T) == 2;

  int down, across, group, lane;
  float sums[Height / 16][Width / 8][4];

  __device__ __forceinline__ TensorCore() {
    int warp = threadIdx.x / 32;
    lane = threadIdx.x % 32;
    group = warp / (Down * Across);
    across = warp % Across;
    down = warp / Across % Down;
#pragma unroll
    for (int i = 0; i < Height / 16; ++i)
#pragma unroll
      for (int j = 0; j < Width / 8; ++j)
#pragma unroll
        for (int k = 0; k < 4; ++k) sums[i][j][k] = 0.f;
  }

  __device__ __forceinline__ void add(const T* a, const T* b) {
#pragma unroll
    for (int step = 0; step < Depth / Groups / K; ++step) {
      int k = group * (Depth / Groups) + step * K;
      unsigned left[Height / 16][4];
#pragma unroll
      for (int i = 0; i < Height / 16; ++i) read_left(left[i], a, down * Height + i * 16, k);
#pragma unroll
      for (int j = 0; j < Width / 8; j += 2) {
        unsigned right[4];
        read_right(right, b, across * Width + j * 8, k);
#pragma unroll
        for (int i = 0; i < Height / 16; ++i) {
          multiply_as<T>(sums[i][j], left[i], {right[0], right[1]});
          multiply_as<T>(sums[i][j + 1], left[i], {right[2], right[3]});
        }
      }
    }
  }

  static __device__ __forceinline__ int row(int part, int i) { return i / 16 * Height + part * 16 + i % 16; }

  __device__ __forceinline__ void put(float* to, int pitch, int part) const {
    float* mine = to + (down * 16 + lane / 4) * pitch + across * Width + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < Height / 16; ++i) {
      if (i != part) continue;
#pragma unroll
      for (int j = 0; j < Width / 8; ++j)
#pragma unroll
        for (int low = 0; low < 2; ++low)
          store(mine + low * 8 * pitch + j * 8, Pack<float, 2>{{sums[i][j][2 * low], sums[i][j][2 * low + 1]}});
    }
  }

 private:
  // Rows r to r + 15 of A, depths k to k + K - 1.
  __device__ __forceinline__ void read_left(unsigned (&to)[4], const T* a, int r, int k) const {
    if (ADepth) {
      load_matrices(to, a + A::place(r + lane % 16, k + lane / 16 * (K / 2)));
    } else if (Half) {
      load_matrices_turned(to, a + A::place(r + lane / 8 % 2 * 8, k + lane / 16 * 8 + lane % 8));
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) to[i] = bits(a[A::place(r + i % 2 * 8 + lane / 4, k + i / 2 * 4 + lane % 4)]);
    }
    round(to);
  }

  // Two fragments of B: columns c to c + 7 and c + 8 to c + 15.
  __device__ __forceinline__ void read_right(unsigned (&to)[4], const T* b, int c, int k) const {
    if (BDepth) {
      load_matrices(to, b + B::place(c + lane / 16 * 8 + lane % 8, k + lane / 8 % 2 * (K / 2)));
    } else if (Half) {
      load_matrices_turned(to, b + B::place(c + lane / 16 * 8, k + lane / 8 % 2 * 8 + lane % 8));
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) to[i] = bits(b[B::place(c + i / 2 * 8 + lane / 4, k + i % 2 * 4 + lane % 4)]);
    }
    round(to);
  }

  static __device__ __forceinline__ unsigned bits(float x) { return __float_as_uint(x); }
  template <typename Halves>
  static __device__ __forceinline__ unsigned bits(Halves) { return 0; }  // never asked for

  static __device__ __forceinline__ void round(unsigned (&values)[4]) {
    if (!Half) {
#pragma unroll
      for (int i = 0; i < 4; ++i) values[i] = to_tf32(__uint_as_float(values[i]));
    }
  }
};
