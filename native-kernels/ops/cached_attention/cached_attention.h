// Grouped-query attention of a few new tokens over a cache of keys and values that is filled in part, as a network
// reads it that writes token by token. Only the filled part is read.
#pragma once
#include "../../cpu/variants.h"

namespace spinquant {

/// q, o [groups, repeats, rows, width]; k, v [groups, rows, width], the new tokens' own; past_k, past_v
/// [groups, capacity, width], of which the first `length` hold tokens. Row r is at position length + r. It sees the
/// positions up to its own, the last `window` of them where that is not 0. With s = scale·q·kᵀ over these:
/// o = softmax(s)·v. Unit: one row of a group, with all query heads of it.
struct CachedAttentionArgs {
  const float *q, *k, *v, *past_k, *past_v;
  float* o;
  size_t repeats, rows, width, capacity, length, window;
  float scale;

  /// First position that a row sees.
  size_t first_position(size_t row) const {
    return window > 0 && length + row + 1 > window ? length + row + 1 - window : 0;
  }
};

SPINQUANT_DECLARE_KERNEL(cached_attention, CachedAttentionArgs)

}  // namespace spinquant
