// Products of weights in 0 … 15 with activations of a byte, on vectors as wide as the instruction set has them.
//
// A vector of bytes holds four columns of kLanes rows of the weight. Four activations are spread over it, and the four
// products of a row are added to its lane of a sum.
#pragma once
#include "../../cpu/simd.h"
#if defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#endif

namespace spinquant::SPINQUANT_ISA {

/// Vectors that hold a panel's rows.
constexpr size_t kParts = 16 / kLanes;

typedef uint8_t Bytes __attribute__((vector_size(4 * SPINQUANT_LANES)));
typedef uint8_t UnalignedBytes __attribute__((vector_size(4 * SPINQUANT_LANES), aligned(1), may_alias));
typedef uint16_t Halves __attribute__((vector_size(4 * SPINQUANT_LANES)));

SPINQUANT_INLINE Bytes load_bytes(const uint8_t* p) { return *reinterpret_cast<const UnalignedBytes*>(p); }

constexpr Bytes kLowHalf = Bytes{} + 15;

SPINQUANT_INLINE Bytes low_halves(Bytes v) { return v & kLowHalf; }
/// Bits that cross from one byte to its neighbour are cut off.
SPINQUANT_INLINE Bytes high_halves(Bytes v) {
  return reinterpret_cast<Bytes>(reinterpret_cast<Halves>(v) >> 4) & kLowHalf;
}

/// Four activations, in every lane.
SPINQUANT_INLINE IntVec spread(const int8_t* a) {
  int32_t four;
  memcpy(&four, a, sizeof four);
  return splat_int(four);
}

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__) || defined(__ARM_FEATURE_DOTPROD)

/// Sums of four products at a time. Low and high halves of a byte have sums of their own, so that half as many
/// additions wait for one another.
template <bool Split>
struct Sums {
  IntVec low{}, high{};

  static SPINQUANT_INLINE_MEMBER IntVec dot(IntVec sum, Bytes w, IntVec a) {
#if defined(__AVX512VNNI__)
    return reinterpret_cast<IntVec>(
        _mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(w), reinterpret_cast<__m512i>(a)));
#elif defined(__ARM_FEATURE_DOTPROD)
    // Weights are at most 15, and so they are as signed bytes what they are as unsigned ones.
    return reinterpret_cast<IntVec>(vdotq_s32(reinterpret_cast<int32x4_t>(sum), reinterpret_cast<int8x16_t>(w), reinterpret_cast<int8x16_t>(a)));
#else
    return reinterpret_cast<IntVec>(_mm256_dpbusd_avx_epi32(
        reinterpret_cast<__m256i>(sum), reinterpret_cast<__m256i>(w), reinterpret_cast<__m256i>(a)));
#endif
  }

  SPINQUANT_INLINE_MEMBER void add_low(Bytes w, IntVec a) { low = dot(low, w, a); }
  SPINQUANT_INLINE_MEMBER void add_high(Bytes w, IntVec a) {
    if constexpr (Split) {
      high = dot(high, w, a);
    } else {
      low = dot(low, w, a);
    }
  }
  SPINQUANT_INLINE_MEMBER void begin_step() {}
  SPINQUANT_INLINE_MEMBER void end_step() {}
  SPINQUANT_INLINE_MEMBER IntVec total() const { return Split ? low + high : low; }
};

#elif defined(__AVX2__)

/// Sums of two products at a time in 16 bits, for no more than 32 columns, then in 32 bits.
///
/// Nothing saturates. A weight is at most 15 and an activation at most 128 in size, so two products are at most 3840;
/// a step of 32 columns adds eight such pairs to each sum of 16 bits: at most 30720, below 32767.
template <bool>
struct Sums {
#if defined(__AVX512F__)
  __m512i pairs;
#else
  __m256i pairs;
#endif
  IntVec sum{};

  /// Sums are pinned one by one: GCC would bring additions into another order, in which they need more registers.
  SPINQUANT_INLINE_MEMBER void add_low(Bytes w, IntVec a) {
#if defined(__AVX512F__)
    const __m512i products = _mm512_maddubs_epi16(reinterpret_cast<__m512i>(w), reinterpret_cast<__m512i>(a));
    pairs = _mm512_add_epi16(pairs, products);
    asm("" : "+v"(pairs));
#else
    const __m256i products = _mm256_maddubs_epi16(reinterpret_cast<__m256i>(w), reinterpret_cast<__m256i>(a));
    pairs = _mm256_add_epi16(pairs, products);
    asm("" : "+x"(pairs));
#endif
  }
  SPINQUANT_INLINE_MEMBER void add_high(Bytes w, IntVec a) { add_low(w, a); }
  SPINQUANT_INLINE_MEMBER void begin_step() {
#if defined(__AVX512F__)
    pairs = _mm512_setzero_si512();
#else
    pairs = _mm256_setzero_si256();
#endif
  }
  SPINQUANT_INLINE_MEMBER void end_step() {
#if defined(__AVX512F__)
    sum += reinterpret_cast<IntVec>(_mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
#else
    sum += reinterpret_cast<IntVec>(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
#endif
  }
  SPINQUANT_INLINE_MEMBER IntVec total() const { return sum; }
};

#else

/// One product at a time in 16 bits: at most 15·128, eight of them in a step: 15360. Then in 32 bits.
template <bool>
struct Sums {
  typedef uint8_t HalfBytes __attribute__((vector_size(8)));
  typedef int8_t HalfSigned __attribute__((vector_size(8)));
  typedef int16_t Shorts __attribute__((vector_size(16)));
  /// Of the first two rows, and of the others.
  Shorts first, second;
  IntVec sum{};

  SPINQUANT_INLINE_MEMBER void add_low(Bytes w, IntVec a) {
    HalfBytes halves[2];
    HalfSigned spread;
    memcpy(halves, &w, sizeof halves);
    memcpy(&spread, &a, sizeof spread);
    const Shorts wide = __builtin_convertvector(spread, Shorts);
    first += __builtin_convertvector(halves[0], Shorts) * wide;
    second += __builtin_convertvector(halves[1], Shorts) * wide;
  }
  SPINQUANT_INLINE_MEMBER void add_high(Bytes w, IntVec a) { add_low(w, a); }
  SPINQUANT_INLINE_MEMBER void begin_step() { first = second = Shorts{}; }
  SPINQUANT_INLINE_MEMBER void end_step() {
    sum += IntVec{first[0] + first[1] + first[2] + first[3], first[4] + first[5] + first[6] + first[7],
                  second[0] + second[1] + second[2] + second[3], second[4] + second[5] + second[6] + second[7]};
  }
  SPINQUANT_INLINE_MEMBER IntVec total() const { return sum; }
};

#endif

}  // namespace spinquant::SPINQUANT_ISA
