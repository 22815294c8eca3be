// Scores of queries at packed keys in whole numbers: queries are rounded to three bytes, and four products of a byte and
// a code are added to the lane of a token at a time. README.md derives the error.
#pragma once
#include "three_bytes.h"

namespace spinquant::SPINQUANT_ISA {

/// Queries as scores read them.
struct ScoredQueries {
  int32_t* bytes;  // [queries, words, halves, 4]: for each byte of the multiples those of four channels; the last is unused
  float* sums;     // [queries, groups] of the multiples in a group
  float* units;    // [queries]
  size_t depth, groups;

  static size_t depth_of(const PackedLayout& layout) { return layout.words() * layout.per_word(); }
  static size_t floats_of(const PackedLayout& layout) { return depth_of(layout) + layout.groups() + 1; }
  ScoredQueries(const PackedLayout& layout, float* memory, size_t count)
      : bytes(reinterpret_cast<int32_t*>(memory)), depth(depth_of(layout)), groups(layout.groups()) {
    sums = memory + count * depth;
    units = sums + count * groups;
  }
};

/// Channels in the order of halves of bytes: those of a word at even places, then those at odd ones.
template <size_t Bits>
SPINQUANT_INLINE Vec by_halves(Vec channels) {
  if constexpr (Bits == 8) return channels;
  const __m512i order = _mm512_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
  return _mm512_permutexvar_ps(order, channels);
}

/// Writes one query. Channels that pad a group are 0.
template <size_t Bits>
void write_query(const PackedLayout& layout, const float* q, float scale, const ScoredQueries& queries, size_t index) {
  const Vec factor = splat(scale);
  IntVec sizes{};
  for (size_t i = 0; i < layout.width; i += kLanes) {
    const size_t left = layout.width - i;
    sizes = larger_size(sizes, factor * (left < kLanes ? load_part(q + i, left, 0) : load(q + i)));
  }
  const Unit unit = unit_of(sizes);
  queries.units[index] = unit.size;
  int32_t* bytes = queries.bytes + index * queries.depth;
  for (size_t g = 0; g < queries.groups; g++, q += layout.group) {
    Vec total = splat(0);
    const size_t lanes = layout.group_words() * kPerWord<Bits>;
    for (size_t i = 0; i < layout.group; i += kLanes) {
      const size_t left = layout.group - i, room = lanes - i;
      const Vec channels = left < kLanes ? load_part(q + i, left, 0) : load(q + i);
      const Vec multiples = round_even(channels * factor * splat(unit.inverse));
      total += multiples;
      // Four channels take four words: bytes take as many lanes as channels do.
      const __mmask16 mask = static_cast<__mmask16>(room < kLanes ? (1u << room) - 1 : 0xffff);
      _mm512_mask_storeu_epi32(bytes + i, mask, swap_bytes(bytes_of(by_halves<Bits>(multiples))));
    }
    queries.sums[index * queries.groups + g] = sum(total);
    bytes += lanes;
  }
}

/// One query's sums are several where too few would wait for one another.
template <size_t Queries>
constexpr size_t kWholeChains = Queries == 1 ? 2 : 1;

/// Sums of products of a group's codes, for each query and byte.
template <size_t Bits, size_t Queries>
SPINQUANT_INLINE void add_words(const uint8_t* codes, const int32_t* q, size_t depth, size_t words,
                                __m512i (&sums)[Queries][kBytes]) {
  constexpr size_t chains = kWholeChains<Queries>;
  __m512i chained[chains][Queries][kBytes]{};
  for (size_t word = 0; word < words; word++, codes += 4 * kBlockTokens, q += 4 * kHalves<Bits>) {
    __m512i halves[kHalves<Bits>];
    take_halves<Bits>(_mm512_loadu_si512(codes), halves);
    SPINQUANT_UNROLL
    for (size_t half = 0; half < kHalves<Bits>; half++) {
      SPINQUANT_UNROLL
      for (size_t i = 0; i < Queries; i++) {
        SPINQUANT_UNROLL
        for (size_t byte = 0; byte < kBytes; byte++) {
          __m512i& sum = chained[half % chains][i][byte];
          sum = add_products(sum, halves[half], q + i * depth + 4 * half + byte);
        }
      }
    }
  }
  SPINQUANT_UNROLL
  for (size_t i = 0; i < Queries; i++) {
    SPINQUANT_UNROLL
    for (size_t byte = 0; byte < kBytes; byte++) {
      sums[i][byte] = chained[0][i][byte];
      if constexpr (chains > 1) sums[i][byte] = _mm512_add_epi32(sums[i][byte], chained[1][i][byte]);
    }
  }
}

/// Scores of `Queries` queries from `query` at a block.
template <size_t Bits, size_t Queries>
SPINQUANT_INLINE void score_block(const BlockRun& keys, size_t block, const ScoredQueries& queries, size_t query,
                                  float* scores) {
  const size_t words = keys.layout.group_words();
  const uint8_t* codes = keys.codes(block);
  const int32_t* q = queries.bytes + query * queries.depth;
  Vec totals[Queries]{};
  for (size_t g = 0; g < queries.groups; g++) {
    __m512i sums[Queries][kBytes];
    add_words<Bits, Queries>(codes, q, queries.depth, words, sums);
    codes += 4 * kBlockTokens * words;
    q += kPerWord<Bits> * words;
    const BlockGrid grid = keys.grid(block, g);
    const Vec scale = grid.scale(0), zero = grid.zero(0);
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Queries; i++) {
      const Vec shift = zero * splat(queries.sums[(query + i) * queries.groups + g]);
      totals[i] = fma(scale, joined(sums[i]) - shift, totals[i]);
    }
  }
  SPINQUANT_UNROLL
  for (size_t i = 0; i < Queries; i++) {
    store(scores + (query + i) * kStepTokens + block * kBlockTokens, totals[i] * splat(queries.units[query + i]));
  }
}

/// The last queries, fewer than are multiplied together.
template <size_t Bits, size_t Queries = kWholeTogether - 1>
SPINQUANT_INLINE void score_rest(const BlockRun& keys, size_t block, const ScoredQueries& queries, size_t query,
                                 size_t count, float* scores) {
  if constexpr (Queries > 0) {
    if (count == Queries) return score_block<Bits, Queries>(keys, block, queries, query, scores);
    score_rest<Bits, Queries - 1>(keys, block, queries, query, count, scores);
  }
}

/// scores [count, kStepTokens] at a block of keys, which is read from memory once, for all queries.
template <size_t Bits>
void score_queries(const BlockRun& keys, size_t block, const ScoredQueries& queries, size_t count, float* scores) {
  size_t query = 0;
  for (; query + kWholeTogether <= count; query += kWholeTogether) score_block<Bits, kWholeTogether>(keys, block, queries, query, scores);
  score_rest<Bits>(keys, block, queries, query, count - query, scores);
}

}  // namespace spinquant::SPINQUANT_ISA
