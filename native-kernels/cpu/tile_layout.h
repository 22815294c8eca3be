// Matrices in tiles of bfloat16 (AMX), float32 numbers as sums of several.
//
// A float32 number is the sum of three bfloat16 numbers, each the first 8 bits of what the ones before leave:
// a = a0 + a1 + a2 exactly; two of them, the second one rounded, are off by at most 2^-16 of it. A product of two pieces
// has at most 16 bits: the tile instruction computes it exactly and sums in float32.
// Pieces below 2^-126 are lost; an infinity that is split gives NaN.
#pragma once
#include <cstddef>
#include <cstdint>

namespace spinquant {

/// Rows of A, or columns of op(B), that are packed and multiplied together: two tiles.
constexpr size_t kPanel = 32;
/// Elements of the summed axis in one tile.
constexpr size_t kTileDepth = 32;
/// bfloat16 numbers in one tile.
constexpr size_t kTile = 16 * kTileDepth;

inline size_t at_most(size_t count, size_t limit) { return count < limit ? count : limit; }
inline size_t divided_up(size_t count, size_t by) { return (count + by - 1) / by; }

/// The largest multiple of a unit: with codes of at most 128 and blocks of this depth, sums stay below 2^31.
constexpr size_t kWholeDepth = 768;
constexpr int kLargestWhole = 21845;

/// The largest multiple of a unit in a byte.
constexpr int kLargestByte = 127;

enum class TileData { float32, bfloat16, int8 };

/// What panels hold: pieces of bfloat16, or one whole number of 16 or of 8 bits for each number.
enum class PackedAs { pieces, shorts, bytes };

/// A factor of a product C = A·B: A [rows, depth], or Bᵀ [rows, depth] (its rows are the columns of B).
struct TileOperand {
  const void* data;
  size_t rows, depth;
  /// Elements from one row to the next, and from one element of the depth to the next; one of them is 1.
  size_t row_stride, depth_stride;
  bool is_a;
  /// bfloat16 numbers that stand for one number.
  size_t pieces;
  /// bfloat16 and int8 are packed as they are, in one piece.
  TileData type = TileData::float32;
  /// Per row in memory, what its numbers are whole multiples of, at most 256 times; the multiples are packed. Or null.
  /// int8 data are these multiples.
  const float* units = nullptr;
  /// Factors of float32 elements along the depth, or null.
  const float* depth_scale = nullptr;
  /// As whole numbers, codes are packed as they are, all else as multiples of a unit for each row of a block.
  PackedAs packed_as = PackedAs::pieces;
  /// bfloat16 data are whole numbers of at most 127 in size.
  bool has_codes = false;

  /// True where each row of a block has such a unit.
  bool takes_units() const {
    return packed_as == PackedAs::bytes || (packed_as == PackedAs::shorts && type == TileData::float32);
  }
  bool is_codes() const { return type == TileData::int8 || has_codes; }
  /// True where what lies side by side in memory is a row. The one row of a transposed column lies across it, though
  /// both strides are 1.
  bool lies_in_rows() const { return depth_stride == 1 && (row_stride != 1 || rows != 1); }
};

/// Rows [first_row, …) and depths [first_depth, first_depth + depth) of an operand as tiles:
/// [panel][piece][step of the depth][tile of 16 rows][16 × 32].
/// Whole numbers are packed in one piece, with a unit for each row where they stand for floats. Those of a byte take twice
/// the depth in a tile, 16 × 64. They always have units, and behind these what their sums begin with (byte_pack.h).
struct PackedBlock {
  uint16_t* tiles;
  size_t pieces;
  size_t first_row, rows, first_depth, depth;
  PackedAs packed_as = PackedAs::pieces;
  /// [rows, rounded up to panels], or null.
  float* units = nullptr;

  size_t panels() const { return divided_up(rows, kPanel); }
  size_t step_depth() const { return packed_as == PackedAs::bytes ? 2 * kTileDepth : kTileDepth; }
  size_t steps() const { return divided_up(depth, step_depth()); }
  /// Elements of one piece of a panel, of a panel, of the block.
  size_t plane() const { return steps() * 2 * kTile; }
  size_t panel_size() const { return pieces * plane(); }
  size_t size() const { return panels() * panel_size(); }
  uint16_t* panel(size_t index) const { return tiles + index * panel_size(); }
  /// [rows, rounded up to panels]: what the sums of a row begin with, for bytes.
  int32_t* starts() const { return reinterpret_cast<int32_t*>(units + panels() * kPanel); }
  /// Bytes beside the tiles of a panel, at most.
  static constexpr size_t kRowBytes = kPanel * (sizeof(float) + sizeof(int32_t));
};

}  // namespace spinquant
