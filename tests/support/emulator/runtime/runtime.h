// What the parts of the runtime share: threads, warps, blocks, the launch, and who is running now.
//
// A kernel's threads are fibers: each has its own stack, and one of them runs at a time, until it waits for
// others. So barriers and warp operations really meet, and a run is repeatable.
//
//   fibers.cpp      stacks and switching between them
//   scheduler.cpp   which thread runs next; barriers, warp operations, waiting of blocks for blocks; deadlocks
//   shared.cpp      shared memory of a block; asynchronous copies into it
//   memory.cpp      guarded copies of the arrays a kernel was given
//   faults.cpp      errors, and signals of the processor turned into errors
//   checker.cpp     tier check: every access is looked at
//   order.cpp       tier check: what happened before what, across threads and blocks
//   requests.cpp    tier check: memory sectors and bank conflicts of warps
//   launch.cpp      the entry from Python
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

constexpr int WARP = 32;
constexpr int MOST_THREADS = 1024;           // of one block
constexpr unsigned ALL_LANES = 0xffffffffu;
constexpr size_t PAGE = 4096;
constexpr unsigned char RUBBISH = 0xFF;      // NaN in every floating type, -1 in every signed one
// Around memory: nobody may change it, and who reads it gets a NaN of any floating type, or a bad index.
inline unsigned char canary(const unsigned char* at) { return reinterpret_cast<uintptr_t>(at) & 1 ? 0xFF : 0xFE; }
inline void put_canaries(unsigned char* from, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) from[i] = canary(from + i);
}

struct Index { unsigned x, y, z; };

// threadIdx, blockIdx, blockDim and gridDim of kernels, in one piece so that the checker can leave them out.
struct Indices { Index thread, block, block_size, grid_size; };
extern "C" Indices emulator_indices;

enum class State : unsigned char { fresh, ready, at_barrier, in_warp_operation, spinning, done };

struct History;      // order.cpp: what a thread or block knows to have happened before
struct AsyncCopies;  // shared.cpp: copies a thread has started and not waited for
struct Region;       // checker.cpp: memory that kernels may touch
template <class T> struct Dropped { void operator()(T*) const; };  // owners need no complete type
template <class T> using Owned = std::unique_ptr<T, Dropped<T>>;

struct Thread {
  void* stack_pointer;
  Index index;
  int number, warp, lane;
  State state;
  int stack;             // number of its stack, -1 for none
  int barrier_line;      // where it waits
  int barrier_kind, vote;
  int answer;
  unsigned clock;        // grows with each fence
  Owned<AsyncCopies> copies;
  Owned<History> history;
};

// Lanes of a warp that meet in one operation: shuffles, votes, matrix products.
struct Meeting {
  unsigned mask, arrived;
  unsigned generation;
  const char* name;
  unsigned present[2];                       // who took part, in even and odd generations
  void* packet[WARP];
  alignas(16) unsigned char slot[2][WARP][64];
};

struct Warp {
  std::vector<std::unique_ptr<Meeting>> meetings;
  unsigned epoch;                            // grows with each __syncwarp
};

struct SharedArray { const void* site; const char* name; unsigned char* memory; size_t bytes; };

struct Block {
  Index index;
  long number;                               // in the grid
  unsigned serial;                           // never used twice
  unsigned epoch;                            // grows with each barrier
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<int> order;                    // in which threads are looked at
  int position;                              // in that order
  unsigned char* static_memory;
  unsigned char* dynamic_map;
  size_t dynamic_mapped;                     // bytes there, between guard pages
  size_t static_used;                        // bytes, gaps included
  size_t static_declared;                    // bytes, as a compiler would count
  std::vector<SharedArray> arrays;
  std::vector<Owned<Region>> regions;
  int region_count;
  Owned<History> history;
  int spins;                                 // rounds in which nothing but waiting happened
};

enum Schedule { FORWARD, REVERSE, RANDOM };

// One array argument, as Python describes it.
struct Argument {
  void* host;
  size_t bytes;
  unsigned itemsize;
  int offset;                                // of its address, modulo 16, on the device
  int constant;
  const char* name;
};

struct LaunchRequest {
  void (*entry)(void**);
  void** arguments;                          // values; those of arrays are replaced by guarded addresses
  int* array_position;                       // which argument each array is
  Argument* arrays;
  int array_count;
  Index grid, block;
  size_t dynamic_shared;
  size_t shared_limit;
  int schedule;
  uint64_t seed;
  int checking;
  int trace_blocks;
  int resident_blocks;
  double seconds;                            // of processor time: then it counts as endless
};

struct Launch {
  const LaunchRequest* request;
  int thread_count, warp_count;
  unsigned first_serial;
  std::vector<long> block_of_serial;
  size_t static_shared;                      // most that a block declared
  bool failed;
  std::string error;
};

extern Launch launch;
extern Thread* current;                      // nullptr: the scheduler runs
extern Block* block_now;
extern bool checking;

// ---- fibers
void stacks_reserve();
bool in_stacks(uintptr_t address);
void stacks_reset();
void fiber_start(Thread&);                   // gives it a stack; it begins at its first switch
void fiber_resume(Thread&);
void fiber_yield();                          // back to the scheduler
[[noreturn]] void fiber_abandon();
void stack_release(Thread&);
uintptr_t stack_top(const Thread&);

// ---- scheduler
void run_grid();
void thread_ended(Thread&);
Thread* next_fresh();                        // may run on the stack of the one that ended

// ---- shared memory
void shared_begin(Block&);
void shared_end(Block&);
bool shared_describe(uintptr_t address, std::string& text);
void copies_drop(Thread&);

// ---- memory
bool memory_place(const LaunchRequest&);
void memory_return(const LaunchRequest&, bool write_back);
bool memory_describe(uintptr_t address, std::string& text);

// ---- faults
extern "C" void emulator_error(const char* format, ...) __attribute__((format(printf, 1, 2)));
void faults_begin();
const std::vector<std::pair<uintptr_t, uintptr_t>>& kernel_segments();  // of the kernel's library
void faults_end();

// ---- checker
enum class Access : unsigned char { read, write, atomic_read, atomic_write, update };
void checker_begin(const LaunchRequest&);
void checker_end();
Region* checker_shared(Owned<Region>& reused, void* memory, size_t bytes, const char* name);
void checker_argument(void* memory, size_t bytes, const char* name, bool constant);
void checker_access(const void* address, unsigned bytes, Access kind, void* site);
void checker_pending(const void* address, unsigned bytes, bool pending);

// ---- order
struct Stamp {                               // one access
  unsigned block;                            // serial; 0: none
  unsigned epoch, warp_epoch, clock;
  int thread;
};
Stamp stamp_now();
bool happened_before(const Stamp&);          // whether it is ordered before the current thread's now
void order_begin();
void order_barrier(Block&);
void order_warp(Block&, int warp, unsigned lanes);
void order_atomic(const void* address, Access kind);

// ---- requests
void requests_note(void* site, const void* address, unsigned bytes, bool write, bool shared);
void requests_flush();
