// Attention of many rows over packed tokens, for prompts and whole texts: codes become bytes once for all rows and query
// heads of a unit, and rows lie in the lanes, so that the softmax needs no sums across lanes. README.md has the numbers.
#pragma once
#include "row_lanes.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Blocks of a step here: its scores and the bytes of its weights stay near the first-level cache.
constexpr size_t kLaneBlocks = 8;
constexpr size_t kLaneTokens = kLaneBlocks * kBlockTokens;

/// Stands for a masked score: vanishes in exp, and stays finite when subtracted from itself.
constexpr float kMasked = -1e30f;

/// Where a channel of the values lies among the sums: places of a word are apart.
struct LaneChannels {
  size_t group_words, per_word, all;

  explicit LaneChannels(const PackedLayout& layout)
      : group_words(layout.group_words()), per_word(layout.per_word()), all(layout.words() * per_word) {}

  size_t of(size_t group, size_t channel) const {
    return group * group_words * per_word + channel % per_word * group_words + channel / per_word;
  }
};

/// One query head of a unit: its rows in the lanes.
struct LaneHead {
  int32_t* bytes;  // [quads of channels, kBytes, kLaneRows]
  float *sums_of;  // [key groups, kLaneRows]: Σ of the multiples in a group
  float* units;    // [kLaneRows]
  float* sums;     // [channels, kLaneRows] of values
  float* shifts;   // [value groups, kLaneRows]
  float *highest, *total;
};

struct LaneMemory {
  float* next;
  float* take(size_t floats) { return (next += floats) - floats; }
};

/// Codes of a step with their grids.
struct LaneStep {
  int32_t *keys, *values;             // [blocks, quads of channels, 16 tokens] and [quads of tokens, channels]
  float *key_scales, *key_zeros;      // [groups, kLaneTokens]
  float *value_scales, *value_zeros;
  float* scores;      // [kLaneTokens, kLaneRows]
  int32_t* weights;   // [quads of tokens, kBytes, kLaneRows]
  size_t quads;       // of channels
  LaneChannels channels;
};

size_t quads_of(const PackedLayout& layout) { return layout.words() * layout.per_word() / 4; }

/// Scores of a step; before there are any, the columns of a head lie there.
size_t score_floats(const PackedAttentionArgs& args) {
  return (args.width() > kLaneTokens ? args.width() : kLaneTokens) * kLaneRows;
}

size_t lane_floats(const PackedAttentionArgs& args) {
  const PackedLayout &keys = args.key_layout, &values = args.value_layout;
  const size_t channels = LaneChannels(values).all;
  const size_t head = quads_of(keys) * kItemWords + (keys.groups() + channels + values.groups() + 3) * kLaneRows;
  const size_t step = kLaneTokens * (quads_of(keys) + channels / 4 + 2 * keys.groups() + 2 * values.groups()) +
                      score_floats(args) + kLaneTokens / 4 * kItemWords;
  return args.repeats * head + step;
}

LaneStep lane_step(const PackedAttentionArgs& args, LaneMemory& memory) {
  const PackedLayout &keys = args.key_layout, &values = args.value_layout;
  const LaneChannels channels(values);
  const size_t quads = quads_of(keys);
  auto ints = [&](size_t count) { return reinterpret_cast<int32_t*>(memory.take(count)); };
  int32_t *key_codes = ints(kLaneTokens * quads), *value_codes = ints(kLaneTokens / 4 * channels.all);
  float *key_grid = memory.take(2 * kLaneTokens * keys.groups()), *value_grid = memory.take(2 * kLaneTokens * values.groups());
  float* scores = memory.take(score_floats(args));
  return {key_codes,  value_codes, key_grid,
          key_grid + kLaneTokens * keys.groups(),
          value_grid, value_grid + kLaneTokens * values.groups(),
          scores,     ints(kLaneTokens / 4 * kItemWords),
          quads,      channels};
}

/// The rows of a unit.
struct LaneRows {
  size_t group, first, count;
};

/// Rows as columns of channels times the scale of scores, with the size of the largest channel of each.
void take_columns(const PackedAttentionArgs& args, const float* q, size_t count, float* columns, IntVec (&sizes)[kRowVecs]) {
  const size_t width = args.width();
  for (size_t v = 0; v < kRowVecs; v++) sizes[v] = IntVec{};
  for (size_t i = 0; i < width; i++) {
    float* column = columns + i * kLaneRows;
    for (size_t r = 0; r < count; r++) column[r] = q[r * width + i] * args.scale;
    for (size_t r = count; r < kLaneRows; r++) column[r] = 0;
    for (size_t v = 0; v < kRowVecs; v++) sizes[v] = larger_size(sizes[v], load(column + v * kLanes));
  }
}

