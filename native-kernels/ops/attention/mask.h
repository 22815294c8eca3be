// Which query sees which key, with queries in the lanes.
#pragma once
#include "../../cpu/simd.h"

namespace spinquant::SPINQUANT_ISA {

/// Stands for a masked score: vanishes in exp, and stays finite when subtracted from itself.
constexpr float kMasked = -1e30f;

/// Which lanes see which key: positions of so many queries in a row.
struct Positions {
  size_t first, queries;
  size_t window;

  /// True if some lane of the block does not see one of these keys.
  bool masks(size_t k0, size_t count) const {
    return k0 + count - 1 > first || (window > 0 && k0 + window <= first + queries - 1);
  }

  SPINQUANT_INLINE_MEMBER IntVec sees(size_t key, size_t vec) const {
    const IntVec position = lane_index() + splat_int(static_cast<int32_t>(first + vec * kLanes));
    const IntVec k = splat_int(static_cast<int32_t>(key));
    IntVec visible = k <= position;
    if (window > 0) visible &= k > position - splat_int(static_cast<int32_t>(window));
    return visible;
  }
};

}  // namespace spinquant::SPINQUANT_ISA
