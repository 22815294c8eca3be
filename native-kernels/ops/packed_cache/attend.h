// Attention over packed tokens, whatever multiplies: floats, or whole numbers where the processor has products of bytes.
#pragma once
#include "../../cpu/simd_math.h"
#include "../../operator/scratch.h"
#if defined(__AVX512VNNI__)
#include "whole_mix.h"
#include "whole_scores.h"
#else
#include "mix.h"
#include "scores.h"
#endif

namespace spinquant::SPINQUANT_ISA {
namespace {

constexpr float kInfinity = __builtin_inff();

/// The queries of a unit, with their memory.
struct Queries {
  size_t group, first_row, rows, count;
  ScoredQueries scored;
  MixedValues mixed;
  float *scores, *weights;  // [count, kStepTokens]
  float *highest, *totals;  // [count]
  float* peaks;             // [count]: by how much the highest score of the step is above the highest one; at most 0

  static size_t floats(const PackedAttentionArgs& args) {
    const PackedLayout &keys = args.key_layout, &values = args.value_layout;
    const size_t one = 2 * kStepTokens + MixedValues::floats_of(values) + ScoredQueries::floats_of(keys) + 3;
    return args.repeats * args.row_block * one;
  }

  /// Forgets what was seen.
  void begin() const {
    mixed.clear(count);
    fill_zero(totals, count);
    for (size_t i = 0; i < count; i++) highest[i] = -kInfinity;
  }

  size_t row_of(size_t query) const { return first_row + query % rows; }
  size_t index_of(const PackedAttentionArgs& args, size_t query) const {
    return (group * args.repeats + query / rows) * args.rows + row_of(query);
  }
};

Queries queries_of(const PackedAttentionArgs& args, size_t group, size_t first_row, float* memory) {
  const PackedLayout &keys = args.key_layout, &values = args.value_layout;
  const size_t left = args.rows - first_row, rows = left < args.row_block ? left : args.row_block;
  const size_t count = args.repeats * rows;
  auto take = [&](size_t floats) { return (memory += floats) - floats; };
  // What vectors read comes first: it is aligned where the memory is.
  float *scores = take(count * kStepTokens), *weights = take(count * kStepTokens);
  float* sums = take(count * MixedValues::floats_of(values));
  float* channels = take(count * ScoredQueries::floats_of(keys));
  Queries queries{group,  first_row, rows, count, ScoredQueries(keys, channels, count), MixedValues(values, sums, count),
                  scores, weights,   take(count), take(count), take(count)};
  for (size_t i = 0; i < count; i++) {
    const float* q = args.q + queries.index_of(args, i) * args.width();
    keys.bits == 4 ? write_query<4>(keys, q, args.scale, queries.scored, i)
                   : write_query<8>(keys, q, args.scale, queries.scored, i);
  }
  return queries;
}

/// A run of blocks with the positions of its tokens.
struct Step {
  BlockRun keys, values;
  size_t position;  // of the first token
  size_t tokens;    // that are there