/// Channels of a quad of a word in the order of `store_items`, so that they come out in that of codes (`take_halves`).
constexpr size_t kQuadChannels4[2][kItems] = {{0, 4, 2, 6}, {1, 5, 3, 7}};
constexpr size_t kQuadChannels8[kItems] = {0, 2, 1, 3};

/// Writes the rows of a head as bytes. `columns` is working memory [width, kLaneRows].
void write_rows(const PackedAttentionArgs& args, const float* q, size_t count, const LaneHead& head, float* columns) {
  const PackedLayout& layout = args.key_layout;
  IntVec sizes[kRowVecs];
  take_columns(args, q, count, columns, sizes);
  const size_t per_word = layout.per_word(), halves = per_word / 4;
  for (size_t v = 0; v < kRowVecs; v++) {
    const Vec unit = units_of(sizes[v]), inverse = splat(1) / unit;
    store(head.units + v * kLanes, unit);
    int32_t* bytes = head.bytes + v * kLanes;
    for (size_t g = 0; g < layout.groups(); g++) {
      Vec total = splat(0);
      for (size_t quad = 0; quad < layout.group_words() * halves; quad++, bytes += kItemWords) {
        const size_t* order = halves == 1 ? kQuadChannels8 : kQuadChannels4[quad % 2];
        __m512i items[kItems];
        for (size_t i = 0; i < kItems; i++) {
          const size_t channel = quad / halves * per_word + order[i];
          Vec multiples = splat(0);
          if (channel < layout.group) {
            multiples = round_even(load(columns + (g * layout.group + channel) * kLaneRows + v * kLanes) * inverse);
          }
          total += multiples;
          items[i] = bytes_of(multiples);
        }
        store_items(items, bytes);
      }
      store(head.sums_of + g * kLaneRows + v * kLanes, total);
    }
  }
}

LaneHead lane_head(const PackedAttentionArgs& args, const LaneRows& rows, size_t repeat, LaneMemory& memory, float* columns) {
  const PackedLayout &keys = args.key_layout, &values = args.value_layout;
  const size_t channels = LaneChannels(values).all;
  LaneHead head{reinterpret_cast<int32_t*>(memory.take(quads_of(keys) * kItemWords)),
                memory.take(keys.groups() * kLaneRows),
                memory.take(kLaneRows),
                memory.take(channels * kLaneRows),
                memory.take(values.groups() * kLaneRows),
                memory.take(kLaneRows),
                memory.take(kLaneRows)};
  const size_t row = (rows.group * args.repeats + repeat) * args.rows + rows.first;
  write_rows(args, args.q + row * args.width(), rows.count, head, columns);
  fill_zero(head.sums, channels * kLaneRows);
  fill_zero(head.shifts, values.groups() * kLaneRows);
  fill_zero(head.total, kLaneRows);
  for (size_t r = 0; r < kLaneRows; r++) head.highest[r] = kMasked;
  return head;
}

void take_grid(const BlockRun& run, float* scales, float* zeros) {
  for (size_t g = 0; g < run.layout.groups(); g++) {
    for (size_t block = 0; block < run.count; block++) {
      const BlockGrid grid = run.grid(block, g);
      const size_t at = g * kLaneTokens + block * kBlockTokens;
      store(scales + at, grid.scale(0));
      store(zeros + at, grid.zero(0));
    }
  }
}

template <size_t Bits>
void take_keys(const BlockRun& run, int32_t* to) {
  for (size_t block = 0; block < run.count; block++) {
    const uint8_t* codes = run.codes(block);
    for (size_t word = 0; word < run.words; word++, codes += 4 * kBlockTokens) {
      __m512i parts[kHalves<Bits>];
      take_halves<Bits>(_mm512_loadu_si512(codes), parts);
      for (const __m512i& part : parts) {
        _mm512_storeu_si512(to, part);
        to += kBlockTokens;
      }
    }
  }
}

