// A test double of AMX: the intrinsics that our sources use, on plain arrays. They do what Intel's Software Developer's
// Manual, volume 2, defines for LDTILECFG, TILELOADD, TILESTORED, TILEZERO, TDPBSSD and its kin, and TDPBF16PS. What
// would raise an exception ends the program. Included in front of each amx.cc of a test build, never in the product.
#pragma once
#include <immintrin.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace emulated_tiles {

/// Palette 1.
constexpr size_t kTiles = 8, kMostRows = 16, kMostBytes = 64;

struct Tile {
  size_t rows = 0, row_bytes = 0;
  alignas(64) uint8_t data[kMostRows][kMostBytes] = {};

  /// Pairs and fours of elements lie in lanes of four bytes.
  size_t lanes() const { return row_bytes / 4; }
};

struct Tiles {
  bool configured = false;
  Tile all[kTiles];
};

inline thread_local Tiles tiles;

inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "emulated AMX: %s\n", what);
  std::abort();
}

inline Tile& tile(size_t index) {
  require(tiles.configured, "tiles are used that nothing configured");
  require(index < kTiles && tiles.all[index].rows > 0, "a tile is used that has no rows");
  return tiles.all[index];
}

inline void release() { tiles = Tiles{}; }

inline void load_config(const void* memory) {
  uint8_t config[64];
  std::memcpy(config, memory, sizeof config);
  release();
  require(config[0] == 1, "the palette must be 1");
  for (size_t i = 1; i < 16; i++) require(config[i] == 0, "no load is under way, and reserved bytes are 0");
  for (size_t i = 0; i < 16; i++) {
    const size_t row_bytes = config[16 + 2 * i] + 256u * config[17 + 2 * i], rows = config[48 + i];
    require(rows <= kMostRows && row_bytes <= kMostBytes, "a tile is too large");
    require((rows == 0) == (row_bytes == 0), "a tile has rows or columns, but not both");
    require(i < kTiles || rows == 0, "palette 1 has eight tiles");
    if (i >= kTiles) continue;
    tiles.all[i].rows = rows;
    tiles.all[i].row_bytes = row_bytes;
  }
  tiles.configured = true;
}

inline void zero(size_t index) { std::memset(tile(index).data, 0, sizeof tile(index).data); }

inline void load(size_t index, const void* base, size_t stride) {
  Tile& to = tile(index);
  zero(index);
  for (size_t row = 0; row < to.rows; row++) {
    std::memcpy(to.data[row], static_cast<const char*>(base) + row * stride, to.row_bytes);
  }
}

inline void store(size_t index, void* base, size_t stride) {
  const Tile& from = tile(index);
  for (size_t row = 0; row < from.rows; row++) {
    std::memcpy(static_cast<char*>(base) + row * stride, from.data[row], from.row_bytes);
  }
}

inline void require_product(size_t sums, size_t a, size_t b) {
  require(sums != a && sums != b && a != b, "a product takes three tiles");
  require(tile(sums).row_bytes % 4 == 0 && tile(a).row_bytes % 4 == 0 && tile(b).row_bytes % 4 == 0,
          "a row of a factor is no whole number of lanes");
  require(tile(sums).rows == tile(a).rows && tile(sums).row_bytes == tile(b).row_bytes &&
              tile(a).lanes() == tile(b).rows,
          "the shapes of three tiles do not fit");
}

/// Lane (m, n) of the sums gets the products of the fours in a's lane (m, k) and b's lane (k, n), for each k. It wraps.
template <class A, class B>
void add_bytes(size_t sums, size_t a, size_t b) {
  require_product(sums, a, b);
  Tile& to = tile(sums);
  for (size_t m = 0; m < to.rows; m++) {
    uint32_t row[kMostBytes / 4];
    std::memcpy(row, to.data[m], sizeof row);
    for (size_t k = 0; k < tile(a).lanes(); k++) {
      const uint8_t *of_a = tile(a).data[m] + 4 * k, *of_b = tile(b).data[k];
      for (size_t i = 0; i < 4 * to.lanes(); i++) {
        row[i / 4] += static_cast<uint32_t>(static_cast<A>(of_a[i % 4]) * static_cast<B>(of_b[i]));
      }
    }
    std::memcpy(to.data[m], row, sizeof row);
  }
}

/// Numbers below 2^-126 count as zero, and so do results.
inline __m512 flushed(__m512 x) {
  const __mmask16 small = _mm512_cmp_ps_mask(_mm512_abs_ps(x), _mm512_set1_ps(0x1p-126f), _CMP_LT_OQ);
  return _mm512_mask_and_ps(x, small, x, _mm512_set1_ps(-0.0f));
}

/// Of lanes with two bfloat16 numbers each.
inline __m512 first_numbers(__m512i pairs) { return flushed(_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16))); }
inline __m512 second_numbers(__m512i pairs) {
  return flushed(_mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(-0x10000))));
}

/// The first numbers of pairs have a sum of their own and so have the second ones, in the order of k, rounded at each
/// step. In the end both are added, and that to the lane. Lanes that a tile does not have are zeros.
inline void add_bfloat16(size_t sums, size_t a, size_t b) {
  require_product(sums, a, b);
  for (size_t m = 0; m < tile(sums).rows; m++) {
    __m512 first = _mm512_setzero_ps(), second = _mm512_setzero_ps();
    for (size_t k = 0; k < tile(a).lanes(); k++) {
      int32_t pair;
      std::memcpy(&pair, tile(a).data[m] + 4 * k, sizeof pair);
      const __m512i of_a = _mm512_set1_epi32(pair), of_b = _mm512_load_si512(tile(b).data[k]);
      first = flushed(_mm512_fmadd_ps(first_numbers(of_a), first_numbers(of_b), first));
      second = flushed(_mm512_fmadd_ps(second_numbers(of_a), second_numbers(of_b), second));
    }
    const __m512 sum = flushed(_mm512_load_ps(tile(sums).data[m]));
    _mm512_store_ps(tile(sums).data[m], flushed(_mm512_add_ps(sum, flushed(_mm512_add_ps(first, second)))));
  }
}

}  // namespace emulated_tiles

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stream_loadd
#undef _tile_stored
#undef _tile_dpbssd
#undef _tile_dpbsud
#undef _tile_dpbusd
#undef _tile_dpbuud
#undef _tile_dpbf16ps
#define _tile_loadconfig emulated_tiles::load_config
#define _tile_release emulated_tiles::release
#define _tile_zero emulated_tiles::zero
#define _tile_loadd emulated_tiles::load
#define _tile_stream_loadd emulated_tiles::load
#define _tile_stored emulated_tiles::store
#define _tile_dpbssd emulated_tiles::add_bytes<int8_t, int8_t>
#define _tile_dpbsud emulated_tiles::add_bytes<int8_t, uint8_t>
#define _tile_dpbusd emulated_tiles::add_bytes<uint8_t, int8_t>
#define _tile_dpbuud emulated_tiles::add_bytes<uint8_t, uint8_t>
#define _tile_dpbf16ps emulated_tiles::add_bfloat16
