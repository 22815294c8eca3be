// Packed codes as vectors of floats.
#pragma once
#include "../../cpu/simd_reduce.h"
#include "packed_cache.h"

namespace spinquant::SPINQUANT_ISA {

typedef uint32_t WordVec __attribute__((vector_size(4 * SPINQUANT_LANES)));
typedef uint32_t UnalignedWordVec __attribute__((vector_size(4 * SPINQUANT_LANES), aligned(1), may_alias));
typedef int16_t ShortVec __attribute__((vector_size(2 * SPINQUANT_LANES)));

/// Vectors that hold a block's tokens.
constexpr size_t kParts = kBlockTokens / kLanes;

/// Queries that are multiplied together: their sums stay in registers.
#if defined(__AVX512F__)
constexpr size_t kTogether = 8;
#elif defined(__AVX2__)
constexpr size_t kTogether = 4;
#else
constexpr size_t kTogether = 2;
#endif

template <size_t Bits>
constexpr size_t kPerWord = 32 / Bits;

SPINQUANT_INLINE WordVec load_words(const uint8_t* p) { return *reinterpret_cast<const UnalignedWordVec*>(p); }

/// The first `count` words, at most kLanes; 0 in the other lanes.
SPINQUANT_INLINE WordVec load_words(const uint8_t* p, size_t count) {
  if (count >= kLanes) return load_words(p);
#if defined(__AVX512F__)
  return reinterpret_cast<WordVec>(_mm512_maskz_loadu_epi32(static_cast<__mmask16>((1u << count) - 1), p));
#elif defined(__AVX2__)
  const IntVec there = lane_index() < splat_int(static_cast<int32_t>(count));
  return reinterpret_cast<WordVec>(
      _mm256_maskload_epi32(reinterpret_cast<const int*>(p), reinterpret_cast<__m256i>(there)));
#else
  WordVec words{};
  memcpy(&words, p, count * sizeof(uint32_t));
  return words;
#endif
}

/// What a code in this place of its word is multiplied with where it is read: all but the last stay in their bits, where
/// a float holds them exactly. One operation less than a shift takes.
template <size_t Bits>
constexpr float place_factor(size_t place) {
  return place + 1 == kPerWord<Bits> ? 1.0f : static_cast<float>(uint32_t{1} << Bits * place);
}

/// Codes in one place of every word, times `place_factor`.
template <size_t Bits, size_t Place>
SPINQUANT_INLINE Vec codes_at(WordVec words) {
  if constexpr (Place + 1 == kPerWord<Bits>) {
    return to_float(reinterpret_cast<IntVec>(words >> (32 - Bits)));
  } else {
    constexpr uint32_t mask = ((uint32_t{1} << Bits) - 1) << Bits * Place;
    return to_float(reinterpret_cast<IntVec>(words & (WordVec{} + mask)));
  }
}

/// Zero points of kLanes tokens.
SPINQUANT_INLINE Vec load_zeros(const uint8_t* p) {
  ShortVec zeros;
  memcpy(&zeros, p, sizeof zeros);
  return to_float(__builtin_convertvector(zeros, IntVec));
}

/// Scales and zero points of a block's tokens, for one group of channels.
struct BlockGrid {
  const float* scales;
  const uint8_t* zeros;  // null where all are the middle
  Vec middle;

  SPINQUANT_INLINE_MEMBER Vec scale(size_t part) const { return load(scales + part * kLanes); }
  SPINQUANT_INLINE_MEMBER Vec zero(size_t part) const {
    return zeros ? load_zeros(zeros + 2 * part * kLanes) : middle;
  }
};

/// A run of blocks of one head. Sizes that take a division are computed once.
struct BlockRun {
  const PackedLayout& layout;
  const uint8_t* bytes;
  const float* scales;
  size_t count;
  size_t room;  // blocks from the first one that the head has room for
  size_t block_bytes, code_bytes, block_scales, group_words, words;

  BlockRun(const PackedTokens& tokens, const PackedLayout& layout, size_t head, size_t first, size_t count)
      : layout(layout), count(count), room(tokens.blocks - first) {
    group_words = layout.group_words(), words = layout.words();
    block_bytes = layout.block_bytes(), code_bytes = layout.code_bytes(), block_scales = layout.block_scales();
    bytes = tokens.codes + (head * tokens.blocks + first) * block_bytes;
    scales = tokens.scales + (head * tokens.blocks + first) * block_scales;
  }

  SPINQUANT_INLINE_MEMBER const uint8_t* codes(size_t block) const { return bytes + block * block_bytes; }
  SPINQUANT_INLINE_MEMBER BlockGrid grid(size_t block, size_t group) const {
    const uint8_t* zeros = layout.has_zeros ? codes(block) + code_bytes + 2 * group * kBlockTokens : nullptr;
    return {scales + block * block_scales + group * kBlockTokens, zeros, splat(static_cast<float>(layout.middle()))};
  }
  /// Has a block brought near, or every so many of its lines, if its head has room for it. It may lie behind the run. It is
  /// read once for a token, so the outer caches, which have better use for their room, are passed by.
  SPINQUANT_INLINE_MEMBER void fetch(size_t block, size_t line = 0, size_t every = 1) const {
    if (block >= room) return;
    for (size_t at = 64 * line; at < block_bytes; at += 64 * every) __builtin_prefetch(codes(block) + at, 0, 0);
    if (line > 0) return;
    const float* own = scales + block * block_scales;
    for (size_t at = 0; at < block_scales; at += 16) __builtin_prefetch(own + at, 0, 0);
  }
};

/// The values of a step for the sums of a group of channels, and the keys beside them.
struct ValueGroup {
  const BlockRun &run, &keys;
  size_t group, tokens;
};

/// What values are multiplied with, for so many queries [count, stride].
struct MixedWeights {
  const float* of;
  size_t stride, count;
};

/// Blocks whose scores are computed before their values are summed. Their codes stay in the first-level cache.
constexpr size_t kStepBlocks = 16;
constexpr size_t kStepTokens = kStepBlocks * kBlockTokens;

}  // namespace spinquant::SPINQUANT_ISA
