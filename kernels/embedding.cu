// Rows of a table by number, copied as words without regard to what they mean.
#include "common.cuh"

typedef USE_T T;  // a word

__device__ __forceinline__ void fill_with(uint4& word, unsigned int bits) { word = make_uint4(bits, bits, bits, bits); }
__device__ __forceinline__ void fill_with(unsigned int& word, unsigned int bits) { word = bits; }
__device__ __forceinline__ void fill_with(unsigned short& word, unsigned int bits) { word = (unsigned short)bits; }
__device__ __forceinline__ void fill_with(unsigned char& word, unsigned int bits) { word = (unsigned char)bits; }

// y[i] = table[number i], rows of ``words``; numbers are ``narrow`` or ``wide``, the other is null. ``wrap``:
// negative ones count from the end. Rows that do not exist are filled with the bits ``outside``.
extern "C" __global__ void __launch_bounds__(256, 4)
gather_rows(
    const T* __restrict__ table, const int* __restrict__ narrow, const long long* __restrict__ wide, T* __restrict__ y,
    int count, int words, long long rows, int wrap, unsigned int outside) {
  if (row() >= count || column() >= words) return;
  long long at = narrow ? narrow[row()] : wide[row()];
  if (wrap && at < 0) at += rows;
  T found;
  if (at >= 0 && at < rows) found = table[at * words + column()];
  else fill_with(found, outside);
  y[(long long)row() * words + column()] = found;
}
