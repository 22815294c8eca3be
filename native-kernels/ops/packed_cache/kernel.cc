#include "../../cpu/simd_heads.h"
#include "../../cpu/simd_merge.h"
#include "../../cpu/simd_quantize.h"
#include "attend.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

struct PackedQuantizer {
  Quantizer quantizer;  // its zero point is that of the codes
  bool is_constant;     // then the scale is the value itself
};

PackedQuantizer packed_quantizer(const PackCacheArgs& args, Range range) {
  const RangeRule rule{args.max_level, args.clip_ratio, args.lower_ratio, args.symmetric, args.include_zero};
  PackedQuantizer packed{{}, false};
  Quantizer& quantizer = packed.quantizer;
  if (!quantizer_of(rule, range, &quantizer)) return {{range.low, -1, 0, 0}, true};
  if (args.symmetric || (quantizer.zero <= kWidestZero && quantizer.zero >= -kWidestZero)) return packed;
  const auto [low, high] = cut(rule, range);
  quantizer.scale = (-low > high ? -low : high) / kWidestZero;
  const float zero = round_even_scalar(-low / quantizer.scale);
  // What is not a number goes with a scale that is none either.
  quantizer.zero = zero >= -kWidestZero ? (zero <= kWidestZero ? zero : kWidestZero) : -kWidestZero;
  return packed;
}

/// These store codes less 128.
struct PutCodes {
  PutBytes bytes;
  Vec shift;

  SPINQUANT_INLINE_MEMBER void vector(size_t i, Vec scale, Vec multiples) const {
    bytes.vector(i, scale, multiples + shift);
  }
  SPINQUANT_INLINE_MEMBER void part(size_t i, size_t count, Vec scale, Vec multiples) const {
    bytes.part(i, count, scale, multiples + shift);
  }
};

/// A word of whole bytes, or of the lower halves of eight bytes, less 128 each: the first one in the lowest bits.
template <size_t Bits>
SPINQUANT_INLINE uint32_t word_of(const int8_t* bytes) {
  uint64_t all = 0;
  memcpy(&all, bytes, kPerWord<Bits>);
  all ^= 0x8080808080808080u;
  if (Bits == 8) return static_cast<uint32_t>(all);
  all &= 0x0f0f0f0f0f0f0f0fu;
  all = (all | all >> 4) & 0x00ff00ff00ff00ffu;
  all = (all | all >> 8) & 0x0000ffff0000ffffu;
  return static_cast<uint32_t>(all | all >> 16);
}

/// Codes of one byte each become words. `step` bytes lie between the words of a token.
template <size_t Bits>
void write_words(size_t count, const int8_t* bytes, uint8_t* words, size_t step) {
  constexpr size_t per_word = kPerWord<Bits>;
  size_t i = 0;
  for (; i + per_word <= count; i += per_word, words += step) {
    const uint32_t word = word_of<Bits>(bytes + i);
    memcpy(words, &word, sizeof word);
  }
  if (i == count) return;
  // Words are padded with code 0.
  int8_t rest[per_word];
  memset(rest, -128, per_word);
  memcpy(rest, bytes + i, count - i);
  const uint32_t word = word_of<Bits>(rest);
  memcpy(words, &word, sizeof word);
}

void pack_group(const PackCacheArgs& args, const float* x, uint8_t* block, float* scales, size_t token, size_t group,
                int8_t* bytes) {
  const PackedLayout& layout = args.layout;
  const Range range = range_of(x, layout.group);
  const PackedQuantizer packed = packed_quantizer(args, range);
  const Quantizer& quantizer = packed.quantizer;
  const float zero = args.symmetric ? static_cast<float>(layout.middle()) : quantizer.zero;
  if (packed.is_constant) {
    memset(bytes, -128, layout.group);
  } else {
    quantize(quantizer, args.symmetric, range, x, PutCodes{{bytes}, splat(zero - 128)}, layout.group);
  }
  const size_t word = group * layout.group_words();
  const size_t place = args.is_keys ? word * kBlockTokens + token : token * layout.words() + word;
  const size_t step = args.is_keys ? 4 * kBlockTokens : 4;
  layout.bits == 4 ? write_words<4>(layout.group, bytes, block + 4 * place, step)
                   : write_words<8>(layout.group, bytes, block + 4 * place, step);
  scales[group * kBlockTokens + token] = quantizer.scale;
  if (!layout.has_zeros) return;
  const int16_t stored = static_cast<int16_t>(zero);
  memcpy(block + layout.code_bytes() + 2 * (group * kBlockTokens + token), &stored, sizeof stored);
}

}  // namespace

void pack_cache(const PackCacheArgs& args, size_t first, size_t last) {
  const PackedLayout& layout = args.layout;
  const HeadRows& rows = args.rows;
  const size_t blocks = blocks_of(rows.tokens);
  const Scratch bytes(layout.group), own(rows.are_plain() ? 0 : layout.width * sizeof(float));
  const Scratch memory(turning_memory(rows));
  for (size_t unit = first; unit < last; unit++) {
    const size_t sequence = unit / blocks / rows.heads, head = unit / blocks % rows.heads;
    const size_t start = unit % blocks * kBlockTokens;
    uint8_t* block = args.codes + unit * layout.block_bytes();
    float* scales = args.scales + unit * layout.block_scales();
    memset(block, 0, layout.block_bytes());
    fill_zero(scales, layout.block_scales());
    for (size_t token = 0; token < kBlockTokens && start + token < rows.tokens; token++) {
      const float* x = turned_row(rows, sequence, head, start + token, own.floats(), memory.bytes());
      for (size_t g = 0; g < layout.groups(); g++, x += layout.group) {
        pack_group(args, x, block, scales, token, g, static_cast<int8_t*>(bytes.bytes()));
      }
    }
  }
}

void merge_attention(const MergeChunksArgs& args, size_t first, size_t last) { merge_chunks(args, first, last); }

}  // namespace spinquant::SPINQUANT_ISA
