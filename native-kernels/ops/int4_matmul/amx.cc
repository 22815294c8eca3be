// Compiled for AMX, on compilers that know it.
#include "int4_matmul.h"

#if defined(__AMX_INT8__) && defined(__AMX_BF16__) && defined(__AVX512BF16__)
#include "../../cpu/simd.h"
#include "../../cpu/tile_products.h"
#include "../../operator/scratch.h"
#include "group_sums.h"

namespace spinquant::amx {
namespace {

/// Rows of a tile, its columns and bytes.
constexpr size_t kTileRows = 16, kTileColumns = 64, kTileBytes = kTileRows * kTileColumns;
/// Fewer tokens leave more of a tile empty than vectors lose.
constexpr size_t kFewTokens = 5;
/// Activations that are multiplied with all panels before the next ones: half of a second-level cache.
constexpr size_t kCachedBytes = 1024 * 1024;

/// Tiles of a part. The last one is half empty where the part has an odd number of steps.
size_t tiles_of(const Int4Layout& layout) { return divided_up(layout.padded_part(), kTileColumns); }
size_t all_tiles(const Int4Layout& layout) { return layout.parts() * tiles_of(layout); }

/// A panel as tiles [part][tile][16 × 64]. A row of a tile has four columns of all 16 rows, as half a block has.
void put_weights(const Int4ProductArgs& args, size_t panel, uint8_t* tiles) {
  const Int4Layout& layout = args.layout;
  const uint8_t* blocks = args.packed + panel * layout.panel_bytes();
  const size_t of_part = layout.padded_part() / kBlockColumns, part_bytes = tiles_of(layout) * kTileBytes;
  for (size_t p = 0; p < layout.parts(); p++, tiles += part_bytes) {
    for (size_t block = 0; block < of_part; block++, blocks += kBlockBytes) {
      const Bytes both = load_bytes(blocks), low = low_halves(both), high = high_halves(both);
      memcpy(tiles + 2 * block * sizeof(Bytes), &low, sizeof low);
      memcpy(tiles + (2 * block + 1) * sizeof(Bytes), &high, sizeof high);
    }
    const size_t filled = 2 * of_part * sizeof(Bytes);
    memset(tiles + filled, 0, part_bytes - filled);
  }
}

/// Sixteen tokens: row by row, where their codes lie, or as tiles.
struct Strip {
  const int8_t* codes;
  size_t row_bytes, tile_bytes;
};

/// Strips of tokens. Those that cannot be read where they lie are put into tiles: the last one where it is incomplete,
/// and all where parts end within a tile.
class Strips {
 public:
  explicit Strips(const Int4ProductArgs& args, size_t together)
      : args_(args),
        all_(args.layout.padded_part() % kTileColumns != 0),
        size_(all_tiles(args.layout) * kTileBytes),
        tiles_((all_ ? divided_up(together, kTileRows) : 1) * size_) {}

  /// Tokens start … end follow, `start` a multiple of a strip's.
  void put(size_t start, size_t end) {
    start_ = start;
    for (size_t token = start; token < end; token += kTileRows) {
      if (in_tiles(token)) put_tiles(token);
    }
  }

  Strip at(size_t token) const {
    if (in_tiles(token)) return {tiles_of_strip(token), kTileColumns, kTileBytes};
    return {args_.codes + token * args_.layout.depth(), args_.layout.depth(), kTileColumns};
  }

 private:
  bool in_tiles(size_t token) const { return all_ || token + kTileRows > args_.tokens; }

  int8_t* tiles_of_strip(size_t token) const {
    return static_cast<int8_t*>(tiles_.bytes()) + (all_ ? (token - start_) / kTileRows * size_ : 0);
  }

  /// Tiles are [part][tile][16 × 64], with 0 for what is not there.
  void put_tiles(size_t token) {
    const Int4Layout& layout = args_.layout;
    const size_t part = layout.padded_part(), tokens = at_most(args_.tokens - token, kTileRows);
    int8_t* tiles = tiles_of_strip(token);
    memset(tiles, 0, size_);
    for (size_t row = 0; row < tokens; row++) {
      const int8_t* codes = args_.codes + (token + row) * layout.depth();
      int8_t* to = tiles + row * kTileColumns;
      for (size_t p = 0; p < layout.parts(); p++, to += tiles_of(layout) * kTileBytes) {
        for (size_t i = 0; i < part; i += kDepthStep, codes += kDepthStep) {
          memcpy(to + i / kTileColumns * kTileBytes + i % kTileColumns, codes, kDepthStep);
        }
      }
    }
  }

