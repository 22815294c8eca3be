// Grouped-query attention over a cache of keys and values that are IEEE halves, half the bytes of float32.
#pragma once
#include <cstdint>
#include "../../cpu/merge_chunks.h"
#include "../../cpu/variants.h"

namespace spinquant {

/// The nearest halves, ties to even, of keys and values of new tokens [rows, width]; those beyond ±65504 become that.
/// Unit: one row.
struct RoundHalvesArgs {
  const float *k, *v;
  uint16_t *half_k, *half_v;
  size_t width;
};

/// q [groups, repeats, rows, width]; k, v [groups, rows, width], the new tokens' own; past_k, past_v
/// [groups, capacity, width], of which the first `length` hold tokens. Row r is at position length + r. It sees the
/// positions up to its own, the last `window` of them where that is not 0. With s = scale·q·kᵀ over these:
/// o = softmax(s)·v, in float32 with the online form: halves are widened while they are read.
///
/// Unit: the tokens of a chunk, for `row_block` rows of a group with all query heads of it. A unit leaves Σ e^(s - m)·v
/// with the highest score m and Σ e^(s - m), which `merge_half_chunks` brings together.
struct HalfAttentionArgs {
  const float* q;
  const uint16_t *k, *v, *past_k, *past_v;
  float* partial;  // [groups, repeats, rows, chunks, width + 2]
  size_t repeats, rows, width, capacity, length, window;
  size_t row_block, chunk;  // rows and tokens of a unit
  float scale;

  size_t positions() const { return length + rows; }
  size_t chunks() const { return (positions() + chunk - 1) / chunk; }
  size_t row_blocks() const { return (rows + row_block - 1) / row_block; }
  size_t partial_size() const { return width + 2; }
  /// First position that a row sees.
  size_t first_position(size_t row) const {
    return window > 0 && length + row + 1 > window ? length + row + 1 - window : 0;
  }
};

/// What a unit computes.
struct HalfUnit {
  size_t group, first_row, last_row;  // rows first_row … last_row - 1
  size_t chunk, first, last;          // positions first … last - 1

  // Inlined, so that no body for other processors is shared.
  __attribute__((always_inline)) HalfUnit(const HalfAttentionArgs& args, size_t unit) {
    chunk = unit % args.chunks();
    group = unit / args.chunks() / args.row_blocks();
    first_row = unit / args.chunks() % args.row_blocks() * args.row_block;
    last_row = first_row + args.row_block < args.rows ? first_row + args.row_block : args.rows;
    first = chunk * args.chunk;
    last = first + args.chunk < args.positions() ? first + args.chunk : args.positions();
  }
  size_t partial_of(const HalfAttentionArgs& args, size_t repeat, size_t row) const {
    return (((group * args.repeats + repeat) * args.rows + row) * args.chunks() + chunk) * args.partial_size();
  }
};

SPINQUANT_DECLARE_KERNEL(round_halves, RoundHalvesArgs)
SPINQUANT_DECLARE_KERNEL(half_attention, HalfAttentionArgs)
SPINQUANT_DECLARE_KERNEL(merge_half_chunks, MergeChunksArgs)

}  // namespace spinquant
