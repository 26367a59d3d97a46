// A part of a matrix in shared memory, for products: Rows x Depth elements, where Depth runs along the sum.
//
// A matrix lies in memory either along the sum (AlongDepth) or along its rows. Copies are asynchronous; each thread
// may change what it has copied itself (``scale``) once it has waited for it, before others see it.
//
// In shared memory a tile for tensor cores lies as in memory, so that fragments are read without bank conflicts: lines
// along its rows are apart, in lines along the sum the chunks of 16 bytes change places from line to line. A tile for
// plain arithmetic always holds floats along its rows.
#include "common.cuh"
#include "mma.cuh"

// Activations that products fuse; slopes are told by the result.
enum Activation { linear, relu, tanh_, sigmoid };

__device__ __forceinline__ float activated(float x, int activation) {
  if (activation == relu) return x < 0.f ? 0.f : x;  // NaN stays
  if (activation == tanh_) return tanhf(x);
  if (activation == sigmoid) return 1.f / (1.f + expf(-x));
  return x;
}

__device__ __forceinline__ float scaled(float dy, float y, int activation) {
  if (activation == relu) return y > 0.f ? dy : 0.f;
  if (activation == tanh_) return dy * (1.f - y * y);
  return dy * (y * (1.f - y));
}

template <bool First, class A, class B>
struct Choice {
  typedef A type;
};
template <class A, class B>
struct Choice<false, A, B> {
  typedef B type;
};

// The matrix that a tile is copied from: its part from ``row`` on, with elements up to ``rows`` and, along the sum,
// up to ``depths``; ``line`` elements lie between two lines. ``wide``: 16 bytes may be copied at once.
template <typename T>
struct Source {
  const T* from;
  int row, rows, depths, line;
  bool wide;
};

template <typename T, int Rows, int Depth, bool AlongDepth, bool Tensor, int Threads>
struct Tile {
  typedef typename Choice<Tensor, T, float>::type Stored;
  static constexpr bool LinesOfDepth = Tensor && AlongDepth;
  static constexpr int Chunk = 16 / sizeof(T);  // elements that are copied at once
  static constexpr bool Chunked = LinesOfDepth == AlongDepth && sizeof(Stored) == sizeof(T);
  static constexpr int Pitch = !Tensor ? Rows + 4 : AlongDepth ? Depth : Rows + 8;
  static constexpr int Chunks = Depth / Chunk;  // of a line along the sum
  static constexpr int Size = (LinesOfDepth ? Rows : Depth) * Pitch;

  static __device__ __forceinline__ int place(int row, int depth) {
    if (!LinesOfDepth) return depth * Pitch + row;
    static_assert(!LinesOfDepth || Chunks == 4 || Chunks == 8, "lines of 64 or 128 bytes");
    constexpr int Lines = Chunks < 8 ? 8 / Chunks : 1;  // that lie in all banks together
    int chunk = depth / Chunk ^ row / Lines % Chunks;
    return row * Pitch + chunk * Chunk + depth % Chunk;
  }

  // Start copies of the part that begins at ``depth``; beyond the matrix there are zeros.
  static __device__ __forceinline__ void copy(Stored* tile, const Source<T>& s, int depth) {
    each(s.wide, [&](int row, int k, int count) {
      bool inside = s.row + row < s.rows && depth + k < s.depths;
      int line = AlongDepth ? s.row + row : depth + k, at = AlongDepth ? depth + k : s.row + row;
      const T* from = inside ? s.from + (long long)line * s.line + at : s.from;
      Stored* to = tile + place(row, k);
      if (count > 1) {
        int left = AlongDepth ? s.depths - depth - k : s.rows - s.row - row;
        copy_async<16>(to, from, inside ? min(left, Chunk) * (int)sizeof(T) : 0);
      } else {
        copy_one(to, from, inside);
      }
    });
  }

  // Multiply what this thread has copied by the slopes of an activation, of which ``results`` holds the results.
  static __device__ __forceinline__ void scale(Stored* tile, const Stored* results, bool wide, int activation) {
    each(wide, [&](int row, int k, int count) {
      int at = place(row, k);
      if (count > 1) {
        Pack<Stored, Chunk> v = load<Chunk>(tile + at), y = load<Chunk>(results + at);
        for (int i = 0; i < Chunk; ++i)
          v.values[i] = element<Stored>(scaled(number(v.values[i]), number(y.values[i]), activation));
        store(tile + at, v);
      } else {
        tile[at] = element<Stored>(scaled(number(tile[at]), number(results[at]), activation));
      }
    });
  }

 private:
  // Call body(row, depth, count) for the elements that belong to this thread.
  template <typename Body>
  static __device__ __forceinline__ void each(bool wide, Body body) {
    if (Chunked && wide) {
      constexpr int Line = (AlongDepth ? Depth : Rows) / Chunk, Count = Rows * Depth / Chunk;
#pragma unroll
      for (int start = 0; start < Count; start += Threads) {
        int i = start + threadIdx.x, along = i % Line * Chunk, across = i / Line;
        if (Count % Threads && i >= Count) break;
        body(AlongDepth ? across : along, AlongDepth ? along : across, Chunk);
      }
    } else {
      // Along memory, so that neighbours copy neighbours; where that turns the tile, eight by four, so that
      // their targets lie in different banks.
      constexpr int Line = !AlongDepth ? Rows : LinesOfDepth ? Depth : 8;
#pragma unroll (Chunked ? 1 : 4)
      for (int i = threadIdx.x; i < Rows * Depth; i += Threads) {
        int along = i % Line, across = i / Line;
        if (!AlongDepth) body(along, across, 1);
        else body(across % Rows, across / Rows * Line + along, 1);
      }
    }
  }

  static __device__ __forceinline__ void copy_one(float* to, const float* from, bool inside) {
    copy_async<4>(to, from, inside ? 4 : 0);
  }
  template <typename Half>
  static __device__ __forceinline__ void copy_one(float* to, const Half* from, bool inside) {
    *to = inside ? number(*from) : 0.f;
  }
  template <typename Half>
  static __device__ __forceinline__ void copy_one(Half* to, const Half* from, bool inside) {
    *to = inside ? *from : element<Half>(0.f);
  }
};
