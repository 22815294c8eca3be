// Rows of queries in the lanes of vectors, as whole numbers of three bytes: what many rows over the same tokens share.
// A vector of theirs is multiplied by four codes of a token, or of four tokens, that are the same for all lanes.
#pragma once
#include "byte_multiples.h"

namespace spinquant::SPINQUANT_ISA {

/// Vectors of rows that are multiplied together: with four items their sums take 24 of 32 registers.
constexpr size_t kRowVecs = kLaneRows / kLanes;
constexpr size_t kItems = 4;

/// Words of an item of one vector and byte.
constexpr size_t kItemWords = kBytes * kLaneRows;

/// `unit_of` of each lane; sizes are those that `larger_size` compares.
SPINQUANT_INLINE Vec units_of(IntVec sizes) {
  const IntVec exponents = sizes >> 23;
  const IntVec low = splat_int(27);
  const Vec units = from_bits(((exponents > low ? exponents : low) - splat_int(21)) << 23);
  return choose(exponents == splat_int(255), splat(__builtin_nanf("")), units);
}

/// The three bytes of four numbers in each lane: byte by byte those of numbers 0, 2, 1 and 3.
SPINQUANT_INLINE void store_items(const __m512i (&x)[kItems], int32_t* to) {
  const __m512i even = _mm512_set1_epi32(0x00ff00ff);
  constexpr __mmask32 upper = 0xaaaaaaaa;
  const __m512i low01 = _mm512_mask_blend_epi16(upper, x[0], _mm512_slli_epi32(x[1], 16));
  const __m512i low23 = _mm512_mask_blend_epi16(upper, x[2], _mm512_slli_epi32(x[3], 16));
  const __m512i high01 = _mm512_mask_blend_epi16(upper, _mm512_srli_epi32(x[0], 16), x[1]);
  const __m512i high23 = _mm512_mask_blend_epi16(upper, _mm512_srli_epi32(x[2], 16), x[3]);
  // Where the mask is set the second operand, else the third one.
  constexpr int choice = 0xca;
  _mm512_storeu_si512(to, _mm512_ternarylogic_epi32(even, low01, _mm512_slli_epi16(low23, 8), choice));
  _mm512_storeu_si512(to + kLaneRows, _mm512_ternarylogic_epi32(even, _mm512_srli_epi16(low01, 8), low23, choice));
  _mm512_storeu_si512(to + 2 * kLaneRows,
                      _mm512_ternarylogic_epi32(even, high01, _mm512_slli_epi16(high23, 8), choice));
}

/// Adds four products of codes and bytes to each lane; for an instruction of ours see `add_products`.
SPINQUANT_INLINE void add_lanes(__m512i& sum, __m512i codes, __m512i bytes) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes), "v"(bytes));
}

typedef __m512i LaneSums[kItems][kRowVecs][kBytes];

/// Σ codes[i + k·step] · bytes[k] for four items i of codes, over `depth` words of four.
SPINQUANT_INLINE void lane_tile(const int32_t* codes, size_t step, const int32_t* bytes, size_t depth, LaneSums& sums) {
  SPINQUANT_UNROLL for (size_t i = 0; i < kItems; i++) {
    SPINQUANT_UNROLL for (size_t v = 0; v < kRowVecs; v++) {
      SPINQUANT_UNROLL for (size_t b = 0; b < kBytes; b++) sums[i][v][b] = _mm512_setzero_si512();
    }
  }
  for (size_t k = 0; k < depth; k++, codes += step, bytes += kItemWords) {
    __m512i own[kRowVecs][kBytes];
    SPINQUANT_UNROLL for (size_t v = 0; v < kRowVecs; v++) {
      SPINQUANT_UNROLL for (size_t b = 0; b < kBytes; b++) {
        own[v][b] = _mm512_loadu_si512(bytes + (b * kRowVecs + v) * kLanes);
        // Else GCC 12 loads it anew for each item.
        asm volatile("" : "+v"(own[v][b]));
      }
    }
    SPINQUANT_UNROLL for (size_t i = 0; i < kItems; i++) {
      const __m512i item = _mm512_set1_epi32(codes[i]);
      SPINQUANT_UNROLL for (size_t v = 0; v < kRowVecs; v++) {
        SPINQUANT_UNROLL for (size_t b = 0; b < kBytes; b++) add_lanes(sums[i][v][b], item, own[v][b]);
      }
    }
  }
}

}  // namespace spinquant::SPINQUANT_ISA
