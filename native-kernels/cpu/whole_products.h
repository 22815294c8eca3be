// Products of packed panels of whole numbers of 16 bits, on vectors of 512 bits. Included by sources that are compiled
// for products of bfloat16 only.
#pragma once
#include <immintrin.h>
#include <cstring>
#include "tile_layout.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Rows of A whose sums stay in registers: two vectors each, 16 of 32.
constexpr size_t kWholeRows = 8;

/// One step of the depth: rows of A 64 bytes apart, B's two tiles. Pairs are multiplied and added in 32 bits.
inline void add_whole_step(__m512i (&sums)[kWholeRows][2], const uint16_t* a, const uint16_t* b) {
#pragma GCC unroll 2
  for (size_t pair = 0; pair < kTileDepth / 2; pair++, a += 2, b += kTileDepth) {
    const __m512i first = _mm512_load_si512(b), second = _mm512_load_si512(b + kTile);
#pragma GCC unroll 8
    for (size_t row = 0; row < kWholeRows; row++) {
      int32_t both;
      std::memcpy(&both, a + row * kTileDepth, sizeof both);
      const __m512i of_row = _mm512_set1_epi32(both);
      sums[row][0] = _mm512_dpwssd_epi32(sums[row][0], of_row, first);
      sums[row][1] = _mm512_dpwssd_epi32(sums[row][1], of_row, second);
    }
  }
}

/// 32 × 32 of C = sums + units·(A·Bᵀ), C and `sums` with the same stride; null means zeros. Rows have units, or columns.
/// Blocks are at most kWholeDepth deep, so that nothing overflows (tile_layout.h).
inline void multiply_whole(const uint16_t* a, const uint16_t* b, size_t steps, const float* row_units,
                           const float* column_units, const float* sums, float* c, size_t stride) {
  for (size_t first = 0; first < kPanel; first += kWholeRows) {
    __m512i products[kWholeRows][2] = {};
    const uint16_t* a_rows = a + first / 16 * kTile + first % 16 * kTileDepth;
    for (size_t step = 0; step < steps; step++) add_whole_step(products, a_rows + step * 2 * kTile, b + step * 2 * kTile);
    for (size_t row = first; row < first + kWholeRows; row++) {
      for (size_t half = 0; half < 2; half++) {
        const size_t at = row * stride + 16 * half;
        const __m512 unit = row_units ? _mm512_set1_ps(row_units[row]) : _mm512_loadu_ps(column_units + 16 * half);
        const __m512 before = sums ? _mm512_loadu_ps(sums + at) : _mm512_setzero_ps();
        const __m512 numbers = _mm512_cvtepi32_ps(products[row - first][half]);
        _mm512_storeu_ps(c + at, _mm512_fmadd_ps(numbers, unit, before));
      }
    }
  }
}

}  // namespace
}  // namespace spinquant::SPINQUANT_ISA
