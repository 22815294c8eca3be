// The inputs of attention over a cache of numbers, not of codes.
#pragma once
#include <vector>
#include "support.h"

namespace spinquant {

/// Inputs: q [..., repeats·rows, h]; k, v [..., rows, h]; past k, past v [..., capacity, h]; length [1]. Throws unless
/// they fit each other and the length is at most the capacity.
void require_plain_cache(const std::vector<Tensor>& inputs, const StackedRows& stacked);

}  // namespace spinquant
