// Kernels with one fault each, as test_faults.py lists them, and what they would be without it.
#ifdef EMULATED
#define COPY_ASYNC(to, from) emulated_copy_async(to, from, 16)
#define COPY_COMMIT() emulated_copy_commit()
#define COPY_WAIT(pending) emulated_copy_wait(pending)
#define SPIN() emulated_spin()
#endif
#define I (blockIdx.x * blockDim.x + threadIdx.x)

// ---- bounds
extern "C" __global__ void read_past_end(const float* x, float* y, int n) { y[I] = x[I + 1]; }
extern "C" __global__ void read_before_start(const float* x, float* y, int n) { y[I] = x[(int)I - 1]; }
extern "C" __global__ void write_past_end(const float* x, float* y, int n) { y[I + 1] = x[I]; }
extern "C" __global__ void write_before_start(const float* x, float* y, int n) { y[(int)I - 1] = x[I]; }
extern "C" __global__ void write_to_const(const float* x, float* y, int n) { ((float*)x)[I] = 1; }
extern "C" __global__ void null_pointer(const float* x, float* y, int n) { float* p = n > 0 ? nullptr : y; p[I] = x[I]; }
extern "C" __global__ void misaligned_vector(const float* x, float* y, int n) {
  y[I] = I < 8 ? reinterpret_cast<const float4*>(x + 1)[I].x : 0.f;
}
extern "C" __global__ void shared_index(const float* x, float* y, int n) {
  __shared__ float s[64];
  s[threadIdx.x + 1] = x[I];
  __syncthreads();
  y[I] = s[threadIdx.x + 1];
}
extern "C" __global__ void shared_pointer(const float* x, float* y, int n) {
  __shared__ float s[64];
  float* p = s;
  p[threadIdx.x + n / 64] = x[I];
}
extern "C" __global__ void dynamic_shared_past_end(const float* x, float* y, int n) {
  extern __shared__ float d[];
  d[threadIdx.x + 1] = x[I];
}
extern "C" __global__ void no_dynamic_shared(const float* x, float* y, int n) {
  extern __shared__ float d[];
  d[threadIdx.x] = x[I];
}
extern "C" __global__ void too_much_shared(const float* x, float* y, int n) {
  __shared__ float s[12 * 1024 + 1];
  s[threadIdx.x] = x[I];
}
extern "C" __global__ void stack_overflow(const float* x, float* y, int n) {
  volatile float much[32 * 1024];
  for (int i = 32 * 1024; i-- > 0;) much[i] = x[I];
  y[I] = much[n];
}

// ---- races
extern "C" __global__ void race_between_warps(const float* x, float* y, int n) {
  __shared__ float s[64];
  s[threadIdx.x] = x[I];
  y[I] = s[(threadIdx.x + 32) % 64];
}
extern "C" __global__ void race_within_warp(const float* x, float* y, int n) {
  __shared__ float s[64];
  s[threadIdx.x] = x[I];
  y[I] = s[threadIdx.x ^ 1];
}
extern "C" __global__ void race_after_read(const float* x, float* y, int n) {
  __shared__ float s[64];
  s[threadIdx.x] = x[I];
  __syncthreads();
  float v = s[63 - threadIdx.x];
  s[threadIdx.x] = v;
  y[I] = v;
}
extern "C" __global__ void race_between_blocks(const float* x, float* y, int n) { y[threadIdx.x] = x[I]; }
extern "C" __global__ void race_read_other_block(const float* x, float* y, int n) {
  y[I] = x[I];
  y[I] += y[(I + 64) % 128] * 0.f;
}
extern "C" __global__ void update_without_atomic(const float* x, float* y, int n) { y[0] += x[I]; }
extern "C" __global__ void read_of_atomic(const float* x, float* y, int n) {
  __shared__ int count;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  atomicAdd(&count, 1);
  y[I] = count;
}
extern "C" __global__ void ldg_of_written(const float* x, float* y, int n) {
  y[I] = x[I];
  y[I] = __ldg(&y[I]);
}
extern "C" __global__ void right_shared(const float* x, float* y, int n) {
  __shared__ float s[64];
  __shared__ int count;
  if (threadIdx.x == 0) count = 0;
  s[threadIdx.x] = x[I];
  __syncwarp();
  float v = s[threadIdx.x ^ 1];
  __syncthreads();
  v += s[(threadIdx.x + 32) % 64];
  atomicAdd(&count, 1);
  __syncthreads();
  s[threadIdx.x] = v;
  y[I] = v + 0 * count;
}

