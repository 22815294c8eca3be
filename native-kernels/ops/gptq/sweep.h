// Body of coordinate descent over rounded weights; only for kernel.cc.
#pragma once
#include "round.h"

namespace spinquant::SPINQUANT_ISA {

/// kRowsPerUnit rows of W with codes; rows are lanes. Those past the end of W are zeros that nobody reads.
class SweptBlock {
 public:
  static size_t bytes(size_t n) {
    return (n + 2 * kPanel + 2) * kRowsPerUnit * sizeof(float) + kPanel * kRowsPerUnit;
  }

  SweptBlock(const GptqSweepArgs& args, size_t row, float* memory)
      : args_(args), row_(row), rows_(args.m - row < kRowsPerUnit ? args.m - row : kRowsPerUnit), group_(args.groups),
        errors_(memory), weights_(errors_ + args.n * kRowsPerUnit), feedback_(weights_ + kPanel * kRowsPerUnit),
        scale_(feedback_ + kPanel * kRowsPerUnit), zero_(scale_ + kRowsPerUnit),
        codes_(reinterpret_cast<int8_t*>(zero_ + kRowsPerUnit)) {
    for (size_t j = 0; j < args_.n; j++) load_errors(j);
  }

  /// False where no code changed.
  bool sweep() {
    changed_ = false;
    for (size_t panel = 0; panel < args_.n; panel += kPanel) sweep_panel(panel);
    return changed_;
  }

 private:
  void load_errors(size_t j) {
    load_group(args_.group_of(j));
    float* errors = errors_ + j * kRowsPerUnit;
    for (size_t r = 0; r < kRowsPerUnit; r++) {
      const size_t at = (row_ + r) * args_.n + j;
      weights_[r] = r < rows_ ? args_.w[at] : 0;
      errors[r] = r < rows_ ? static_cast<float>(args_.given[at]) : 0;
    }
    // As where codes are chosen, so that the error of a code that stays keeps its bits.
    for (size_t r = 0; r < kRowsPerUnit; r += kLanes) {
      const Vec q = load(scale_ + r) * (load(errors + r) - load(zero_ + r));
      store(errors + r, load(weights_ + r) - q);
    }
  }

  void sweep_panel(size_t start) {
    const size_t end = args_.n - start < kPanel ? args_.n : start + kPanel, count = end - start;
    for (size_t r = 0; r < kRowsPerUnit; r++) {
      const float* w = args_.w + (row_ + r) * args_.n + start;
      for (size_t c = 0; c < count; c++) weights_[c * kRowsPerUnit + r] = r < rows_ ? w[c] : 0;
    }
    memset(feedback_, 0, kPanel * kRowsPerUnit * sizeof(float));
    add_range(start, count, 0, start);
    add_range(start, count, end, args_.n);
    for (size_t c = 0; c < count; c += kColumns) {
      const size_t next = c + kColumns < count ? c + kColumns : count;
      add_feedback(start, c, start, c);
      add_feedback(start, c, start + next, count - next);
      for (size_t own = c; own < next; own++) choose_column(start, own, c, next);
    }
    put_codes(start, count);
  }

  /// Feedback of the panel's columns from columns `from` … `to`-1, all outside of it.
  void add_range(size_t start, size_t count, size_t from, size_t to) {
    for (size_t k = from; k < to; k += kErrors) {
      const size_t depth = to - k < kErrors ? to - k : kErrors;
      for (size_t c = 0; c < count; c += kColumns) add_feedback(start, c, k, depth);
    }
  }

  SPINQUANT_INLINE_MEMBER void add_feedback(size_t start, size_t column, size_t k, size_t depth) {
    const float* h[kColumns];
    for (size_t c = 0; c < kColumns; c++) {
      // Past the end the last row again, for columns that nobody reads.
      const size_t j = start + column + c < args_.n ? start + column + c : args_.n - 1;
      h[c] = args_.h + j * args_.n + k;
    }
    for (size_t r = 0; r < kRowsPerUnit; r += kVectors * kLanes)
      add_products(errors_ + k * kRowsPerUnit + r, depth, h, feedback_ + column * kRowsPerUnit + r);
  }

  void load_group(size_t group) {
    if (group == group_) return;
    group_ = group;
    for (size_t r = 0; r < kRowsPerUnit; r++) {
      const size_t at = (row_ + r) * args_.groups + group;
      scale_[r] = r < rows_ ? args_.scale[at] : 1;
      zero_[r] = r < rows_ ? args_.zero[at] : 0;
    }
  }

  /// A column whose feedback lacks the columns from `from` to `to`-1 of the panel.
  void choose_column(size_t start, size_t column, size_t from, size_t to) {
    const size_t j = start + column;
    load_group(args_.group_of(j));
    const float* h = args_.h + j * args_.n;
    const Vec pivot = splat(static_cast<float>(h[j] + args_.shift)), low = splat(args_.low), high = splat(args_.high);
    for (size_t r = 0; r < kRowsPerUnit; r += kLanes) {
      Vec feedback = load(feedback_ + column * kRowsPerUnit + r);
      for (size_t k = start + from; k < start + to; k++)
        if (k != j) feedback = fma(load(errors_ + k * kRowsPerUnit + r), splat(h[k]), feedback);
      const Vec w = load(weights_ + column * kRowsPerUnit + r), s = load(scale_ + r), z = load(zero_ + r);
      const Vec wanted = w + feedback / pivot;
      const Vec code = min(max(round_even(wanted / s) + z, low), high), error = w - s * (code - z);
      float* errors = errors_ + j * kRowsPerUnit + r;
      if (memcmp(&error, errors, sizeof error) != 0) changed_ = true;
      store(errors, error);
      const ByteVec bytes = to_bytes(to_int(code));
      memcpy(codes_ + column * kRowsPerUnit + r, &bytes, sizeof bytes);
    }
  }

  void put_codes(size_t start, size_t count) const {
    for (size_t r = 0; r < rows_; r++) {
      int8_t* codes = args_.codes + (row_ + r) * args_.n + start;
      for (size_t c = 0; c < count; c++) codes[c] = codes_[c * kRowsPerUnit + r];
    }
  }

  const GptqSweepArgs& args_;
  size_t row_, rows_;
  size_t group_;                // whose scales are loaded
  bool changed_ = false;
  float* errors_;               // [n, kRowsPerUnit]
  float *weights_, *feedback_;  // [kPanel, kRowsPerUnit]
  float *scale_, *zero_;        // [kRowsPerUnit]
  int8_t* codes_;               // [kPanel, kRowsPerUnit]
};

}  // namespace spinquant::SPINQUANT_ISA
