// Backward pass of attention in tiles over one chunk of queries. Included by tile_attention.h only.
#pragma once
#include "tile_blocks.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Working memory of one thread.
struct GradientMemory {
  float *q, *p, *ds, *dq, *lse, *delta;
  uint16_t *q_queries, *q_channels, *do_queries, *do_channels, *p_rows, *ds_rows, *ds_pairs;

  static size_t floats(size_t width) {
    return kTileQueries * (width + 2 * kTileKeys + round_up(width, kPanel) + 2);
  }
  static size_t bytes(size_t width) {
    size_t tiles = 2 * tiles_for(kTileQueries, width) + 2 * tiles_for(width, kTileQueries) +
                   3 * tiles_for(kTileKeys, kTileQueries);
    return tiles * sizeof(uint16_t) + floats(width) * sizeof(float);
  }

  GradientMemory(void* memory, size_t width)
      : q_queries(static_cast<uint16_t*>(memory)),
        q_channels(q_queries + tiles_for(kTileQueries, width)),
        do_queries(q_channels + tiles_for(width, kTileQueries)),
        do_channels(do_queries + tiles_for(kTileQueries, width)),
        p_rows(do_channels + tiles_for(width, kTileQueries)),
        ds_rows(p_rows + tiles_for(kTileKeys, kTileQueries)),
        ds_pairs(ds_rows + tiles_for(kTileKeys, kTileQueries)) {
    p = reinterpret_cast<float*>(ds_pairs + tiles_for(kTileKeys, kTileQueries));
    ds = p + kTileQueries * kTileKeys;
    dq = ds + kTileQueries * kTileKeys;
    lse = dq + kTileQueries * round_up(width, kPanel);
    delta = lse + kTileQueries;
    q = delta + kTileQueries;
  }
};

/// Queries of a block of a head, in the tiles that its products take.
struct QueryBlock {
  size_t head, first, count;
  PackedBlock q_queries, q_channels, do_queries, do_channels;
};

/// lse and D = rowsum(do∘o) of a block of queries; a missing query gets probabilities of zero.
void load_statistics(const CausalAttentionGradArgs& args, const GradientMemory& memory, size_t row, size_t count) {
  const size_t width = args.shape.width;
  for (size_t r = 0; r < kTileQueries; r++) {
    Vec products = splat(0);
    for (size_t i = 0; r < count && i < width; i += kLanes) {
      const size_t at = (row + r) * width + i, left = width - i;
      products += left >= kLanes ? load(args.d_o + at) * load(args.o + at)
                                 : load_part(args.d_o + at, left, 0) * load_part(args.o + at, left, 0);
    }
    memory.delta[r] = sum(products);
    memory.lse[r] = r < count ? args.lse[row + r] : -kMasked;
  }
}

template <size_t Pieces>
QueryBlock load_queries(const CausalAttentionGradArgs& args, size_t score_pieces, const GradientMemory& memory,
                        size_t head, size_t first, size_t count) {
  const size_t width = args.shape.width, row = head * args.shape.rows + first;
  const float* d_o = args.d_o + row * width;
  times(args.q + row * width, count * width, args.shape.scale, memory.q);
  load_statistics(args, memory, row, count);
  return {head,
          first,
          count,
          pack_queries(memory.q, count, width, score_pieces, memory.q_queries),
          pack_channels(memory.q, count, width, Pieces, memory.q_channels),
          pack_queries(d_o, count, width, Pieces, memory.do_queries),
          pack_channels(d_o, count, width, Pieces, memory.do_channels)};
}

/// Probabilities p and derivatives ds = p∘(dp - D) of a pair of vectors of queries against one key.
struct Derivatives {
  Vec p[2], ds[2];

  Derivatives(const GradientMemory& memory, size_t key, size_t query) {
    for (size_t half = 0; half < 2; half++) {
      const size_t lanes = query + half * kLanes, at = key * kTileQueries + lanes;
      p[half] = exp(load(memory.p + at) - load(memory.lse + lanes));
      ds[half] = p[half] * (load(memory.ds + at) - load(memory.delta + lanes));
    }
  }
};

