// cpu/isa.cc on a processor and a system that have AMX, whatever this one has, but for what WITHHELD names: the choice
// of a body is tested so. Tiles are emulated; all other instructions must be there.
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cstdlib>
#include <cstring>

namespace {

bool has(const char* what) {
  const char* withheld = std::getenv("WITHHELD");
  return !withheld || std::strcmp(withheld, what) != 0;
}

/// CPUID's leaf 7: Intel's manual, volume 2, has the bits.
int told_cpuid(unsigned leaf, unsigned part, unsigned* a, unsigned* b, unsigned* c, unsigned* d) {
  const int found = __get_cpuid_count(leaf, part, a, b, c, d);
  if (leaf != 7) return found;
  const auto withhold = [](unsigned& bits, unsigned bit, const char* what) { bits &= ~(has(what) ? 0 : 1u << bit); };
  if (part == 0) {
    *d |= 1u << 22 | 1u << 24 | 1u << 25;
    withhold(*d, 22, "amx_bf16");
    withhold(*d, 24, "amx_tile");
    withhold(*d, 25, "amx_int8");
    withhold(*c, 11, "avx512_vnni");
  } else if (part == 1) {
    withhold(*a, 5, "avx512_bf16");
  }
  return found;
}

/// Linux, asm/prctl.h: ARCH_REQ_XCOMP_PERM for XFEATURE_XTILEDATA. A system that does not know it fails.
long told_system(long number, long code, long feature) {
  return number == SYS_arch_prctl && code == 0x1023 && feature == 18 && has("permission") ? 0 : -1;
}

}  // namespace

#define __get_cpuid_count told_cpuid
#define syscall told_system
#include "../../../native-kernels/cpu/isa.cc"
