// C = A op(diag(s) B) with float32 A and s, bfloat16 B, in tile products (AMX) that are exact up to float32 sums.
// Without s that is a product with weights as checkpoints store them; with it B are the codes of quantized weights,
// which are whole numbers, and s their scales.
//
// A float32 number is the sum of three bfloat16 numbers, each the rest of the ones before rounded to 8 bits:
// a = a0 + a1 + a2 exactly. So a·b = a0·b + a1·b + a2·b, and each of these products has at most 16 bits: the tile
// instruction computes it exactly and sums in float32, smallest first. What is rounded is what any float32 product
// of matrices rounds, at a third of the rate of the tiles and without converting B.
// Pieces of A below 2^-126 are lost; an infinity in A gives NaN.
#pragma once
#include <cstddef>
#include <cstdint>
#include "../core/variants.h"

namespace spinquant {

/// Rows of A, or columns of op(B), that are packed and multiplied together: two tiles.
constexpr size_t kPanel = 32;
/// Elements of the summed axis in one tile.
constexpr size_t kTileDepth = 32;
/// bfloat16 numbers in one tile.
constexpr size_t kTile = 16 * kTileDepth;
/// bfloat16 numbers that a number of A is split into.
constexpr size_t kPieces = 3;

inline size_t at_most(size_t count, size_t limit) { return count < limit ? count : limit; }
inline size_t divided_up(size_t count, size_t by) { return (count + by - 1) / by; }

/// A [rows, depth] or op(B)ᵀ [rows, depth].
struct GemmOperand {
  const void* data;
  size_t rows, depth;
  /// Elements from one row to the next, and from one element of the depth to the next; one of them is 1.
  size_t row_stride, depth_stride;
  /// A: float32 with its depth contiguous. Otherwise B: bfloat16.
  bool is_a;
  /// Factors of A's elements along the depth, or null.
  const float* depth_scale;

  size_t pieces() const { return is_a ? kPieces : 1; }
};

/// Rows [first_row, …) and depths [first_depth, first_depth + depth) of an operand as tiles:
/// [panel][piece][step of the depth][tile of 16 rows][16 × 32].
struct PackedBlock {
  uint16_t* tiles;
  size_t pieces;
  size_t first_row, rows, first_depth, depth;

  size_t panels() const { return divided_up(rows, kPanel); }
  size_t steps() const { return divided_up(depth, kTileDepth); }
  /// Elements of one piece of a panel, of a panel, of the block.
  size_t plane() const { return steps() * 2 * kTile; }
  size_t panel_size() const { return pieces * plane(); }
  size_t size() const { return panels() * panel_size(); }
  uint16_t* panel(size_t index) const { return tiles + index * panel_size(); }
};

/// Unit: one panel.
struct GemmPackArgs {
  GemmOperand operand;
  PackedBlock packed;
};

/// Panels of one operand that a thread packs for itself and multiplies with all packed panels of the other one: they
/// stay in its second-level cache, and are never written to memory.
constexpr size_t kGroup = 8;

/// Unit: one group of the panels of `operand`.
struct GemmMultiplyArgs {
  GemmOperand operand;
  /// Which part of the operand; without tiles of its own.
  PackedBlock part;
  PackedBlock packed;
  float* c;  // [M, N], the whole result
  size_t c_stride;
  /// Whether the block adds to what c has.
  bool accumulate;
  /// Factors of the columns of c, given with the last block of the depth; or null.
  const float* column_scale;

  size_t units() const { return divided_up(part.panels(), kGroup); }
};

/// The product itself, for the loop-only reference. Unit: one row of C.
struct GemmArgs {
  GemmOperand a, b;
  float* c;
  const float* column_scale;
};

namespace reference {
void gemm_bfloat16(const GemmArgs&, size_t first, size_t last);
}

namespace amx {
void gemm_pack(const GemmPackArgs&, size_t first, size_t last);
void gemm_multiply(const GemmMultiplyArgs&, size_t first, size_t last);
}  // namespace amx

}  // namespace spinquant
