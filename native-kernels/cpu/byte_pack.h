// Operands to panels of whole numbers of 8 bits, in the order of tile_pack.h with four numbers in place of a pair: codes as
// they are, all else as multiples of a unit for each row of a block. A's bytes are 128 larger, and so never negative.
// Included by sources that are compiled for products of bfloat16 only.
#pragma once
#include <cstring>
#include "whole_pack.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Numbers of the depth in a tile.
constexpr size_t kByteDepth = 2 * kTileDepth;

/// 16 numbers from an element of the operand on, of which some are there.
template <TileData Type>
inline __m512 load_numbers(const TileOperand& x, size_t at, __mmask16 lanes) {
  if (Type == TileData::int8) return load_bytes(lanes, static_cast<const int8_t*>(x.data) + at);
  if (Type == TileData::float32) return _mm512_maskz_loadu_ps(lanes, static_cast<const float*>(x.data) + at);
  return widened(_mm256_maskz_loadu_epi16(lanes, static_cast<const uint16_t*>(x.data) + at));
}

/// The units of 16 rows whose largest numbers have these bits: multiples of a unit that fit a byte stay what they are.
inline __m512 byte_units(const TileOperand& x, __m512i size_bits) {
  const __m512 largest = _mm512_castsi512_ps(size_bits), most = _mm512_set1_ps(kLargestByte);
  const __m512 units = _mm512_div_ps(largest, most);
  if (!x.units) return units;
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(largest, _mm512_set1_ps(kLargestByte + 0.5f), _CMP_LE_OQ), units,
                              _mm512_set1_ps(1));
}

/// What numbers are multiplied with to be multiples of these units. A unit of NaN or infinity makes all products NaN.
inline __m512 inverse_of(__m512 units) {
  const __mmask16 positive = _mm512_cmp_ps_mask(units, _mm512_setzero_ps(), _CMP_GT_OQ);
  return _mm512_maskz_div_ps(positive, _mm512_set1_ps(1), units);
}

/// Four vectors of numbers as bytes, halves to even: in their order in each 128 bits of a vector.
inline __m512i bytes_of(const __m512 (&numbers)[4]) {
  const __m512i low = _mm512_packs_epi32(whole_of(numbers[0]), whole_of(numbers[1]));
  return _mm512_packs_epi16(low, _mm512_packs_epi32(whole_of(numbers[2]), whole_of(numbers[3])));
}

/// Zero as A's bytes and as B's.
inline __m512i zero_byte(const TileOperand& x) { return _mm512_set1_epi8(x.is_a ? -128 : 0); }

/// 64 numbers of a row from a depth on, times their factors along it.
template <TileData Type>
inline void load_64(const TileOperand& x, size_t row, size_t depth, size_t count, __m512 factor, __m512 (&numbers)[4]) {
  for (size_t i = 0; i < 4; i++) {
    const __mmask16 lanes = lanes16(count > 16 * i ? count - 16 * i : 0);
    numbers[i] = _mm512_mul_ps(load_numbers<Type>(x, row * x.row_stride + depth + 16 * i, lanes), factor);
    if (!x.depth_scale) continue;
    numbers[i] = _mm512_mul_ps(numbers[i], _mm512_maskz_loadu_ps(lanes, x.depth_scale + depth + 16 * i));
  }
}

/// The bits of the largest number of a row in a block, as whole numbers, among which NaN is the largest.
template <TileData Type>
inline __m512i largest_bits(const TileOperand& x, const PackedBlock& block, size_t row, __m512 factor) {
  __m512i highest[4] = {};
  for (size_t depth = 0; depth < block.depth; depth += kByteDepth) {
    __m512 numbers[4];
    load_64<Type>(x, row, block.first_depth + depth, block.depth - depth, factor, numbers);
    for (size_t i = 0; i < 4; i++) highest[i] = _mm512_max_epi32(highest[i], size_bits(numbers[i]));
  }
  const __m512i all = _mm512_max_epi32(_mm512_max_epi32(highest[0], highest[1]), _mm512_max_epi32(highest[2], highest[3]));
  return _mm512_set1_epi32(_mm512_reduce_max_epi32(all));
}

