// Attention of many rows over packed tokens, for prompts and whole texts: codes become bytes once for all rows and query
// heads of a unit, and rows lie in the lanes, so that the softmax needs no sums across lanes. README.md has the numbers.
#pragma once
#include "lane_memory.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

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
