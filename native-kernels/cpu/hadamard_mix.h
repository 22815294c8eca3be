// y → scale · (M × y) for y as [K, columns], one or two vectors of columns ("tile") at a time. Narrow blocks are put
// side by side until a tile is full.
//
// With the entries of M ±1 a tile takes K/4 additions per vector (hadamard_codes.h), each with an operand from memory. A
// core loads two vectors per cycle, so two vectors share each choice that is loaded: 9 loads for 8 additions.
#pragma once
#include "hadamard.h"
#include "simd.h"

namespace spinquant::SPINQUANT_ISA {

/// Vectors of a full tile.
constexpr size_t kTile = 2;
/// Column groups whose tables of sums are held at once: half of a first-level cache of 32 KB.
constexpr size_t kGroupsAtOnce = 16 * 1024 / (kMixSums * kTile * sizeof(Vec));

/// The K rows of Width vectors lie here: vector t of row k at data[t] + k · stride.
template <size_t Width>
struct Tile {
  float* data[Width];
  size_t stride;

  SPINQUANT_INLINE_MEMBER Vec get(size_t k, size_t t) const { return load(data[t] + k * stride); }
  SPINQUANT_INLINE_MEMBER void set(size_t k, size_t t, Vec v) const { store(data[t] + k * stride, v); }
};

/// The 16 signed sums of four rows, Width vectors apart; bit b of the index is set when row b counts negative.
template <size_t Width>
SPINQUANT_INLINE void signed_sums(Vec a, Vec b, Vec c, Vec d, Vec* sums) {
  const Vec first[4] = {a + b, b - a, a - b, -(a + b)};
  const Vec second[2] = {c + d, d - c};
  SPINQUANT_UNROLL
  for (size_t i = 0; i < kMixSums / 2; i++) {
    Vec sum = first[i % 4] + second[i / 4];
    sums[i * Width] = sum;
    sums[(kMixSums - 1 - i) * Width] = -sum;
  }
}

/// Working memory of a mix: tables of sums, sums of earlier groups, a packed tile.
struct MixMemory {
  Vec* tables;   // [kGroupsAtOnce, kMixSums, Width]
  Vec* partial;  // [order, filled up to a whole set; Width]
  float* packed;  // [order, kTile vectors]

