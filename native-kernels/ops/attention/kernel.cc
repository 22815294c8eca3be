#include "../../operator/scratch.h"
#include "../../cpu/simd_math.h"
#include "blocks.h"
#include "gradient.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Working memory of one thread.
struct ForwardMemory {
  float *columns, *scores, *sums, *k_copy, *v_copy;

  static size_t floats(size_t padded_width) {
    return kQueries * (2 * padded_width + kKeys) + 2 * kKeys * padded_width;
  }

  ForwardMemory(float* memory, size_t padded_width)
      : columns(memory),
        scores(columns + kQueries * padded_width),
        sums(scores + kQueries * kKeys),
        k_copy(sums + kQueries * padded_width),
        v_copy(k_copy + kKeys * padded_width) {}
};

/// Running maximum and sum of exponentials per query.
struct RunningSoftmax {
  Vec highest[kQueryVecs], total[kQueryVecs];
};

void mask_scores(float* scores, const Positions& positions, size_t k0, size_t count) {
  for (size_t j = 0; j < count; j++) {
    SPINQUANT_UNROLL for (size_t v = 0; v < kQueryVecs; v++) {
      float* s = scores + j * kQueries + v * kLanes;
      store(s, choose(positions.sees(k0 + j, v), load(s), splat(kMasked)));
    }
  }
}

/// Scores become e^(score - maximum); sums so far are brought to the new maximum.
SPINQUANT_INLINE void advance(RunningSoftmax& state, float* scores, size_t count, float* sums, size_t padded_width) {
  SPINQUANT_UNROLL for (size_t v = 0; v < kQueryVecs; v++) {
    float* s = scores + v * kLanes;
    Vec highest = state.highest[v];
    for (size_t j = 0; j < count; j++) highest = max(highest, load(s + j * kQueries));
    // e^0 comes out a little above 1.
    const Vec correction = choose(highest == state.highest[v], splat(1), exp(state.highest[v] - highest));
    state.highest[v] = highest;
    Vec total = state.total[v] * correction;
    for (size_t j = 0; j < count; j++) {
      const Vec e = exp(load(s + j * kQueries) - highest);
      store(s + j * kQueries, e);
      total += e;
    }
    state.total[v] = total;
    if (smallest(correction) == 1.0f) continue;
    float* sum = sums + v * kLanes;
    for (size_t i = 0; i < padded_width; i++) store(sum + i * kQueries, load(sum + i * kQueries) * correction);
  }
}

void write_rows(const RunningSoftmax& state, const ForwardMemory& memory, const CausalAttentionArgs& args,
                size_t row, size_t count) {
  float highest[kQueries], total[kQueries];
  for (size_t v = 0; v < kQueryVecs; v++) {
    store(highest + v * kLanes, state.highest[v]);
    store(total + v * kLanes, state.total[v]);
  }
  const size_t width = args.shape.width;
  for (size_t r = 0; r < count; r++) {
    float* o = args.o + (row + r) * width;
    const float inverse = 1.0f / total[r];
    for (size_t i = 0; i < width; i++) o[i] = memory.sums[i * kQueries + r] * inverse;
    args.lse[row + r] = highest[r] + __builtin_logf(total[r]);
  }
}

/// Rows first … first + count - 1 (at most kQueries) of query head `head`.
void attend(const CausalAttentionArgs& args, const ForwardMemory& memory, size_t head, size_t first, size_t count) {
  const AttentionShape& shape = args.shape;
  const size_t width = shape.width, padded_width = round_up(width, kTileRows);
  const size_t group = head / shape.repeats;
  const float* k = args.k + group * shape.keys * width;
  const float* v = args.v + group * shape.keys * width;
  const size_t row = head * shape.rows + first;
  pack_columns(args.q + row * width, count, width, shape.scale, memory.columns);
  memset(memory.sums, 0, padded_width * kQueries * sizeof(float));
  RunningSoftmax state;
  for (size_t i = 0; i < kQueryVecs; i++) state.highest[i] = splat(kMasked), state.total[i] = splat(0);
  const Positions positions{shape.position(first), kQueries, shape.window};
  const size_t end = shape.position(first + count - 1) + 1;
  for (size_t k0 = shape.first_key(positions.first); k0 < end; k0 += kKeys) {
    const size_t keys = end - k0 < kKeys ? end - k0 : kKeys;
    const KeyBlock k_block = key_block(k, shape, k0, keys, padded_width, memory.k_copy);
    times_columns(k_block, keys, width, memory.columns, memory.scores);
    if (positions.masks(k0, keys)) mask_scores(memory.scores, positions, k0, keys);
    advance(state, memory.scores, keys, memory.sums, padded_width);
    add_weighted(key_block(v, shape, k0, keys, padded_width, memory.v_copy), keys, padded_width, memory.scores,
                 memory.sums);
  }
  write_rows(state, memory, args, row, count);
}

}  // namespace

void causal_attention(const CausalAttentionArgs& args, size_t first, size_t last) {
  const size_t padded_width = round_up(args.shape.width, kTileRows);
  const Scratch scratch(ForwardMemory::floats(padded_width) * sizeof(float));
  const ForwardMemory memory(scratch.floats(), padded_width);
  for (size_t unit = first; unit < last; unit++) {
    const size_t head = unit / args.units_per_head();
    const size_t start = unit % args.units_per_head() * kQueriesPerUnit;
    const size_t left = args.shape.rows - start;
    const size_t end = start + (left < kQueriesPerUnit ? left : kQueriesPerUnit);
    for (size_t row = start; row < end; row += kQueries) {
      attend(args, memory, head, row, end - row < kQueries ? end - row : kQueries);
    }
  }
}

void causal_attention_grad(const CausalAttentionGradArgs& args, size_t first, size_t last) {
  const size_t padded_width = round_up(args.shape.width, kTileRows);
  const Scratch scratch(GradientMemory::floats(padded_width, args.width_padded) * sizeof(float));
  const GradientMemory memory(scratch.floats(), padded_width, args.width_padded);
  for (size_t unit = first; unit < last; unit++) gradient_of_chunk(args, memory, unit);
}

void attention_partial_sum(const AttentionPartialSumArgs& args, size_t first, size_t last) {
  const AttentionShape& shape = args.shape;
  const size_t parts = shape.repeats * args.chunks, size = args.keys_padded * args.width_padded;
  for (size_t unit = first; unit < last; unit++) {
    const float* row = args.partial + unit / shape.keys * parts * 2 * size + unit % shape.keys * args.width_padded;
    for (size_t i = 0; i < shape.width; i++) {
      float dk = 0, dv = 0;
      for (size_t part = 0; part < parts; part++) {
        dk += row[2 * part * size + i];
        dv += row[(2 * part + 1) * size + i];
      }
      args.dk[unit * shape.width + i] = dk;
      args.dv[unit * shape.width + i] = dv;
    }
  }
}

}  // namespace spinquant::SPINQUANT_ISA