/// Bytes of four tokens side by side, in the order of `store_items`, for each place of up to 16 words.
template <size_t Bits>
SPINQUANT_INLINE void take_word_values(const uint8_t* codes, size_t token_bytes, __mmask16 there, size_t place_step, int32_t* to) {
  constexpr size_t halves = kHalves<Bits>;
  __m512i tokens[kItems][halves];
  for (size_t i = 0; i < kItems; i++) take_halves<Bits>(_mm512_maskz_loadu_epi32(there, codes + i * token_bytes), tokens[i]);
  const __m512i byte = _mm512_set1_epi32(255);
  for (size_t half = 0; half < halves; half++) {
    for (int b = 0; b < 4; b++) {
      auto of = [&](size_t token) { return _mm512_and_si512(_mm512_srli_epi32(tokens[token][half], 8 * b), byte); };
      const __m512i first = _mm512_or_si512(of(0), _mm512_slli_epi32(of(2), 8));
      const __m512i second = _mm512_or_si512(of(1), _mm512_slli_epi32(of(3), 8));
      const __m512i all = _mm512_or_si512(first, _mm512_slli_epi32(second, 16));
      _mm512_mask_storeu_epi32(to + (static_cast<size_t>(b) * halves + half) * place_step, there, all);
    }
  }
}

template <size_t Bits>
void take_values(const BlockRun& run, const LaneChannels& channels, int32_t* to) {
  const size_t words = run.group_words, token_bytes = 4 * run.words, groups = run.layout.groups();
  for (size_t block = 0; block < run.count; block++) {
    for (size_t token = 0; token < kBlockTokens; token += kItems, to += channels.all) {
      const uint8_t* codes = run.codes(block) + token * token_bytes;
      for (size_t g = 0; g < groups; g++) {
        for (size_t word = 0; word < words; word += kLanes) {
          const size_t left = words - word;
          const __mmask16 there = static_cast<__mmask16>(left < kLanes ? (1u << left) - 1 : 0xffffu);
          take_word_values<Bits>(codes + 4 * (g * words + word), token_bytes, there, words, to + channels.of(g, 0) + word);
        }
      }
    }
  }
}

/// scores[t][rows] += scale_t · (Σ codes·multiples - zero_t · Σ multiples) · unit, a group of channels at a time.
void score_rows(const PackedAttentionArgs& args, const Step& step, const LaneStep& memory, const LaneHead& head) {
  const size_t groups = args.key_layout.groups(), group_quads = memory.quads / groups;
  for (size_t block = 0; block < step.keys.count; block++) {
    for (size_t i = 0; i < kBlockTokens; i += kItems) {
      const size_t token = block * kBlockTokens + i;
      const int32_t* codes = memory.keys + block * memory.quads * kBlockTokens + i;
      for (size_t g = 0; g < groups; g++) {
        LaneSums sums;
        lane_tile(codes + g * group_quads * kBlockTokens, kBlockTokens, head.bytes + g * group_quads * kItemWords,
                  group_quads, sums);
        SPINQUANT_UNROLL for (size_t item = 0; item < kItems; item++) {
          const Vec scale = splat(memory.key_scales[g * kLaneTokens + token + item]);
          const Vec zero = splat(memory.key_zeros[g * kLaneTokens + token + item]);
          SPINQUANT_UNROLL for (size_t v = 0; v < kRowVecs; v++) {
            const Vec shift = zero * load(head.sums_of + g * kLaneRows + v * kLanes);
            const Vec part = scale * (joined(sums[item][v]) - shift) * load(head.units + v * kLanes);
            float* score = memory.scores + (token + item) * kLaneRows + v * kLanes;
            store(score, g == 0 ? part : load(score) + part);
          }
        }
      }
    }
  }
}

/// Which rows see which tokens of a step.
struct LaneMask {
  int32_t first_token, tokens, first_row, window;

  /// Whether some row does not see some token.
  bool masks(size_t count, size_t rows) const {
    const int32_t last = first_token + static_cast<int32_t>(count) - 1;
    return static_cast<int32_t>(count) > tokens || last > first_row ||
           (window > 0 && first_token + window <= first_row + static_cast<int32_t>(rows) - 1);
  }
  SPINQUANT_INLINE_MEMBER IntVec sees(size_t token, size_t vec) const {
    const IntVec row = lane_index() + splat_int(first_row + static_cast<int32_t>(vec * kLanes));
    const int32_t at = static_cast<int32_t>(token);
    const IntVec position = splat_int(first_token + at);
    IntVec visible = position <= row;
    if (window > 0) visible &= position > row - splat_int(window);
    return at < tokens ? visible : IntVec{};
  }
};