  static size_t padded(size_t order) { return (order + kMixRows - 1) / kMixRows * kMixRows; }
  static size_t bytes(size_t order) {
    return (kGroupsAtOnce * kMixSums + 2 * padded(order)) * kTile * sizeof(Vec);
  }
  MixMemory(void* memory, size_t order)
      : tables(static_cast<Vec*>(memory)),
        partial(tables + kGroupsAtOnce * kMixSums * kTile),
        packed(reinterpret_cast<float*>(partial + padded(order) * kTile)) {}
};

template <size_t Width>
static void build_tables(const Tile<Width>& tile, size_t order, size_t first, size_t last, Vec* tables) {
  for (size_t g = first; g < last; g++) {
    for (size_t t = 0; t < Width; t++) {
      Vec rows[kMixGroup];
      for (size_t b = 0; b < kMixGroup; b++) {
        size_t k = g * kMixGroup + b;
        rows[b] = k < order ? tile.get(k, t) : splat(0);
      }
      signed_sums<Width>(rows[0], rows[1], rows[2], rows[3], tables + (g - first) * kMixSums * Width + t);
    }
  }
}

/// total[r][t] += the sums that `codes` choose, for Sets sets of four rows.
template <size_t Width, size_t Sets>
SPINQUANT_INLINE void add_sums(const uint8_t* codes, size_t codes_stride, const Vec* tables, size_t groups,
                               Vec (&total)[Sets * kMixRows * Width]) {
  const char* table = reinterpret_cast<const char*>(tables);
  for (size_t g = 0; g < groups; g++) {
    SPINQUANT_UNROLL
    for (size_t set = 0; set < Sets; set++) {
      uint32_t four;
      memcpy(&four, codes + set * codes_stride, sizeof four);
      SPINQUANT_UNROLL
      for (size_t r = 0; r < kMixRows; r++) {
        size_t code = four >> (8 * r) & 255;
        const Vec* sum = reinterpret_cast<const Vec*>(table + code * (Width * sizeof(Vec) / kMixCodeUnit));
        SPINQUANT_UNROLL
        for (size_t t = 0; t < Width; t++) total[(set * kMixRows + r) * Width + t] += sum[t];
      }
    }
    codes += kMixRows;
    table += kMixSums * Width * sizeof(Vec);
  }
}

/// Groups first <= g < last of a matrix of `groups` groups.
struct GroupRange {
  size_t first, last, groups;
};

/// Sets of rows from `set` on: the sums of this range added to `partial`, or, at the last range, the result stored.
template <size_t Width, size_t Sets>
SPINQUANT_INLINE void mix_rows(const HadamardArgs& args, const Tile<Width>& tile, const MixMemory& memory,
                               GroupRange range, size_t set) {
  constexpr size_t vectors = Sets * kMixRows * Width;
  const size_t stride = range.groups * kMixRows;
  Vec* partial = memory.partial + set * kMixRows * Width;
  Vec total[vectors];
  SPINQUANT_UNROLL
  for (size_t i = 0; i < vectors; i++) total[i] = range.first == 0 ? splat(0) : partial[i];
  const uint8_t* codes = args.codes + set * stride + range.first * kMixRows;
  add_sums<Width, Sets>(codes, stride, memory.tables, range.last - range.first, total);
  if (range.last < range.groups) {
    SPINQUANT_UNROLL
    for (size_t i = 0; i < vectors; i++) partial[i] = total[i];
    return;
  }
  const Vec scale = splat(args.scale);
  SPINQUANT_UNROLL
  for (size_t i = 0; i < vectors; i++) {
    size_t k = set * kMixRows + i / Width;
    if (k < args.order) tile.set(k, i % Width, total[i] * scale);
  }
}

/// A tile whose M has entries ±1.
template <size_t Width>
static void mix_signs(const HadamardArgs& args, const Tile<Width>& tile, const MixMemory& memory) {
  // Eight sums at a time: as many as hide the latency of an addition.
  constexpr size_t step = 2 / Width;
  const size_t groups = (args.order + kMixGroup - 1) / kMixGroup, sets = (args.order + kMixRows - 1) / kMixRows;
  for (size_t first = 0; first < groups; first += kGroupsAtOnce) {
    size_t last = groups - first < kGroupsAtOnce ? groups : first + kGroupsAtOnce;
    build_tables(tile, args.order, first, last, memory.tables);
    size_t set = 0;
    for (; set + step <= sets; set += step) mix_rows<Width, step>(args, tile, memory, {first, last, groups}, set);
    for (; set < sets; set++) mix_rows<Width, 1>(args, tile, memory, {first, last, groups}, set);
  }
}

/// A tile with any M: every entry a multiplication. Such matrices are small or rare.
template <size_t Width>
static void mix_any(const HadamardArgs& args, const Tile<Width>& tile, const MixMemory& memory) {
  for (size_t t = 0; t < Width; t++) {
    for (size_t i = 0; i < args.order; i++) {
      const float* entries = args.entries + i * args.order;
      Vec total = splat(0);
      for (size_t j = 0; j < args.order; j++) total = fma(splat(entries[j]), tile.get(j, t), total);
      memory.partial[i] = total * splat(args.scale);
    }
    for (size_t i = 0; i < args.order; i++) tile.set(i, t, memory.partial[i]);
  }
}

template <size_t Width>
SPINQUANT_INLINE void mix_tile(const HadamardArgs& args, const Tile<Width>& tile, const MixMemory& memory) {
  args.codes ? mix_signs(args, tile, memory) : mix_any(args, tile, memory);
}

SPINQUANT_INLINE size_t columns_of(const HadamardArgs& args) { return args.block / args.order; }

/// Copies [K, Columns] of each block into its place side by side in a packed tile, or back.
template <size_t Columns, bool Into>
static void copy_packed(const HadamardArgs& args, float* y, size_t blocks, float* packed) {
  for (size_t b = 0; b < blocks; b++) {
    float* row = y + b * args.block;
    float* place = packed + b * Columns;
    for (size_t k = 0; k < args.order; k++) {
      Into ? memcpy(place, row, Columns * sizeof(float)) : memcpy(row, place, Columns * sizeof(float));
      row += Columns;
      place += kTile * kLanes;
    }
  }
}

/// Blocks of Columns < kLanes columns: as many as fill a tile (fewer at the end, the other lanes being 0).
template <size_t Columns>
SPINQUANT_INLINE void mix_packed(const HadamardArgs& args, float* y, size_t blocks, const MixMemory& memory) {
  float* packed = memory.packed;
  if (blocks * Columns < kTile * kLanes) memset(packed, 0, args.order * kTile * sizeof(Vec));
  copy_packed<Columns, true>(args, y, blocks, packed);
  mix_tile<kTile>(args, {{packed, packed + kLanes}, kTile * kLanes}, memory);
  copy_packed<Columns, false>(args, y, blocks, packed);
}

static void mix_narrow(const HadamardArgs& args, float* y, size_t blocks, const MixMemory& memory) {
  switch (columns_of(args)) {
    case 1: return mix_packed<1>(args, y, blocks, memory);
    case 2: return mix_packed<2>(args, y, blocks, memory);
    case 4: return mix_packed<4>(args, y, blocks, memory);
    default: return mix_packed<8>(args, y, blocks, memory);
  }
}

/// Blocks that a tile takes side by side.
SPINQUANT_INLINE size_t blocks_per_tile(const HadamardArgs& args) {
  size_t columns = columns_of(args);
  return columns < kTile * kLanes ? kTile * kLanes / columns : 1;
}

/// y → scale · (M × y) for `blocks` <= blocks_per_tile consecutive blocks.
static void mix(const HadamardArgs& args, float* y, size_t blocks, const MixMemory& memory) {
  const size_t columns = columns_of(args);
  if (columns < kLanes) return mix_narrow(args, y, blocks, memory);
  if (columns > kLanes) {
    for (size_t c = 0; c < columns; c += 2 * kLanes) mix_tile<2>(args, {{y + c, y + c + kLanes}, columns}, memory);
  } else if (blocks == 2) {
    mix_tile<2>(args, {{y, y + args.block}, columns}, memory);
  } else {
    mix_tile<1>(args, {{y}, columns}, memory);
  }
}

}  // namespace spinquant::SPINQUANT_ISA
