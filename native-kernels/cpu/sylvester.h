// z → z · H for the Sylvester-Hadamard matrix of a power-of-two order n: log2 n stages of butterflies (a + b, a - b),
// in any order, as H is the Kronecker product of 2 × 2 matrices. Several stages are done on each visit to memory:
//   base pass:     kRadix vectors next to each other: the stages within a vector and those between the vectors;
//   strided pass:  up to kRadix vectors a stride apart: the stages between them.
// Operations per vector of L lanes: log2 n additions + log2 L shuffles (+ ½ for the scale), so on a processor that
// starts two of either per cycle (AVX-512 server cores) at least (log2 n + log2 L + ½) / 2 cycles.
#pragma once
#include "simd.h"

namespace spinquant::SPINQUANT_ISA {

/// Vectors held in registers at once: half of the register file, the rest being constants and temporaries.
constexpr size_t kRadix = kLanes == 16 ? 16 : 8;
/// Floats a strided pass may walk over repeatedly without leaving the first-level cache.
constexpr size_t kCacheBlock = 8192;

/// +1 in the lower lane of each pair, -1 in the upper one.
template <size_t Distance, size_t... I>
SPINQUANT_INLINE Vec pair_signs(std::index_sequence<I...>) {
  return Vec{(I & Distance ? -1.0f : 1.0f)...};
}

/// The stages within a vector at distances Distance, 2·Distance … below `Span`.
template <size_t Distance, size_t Span>
SPINQUANT_INLINE Vec stages_within(Vec v) {
  if constexpr (Distance < Span) {
    Vec signs = pair_signs<Distance>(std::make_index_sequence<kLanes>());
    Vec next = fma(v, signs, swap_lanes<Distance>(v));
    return stages_within<2 * Distance, Span>(next);
  } else {
    return v;
  }
}

/// One stage between vectors; the scale is applied on the way when Scaled.
template <size_t Count, size_t Distance, bool Scaled>
SPINQUANT_INLINE void stage_between(Vec (&v)[Count], Vec scale) {
  SPINQUANT_UNROLL
  for (size_t i = 0; i < Count; i++) {
    if (i & Distance) continue;
    Vec a = v[i], b = v[i + Distance];
    if constexpr (Scaled) {
      Vec scaled = b * scale;
      v[i] = fma(a, scale, scaled);
      v[i + Distance] = fma(a, scale, -scaled);
    } else {
      v[i] = a + b;
      v[i + Distance] = a - b;
    }
  }
}

/// All stages between Count vectors, the last one scaled when Scaled.
template <size_t Count, bool Scaled, size_t Distance = 1>
SPINQUANT_INLINE void stages_between(Vec (&v)[Count], Vec scale) {
  if constexpr (Distance < Count) {
    constexpr bool last = 2 * Distance == Count;
    stage_between<Count, Distance, Scaled && last>(v, scale);
    stages_between<Count, Scaled, 2 * Distance>(v, scale);
  } else if constexpr (Count == 1 && Scaled) {
    v[0] = v[0] * scale;
  }
}

/// Transforms each stretch of Count · kLanes floats of x into y (Count > 1), or each stretch of Span <= kLanes floats
/// (Count = 1). `size` is a multiple of Count · kLanes.
template <size_t Count, size_t Span, bool Scaled>
void base_pass(const float* x, float* y, size_t size, float scale) {
  const Vec scales = splat(scale);
  for (size_t offset = 0; offset < size; offset += Count * kLanes) {
    Vec v[Count];
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Count; i++) v[i] = stages_within<1, Span>(load(x + offset + i * kLanes));
    stages_between<Count, Scaled>(v, scales);
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Count; i++) store(y + offset + i * kLanes, v[i]);
  }
}

/// The stages at distances stride, 2·stride … Count/2·stride of y, size a multiple of Count · stride.
template <size_t Count, bool Scaled>
void strided_pass(float* y, size_t size, size_t stride, float scale) {
  const Vec scales = splat(scale);
  for (size_t block = 0; block < size; block += Count * stride) {
    for (size_t offset = block; offset < block + stride; offset += kLanes) {
      Vec v[Count];
      SPINQUANT_UNROLL
      for (size_t i = 0; i < Count; i++) v[i] = load(y + offset + i * stride);
      stages_between<Count, Scaled>(v, scales);
      SPINQUANT_UNROLL
      for (size_t i = 0; i < Count; i++) store(y + offset + i * stride, v[i]);
    }
  }
}

