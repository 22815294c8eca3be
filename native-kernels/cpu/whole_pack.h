// Operands to panels of whole numbers of 16 bits, in the order of tile_pack.h: codes as they are, float32 numbers as
// multiples of a unit for each row of a block. Included by sources that are compiled for products of bfloat16 only.
#pragma once
#include <cstring>
#include "tile_pack.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// 16 numbers as whole ones.
inline __m512i whole_of(__m512 numbers) { return _mm512_cvtps_epi32(numbers); }

/// Two vectors of whole numbers side by side: 0 … 15, then 16 … 31.
inline __m512i in_a_row(__m512i low, __m512i high) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(low)), _mm512_cvtepi32_epi16(high), 1);
}

/// Number by number in pairs.
inline __m512i in_pairs(__m512i even, __m512i odd) {
  return _mm512_or_si512(_mm512_and_si512(even, _mm512_set1_epi32(0xffff)), _mm512_slli_epi32(odd, 16));
}

inline __m512 widened(__m256i bfloat16) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bfloat16), 16));
}

/// 16 codes from an element of the operand on, of which some are there.
inline __m512i load_codes(const TileOperand& x, size_t at, __mmask16 lanes) {
  if (x.type == TileData::int8) {
    return _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(lanes, static_cast<const int8_t*>(x.data) + at));
  }
  return whole_of(widened(_mm256_maskz_loadu_epi16(lanes, static_cast<const uint16_t*>(x.data) + at)));
}

/// 32 numbers of a row of floats, times their factors along the depth.
inline void load_scaled(const TileOperand& x, size_t row, size_t depth, size_t count, __m512& low, __m512& high) {
  load_row(static_cast<const float*>(x.data) + row * x.row_stride + depth, count, low, high);
  if (!x.depth_scale) return;
  __m512 low_scale, high_scale;
  load_row(x.depth_scale + depth, count, low_scale, high_scale);
  low = _mm512_mul_ps(low, low_scale), high = _mm512_mul_ps(high, high_scale);
}

inline __m512i size_bits(__m512 numbers) { return _mm512_castps_si512(_mm512_abs_ps(numbers)); }

/// The unit of a row of floats in a block: its largest number is kLargestWhole of them. Sizes are compared as whole
/// numbers, among which NaN is the largest: a row with NaN or infinity has a unit of these, and so gives NaN.
inline float unit_of(const TileOperand& x, const PackedBlock& block, size_t row) {
  __m512i highest = _mm512_setzero_si512();
  for (size_t depth = 0; depth < block.depth; depth += kTileDepth) {
    __m512 low, high;
    load_scaled(x, row, block.first_depth + depth, at_most(block.depth - depth, kTileDepth), low, high);
    highest = _mm512_max_epi32(highest, _mm512_max_epi32(size_bits(low), size_bits(high)));
  }
  const int32_t bits = _mm512_reduce_max_epi32(highest);
  float largest;
  std::memcpy(&largest, &bits, sizeof largest);
  return largest / static_cast<float>(kLargestWhole);
}

/// One row of a panel, all depths; zero if the block has no such row.
inline void pack_whole_row(const TileOperand& x, const PackedBlock& block, size_t panel, size_t row) {
  uint16_t* tiles = row_tiles(block, panel, row);
  const size_t in_block = panel * kPanel + row, index = block.first_row + in_block;
  const bool is_there = in_block < block.rows;
  const float unit = block.units && is_there ? unit_of(x, block, index) : 0;
  if (block.units) block.units[in_block] = unit;
  const __m512 factor = _mm512_set1_ps(unit > 0 ? 1.0f / unit : 0.0f);
  for (size_t depth = 0; depth < block.steps() * kTileDepth; depth += kTileDepth, tiles += 2 * kTile) {
    const size_t count = is_there && depth < block.depth ? at_most(block.depth - depth, kTileDepth) : 0;
    __m512i low, high;
    if (block.units) {
      __m512 low_floats, high_floats;
      load_scaled(x, is_there ? index : block.first_row, block.first_depth + depth, count, low_floats, high_floats);
      low = whole_of(_mm512_mul_ps(low_floats, factor)), high = whole_of(_mm512_mul_ps(high_floats, factor));
    } else {
      const size_t at = (is_there ? index : block.first_row) * x.row_stride + block.first_depth + depth;
      low = load_codes(x, at, lanes16(count));
      high = load_codes(x, at + 16, lanes16(count > 16 ? count - 16 : 0));
    }
    _mm512_store_si512(tiles, in_a_row(low, high));
  }
}

/// Codes of 16 rows from `row` on in pairs, at one step of the depth, where rows are contiguous.
inline void pack_whole_pairs(const TileOperand& x, const PackedBlock& block, size_t row, size_t step, uint16_t* tiles) {
  const __mmask16 lanes = lanes16(row < block.rows ? block.rows - row : 0);
  for (size_t i = 0; i < kTileDepth; i += 2, tiles += kTileDepth) {
    const size_t depth = step * kTileDepth + i;
    const size_t at = block.first_row + row + (block.first_depth + depth) * x.depth_stride;
    const __m512i even = load_codes(x, at, depth < block.depth ? lanes : 0);
    const __m512i odd = load_codes(x, at + x.depth_stride, depth + 1 < block.depth ? lanes : 0);
    _mm512_store_si512(tiles, in_pairs(even, odd));
  }
}

/// Panels first <= p < last of a block of whole numbers.
inline void pack_whole_panels(const TileOperand& x, const PackedBlock& block, size_t first, size_t last) {
  for (size_t panel = first; panel < last; panel++) {
    if (x.lies_in_rows()) {
      for (size_t row = 0; row < kPanel; row++) pack_whole_row(x, block, panel, row);
      for (size_t tile = 0; !x.is_a && tile < 2 * block.steps(); tile++) transpose_tile(block.panel(panel) + tile * kTile);
      continue;
    }
    for (size_t tile = 0; tile < 2 * block.steps(); tile++) {
      uint16_t* tiles = block.panel(panel) + tile * kTile;
      pack_whole_pairs(x, block, panel * kPanel + tile % 2 * 16, tile / 2, tiles);
      if (x.is_a) transpose_tile(tiles);
    }
  }
}

}  // namespace
}  // namespace spinquant::SPINQUANT_ISA
