#include "../../cpu/simd_double.h"
#include "../../cpu/simd_quantize.h"
#include "activation_statistics.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

struct Sums {
  DoubleVec first{}, second{}, third{}, fourth{}, noise{};

  SPINQUANT_INLINE_MEMBER void add(const float* x, const float* y) {
    const HalfVec value = load_half(x);
    const DoubleVec v = __builtin_convertvector(value, DoubleVec), square = v * v;
    const DoubleVec error = __builtin_convertvector(load_half(y) - value, DoubleVec);
    first += v;
    second += square;
    third += square * v;
    fourth += square * square;
    noise += error * error;
  }
};

struct Tally {
  Vec scale;
  float half;
  size_t bins;
  /// Every lane counts for itself: neighbouring values often fall into one bin, and an increment would wait for the last.
  uint32_t counts[kMostBins * kLanes];

  Tally(float limit, size_t bin_count)
      : scale(splat(static_cast<float>(bin_count) / 2 / limit)), half(static_cast<float>(bin_count) / 2), bins(bin_count) {
    memset(counts, 0, bins * kLanes * sizeof(uint32_t));
  }

  /// Counts the first `count` lanes. What is not a number falls into the first bin.
  SPINQUANT_INLINE_MEMBER void add(Vec x, size_t count) {
    const Vec scaled = min(max(x * scale, splat(-half)), splat(half - 1));
    IntVec bin = to_int(scaled);
    bin += scaled < to_float(bin);  // to_int rounds towards 0; a true comparison is -1
    bin += splat_int(static_cast<int32_t>(half));
    const IntVec counter = bin * static_cast<int32_t>(kLanes) + lane_index();
    uint32_t lanes[kLanes];
    memcpy(lanes, &counter, sizeof counter);
    for (size_t i = 0; i < count; i++) counts[lanes[i]]++;
  }

  void write(float* out) const {
    for (size_t bin = 0; bin < bins; bin++) {
      uint32_t sum = 0;
      for (size_t lane = 0; lane < kLanes; lane++) sum += counts[bin * kLanes + lane];
      out[bin] = static_cast<float>(sum);
    }
  }
};

/// max |x| of each channel over the rows.
void channel_maxima(const float* x, size_t rows, size_t channels, float* largest) {
  memset(largest, 0, channels * sizeof(float));
  for (size_t row = 0; row < rows; row++, x += channels) {
    size_t i = 0;
    // What is not a number does not count: max() takes its second operand then.
    for (; i + kLanes <= channels; i += kLanes) store(largest + i, max(abs(load(x + i)), load(largest + i)));
    if (i < channels) {
      const size_t left = channels - i;
      store_part(largest + i, left, max(abs(load_part(x + i, left, 0)), load_part(largest + i, left, 0)));
    }
  }
}

void group_ranges(const float* x, size_t groups, size_t size, float* lows, float* highs) {
  for (size_t g = 0; g < groups; g++) {
    const Range range = range_of(x + g * size, size);
    lows[g] = range.low;
    highs[g] = range.high;
  }
}

float limit_of(const float* largest, size_t channels) {
  float most = 0;
  for (size_t i = 0; i < channels; i++) most = largest[i] > most ? largest[i] : most;
  if (most < kSmallestLimit) return kSmallestLimit;
  if (!(most < 0x1p127f)) return __builtin_inff();
  int exponent = 0;
  __builtin_frexpf(most, &exponent);  // most = fraction · 2^exponent, fraction in [0.5, 1)
  return __builtin_ldexpf(1, exponent);
}

/// Tallies a block and sums it, even and odd halves of a vector apart so that their additions overlap.
Sums add_block(const float* x, const float* y, size_t count, Tally* tally) {
  Sums even, odd;
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    even.add(x + i, y + i);
    odd.add(x + i + kHalf, y + i + kHalf);
    tally->add(load(x + i), kLanes);
  }
  if (i < count) {
    float last_x[kLanes] = {}, last_y[kLanes] = {};
    memcpy(last_x, x + i, (count - i) * sizeof(float));
    memcpy(last_y, y + i, (count - i) * sizeof(float));
    even.add(last_x, last_y);
    odd.add(last_x + kHalf, last_y + kHalf);
    tally->add(load(last_x), count - i);
  }
  return {even.first + odd.first, even.second + odd.second, even.third + odd.third, even.fourth + odd.fourth,
          even.noise + odd.noise};
}

}  // namespace

void activation_statistics(const ActivationStatisticsArgs& args, size_t first, size_t last) {
  for (size_t block = first; block < last; block++) {
    const size_t start = block * args.block_rows * args.channels, rows = args.rows_of(block);
    const size_t count = rows * args.channels, groups = start / args.group;
    float* largest = args.largest + block * args.channels;
    channel_maxima(args.x + start, rows, args.channels, largest);
    group_ranges(args.x + start, count / args.group, args.group, args.lows + groups, args.highs + groups);
    const float limit = limit_of(largest, args.channels);
    Tally tally(limit, args.bins);
    const Sums sums = add_block(args.x + start, args.y + start, count, &tally);
    float* out = args.sums + block * kBlockSums;
    out[0] = static_cast<float>(sum_double(sums.first));
    out[1] = static_cast<float>(sum_double(sums.second));
    out[2] = static_cast<float>(sum_double(sums.third));
    out[3] = static_cast<float>(sum_double(sums.fourth));
    out[4] = static_cast<float>(sum_double(sums.noise));
    out[5] = limit;
    tally.write(args.counts + block * args.bins);
  }
}

}  // namespace spinquant::SPINQUANT_ISA
