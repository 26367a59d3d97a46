// What all kernels share: packs of neighbouring elements, arithmetic in float, loops over a grid.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

// V neighbouring elements that are loaded and stored at once; their address must be a multiple of their size.
template <typename Element, int Count>
struct alignas(sizeof(Element) * Count) Pack {
  Element values[Count];
};

template <int Count, typename Element>
__device__ __forceinline__ Pack<Element, Count> load(const Element* from) {
  return *reinterpret_cast<const Pack<Element, Count>*>(from);
}

template <int Count, typename Element>
__device__ __forceinline__ void store(Element* to, const Pack<Element, Count>& pack) {
  *reinterpret_cast<Pack<Element, Count>*>(to) = pack;
}

__device__ __forceinline__ float number(float x) { return x; }
__device__ __forceinline__ float number(__half x) { return __half2float(x); }
__device__ __forceinline__ float number(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename Element>
__device__ __forceinline__ Element element(float x);
template <>
__device__ __forceinline__ float element<float>(float x) { return x; }
template <>
__device__ __forceinline__ __half element<__half>(float x) { return __float2half(x); }
template <>
__device__ __forceinline__ __nv_bfloat16 element<__nv_bfloat16>(float x) { return __float2bfloat16(x); }

__device__ __forceinline__ float infinity() { return __int_as_float(0x7f800000); }

// Place of this thread in a plane of threads (``launch.plane``).
__device__ __forceinline__ int row() { return blockIdx.x * blockDim.y + threadIdx.y; }
__device__ __forceinline__ int column() { return blockIdx.y * blockDim.x + threadIdx.x; }

// Place of this thread among all in a line, and the step to the next element it is to treat.
__device__ __forceinline__ int first() { return blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ int stride() { return gridDim.x * blockDim.x; }
