// The products in vectors that multiply bfloat16, for compilers that know them.
#include "gemm_bfloat16.h"

#if defined(__AVX512BF16__)
#include "tile_gemm.h"
#else

namespace spinquant::avx512_bf16 {
void gemm_pack(const GemmPackArgs&, size_t, size_t) {}
void gemm_multiply(const GemmMultiplyArgs&, size_t, size_t) {}
void gemm_parts(const GemmPartsArgs&, size_t, size_t) {}
}  // namespace spinquant::avx512_bf16

#endif