  /// Tokens of the step before a position.
  size_t before(size_t end) const {
    const size_t count = end > position ? end - position : 0;
    return count < tokens ? count : tokens;
  }
};

/// Blocks from `block` that lie one after the other, at most up to `end`.
Step step_at(const PackedAttentionArgs& args, size_t group, size_t block, size_t end) {
  const size_t past = args.past_count();
  const bool is_past = block < past;
  const size_t first = is_past ? block : block - past, last = is_past && past < end ? past : end;
  const size_t count = last - block < kStepBlocks ? last - block : kStepBlocks;
  const PackedTokens &keys = is_past ? args.past_keys : args.keys, &values = is_past ? args.past_values : args.values;
  const size_t start = first * kBlockTokens, all = is_past ? args.length : args.rows;
  const size_t tokens = all - start < count * kBlockTokens ? all - start : count * kBlockTokens;
  return {{keys, args.key_layout, group, first, count},
          {values, args.value_layout, group, first, count},
          is_past ? start : args.length + start,
          tokens};
}

/// Scores become e^(score - highest) from `first` to `end`, and 0 elsewhere. What was summed is brought to the new
/// highest score.
void advance(const Queries& queries, size_t query, size_t first, size_t end, size_t tokens) {
  float* scores = queries.scores + query * kStepTokens;
  const float highest = maximum(scores + first, end - first);
  if (highest > queries.highest[query]) {
    // Nothing is brought where nothing was summed: infinity less infinity is not a number.
    if (queries.totals[query] > 0) {
      const Vec factor = exp(splat(queries.highest[query] - highest));
      float* sums = queries.mixed.sums + query * queries.mixed.stride;
      float* shifts = queries.mixed.shifts + query * queries.mixed.groups;
      map(sums, sums, queries.mixed.stride, [&](Vec sum) { return sum * factor; });
      map(shifts, shifts, queries.mixed.groups, [&](Vec shift) { return shift * factor; });
      queries.totals[query] *= factor[0];
    }
    queries.highest[query] = highest;
  }
  queries.peaks[query] = highest - queries.highest[query];
  const Vec top = splat(queries.highest[query]);
  Vec total = splat(0);
  size_t i = first;
  for (; i + kLanes <= end; i += kLanes) {
    const Vec e = exp(load(scores + i) - top);
    store(scores + i, e);
    total += e;
  }
  if (i < end) {
    // Lanes that do not exist are so low that their exponential is 0.
    const Vec e = exp(load_part(scores + i, end - i, -kInfinity) - top);
    store_part(scores + i, end - i, e);
    total += e;
  }
  fill_zero(scores, first);
  fill_zero(scores + end, tokens - end);
  queries.totals[query] += sum(total);
}

/// Adds what the constant part of the keys gives.
void add_constant_part(const PackedAttentionArgs& args, const Queries& queries, size_t query, const Step& step,
                       size_t first, size_t end) {
  const float* coefficients = args.coefficients + queries.index_of(args, query) * args.terms;
  float* scores = queries.scores + query * kStepTokens;
  for (size_t i = first; i < end; i++) {
    scores[i] += dot(coefficients, args.table + (step.position + i) * args.terms, args.terms);
  }
}

void attend(const PackedAttentionArgs& args, const Queries& queries, const Step& step) {
  const size_t blocks = step.keys.count, tokens = blocks * kBlockTokens;
  args.key_layout.bits == 4 ? score_blocks<4>(step.keys, step.values, queries.scored, queries.count, queries.scores)
                            : score_blocks<8>(step.keys, step.values, queries.scored, queries.count, queries.scores);
  auto visible = [&](size_t query, size_t* first, size_t* end) {
    const size_t row = queries.row_of(query);
    *first = step.before(args.first_position(row));
    *end = step.before(args.length + row + 1);
  };
  size_t first = 0, end = 0;
  for (size_t i = 0; i < queries.count; i++) {
    visible(i, &first, &end);
    if (first == end) {
      fill_zero(queries.scores + i * kStepTokens, tokens);
      queries.peaks[i] = 0;
      continue;
    }
    if (args.table) add_constant_part(args, queries, i, step, first, end);
    advance(queries, i, first, end, tokens);
  }
  for (size_t g = 0; g < args.value_layout.groups(); g++) {
    StepWeights weights{step.values, g};
    for (size_t i = 0; i < queries.count; i++) {
      visible(i, &first, &end);
      weights.see(first, end);
      float* const own = queries.weights + i * kStepTokens;
      weights.weigh(queries.scores + i * kStepTokens, queries.peaks[i], own, queries.mixed, i);
    }
    const ValueGroup values{step.values, step.keys, g, step.tokens};
    const MixedWeights mixing{queries.weights, kStepTokens, queries.count};
    args.value_layout.bits == 4 ? mix_codes<4>(values, mixing, queries.mixed) : mix_codes<8>(values, mixing, queries.mixed);
  }
}

void write_partial(const PackedAttentionArgs& args, const Queries& queries, size_t chunk) {
  const size_t width = args.width();
  for (size_t i = 0; i < queries.count; i++) {
    float* partial = args.partial + (queries.index_of(args, i) * args.chunks() + chunk) * args.partial_size();
    args.value_layout.bits == 4 ? write_mixed<4>(args.value_layout, queries.mixed, i, partial)
                                : write_mixed<8>(args.value_layout, queries.mixed, i, partial);
    partial[width] = queries.highest[i];
    partial[width + 1] = queries.totals[i];
  }
}

}  // namespace

void packed_attention(const PackedAttentionArgs& args, size_t first, size_t last) {
  const Scratch scratch(Queries::floats(args) * sizeof(float));
  const size_t chunks = args.chunks(), row_blocks = args.row_blocks();
  const auto queries_at = [&](size_t unit) {
    const size_t group = unit / chunks / row_blocks;
    return queries_of(args, group, unit / chunks % row_blocks * args.row_block, scratch.floats());
  };
  if (first == last) return;
  Queries queries = queries_at(first);
  for (size_t unit = first; unit < last; unit++) {
    const size_t chunk = unit % chunks;
    // Chunks of the same queries follow one another.
    if (chunk == 0 && unit > first) queries = queries_at(unit);
    queries.begin();
    const size_t seen = args.block_of(args.first_position(queries.first_row));
    const size_t seen_end = args.block_of(args.length + queries.first_row + queries.rows - 1) + 1;
    const size_t start = chunk * args.chunk_blocks, chunk_end = start + args.chunk_blocks;
    const size_t end = chunk_end < seen_end ? chunk_end : seen_end;
    for (size_t block = start > seen ? start : seen; block < end;) {
      const Step step = step_at(args, queries.group, block, end);
      block += step.keys.count;
      attend(args, queries, step);
    }
    write_partial(args, queries, chunk);
  }
}

}  // namespace spinquant::SPINQUANT_ISA
