// Attention in products of bfloat16, of tiles (AMX) or on vectors, forward and backward: as attention.h says, with both
// factors of every product in two pieces (cpu/tile_layout.h), or in one. What a product leaves out is at most 3·2^-16 of
// the sizes of its factors, or 2^-7. The backward pass has as many pieces for its scores as the forward pass that gave
// lse, or one more than in its other products: probabilities are e^(score - lse).
// Quantized keys are whole multiples of a unit per row: one piece, exactly, and the unit is a factor of its scores.
#pragma once
#include "../../cpu/tile_layout.h"
#include "attention.h"

namespace spinquant {

/// The most pieces of a factor.
constexpr size_t kAttentionPieces = 2;

/// Keys or values of all groups, and how they are packed: as rows [keys, width], or transposed [width, keys].
struct PackedHeads {
  const float* data;
  /// [groups, keys], what the rows of `data` are multiples of; or null.
  const float* units;
  bool transposed;
  /// Of a number; multiples of units have one.
  size_t pieces;
  uint16_t* tiles = nullptr;

  PackedBlock of(const AttentionShape& shape, size_t group) const {
    PackedBlock block{nullptr, units ? 1 : pieces, 0, transposed ? shape.width : shape.keys,
                      0,       transposed ? shape.keys : shape.width};
    block.tiles = tiles + group * block.size();
    return block;
  }
};

/// Unit: a group of one of the matrices.
struct PackHeadsArgs {
  static constexpr size_t kMost = 3;
  PackedHeads packed[kMost];
  size_t matrices;
  AttentionShape shape;
};

/// Queries of one unit of the forward pass.
constexpr size_t kTileQueries = 64;

/// Unit: kTileQueries rows of a head.
struct TileAttentionArgs {
  CausalAttentionArgs base;
  PackedHeads k_rows, v_columns;
  /// Of every factor.
  size_t pieces;

  size_t units_per_head() const { return divided_up(base.shape.rows, kTileQueries); }
};

/// Unit: that of CausalAttentionGradArgs.
struct TileAttentionGradArgs {
  CausalAttentionGradArgs base;
  PackedHeads k_rows, k_columns, v_rows;
  /// Of every factor, and of those of the scores.
  size_t pieces, score_pieces;
};

#define SPINQUANT_DECLARE_TILE_ATTENTION(isa)                                       \
  namespace isa {                                                                   \
  void pack_heads(const PackHeadsArgs&, size_t first, size_t last);                 \
  void tile_attention(const TileAttentionArgs&, size_t first, size_t last);         \
  void tile_attention_grad(const TileAttentionGradArgs&, size_t first, size_t last); \
  }
SPINQUANT_DECLARE_TILE_ATTENTION(avx512_bf16)
SPINQUANT_DECLARE_TILE_ATTENTION(amx)

}  // namespace spinquant
