#include "../../cpu/simd.h"
#include "stored_rows.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

typedef uint16_t HalfVec __attribute__((vector_size(2 * SPINQUANT_LANES)));

/// A bfloat16 number is the upper half of the float32 number that it stands for.
SPINQUANT_INLINE Vec widened(const uint16_t* p) {
#if defined(__AVX512F__)
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
#elif defined(__AVX2__)
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
#else
  HalfVec halves;
  memcpy(&halves, p, sizeof halves);
  return from_bits(__builtin_convertvector(halves, IntVec) << 16);
#endif
}

SPINQUANT_INLINE Vec widened_part(const uint16_t* p, size_t count) {
  uint16_t lanes[kLanes] = {};
  for (size_t i = 0; i < count; i++) lanes[i] = p[i];
  return widened(lanes);
}

/// Several chains of additions overlap.
SPINQUANT_INLINE float product(const float* x, const uint16_t* w, size_t count) {
  Vec a = splat(0), b = splat(0), c = splat(0), d = splat(0);
  size_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    a = fma(load(x + i), widened(w + i), a);
    b = fma(load(x + i + kLanes), widened(w + i + kLanes), b);
    c = fma(load(x + i + 2 * kLanes), widened(w + i + 2 * kLanes), c);
    d = fma(load(x + i + 3 * kLanes), widened(w + i + 3 * kLanes), d);
  }
  for (; i + kLanes <= count; i += kLanes) a = fma(load(x + i), widened(w + i), a);
  if (i < count) b = fma(load_part(x + i, count - i, 0), widened_part(w + i, count - i), b);
  return sum((a + b) + (c + d));
}

}  // namespace

void stored_rows(const StoredRowsArgs& args, size_t first, size_t last) {
  for (size_t n = first; n < last; n++) {
    for (size_t t = 0; t < args.rows; t++) {
      args.y[t * args.width + n] = product(args.x + t * args.depth, args.w + n * args.depth, args.depth);
    }
  }
}

}  // namespace spinquant::SPINQUANT_ISA
