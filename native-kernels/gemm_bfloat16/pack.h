// Operands to tiles: rows of A split into pieces, rows or columns of B put in pairs. Included by amx.cc only.
#pragma once
#include "gemm_bfloat16.h"

namespace spinquant::amx {
namespace {

/// Part of an operand that one tile holds: where it begins, and how many of its 16 rows and 32 depths are there.
struct Corner {
  const GemmOperand& operand;
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

/// 16 rows of A, 32 depths each: the next 8 bits of every number in each piece.
void pack_a_tile(const Corner& corner, uint16_t* tiles, size_t plane) {
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
    for (size_t p = 0; p < kPieces; p++) {
      __m512i piece = (__m512i)_mm512_cvtne2ps_pbh(high, low);
      _mm512_store_si512(tiles + p * plane + i * kTileDepth, piece);
      low = _mm512_sub_ps(low, widened(_mm512_castsi512_si256(piece)));
      high = _mm512_sub_ps(high, widened(_mm512_extracti64x4_epi64(piece, 1)));
    }
  }
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

/// Row p of the tile: the depths 2p and 2p + 1 of 16 columns of op(B), side by side.
void pack_b_tile(const Corner& corner, uint16_t* tile) {
  __m512i rows[16];
  if (corner.operand.depth_stride == 1) {
    // Row i in memory is column i of op(B): its pairs lie side by side already.
    for (size_t i = 0; i < 16; i++) {
      __mmask32 there = lanes32(i < corner.rows ? corner.depth : 0);
      rows[i] = _mm512_maskz_loadu_epi16(there, corner.at<uint16_t>(i, 0));
    }
    transpose(rows);
  } else {
    auto read = [&](size_t depth) {
      __mmask32 there = depth < corner.depth ? lanes32(corner.rows) : 0;
      __m512i row = _mm512_maskz_loadu_epi16(there, corner.at<uint16_t>(0, depth));
      return _mm512_cvtepu16_epi32(_mm512_castsi512_si256(row));
    };
    for (size_t p = 0; p < 16; p++) rows[p] = _mm512_or_si512(read(2 * p), _mm512_slli_epi32(read(2 * p + 1), 16));
  }
  for (size_t p = 0; p < 16; p++) _mm512_store_si512(tile + p * kTileDepth, rows[p]);
}

void pack_panel(const GemmOperand& x, const PackedBlock& block, size_t panel) {
  uint16_t* tiles = block.panel(panel);
  for (size_t step = 0; step < block.steps(); step++) {
    for (size_t half = 0; half < 2; half++) {
      size_t row = panel * kPanel + half * 16, depth = step * kTileDepth;
      size_t rows = row < block.rows ? at_most(block.rows - row, 16) : 0;
      Corner corner{x, block.first_row + row, block.first_depth + depth, rows, at_most(block.depth - depth, kTileDepth)};
      uint16_t* tile = tiles + (2 * step + half) * kTile;
      if (x.is_a) {
        pack_a_tile(corner, tile, block.plane());
      } else {
        pack_b_tile(corner, tile);
      }
    }
  }
}

}  // namespace
}  // namespace spinquant::amx
