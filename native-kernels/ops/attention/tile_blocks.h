// Both passes in tiles share these blocks of 64 keys against 64 queries, with queries in the lanes.
// Included by tile_attention.h only.
#pragma once
#include "../../cpu/simd_math.h"
#include "../../cpu/tile_pack.h"
#include "../../cpu/tile_products.h"
#include "mask.h"
#include "tiles.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

constexpr size_t kTileKeys = 64;
constexpr size_t kQueryVecs = kTileQueries / 16;

inline size_t round_up(size_t n, size_t step) { return divided_up(n, step) * step; }

/// Elements of a block of tiles with so many rows and depths, in as many pieces as there may be.
inline size_t tiles_for(size_t rows, size_t depth) {
  return PackedBlock{nullptr, kAttentionPieces, 0, rows, 0, depth}.size();
}

/// 32 × 32 of C (+)= A·Bᵀ: rows from A's panel, columns from B's, depths from `a_step` of A and the first of B on.
inline void multiply(const PackedBlock& a, size_t a_panel, size_t a_step, const PackedBlock& b, size_t b_panel,
                     size_t steps, float* c, size_t stride, bool accumulate) {
  auto multiply_all = a.pieces == 1 ? (b.pieces == 1 ? multiply_block<1, 1> : multiply_block<1, 2>)
                                    : (b.pieces == 1 ? multiply_block<2, 1> : multiply_block<2, 2>);
  multiply_all(a.panel(a_panel) + a_step * 2 * kTile, a.plane(), b.panel(b_panel), b.plane(), steps,
               accumulate ? c : nullptr, c, stride);
}

/// out[keys][queries] for `keys` rows of A from k0 on.
inline void scores(const PackedBlock& a, size_t k0, size_t keys, const PackedBlock& queries, float* out) {
  for (size_t j = 0; j < keys; j += kPanel) {
    for (size_t panel = 0; panel < queries.panels(); panel++) {
      multiply(a, (k0 + j) / kPanel, 0, queries, panel, queries.steps(), out + j * kTileQueries + panel * kPanel,
               kTileQueries, false);
    }
  }
}

/// sums[channels][queries] += A[channels][keys]·weights for `keys` depths of A from k0 on.
inline void add_weighted(const PackedBlock& a, size_t k0, size_t keys, const PackedBlock& weights, size_t queries,
                         float* sums) {
  for (size_t channels = 0; channels < a.panels(); channels++) {
    for (size_t panel = 0; panel * kPanel < queries; panel++) {
      multiply(a, channels, k0 / kTileDepth, weights, panel, keys / kTileDepth,
               sums + channels * kPanel * kTileQueries + panel * kPanel, kTileQueries, true);
    }
  }
}

/// Rows [count, width], in a block of kTileQueries of them, as B with its columns among the rows and its depths along
/// the channels.
inline PackedBlock pack_queries(const float* rows, size_t count, size_t width, size_t pieces, uint16_t* tiles) {
  TileOperand operand{rows, count, width, width, 1, false, pieces};
  PackedBlock block{tiles, pieces, 0, count, 0, width};
  pack_all(operand, block);
  return block;
}

/// The same rows as B with its columns among the channels and its depths along the rows.
inline PackedBlock pack_channels(const float* rows, size_t count, size_t width, size_t pieces, uint16_t* tiles) {
  TileOperand operand{rows, width, count, 1, width, false, pieces};
  PackedBlock block{tiles, pieces, 0, width, 0, count};
  pack_all(operand, block);
  return block;
}

inline void times(const float* from, size_t count, float factor, float* to) {
  for (size_t i = 0; i < count; i++) to[i] = from[i] * factor;
}

/// Columns [channels][queries] times a factor per query as rows [count, width].
inline void store_transposed(const float* columns, size_t count, size_t width, const Vec* factors, float* rows) {
  for (size_t q = 0; q < count; q += 16) {
    for (size_t i = 0; i < width; i += 16) {
      __m512i block[16];
      for (size_t c = 0; c < 16; c++) {
        block[c] = _mm512_castps_si512(load(columns + (i + c) * kTileQueries + q) * factors[q / 16]);
      }
      transpose(block);
      for (size_t r = 0; r < at_most(count - q, 16); r++) {
        _mm512_mask_storeu_epi32(rows + (q + r) * width + i, lanes16(width - i), block[r]);
      }
    }
  }
}

/// The keys of a block, from k0 of a group on, are multiples of these: ones where keys have no units.
struct KeyUnits {
  float of[kTileKeys];
  bool are_given;

  KeyUnits(const PackedHeads& keys, const AttentionShape& shape, size_t group, size_t k0)
      : are_given(keys.units != nullptr) {
    for (size_t j = 0; j < kTileKeys; j++) {
      of[j] = keys.units && k0 + j < shape.keys ? keys.units[group * shape.keys + k0 + j] : 1;
    }
  }
};

/// Scores [keys][queries] of multiples of the keys' units become those of the keys.
inline void scale_scores(const KeyUnits& units, size_t keys, float* scores) {
  if (!units.are_given) return;
  for (size_t j = 0; j < keys; j++) {
    for (size_t v = 0; v < kQueryVecs; v++) {
      float* s = scores + j * kTileQueries + v * kLanes;
      store(s, load(s) * splat(units.of[j]));
    }
  }
}

/// Scores [keys][queries] that a query does not see.
inline void mask_scores(float* scores, const Positions& positions, size_t k0, size_t keys) {
  if (!positions.masks(k0, keys)) return;
  for (size_t j = 0; j < keys; j++) {
    for (size_t v = 0; v < kQueryVecs; v++) {
      float* s = scores + j * kTileQueries + v * kLanes;
      store(s, choose(positions.sees(k0 + j, v), load(s), splat(kMasked)));
    }
  }
}

}  // namespace
}  // namespace spinquant::SPINQUANT_ISA
