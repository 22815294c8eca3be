// Products of packed panels of whole numbers of 8 bits, on vectors of 512 bits. Included by sources that are compiled for
// products of bfloat16 only.
//
// One instruction multiplies four unsigned bytes with four signed ones in each lane. A is packed 128 larger than it is;
// sums begin with what that adds to them, so that they end as Σ a·b.
#pragma once
#include <immintrin.h>
#include <cstring>
#include "tile_layout.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Rows of A whose sums stay in registers: two vectors each, 16 of 32.
constexpr size_t kByteRows = 8;

/// One step of the depth, 64 numbers: rows of A 64 bytes apart, B's two tiles.
inline void add_byte_step(__m512i (&sums)[kByteRows][2], const uint16_t* a, const uint16_t* b) {
#pragma GCC unroll 2
  for (size_t four = 0; four < kTileDepth / 2; four++, a += 2, b += kTileDepth) {
    const __m512i first = _mm512_load_si512(b), second = _mm512_load_si512(b + kTile);
#pragma GCC unroll 8
    for (size_t row = 0; row < kByteRows; row++) {
      int32_t bytes;
      std::memcpy(&bytes, a + row * kTileDepth, sizeof bytes);
      const __m512i of_row = _mm512_set1_epi32(bytes);
      sums[row][0] = _mm512_dpbusd_epi32(sums[row][0], of_row, first);
      sums[row][1] = _mm512_dpbusd_epi32(sums[row][1], of_row, second);
    }
  }
}

/// 32 × 32 of C = sums + row unit · column unit · (A·Bᵀ), C and `sums` with the same stride; null means zeros.
/// @param starts [32], what the sums of a column begin with.
inline void multiply_bytes(const uint16_t* a, const uint16_t* b, size_t steps, const float* row_units,
                           const float* column_units, const int32_t* starts, const float* sums, float* c,
                           size_t stride) {
  const __m512i start[2] = {_mm512_loadu_si512(starts), _mm512_loadu_si512(starts + 16)};
  const __m512 column[2] = {_mm512_loadu_ps(column_units), _mm512_loadu_ps(column_units + 16)};
  for (size_t first = 0; first < kPanel; first += kByteRows) {
    __m512i products[kByteRows][2];
    for (size_t row = 0; row < kByteRows; row++) products[row][0] = start[0], products[row][1] = start[1];
    const uint16_t* a_rows = a + first / 16 * kTile + first % 16 * kTileDepth;
    for (size_t step = 0; step < steps; step++) add_byte_step(products, a_rows + step * 2 * kTile, b + step * 2 * kTile);
    for (size_t row = 0; row < kByteRows; row++) {
      const __m512 unit = _mm512_set1_ps(row_units[first + row]);
      for (size_t half = 0; half < 2; half++) {
        const size_t at = (first + row) * stride + 16 * half;
        const __m512 before = sums ? _mm512_loadu_ps(sums + at) : _mm512_setzero_ps();
        const __m512 numbers = _mm512_cvtepi32_ps(products[row][half]);
        _mm512_storeu_ps(c + at, _mm512_fmadd_ps(numbers, _mm512_mul_ps(unit, column[half]), before));
      }
    }
  }
}

}  // namespace
}  // namespace spinquant::SPINQUANT_ISA
