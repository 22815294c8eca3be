// Forward and backward pass share these blocks of keys against blocks of queries, with queries in the lanes.
#pragma once
#include "../../cpu/simd_tile.h"
#include "attention.h"
#include "mask.h"

namespace spinquant::SPINQUANT_ISA {

/// Vectors of queries in a block. Lanes are queries, so that the softmax needs no sums across lanes, and keys and
/// values are read as they lie in memory, one broadcast element at a time.
constexpr size_t kQueryVecs = 3;
constexpr size_t kQueries = kQueryVecs * kLanes;
constexpr size_t kKeys = 64;

SPINQUANT_INLINE size_t round_up(size_t n, size_t step) { return (n + step - 1) / step * step; }

/// Rows [count, width] as columns [width][kQueries] times `factor`; missing rows are zero.
SPINQUANT_INLINE void pack_columns(const float* rows, size_t count, size_t width, float factor, float* columns) {
  for (size_t i = 0; i < width; i++) {
    float* column = columns + i * kQueries;
    for (size_t r = 0; r < count; r++) column[r] = rows[r * width + i] * factor;
    for (size_t r = count; r < kQueries; r++) column[r] = 0;
  }
}

/// Keys k0 … k0 + count - 1 as the product reads them: kTileRows at a time, padded_width channels each.
struct KeyBlock {
  const float* data;
  size_t stride;
};

/// The rows in place, or a copy with zeros where a tile would read past their end.
SPINQUANT_INLINE KeyBlock key_block(const float* rows, const AttentionShape& shape, size_t k0, size_t count,
                                    size_t padded_width, float* copy) {
  const size_t width = shape.width;
  if (width == padded_width && k0 + round_up(count, kTileRows) <= shape.keys) return {rows + k0 * width, width};
  const size_t padded = round_up(count, kTileRows);
  memset(copy, 0, padded * padded_width * sizeof(float));
  for (size_t j = 0; j < count; j++) memcpy(copy + j * padded_width, rows + (k0 + j) * width, width * sizeof(float));
  return {copy, padded_width};
}

/// out[j][queries] = Σ_i block[j][i] · columns[i][queries].
SPINQUANT_INLINE void times_columns(KeyBlock block, size_t count, size_t width, const float* columns, float* out) {
  for (size_t j = 0; j < count; j += kTileRows) {
    tile<kQueryVecs, false>(block.data + j * block.stride, block.stride, 1, columns, kQueries, width,
                            out + j * kQueries, kQueries);
  }
}

/// sums[i][queries] += Σ_j block[j][i] · weights[j][queries].
SPINQUANT_INLINE void add_weighted(KeyBlock block, size_t count, size_t padded_width, const float* weights,
                                   float* sums) {
  for (size_t i = 0; i < padded_width; i += kTileRows) {
    tile<kQueryVecs, true>(block.data + i, 1, block.stride, weights, kQueries, count, sums + i * kQueries, kQueries);
  }
}

}  // namespace spinquant::SPINQUANT_ISA
