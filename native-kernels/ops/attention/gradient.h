// Backward pass of attention over one chunk of queries; included by kernel.cc only.
#pragma once
#include "../../cpu/simd_math.h"
#include "blocks.h"

namespace spinquant::SPINQUANT_ISA {

/// Working memory of one thread. `padded_width` is in tile rows, `vector_width` in lanes.
struct GradientMemory {
  float *q_columns, *do_columns, *dq_columns, *p, *ds, *k_copy, *v_copy, *q_rows, *do_rows, *lse, *delta;

  static size_t floats(size_t padded_width, size_t vector_width) {
    return kQueries * (3 * padded_width + 2 * kKeys + 2 * vector_width + 2) + 2 * kKeys * padded_width;
  }

  GradientMemory(float* memory, size_t padded_width, size_t vector_width)
      : q_columns(memory),
        do_columns(q_columns + kQueries * padded_width),
        dq_columns(do_columns + kQueries * padded_width),
        p(dq_columns + kQueries * padded_width),
        ds(p + kQueries * kKeys),
        k_copy(ds + kQueries * kKeys),
        v_copy(k_copy + kKeys * padded_width),
        q_rows(v_copy + kKeys * padded_width),
        do_rows(q_rows + kQueries * vector_width),
        lse(do_rows + kQueries * vector_width),
        delta(lse + kQueries) {}
};

/// Rows times `factor`, padded with zeros to [kQueries][vector_width].
SPINQUANT_INLINE void pack_rows(const float* rows, size_t count, size_t width, size_t vector_width, float factor,
                                float* packed) {
  memset(packed, 0, kQueries * vector_width * sizeof(float));
  for (size_t r = 0; r < count; r++) {
    for (size_t i = 0; i < width; i++) packed[r * vector_width + i] = rows[r * width + i] * factor;
  }
}

/// sums[j][:] += Σ_queries weights[j][query] · rows[query][:] for `count` rows, a multiple of kTileRows.
SPINQUANT_INLINE void add_outer(const float* weights, size_t count, const float* rows, size_t vector_width,
                                float* sums) {
  for (size_t j = 0; j < count; j += kTileRows) {
    const float* w = weights + j * kQueries;
    float* sum = sums + j * vector_width;
    size_t i = 0;
    for (; i + 2 * kLanes <= vector_width; i += 2 * kLanes) {
      tile<2, true>(w, kQueries, 1, rows + i, vector_width, kQueries, sum + i, vector_width);
    }
    if (i < vector_width) tile<1, true>(w, kQueries, 1, rows + i, vector_width, kQueries, sum + i, vector_width);
  }
}

/// p holds scores and ds holds do·vᵀ; they become p = e^(s - lse) and ds = p∘(dp - D), zero where masked.
SPINQUANT_INLINE void softmax_gradient(const GradientMemory& memory, const Positions& positions, size_t k0,
                                       size_t count) {
  const bool masked = positions.masks(k0, count);
  SPINQUANT_UNROLL for (size_t v = 0; v < kQueryVecs; v++) {
    const Vec lse = load(memory.lse + v * kLanes), delta = load(memory.delta + v * kLanes);
    for (size_t j = 0; j < count; j++) {
      float* p = memory.p + j * kQueries + v * kLanes;
      float* ds = memory.ds + j * kQueries + v * kLanes;
      Vec e = exp(load(p) - lse);
      if (masked) e = choose(positions.sees(k0 + j, v), e, splat(0));
      store(p, e);
      store(ds, e * (load(ds) - delta));
    }
  }
  const size_t padding = (round_up(count, kTileRows) - count) * kQueries;
  memset(memory.p + count * kQueries, 0, padding * sizeof(float));
  memset(memory.ds + count * kQueries, 0, padding * sizeof(float));
}

/// lse and D = rowsum(do∘o) of a block of queries; a missing query gets probabilities of zero.
inline void load_statistics(const CausalAttentionGradArgs& args, const GradientMemory& memory, size_t row, size_t count) {
  const size_t width = args.shape.width;
  for (size_t r = 0; r < kQueries; r++) {
    float delta = 0;
    for (size_t i = 0; r < count && i < width; i++) {
      delta += args.d_o[(row + r) * width + i] * args.o[(row + r) * width + i];
    }
    memory.delta[r] = delta;
    memory.lse[r] = r < count ? args.lse[row + r] : -kMasked;
  }
}

/// Adds the share of a block of queries to dk and dv, and writes its dq.
inline void gradient_of_block(const CausalAttentionGradArgs& args, const GradientMemory& memory, size_t head,
                              size_t first, size_t count, float* dk, float* dv) {
  const AttentionShape& shape = args.shape;
  const size_t width = shape.width, padded_width = round_up(width, kTileRows);
  const size_t group = head / shape.repeats, row = head * shape.rows + first;
  const float* k = args.k + group * shape.keys * width;
  const float* v = args.v + group * shape.keys * width;
  pack_columns(args.q + row * width, count, width, shape.scale, memory.q_columns);
  pack_columns(args.d_o + row * width, count, width, 1, memory.do_columns);
  pack_rows(args.q + row * width, count, width, args.width_padded, shape.scale, memory.q_rows);
  pack_rows(args.d_o + row * width, count, width, args.width_padded, 1, memory.do_rows);
  load_statistics(args, memory, row, count);
  memset(memory.dq_columns, 0, padded_width * kQueries * sizeof(float));
  const Positions positions{shape.position(first), kQueries, shape.window};
  const size_t end = shape.position(first + count - 1) + 1;
  // Blocks begin at multiples of their size, so that the padding of the last one stays inside dk and dv.
  for (size_t k0 = shape.first_key(positions.first) / kKeys * kKeys; k0 < end; k0 += kKeys) {
    const size_t keys = end - k0 < kKeys ? end - k0 : kKeys;
    const KeyBlock k_block = key_block(k, shape, k0, keys, padded_width, memory.k_copy);
    times_columns(k_block, keys, width, memory.q_columns, memory.p);
    times_columns(key_block(v, shape, k0, keys, padded_width, memory.v_copy), keys, width, memory.do_columns,
                  memory.ds);
    softmax_gradient(memory, positions, k0, keys);
    const size_t padded = round_up(keys, kTileRows);
    add_outer(memory.p, padded, memory.do_rows, args.width_padded, dv + k0 * args.width_padded);
    add_outer(memory.ds, padded, memory.q_rows, args.width_padded, dk + k0 * args.width_padded);
    add_weighted(k_block, keys, padded_width, memory.ds, memory.dq_columns);
  }
  for (size_t r = 0; r < count; r++) {
    float* dq = args.dq + (row + r) * width;
    for (size_t i = 0; i < width; i++) dq[i] = memory.dq_columns[i * kQueries + r] * shape.scale;
  }
}

/// Unit: (query head, chunk).
inline void gradient_of_chunk(const CausalAttentionGradArgs& args, const GradientMemory& memory, size_t unit) {
  float* dk = args.partial + unit * 2 * args.partial_size();
  float* dv = dk + args.partial_size();
  memset(dk, 0, 2 * args.partial_size() * sizeof(float));
  const size_t head = unit / args.chunks, start = unit % args.chunks * args.chunk_rows;
  const size_t left = args.shape.rows - start;
  const size_t end = start + (left < args.chunk_rows ? left : args.chunk_rows);
  for (size_t row = start; row < end; row += kQueries) {
    gradient_of_block(args, memory, head, row, end - row < kQueries ? end - row : kQueries, dk, dv);
  }
}

}  // namespace spinquant::SPINQUANT_ISA
