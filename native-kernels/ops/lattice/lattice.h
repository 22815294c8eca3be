// Rounding of a layer's weights to the lattice codebooks of QuIP# (Tseng et al. 2024), eight columns at a time, with the
// errors of later blocks fed back (LDLQ), then sweeps of coordinate descent.
//
// E8P is the union of signed patterns moved by ¼ up and by ¼ down: half-integer vectors of eight with an even sum whose
// magnitudes have norm² up to 10, or are one of 29 patterns of five 3/2 and three ½. The book of one bit is E8 up to norm²
// 2, and ±2 in one coordinate, but for -2 in the last.
#pragma once
#include <cstdint>
#include "../../cpu/variants.h"

namespace spinquant {

/// Columns that share a code.
constexpr size_t kBlock = 8;

/// Rows whose weights are rounded together: a whole number of vectors of each instruction set.
constexpr size_t kLatticeRows = 32;

constexpr size_t kTriples = 29;

/// The coordinates of ½ in the patterns of norm² 12, and the others. Of all 56 triples in lexicographic order these are
/// every other one and the last.
struct TripleTable {
  uint8_t halves[kTriples][3] = {};
  uint8_t others[kTriples][5] = {};
};

constexpr TripleTable make_triples() {
  TripleTable table;
  size_t place = 0, count = 0;
  for (uint8_t a = 0; a < kBlock; a++)
    for (uint8_t b = a + 1; b < kBlock; b++)
      for (uint8_t c = b + 1; c < kBlock; c++, place++) {
        if (place % 2 != 0 && place != 55) continue;
        table.halves[count][0] = a;
        table.halves[count][1] = b;
        table.halves[count][2] = c;
        size_t other = 0;
        for (uint8_t i = 0; i < kBlock; i++)
          if (i != a && i != b && i != c) table.others[count][other++] = i;
        count++;
      }
  return table;
}

constexpr TripleTable kTripleTable = make_triples();

/// Unit: kLatticeRows rows, each on its own. With E = W - Ŵ in float32 and Q the nearest point of the codebook:
/// Ŵ_k = Q(W_k + Σ_{j>k} E_j L_jk) for blocks k from the last to the first, then in each sweep, likewise,
/// Ŵ_k = Q(W_k + Σ_{j≠k} E_j G_jk). Sums are in double precision, column after column: products of floats are exact in
/// it, so that every instruction set gives the same points.
struct LatticeRoundArgs {
  const float* w;         // [m, n], n whole blocks
  const float* feedback;  // L [n/8, n, 8]
  const float* gain;      // G = H_{:,k} H_kk⁻¹ [n/8, n, 8]
  int8_t* first;          // quarters of the point of E8P [m, n]
  int8_t* second;         // quarters of the residual's point [m, n], of the codebook's scale; 0 at 2 bits
  size_t m, n, sweeps;
  int bits;               // 2, 3: and the book of one bit, 4: E8P twice

  /// The residual is enlarged so much before it is rounded.
  float residual_scale() const { return bits == 4 ? 3.45f : 2.04f; }
};

SPINQUANT_DECLARE_KERNEL(lattice_round, LatticeRoundArgs)

}  // namespace spinquant
