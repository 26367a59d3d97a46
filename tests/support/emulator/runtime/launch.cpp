// The entry from Python.
#include "runtime.h"

#include <algorithm>
#include <cstring>
#include <xmmintrin.h>

extern "C" {

// Run a kernel. Returns 0, or 1 with the reason in `text`.
int emulator_launch(const LaunchRequest* request, char* text, size_t text_bytes) {
  stacks_reserve();
  launch.request = request;
  const Index size = request->block;
  launch.thread_count = static_cast<int>(size.x * size.y * size.z);
  launch.warp_count = (launch.thread_count + WARP - 1) / WARP;
  launch.failed = false;
  launch.error.clear();
  launch.static_shared = 0;
  launch.block_of_serial.clear();
  checking = request->checking != 0;
  emulator_indices.block_size = size;
  emulator_indices.grid_size = request->grid;

  faults_begin();
  const unsigned floating_mode = _mm_getcsr();
  _mm_setcsr(floating_mode | 0x8040);        // denormals are zero: CuPy compiles with -ftz=true
  stacks_reset();
  if (checking) {
    order_begin();
    checker_begin(*request);
  }
  memory_place(*request);
  run_grid();
  current = nullptr;
  block_now = nullptr;
  _mm_setcsr(floating_mode);
  if (checking) checker_end();
  memory_return(*request, !launch.failed);
  faults_end();
  if (!launch.failed) return 0;
  const size_t length = std::min(text_bytes - 1, launch.error.size());
  std::memcpy(text, launch.error.data(), length);
  text[length] = 0;
  return 1;
}

size_t emulator_static_shared() { return launch.static_shared; }
}
