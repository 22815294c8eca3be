// Threads share out chunks of tokens: this is what attention leaves of each.
#pragma once
#include <cstddef>

namespace spinquant {

/// o = Σ e^(m_c - m) o_c / Σ e^(m_c - m) l_c over the chunks c of a query. Queries are [sequences, heads, rows]; o is
/// [sequences, rows, heads, width], which is the order of the queries where there is one head. Unit: one query.
struct MergeChunksArgs {
  const float* partial;  // [queries, chunks, width + 2]: o_c, then m_c and l_c
  float* o;
  size_t chunks, width, heads, rows;

  float* o_of(size_t query) const {
    const size_t head = query / rows % heads, row = query / rows / heads * rows + query % rows;
    return o + (row * heads + head) * width;
  }
};

}  // namespace spinquant
