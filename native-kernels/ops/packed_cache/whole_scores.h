// Scores of queries at packed keys in whole numbers: queries are rounded to three bytes, or two channels to five, and four
// products of a byte and a code are added to the lane of a token at a time. README.md derives the error.
#pragma once
#include "byte_multiples.h"

namespace spinquant::SPINQUANT_ISA {

/// Queries as scores read them.
struct ScoredQueries {
  /// [tiles of queries, words, queries, kWordBytes]: bytes of the multiples, of four channels each. At 4 bits channels 2i
  /// and 2i + 1 are a pair.
  int32_t* bytes;
  float* sums;     // [queries, groups] of the multiples in a group
  float* units;    // [queries]
  size_t depth, groups, count;

  static size_t depth_of(const PackedLayout& layout) { return layout.words() * (layout.bits == 4 ? kWordBytes<4> : kWordBytes<8>); }
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

/// Words of a vector of channels as bytes, and the sums of the multiples that these stand for. A word of 4 bits has four
/// pairs: channels 2i and 2i + 1.
template <size_t Bits>
SPINQUANT_INLINE Vec write_words(Vec channels, Vec inverse, int32_t* bytes, size_t count, size_t stride) {
  alignas(64) int32_t lanes[2][kLanes];
  Vec multiples;
  if constexpr (Bits == 4) {
    const __m512i halves = _mm512_castps_si512(by_halves<4>(channels));
    const Vec odd = _mm512_castsi512_ps(_mm512_shuffle_i32x4(halves, halves, 0xb1));
    const Pairs pairs = pairs_of(_mm512_castsi512_ps(halves), odd, inverse, 0);
    _mm512_store_si512(lanes[0], swap_bytes(pairs.x));
    _mm512_store_si512(lanes[1], swap_bytes(pairs.y));
    const __m512i both = _mm512_add_epi32(pairs.x_number, _mm512_slli_epi32(pairs.sixteenths, 4));
    multiples = _mm512_maskz_cvtepi32_ps(0x0f0f, both);
  } else {
    multiples = round_even(channels * inverse);
    _mm512_store_si512(lanes[0], swap_bytes(bytes_of(multiples)));
  }
  for (size_t lane = 0; lane < kLanes && lane < count; lane += kPerWord<Bits>, bytes += stride) {
    memcpy(bytes, lanes[0] + lane, 4 * kBytes);
    if (Bits == 4) memcpy(bytes + kBytes, lanes[1] + lane, 4 * (kWordBytes<Bits> - kBytes));
  }
  return multiples;
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
  const float largest = largest_size(sizes), unit = Bits == 4 ? pair_unit_of(largest, 0) : unit_of(largest, 0);
  queries.units[index] = unit;
  const Vec inverse = splat(1 / unit);
  const size_t place = index % kTile, tile = queries.tile(index - place);
  int32_t* bytes = queries.bytes + (index - place) * queries.depth + place * kWordBytes<Bits>;
  for (size_t g = 0; g < queries.groups; g++, q += layout.group) {
    Vec total = splat(0);
    for (size_t i = 0; i < layout.group; i += kLanes) {
      const size_t left = layout.group - i;
      const Vec channels = left < kLanes ? load_part(q + i, left, 0) : load(q + i);
      const size_t stride = kWordBytes<Bits> * tile;
      total += write_words<Bits>(channels * factor, inverse, bytes, left, stride);
      bytes += stride * ((left < kLanes ? left + kPerWord<Bits> - 1 : kLanes) / kPerWord<Bits>);
    }
    queries.sums[index * queries.groups + g] = sum(total);
  }
}

/// Adds products of a word of one block, for each query of a tile and byte.
template <size_t Bits, size_t Queries>
SPINQUANT_INLINE void add_word(const uint8_t* codes, const int32_t* q, __m512i (&sums)[Queries][kBytes]) {
  const __m512i words = _mm512_loadu_si512(codes);
  __m512i parts[kHalves<Bits>];
  take_halves<Bits>(words, parts);
  SPINQUANT_UNROLL
  for (size_t i = 0; i < Queries; i++, q += kWordBytes<Bits>) {
    // A byte of codes is the first one of a pair and 2^4 times the second one.
    add_products(sums[i][0], words, spread_bytes(q));
    add_products(sums[i][1], parts[0], spread_bytes(q + 1));
    add_products(sums[i][2], parts[0], spread_bytes(q + 2));
    if constexpr (Bits == 4) {
      add_products(sums[i][1], parts[1], spread_bytes(q + 3));
      add_products(sums[i][2], parts[1], spread_bytes(q + 4));
    }
  }
}

/// The same of two blocks.
template <size_t Bits, size_t Queries>
SPINQUANT_INLINE void add_words(const uint8_t* codes, const uint8_t* next_codes, const int32_t* q,
                                __m512i (&sums)[Queries][kBytes], __m512i (&next_sums)[Queries][kBytes]) {
  const __m512i words = _mm512_loadu_si512(codes), next_words = _mm512_loadu_si512(next_codes);
  __m512i parts[kHalves<Bits>], next_parts[kHalves<Bits>];
  take_halves<Bits>(words, parts);
  take_halves<Bits>(next_words, next_parts);
  SPINQUANT_UNROLL
  for (size_t i = 0; i < Queries; i++) {
    const int32_t* own = q + i * kWordBytes<Bits>;
    add_products(sums[i][0], next_sums[i][0], words, next_words, own);
    add_products(sums[i][1], next_sums[i][1], parts[0], next_parts[0], own + 1);
    add_products(sums[i][2], next_sums[i][2], parts[0], next_parts[0], own + 2);
  }
  if constexpr (Bits == 4) {
    // Each sum has waited for the products above by now.
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Queries; i++) {
      const int32_t* own = q + i * kWordBytes<Bits>;
      add_products(sums[i][1], next_sums[i][1], parts[1], next_parts[1], own + 3);
      add_products(sums[i][2], next_sums[i][2], parts[1], next_parts[1], own + 4);
    }
  }
}

/// Scores of a tile of queries at a block, as its groups come.
template <size_t Queries>
struct BlockScores {
  Vec totals[Queries]{};