SPINQUANT_INLINE size_t log2_of(size_t power) { return static_cast<size_t>(__builtin_ctzll(power)); }

template <size_t Count>
SPINQUANT_INLINE void strided_pass(float* y, size_t size, size_t stride, bool scaled, float scale) {
  scaled ? strided_pass<Count, true>(y, size, stride, scale) : strided_pass<Count, false>(y, size, stride, scale);
}

/// The stages at distances stride, 2·stride … n/2 of y, in as few visits to memory as the registers allow, the stages
/// spread evenly over the visits.
static void outer_stages(float* y, size_t stride, size_t n, bool scaled, float scale) {
  while (stride < n) {
    size_t stages = log2_of(n / stride), most = log2_of(kRadix);
    size_t visits = (stages + most - 1) / most;
    size_t now = (stages + visits - 1) / visits;
    bool scale_now = scaled && visits == 1;
    switch (now) {
      case 1: strided_pass<2>(y, n, stride, scale_now, scale); break;
      case 2: strided_pass<4>(y, n, stride, scale_now, scale); break;
      case 3: strided_pass<8>(y, n, stride, scale_now, scale); break;
      default: strided_pass<kRadix>(y, n, stride, scale_now, scale); break;
    }
    stride <<= now;
  }
}

template <size_t Count, size_t Span>
SPINQUANT_INLINE void base_pass(const float* x, float* y, size_t size, bool scaled, float scale) {
  scaled ? base_pass<Count, Span, true>(x, y, size, scale) : base_pass<Count, Span, false>(x, y, size, scale);
}

/// The base pass over a stream of transforms of `width` floats each, kLanes <= width <= kRadix·kLanes.
static void base_stages(const float* x, float* y, size_t size, size_t width, bool scaled, float scale) {
  switch (width / kLanes) {
    case 1: return base_pass<1, kLanes>(x, y, size, scaled, scale);
    case 2: return base_pass<2, kLanes>(x, y, size, scaled, scale);
    case 4: return base_pass<4, kLanes>(x, y, size, scaled, scale);
    case 8: return base_pass<8, kLanes>(x, y, size, scaled, scale);
    default: return base_pass<kRadix, kLanes>(x, y, size, scaled, scale);
  }
}

/// Transforms narrower than a vector: several in each, and a part of a vector at the end.
template <size_t Span>
SPINQUANT_INLINE void narrow_stages(const float* x, float* y, size_t size, float scale) {
  size_t whole = size / kLanes * kLanes;
  base_pass<1, Span, true>(x, y, whole, scale);
  if (whole == size) return;
  Vec v = stages_within<1, Span>(load_part(x + whole, size - whole, 0)) * splat(scale);
  store_part(y + whole, size - whole, v);
}

static void sylvester_narrow(const float* x, float* y, size_t size, size_t n, float scale) {
  switch (n) {
    case 1: return narrow_stages<1>(x, y, size, scale);
    case 2: return narrow_stages<2>(x, y, size, scale);
    case 4: return narrow_stages<4>(x, y, size, scale);
    default: return narrow_stages<8>(x, y, size, scale);
  }
}

/// One transform wider than the base pass: cache-sized parts first, then the stages between them.
static void sylvester_wide(const float* x, float* y, size_t n, float scale) {
  constexpr size_t base = kRadix * kLanes;
  size_t part = n < kCacheBlock ? n : kCacheBlock;
  for (size_t offset = 0; offset < n; offset += part) {
    base_stages(x + offset, y + offset, part, base, false, scale);
    outer_stages(y + offset, base, part, part == n, scale);
  }
  outer_stages(y, part, n, true, scale);
}

/// y = scale · x · H for each stretch of n floats of x; `size` is a multiple of n. y may be x.
static void sylvester(const float* x, float* y, size_t size, size_t n, float scale) {
  if (n < kLanes) return sylvester_narrow(x, y, size, n, scale);
  if (n <= kRadix * kLanes) return base_stages(x, y, size, n, scale != 1, scale);
  for (size_t offset = 0; offset < size; offset += n) sylvester_wide(x + offset, y + offset, n, scale);
}

}  // namespace spinquant::SPINQUANT_ISA