/// One row of a panel that the block has, all depths.
template <TileData Type>
inline void pack_byte_row(const TileOperand& x, const PackedBlock& block, size_t in_block, uint16_t* tiles) {
  const size_t row = block.first_row + in_block;
  const bool is_divided = x.units && Type == TileData::float32;
  __m512 factor = _mm512_set1_ps(is_divided ? 1.0f / x.units[row] : 1.0f), unit = _mm512_set1_ps(1);
  if (!x.is_codes()) {
    unit = byte_units(x, largest_bits<Type>(x, block, row, factor));
    factor = _mm512_mul_ps(factor, inverse_of(unit));
  }
  block.units[in_block] = _mm512_cvtss_f32(unit);
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  for (size_t depth = 0; depth < block.depth; depth += kByteDepth, tiles += 2 * kTile) {
    __m512 numbers[4];
    load_64<Type>(x, row, block.first_depth + depth, block.depth - depth, factor, numbers);
    const __m512i bytes = _mm512_permutexvar_epi32(order, bytes_of(numbers));
    _mm512_store_si512(tiles, _mm512_xor_si512(bytes, zero_byte(x)));
  }
}

template <TileData Type>
void pack_byte_rows(const TileOperand& x, const PackedBlock& block, size_t panel) {
  for (size_t row = 0; row < kPanel; row++) {
    const size_t in_block = panel * kPanel + row;
    uint16_t* tiles = row_tiles(block, panel, row);
    if (in_block < block.rows) {
      pack_byte_row<Type>(x, block, in_block, tiles);
      continue;
    }
    block.units[in_block] = 0;
    for (size_t step = 0; step < block.steps(); step++) _mm512_store_si512(tiles + step * 2 * kTile, zero_byte(x));
  }
  for (size_t tile = 0; !x.is_a && tile < 2 * block.steps(); tile++) transpose_tile(block.panel(panel) + tile * kTile);
}

/// Rows of the block from `row` on, at most 16.
inline __mmask16 rows_there(const PackedBlock& block, size_t row) {
  return lanes16(row < block.rows ? block.rows - row : 0);
}

/// Where rows are contiguous: the units of 16 rows take in a step of the depth, as bits of the largest number.
template <TileData Type>
inline void raise_largest(const TileOperand& x, const PackedBlock& block, size_t row, size_t step) {
  const __mmask16 lanes = rows_there(block, row);
  const size_t end = at_most(block.depth, (step + 1) * kByteDepth);
  __m512i highest = step == 0 ? _mm512_setzero_si512() : _mm512_loadu_si512(block.units + row);
  for (size_t depth = step * kByteDepth; depth < end; depth++) {
    const size_t at = block.first_depth + depth;
    const __m512 numbers = load_numbers<Type>(x, block.first_row + row + at * x.depth_stride, lanes);
    highest = _mm512_max_epi32(highest, size_bits(_mm512_mul_ps(numbers, _mm512_set1_ps(depth_factor(x, at)))));
  }
  _mm512_storeu_si512(block.units + row, highest);
}

/// Numbers of 16 rows at four depths, as bytes: the four of a row side by side.
template <TileData Type>
inline __m512i pack_four(const TileOperand& x, const PackedBlock& block, size_t row, size_t depth, __mmask16 lanes,
                         __m512 factor) {
  const __m512i interleaved = _mm512_set4_epi32(0x0f0b0703, 0x0e0a0602, 0x0d090501, 0x0c080400);
  __m512 numbers[4];
  for (size_t i = 0; i < 4; i++) {
    const size_t at = block.first_depth + depth + i;
    const bool is_there = depth + i < block.depth;
    numbers[i] = _mm512_setzero_ps();
    if (!is_there) continue;
    const __m512 along = Type == TileData::float32 ? _mm512_set1_ps(depth_factor(x, at)) : _mm512_set1_ps(1);
    const __m512 found = load_numbers<Type>(x, block.first_row + row + at * x.depth_stride, lanes);
    numbers[i] = _mm512_mul_ps(_mm512_mul_ps(found, along), factor);
  }
  return _mm512_shuffle_epi8(bytes_of(numbers), interleaved);
}

