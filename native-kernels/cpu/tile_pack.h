// Operands to tiles: float32 split into pieces, rows of A kept, columns of op(B) put in pairs. Included by sources that
// are compiled for products of bfloat16 only.
#pragma once
#include "tile_layout.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

inline __mmask16 lanes16(size_t count) { return count >= 16 ? 0xffff : static_cast<__mmask16>((1u << count) - 1); }
inline __mmask32 lanes32(size_t count) { return count >= 32 ? ~0u : (1u << count) - 1; }

/// The sign, the exponent and the first 8 bits: a bfloat16 number in the upper half of a lane.
inline __m512 upper_half(__m512 x) {
  return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(-0x10000)));
}

/// The numbers 0 … 15 and 16 … 31 side by side in pairs: 0, 16, 1, 17, …
inline __m512i paired(__m512i numbers) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, numbers);
}

/// Two vectors of numbers in pieces, `plane` elements apart: 32 in a row, or number by number in pairs. Each piece but
/// the last is what is left cut to 8 bits, the last one is rounded: two are off by at most 2^-16, three not at all.
template <size_t Pieces, bool Pairs>
inline void store_pieces(__m512 low, __m512 high, uint16_t* tiles, size_t plane) {
  for (size_t p = 0; p + 1 < Pieces; p++, tiles += plane) {
    __m512 low_piece = upper_half(low), high_piece = upper_half(high);
    __m512i pairs = _mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(low_piece), 16), _mm512_castps_si512(high_piece));
    _mm512_store_si512(tiles, Pairs ? pairs : (__m512i)_mm512_cvtne2ps_pbh(high_piece, low_piece));
    low = _mm512_sub_ps(low, low_piece);
    high = _mm512_sub_ps(high, high_piece);
  }
  __m512i last = (__m512i)_mm512_cvtne2ps_pbh(high, low);
  _mm512_store_si512(tiles, Pairs ? paired(last) : last);
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
// Memory is read in long runs: where depths are contiguous a row at a time, else a step of the depth at a time.

/// Returns where a row of a panel (0 … 31) lies in the tiles of its first piece and first step.
inline uint16_t* row_tiles(const PackedBlock& block, size_t panel, size_t row) {
  return block.panel(panel) + row / 16 * kTile + row % 16 * kTileDepth;
}

/// 32 floats, of which `count` are there.
inline void load_row(const float* row, size_t count, __m512& low, __m512& high) {
  if (count == kTileDepth) {
    low = _mm512_loadu_ps(row), high = _mm512_loadu_ps(row + 16);
  } else {
    low = _mm512_maskz_loadu_ps(lanes16(count), row);
    high = _mm512_maskz_loadu_ps(lanes16(count > 16 ? count - 16 : 0), row + 16);
  }
}

/// 32 whole numbers of a byte, of which `count` are there.
inline void load_row(const int8_t* row, size_t count, __m512& low, __m512& high) {
  __m256i bytes = _mm256_maskz_loadu_epi8(lanes32(count), row);
  low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(bytes)));
  high = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(bytes, 1)));
}

/// One row of a panel, all depths; zero if the block has no such row.
template <size_t Pieces>
void pack_row(const TileOperand& x, const PackedBlock& block, size_t panel, size_t row) {
  uint16_t* tiles = row_tiles(block, panel, row);
  bool is_there = panel * kPanel + row < block.rows;
  size_t index = block.first_row + panel * kPanel + row, start = index * x.row_stride + block.first_depth;
  bool is_divided = x.units && x.type == TileData::float32;
  __m512 factor = _mm512_set1_ps(is_divided && is_there ? 1.0f / x.units[index] : 1.0f);
  for (size_t step = 0; step < block.steps(); step++, tiles += 2 * kTile) {
    size_t depth = step * kTileDepth, count = is_there ? at_most(block.depth - depth, kTileDepth) : 0;
    if (x.type == TileData::bfloat16) {
      const uint16_t* data = static_cast<const uint16_t*>(x.data) + start + depth;
      _mm512_store_si512(tiles, _mm512_maskz_loadu_epi16(lanes32(count), data));
      continue;
    }
    __m512 low, high;
    if (x.type == TileData::int8) {
      load_row(static_cast<const int8_t*>(x.data) + start + depth, count, low, high);
    } else {
      load_row(static_cast<const float*>(x.data) + start + depth, count, low, high);
    }
    if (x.depth_scale) {
      __m512 low_scale, high_scale;
      load_row(x.depth_scale + block.first_depth + depth, count, low_scale, high_scale);
      low = _mm512_mul_ps(low, low_scale), high = _mm512_mul_ps(high, high_scale);
    } else if (is_divided) {
      low = _mm512_mul_ps(low, factor), high = _mm512_mul_ps(high, factor);
    }
    store_pieces<Pieces, false>(low, high, tiles, block.plane());
  }
}

