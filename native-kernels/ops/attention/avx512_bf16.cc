// Attention in vectors that multiply bfloat16, for compilers that know them.
#include "tiles.h"

#if defined(__AVX512BF16__)
#include "tile_attention.h"
#else

namespace spinquant::avx512_bf16 {
void pack_heads(const PackHeadsArgs&, size_t, size_t) {}
void tile_attention(const TileAttentionArgs&, size_t, size_t) {}
void tile_attention_grad(const TileAttentionGradArgs&, size_t, size_t) {}
}  // namespace spinquant::avx512_bf16

#endif
