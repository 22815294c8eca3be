// IEEE halves as vectors of float, and back: exactly, and rounded to the nearest one.
#pragma once
#include "simd.h"
#if defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace spinquant::SPINQUANT_ISA {

/// The largest half. What is beyond it becomes it: an infinite key or value would make a whole row NaN.
constexpr float kLargestHalf = 65504;

typedef uint16_t HalfVec __attribute__((vector_size(2 * SPINQUANT_LANES)));

#if !defined(__AVX2__) && !defined(__aarch64__)

/// Each case by its bits; the one that holds is chosen.
SPINQUANT_INLINE Vec widen_bits(HalfVec halves) {
  const IntVec bits = __builtin_convertvector(halves, IntVec);
  const IntVec size = bits & splat_int(0x7fff), sign = (bits & splat_int(0x8000)) << 16;
  // 112 is the difference of the exponents' offsets; an infinity and a NaN have the largest exponent in both.
  const IntVec normal = (size << 13) + splat_int(112 << 23);
  const IntVec special = normal + splat_int(112 << 23);
  const IntVec small = bits_of(to_float(size) * splat(0x1p-24f));
  const IntVec finite = size < splat_int(0x400) ? small : normal;
  return from_bits((size >= splat_int(0x7c00) ? special : finite) | sign);
}

SPINQUANT_INLINE HalfVec narrow_bits(Vec x) {
  const IntVec bits = bits_of(x), size = bits & splat_int(0x7fffffff), sign = (bits >> 16) & splat_int(0x8000);
  // Half a step less one, and one more where the last digit is odd: ties go to even. A carry raises the exponent.
  const IntVec normal = (size - splat_int(112 << 23) + splat_int(0xfff) + ((size >> 13) & splat_int(1))) >> 13;
  // Beside 1/2 a float has steps of 2^-24, those of the halves below 2^-14.
  const IntVec small = bits_of(from_bits(size) + splat(0.5f)) - bits_of(splat(0.5f));
  const IntVec finite = size < splat_int(113 << 23) ? small : normal;
  const IntVec half = (size > splat_int(0x7f800000) ? splat_int(0x7e00) : finite) | sign;
  return __builtin_convertvector(half, HalfVec);
}

#endif

/// kLanes halves as floats.
SPINQUANT_INLINE Vec load_half(const uint16_t* p) {
#if defined(__AVX512F__)
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(__AVX2__)
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(__aarch64__)
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
#else
  HalfVec halves;
  memcpy(&halves, p, sizeof halves);
  return widen_bits(halves);
#endif
}

/// The first `count` < kLanes halves; 0 in the other lanes.
SPINQUANT_INLINE Vec load_half_part(const uint16_t* p, size_t count) {
#if defined(__AVX512F__)
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << count) - 1), p));
#else
  uint16_t halves[kLanes] = {};
  for (size_t i = 0; i < count; i++) halves[i] = p[i];
  return load_half(halves);
#endif
}

/// Writes the nearest halves, ties to even, numbers out of range as the largest one; NaN stays NaN.
SPINQUANT_INLINE void store_half(uint16_t* p, Vec v) {
  // Of two numbers of which one is NaN, these return the second one.
  const Vec x = min(splat(kLargestHalf), max(splat(-kLargestHalf), v));
#if defined(__AVX512F__)
  const __m256i halves = _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), halves);
#elif defined(__AVX2__)
  const __m128i halves = _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), halves);
#elif defined(__aarch64__)
  vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x)));
#else
  const HalfVec halves = narrow_bits(x);
  memcpy(p, &halves, sizeof halves);
#endif
}

/// Writes the first `count` < kLanes of them.
SPINQUANT_INLINE void store_half_part(uint16_t* p, size_t count, Vec v) {
  uint16_t halves[kLanes];
  store_half(halves, v);
  for (size_t i = 0; i < count; i++) p[i] = halves[i];
}

}  // namespace spinquant::SPINQUANT_ISA
