// Right kernels of the kinds that the product has, for test_demos.py.
#include <cuda_fp16.h>
#include <cuda_bf16.h>

constexpr int TILE = 16;

// c (M, N) = a (M, K) b (K, N)
extern "C" __global__ void __launch_bounds__(TILE * TILE)
gemm_tiled(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int M, int N, int K) {
  __shared__ float tile_a[TILE][TILE + 1], tile_b[TILE][TILE];
  const int x = threadIdx.x, y = threadIdx.y, row = blockIdx.y * TILE + y, column = blockIdx.x * TILE + x;
  float sum = 0.f;
  for (int start = 0; start < K; start += TILE) {
    tile_a[y][x] = row < M && start + x < K ? a[row * K + start + x] : 0.f;
    tile_b[y][x] = start + y < K && column < N ? b[(start + y) * N + column] : 0.f;
    __syncthreads();
    for (int k = 0; k < TILE; k++) sum = fmaf(tile_a[y][k], tile_b[k][x], sum);
    __syncthreads();
  }
  if (row < M && column < N) c[row * N + column] = sum;
}

__device__ __forceinline__ float sum_of_warp(float v) {
  for (int step = 16; step > 0; step /= 2) v += __shfl_down_sync(0xffffffffu, v, step);
  return v;
}

// One sum a block.
extern "C" __global__ void sum_of_blocks(const float* __restrict__ x, float* __restrict__ sums, int n) {
  extern __shared__ float parts[];
  float v = 0.f;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) v += x[i];
  v = sum_of_warp(v);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (lane == 0) parts[warp] = v;
  __syncthreads();
  if (warp == 0) {
    v = sum_of_warp(lane < blockDim.x / 32 ? parts[lane] : 0.f);
    if (lane == 0) sums[blockIdx.x] = v;
  }
}

// ---- tensor cores: d (16, 8) += a (16, 16) b (16, 8), as registers of a warp lie -------------------
__device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef EMULATED
  struct Packet { float* d; const unsigned *a, *b; } mine = {d, a, b};
  emulated_collective("mma.m16n8k16", mine, [](Packet* (&lanes)[32]) {
    float A[16][16], B[16][8], D[16][8];
    auto halves = [](unsigned word, float& low, float& high) {
      low = __ushort_as_bfloat16(word & 0xffff);
      high = __ushort_as_bfloat16(word >> 16);
    };
    for (int lane = 0; lane < 32; lane++) {
      const int group = lane / 4, pair = lane % 4 * 2;
      for (int r = 0; r < 4; r++) {
        const int row = group + r % 2 * 8, column = pair + r / 2 * 8;
        halves(lanes[lane]->a[r], A[row][column], A[row][column + 1]);
        D[group + r / 2 * 8][pair + r % 2] = lanes[lane]->d[r];
      }
      for (int r = 0; r < 2; r++) halves(lanes[lane]->b[r], B[pair + r * 8][group], B[pair + r * 8 + 1][group]);
    }
    for (int i = 0; i < 16; i++)
      for (int k = 0; k < 16; k++)
        for (int j = 0; j < 8; j++) D[i][j] += A[i][k] * B[k][j];
    for (int lane = 0; lane < 32; lane++)
      for (int r = 0; r < 4; r++) lanes[lane]->d[r] = D[lane / 4 + r / 2 * 8][lane % 4 * 2 + r % 2];
  });
#else
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// c (16, 8) = a (16, K) b (8, K) transposed
extern "C" __global__ void gemm_bfloat16(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c, int K) {
  const int group = threadIdx.x / 4, pair = threadIdx.x % 4 * 2;
  float d[4] = {0, 0, 0, 0};
  for (int k = 0; k < K; k += 16) {
    unsigned ra[4], rb[2];
    for (int r = 0; r < 4; r++)
      ra[r] = *reinterpret_cast<const unsigned*>(&a[(group + r % 2 * 8) * K + k + pair + r / 2 * 8]);
    for (int r = 0; r < 2; r++) rb[r] = *reinterpret_cast<const unsigned*>(&b[group * K + k + pair + r * 8]);
    multiply(d, ra, rb);
  }
  for (int r = 0; r < 4; r++) c[(group + r / 2 * 8) * 8 + pair + r % 2] = d[r];
}

// What lanes bring, seen by all: y[lane] = x[31 - lane].
extern "C" __global__ void reversed(const float* x, float* y) {
#ifdef EMULATED
  float all[32];
  emulated_lanes("reverse", x[threadIdx.x], all);
  y[threadIdx.x] = all[31 - threadIdx.x];
#endif
}

// ---- types, votes, numbers ------------------------------------------------------------------------
struct Shape { int rows, columns; float scale; };

extern "C" __global__ void scaled(const __half* __restrict__ x, float4* __restrict__ y, Shape shape, long long n, bool negate) {
  const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const float s = negate ? -shape.scale : shape.scale;
  y[i] = make_float4(s * __half2float(x[4 * i]), s * (float)x[4 * i + 1], s * __half2float(x[4 * i + 2]),
                     s * (float)x[4 * i + 3]);
}

extern "C" __global__ void votes(const int* x, int* y) {
  const int t = threadIdx.x, v = x[t];
  const int count = __syncthreads_count(v > 0), all = __syncthreads_and(v > -100), any = __syncthreads_or(v > 100);
  const unsigned ballot = __ballot_sync(0xffffffffu, v & 1);
  y[8 * t] = count;
  y[8 * t + 1] = all + 2 * any;
  y[8 * t + 2] = (int)ballot;
  y[8 * t + 3] = __shfl_up_sync(0xffffffffu, v, 1, 16);
  y[8 * t + 4] = __shfl_xor_sync(0xffffffffu, v, 3);
  y[8 * t + 5] = __shfl_sync(0xffffffffu, v, 5, 8);
  y[8 * t + 6] = __reduce_add_sync(0xffffffffu, v);
  y[8 * t + 7] = (int)__umulhi(0x9E3779B9u, (unsigned)v);
}

extern "C" __global__ void histogram(const int* x, int* counts, int n) {
  __shared__ int mine[8];
  if (threadIdx.x < 8) mine[threadIdx.x] = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x) atomicAdd(&mine[x[i]], 1);
  __syncthreads();
  if (threadIdx.x < 8) atomicAdd(&counts[threadIdx.x], mine[threadIdx.x]);
}

extern "C" __global__ void in_place(const float* x, float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = 2.f * x[i];
}

extern "C" __global__ void column_of(const float* x, float* y, int stride) {
  __shared__ float s[32 * 32];
  s[threadIdx.x * 32] = x[threadIdx.x * stride];
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x * 32];
}

extern "C" __global__ void architecture(int* y) { y[0] = __CUDA_ARCH__; }
