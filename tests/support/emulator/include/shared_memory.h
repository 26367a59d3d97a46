// Shared memory and barriers.
//
// The translator turns  __shared__ float tile[16][17];  into  typedef float tile__type[16][17];  and
// EMULATOR_SHARED(tile): a reference into the memory of the block that runs.
#pragma once

extern "C" {
void* emulator_shared(const void* site, size_t bytes, size_t alignment, const char* name);
void* emulator_dynamic_shared();
int emulator_barrier(int kind, int vote, int line);
}
#define EMULATOR_SHARED(name, alignment) \
  static const char name##__site = 0; \
  name##__type& name = *(name##__type*)emulator_shared(&name##__site, sizeof(name##__type), \
      (alignment) > alignof(name##__type) ? (alignment) : alignof(name##__type), #name);

EMULATOR_INLINE void __syncthreads(int line = __builtin_LINE()) { emulator_barrier(0, 0, line); }
EMULATOR_INLINE int __syncthreads_count(int vote, int line = __builtin_LINE()) { return emulator_barrier(1, vote, line); }
EMULATOR_INLINE int __syncthreads_and(int vote, int line = __builtin_LINE()) { return emulator_barrier(2, vote, line); }
EMULATOR_INLINE int __syncthreads_or(int vote, int line = __builtin_LINE()) { return emulator_barrier(3, vote, line); }
