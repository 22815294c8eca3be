// How many products of bytes a core makes, for benchmarks: instructions that wait for nothing and read no memory.
#include "byte_peak.h"
#include <algorithm>
#include <chrono>
#include "../cpu/isa.h"
#include "napi_util.h"

namespace spinquant {
namespace {

#if SPINQUANT_X86

/// One instruction, and twelve of them: more than the cycles that a sum waits for itself.
#define SPINQUANT_ONE(op, r, to) op " %%" r "15,%%" r "14,%%" r to "\n\t"
#define SPINQUANT_FOUR(op, r, a, b, c, d) \
  SPINQUANT_ONE(op, r, a) SPINQUANT_ONE(op, r, b) SPINQUANT_ONE(op, r, c) SPINQUANT_ONE(op, r, d)
#define SPINQUANT_TWELVE(op, r)          \
  SPINQUANT_FOUR(op, r, "0", "1", "2", "3") \
  SPINQUANT_FOUR(op, r, "4", "5", "6", "7") \
  SPINQUANT_FOUR(op, r, "8", "9", "10", "11")

/// Runs the instruction 12 · rounds times.
#define SPINQUANT_REPEATED(op, r, rounds)                                                                     \
  asm volatile("1:\n\t" SPINQUANT_TWELVE(op, r) "dec %0\n\tjnz 1b\n\tvzeroupper" : "+r"(rounds) :              \
               : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11")

/// Returns the multiply-adds of an instruction, having run it 12 · rounds times; 0 where there is none to measure.
int run_products(Isa isa, long rounds) {
  switch (isa) {
    case Isa::avx2: SPINQUANT_REPEATED("vpmaddubsw", "ymm", rounds); return 32;
    case Isa::avx512: SPINQUANT_REPEATED("vpmaddubsw", "zmm", rounds); return 64;
    case Isa::avx512_vnni:
    case Isa::avx512_bf16: SPINQUANT_REPEATED("vpdpbusd", "zmm", rounds); return 64;
    default: return 0;
  }
}

#else

int run_products(Isa, long) { return 0; }

#endif

}  // namespace

napi_value byte_peak(napi_env env, const std::vector<napi_value>& arguments) {
  constexpr long kRounds = 100000;
  const Isa isa = parse_isa(to_string(env, arguments[0]));
  double best = 0;
  for (int attempt = 0; attempt < 20; attempt++) {
    const auto start = std::chrono::steady_clock::now();
    const int products = run_products(isa, kRounds);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    best = std::max(best, 2.0 * products * 12 * kRounds / elapsed.count());
  }
  return from_number(env, best);
}

}  // namespace spinquant
