#include "../core/simd_quantize.h"
#include "weight_quantize.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// A candidate's error is compared with the best one after this many weights: often enough to stop early,
/// seldom enough that the sum over lanes costs nothing. It also bounds the float32 rounding of the sum.
constexpr size_t kChunk = 256;

/// e^2.4 from d = e²: d · 2^(0.2·log2 d). With only a fifth of the logarithm in the exponent, float32 suffices:
/// relative error below 1e-6 for normal d (polynomials: 2.6e-7 and 7.5e-8).
SPINQUANT_INLINE Vec power_2_4(Vec d) {
  // d = 2^k · (1 + f) with 1 + f in [√½, √2).
  const IntVec sqrt_half = splat_int(0x3f3504f3);
  IntVec offset = bits_of(d) - sqrt_half;
  Vec k = to_float(offset >> 23);
  Vec f = from_bits((offset & splat_int(0x007fffff)) + sqrt_half) - splat(1.0f);
  // (1/5)·log2(1 + f)
  Vec t = splat(-0.0411057416f);
  t = fma(t, f, splat(0.0646608453f));
  t = fma(t, f, splat(-0.0736442483f));
  t = fma(t, f, splat(0.0958411336f));
  t = fma(t, f, splat(-0.144212204f));
  t = fma(t, f, splat(0.288543591f));
  t = fma(t, f, splat(-2.90412851e-07f));
  t = fma(k, splat(0.2f), t);
  Vec whole = round_even(t);
  Vec g = t - whole;
  // 2^g for |g| <= 1/2
  Vec y = splat(0.0013276472f);
  y = fma(y, g, splat(0.00967554133f));
  y = fma(y, g, splat(0.0555071327f));
  y = fma(y, g, splat(0.240221197f));
  y = fma(y, g, splat(0.693146967f));
  y = fma(y, g, splat(1.00000007f));
  return d * from_bits(bits_of(y) + (to_int(whole) << 23));
}

/// Σ |Q(w) - w|^2.4 with w/s taken as w·(1/s): a weight within rounding of a tie may fall on the other side of it,
/// where its error is the same to 1e-6.
template <bool HasZero>
struct ErrorOf {
  VectorQuantizer<HasZero> quantizer;
  Vec inverse;

  explicit ErrorOf(const Quantizer& q) : quantizer(q), inverse(splat(1.0f / q.scale)) {}

  SPINQUANT_INLINE_MEMBER Vec of(Vec w) const {
    Vec e = quantizer.dequantized(w * inverse) - w;
    return power_2_4(e * e);
  }

  SPINQUANT_INLINE_MEMBER float chunk(const float* w, size_t count) const {
    Vec total = splat(0), second = splat(0);
    size_t i = 0;
    for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
      total += of(load(w + i));
      second += of(load(w + i + kLanes));
    }
    total += second;
    for (; i + kLanes <= count; i += kLanes) total += of(load(w + i));
    // Lanes past the end hold 0, which every quantizer here keeps.
    if (i < count) total += of(load_part(w + i, count - i, 0));
    return sum(total);
  }
};

/// The whole error, or some larger value than `best` as soon as it has passed it.
template <bool HasZero>
double error_up_to(const Quantizer& q, const float* w, size_t count, double best) {
  const ErrorOf<HasZero> error(q);
  double total = 0;
  for (size_t i = 0; i < count && !(total > best); i += kChunk) {
    total += error.chunk(w + i, count - i < kChunk ? count - i : kChunk);
  }
  return total;
}

Quantizer quantizer_for(const WeightQuantizeArgs& args, Range range, float p) {
  float q = args.max_level;
  if (args.symmetric) {
    float largest = -range.low > range.high ? -range.low : range.high;
    if (largest < 1e-5f) largest = 1e-5f;
    return {p * largest / q, 0, -q - 1, q};
  }
  float scale = (range.high * p - range.low * p) / q;
  return {scale, round_even_scalar(-(range.low * p) / scale), 0, q};
}

float best_ratio(const WeightQuantizeArgs& args, Range range, const float* w) {
  double best = __builtin_inf();
  float ratio = 1;
  for (int i = 0; i < kClipCandidates; i++) {
    Quantizer q = quantizer_for(args, range, clip_candidate(i));
    double error = args.symmetric ? error_up_to<false>(q, w, args.group, best)
                                  : error_up_to<true>(q, w, args.group, best);
    if (!(error < best)) continue;
    best = error;
    ratio = clip_candidate(i);
  }
  return ratio;
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

void quantize_group(const WeightQuantizeArgs& args, const float* w, float* y, float* ratio) {
  Range range = weight_range(args, w);
  *ratio = 1;
  // All weights of the group are one value, not 0: there is nothing to quantize.
  if (quantizer_for(args, range, 1).scale == 0) {
    memcpy(y, w, args.group * sizeof(float));
    return;
  }
  if (args.search) *ratio = best_ratio(args, range, w);
  quantize(quantizer_for(args, range, *ratio), args.symmetric, w, y, args.group);
}

}  // namespace

void weight_quantize(const WeightQuantizeArgs& args, size_t first, size_t last) {
  for (size_t u = first; u < last; u++) {
    quantize_group(args, args.w + u * args.group, args.y + u * args.group, args.ratio + u);
  }
}

}  // namespace spinquant::SPINQUANT_ISA
