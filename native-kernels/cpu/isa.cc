#include "isa.h"
#include <stdexcept>
#if SPINQUANT_X86
#include <cpuid.h>
#endif
#if SPINQUANT_X86 && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#elif SPINQUANT_ARM64 && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace spinquant {

// True where the compiler knew the instructions of the source of that name.
namespace avx512_bf16 {
bool compiled();
}  // namespace avx512_bf16
namespace amx {
bool compiled();
}  // namespace amx

namespace {

#if SPINQUANT_X86

// Products of bytes on vectors of 256 and of 512 bits. Whoever asks knows that the wide registers are saved.

bool has_avx_vnni() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}

bool has_avx512_vnni() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & 1u << 11);
}

bool has_avx512_bf16() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 5);
}

#if defined(__linux__)
/// Tiles of bfloat16 and of bytes, with vectors to fill them; the kernel must grant the state of 8 KB to this process.
bool may_use_amx() {
  constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24, kAmxInt8 = 1u << 25;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  if (!(d & kAmxBf16) || !(d & kAmxTile) || !(d & kAmxInt8)) return false;
  // A virtual machine may hide these. Few tokens, and attention over packed tokens, take vectors.
  if (!has_avx512_vnni() || !has_avx512_bf16()) return false;
  // Asked last: that source is compiled for such processors as a whole.
  return amx::compiled() && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#else
bool may_use_amx() { return false; }
#endif

/// Conversion of halves, which every processor with AVX2 has; a virtual machine may hide it.
bool has_f16c() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 29);
}

void add_usable(std::vector<Isa>& isas) {
  // The compiler's own check also asks the operating system whether it saves the wide registers.
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c()) return;
  isas.push_back(Isa::avx2);
  if (has_avx_vnni()) isas.push_back(Isa::avx_vnni);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    isas.push_back(Isa::avx512);
    if (has_avx512_vnni()) isas.push_back(Isa::avx512_vnni);
    // Asked last: that source is compiled for such processors as a whole.
    if (has_avx512_vnni() && has_avx512_bf16() && avx512_bf16::compiled()) isas.push_back(Isa::avx512_bf16);
    if (may_use_amx()) isas.push_back(Isa::amx);
  }
}

#else

/// Products of bytes are optional before ARMv8.4.
bool has_neon_dot() {
#if SPINQUANT_ARM64 && defined(__linux__)
  constexpr unsigned long kDotProducts = 1ul << 20;
  return getauxval(AT_HWCAP) & kDotProducts;
#else
  // Every Mac of this architecture has them.
  return SPINQUANT_ARM64;
#endif
}

void add_usable(std::vector<Isa>& isas) {
  if (has_neon_dot()) isas.push_back(Isa::neon_dot);
}

#endif

std::vector<Isa> detect() {
  std::vector<Isa> isas{Isa::portable};
  add_usable(isas);
  return isas;
}

}  // namespace

const std::vector<Isa>& usable_isas() {
  static const std::vector<Isa> isas = detect();
  return isas;
}

Isa best_isa() { return usable_isas().back(); }

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::reference: return "reference";
    case Isa::portable: return "portable";
    case Isa::avx2: return "avx2";
    case Isa::avx_vnni: return "avx_vnni";
    case Isa::avx512: return "avx512";
    case Isa::avx512_vnni: return "avx512_vnni";
    case Isa::avx512_bf16: return "avx512_bf16";
    case Isa::amx: return "amx";
    case Isa::neon_dot: return "neon_dot";
  }
  return "unknown";
}

Isa parse_isa(const std::string& name) {
  if (name == isa_name(Isa::reference)) return Isa::reference;
  for (Isa isa : usable_isas()) {
    if (name == isa_name(isa)) return isa;
  }
  throw std::invalid_argument("instruction set " + name + " is not usable on this processor");
}

}  // namespace spinquant
