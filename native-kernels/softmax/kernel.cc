#include "../core/simd_math.h"
#include "../core/simd_reduce.h"
#include "softmax.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// y = e^(scale·s - shift); returns the sum.
float exponentials(const float* s, float* y, size_t count, float scale, float shift) {
  const Vec scales = splat(scale), shifts = splat(-shift);
  Vec total = splat(0), second = splat(0);
  size_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    Vec e = exp(fma(load(s + i), scales, shifts));
    Vec f = exp(fma(load(s + i + kLanes), scales, shifts));
    store(y + i, e);
    store(y + i + kLanes, f);
    total += e;
    second += f;
  }
  total += second;
  for (; i < count; i += kLanes) {
    size_t part = count - i < kLanes ? count - i : kLanes;
    bool whole = part == kLanes;
    Vec x = whole ? load(s + i) : load_part(s + i, part, 0);
    Vec e = exp(fma(x, scales, shifts));
    if (whole) {
      store(y + i, e);
    } else {
      e = choose(lane_index() < splat_int(static_cast<int32_t>(part)), e, splat(0));
      store_part(y + i, part, e);
    }
    total += e;
  }
  return sum(total);
}

void softmax_row(const CausalSoftmaxArgs& args, size_t row) {
  const float* s = args.scores + row * args.mask.keys;
  float* y = args.y + row * args.mask.keys;
  VisibleKeys keys = args.mask.visible(row);
  size_t count = keys.last - keys.first;
  // The largest scaled score: of the largest score, or of the smallest when the scale is negative.
  const float* visible = s + keys.first;
  float shift = args.scale >= 0 ? args.scale * maximum(visible, count) : args.scale * minimum(visible, count);
  float total = exponentials(visible, y + keys.first, count, args.scale, shift);
  const Vec inverse = splat(1.0f / total);
  map(y + keys.first, y + keys.first, count, [&](Vec e) { return e * inverse; });
  fill_zero(y, keys.first);
  fill_zero(y + keys.last, args.mask.keys - keys.last);
}

void softmax_grad_row(const CausalSoftmaxGradArgs& args, size_t row) {
  const float* p = args.p + row * args.mask.keys;
  const float* dp = args.dp + row * args.mask.keys;
  float* ds = args.ds + row * args.mask.keys;
  VisibleKeys keys = args.mask.visible(row);
  size_t count = keys.last - keys.first;
  const Vec total = splat(dot(p + keys.first, dp + keys.first, count));
  const Vec scale = splat(args.scale);
  map2(p + keys.first, dp + keys.first, ds + keys.first, count, [&](Vec a, Vec b) { return scale * a * (b - total); });
  fill_zero(ds, keys.first);
  fill_zero(ds + keys.last, args.mask.keys - keys.last);
}

}  // namespace

void causal_softmax(const CausalSoftmaxArgs& args, size_t first, size_t last) {
  for (size_t row = first; row < last; row++) softmax_row(args, row);
}

void causal_softmax_grad(const CausalSoftmaxGradArgs& args, size_t first, size_t last) {
  for (size_t row = first; row < last; row++) softmax_grad_row(args, row);
}

}  // namespace spinquant::SPINQUANT_ISA
