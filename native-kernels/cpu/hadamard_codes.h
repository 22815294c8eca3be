// The matrix M of order K, prepared once per call for the kernels.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace spinquant {

/// Rows of M are handled in sets of four, columns in groups of four.
constexpr size_t kMixRows = 4;
constexpr size_t kMixGroup = 4;
/// Signed sums of four numbers. A code is 16 times the number of its sum, so that code · (bytes of 1 or 2 vectors / 16), which
/// needs no more than an addressing mode, is an offset into a table of vectors.
constexpr size_t kMixSums = 16;
constexpr size_t kMixCodeUnit = 16;

/// The four Russians' method: M with entries ±1 as sixteen-way choices. Row i of M × z is a sum over groups of four
/// columns of one of the 16 signed sums ±z0 ±z1 ±z2 ±z3, computed once per group: K/4 additions per entry, not K.
struct MixMatrix {
  /// [sets of rows][groups of columns][kMixRows]; empty when some entry is not ±1. Past the order, entries count as +1.
  std::vector<uint8_t> codes;
  /// [order, order], already transposed if asked; empty when there are codes.
  std::vector<float> entries;
};

MixMatrix prepare_mix(const float* m, size_t order, bool transpose);

}  // namespace spinquant
