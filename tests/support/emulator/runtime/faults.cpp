// Errors of kernels: recorded with block and thread, then the launch is given up. Signals become errors as well.
#include "runtime.h"

#include <algorithm>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <link.h>
#include <map>
#include <pthread.h>
#include <sys/time.h>
#include <ucontext.h>

namespace {
constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGVTALRM};
constexpr int COUNT = sizeof SIGNALS / sizeof *SIGNALS;
struct sigaction before[COUNT];
stack_t stack_before;
pthread_t launching;
char signal_stack[64 * 1024];

typedef std::vector<std::pair<uintptr_t, uintptr_t>> Segments;
const Segments* kernel_code = nullptr;       // where the library of the kernel lies

int add_segments(dl_phdr_info* info, size_t, void* found_) {
  auto& found = *static_cast<Segments*>(found_);
  const uintptr_t entry = found[0].first;
  Segments all = {found[0]};
  bool ours = false;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    if (info->dlpi_phdr[i].p_type != PT_LOAD) continue;
    const uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    all.push_back({start, start + info->dlpi_phdr[i].p_memsz});
    ours = ours || (entry >= start && entry < all.back().second);
  }
  if (ours) found = all;
  return ours;
}

void arm(double seconds) {
  itimerval timer = {};
  timer.it_value.tv_sec = static_cast<long>(seconds);
  timer.it_value.tv_usec = static_cast<long>((seconds - static_cast<long>(seconds)) * 1e6);
  setitimer(ITIMER_VIRTUAL, &timer, nullptr);
}

std::string where() {
  if (!block_now) return "";
  const Index b = emulator_indices.block, t = emulator_indices.thread;
  char text[128];
  snprintf(text, sizeof text, "block (%u, %u, %u) thread (%u, %u, %u): ", b.x, b.y, b.z, t.x, t.y, t.z);
  return text;
}

void landing() { fiber_abandon(); }

bool in_kernel_code(uintptr_t address) {
  return std::any_of(kernel_code->begin() + 1, kernel_code->end(),
                     [&](const auto& part) { return address >= part.first && address < part.second; });
}

void handle(int number, siginfo_t* info, void* context_) {
  auto* context = static_cast<ucontext_t*>(context_);
  auto& registers = context->uc_mcontext.gregs;
  if (number == SIGVTALRM && !(current && in_kernel_code(registers[REG_RIP]) &&
                               pthread_equal(pthread_self(), launching))) {
    arm(0.005);                              // not while the runtime itself is at work
    return;
  }
  if (!current || launch.failed || !pthread_equal(pthread_self(), launching)) {  // none of a kernel
    signal(number, SIG_DFL);
    return;
  }
  char text[512];
  auto* pc = reinterpret_cast<void*>(registers[REG_RIP]);
  if (number == SIGVTALRM) {
    snprintf(text, sizeof text, "still running after %g seconds: an endless loop? pc=%p", launch.request->seconds, pc);
  } else if (number == SIGSEGV || number == SIGBUS) {
    const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
    const char* what = registers[REG_ERR] & 2 ? "write" : "read";
    std::string place;
    if (in_stacks(address)) snprintf(text, sizeof text, "stack overflow: local arrays of a thread over 60 KB");
    else if (shared_describe(address, place) || memory_describe(address, place))
      snprintf(text, sizeof text, "%s %s at %s pc=%p", place.find("const argument") != std::string::npos ?
               "invalid" : "out-of-bounds", what, place.c_str(), pc);
    else snprintf(text, sizeof text, "invalid %s at address %p, near no argument pc=%p", what, info->si_addr, pc);
  } else {
    snprintf(text, sizeof text, "%s pc=%p", number == SIGFPE ? "integer division by zero" :
             "trap: index outside a declared array, misaligned vector access, or integer division by zero", pc);
  }
  launch.error = where() + text;
  launch.failed = true;
  // Go on in landing(), as if it had been called; what was on the fiber's stack is given up.
  registers[REG_RSP] = static_cast<greg_t>(stack_top(*current) - 8);
  registers[REG_RIP] = reinterpret_cast<greg_t>(&landing);
}
}  // namespace

const std::vector<std::pair<uintptr_t, uintptr_t>>& kernel_segments() { return *kernel_code; }

void faults_begin() {
  static std::map<const void*, Segments> known;
  const auto entry = reinterpret_cast<uintptr_t>(launch.request->entry);
  Segments& segments = known[reinterpret_cast<void*>(entry)];
  if (segments.empty()) {
    segments.push_back({entry, entry});
    dl_iterate_phdr(add_segments, &segments);
  }
  kernel_code = &segments;
  launching = pthread_self();
  stack_t mine = {};
  mine.ss_sp = signal_stack;
  mine.ss_size = sizeof signal_stack;
  sigaltstack(&mine, &stack_before);
  struct sigaction action = {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (int i = 0; i < COUNT; i++) sigaction(SIGNALS[i], &action, &before[i]);
  arm(launch.request->seconds);
}

void faults_end() {
  arm(0);
  for (int i = 0; i < COUNT; i++) sigaction(SIGNALS[i], &before[i], nullptr);
  sigaltstack(&stack_before, nullptr);
}

extern "C" void emulator_error(const char* format, ...) {
  char text[1024];
  va_list values;
  va_start(values, format);
  vsnprintf(text, sizeof text, format, values);
  va_end(values);
  if (!launch.failed) launch.error = where() + text;
  launch.failed = true;
  if (current) fiber_abandon();
}
