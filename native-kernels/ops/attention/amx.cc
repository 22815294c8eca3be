// Attention in tiles, for processors with AMX and compilers that know it.
#include "tiles.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
#include "tile_attention.h"
#else

namespace spinquant::amx {
void pack_heads(const PackHeadsArgs&, size_t, size_t) {}
void tile_attention(const TileAttentionArgs&, size_t, size_t) {}
void tile_attention_grad(const TileAttentionGradArgs&, size_t, size_t) {}
}  // namespace spinquant::amx

#endif
