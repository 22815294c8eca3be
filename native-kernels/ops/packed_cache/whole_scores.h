// Scores of queries at packed keys in whole numbers: queries are rounded to three bytes, and four products of a byte and
// a code are added to the lane of a token at a time. README.md derives the error.
#pragma once
#include "byte_multiples.h"

namespace spinquant::SPINQUANT_ISA {

/// Queries as scores read them.
struct ScoredQueries {
  /// [tiles of queries, words, queries, halves, kBytes]: for each byte of the multiples those of four channels.
  int32_t* bytes;
  float* sums;     // [queries, groups] of the multiples in a group
  float* units;    // [queries]
  size_t depth, groups, count;

  static size_t depth_of(const PackedLayout& layout) { return layout.words() * layout.per_word() / 4 * kBytes; }
  static size_t floats_of(const PackedLayout& layout) { return depth_of(layout) + layout.groups() + 1; }
  ScoredQueries(const PackedLayout& layout, float* memory, size_t count)
      : bytes(reinterpret_cast<int32_t*>(memory)), depth(depth_of(layout)), groups(layout.groups()), count(count) {
    sums = memory + count * depth;
    units = sums + count * groups;
  }

  /// How many queries a tile from `query` on holds.
  size_t tile(size_t query) const { return count - query < kTile ? count - query : kTile; }
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
  const float unit = unit_of(largest_size(sizes), 0);
  queries.units[index] = unit;
  const Vec inverse = splat(1 / unit);
  constexpr size_t halves = kHalves<Bits>;
  const size_t place = index % kTile, tile = queries.tile(index - place);
  int32_t* bytes = queries.bytes + (index - place) * queries.depth + place * halves * kBytes;
  for (size_t g = 0; g < queries.groups; g++, q += layout.group) {
    Vec total = splat(0);
    for (size_t i = 0; i < layout.group; i += kLanes) {
      const size_t left = layout.group - i;
      const Vec channels = left < kLanes ? load_part(q + i, left, 0) : load(q + i);
      const Vec multiples = round_even(channels * factor * inverse);
      total += multiples;
      alignas(64) int32_t lanes[kLanes];
      _mm512_store_si512(lanes, swap_bytes(bytes_of(by_halves<Bits>(multiples))));
      for (size_t lane = 0; lane < kLanes && lane < left; lane += kPerWord<Bits>, bytes += halves * kBytes * tile) {
        SPINQUANT_UNROLL
        for (size_t half = 0; half < halves; half++) {
          memcpy(bytes + half * kBytes, lanes + lane + 4 * half, 4 * kBytes);
        }
      }
    }
    queries.sums[index * queries.groups + g] = sum(total);
  }
}

/// One query's sums are several where too few would wait for one another.
template <size_t Queries>
constexpr size_t kChains = Queries == 1 ? 2 : 1;

/// Sums of products of a group's codes, for each query of a tile and byte.
template <size_t Bits, size_t Queries>
SPINQUANT_INLINE void add_words(const uint8_t* codes, const int32_t* q, size_t words, __m512i (&sums)[Queries][kBytes]) {
  constexpr size_t chains = kChains<Queries>, halves = kHalves<Bits>;
  __m512i chained[chains][Queries][kBytes]{};
  for (size_t word = 0; word < words; word++, codes += 4 * kBlockTokens, q += halves * Queries * kBytes) {
    __m512i parts[halves];
    take_halves<Bits>(_mm512_loadu_si512(codes), parts);
    SPINQUANT_UNROLL
    for (size_t half = 0; half < halves; half++) {
      SPINQUANT_UNROLL
      for (size_t i = 0; i < Queries; i++) {
        SPINQUANT_UNROLL
        for (size_t byte = 0; byte < kBytes; byte++) {
          add_products(chained[half % chains][i][byte], parts[half], q + (i * halves + half) * kBytes + byte);
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

/// Scores of a tile of `Queries` queries from `query` at all blocks. With the first tile, the values of the step and the
/// keys of the next one are fetched.
template <size_t Bits, size_t Queries>
void score_tile(const BlockRun& keys, const BlockRun& values, const ScoredQueries& queries, size_t query,
                float* scores) {
  const size_t words = keys.group_words, groups = queries.groups;
  const float *sums_of = queries.sums + query * groups, *units = queries.units + query;
  for (size_t block = 0; block < keys.count; block++) {
    if (query == 0) {
      values.fetch(block);
      keys.fetch(block + kStepBlocks);
      keys.fetch_codes(block + 2);
    }
    const uint8_t* codes = keys.codes(block);
    const int32_t* q = queries.bytes + query * queries.depth;
    Vec totals[Queries]{};
    for (size_t g = 0; g < groups; g++) {
      __m512i sums[Queries][kBytes];
      add_words<Bits, Queries>(codes, q, words, sums);
      codes += 4 * kBlockTokens * words;
      q += kHalves<Bits> * words * Queries * kBytes;
      const BlockGrid grid = keys.grid(block, g);
      const Vec scale = grid.scale(0), zero = grid.zero(0);
      SPINQUANT_UNROLL
      for (size_t i = 0; i < Queries; i++) {
        const Vec shift = zero * splat(sums_of[i * groups + g]);
        totals[i] = fma(scale, joined(sums[i]) - shift, totals[i]);
      }
    }
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Queries; i++) {
      store(scores + (query + i) * kStepTokens + block * kBlockTokens, totals[i] * splat(units[i]));
    }
  }
}

/// The last tile may have fewer queries.
template <size_t Bits, size_t Queries = kTile - 1>
SPINQUANT_INLINE void score_rest(const BlockRun& keys, const BlockRun& values, const ScoredQueries& queries,
                                 size_t query, float* scores) {
  if constexpr (Queries > 0) {
    if (queries.tile(query) == Queries) return score_tile<Bits, Queries>(keys, values, queries, query, scores);
    score_rest<Bits, Queries - 1>(keys, values, queries, query, scores);
  }
}

/// scores [count, kStepTokens]. Keys of the step are in the first-level cache for the second tile.
template <size_t Bits>
void score_blocks(const BlockRun& keys, const BlockRun& values, const ScoredQueries& queries, size_t count,
                  float* scores) {
  size_t query = 0;
  for (; query + kTile <= count; query += kTile) {
    score_tile<Bits, kTile>(keys, values, queries, query, scores);
  }
  if (query < count) score_rest<Bits>(keys, values, queries, query, scores);
}

}  // namespace spinquant::SPINQUANT_ISA
