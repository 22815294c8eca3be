// Brings together what attention leaves of chunks of tokens.
#pragma once
#include "merge_chunks.h"
#include "simd_math.h"
#include "simd_reduce.h"

namespace spinquant::SPINQUANT_ISA {

SPINQUANT_INLINE void merge_chunks(const MergeChunksArgs& args, size_t first, size_t last) {
  const size_t width = args.width, size = width + 2;
  for (size_t query = first; query < last; query++) {
    const float* partial = args.partial + query * args.chunks * size;
    float* o = args.o_of(query);
    float highest = -__builtin_inff(), total = 0;
    for (size_t c = 0; c < args.chunks; c++) {
      const float own = partial[c * size + width];
      if (own > highest) highest = own;
    }
    fill_zero(o, width);
    for (size_t c = 0; c < args.chunks; c++) {
      const float* part = partial + c * size;
      const float own = part[width];
      if (part[width + 1] == 0) continue;
      const Vec factor = own == highest ? splat(1) : exp(splat(own - highest));
      total += part[width + 1] * factor[0];
      map2(part, o, o, width, [&](Vec sum, Vec so_far) { return fma(sum, factor, so_far); });
    }
    const Vec inverse = splat(1.0f / total);
    map(o, o, width, [&](Vec sum) { return sum * inverse; });
  }
}

}  // namespace spinquant::SPINQUANT_ISA
