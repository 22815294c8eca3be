#include "lost_file.h"
#include <signal.h>
#include <unistd.h>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>

namespace spinquant {
namespace {

/// A model has at most some hundred files, and its rounded layers as many again.
constexpr int kMostFiles = 2048;
/// Of a longer path the end is shown.
constexpr size_t kMostPath = 1000;

/// Read by a handler that may interrupt anything: no locks, no memory of its own. `begin` is written last.
struct MappedRange {
  std::atomic<uintptr_t> begin{0};
  std::atomic<size_t> size{0};
  char path[kMostPath + 1];
};

MappedRange g_ranges[kMostFiles];
std::mutex g_mutex;

/// What a truncated file raises; macOS may call it by either name.
#if defined(__APPLE__)
constexpr int kSignals[] = {SIGBUS, SIGSEGV};
#else
constexpr int kSignals[] = {SIGBUS};
#endif
constexpr size_t kSignalCount = sizeof kSignals / sizeof kSignals[0];
struct sigaction g_previous[kSignalCount];

const char* path_at(uintptr_t address) {
  for (MappedRange& range : g_ranges) {
    const uintptr_t begin = range.begin.load(std::memory_order_acquire);
    if (begin != 0 && address >= begin && address - begin < range.size.load()) return range.path;
  }
  return nullptr;
}

void write_all(const char* text) {
  size_t left = strlen(text);
  while (left > 0) {
    const ssize_t written = write(STDERR_FILENO, text, left);
    if (written <= 0) return;
    text += written;
    left -= static_cast<size_t>(written);
  }
}

[[noreturn]] void end_with(const char* path) {
  // Several threads may meet the lost file at once: one says so, the others wait for the end.
  static std::atomic_flag said = ATOMIC_FLAG_INIT;
  while (said.test_and_set()) pause();
  char line[kMostPath + 400];
  line[0] = '\0';
  for (const char* part :
       {"\nSpinQuant Lab: ", path,
        " was truncated, or its disk failed, while it was read. Restore the file, let nothing write to it during a run, "
        "then resume the run.\n"}) {
    strncat(line, part, sizeof line - strlen(line) - 1);
  }
  // One call, so that no other thread's words come in between.
  write_all(line);
  _exit(kLostFileExit);
}

/// What would have happened without this handler.
void pass_on(int signal, siginfo_t* info, void* context, const struct sigaction& previous) {
  if (previous.sa_flags & SA_SIGINFO) return previous.sa_sigaction(signal, info, context);
  if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) return previous.sa_handler(signal);
  const bool was_sent = info->si_code <= 0;
  if (was_sent && previous.sa_handler == SIG_IGN) return;
  // A fault happens again when this returns, and then meets the system's own handler. A sent signal does not.
  ::signal(signal, SIG_DFL);
  if (was_sent) raise(signal);
}

void handle(int signal, siginfo_t* info, void* context) {
  // A signal that a process sent has no address.
  if (info->si_code > 0) {
    if (const char* path = path_at(reinterpret_cast<uintptr_t>(info->si_addr))) end_with(path);
  }
  for (size_t i = 0; i < kSignalCount; i++) {
    if (kSignals[i] == signal) pass_on(signal, info, context, g_previous[i]);
  }
}

void install() {
  for (size_t i = 0; i < kSignalCount; i++) {
    struct sigaction action {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(kSignals[i], &action, &g_previous[i]);
  }
}

}  // namespace

int note_mapped(const void* data, size_t size, const std::string& path) {
  std::lock_guard<std::mutex> lock(g_mutex);
  static const bool installed = (install(), true);
  (void)installed;
  for (int place = 0; place < kMostFiles; place++) {
    MappedRange& range = g_ranges[place];
    if (range.begin != 0) continue;
    const size_t skipped = path.size() > kMostPath ? path.size() - kMostPath : 0;
    memcpy(range.path, path.c_str() + skipped, path.size() - skipped + 1);
    range.size = size;
    range.begin.store(reinterpret_cast<uintptr_t>(data), std::memory_order_release);
    return place;
  }
  return -1;
}

void forget_mapped(int place) {
  if (place < 0) return;
  std::lock_guard<std::mutex> lock(g_mutex);
  g_ranges[place].begin = 0;
}

}  // namespace spinquant
