// Compiled for processors with products of bytes, on compilers that know them.
#include "packed_cache.h"

#if defined(__AVX512VNNI__)
#include "attend.h"
#include "many_rows.h"
#elif SPINQUANT_X86
namespace spinquant::avx512_vnni {

void packed_attention(const PackedAttentionArgs& args, size_t first, size_t last) {
  avx512::packed_attention(args, first, last);
}

void packed_attention_rows(const PackedAttentionArgs& args, size_t first, size_t last) {
  avx512::packed_attention(args, first, last);
}

}  // namespace spinquant::avx512_vnni
#endif
