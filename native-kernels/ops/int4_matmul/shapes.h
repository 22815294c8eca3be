// Shapes of packed weights, and what they must fit; shared by the operators of the family.
#pragma once
#include "../../operator/support.h"
#include "int4_matmul.h"

namespace spinquant {

inline void require_depth(size_t columns, size_t group) {
  if (group > 0 && columns % group == 0 && columns > 0 && group <= kMostColumns) return;
  reject("columns must be a multiple of group, and a group have 1 … " + std::to_string(kMostColumns) +
         " columns, found " + std::to_string(columns) + " columns in groups of " + std::to_string(group));
}

inline Shape packed_shape(const Int4Layout& layout) {
  return {static_cast<int64_t>(layout.panels()), static_cast<int64_t>(layout.blocks()), kBlockBytes};
}

inline Shape grid_shape(const Int4Layout& layout) {
  return {static_cast<int64_t>(layout.panels()), static_cast<int64_t>(layout.grid_rows()), kPanelRows};
}

}  // namespace spinquant
