// Products of packed panels of bfloat16 on vectors of 512 bits. Included by tile_products.h only.
//
// One instruction multiplies the pairs of a row of B's tile, 16 columns, with one pair of A, and adds both products of a
// column to its sum.
#pragma once
#include <immintrin.h>
#include <cstring>
#include "tile_layout.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Tiles need a state of the processor; vectors do not.
struct TileScope {
  TileScope() {}
};

/// Rows of A whose sums stay in registers: two vectors each, 16 of 32.
constexpr size_t kRowsTogether = 8;

/// Four bytes of A in every lane.
inline __m512bh spread_pair(const uint16_t* pair) {
  int32_t both;
  std::memcpy(&both, pair, sizeof both);
  return (__m512bh)_mm512_set1_epi32(both);
}

/// One step of the depth of one piece of each factor: rows of A 64 bytes apart, B's two tiles.
inline void add_step(__m512 (&sums)[kRowsTogether][2], const uint16_t* a, const uint16_t* b) {
#pragma GCC unroll 2
  for (size_t pair = 0; pair < kTileDepth / 2; pair++, a += 2, b += kTileDepth) {
    const __m512bh first = (__m512bh)_mm512_load_si512(b), second = (__m512bh)_mm512_load_si512(b + kTile);
#pragma GCC unroll 8
    for (size_t row = 0; row < kRowsTogether; row++) {
      const __m512bh of_row = spread_pair(a + row * kTileDepth);
      sums[row][0] = _mm512_dpbf16_ps(sums[row][0], of_row, first);
      sums[row][1] = _mm512_dpbf16_ps(sums[row][1], of_row, second);
    }
  }
}

/// 32 × 32 of C = sums + A·Bᵀ, C and `sums` with the same stride; null means zeros. The products are those that
/// tile_layout.h lists for so many pieces.
template <size_t PiecesA, size_t PiecesB>
inline void multiply_block(const uint16_t* a, size_t a_plane, const uint16_t* b, size_t b_plane, size_t steps,
                           const float* sums, float* c, size_t stride) {
  for (size_t first = 0; first < kPanel; first += kRowsTogether, c += kRowsTogether * stride) {
    __m512 rows[kRowsTogether][2];
    for (size_t row = 0; row < kRowsTogether; row++) {
      for (size_t half = 0; half < 2; half++) {
        rows[row][half] = sums ? _mm512_loadu_ps(sums + (first + row) * stride + 16 * half) : _mm512_setzero_ps();
      }
    }
    const uint16_t* a_rows = a + first / 16 * kTile + first % 16 * kTileDepth;
    for (size_t step = 0; step < steps; step++) {
      const size_t at = step * 2 * kTile;
      for (size_t piece = PiecesB; piece-- > 1;) add_step(rows, a_rows + at, b + at + piece * b_plane);
      for (size_t piece = PiecesA; piece-- > 0;) add_step(rows, a_rows + at + piece * a_plane, b + at);
    }
    for (size_t row = 0; row < kRowsTogether; row++) {
      for (size_t half = 0; half < 2; half++) _mm512_storeu_ps(c + row * stride + 16 * half, rows[row][half]);
    }
  }
}

}  // namespace
}  // namespace spinquant::SPINQUANT_ISA
