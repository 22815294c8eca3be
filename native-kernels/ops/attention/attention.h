// Causal (optionally sliding-window) grouped-query attention without the rows × keys matrix in memory, and its
// gradient: blocks of scores live in the cache only (Dao et al., FlashAttention, 2022).
#pragma once
#include "../../cpu/variants.h"

namespace spinquant {

struct AttentionShape {
  size_t groups;   // key/value heads of all sequences
  size_t repeats;  // query heads per key/value head
  size_t rows;     // query positions per head, aligned to the end of the keys; 1 <= rows <= keys
  size_t keys;
  size_t width;   // channels of a head
  size_t window;  // keys seen, the query's own included; 0 = all
  float scale;

  size_t query_heads() const { return groups * repeats; }
  size_t position(size_t row) const { return row + (keys - rows); }
  /// First key that position p sees.
  size_t first_key(size_t p) const { return window > 0 && p + 1 > window ? p + 1 - window : 0; }
};

/// Queries of one unit of the forward pass; a multiple of the block of every instruction set.
constexpr size_t kQueriesPerUnit = 48;

/// q, o [groups, repeats, rows, width]; k, v [groups, keys, width]; lse [groups, repeats, rows].
/// With s = scale·q·kᵀ over visible keys: o = softmax(s)·v, lse = ln Σ e^s. Unit: kQueriesPerUnit rows of a head.
struct CausalAttentionArgs {
  const float *q, *k, *v;
  float *o, *lse;
  AttentionShape shape;

  size_t units_per_head() const { return (shape.rows + kQueriesPerUnit - 1) / kQueriesPerUnit; }
};

/// With p = e^(s - lse), D = rowsum(do∘o), ds = p∘(do·vᵀ - D):
/// dq = scale·ds·k, dk = scale·dsᵀ·q and dv = pᵀ·do summed over the query heads of a key/value head.
/// Unit: `chunk_rows` rows of a query head; its share of dk and dv goes to its own part of `partial`.
struct CausalAttentionGradArgs {
  const float *q, *k, *v, *o, *lse, *d_o;
  float* dq;
  /// [query heads · chunks][2][keys_padded][width_padded], dk then dv.
  float* partial;
  AttentionShape shape;
  size_t chunks, chunk_rows, keys_padded, width_padded;

  size_t partial_size() const { return keys_padded * width_padded; }
};

/// Unit: one row of dk and dv [groups, keys, width]: the sum of its partial rows in order.
struct AttentionPartialSumArgs {
  const float* partial;
  float *dk, *dv;
  AttentionShape shape;
  size_t chunks, keys_padded, width_padded;
};

SPINQUANT_DECLARE_KERNEL(causal_attention, CausalAttentionArgs)
SPINQUANT_DECLARE_KERNEL(causal_attention_grad, CausalAttentionGradArgs)
SPINQUANT_DECLARE_KERNEL(attention_partial_sum, AttentionPartialSumArgs)

}  // namespace spinquant