template <TileData Type>
inline void pack_byte_columns(const TileOperand& x, const PackedBlock& block, size_t row, size_t step, uint16_t* tile) {
  const __mmask16 lanes = rows_there(block, row);
  const __m512 factor = inverse_of(_mm512_loadu_ps(block.units + row));
  for (size_t four = 0; four < kByteDepth; four += 4) {
    const __m512i bytes = pack_four<Type>(x, block, row, step * kByteDepth + four, lanes, factor);
    _mm512_store_si512(tile + four / 4 * kTileDepth, _mm512_xor_si512(bytes, zero_byte(x)));
  }
  if (x.is_a) transpose_tile(tile);
}

/// So many panels are read in long runs, and stay in the second-level cache from their units to their bytes.
constexpr size_t kPanelsAcross = 4;

/// Panels first <= p < last where rows are contiguous.
template <TileData Type>
void pack_bytes_across(const TileOperand& x, const PackedBlock& block, size_t first, size_t last) {
  for (size_t step = 0; !x.is_codes() && step < block.steps(); step++) {
    for (size_t row = first * kPanel; row < last * kPanel; row += 16) raise_largest<Type>(x, block, row, step);
  }
  for (size_t row = first * kPanel; row < last * kPanel; row += 16) {
    const __m512 units = x.is_codes() ? _mm512_set1_ps(1) : byte_units(x, _mm512_loadu_si512(block.units + row));
    _mm512_storeu_ps(block.units + row, units);
  }
  for (size_t step = 0; step < block.steps(); step++) {
    for (size_t panel = first; panel < last; panel++) {
      for (size_t half = 0; half < 2; half++) {
        pack_byte_columns<Type>(x, block, panel * kPanel + half * 16, step, block.panel(panel) + (2 * step + half) * kTile);
      }
    }
  }
}

/// -128 times the sum of each of B's rows.
inline void sum_rows(const PackedBlock& block, size_t panel) {
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i sums[2] = {};
  const uint16_t* tiles = block.panel(panel);
  for (size_t tile = 0; tile < 2 * block.steps(); tile++, tiles += kTile) {
    for (size_t four = 0; four < 16; four++) {
      sums[tile % 2] = _mm512_dpbusd_epi32(sums[tile % 2], ones, _mm512_load_si512(tiles + four * kTileDepth));
    }
  }
  for (size_t half = 0; half < 2; half++) {
    const __m512i start = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sums[half], 7));
    _mm512_storeu_si512(block.starts() + panel * kPanel + 16 * half, start);
  }
}

template <TileData Type>
void pack_bytes(const TileOperand& x, const PackedBlock& block, size_t first, size_t last) {
  for (size_t panel = first; panel < last; panel += kPanelsAcross) {
    const size_t end = at_most(last, panel + kPanelsAcross);
    if (!x.lies_in_rows()) pack_bytes_across<Type>(x, block, panel, end);
    for (size_t each = panel; each < end; each++) {
      if (x.lies_in_rows()) pack_byte_rows<Type>(x, block, each);
      if (!x.is_a) sum_rows(block, each);
    }
  }
}

/// Panels first <= p < last of a block of bytes.
inline void pack_byte_panels(const TileOperand& x, const PackedBlock& block, size_t first, size_t last) {
  switch (x.type) {
    case TileData::float32: return pack_bytes<TileData::float32>(x, block, first, last);
    case TileData::bfloat16: return pack_bytes<TileData::bfloat16>(x, block, first, last);
    case TileData::int8: return pack_bytes<TileData::int8>(x, block, first, last);
  }
}

}  // namespace
}  // namespace spinquant::SPINQUANT_ISA
