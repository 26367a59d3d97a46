// Lets CUDA C++ kernels be compiled by g++ and run on the CPU: the first header of every emulated source.
#pragma once
#define EMULATED 1
#define __CUDACC_RTC__ 1
#define __CUDACC__ 1

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__
#define EMULATOR_UNWATCHED __attribute__((no_sanitize("thread")))
#define EMULATOR_INLINE static inline __attribute__((unused))

extern "C" {
struct EmulatorIndex { unsigned x, y, z; };
struct EmulatorIndices { EmulatorIndex thread, block, block_size, grid_size; };
extern EmulatorIndices emulator_indices;
void emulator_error(const char* format, ...) __attribute__((format(printf, 1, 2)));
}
#define threadIdx emulator_indices.thread
#define blockIdx emulator_indices.block
#define blockDim emulator_indices.block_size
#define gridDim emulator_indices.grid_size
#define warpSize 32

// A kernel's `assert` ends the launch.
#undef assert
#define assert(condition) \
  ((condition) ? (void)0 : emulator_error("assert(%s) failed in line %d", #condition, __LINE__))
EMULATOR_INLINE void __trap() { emulator_error("__trap()"); }

#include "vectors.h"
#include "mathematics.h"
#include "halves.h"
#include "shared_memory.h"
#include "warps.h"
#include "atomics.h"
#include "twins.h"
#include "entry.h"
