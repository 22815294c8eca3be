// Sums of packed values in whole numbers: weights of tokens are rounded to three bytes, or two of them to five, and four
// products of a byte and a code are added to the lane of a channel at a time. README.md derives the error.
#pragma once
#include "byte_multiples.h"

namespace spinquant::SPINQUANT_ISA {

/// Words of a token whose bytes fill a vector, for four tokens.
constexpr size_t kQuad = 4;

/// Sums for some queries: of codes [queries, groups, quads of words, halves of bytes, kLanes], of zero points [queries,
/// groups], and the unit of the weights in the step.
struct MixedValues {
  float *sums, *shifts, *units;
  size_t stride, groups, quads;

  static size_t quads_of(const PackedLayout& layout) { return (layout.group_words() + kQuad - 1) / kQuad; }
  static size_t stride_of(const PackedLayout& layout) {
    return layout.groups() * quads_of(layout) * (8 / layout.bits) * kLanes;
  }
  static size_t floats_of(const PackedLayout& layout) { return stride_of(layout) + layout.groups() + 1; }
  MixedValues(const PackedLayout& layout, float* memory, size_t count)
      : sums(memory), stride(stride_of(layout)), groups(layout.groups()), quads(quads_of(layout)) {
    shifts = sums + count * stride;
    units = shifts + count * groups;
  }
  void clear(size_t count) const { fill_zero(sums, count * (stride + groups)); }
};

/// Lanes of a vector from `token` on that lie before `first`.
SPINQUANT_INLINE __mmask16 lanes_before(size_t first, size_t token) {
  if (first <= token) return 0;
  return first - token < kLanes ? static_cast<__mmask16>((1u << (first - token)) - 1) : 0xffff;
}

/// Weights of a step's tokens for the sums of a group: probabilities·scales.
struct StepWeights {
  const BlockRun& values;
  size_t group;
  size_t first = 1, end = 0;              // nothing was said yet
  float largest = 0;                      // of the scales that are seen
  alignas(64) float scales[kStepTokens];  // 0 for what is not seen
  alignas(64) float zeros[kStepTokens];

  StepWeights(const BlockRun& values, size_t group) : values(values), group(group) {
    for (size_t block = 0; block < values.count; block++) {
      store(zeros + block * kBlockTokens, values.grid(block, group).zero(0));
    }
  }

  /// Says which tokens the queries to come see. Those of one row all see the same.
  void see(size_t first_seen, size_t end_seen) {
    if (first == first_seen && end == end_seen) return;
    first = first_seen, end = end_seen;
    for (size_t block = 0; block < values.count; block++) {
      store(scales + block * kBlockTokens, values.grid(block, group).scale(0));
    }
    // Scales of tokens that are not there may be anything.
    const size_t tokens = values.count * kBlockTokens;
    fill_zero(scales, first);
    fill_zero(scales + end, tokens - end);
    IntVec sizes{};
    for (size_t token = 0; token < tokens; token += kLanes) sizes = larger_size(sizes, load(scales + token));
    largest = largest_size(sizes);
  }

