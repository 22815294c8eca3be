#include "peak_loss.h"
#include "../../operator/scratch.h"
#include "../../cpu/simd_math.h"
#include "../../cpu/simd_reduce.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Deviation of lanes that do not exist: its exponential is 0.
constexpr float kNowhere = -1e30f;

/// One row's deviations and their exponentials, padded to whole vectors.
struct Row {
  float *deviation, *exponential;
  size_t padded;
  float mean, total, square;  // Σ e and Σ (e∘a)²

  Row(float* memory, size_t n)
      : deviation(memory), exponential(memory + rounded_up(n)), padded(rounded_up(n)), mean(0), total(0), square(0) {}

  static size_t rounded_up(size_t n) { return (n + kLanes - 1) / kLanes * kLanes; }
};

SPINQUANT_INLINE float mean_of(const float* x, size_t n) {
  Vec a = splat(0), b = splat(0);
  size_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    a += load(x + i);
    b += load(x + i + kLanes);
  }
  for (; i < n; i += kLanes) a += n - i < kLanes ? load_part(x + i, n - i, 0) : load(x + i);
  return sum(a + b) / static_cast<float>(n);
}

SPINQUANT_INLINE void measure(const float* y, size_t n, float temperature, Row& row) {
  row.mean = mean_of(y, n);
  const Vec mean = splat(row.mean);
  map(y, row.deviation, n, [&](Vec v) { return abs(v - mean); });
  for (size_t i = n; i < row.padded; i++) row.deviation[i] = kNowhere;
  const Vec inverse = splat(1.0f / temperature), top = splat(maximum(row.deviation, n));
  Vec total = splat(0), square = splat(0);
  for (size_t i = 0; i < row.padded; i += kLanes) {
    const Vec a = load(row.deviation + i);
    const Vec e = exp((a - top) * inverse);
    store(row.exponential + i, e);
    const Vec w = e * a;
    total += e;
    square = fma(w, w, square);
  }
  row.total = sum(total);
  row.square = sum(square);
}

SPINQUANT_INLINE float loss_of(const Row& row, float epsilon) {
  return __builtin_sqrtf(row.square / (row.total * row.total) + epsilon);
}

/// d before its mean is taken off, into the row's exponentials.
SPINQUANT_INLINE void slopes(const float* y, size_t n, float dloss, float temperature, float loss, const Row& row) {
  const Vec inverse = splat(1.0f / row.total), scale = splat(dloss / loss), t = splat(1.0f / temperature);
  const Vec mean = splat(row.mean), all = splat(row.square / (row.total * row.total)), zero = splat(0);
  for (size_t i = 0; i < n; i += kLanes) {
    const Vec a = load(row.deviation + i), s = load(row.exponential + i) * inverse;
    const Vec w = s * a;
    const Vec d = scale * (w * s + (w * w - s * all) * t);
    const Vec x = n - i < kLanes ? load_part(y + i, n - i, row.mean) : load(y + i);
    store(row.exponential + i, choose(x > mean, d, choose(x < mean, -d, zero)));
  }
}

}  // namespace

void peak_loss(const PeakLossArgs& args, size_t first, size_t last) {
  const Scratch scratch(2 * Row::rounded_up(args.n) * sizeof(float));
  for (size_t unit = first; unit < last; unit++) {
    Row row(scratch.floats(), args.n);
    measure(args.y + unit * args.n, args.n, args.temperature, row);
    args.loss[unit] = loss_of(row, args.epsilon);
  }
}

void peak_loss_grad(const PeakLossGradArgs& args, size_t first, size_t last) {
  const Scratch scratch(2 * Row::rounded_up(args.n) * sizeof(float));
  for (size_t unit = first; unit < last; unit++) {
    const float* y = args.y + unit * args.n;
    Row row(scratch.floats(), args.n);
    measure(y, args.n, args.temperature, row);
    slopes(y, args.n, args.dloss[unit], args.temperature, loss_of(row, args.epsilon), row);
    const Vec mean = splat(mean_of(row.exponential, args.n));
    map(row.exponential, args.dy + unit * args.n, args.n, [&](Vec d) { return d - mean; });
  }
}

}  // namespace spinquant::SPINQUANT_ISA
