#include "../../cpu/simd_math.h"
#include "../../cpu/simd_tile.h"
#include "../../operator/scratch.h"
#include "head_loss.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Vectors of tokens in a panel. Tokens are the lanes, so that maximum and sum need no sums across lanes.
constexpr size_t kVecs = 3;
constexpr size_t kPanel = kVecs * kLanes;
static_assert(kHeadLossTokens % kPanel == 0);

/// The depth that is multiplied at once: a panel of it stays in the second-level cache.
constexpr size_t kDepth = 768;
/// Rows of the output layer at a time, and their bytes in float32: they stay there beside it.
constexpr size_t kMostRows = 128, kRowBytes = 384 * 1024;

size_t padded_tokens(const HeadLossArgs& args) {
  return (args.tokens + kHeadLossTokens - 1) / kHeadLossTokens * kHeadLossTokens;
}

size_t rows_at_once(size_t depth) {
  const size_t fit = kRowBytes / (sizeof(float) * (depth > 0 ? depth : 1)) / kTileRows * kTileRows;
  return fit < kTileRows ? kTileRows : fit > kMostRows ? kMostRows : fit;
}

/// A bfloat16 number is the upper half of the float32 number that it stands for. Rows that pad a tile are 0.
void widen_rows(const uint16_t* w, size_t rows, size_t depth, float* wide) {
  const size_t count = rows * depth, padded = (rows + kTileRows - 1) / kTileRows * kTileRows * depth;
  uint32_t* bits = reinterpret_cast<uint32_t*>(wide);
  for (size_t i = 0; i < count; i++) bits[i] = static_cast<uint32_t>(w[i]) << 16;
  for (size_t i = count; i < padded; i++) bits[i] = 0;
}

/// logits[row][tokens of the panel].
void multiply(const float* wide, size_t rows, size_t depth, const float* columns, float* logits) {
  for (size_t start = 0; start < depth || start == 0; start += kDepth) {
    const size_t part = depth - start < kDepth ? depth - start : kDepth;
    const float* panel = columns + start * kPanel;
    for (size_t row = 0; row < rows; row += kTileRows) {
      const float* own = wide + row * depth + start;
      float* to = logits + row * kPanel;
      start == 0 ? tile<kVecs, false>(own, depth, 1, panel, kPanel, part, to, kPanel)
                 : tile<kVecs, true>(own, depth, 1, panel, kPanel, part, to, kPanel);
    }
  }
}

/// Takes rows of logits into the highest ones so far and the sums of exponentials.
void take_logits(const float* logits, size_t rows, float* highest, float* totals) {
  for (size_t v = 0; v < kVecs; v++) {
    const float* own = logits + v * kLanes;
    const Vec before = load(highest + v * kLanes);
    Vec top = before;
    for (size_t row = 0; row < rows; row++) top = max(top, load(own + row * kPanel));
    Vec even = splat(0), odd = splat(0);
    size_t row = 0;
    for (; row + 2 <= rows; row += 2) {
      even += exp(load(own + row * kPanel) - top);
      odd += exp(load(own + (row + 1) * kPanel) - top);
    }
    if (row < rows) even += exp(load(own + row * kPanel) - top);
    const Vec total = load(totals + v * kLanes);
    // e^0 comes out a little above 1.
    store(totals + v * kLanes, (even + odd) + choose(top == before, total, total * exp(before - top)));
    store(highest + v * kLanes, top);
  }
}

/// Below every logit, and finite when subtracted from itself.
constexpr float kLowest = -3e38f;

}  // namespace

void head_loss_columns(const HeadLossArgs& args, size_t first, size_t last) {
  for (size_t start = first * kHeadLossTokens; start < last * kHeadLossTokens; start += kPanel) {
    float* panel = args.columns + start * args.depth;
    const size_t left = args.tokens > start ? args.tokens - start : 0, count = left < kPanel ? left : kPanel;
    for (size_t k = 0; k < args.depth; k++) {
      for (size_t t = 0; t < count; t++) panel[k * kPanel + t] = args.x[(start + t) * args.depth + k];
      for (size_t t = count; t < kPanel; t++) panel[k * kPanel + t] = 0;
    }
  }
}

void head_loss(const HeadLossArgs& args, size_t first, size_t last) {
  const size_t most = rows_at_once(args.depth), tokens = padded_tokens(args);
  const Scratch scratch((most * args.depth + most * kPanel) * sizeof(float));
  float *wide = scratch.floats(), *logits = wide + most * args.depth;
  for (size_t slice = first; slice < last; slice++) {
    float *highest = args.partial + 2 * slice * tokens, *totals = highest + tokens;
    for (size_t t = 0; t < tokens; t++) highest[t] = kLowest, totals[t] = 0;
    for (size_t row = args.first_of(slice), end = args.first_of(slice + 1); row < end; row += most) {
      const size_t rows = end - row < most ? end - row : most;
      widen_rows(args.w + row * args.depth, rows, args.depth, wide);
      for (size_t start = 0; start < args.tokens; start += kPanel) {
        multiply(wide, rows, args.depth, args.columns + start * args.depth, logits);
        take_logits(logits, rows, highest + start, totals + start);
        for (size_t t = 0; t < kPanel && start + t < args.tokens; t++) {
          const int64_t label = args.labels[start + t] - static_cast<int64_t>(row);
          if (label >= 0 && label < static_cast<int64_t>(rows)) {
            args.picked[start + t] = logits[static_cast<size_t>(label) * kPanel + t];
          }
        }
      }
    }
  }
}

void head_loss_merge(const HeadLossArgs& args, size_t first, size_t last) {
  const size_t tokens = padded_tokens(args);
  for (size_t token = first; token < last; token++) {
    if (args.labels[token] < 0) {
      args.nll[token] = 0;
      continue;
    }
    const float* highest = args.partial + token;
    float top = kLowest;
    for (size_t s = 0; s < args.slices; s++) {
      const float own = highest[2 * s * tokens];
      // Not a number is above all.
      if (!(own <= top)) top = own;
    }
    double total = 0;
    for (size_t s = 0; s < args.slices; s++) {
      const double own = highest[2 * s * tokens];
      total += highest[(2 * s + 1) * tokens] * (own == top ? 1 : __builtin_exp(own - top));
    }
    args.nll[token] = static_cast<float>(__builtin_log(total) + (static_cast<double>(top) - args.picked[token]));
  }
}

}  // namespace spinquant::SPINQUANT_ISA
