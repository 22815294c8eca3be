// Sums of packed values, with words of channels in the lanes and weights of tokens broadcast from memory.
#pragma once
#include "../../cpu/simd_reduce.h"
#include "codes.h"

namespace spinquant::SPINQUANT_ISA {

/// Sums of codes for some queries: [queries, groups, vectors of words, places, kLanes], times the factor of the place,
/// and of zero points [queries, groups].
struct MixedValues {
  float *sums, *shifts;
  size_t stride, groups, vectors;

  static size_t vectors_of(const PackedLayout& layout) { return (layout.group_words() + kLanes - 1) / kLanes; }
  static size_t stride_of(const PackedLayout& layout) {
    return layout.groups() * vectors_of(layout) * layout.per_word() * kLanes;
  }
  static size_t floats_of(const PackedLayout& layout) { return stride_of(layout) + layout.groups(); }
  MixedValues(const PackedLayout& layout, float* memory, size_t count)
      : sums(memory), stride(stride_of(layout)), groups(layout.groups()), vectors(vectors_of(layout)) {
    shifts = sums + count * stride;
  }
  void clear(size_t count) const { fill_zero(sums, count * (stride + groups)); }
};

/// Places of a word that are summed together: as many as registers hold.
template <size_t Queries>
constexpr size_t kPlaces = Queries >= 3 ? 2 : 4;

template <size_t Bits, size_t Queries, size_t First, size_t Place = 0>
SPINQUANT_INLINE void add_places(WordVec words, const Vec (&weights)[Queries], Vec (&sums)[Queries][kPlaces<Queries>]) {
  if constexpr (Place < kPlaces<Queries>) {
    const Vec codes = codes_at<Bits, First + Place>(words);
    SPINQUANT_UNROLL for (size_t i = 0; i < Queries; i++) sums[i][Place] = fma(weights[i], codes, sums[i][Place]);
    add_places<Bits, Queries, First, Place + 1>(words, weights, sums);
  }
}

/// A vector of words of every token in a run.
struct WordColumn {
  const uint8_t* codes;
  size_t words;  // in the vector, at most kLanes
  size_t token_bytes, block_bytes, tokens;
};

template <size_t Bits, size_t Queries, bool Whole, size_t First = 0>
SPINQUANT_INLINE void add_column(const WordColumn& column, const float* weights, size_t weight_stride, float* sums,
                                 size_t sum_stride) {
  if constexpr (First < kPerWord<Bits>) {
    Vec totals[Queries][kPlaces<Queries>];
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Queries; i++) {
      SPINQUANT_UNROLL
      for (size_t place = 0; place < kPlaces<Queries>; place++) {
        totals[i][place] = load(sums + i * sum_stride + (First + place) * kLanes);
      }
    }
    const uint8_t* block = column.codes;
    for (size_t start = 0; start < column.tokens; start += kBlockTokens, block += column.block_bytes) {
      const size_t left = column.tokens - start, end = start + (left < kBlockTokens ? left : kBlockTokens);
      const uint8_t* codes = block;
      for (size_t token = start; token < end; token++, codes += column.token_bytes) {
        const WordVec words = Whole ? load_words(codes) : load_words(codes, column.words);
        Vec shares[Queries];
        SPINQUANT_UNROLL
        for (size_t i = 0; i < Queries; i++) shares[i] = splat(weights[i * weight_stride + token]);
        add_places<Bits, Queries, First>(words, shares, totals);
      }
    }
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Queries; i++) {
      SPINQUANT_UNROLL
      for (size_t place = 0; place < kPlaces<Queries>; place++) {
        store(sums + i * sum_stride + (First + place) * kLanes, totals[i][place]);
      }
    }
    add_column<Bits, Queries, Whole, First + kPlaces<Queries>>(column, weights, weight_stride, sums, sum_stride);
  }
}

template <size_t Bits, size_t Queries>
void mix_group(const BlockRun& values, size_t group, size_t tokens, const float* weights, size_t weight_stride, float* sums,
               size_t sum_stride) {
  const size_t words = values.group_words;
  for (size_t word = 0; word < words; word += kLanes, sums += kPerWord<Bits> * kLanes) {
    const WordColumn column{values.codes(0) + 4 * (group * words + word), words - word < kLanes ? words - word : kLanes,
                            4 * values.words, values.block_bytes, tokens};
    column.words == kLanes ? add_column<Bits, Queries, true>(column, weights, weight_stride, sums, sum_stride)
                           : add_column<Bits, Queries, false>(column, weights, weight_stride, sums, sum_stride);
  }
}

