// Instruction sets a kernel can be compiled for, and the best one of this processor.
#pragma once
#include <string>
#include <vector>

#if defined(__x86_64__)
#define SPINQUANT_X86 1
#else
#define SPINQUANT_X86 0
#endif
#if defined(__aarch64__)
#define SPINQUANT_ARM64 1
#else
#define SPINQUANT_ARM64 0
#endif

namespace spinquant {

/// `reference` is the loop-only body in double precision that the others are tested against.
/// `avx_vnni` and `avx512_vnni` are avx2 and avx512 with products of bytes, `amx` is avx512 with products of tiles: a
/// family that has a source of that name uses them, others run their avx2 or avx512 body. `avx512_bf16` is avx512_vnni
/// with products of bfloat16 on vectors. `neon_dot` is portable with products of bytes, on 64-bit ARM.
enum class Isa { reference, portable, avx2, avx_vnni, avx512, avx512_vnni, avx512_bf16, amx, neon_dot };

/// This processor can run these, slowest first; `reference` is not among them.
const std::vector<Isa>& usable_isas();
Isa best_isa();
const char* isa_name(Isa isa);
/// Throws std::invalid_argument for a name that is unknown or not usable here.
Isa parse_isa(const std::string& name);

}  // namespace spinquant
