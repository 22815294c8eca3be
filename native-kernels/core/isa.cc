#include "isa.h"
#include <stdexcept>

namespace spinquant {
namespace {

std::vector<Isa> detect() {
  std::vector<Isa> isas{Isa::portable};
#if SPINQUANT_X86
  // The compiler's own check also asks the operating system whether it saves the wide registers.
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return isas;
  isas.push_back(Isa::avx2);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    isas.push_back(Isa::avx512);
  }
#endif
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
    case Isa::avx512: return "avx512";
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
