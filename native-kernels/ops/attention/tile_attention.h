// Attention in tiles; included by the sources that are compiled for products of bfloat16.
#pragma once
#include "../../operator/scratch.h"
#include "tile_blocks.h"
#include "tile_gradient.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Working memory of one thread.
struct ForwardMemory {
  float *q, *scores, *sums;
  uint16_t *q_tiles, *p_tiles;

  static size_t bytes(size_t width) {
    size_t tiles = tiles_for(kTileQueries, width) + tiles_for(kTileQueries, kTileKeys);
    return tiles * sizeof(uint16_t) + kTileQueries * (width + kTileKeys + round_up(width, kPanel)) * sizeof(float);
  }

  ForwardMemory(void* memory, size_t width)
      : q_tiles(static_cast<uint16_t*>(memory)), p_tiles(q_tiles + tiles_for(kTileQueries, width)) {
    scores = reinterpret_cast<float*>(p_tiles + tiles_for(kTileQueries, kTileKeys));
    sums = scores + kTileQueries * kTileKeys;
    q = sums + kTileQueries * round_up(width, kPanel);
  }
};

/// Running maximum and sum of exponentials of 16 queries.
struct RunningSoftmax {
  Vec highest, total;
};

/// Scores of 16 queries become tiles of e^(score - maximum), keys in pairs; sums so far are brought to the new maximum.
template <size_t Pieces>
void advance(RunningSoftmax& state, const float* scores, size_t keys, uint16_t* tile, size_t plane, float* sums,
             size_t channels) {
  Vec highest = state.highest;
  for (size_t j = 0; j < keys; j++) highest = max(highest, load(scores + j * kTileQueries));
  // e^0 comes out a little above 1.
  const Vec correction = choose(highest == state.highest, splat(1), exp(state.highest - highest));
  Vec total = state.total * correction;
  for (size_t j = 0; j < keys; j += 2) {
    const Vec even = exp(load(scores + j * kTileQueries) - highest);
    const Vec odd = exp(load(scores + (j + 1) * kTileQueries) - highest);
    total += even + odd;
    store_pieces<Pieces, true>(even, odd, tile + j / kTileDepth * 2 * kTile + j % kTileDepth / 2 * kTileDepth, plane);
  }
  state = {highest, total};
  if (smallest(correction) == 1.0f) return;
  for (size_t i = 0; i < channels; i++, sums += kTileQueries) store(sums, load(sums) * correction);
}

void write_rows(const RunningSoftmax* state, const float* sums, const CausalAttentionArgs& args, size_t row,
                size_t count) {
  Vec inverse[kQueryVecs];
  float highest[kTileQueries], total[kTileQueries];
  for (size_t v = 0; v < kQueryVecs; v++) {
    inverse[v] = splat(1.0f) / state[v].total;
    store(highest + v * kLanes, state[v].highest);
    store(total + v * kLanes, state[v].total);
  }
  store_transposed(sums, count, args.shape.width, inverse, args.o + row * args.shape.width);
  for (size_t r = 0; r < count; r++) args.lse[row + r] = highest[r] + __builtin_logf(total[r]);
}

/// Rows first … first + count - 1 (at most kTileQueries) of query head `head`.
template <size_t Pieces>
void attend(const TileAttentionArgs& args, const ForwardMemory& memory, size_t head, size_t first, size_t count) {
  const AttentionShape& shape = args.base.shape;
  const size_t width = shape.width, channels = round_up(width, kPanel), row = head * shape.rows + first;
  const PackedBlock k_rows = args.k_rows.of(shape, head / shape.repeats);
  const PackedBlock v_columns = args.v_columns.of(shape, head / shape.repeats);
  times(args.base.q + row * width, count * width, shape.scale, memory.q);
  const PackedBlock q = pack_queries(memory.q, count, width, Pieces, memory.q_tiles);
  const PackedBlock p{memory.p_tiles, Pieces, 0, kTileQueries, 0, kTileKeys};
  memset(memory.sums, 0, channels * kTileQueries * sizeof(float));
  RunningSoftmax state[kQueryVecs];
  for (RunningSoftmax& each : state) each = {splat(kMasked), splat(0)};
  const Positions positions{shape.position(first), kTileQueries, shape.window};
  const size_t end = shape.position(first + count - 1) + 1;
  for (size_t k0 = shape.first_key(positions.first) / kTileKeys * kTileKeys; k0 < end; k0 += kTileKeys) {
    const size_t keys = at_most(round_up(end - k0, kPanel), kTileKeys);
    scores(k_rows, k0, keys, q, memory.scores);
    scale_scores(KeyUnits(args.k_rows, shape, head / shape.repeats, k0), keys, memory.scores);
    mask_scores(memory.scores, positions, k0, keys);
    for (size_t v = 0; v < divided_up(count, kLanes); v++) {
      uint16_t* tile = p.panel(v / 2) + v % 2 * kTile;
      advance<Pieces>(state[v], memory.scores + v * kLanes, keys, tile, p.plane(), memory.sums + v * kLanes, channels);
    }
    add_weighted(v_columns, k0, keys, p, count, memory.sums);
  }
  write_rows(state, memory.sums, args.base, row, count);
}

}  // namespace

void pack_heads(const PackHeadsArgs& args, size_t first, size_t last) {
  const size_t keys = args.shape.keys, width = args.shape.width;
  for (size_t unit = first; unit < last; unit++) {
    const size_t group = unit / args.matrices, matrix = unit % args.matrices;
    const PackedHeads& packed = args.packed[matrix];
    const float* data = packed.data + group * keys * width;
    const PackedBlock block = packed.of(args.shape, group);
    TileOperand operand = packed.transposed ? TileOperand{data, width, keys, 1, width, true, block.pieces}
                                            : TileOperand{data, keys, width, width, 1, true, block.pieces};
    if (packed.units) operand.units = packed.units + group * keys;
    pack_all(operand, block);
  }
}

void tile_attention(const TileAttentionArgs& args, size_t first, size_t last) {
  TileScope tiles;
  const Scratch scratch(ForwardMemory::bytes(args.base.shape.width));
  const ForwardMemory memory(scratch.bytes(), args.base.shape.width);
  auto attend_block = args.pieces == 1 ? attend<1> : attend<kAttentionPieces>;
  for (size_t unit = first; unit < last; unit++) {
    const size_t head = unit / args.units_per_head(), row = unit % args.units_per_head() * kTileQueries;
    attend_block(args, memory, head, row, at_most(args.base.shape.rows - row, kTileQueries));
  }
}

void tile_attention_grad(const TileAttentionGradArgs& args, size_t first, size_t last) {
  TileScope tiles;
  const Scratch scratch(GradientMemory::bytes(args.base.shape.width));
  const GradientMemory memory(scratch.bytes(), args.base.shape.width);
  auto gradient = args.pieces == 1 ? gradient_of_chunk<1> : gradient_of_chunk<kAttentionPieces>;
  for (size_t unit = first; unit < last; unit++) gradient(args, memory, unit);
}

}  // namespace spinquant::SPINQUANT_ISA
