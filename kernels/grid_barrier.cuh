// A barrier for blocks that run at the same time: a counter in global memory, which only grows.
//
// Launchers start no more blocks than the device has multiprocessors, each with room for one of them; so all run at
// once, as soon as what was launched before has ended. The twins of mma.cuh let the emulator run blocks in turns.
#pragma once
#include "mma.cuh"

// Tell that all threads of this block have written what others wait for.
__device__ __forceinline__ void arrive(unsigned int* counter) {
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    atomicAdd(counter, 1u);
  }
}

// Wait until `count` arrivals have been told. What was written before them is then in the second cache: read it past
// the first one (__ldcg).
__device__ __forceinline__ void await(const unsigned int* counter, unsigned int count) {
  if (threadIdx.x == 0) {
    while (load_acquire(counter) < count) spin();
    __threadfence();
  }
  __syncthreads();
}