  /// Writes the weights of a query as bytes [quads of tokens, 4]: for each byte of the multiples those of four tokens. At
  /// 4 bits tokens of two blocks are pairs, the second one at the place of its own. It is seen without the first one only
  /// where a window begins.
  /// Probabilities are at most e^peak, and so have a unit of their own in each step.
  /// Adds Σ weights·zero points, of the weights as they are, to its shifts: zero points may be far larger than codes.
  void weigh(const float* probabilities, float peak, float* weights, const MixedValues& mixed, size_t query) const {
    const float power = peak > -69 ? __builtin_ceilf(peak * 1.44269504f) : -100;
    const bool in_pairs = values.layout.bits == 4;
    const float unit = in_pairs ? pair_unit_of(largest, static_cast<int32_t>(power))
                                : unit_of(largest, static_cast<int32_t>(power));
    const Vec inverse = splat(1 / unit);
    Vec shift = splat(0);
    auto weigh_block = [&](size_t token) {
      const Vec weight = load(probabilities + token) * load(scales + token);
      shift = fma(weight, load(zeros + token), shift);
      return weight;
    };
    const size_t count = values.count * kBlockTokens;
    for (size_t token = 0; token < count; token += kBlockTokens) {
      const Vec weight = weigh_block(token);
      if (!in_pairs) {
        _mm512_storeu_si512(weights + token, swap_bytes(bytes_of(weight * inverse)));
        continue;
      }
      const Vec next = token + kBlockTokens < count ? weigh_block(token + kBlockTokens) : splat(0);
      const Pairs pairs = pairs_of(weight, next, inverse, lanes_before(first, token));
      _mm512_storeu_si512(weights + token, swap_bytes(pairs.x));
      token += kBlockTokens;
      _mm512_storeu_si512(weights + token, swap_bytes(pairs.y));
    }
    mixed.units[query] = unit;
    mixed.shifts[query * mixed.groups + group] += sum(shift);
  }
};

/// A quad of words of every token in a run.
struct QuadColumn {
  const uint8_t* codes;
  size_t words;  // in the quad, at most four
  size_t token_bytes, block_bytes, tokens;
  bool is_first;  // then the codes of the next blocks are fetched
};

/// The quad of four tokens, one after the other in memory: byte i of all of them in lane i.
template <bool Whole>
SPINQUANT_INLINE __m512i load_quads(const uint8_t* p, size_t step, __mmask8 mask) {
  auto quad = [&](size_t token) {
    if (Whole) return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + token * step));
    return _mm_maskz_loadu_epi32(mask, p + token * step);
  };
  __m512i tokens = _mm512_castsi128_si512(quad(0));
  tokens = _mm512_inserti32x4(tokens, quad(1), 1);
  tokens = _mm512_inserti32x4(tokens, quad(2), 2);
  tokens = _mm512_inserti32x4(tokens, quad(3), 3);
  const __m512i by_word = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return swap_bytes(_mm512_permutexvar_epi32(by_word, tokens));
}

/// Codes of four tokens and of those a block behind them, for the channels in lower halves of bytes and for those in upper ones.
template <size_t Queries>
SPINQUANT_INLINE void add_pairs(__m512i words, __m512i next, const int32_t* bytes, size_t stride,
                                __m512i (&totals)[Queries][2][kBytes]) {
  __m512i first[2], second[2];
  take_halves<4>(words, first);
  take_halves<4>(next, second);
  // Both in a byte: where a bit is set that of the second operand, else that of the third one.
  const __m512i lower = _mm512_set1_epi8(15);
  constexpr int choice = 0xca;
  const __m512i both[2] = {_mm512_ternarylogic_epi32(lower, words, _mm512_slli_epi16(next, 4), choice),
                           _mm512_ternarylogic_epi32(lower, _mm512_srli_epi16(words, 4), next, choice)};
  SPINQUANT_UNROLL
  for (size_t half = 0; half < 2; half++) {
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Queries; i++) {
      const int32_t* own = bytes + i * stride;
      __m512i (&total)[kBytes] = totals[i][half];
      add_products(total[0], both[half], own);
      add_products(total[1], first[half], own + 1);
      add_products(total[2], first[half], own + 2);
      add_products(total[1], second[half], own + kBlockTokens);
      add_products(total[2], second[half], own + kBlockTokens + 1);
    }
  }
}

template <size_t Bits, size_t Queries, bool Whole>
void add_column(const QuadColumn& column, const float* weights, size_t weight_stride, const float* units, float* sums,
                size_t sum_stride) {
  constexpr size_t halves = kHalves<Bits>, blocks = Bits == 4 ? 2 : 1;
  const __mmask8 mask = static_cast<__mmask8>((1u << column.words) - 1);
  __m512i totals[Queries][halves][kBytes]{};
  const uint8_t* block = column.codes;
  for (size_t start = 0; start < column.tokens; start += blocks * kBlockTokens, block += blocks * column.block_bytes) {
    const size_t left = column.tokens - start, end = start + (left < kBlockTokens ? left : kBlockTokens);
    const uint8_t* codes = block;
    // A block without a second one goes with itself, which weighs nothing there.
    const size_t second = left > kBlockTokens ? column.block_bytes : 0;
    if (column.is_first) {
      for (size_t at = 0; at < blocks * kBlockTokens * column.token_bytes; at += 64) {
        __builtin_prefetch(block + 2 * column.block_bytes + at, 0, 3);
      }
    }
    // Blocks are whole: tokens that are not there weigh nothing.
    for (size_t token = start; token < end; token += kQuad, codes += kQuad * column.token_bytes) {
      const __m512i words = load_quads<Whole>(codes, column.token_bytes, mask);
      const int32_t* bytes = reinterpret_cast<const int32_t*>(weights + token);
      if constexpr (Bits == 4) {
        add_pairs(words, load_quads<Whole>(codes + second, column.token_bytes, mask), bytes, weight_stride, totals);
      } else {
        SPINQUANT_UNROLL
        for (size_t i = 0; i < Queries; i++) {
          SPINQUANT_UNROLL
          for (size_t byte = 0; byte < kBytes; byte++) {
            add_products(totals[i][0][byte], words, bytes + i * weight_stride + byte);
          }
        }
      }
    }
  }
  SPINQUANT_UNROLL
  for (size_t i = 0; i < Queries; i++) {
    SPINQUANT_UNROLL
    for (size_t half = 0; half < halves; half++) {
      float* const sum = sums + i * sum_stride + half * kLanes;
      store(sum, fma(joined(totals[i][half]), splat(units[i]), load(sum)));
    }
  }
}

