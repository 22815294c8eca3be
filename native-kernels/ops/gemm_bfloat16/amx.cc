// The products in tiles, for processors with AMX and compilers that know it.
#include "gemm_bfloat16.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
#include "tile_gemm.h"
#else

namespace spinquant::amx {
void gemm_pack(const GemmPackArgs&, size_t, size_t) {}
void gemm_multiply(const GemmMultiplyArgs&, size_t, size_t) {}
void gemm_parts(const GemmPartsArgs&, size_t, size_t) {}
}  // namespace spinquant::amx

#endif
