// Numbers as whole multiples of a unit, in signed bytes, and products of those with codes. Included by sources that are
// compiled for products of bytes only.
#pragma once
#include "codes.h"

namespace spinquant::SPINQUANT_ISA {

/// Sizes are compared as whole numbers, among which NaN is the largest.
SPINQUANT_INLINE IntVec larger_size(IntVec sizes, Vec numbers) {
  return reinterpret_cast<IntVec>(
      _mm512_max_epi32(reinterpret_cast<__m512i>(sizes), reinterpret_cast<__m512i>(bits_of(abs(numbers)))));
}

SPINQUANT_INLINE float largest_size(IntVec sizes) {
  const int32_t bits = _mm512_reduce_max_epi32(reinterpret_cast<__m512i>(sizes));
  float largest;
  memcpy(&largest, &bits, sizeof largest);
  return largest;
}

constexpr size_t kBytes = 3;

/// The unit of numbers up to `largest`·2^power: fewer than 2^22 make a number, and it is off by half a unit, at most
/// 2^-22 of the largest one. A power of two, so that numbers are divided by it exactly. NaN for what is not finite, and
/// so is what is multiplied with it. Below 2^-100 numbers count as zero: the inverse of their unit is finite.
inline float unit_of(float largest, int32_t power) {
  uint32_t bits;
  memcpy(&bits, &largest, sizeof bits);
  const int32_t exponent = static_cast<int32_t>(bits >> 23) - 127, highest = exponent + power;
  if (exponent == 128) return __builtin_nanf("");
  const uint32_t unit_bits = static_cast<uint32_t>((highest > -100 ? highest : -100) - 21 + 127) << 23;
  float unit;
  memcpy(&unit, &unit_bits, sizeof unit);
  return unit;
}

/// Each lane, or the nearest whole number of it, as bytes b₀ + 2^8·b₁ + 2^16·b₂; the fourth byte is of no use. Adding 128 to each
/// byte carries from one to the next, and flipping its top bit takes 128 off again.
SPINQUANT_INLINE __m512i split_bytes(__m512i numbers) {
  const __m512i middle = _mm512_set1_epi32(0x00808080);
  return _mm512_xor_si512(_mm512_add_epi32(numbers, middle), middle);
}
SPINQUANT_INLINE __m512i bytes_of(Vec multiples) { return split_bytes(_mm512_cvtps_epi32(multiples)); }

/// Four bytes of each of four lanes, times 4: byte i of the first, …, of the fourth lane becomes lane i.
SPINQUANT_INLINE __m512i swap_bytes(__m512i lanes) {
  const __m128i order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_shuffle_epi8(lanes, _mm512_broadcast_i32x4(order));
}

/// Numbers of at most this size fit the five bytes that a pair of them takes.
constexpr float kMostOfPair = 8323072;

/// The unit of numbers up to `largest`·2^power that go in pairs: each is off by 8.5 units at most, 2^-19.9 of the largest
/// one, and by two roundings. NaN and small numbers are as in `unit_of`.
inline float pair_unit_of(float largest, int32_t power) {
  const float unit = unit_of(largest, power);
  if (!(unit > 0x1p-121f)) return unit;
  const uint32_t bits = static_cast<uint32_t>(power + 127) << 23;
  float scale;
  memcpy(&scale, &bits, sizeof scale);
  return largest * scale / kMostOfPair;
}

/// Two numbers x and y share a byte: x = b + 2^8·x₁ + 2^16·x₂ and y = 2^4·b + 2^8·y₁ + 2^16·y₂. The lower half of b is that
/// of y, from its fifth bit on, and its upper half that of x. So both keep the upper 20 of their 24 bits.
struct Pairs {
  __m512i x, y;                  // bytes b, x₁, x₂ and y₁, y₂ of each lane
  __m512i x_number, sixteenths;  // what the bytes stand for: x, and y / 16
};

/// The nearest pairs to x·inverse and y·inverse. Where x is `absent` it stays 0, and y is rounded to 2^8.
SPINQUANT_INLINE Pairs pairs_of(Vec x, Vec y, Vec inverse, __mmask16 absent) {
  const __m512i above = _mm512_cvtps_epi32(fma(x, inverse, splat(8)));
  __m512i sixteenths = _mm512_cvtps_epi32(y * (inverse * splat(0.0625f)));
  if (absent) {
    const __m512i rounded = _mm512_add_epi32(sixteenths, _mm512_set1_epi32(8));
    sixteenths = _mm512_mask_and_epi32(sixteenths, absent, rounded, _mm512_set1_epi32(-16));
  }
  // The number up to `above` that ends as y / 16 does.
  const __m512i kept = _mm512_add_epi32(
      _mm512_and_si512(_mm512_sub_epi32(above, sixteenths), _mm512_set1_epi32(-16)), sixteenths);
  const __m512i bytes = split_bytes(kept);
  const __m512i shared = _mm512_srai_epi32(_mm512_slli_epi32(bytes, 24), 24);
  const __m512i rest = _mm512_srai_epi32(_mm512_sub_epi32(sixteenths, shared), 4);
  return {bytes, split_bytes(rest), kept, sixteenths};
}

/// Four bytes, in every lane.
SPINQUANT_INLINE __m512i spread_bytes(const int32_t* bytes) { return _mm512_set1_epi32(*bytes); }

/// Adds four products of codes and bytes to each lane. As an instruction of ours, since GCC 12 copies sums between
/// registers and memory instead of adding to them where they are.
SPINQUANT_INLINE void add_products(__m512i& sum, __m512i codes, __m512i bytes) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes), "v"(bytes));
}

/// The same for codes of two places. Bytes are spread once for both: a cycle has two products and two loads, so that one
/// load for each product leaves none for codes.
SPINQUANT_INLINE void add_products(__m512i& sum, __m512i& other_sum, __m512i codes, __m512i others, const int32_t* bytes) {
  const __m512i spread = spread_bytes(bytes);
  add_products(sum, codes, spread);
  add_products(other_sum, others, spread);
}

/// b₀ + 2^8·b₁ + 2^16·b₂ of sums: one rounding where these are below 2^24, else two more.
SPINQUANT_INLINE Vec joined(const __m512i (&sums)[kBytes]) {
  const Vec low = _mm512_cvtepi32_ps(sums[0]), middle = _mm512_cvtepi32_ps(sums[1]);
  return fma(_mm512_cvtepi32_ps(sums[2]), splat(65536), fma(middle, splat(256), low));
}

/// Codes of words: the lower halves of their bytes, and the upper ones. Codes of 8 bits are whole bytes.
template <size_t Bits>
constexpr size_t kHalves = 8 / Bits;

template <size_t Bits>
SPINQUANT_INLINE void take_halves(__m512i words, __m512i (&codes)[kHalves<Bits>]) {
  if constexpr (Bits == 8) {
    codes[0] = words;
  } else {
    const __m512i half = _mm512_set1_epi8(15);
    codes[0] = _mm512_and_si512(words, half);
    codes[1] = _mm512_and_si512(_mm512_srli_epi16(words, 4), half);
  }
}

/// Bytes that stand for the channels of a word, in fours: a pair of channels of 4 bits shares one.
template <size_t Bits>
constexpr size_t kWordBytes = Bits == 4 ? 5 : kBytes;

/// Queries that are multiplied together: their sums, three for each and half of a byte, stay in registers.
constexpr size_t kTile = 4;

}  // namespace spinquant::SPINQUANT_ISA
