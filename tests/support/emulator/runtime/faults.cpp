// Errors of kernels: recorded with block and thread, then the launch is given up. Signals become errors as well.
#include "runtime.h"

#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <ucontext.h>
#include <pthread.h>

namespace {
constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
struct sigaction before[5];
stack_t stack_before;
pthread_t launching;
char signal_stack[64 * 1024];

std::string where() {
  if (!block_now) return "";
  const Index b = emulator_indices.block, t = emulator_indices.thread;
  char text[128];
  snprintf(text, sizeof text, "block (%u, %u, %u) thread (%u, %u, %u): ", b.x, b.y, b.z, t.x, t.y, t.z);
  return text;
}

void landing() { fiber_abandon(); }

void handle(int number, siginfo_t* info, void* context_) {
  auto* context = static_cast<ucontext_t*>(context_);
  auto& registers = context->uc_mcontext.gregs;
  if (!current || launch.failed || !pthread_equal(pthread_self(), launching)) {  // none of a kernel
    signal(number, SIG_DFL);
    return;
  }
  char text[512];
  auto* pc = reinterpret_cast<void*>(registers[REG_RIP]);
  if (number == SIGSEGV || number == SIGBUS) {
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

void faults_begin() {
  launching = pthread_self();
  stack_t mine = {};
  mine.ss_sp = signal_stack;
  mine.ss_size = sizeof signal_stack;
  sigaltstack(&mine, &stack_before);
  struct sigaction action = {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (int i = 0; i < 5; i++) sigaction(SIGNALS[i], &action, &before[i]);
}

void faults_end() {
  for (int i = 0; i < 5; i++) sigaction(SIGNALS[i], &before[i], nullptr);
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
