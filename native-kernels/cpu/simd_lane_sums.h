// Sums over the lanes of as many vectors as have lanes, in one vector.
#pragma once
#include "simd.h"

namespace spinquant::SPINQUANT_ISA {

/// Lanes without the bit `Distance` sum a, the others b, over themselves and the lane at that distance.
template <size_t Distance>
SPINQUANT_INLINE Vec fold(Vec a, Vec b) {
  const IntVec takes_a = (lane_index() & splat_int(static_cast<int32_t>(Distance))) == splat_int(0);
  return choose(takes_a, a, swap_lanes<Distance>(b)) + choose(takes_a, swap_lanes<Distance>(a), b);
}

/// Lane j becomes the sum of the lanes of vectors[j].
template <size_t Distance = 1>
SPINQUANT_INLINE Vec lane_sums(Vec* vectors) {
  if constexpr (Distance == kLanes) {
    return vectors[0];
  } else {
    SPINQUANT_UNROLL for (size_t i = 0; i < kLanes / (2 * Distance); i++) {
      vectors[i] = fold<Distance>(vectors[2 * i], vectors[2 * i + 1]);
    }
    return lane_sums<2 * Distance>(vectors);
  }
}

}  // namespace spinquant::SPINQUANT_ISA
