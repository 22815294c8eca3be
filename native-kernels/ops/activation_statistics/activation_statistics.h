// Measures what a rotation does to a tensor, for pictures: moments, quantization error, channel maxima,
// ranges, a histogram.
#pragma once
#include "../../cpu/variants.h"

namespace spinquant {

/// Sums of a block: Σx, Σx², Σx³, Σx⁴, Σ(y - x)², then the end of its histogram's axis.
constexpr size_t kBlockSums = 6;
constexpr size_t kMostBins = 1024;
/// The end of the axis of a block of zeros.
constexpr float kSmallestLimit = 0x1p-100f;

/// Unit: one block of `block_rows` rows; the last may have fewer. The axis of its histogram is [-limit, limit) with
/// limit the least power of two above every |x|: bin floor(x / limit · bins / 2) + bins / 2, exact in float32.
/// Sums are taken in double precision and rounded once.
struct ActivationStatisticsArgs {
  const float* x;  // [rows, channels]
  const float* y;  // the same, quantized
  float* sums;     // [blocks, kBlockSums]
  float* largest;  // [blocks, channels]: max |x|
  float* counts;   // [blocks, bins]
  float* lows;     // [rows, channels / group]: least x of the channels that share a scale
  float* highs;    // the same: largest x
  size_t rows, channels, block_rows, group;
  size_t bins;  // even

  size_t rows_of(size_t block) const {
    const size_t left = rows - block * block_rows;
    return left < block_rows ? left : block_rows;
  }
};

SPINQUANT_DECLARE_KERNEL(activation_statistics, ActivationStatisticsArgs)

}  // namespace spinquant