  /// @param sums_of of the multiples of each query in this group, `groups` apart.
  SPINQUANT_INLINE_MEMBER void add_group(const BlockGrid& grid, const __m512i (&sums)[Queries][kBytes],
                                         const float* sums_of, size_t groups) {
    const Vec scale = grid.scale(0), zero = grid.zero(0);
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Queries; i++) {
      const Vec shift = zero * splat(sums_of[i * groups]);
      totals[i] = fma(scale, joined(sums[i]) - shift, totals[i]);
    }
  }

  SPINQUANT_INLINE_MEMBER void write(const float* units, float* scores) const {
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Queries; i++) store(scores + i * kStepTokens, totals[i] * splat(units[i]));
  }
};

/// Scores of a tile of `Queries` queries from `query` on at one block, or at two. It is not inlined: GCC 12 then leaves the
/// sums in memory.
template <size_t Bits, size_t Queries, size_t Blocks>
__attribute__((noinline)) void score_some(const BlockRun& keys, size_t block, const ScoredQueries& queries, size_t query,
                                          float* scores) {
  const size_t words = keys.group_words, groups = queries.groups;
  const float *sums_of = queries.sums + query * groups, *units = queries.units + query;
  const uint8_t* codes = keys.codes(block);
  const int32_t* q = queries.bytes + query * queries.depth;
  BlockScores<Queries> first, second;
  for (size_t g = 0; g < groups; g++) {
    __m512i sums[Queries][kBytes]{}, next_sums[Queries][kBytes]{};
    for (size_t word = 0; word < words; word++, codes += 4 * kBlockTokens, q += Queries * kWordBytes<Bits>) {
      if constexpr (Blocks == 2) {
        add_words<Bits, Queries>(codes, codes + keys.block_bytes, q, sums, next_sums);
      } else {
        add_word<Bits, Queries>(codes, q, sums);
      }
    }
    first.add_group(keys.grid(block, g), sums, sums_of + g, groups);
    if constexpr (Blocks == 2) second.add_group(keys.grid(block + 1, g), next_sums, sums_of + g, groups);
  }
  scores += query * kStepTokens + block * kBlockTokens;
  first.write(units, scores);
  if constexpr (Blocks == 2) second.write(units, scores + kBlockTokens);
}

/// Scores of a tile at all blocks. With the first tile, the values of the step are fetched.
template <size_t Bits, size_t Queries>
void score_tile(const BlockRun& keys, const BlockRun& values, const ScoredQueries& queries, size_t query,
                float* scores) {
  for (size_t block = 0; block < keys.count; block += 2) {
    const bool is_last = block + 1 == keys.count;
    if (query == 0) {
      values.fetch(block);
      if (!is_last) values.fetch(block + 1);
    }
    is_last ? score_some<Bits, Queries, 1>(keys, block, queries, query, scores)
            : score_some<Bits, Queries, 2>(keys, block, queries, query, scores);
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
