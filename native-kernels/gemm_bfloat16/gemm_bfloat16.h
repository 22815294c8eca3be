// C = A op(diag(s) B) in tile products of bfloat16 (AMX) with float32 sums: float32 A, B in bfloat16 or float32.
// Without s, bfloat16 B are weights as checkpoints store them; with it they are the codes of quantized weights, which
// are whole numbers, and s their scales.
//
// A float32 number is the sum of three bfloat16 numbers, each the rest of the ones before rounded to 8 bits:
// a = a0 + a1 + a2 exactly. A product of two pieces has at most 16 bits: the tile instruction computes it exactly and
// sums in float32. Two pieces leave out at most 2^-16 of a number.
//   three pieces of A, B in bfloat16:  a0·b + a1·b + a2·b        nothing is rounded but the sums, as in any float32 product
//   two pieces of A, B in bfloat16:    a0·b + a1·b               off by at most 2^-16 |a| |b|
//   two pieces each:                   a0·b0 + a0·b1 + a1·b0     off by at most (3·2^-16 + 2^-32) |a| |b|
// Pieces below 2^-126 are lost; an infinity in a split operand gives NaN.
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

inline size_t at_most(size_t count, size_t limit) { return count < limit ? count : limit; }
inline size_t divided_up(size_t count, size_t by) { return (count + by - 1) / by; }

/// A [rows, depth] or op(B)ᵀ [rows, depth].
struct GemmOperand {
  const void* data;
  size_t rows, depth;
  /// Elements from one row to the next, and from one element of the depth to the next; one of them is 1.
  size_t row_stride, depth_stride;
  bool is_a;
  /// bfloat16 numbers that stand for one number; 1 where the data are bfloat16 themselves, else float32.
  size_t pieces;
  /// Factors of float32 elements along the depth, or null.
  const float* depth_scale;
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

/// A thread packs some panels of one operand for itself and multiplies them with all packed panels of the other one:
/// its own stay in its second-level cache and are never written to memory.
/// Unit: `group` panels of `operand`.
struct GemmMultiplyArgs {
  GemmOperand operand;
  /// Which part of the operand; without tiles of its own.
  PackedBlock part;
  size_t group;
  PackedBlock packed;
  float* c;  // [M, N], the whole result
  size_t c_stride;
  /// Whether the block adds to what c has.
  bool accumulate;
  /// Factors of the columns of c, given with the last block of the depth; or null.
  const float* column_scale;

  size_t units() const { return divided_up(part.panels(), group); }
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
