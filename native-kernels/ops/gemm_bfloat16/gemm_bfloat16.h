// C = A op(diag(s) B) in products of bfloat16, of tiles (AMX) or on vectors, with float32 sums: float32 A, B in bfloat16
// or float32.
// Without s, bfloat16 B are weights as checkpoints store them; with it they are the codes of quantized weights, which
// are whole numbers, and s their scales.
//
// In pieces (cpu/tile_layout.h) the products are
//   three pieces of A, B in bfloat16:  a0·b + a1·b + a2·b        nothing is rounded but the sums, as in any float32 product
//   two pieces of A, B in bfloat16:    a0·b + a1·b               off by at most 2^-16 |a| |b|
//   two pieces each:                   a0·b0 + a0·b1 + a1·b0     off by at most (3·2^-16 + 2^-32) |a| |b|
//   A, or B, in whole numbers of 16 bits: one factor is codes of at most 128 in size, exactly; each row of a block of the
//     other one is rounded to multiples of its largest number / 21845, so that a product is off by at most
//     2^-15.4 |code| max |row|. Sums are whole numbers too. Two products of 16 bits take as long as one of float32.
//   both factors in whole numbers of 8 bits: each row of a block is rounded to multiples of its largest number / 127, so that
//     a product is off by at most (max |row a| |b| + |a| max |row b|) / 254, and a little more. Codes, and multiples of a
//     unit that fit, are taken exactly. Two of these products take as long as one of bfloat16.
// Quantized activations are whole multiples of a unit per row, which bfloat16 holds exactly: one piece, and the units
// are factors of the result's rows.
#pragma once
#include <cstddef>
#include "../../cpu/tile_layout.h"
#include "../../cpu/variants.h"

namespace spinquant {

/// Unit: one panel.
struct GemmPackArgs {
  TileOperand operand;
  PackedBlock packed;
};

/// A thread packs some panels of one operand for itself and multiplies them with all packed panels of the other one:
/// its own stay in its second-level cache and are never written to memory.
/// Unit: one panel of `operand`; the more of them a thread gets at once, the more often it uses what it reads.
struct GemmMultiplyArgs {
  TileOperand operand;
  /// Which part of the operand; without tiles of its own.
  PackedBlock part;
  PackedBlock packed;
  float* c;  // [M, N], the whole result
  size_t c_stride;
  /// The block adds to these sums, [M, N]: to c itself after the first block of the depth. Null means zeros.
  const float* sums;
  /// Factors of the rows and columns of c, given with the last block of the depth; or null.
  const float *row_scale, *column_scale;
};

/// A product whose depth is much larger than its result: each part of the depth has a sum of its own.
/// Unit: one part; its sum is [M, N] in `partial`.
struct GemmPartsArgs {
  TileOperand a, b;
  /// Depths of a part, and of the blocks that it is packed in; the last ones may be shorter.
  size_t part_depth, block_depth;
  float* partial;  // [parts, M, N]

  size_t parts() const { return divided_up(a.depth, part_depth); }
  size_t result_size() const { return a.rows * b.rows; }
};

/// The product itself, for the loop-only reference. Unit: one row of C.
struct GemmArgs {
  TileOperand a, b;
  float* c;
  const float* column_scale;
  const float* addend;  // [M, N], or null
};

namespace reference {
void gemm_bfloat16(const GemmArgs&, size_t first, size_t last);
}

#define SPINQUANT_DECLARE_TILE_GEMM(isa)                                  \
  namespace isa {                                                         \
  void gemm_pack(const GemmPackArgs&, size_t first, size_t last);         \
  void gemm_multiply(const GemmMultiplyArgs&, size_t first, size_t last); \
  void gemm_parts(const GemmPartsArgs&, size_t first, size_t last);       \
  }
SPINQUANT_DECLARE_TILE_GEMM(avx512_bf16)
SPINQUANT_DECLARE_TILE_GEMM(amx)

}  // namespace spinquant
