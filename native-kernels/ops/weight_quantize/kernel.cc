#include "weight_quantize.h"
#include "../../operator/scratch.h"
#include "search.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

Quantizer quantizer_for(const WeightQuantizeArgs& args, Range range, float p) {
  const float q = args.max_level;
  if (args.symmetric) {
    float largest = -range.low > range.high ? -range.low : range.high;
    if (largest < 1e-5f) largest = 1e-5f;
    return {p * largest / q, 0, -q - 1, q};
  }
  const float scale = (range.high * p - range.low * p) / q;
  return {scale, round_even_scalar(-(range.low * p) / scale), 0, q};
}

/// The weights with the larger ones first: those are clipped by the narrow candidates, whose sums then pass the best
/// one at once.
void put_large_first(Range range, const float* w, float* sorted, size_t count) {
  const float largest = -range.low > range.high ? -range.low : range.high;
  const float bound = 0.45f * largest;
  size_t front = 0, back = count;
  for (size_t i = 0; i < count; i++) {
    const bool large = w[i] > bound || w[i] < -bound;
    back -= !large;
    sorted[large ? front : back] = w[i];
    front += large;
  }
}

/// The first candidate with the least error. A sum counts in units of its candidate's scale, p times that of p = 1.
struct Best {
  const PowerTables& tables;
  double error = __builtin_inf();
  int candidate = 0;

  double limit(int i) const { return error / tables.shrink[i]; }

  void offer(int i, double sum) {
    if (!(sum * tables.shrink[i] < error)) return;
    error = sum * tables.shrink[i];
    candidate = i;
  }
};

template <bool HasZero>
int best_of_large(const WeightQuantizeArgs& args, Range range, const float* w) {
  Best best{*args.tables};
  for (int i = 0; i < kClipCandidates && best.error > 0; i++) {
    const Quantizer q = quantizer_for(args, range, clip_candidate(i));
    best.offer(i, error_up_to<HasZero>(best.limit(i), q, best.tables, w, args.group));
  }
  return best.candidate;
}

template <bool HasZero>
int best_of_small(const WeightQuantizeArgs& args, Range range, const float* w) {
  constexpr int step = static_cast<int>(kTogether);
  static_assert(kClipCandidates % step == 0, "candidates come in full sets");
  Best best{*args.tables};
  for (int i = 0; i < kClipCandidates && best.error > 0; i += step) {
    Quantizer q[kTogether];
    double sums[kTogether];
    for (int c = 0; c < step; c++) q[c] = quantizer_for(args, range, clip_candidate(i + c));
    errors_together<HasZero>(q, best.tables, w, args.group, sums);
    for (int c = 0; c < step; c++) best.offer(i + c, sums[c]);
  }
  return best.candidate;
}

template <bool HasZero>
float best_ratio(const WeightQuantizeArgs& args, Range range, const float* w, float* sorted) {
  if (args.group <= kChunk) return clip_candidate(best_of_small<HasZero>(args, range, w));
  put_large_first(range, w, sorted, args.group);
  return clip_candidate(best_of_large<HasZero>(args, range, sorted));
}

Range weight_range(const WeightQuantizeArgs& args, const float* w) {
  Range range = range_of(w, args.group);
  if (args.include_zero) {
    if (range.low > 0) range.low = 0;
    if (range.high < 0) range.high = 0;
  }
  if (!args.symmetric && range.low == 0 && range.high == 0) return {-1, 1};
  return range;
}

void quantize_group(const WeightQuantizeArgs& args, size_t unit, float* sorted) {
  const float* w = args.w + unit * args.group;
  float* y = args.y + unit * args.group;
  float* ratio = args.ratio + unit;
  const Range range = weight_range(args, w);
  *ratio = args.given ? args.given[unit] : 1;
  // All weights of the group are one value, not 0: there is nothing to quantize.
  if (quantizer_for(args, range, 1).scale == 0) {
    memcpy(y, w, args.group * sizeof(float));
    return;
  }
  if (args.search && !args.given) {
    *ratio = args.symmetric ? best_ratio<false>(args, range, w, sorted) : best_ratio<true>(args, range, w, sorted);
  }
  quantize(quantizer_for(args, range, *ratio), args.symmetric, range, w, PutFloats{y}, args.group);
}

}  // namespace

void weight_quantize(const WeightQuantizeArgs& args, size_t first, size_t last) {
  Scratch sorted(args.group * sizeof(float));
  for (size_t u = first; u < last; u++) {
    quantize_group(args, u, sorted.floats());
  }
}

}  // namespace spinquant::SPINQUANT_ISA