/// The last queries, fewer than are summed together.
template <size_t Bits, size_t Queries = kTogether - 1>
SPINQUANT_INLINE void mix_rest(const BlockRun& values, size_t group, size_t tokens, size_t count, const float* weights,
                               size_t weight_stride, float* sums, size_t sum_stride) {
  if constexpr (Queries > 0) {
    if (count == Queries) {
      return mix_group<Bits, Queries>(values, group, tokens, weights, weight_stride, sums, sum_stride);
    }
    mix_rest<Bits, Queries - 1>(values, group, tokens, count, weights, weight_stride, sums, sum_stride);
  }
}

/// Adds Σ weights·codes of a group of channels over the tokens of a step.
template <size_t Bits>
void mix_codes(const ValueGroup& values, const MixedWeights& weights, const MixedValues& mixed) {
  const BlockRun& run = values.run;
  const float* of = weights.of;
  const size_t group = values.group, tokens = values.tokens, stride = weights.stride, count = weights.count;
  float* sums = mixed.sums + group * mixed.vectors * kPerWord<Bits> * kLanes;
  size_t query = 0;
  for (; query + kTogether <= count; query += kTogether) {
    mix_group<Bits, kTogether>(run, group, tokens, of + query * stride, stride, sums + query * mixed.stride, mixed.stride);
  }
  mix_rest<Bits>(run, group, tokens, count - query, of + query * stride, stride, sums + query * mixed.stride, mixed.stride);
}

/// Weights of a step's tokens for the sums of a group: probabilities·scales.
struct StepWeights {
  const BlockRun& values;
  size_t group;
  size_t first = 0, end = 0;

  /// Says which tokens the queries to come see.
  void see(size_t first_seen, size_t end_seen) { first = first_seen, end = end_seen; }

  /// Writes the weights of a query, 0 where it does not see. Adds Σ weights·zero points to its shifts.
  void weigh(const float* probabilities, float, float* weights, const MixedValues& mixed, size_t query) const {
    for (size_t block = 0; block < values.count; block++) {
      const BlockGrid grid = values.grid(block, group);
      const size_t start = block * kBlockTokens;
      SPINQUANT_UNROLL
      for (size_t part = 0; part < kParts; part++) {
        const size_t at = start + part * kLanes;
        store(weights + at, load(probabilities + at) * grid.scale(part));
      }
    }
    // Scales of tokens that are not there may be anything.
    fill_zero(weights, first);
    const size_t tokens = values.count * kBlockTokens;
    if (end < tokens) fill_zero(weights + end, tokens - end);
    Vec shift = splat(0);
    for (size_t block = 0; block < values.count; block++) {
      const BlockGrid grid = values.grid(block, group);
      SPINQUANT_UNROLL
      for (size_t part = 0; part < kParts; part++) {
        shift = fma(load(weights + block * kBlockTokens + part * kLanes), grid.zero(part), shift);
      }
    }
    mixed.shifts[query * mixed.groups + group] += sum(shift);
  }
};

/// Writes one query's sums by channel, with the zero points taken off.
template <size_t Bits>
void write_mixed(const PackedLayout& layout, const MixedValues& mixed, size_t query, float* o) {
  for (size_t g = 0; g < mixed.groups; g++, o += layout.group) {
    const float shift = mixed.shifts[query * mixed.groups + g];
    const float* sums = mixed.sums + query * mixed.stride + g * mixed.vectors * kPerWord<Bits> * kLanes;
    for (size_t word = 0; word < layout.group_words(); word++) {
      const float* lane = sums + word / kLanes * kPerWord<Bits> * kLanes + word % kLanes;
      const size_t start = word * kPerWord<Bits>, left = layout.group - start;
      const size_t count = left < kPerWord<Bits> ? left : kPerWord<Bits>;
      for (size_t place = 0; place < count; place++) {
        o[start + place] = lane[place * kLanes] * (1 / place_factor<Bits>(place)) - shift;
      }
    }
  }
}

}  // namespace spinquant::SPINQUANT_ISA