// ---- uninitialised shared memory
extern "C" __global__ void uninitialised_shared(const float* x, float* y, int n) {
  __shared__ float s[64];
  if (threadIdx.x < 63) s[threadIdx.x] = x[I];
  __syncthreads();
  y[I] = s[threadIdx.x];
}
extern "C" __global__ void uninitialised_atomic(const float* x, float* y, int n) {
  __shared__ int count;
  atomicAdd(&count, 1);
  __syncthreads();
  y[I] = x[I];
}

// ---- waiting
extern "C" __global__ void divergent_barrier(const float* x, float* y, int n) {
  if (threadIdx.x < 16)
    __syncthreads();
  else
    __syncthreads();
  y[I] = x[I];
}
extern "C" __global__ void early_return(const float* x, float* y, int n) {
  if (threadIdx.x >= 48) return;
  __syncthreads();
  y[I] = x[I];
}
extern "C" __global__ void half_a_warp_shuffles(const float* x, float* y, int n) {
  float v = x[I];
  if (threadIdx.x % 32 < 16) v += __shfl_down_sync(0xffffffffu, v, 8);
  __syncthreads();
  y[I] = v;
}
extern "C" __global__ void different_warp_operations(const float* x, float* y, int n) {
  float v = x[I];
  if (threadIdx.x % 32 < 16) v += __shfl_down_sync(0xffffffffu, v, 8);
  else v += __ballot_sync(0xffffffffu, v > 0);
  y[I] = v;
}
extern "C" __global__ void shuffle_outside_mask(const float* x, float* y, int n) {
  float v = x[I];
  if (threadIdx.x % 32 < 16) v += __shfl_down_sync(0x0000ffffu, v, 8);
  y[I] = v;
}
extern "C" __global__ void spins_forever(const float* x, float* y, int n) {
  while (*(volatile float*)y != 1.f) SPIN();
}

// ---- others
extern "C" __global__ void endless(const float* x, float* y, int n) {
  volatile int i = n;
  while (i > 0) i = i % 3 + 1;
  y[I] = x[I];
}
extern "C" __global__ void assertion(const float* x, float* y, int n) { assert(n < 64); }
extern "C" __global__ void division_by_zero(const float* x, float* y, int n) { y[I] = 5 / (n - 128); }

// ---- asynchronous copies
extern "C" __global__ void copy_without_wait(const float* x, float* y, int n) {
  __shared__ __align__(16) float s[256];
  COPY_ASYNC(s + 4 * threadIdx.x, x + 4 * (threadIdx.x % 16));
  COPY_COMMIT();
  __syncthreads();
  y[I] = s[4 * threadIdx.x];
}
extern "C" __global__ void copy_waits_too_little(const float* x, float* y, int n) {
  __shared__ __align__(16) float s[256];
  COPY_ASYNC(s + 4 * threadIdx.x, x + 4 * (threadIdx.x % 16));
  COPY_COMMIT();
  COPY_WAIT(1);
  __syncthreads();
  y[I] = s[4 * threadIdx.x];
}
extern "C" __global__ void copy_without_barrier(const float* x, float* y, int n) {
  __shared__ __align__(16) float s[256];
  COPY_ASYNC(s + 4 * threadIdx.x, x + 4 * (threadIdx.x % 16));
  COPY_COMMIT();
  COPY_WAIT(0);
  y[I] = s[4 * (63 - threadIdx.x)];
}
extern "C" __global__ void copy_over_readers(const float* x, float* y, int n) {
  __shared__ __align__(16) float s[256];
  for (int step = 0; step < 2; step++) {
    COPY_ASYNC(s + 4 * threadIdx.x, x + 4 * (threadIdx.x % 16));
    COPY_COMMIT();
    COPY_WAIT(0);
    __syncthreads();
    y[I] = s[4 * (63 - threadIdx.x)];  // and no barrier before the next copy
  }
}
extern "C" __global__ void copy_misaligned(const float* x, float* y, int n) {
  __shared__ __align__(16) float s[256];
  COPY_ASYNC(s + 4 * threadIdx.x, x + 1);
  COPY_COMMIT();
  COPY_WAIT(0);
}
extern "C" __global__ void right_copy(const float* x, float* y, int n) {
  __shared__ __align__(16) float s[2][256];
  COPY_ASYNC(s[0] + 4 * threadIdx.x, x + 4 * (threadIdx.x % 16));
  COPY_COMMIT();
  for (int step = 0; step < 3; step++) {
    if (step < 2) COPY_ASYNC(s[(step + 1) % 2] + 4 * threadIdx.x, x + 4 * (threadIdx.x % 16));
    COPY_COMMIT();
    COPY_WAIT(1);
    __syncthreads();
    y[I] = s[step % 2][4 * (63 - threadIdx.x)];
    __syncthreads();
  }
}