  const Int4ProductArgs& args_;
  const bool all_;
  const size_t size_;
  const Scratch tiles_;
  size_t start_ = 0;
};

/// Σ a·u of a part: of one or two strips with two panels, [token][panel][row].
void multiply_part(const Strip* strips, bool two, const uint8_t* const* panels, size_t tile, size_t end,
                    int32_t* sums) {
  zero_sums();
  for (; tile < end; tile++) {
    _tile_loadd(4, strips[0].codes + tile * strips[0].tile_bytes, strips[0].row_bytes);
    _tile_loadd(6, panels[0] + tile * kTileBytes, kTileColumns);
    _tile_loadd(7, panels[1] + tile * kTileBytes, kTileColumns);
    _tile_dpbsud(0, 4, 6);
    _tile_dpbsud(1, 4, 7);
    if (!two) continue;
    _tile_loadd(5, strips[1].codes + tile * strips[1].tile_bytes, strips[1].row_bytes);
    _tile_dpbsud(2, 5, 6);
    _tile_dpbsud(3, 5, 7);
  }
  constexpr size_t kStride = 2 * kPanelRows;
  _tile_stored(0, sums, kStride * sizeof(int32_t));
  _tile_stored(1, sums + kPanelRows, kStride * sizeof(int32_t));
  _tile_stored(2, sums + kTileRows * kStride, kStride * sizeof(int32_t));
  _tile_stored(3, sums + kTileRows * kStride + kPanelRows, kStride * sizeof(int32_t));
  finish_writes();
}

/// What 32 tokens and two panels come to: parts add to totals, of which spans or groups add to results.
struct PairResults {
  Vec totals[2 * kTileRows][2]{}, results[2 * kTileRows][2]{};

  void add_part(const PanelResults& of, size_t token, size_t tokens, size_t p, size_t panel, size_t part,
                const int32_t (&sums)[2 * kTileRows][2][kPanelRows]) {
    const Int4ProductArgs& args = of.args;
    const size_t g = part / of.parts_of_group, span = part / of.parts_of_span;
    const GroupGrid grid = of.grid_of(panel, g, 0);
    const bool are_spans = of.parts_of_span == 1;
    for (size_t i = 0; i < tokens; i++) {
      IntVec products;
      memcpy(&products, sums[i][p], sizeof products);
      const size_t place = part * args.tokens + token + i;
      const Vec sum = to_float(products - grid.zeros.times(args.sums[place]));
      totals[i][p] = totals[i][p] + sum * (are_spans ? splat(args.scales[place]) : grid.scales);
    }
    if ((part + 1) % (are_spans ? of.parts_of_group : of.parts_of_span) != 0) return;
    for (size_t i = 0; i < tokens; i++) {
      const Vec scale = are_spans ? grid.scales : splat(args.scales[span * args.tokens + token + i]);
      results[i][p] = results[i][p] + totals[i][p] * scale;
      totals[i][p] = Vec{};
    }
  }
};

/// Results of up to 32 tokens and two panels.
void multiply_pair(const Int4ProductArgs& args, const Strip* strips, const uint8_t* const* weights, size_t panel,
                   size_t panels, size_t token) {
  const Int4Layout& layout = args.layout;
  const size_t tokens = at_most(args.tokens - token, 2 * kTileRows), of_part = tiles_of(layout);
  alignas(64) int32_t sums[2 * kTileRows][2][kPanelRows];
  const PanelResults of(args);
  PairResults pair;
  for (size_t part = 0; part < of.parts; part++) {
    multiply_part(strips, tokens > kTileRows, weights, part * of_part, (part + 1) * of_part, sums[0][0]);
    // Rows in one part have another order of operations.
    if (of.parts == 1) break;
    for (size_t p = 0; p < panels; p++) pair.add_part(of, token, tokens, p, panel + p, part, sums);
  }
  for (size_t p = 0; p < panels; p++) {
    for (size_t i = 0; i < tokens; i++) {
      IntVec products;
      memcpy(&products, sums[i][p], sizeof products);
      Vec values[1][kParts] = {{pair.results[i][p]}};
      if (of.parts == 1) {
        of.write_rows<1>(token + i, panel + p, &products, kParts);
      } else {
        of.write<1>(token + i, panel + p, values);
      }
    }
  }
}

}  // namespace

void int4_products(const Int4ProductArgs& args, size_t first, size_t last) {
  if (args.tokens < kFewTokens) return avx512_vnni::int4_products(args, first, last);
  const Int4Layout& layout = args.layout;
  const size_t strip = all_tiles(layout) * kTileBytes;
  const Scratch buffer(2 * strip);
  uint8_t* const own_weights = static_cast<uint8_t*>(buffer.bytes());
  const uint8_t* const weights[2] = {own_weights, own_weights + strip};
  const size_t fit = kCachedBytes / layout.depth() / (2 * kTileRows) * (2 * kTileRows);
  const size_t step = fit > 0 ? fit : 2 * kTileRows;
  Strips strips(args, at_most(step, args.tokens));
  const TileScope tiles;
  for (size_t start = 0; start < args.tokens; start += step) {
    const size_t end = at_most(args.tokens, start + step);
    strips.put(start, end);
    for (size_t panel = first; panel < last; panel += 2) {
      const size_t panels = at_most(last - panel, 2);
      // One that is alone is multiplied by what the other had: nobody reads the result.
      for (size_t p = 0; p < panels; p++) put_weights(args, panel + p, own_weights + p * strip);
      for (size_t token = start; token < end; token += 2 * kTileRows) {
        Strip pair[2] = {strips.at(token), {}};
        if (token + kTileRows < args.tokens) pair[1] = strips.at(token + kTileRows);
        multiply_pair(args, pair, weights, panel, panels, token);
      }
    }
  }
}

}  // namespace spinquant::amx

#elif SPINQUANT_X86
namespace spinquant::amx {

void int4_products(const Int4ProductArgs& args, size_t first, size_t last) {
  avx512_vnni::int4_products(args, first, last);
}

}  // namespace spinquant::amx
#endif
