// Products of packed panels in AMX tiles. Included by tile_products.h only.
#pragma once
#include "tile_layout.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// GCC's tile intrinsics do not say which memory they read and write: nothing may move across them.
inline void finish_writes() { asm volatile("" ::: "memory"); }

/// Tiles 0 … 3 sum a 32 × 32 block of C; 4 and 5 hold a's halves, 6 and 7 b's.
class TileScope {
 public:
  TileScope() {
    struct alignas(64) Shape {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {};
      uint8_t rows[16] = {};
    } shape;
    for (int i = 0; i < 8; i++) {
      shape.row_bytes[i] = 64;
      shape.rows[i] = 16;
    }
    asm volatile("" : : "r"(&shape) : "memory");
    _tile_loadconfig(&shape);
  }
  ~TileScope() { _tile_release(); }
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;
};

inline void load_a(const uint16_t* tiles) {
  _tile_loadd(4, tiles, 64);
  _tile_loadd(5, tiles + kTile, 64);
}

inline void load_b(const uint16_t* tiles) {
  _tile_loadd(6, tiles, 64);
  _tile_loadd(7, tiles + kTile, 64);
}

inline void multiply_tiles() {
  _tile_dpbf16ps(0, 4, 6);
  _tile_dpbf16ps(1, 4, 7);
  _tile_dpbf16ps(2, 5, 6);
  _tile_dpbf16ps(3, 5, 7);
}

/// All steps of the depth.
template <size_t PiecesA, size_t PiecesB>
inline void multiply_steps(const uint16_t* a, size_t a_plane, const uint16_t* b, size_t b_plane, size_t steps) {
  for (size_t step = 0; step < steps; step++, a += 2 * kTile, b += 2 * kTile) {
    if (PiecesB > 1) load_a(a);
    for (size_t piece = PiecesB; piece-- > 1;) {
      load_b(b + piece * b_plane);
      multiply_tiles();
    }
    load_b(b);
    // The largest piece of A is loaded already where B has several.
    if (PiecesB > 1) multiply_tiles();
    for (size_t piece = PiecesA; piece-- > (PiecesB > 1 ? 1 : 0);) {
      load_a(a + piece * a_plane);
      multiply_tiles();
    }
  }
}

inline void load_sums(const float* c, size_t stride) {
  _tile_loadd(0, c, stride * sizeof(float));
  _tile_loadd(1, c + 16, stride * sizeof(float));
  _tile_loadd(2, c + 16 * stride, stride * sizeof(float));
  _tile_loadd(3, c + 16 * stride + 16, stride * sizeof(float));
}

inline void zero_sums() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

inline void store_sums(float* c, size_t stride) {
  _tile_stored(0, c, stride * sizeof(float));
  _tile_stored(1, c + 16, stride * sizeof(float));
  _tile_stored(2, c + 16 * stride, stride * sizeof(float));
  _tile_stored(3, c + 16 * stride + 16, stride * sizeof(float));
}

/// 32 × 32 of C = sums + A·Bᵀ, C and `sums` with the same stride; null means zeros. The products are those that
/// tile_layout.h lists for so many pieces.
template <size_t PiecesA, size_t PiecesB>
inline void multiply_block(const uint16_t* a, size_t a_plane, const uint16_t* b, size_t b_plane, size_t steps,
                           const float* sums, float* c, size_t stride) {
  finish_writes();
  if (sums) {
    load_sums(sums, stride);
  } else {
    zero_sums();
  }
  multiply_steps<PiecesA, PiecesB>(a, a_plane, b, b_plane, steps);
  store_sums(c, stride);
  finish_writes();
}

}  // namespace
}  // namespace spinquant::SPINQUANT_ISA