/// What the sums so far, and those of the step, are multiplied by.
struct LaneFactors {
  Vec before[kRowVecs], own[kRowVecs];
};

/// Scores become e^(score - highest score of the step).
void soften(float* scores, size_t tokens, const LaneHead& head, LaneFactors& factors) {
  for (size_t v = 0; v < kRowVecs; v++) {
    float* s = scores + v * kLanes;
    Vec top = splat(kMasked);
    for (size_t t = 0; t < tokens; t++) top = max(top, load(s + t * kLaneRows));
    const Vec before = load(head.highest + v * kLanes), now = max(before, top);
    // e^0 comes out a little above 1.
    factors.before[v] = choose(now == before, splat(1), exp(before - now));
    factors.own[v] = choose(now == top, splat(1), exp(top - now));
    Vec even = splat(0), odd = splat(0);
    for (size_t t = 0; t < tokens; t += 2) {
      const Vec a = exp(load(s + t * kLaneRows) - top), b = exp(load(s + (t + 1) * kLaneRows) - top);
      store(s + t * kLaneRows, a);
      store(s + (t + 1) * kLaneRows, b);
      even += a, odd += b;
    }
    float* total = head.total + v * kLanes;
    store(total, fma(even + odd, factors.own[v], load(total) * factors.before[v]));
    store(head.highest + v * kLanes, now);
  }
}

/// The units of weights, which are at most as large as the scales that a row sees.
template <bool Masked>
Vec weight_units(const float* scales, size_t tokens, const LaneMask& mask, size_t vec) {
  IntVec sizes{};
  if constexpr (Masked) {
    for (size_t t = 0; t < tokens; t++) sizes = larger_size(sizes, choose(mask.sees(t, vec), splat(scales[t]), splat(0)));
    return units_of(sizes);
  }
  for (size_t t = 0; t < tokens; t += kLanes) sizes = larger_size(sizes, load(scales + t));
  int32_t bits = _mm512_reduce_max_epi32(reinterpret_cast<__m512i>(sizes));
  return units_of(splat_int(bits));
}

/// Writes probabilities·scales as bytes, and adds up what zero points take of them. @returns the units of a vector.
template <bool Masked>
Vec weigh_rows(const LaneStep& memory, size_t group, size_t tokens, const LaneMask& mask, const LaneFactors& factors,
               const LaneHead& head, size_t vec) {
  const float* scales = memory.value_scales + group * kLaneTokens;
  const float* zeros = memory.value_zeros + group * kLaneTokens;
  const float* p = memory.scores + vec * kLanes;
  int32_t* bytes = memory.weights + vec * kLanes;
  const Vec unit = weight_units<Masked>(scales, tokens, mask, vec), inverse = splat(1) / unit;
  Vec shift = splat(0);
  for (size_t t = 0; t < tokens; t += kItems, bytes += kItemWords) {
    __m512i items[kItems];
    SPINQUANT_UNROLL for (size_t i = 0; i < kItems; i++) {
      Vec weight = load(p + (t + i) * kLaneRows) * splat(scales[t + i]);
      if constexpr (Masked) weight = choose(mask.sees(t + i, vec), weight, splat(0));
      shift = fma(weight, splat(zeros[t + i]), shift);
      items[i] = bytes_of(weight * inverse);
    }
    store_items(items, bytes);
  }
  float* shifts = head.shifts + group * kLaneRows + vec * kLanes;
  store(shifts, fma(shift, factors.own[vec], load(shifts) * factors.before[vec]));
  return unit;
}

/// sums[channel][rows] = sums·before + Σ weights·codes·own.
void mix_rows(const LaneStep& memory, size_t group, size_t tokens, const LaneFactors& factors, const Vec (&units)[kRowVecs],
              const LaneHead& head) {
  const LaneChannels& channels = memory.channels;
  const size_t first = channels.of(group, 0), last = first + channels.group_words * channels.per_word;
  for (size_t channel = first; channel < last; channel += kItems) {
    LaneSums sums;
    lane_tile(memory.values + channel, channels.all, memory.weights, tokens / 4, sums);
    SPINQUANT_UNROLL for (size_t i = 0; i < kItems; i++) {
      SPINQUANT_UNROLL for (size_t v = 0; v < kRowVecs; v++) {
        float* to = head.sums + (channel + i) * kLaneRows + v * kLanes;
        store(to, fma(joined(sums[i][v]), units[v] * factors.own[v], load(to) * factors.before[v]));
      }
    }
  }
}

