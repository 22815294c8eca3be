// Operands to tiles: float32 split into pieces, rows of A kept, columns of op(B) put in pairs. Included by amx.cc only.
#pragma once
#include "tile_layout.h"

namespace spinquant::amx {
namespace {

/// Part of an operand that one tile holds: where it begins, and how many of its 16 rows and 32 depths are there.
struct Corner {
  const TileOperand& operand;
  size_t first_row, first_depth, rows, depth;

  template <class T>
  const T* at(size_t row, size_t step) const {
    return static_cast<const T*>(operand.data) + (first_row + row) * operand.row_stride +
           (first_depth + step) * operand.depth_stride;
  }
};

inline __mmask16 lanes16(size_t count) { return count >= 16 ? 0xffff : static_cast<__mmask16>((1u << count) - 1); }
inline __mmask32 lanes32(size_t count) { return count >= 32 ? ~0u : (1u << count) - 1; }

/// The upper half of each float32 lane, from 16 bfloat16 numbers.
inline __m512 widened(__m256i numbers) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(numbers), 16));
}

/// The next 8 bits of 32 numbers, which are taken off them.
inline __m512i next_piece(__m512& low, __m512& high) {
  __m512i piece = (__m512i)_mm512_cvtne2ps_pbh(high, low);
  low = _mm512_sub_ps(low, widened(_mm512_castsi512_si256(piece)));
  high = _mm512_sub_ps(high, widened(_mm512_extracti64x4_epi64(piece, 1)));
  return piece;
}

/// The numbers 0 … 15 and 16 … 31 side by side in pairs: 0, 16, 1, 17, …
inline __m512i paired(__m512i numbers) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, numbers);
}

/// 16 × 16 lanes of 32 bits, in place.
inline void transpose(__m512i* r) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

inline void transpose_tile(uint16_t* tile) {
  __m512i rows[16];
  for (size_t i = 0; i < 16; i++) rows[i] = _mm512_load_si512(tile + i * kTileDepth);
  transpose(rows);
  for (size_t i = 0; i < 16; i++) _mm512_store_si512(tile + i * kTileDepth, rows[i]);
}

// A tile comes from memory as it lies there. Depths that are contiguous give rows: row i has the 32 depths of row i.
// Rows that are contiguous give pairs: row p has the depths 2p and 2p + 1 of all 16 rows, side by side. The tile
// instruction takes A in rows and B in pairs; each is the other's transpose in units of 32 bits.

void rows_of_floats(const Corner& corner, uint16_t* tiles, size_t plane) {
  const float* scale = corner.operand.depth_scale;
  if (scale) scale += corner.first_depth;
  for (size_t i = 0; i < 16; i++) {
    size_t depth = i < corner.rows ? corner.depth : 0;
    const float* row = corner.at<float>(i, 0);
    __mmask16 low_lanes = lanes16(depth), high_lanes = lanes16(depth > 16 ? depth - 16 : 0);
    __m512 low = _mm512_maskz_loadu_ps(low_lanes, row), high = _mm512_maskz_loadu_ps(high_lanes, row + 16);
    if (scale) {
      low = _mm512_mul_ps(low, _mm512_maskz_loadu_ps(low_lanes, scale));
      high = _mm512_mul_ps(high, _mm512_maskz_loadu_ps(high_lanes, scale + 16));
    }
    for (size_t p = 0; p < corner.operand.pieces; p++) {
      _mm512_store_si512(tiles + p * plane + i * kTileDepth, next_piece(low, high));
    }
  }
}

void pairs_of_floats(const Corner& corner, uint16_t* tiles, size_t plane) {
  auto read = [&](size_t depth) {
    __mmask16 there = depth < corner.depth ? lanes16(corner.rows) : 0;
    return _mm512_maskz_loadu_ps(there, corner.at<float>(0, depth));
  };
  for (size_t i = 0; i < 16; i++) {
    __m512 low = read(2 * i), high = read(2 * i + 1);
    for (size_t p = 0; p < corner.operand.pieces; p++) {
      _mm512_store_si512(tiles + p * plane + i * kTileDepth, paired(next_piece(low, high)));
    }
  }
}

void rows_of_bfloat16(const Corner& corner, uint16_t* tile) {
  for (size_t i = 0; i < 16; i++) {
    __mmask32 there = lanes32(i < corner.rows ? corner.depth : 0);
    _mm512_store_si512(tile + i * kTileDepth, _mm512_maskz_loadu_epi16(there, corner.at<uint16_t>(i, 0)));
  }
}

void pairs_of_bfloat16(const Corner& corner, uint16_t* tile) {
  auto read = [&](size_t depth) {
    __mmask32 there = depth < corner.depth ? lanes32(corner.rows) : 0;
    __m512i row = _mm512_maskz_loadu_epi16(there, corner.at<uint16_t>(0, depth));
    return _mm512_cvtepu16_epi32(_mm512_castsi512_si256(row));
  };
  for (size_t i = 0; i < 16; i++) {
    __m512i pairs = _mm512_or_si512(read(2 * i), _mm512_slli_epi32(read(2 * i + 1), 16));
    _mm512_store_si512(tile + i * kTileDepth, pairs);
  }
}

/// One tile of each piece, `plane` elements apart.
void pack_tile(const Corner& corner, uint16_t* tiles, size_t plane) {
  const TileOperand& operand = corner.operand;
  bool in_rows = operand.depth_stride == 1;
  if (operand.pieces > 1) {
    (in_rows ? rows_of_floats : pairs_of_floats)(corner, tiles, plane);
  } else {
    (in_rows ? rows_of_bfloat16 : pairs_of_bfloat16)(corner, tiles);
  }
  if (in_rows == operand.is_a) return;
  for (size_t p = 0; p < operand.pieces; p++) transpose_tile(tiles + p * plane);
}

void pack_panel(const TileOperand& x, const PackedBlock& block, size_t panel) {
  uint16_t* tiles = block.panel(panel);
  for (size_t step = 0; step < block.steps(); step++) {
    for (size_t half = 0; half < 2; half++) {
      size_t row = panel * kPanel + half * 16, depth = step * kTileDepth;
      size_t rows = row < block.rows ? at_most(block.rows - row, 16) : 0;
      Corner corner{x, block.first_row + row, block.first_depth + depth, rows, at_most(block.depth - depth, kTileDepth)};
      pack_tile(corner, tiles + (2 * step + half) * kTile, block.plane());
    }
  }
}

}  // namespace
}  // namespace spinquant::amx
