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
  const BlockRun* keys;  // those of the next step are fetched, a share with each column; null where they are
  size_t column, columns;

  /// Two tokens lie in a vector from the quad of the first one on.
  bool is_near() const { return token_bytes <= 48; }
};

/// Brings the quads of four tokens, one after the other in memory, together: byte i of all of them in lane i. Shuffles
/// take turns with products of bytes, so there are two of them where tokens are near, else three.
template <bool Near>
class QuadLoader {
 public:
  SPINQUANT_INLINE_MEMBER explicit QuadLoader(const QuadColumn& column)
      : step_(column.token_bytes),
        lanes_(static_cast<__mmask16>((1u << kQuad * column.words) - 1)) {
    const int next = static_cast<int>(step_ / 4);
    const uint32_t quad = (1u << column.words) - 1;
    pair_ = static_cast<__mmask16>(Near ? quad | quad << next : quad);
    // Lane 4w + t is word w of token t; 16 and more are of the second vector.
    const __m512i word = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    const __m512i token = Near ? _mm512_setr_epi32(0, next, 16, 16 + next, 0, next, 16, 16 + next, 0, next, 16, 16 + next,
                                                   0, next, 16, 16 + next)
                               : _mm512_setr_epi32(0, 16, 0, 16, 0, 16, 0, 16, 0, 16, 0, 16, 0, 16, 0, 16);
    order_ = _mm512_add_epi32(word, token);
  }

  SPINQUANT_INLINE_MEMBER __m512i load(const uint8_t* p) const {
    if constexpr (Near) return swap_bytes(two(p, p + 2 * step_));
    constexpr __mmask16 last_two = 0xcccc;
    const __m512i first = two(p, p + step_), second = two(p + 2 * step_, p + 3 * step_);
    return swap_bytes(_mm512_mask_mov_epi32(first, last_two, second));
  }

 private:
  SPINQUANT_INLINE_MEMBER __m512i two(const uint8_t* p, const uint8_t* q) const {
    const __m512i first = _mm512_maskz_loadu_epi32(pair_, p), second = _mm512_maskz_loadu_epi32(pair_, q);
    return _mm512_maskz_permutex2var_epi32(lanes_, first, order_, second);
  }

  size_t step_;
  __mmask16 pair_, lanes_;
  __m512i order_;
};

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
  for (size_t i = 0; i < Queries; i++) {
    const int32_t* own = bytes + i * stride;
    add_products(totals[i][0][0], totals[i][1][0], both[0], both[1], own);
    add_products(totals[i][0][1], totals[i][1][1], first[0], first[1], own + 1);
    add_products(totals[i][0][2], totals[i][1][2], first[0], first[1], own + 2);
  }
  // Each sum has waited for the products above by now.
  SPINQUANT_UNROLL
  for (size_t i = 0; i < Queries; i++) {
    const int32_t* own = bytes + i * stride + kBlockTokens;
    add_products(totals[i][0][1], totals[i][1][1], second[0], second[1], own);
    add_products(totals[i][0][2], totals[i][1][2], second[0], second[1], own + 1);
  }
}

template <size_t Bits, size_t Queries, bool Near>
void add_column(const QuadColumn& column, const float* weights, size_t weight_stride, const float* units, float* sums,
                size_t sum_stride) {
  constexpr size_t halves = kHalves<Bits>, blocks = Bits == 4 ? 2 : 1;
  const QuadLoader<Near> quads(column);
  __m512i totals[Queries][halves][kBytes]{};
  const uint8_t* block = column.codes;
  for (size_t start = 0; start < column.tokens; start += blocks * kBlockTokens, block += blocks * column.block_bytes) {
    const size_t left = column.tokens - start, end = start + (left < kBlockTokens ? left : kBlockTokens);
    const uint8_t* codes = block;
    // A block without a second one goes with itself, which weighs nothing there.
    const size_t second = left > kBlockTokens ? column.block_bytes : 0;
    for (size_t b = 0; column.keys && b < blocks; b++) {
      column.keys->fetch(start / kBlockTokens + b + kStepBlocks, column.column, column.columns);
    }
    // Blocks are whole: tokens that are not there weigh nothing.
    for (size_t token = start; token < end; token += kQuad, codes += kQuad * column.token_bytes) {
      const __m512i words = quads.load(codes);
      const int32_t* bytes = reinterpret_cast<const int32_t*>(weights + token);
      if constexpr (Bits == 4) {
        add_pairs(words, quads.load(codes + second), bytes, weight_stride, totals);
      } else {
        SPINQUANT_UNROLL
        for (size_t i = 0; i < Queries; i++) {
          SPINQUANT_UNROLL
          for (size_t byte = 0; byte < kBytes; byte++) {
            add_products(totals[i][0][byte], words, spread_bytes(bytes + i * weight_stride + byte));
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
void mix_group(const ValueGroup& values, const MixedWeights& weights, const MixedValues& mixed, size_t query) {
  const BlockRun& run = values.run;
  const size_t words = run.group_words;
  float* sums = mixed.sums + query * mixed.stride + values.group * mixed.quads * kHalves<Bits> * kLanes;
  for (size_t word = 0; word < words; word += kQuad, sums += kHalves<Bits> * kLanes) {
    const QuadColumn column{run.codes(0) + 4 * (values.group * words + word),
                            words - word < kQuad ? words - word : kQuad,
                            4 * run.words,
                            run.block_bytes,
                            values.tokens,
                            query == 0 ? &values.keys : nullptr,
                            values.group * mixed.quads + word / kQuad,
                            mixed.groups * mixed.quads};
    const auto add = column.is_near() ? add_column<Bits, Queries, true> : add_column<Bits, Queries, false>;
    add(column, weights.of + query * weights.stride, weights.stride, mixed.units + query, sums, mixed.stride);
  }
}

/// The last queries, fewer than are summed together.
template <size_t Bits, size_t Queries = kTile - 1>
SPINQUANT_INLINE void mix_rest(const ValueGroup& values, const MixedWeights& weights, const MixedValues& mixed, size_t query) {
  if constexpr (Queries > 0) {
    if (weights.count - query == Queries) return mix_group<Bits, Queries>(values, weights, mixed, query);
    mix_rest<Bits, Queries - 1>(values, weights, mixed, query);
  }
}

/// Adds Σ weights·codes of a group of channels over the tokens of a step, by weights as bytes.
template <size_t Bits>
void mix_codes(const ValueGroup& values, const MixedWeights& weights, const MixedValues& mixed) {
  size_t query = 0;
  for (; query + kTile <= weights.count; query += kTile) mix_group<Bits, kTile>(values, weights, mixed, query);
  mix_rest<Bits>(values, weights, mixed, query);
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