void attend_rows(const PackedAttentionArgs& args, const Step& step, const LaneStep& memory, const LaneRows& rows,
                 const LaneHead& head) {
  const size_t tokens = step.keys.count * kBlockTokens;
  const LaneMask mask{static_cast<int32_t>(step.position), static_cast<int32_t>(step.tokens),
                      static_cast<int32_t>(args.length + rows.first), static_cast<int32_t>(args.window)};
  const bool masks = mask.masks(tokens, kLaneRows);
  score_rows(args, step, memory, head);
  if (masks) {
    for (size_t t = 0; t < tokens; t++) {
      for (size_t v = 0; v < kRowVecs; v++) {
        float* score = memory.scores + t * kLaneRows + v * kLanes;
        store(score, choose(mask.sees(t, v), load(score), splat(kMasked)));
      }
    }
  }
  LaneFactors factors;
  soften(memory.scores, tokens, head, factors);
  for (size_t g = 0; g < args.value_layout.groups(); g++) {
    Vec units[kRowVecs];
    for (size_t v = 0; v < kRowVecs; v++) {
      units[v] = masks ? weigh_rows<true>(memory, g, tokens, mask, factors, head, v)
                       : weigh_rows<false>(memory, g, tokens, mask, factors, head, v);
    }
    mix_rows(memory, g, tokens, factors, units, head);
  }
}

/// The partial results of a head, as `merge_attention` reads them.
void write_lanes(const PackedAttentionArgs& args, const LaneRows& rows, size_t repeat, const LaneHead& head) {
  const PackedLayout& layout = args.value_layout;
  const LaneChannels channels(layout);
  const size_t width = layout.width;
  const size_t query = (rows.group * args.repeats + repeat) * args.rows + rows.first, size = args.partial_size();
  float* const partial = args.partial + query * size;
  for (size_t g = 0; g < layout.groups(); g++) {
    const float* shifts = head.shifts + g * kLaneRows;
    for (size_t i = 0; i < layout.group; i++) {
      const float* sums = head.sums + channels.of(g, i) * kLaneRows;
      float* to = partial + g * layout.group + i;
      for (size_t r = 0; r < rows.count; r++) to[r * size] = sums[r] - shifts[r];
    }
  }
  for (size_t r = 0; r < rows.count; r++) {
    partial[r * size + width] = head.highest[r];
    partial[r * size + width + 1] = head.total[r];
  }
}

}  // namespace

/// Of chunks there is one, `row_block` is kLaneRows, and there is no constant part.
void packed_attention_rows(const PackedAttentionArgs& args, size_t first, size_t last) {
  const Scratch scratch(lane_floats(args) * sizeof(float));
  const Scratch heads_memory(args.repeats * sizeof(LaneHead));
  LaneHead* heads = static_cast<LaneHead*>(heads_memory.bytes());
  for (size_t unit = first; unit < last; unit++) {
    LaneMemory memory{scratch.floats()};
    const LaneStep lanes = lane_step(args, memory);
    const size_t first_row = unit % args.row_blocks() * kLaneRows, left = args.rows - first_row;
    const LaneRows rows{unit / args.row_blocks(), first_row, left < kLaneRows ? left : kLaneRows};
    for (size_t i = 0; i < args.repeats; i++) heads[i] = lane_head(args, rows, i, memory, lanes.scores);
    const size_t end = args.block_of(args.length + rows.first + rows.count - 1) + 1;
    for (size_t block = args.block_of(args.first_position(rows.first)); block < end;) {
      const Step step = step_at(args, rows.group, block, block + kLaneBlocks < end ? block + kLaneBlocks : end);
      block += step.keys.count;
      take_grid(step.keys, lanes.key_scales, lanes.key_zeros);
      take_grid(step.values, lanes.value_scales, lanes.value_zeros);
      args.key_layout.bits == 4 ? take_keys<4>(step.keys, lanes.keys) : take_keys<8>(step.keys, lanes.keys);
      args.value_layout.bits == 4 ? take_values<4>(step.values, lanes.channels, lanes.values)
                                  : take_values<8>(step.values, lanes.channels, lanes.values);
      for (size_t i = 0; i < args.repeats; i++) attend_rows(args, step, lanes, rows, heads[i]);
    }
    for (size_t i = 0; i < args.repeats; i++) write_lanes(args, rows, i, heads[i]);
  }
}

}  // namespace spinquant::SPINQUANT_ISA