// ---- blocks that tell each other
extern "C" __global__ void right_last_block(const float* x, float* y, int* count, int n) {
  __shared__ int last;
  if (threadIdx.x == 0) {
    y[blockIdx.x] = x[I];
    __threadfence();
    last = atomicAdd(count, 1) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (last && threadIdx.x == 5) {
    float sum = 0;
    for (int i = 0; i < gridDim.x; i++) sum += y[i];
    y[gridDim.x] = sum;
  }
}
extern "C" __global__ void last_block_without_release(const float* x, float* y, int* count, int n) {
  __shared__ int last;
  if (threadIdx.x == 0) {
    y[blockIdx.x] = x[I];
    last = atomicAdd(count, 1) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (last && threadIdx.x == 5) {
    float sum = 0;
    for (int i = 0; i < gridDim.x; i++) sum += y[i];
    y[gridDim.x] = sum;
  }
}
extern "C" __global__ void last_block_without_acquire(const float* x, float* y, int* count, int n) {
  __shared__ int last;
  if (threadIdx.x == 0) {
    y[blockIdx.x] = x[I];
    __threadfence();
    last = atomicAdd(count, 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 5) {
    float sum = 0;
    for (int i = 0; i < gridDim.x; i++) sum += y[i];
    y[gridDim.x] = sum;
  }
}
// Every block waits for all others after each step, as a persistent kernel does.
extern "C" __global__ void right_grid_wait(const float* x, float* y, int* count, int n) {
  for (int step = 0; step < 4; step++) {
    y[n * step + I] = step ? y[n * (step - 1) + (I + 64) % n] + 1 : x[I];
    __syncthreads();
    if (threadIdx.x == 0) {
      __threadfence();
      atomicAdd(count, 1);
      while (*(volatile int*)count < (step + 1) * gridDim.x) SPIN();
      __threadfence();
    }
    __syncthreads();
  }
}
extern "C" __global__ void grid_without_wait(const float* x, float* y, int* count, int n) {
  for (int step = 0; step < 4; step++) {
    y[n * step + I] = step ? y[n * (step - 1) + (I + 64) % n] + 1 : x[I];
    __syncthreads();
  }
}
extern "C" __global__ void grid_wait_without_fence(const float* x, float* y, int* count, int n) {
  for (int step = 0; step < 4; step++) {
    y[n * step + I] = step ? y[n * (step - 1) + (I + 64) % n] + 1 : x[I];
    __syncthreads();
    if (threadIdx.x == 0) {
      atomicAdd(count, 1);
      while (*(volatile int*)count < (step + 1) * gridDim.x) SPIN();
    }
    __syncthreads();
  }
}
extern "C" __global__ void grid_wait_without_barrier(const float* x, float* y, int* count, int n) {
  for (int step = 0; step < 4; step++) {
    y[n * step + I] = step ? y[n * (step - 1) + (I + 64) % n] + 1 : x[I];
    if (threadIdx.x == 0) {
      __threadfence();
      atomicAdd(count, 1);
      while (*(volatile int*)count < (step + 1) * gridDim.x) SPIN();
      __threadfence();
    }
    __syncthreads();
  }
}