template <size_t Bits, size_t Queries>
void mix_group(const BlockRun& values, size_t group, size_t tokens, const float* weights, size_t weight_stride,
               const MixedValues& mixed, size_t query) {
  const size_t words = values.group_words;
  float* sums = mixed.sums + query * mixed.stride + group * mixed.quads * kHalves<Bits> * kLanes;
  for (size_t word = 0; word < words; word += kQuad, sums += kHalves<Bits> * kLanes) {
    const QuadColumn column{values.codes(0) + 4 * (group * words + word), words - word < kQuad ? words - word : kQuad,
                            4 * values.words, values.block_bytes, tokens, group + word == 0};
    const float* own = weights + query * weight_stride;
    column.words == kQuad
        ? add_column<Bits, Queries, true>(column, own, weight_stride, mixed.units + query, sums, mixed.stride)
        : add_column<Bits, Queries, false>(column, own, weight_stride, mixed.units + query, sums, mixed.stride);
  }
}

/// The last queries, fewer than are summed together.
template <size_t Bits, size_t Queries = kTile - 1>
SPINQUANT_INLINE void mix_rest(const BlockRun& values, size_t group, size_t tokens, const float* weights,
                               size_t weight_stride, const MixedValues& mixed, size_t query, size_t count) {
  if constexpr (Queries > 0) {
    if (count == Queries) return mix_group<Bits, Queries>(values, group, tokens, weights, weight_stride, mixed, query);
    mix_rest<Bits, Queries - 1>(values, group, tokens, weights, weight_stride, mixed, query, count);
  }
}

/// Adds Σ weights·codes of a group of channels over so many tokens, for `count` queries with weights [count, stride].
template <size_t Bits>
void mix_codes(const BlockRun& values, size_t group, size_t tokens, const float* weights, size_t stride,
               const MixedValues& mixed, size_t count) {
  size_t query = 0;
  for (; query + kTile <= count; query += kTile) {
    mix_group<Bits, kTile>(values, group, tokens, weights, stride, mixed, query);
  }
  mix_rest<Bits>(values, group, tokens, weights, stride, mixed, query, count - query);
}

/// Channels of a quad of words by number: those in lower halves of bytes are even, those in upper ones odd.
template <size_t Bits>
SPINQUANT_INLINE void in_order(const float* sums, Vec (&channels)[kHalves<Bits>]) {
  if constexpr (Bits == 8) {
    channels[0] = load(sums);
  } else {
    const Vec even = load(sums), odd = load(sums + kLanes);
    const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    channels[0] = _mm512_permutex2var_ps(even, first, odd);
    channels[1] = _mm512_permutex2var_ps(even, _mm512_add_epi32(first, _mm512_set1_epi32(8)), odd);
  }
}

/// Writes one query's sums by channel, with the zero points taken off.
template <size_t Bits>
void write_mixed(const PackedLayout& layout, const MixedValues& mixed, size_t query, float* o) {
  constexpr size_t halves = kHalves<Bits>;
  for (size_t g = 0; g < mixed.groups; g++, o += layout.group) {
    const Vec shift = splat(mixed.shifts[query * mixed.groups + g]);
    const float* sums = mixed.sums + query * mixed.stride + g * mixed.quads * halves * kLanes;
    for (size_t start = 0; start < layout.group; start += halves * kLanes, sums += halves * kLanes) {
      Vec channels[halves];
      in_order<Bits>(sums, channels);
      for (size_t part = 0, i = start; part < halves && i < layout.group; part++, i += kLanes) {
        const size_t left = layout.group - i;
        left < kLanes ? store_part(o + i, left, channels[part] - shift) : store(o + i, channels[part] - shift);
      }
    }
  }
}

}  // namespace spinquant::SPINQUANT_ISA
