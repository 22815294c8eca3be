// Vectors of float as wide as the instruction set this file is compiled for; only for kernel.cc files.
// Everything is static inline in the namespace of the instruction set, so that bodies never mix at link time.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#if defined(__AVX2__)
#if !defined(__clang__)
// GCC's own intrinsics start from deliberately uninitialized vectors and then warn about them (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#endif

#if !defined(SPINQUANT_ISA)
#error "compile with -DSPINQUANT_ISA=portable, avx2 or avx512"
#endif

#if defined(__AVX512F__)
#define SPINQUANT_LANES 16
#elif defined(__AVX2__)
#define SPINQUANT_LANES 8
#else
#define SPINQUANT_LANES 4
#endif
#define SPINQUANT_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define SPINQUANT_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SPINQUANT_UNROLL _Pragma("GCC unroll 32")
#endif
#define SPINQUANT_INLINE_MEMBER inline __attribute__((always_inline))

namespace spinquant::SPINQUANT_ISA {

constexpr size_t kLanes = SPINQUANT_LANES;

typedef float Vec __attribute__((vector_size(4 * SPINQUANT_LANES)));
typedef int32_t IntVec __attribute__((vector_size(4 * SPINQUANT_LANES)));
typedef int8_t ByteVec __attribute__((vector_size(SPINQUANT_LANES)));
typedef float UnalignedVec __attribute__((vector_size(4 * SPINQUANT_LANES), aligned(4), may_alias));

SPINQUANT_INLINE Vec load(const float* p) { return *reinterpret_cast<const UnalignedVec*>(p); }
SPINQUANT_INLINE void store(float* p, Vec v) { *reinterpret_cast<UnalignedVec*>(p) = v; }
SPINQUANT_INLINE Vec splat(float x) { return x - Vec{}; }
SPINQUANT_INLINE IntVec splat_int(int32_t x) { return x - IntVec{}; }
SPINQUANT_INLINE IntVec bits_of(Vec v) { return reinterpret_cast<IntVec>(v); }
SPINQUANT_INLINE Vec from_bits(IntVec v) { return reinterpret_cast<Vec>(v); }

/// 0, 1, 2, …
SPINQUANT_INLINE IntVec lane_index() {
  IntVec v;
  for (size_t i = 0; i < kLanes; i++) v[i] = static_cast<int32_t>(i);
  return v;
}

/// a where the mask is all ones, b where it is zero.
SPINQUANT_INLINE Vec choose(IntVec mask, Vec a, Vec b) { return mask ? a : b; }

/// The first `count` < kLanes floats; `fill` in the other lanes.
SPINQUANT_INLINE Vec load_part(const float* p, size_t count, float fill) {
#if defined(__AVX512F__)
  return _mm512_mask_loadu_ps(splat(fill), static_cast<__mmask16>((1u << count) - 1), p);
#else
  Vec v = splat(fill);
  float lanes[kLanes];
  memcpy(lanes, &v, sizeof v);
  for (size_t i = 0; i < count; i++) lanes[i] = p[i];
  memcpy(&v, lanes, sizeof v);
  return v;
#endif
}

SPINQUANT_INLINE void store_part(float* p, size_t count, Vec v) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), v);
#else
  float lanes[kLanes];
  memcpy(lanes, &v, sizeof v);
  for (size_t i = 0; i < count; i++) p[i] = lanes[i];
#endif
}

/// a·b + c, in one rounding where the processor can. Elsewhere the compiler must not contract (-ffp-contract=off).
SPINQUANT_INLINE Vec fma(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}

SPINQUANT_INLINE Vec max(Vec a, Vec b) {
#if defined(__AVX512F__)
  return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_max_ps(a, b);
#else
  return choose(a > b, a, b);
#endif
}

SPINQUANT_INLINE Vec min(Vec a, Vec b) {
#if defined(__AVX512F__)
  return _mm512_min_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_min_ps(a, b);
#else
  return choose(a < b, a, b);
#endif
}

SPINQUANT_INLINE Vec abs(Vec v) { return from_bits(bits_of(v) & splat_int(0x7fffffff)); }

/// Nearest integer, halves to even.
SPINQUANT_INLINE Vec round_even(Vec v) {
#if defined(__AVX512F__)
  return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(__AVX2__)
  return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  // Adding 2^23 leaves no bits for a fraction; a float that large already has none.
  const Vec magic = splat(8388608.0f);
  IntVec sign = bits_of(v) & splat_int(INT32_MIN);
  Vec magnitude = abs(v);
  Vec rounded = (magnitude + magic) - magic;
  return choose(magnitude < magic, from_bits(bits_of(rounded) | sign), v);
#endif
}

/// Integer value of each lane; lanes must hold integers that fit.
SPINQUANT_INLINE IntVec to_int(Vec v) { return __builtin_convertvector(v, IntVec); }
SPINQUANT_INLINE Vec to_float(IntVec v) { return __builtin_convertvector(v, Vec); }
/// Lanes must fit a byte.
SPINQUANT_INLINE ByteVec to_bytes(IntVec v) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  // GCC 12 takes the lanes out one by one.
  const __m256i first = _mm256_set1_epi32(0x0c080400);
  const __m256i bytes = _mm256_shuffle_epi8(reinterpret_cast<__m256i>(v), first);
  const __m128i both = _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
  ByteVec result;
  memcpy(&result, &both, sizeof result);
  return result;
#else
  return __builtin_convertvector(v, ByteVec);
#endif
}
SPINQUANT_INLINE IntVec from_bytes(ByteVec v) { return __builtin_convertvector(v, IntVec); }

template <size_t Distance, size_t... I>
SPINQUANT_INLINE Vec swapped(Vec v, std::index_sequence<I...>) {
#if defined(__clang__) || __GNUC__ >= 12
  return __builtin_shufflevector(v, v, static_cast<int>(I ^ Distance)...);
#else
  return __builtin_shuffle(v, IntVec{static_cast<int32_t>(I ^ Distance)...});
#endif
}

/// Lane i takes the value of lane i ^ Distance.
template <size_t Distance>
SPINQUANT_INLINE Vec swap_lanes(Vec v) {
  return swapped<Distance>(v, std::make_index_sequence<kLanes>());
}

/// Lane sums in a fixed order: halves added to halves.
template <size_t Half = kLanes / 2>
SPINQUANT_INLINE float sum(Vec v) {
  if constexpr (Half == 0) {
    return v[0];
  } else {
    return sum<Half / 2>(v + swap_lanes<Half>(v));
  }
}

template <size_t Half = kLanes / 2>
SPINQUANT_INLINE float largest(Vec v) {
  if constexpr (Half == 0) {
    return v[0];
  } else {
    return largest<Half / 2>(max(v, swap_lanes<Half>(v)));
  }
}

SPINQUANT_INLINE float smallest(Vec v) { return -largest(-v); }

}  // namespace spinquant::SPINQUANT_ISA