/// p holds scores and ds holds do·vᵀ; they become tiles of p and ds with keys in rows, and of ds times the keys' units
/// with keys in pairs.
template <size_t Pieces>
void softmax_gradient(const GradientMemory& memory, size_t keys, const KeyUnits& units, const PackedBlock& p_rows,
                      const PackedBlock& ds_rows, const PackedBlock& ds_pairs) {
  const size_t plane = p_rows.plane();
  for (size_t query = 0; query < kTileQueries; query += kPanel) {
    // A panel of queries is a step of the depth where keys are in rows.
    const size_t column = query / kPanel * 2 * kTile;
    for (size_t key = 0; key < keys; key += 2) {
      const Derivatives even(memory, key, query), odd(memory, key + 1, query);
      const Vec even_unit = splat(units.of[key]), odd_unit = splat(units.of[key + 1]);
      const size_t row = key / kPanel * p_rows.panel_size() + column + key % kPanel * kTileDepth;
      store_pieces<Pieces, false>(even.p[0], even.p[1], p_rows.tiles + row, plane);
      store_pieces<Pieces, false>(odd.p[0], odd.p[1], p_rows.tiles + row + kTileDepth, plane);
      store_pieces<Pieces, false>(even.ds[0], even.ds[1], ds_rows.tiles + row, plane);
      store_pieces<Pieces, false>(odd.ds[0], odd.ds[1], ds_rows.tiles + row + kTileDepth, plane);
      uint16_t* pair = ds_pairs.panel(query / kPanel) + key / kTileDepth * 2 * kTile + key % kTileDepth / 2 * kTileDepth;
      store_pieces<Pieces, true>(even.ds[0] * even_unit, odd.ds[0] * odd_unit, pair, plane);
      store_pieces<Pieces, true>(even.ds[1] * even_unit, odd.ds[1] * odd_unit, pair + kTile, plane);
    }
  }
}

/// sums[key][channel] += A[key][queries]·B[queries][channel].
void add_outer(const PackedBlock& a, size_t keys, const PackedBlock& channels, size_t stride, float* sums) {
  for (size_t j = 0; j < keys; j += kPanel) {
    for (size_t panel = 0; panel < channels.panels(); panel++) {
      multiply(a, j / kPanel, 0, channels, panel, channels.steps(), sums + j * stride + panel * kPanel, stride, true);
    }
  }
}

/// Adds the share of a block of queries to dk and dv, and writes its dq.
template <size_t Pieces>
void gradient_of_block(const TileAttentionGradArgs& args, const GradientMemory& memory, const QueryBlock& block,
                       float* dk, float* dv) {
  const AttentionShape& shape = args.base.shape;
  const size_t width = shape.width, stride = args.base.width_padded, group = block.head / shape.repeats;
  const PackedBlock k_rows = args.k_rows.of(shape, group), k_columns = args.k_columns.of(shape, group);
  const PackedBlock v_rows = args.v_rows.of(shape, group);
  const PackedBlock p_rows{memory.p_rows, Pieces, 0, kTileKeys, 0, kTileQueries};
  const PackedBlock ds_rows{memory.ds_rows, Pieces, 0, kTileKeys, 0, kTileQueries};
  const PackedBlock ds_pairs{memory.ds_pairs, Pieces, 0, kTileQueries, 0, kTileKeys};
  memset(memory.dq, 0, round_up(width, kPanel) * kTileQueries * sizeof(float));
  const Positions positions{shape.position(block.first), kTileQueries, shape.window};
  const size_t end = shape.position(block.first + block.count - 1) + 1;
  for (size_t k0 = shape.first_key(positions.first) / kTileKeys * kTileKeys; k0 < end; k0 += kTileKeys) {
    const size_t keys = at_most(round_up(end - k0, kPanel), kTileKeys);
    scores(k_rows, k0, keys, block.q_queries, memory.p);
    scores(v_rows, k0, keys, block.do_queries, memory.ds);
    const KeyUnits units(args.k_rows, shape, group, k0);
    scale_scores(units, keys, memory.p);
    mask_scores(memory.p, positions, k0, keys);
    softmax_gradient<Pieces>(memory, keys, units, p_rows, ds_rows, ds_pairs);
    add_outer(p_rows, keys, block.do_channels, stride, dv + k0 * stride);
    add_outer(ds_rows, keys, block.q_channels, stride, dk + k0 * stride);
    add_weighted(k_columns, k0, keys, ds_pairs, block.count, memory.dq);
  }
  const Vec scale = splat(shape.scale), factors[kQueryVecs] = {scale, scale, scale, scale};
  const size_t row = block.head * shape.rows + block.first;
  store_transposed(memory.dq, block.count, width, factors, args.base.dq + row * width);
}

/// Unit: (query head, chunk).
template <size_t Pieces>
void gradient_of_chunk(const TileAttentionGradArgs& args, const GradientMemory& memory, size_t unit) {
  const CausalAttentionGradArgs& base = args.base;
  float* dk = base.partial + unit * 2 * base.partial_size();
  float* dv = dk + base.partial_size();
  memset(dk, 0, 2 * base.partial_size() * sizeof(float));
  const size_t head = unit / base.chunks, start = unit % base.chunks * base.chunk_rows;
  const size_t end = start + at_most(base.shape.rows - start, base.chunk_rows);
  for (size_t row = start; row < end; row += kTileQueries) {
    const size_t count = at_most(end - row, kTileQueries);
    const QueryBlock block = load_queries<Pieces>(base, args.score_pieces, memory, head, row, count);
    gradient_of_block<Pieces>(args, memory, block, dk, dv);
  }
}

}  // namespace
}  // namespace spinquant::SPINQUANT_ISA
