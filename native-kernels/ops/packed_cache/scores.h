// Scores of queries at packed keys, with tokens in the lanes: no sums across lanes, and a query's channels are
// broadcast from memory.
#pragma once
#include "../../cpu/simd_reduce.h"
#include "codes.h"

namespace spinquant::SPINQUANT_ISA {

/// Queries as scores read them. Padding of groups to whole words is 0.
struct ScoredQueries {
  float* channels;  // [queries, words·per_word], each divided by the factor of its place
  float* sums;      // [queries, groups] of the channels in a group
  size_t depth, groups;

  static size_t floats_of(const PackedLayout& layout) { return layout.words() * layout.per_word() + layout.groups(); }
  ScoredQueries(const PackedLayout& layout, float* memory, size_t count)
      : channels(memory), depth(layout.words() * layout.per_word()), groups(layout.groups()) {
    sums = channels + count * depth;
  }
};

/// Writes one query.
template <size_t Bits>
void write_query(const PackedLayout& layout, const float* q, float scale, const ScoredQueries& queries, size_t index) {
  const size_t words = layout.group_words();
  float* channels = queries.channels + index * queries.depth;
  for (size_t g = 0; g < queries.groups; g++, q += layout.group) {
    float* const group = channels + g * words * kPerWord<Bits>;
    fill_zero(group + (words - 1) * kPerWord<Bits>, kPerWord<Bits>);
    const Vec factor = splat(scale);
    Vec total = splat(0);
    map(q, group, layout.group, [&](Vec channel) {
      const Vec scaled = channel * factor;
      total += scaled;
      return scaled;
    });
    queries.sums[index * queries.groups + g] = sum(total);
    for (size_t word = 0; word < words; word++) {
      SPINQUANT_UNROLL
      for (size_t place = 0; place < kPerWord<Bits>; place++) {
        group[word * kPerWord<Bits> + place] *= 1 / place_factor<Bits>(place);
      }
    }
  }
}

/// Several sums for each query and part where there are few of these, so that additions need not wait for one another.
template <size_t Queries>
constexpr size_t kChains = Queries * kParts >= 6 ? 1 : Queries * kParts >= 3 ? 2 : 4;

template <size_t Queries>
using Sums = Vec[kChains<Queries>][Queries][kParts];

template <size_t Bits, size_t Queries, size_t Place = 0>
SPINQUANT_INLINE void add_word(const WordVec (&words)[kParts], const float* q, size_t depth, Sums<Queries>& sums) {
  if constexpr (Place < kPerWord<Bits>) {
    Vec codes[kParts];
    SPINQUANT_UNROLL for (size_t part = 0; part < kParts; part++) codes[part] = codes_at<Bits, Place>(words[part]);
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Queries; i++) {
      const Vec channel = splat(q[i * depth + Place]);
      SPINQUANT_UNROLL
      for (size_t part = 0; part < kParts; part++) {
        Vec& sum = sums[Place % kChains<Queries>][i][part];
        sum = fma(channel, codes[part], sum);
      }
    }
    add_word<Bits, Queries, Place + 1>(words, q, depth, sums);
  }
}

/// Scores of `Queries` queries from `query` at a block.
template <size_t Bits, size_t Queries>
SPINQUANT_INLINE void score_block(const BlockRun& keys, size_t block, const ScoredQueries& queries, size_t query,
                                  float* scores) {
  const size_t words = keys.group_words;
  const uint8_t* codes = keys.codes(block);
  const float* q = queries.channels + query * queries.depth;
  Vec totals[Queries][kParts]{};
  for (size_t g = 0; g < queries.groups; g++) {
    Sums<Queries> sums{};
    for (size_t word = 0; word < words; word++, codes += 4 * kBlockTokens, q += kPerWord<Bits>) {
      WordVec vectors[kParts];
      SPINQUANT_UNROLL
      for (size_t part = 0; part < kParts; part++) vectors[part] = load_words(codes + 4 * part * kLanes);
      add_word<Bits, Queries>(vectors, q, queries.depth, sums);
    }
    const BlockGrid grid = keys.grid(block, g);
    SPINQUANT_UNROLL
    for (size_t part = 0; part < kParts; part++) {
      const Vec scale = grid.scale(part), zero = grid.zero(part);
      SPINQUANT_UNROLL
      for (size_t i = 0; i < Queries; i++) {
        Vec sum = sums[0][i][part];
        SPINQUANT_UNROLL for (size_t chain = 1; chain < kChains<Queries>; chain++) sum += sums[chain][i][part];
        const Vec shift = zero * splat(queries.sums[(query + i) * queries.groups + g]);
        totals[i][part] = totals[i][part] + scale * (sum - shift);
      }
    }
  }
  SPINQUANT_UNROLL
  for (size_t i = 0; i < Queries; i++) {
    SPINQUANT_UNROLL
    for (size_t part = 0; part < kParts; part++) {
      store(scores + (query + i) * kStepTokens + block * kBlockTokens + part * kLanes, totals[i][part]);
    }
  }
}

/// The last queries, fewer than are multiplied together.
template <size_t Bits, size_t Queries = kTogether - 1>
SPINQUANT_INLINE void score_rest(const BlockRun& keys, size_t block, const ScoredQueries& queries, size_t query,
                                 size_t count, float* scores) {
  if constexpr (Queries > 0) {
    if (count == Queries) return score_block<Bits, Queries>(keys, block, queries, query, scores);
    score_rest<Bits, Queries - 1>(keys, block, queries, query, count, scores);
  }
}

/// scores [count, kStepTokens]: each block is read from memory once, for all queries. Meanwhile the values of the step
/// and the keys of the next one are fetched.
template <size_t Bits>
void score_blocks(const BlockRun& keys, const BlockRun& values, const ScoredQueries& queries, size_t count,
                  float* scores) {
  for (size_t block = 0; block < keys.count; block++) {
    values.fetch(block);
    keys.fetch(block + kStepBlocks);
    size_t query = 0;
    for (; query + kTogether <= count; query += kTogether) {
      score_block<Bits, kTogether>(keys, block, queries, query, scores);
    }
    score_rest<Bits>(keys, block, queries, query, count - query, scores);
  }
}

}  // namespace spinquant::SPINQUANT_ISA