inline __m512 load_bytes(__mmask16 lanes, const int8_t* data) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(lanes, data)));
}

/// Where rows are contiguous, the numbers at a depth are multiplied with this factor.
inline float depth_factor(const TileOperand& x, size_t depth) {
  return x.depth_scale ? x.depth_scale[depth] : x.units ? 1.0f / x.units[depth] : 1.0f;
}

/// The pairs of 16 rows from `row` on at one step of the depth.
template <size_t Pieces>
void pack_pairs(const TileOperand& x, const PackedBlock& block, size_t row, size_t step, uint16_t* tiles) {
  size_t rows = row < block.rows ? at_most(block.rows - row, 16) : 0;
  size_t depth = step * kTileDepth, count = at_most(block.depth - depth, kTileDepth);
  size_t start = block.first_row + row + (block.first_depth + depth) * x.depth_stride;
  bool is_scaled = x.depth_scale || (x.units && x.type == TileData::float32);
  for (size_t i = 0; i < kTileDepth; i += 2, tiles += kTileDepth) {
    __mmask16 first = i < count ? lanes16(rows) : 0, second = i + 1 < count ? lanes16(rows) : 0;
    size_t at = start + i * x.depth_stride;
    if (x.type == TileData::bfloat16) {
      const uint16_t* data = static_cast<const uint16_t*>(x.data) + at;
      __m256i even = _mm256_maskz_loadu_epi16(first, data), odd = _mm256_maskz_loadu_epi16(second, data + x.depth_stride);
      __m512i pairs = _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16);
      _mm512_store_si512(tiles, _mm512_or_si512(_mm512_cvtepu16_epi32(even), pairs));
      continue;
    }
    if (x.type == TileData::int8) {
      const int8_t* data = static_cast<const int8_t*>(x.data) + at;
      store_pieces<1, true>(load_bytes(first, data), load_bytes(second, data + x.depth_stride), tiles, block.plane());
      continue;
    }
    const float* data = static_cast<const float*>(x.data) + at;
    __m512 low = _mm512_maskz_loadu_ps(first, data), high = _mm512_maskz_loadu_ps(second, data + x.depth_stride);
    if (is_scaled && first) low = _mm512_mul_ps(low, _mm512_set1_ps(depth_factor(x, block.first_depth + depth + i)));
    if (is_scaled && second) {
      high = _mm512_mul_ps(high, _mm512_set1_ps(depth_factor(x, block.first_depth + depth + i + 1)));
    }
    store_pieces<Pieces, true>(low, high, tiles, block.plane());
  }
}

template <size_t Pieces>
void pack_rows_of(const TileOperand& x, const PackedBlock& block, size_t panel) {
  for (size_t row = 0; row < kPanel; row++) pack_row<Pieces>(x, block, panel, row);
  if (x.is_a) return;
  for (size_t tile = 0; tile < 2 * Pieces * block.steps(); tile++) transpose_tile(block.panel(panel) + tile * kTile);
}

template <size_t Pieces>
void pack_step_of(const TileOperand& x, const PackedBlock& block, size_t panel, size_t step) {
  for (size_t half = 0; half < 2; half++) {
    uint16_t* tiles = block.panel(panel) + (2 * step + half) * kTile;
    pack_pairs<Pieces>(x, block, panel * kPanel + half * 16, step, tiles);
    for (size_t p = 0; x.is_a && p < Pieces; p++) transpose_tile(tiles + p * block.plane());
  }
}

/// Panels first <= p < last of a block.
inline void pack_panels(const TileOperand& x, const PackedBlock& block, size_t first, size_t last) {
  if (x.lies_in_rows()) {
    auto pack = x.pieces == 1 ? pack_rows_of<1> : x.pieces == 2 ? pack_rows_of<2> : pack_rows_of<3>;
    for (size_t panel = first; panel < last; panel++) pack(x, block, panel);
    return;
  }
  auto pack = x.pieces == 1 ? pack_step_of<1> : x.pieces == 2 ? pack_step_of<2> : pack_step_of<3>;
  for (size_t step = 0; step < block.steps(); step++) {
    for (size_t panel = first; panel < last; panel++) pack(x, block, panel, step);
  }
}

inline void pack_all(const TileOperand& x, const PackedBlock& block) { pack_panels(x, block, 0, block.panels()); }

}  // namespace
}  // namespace spinquant::SPINQUANT_ISA
