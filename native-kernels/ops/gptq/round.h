// Body of rounding with error feedback; only for kernel.cc.
#pragma once
#include "../../operator/scratch.h"
#include "../../cpu/simd.h"
#include "gptq.h"

namespace spinquant::SPINQUANT_ISA {

/// Columns whose feedback is kept at hand while the errors before them pass by, and those of them in registers at once.
constexpr size_t kPanel = 48, kColumns = 6;
/// Vectors of rows in registers at once, and columns of errors that pass by at a time.
constexpr size_t kVectors = kLanes == 16 ? 4 : 2, kErrors = 128;
static_assert(kPanel % kColumns == 0 && kRowsPerUnit % (kVectors * kLanes) == 0);

/// to [kColumns, …] += Σ_i errors_i t_c[i], for kVectors vectors of rows.
SPINQUANT_INLINE void add_products(const float* errors, size_t depth, const float* const* t,
                                   float* to) {
  Vec sum[kColumns][kVectors] = {};
  for (size_t i = 0; i < depth; i++, errors += kRowsPerUnit) {
    Vec e[kVectors];
    SPINQUANT_UNROLL
    for (size_t v = 0; v < kVectors; v++) e[v] = load(errors + v * kLanes);
    SPINQUANT_UNROLL
    for (size_t c = 0; c < kColumns; c++) {
      const Vec factor = splat(t[c][i]);
      SPINQUANT_UNROLL
      for (size_t v = 0; v < kVectors; v++) sum[c][v] = fma(e[v], factor, sum[c][v]);
    }
  }
  SPINQUANT_UNROLL
  for (size_t c = 0; c < kColumns; c++) {
    SPINQUANT_UNROLL
    for (size_t v = 0; v < kVectors; v++) {
      float* out = to + c * kRowsPerUnit + v * kLanes;
      store(out, load(out) + sum[c][v]);
    }
  }
}

/// kRowsPerUnit rows of W on their way; rows are lanes. Those past the end of W are zeros that nobody reads.
class RowBlock {
 public:
  static size_t bytes(size_t n) {
    return (2 * n + 2 * kPanel + 2) * kRowsPerUnit * sizeof(float) + kPanel * kRowsPerUnit;
  }

  RowBlock(const GptqRoundArgs& args, size_t row, float* memory)
      : args_(args), row_(row), rows_(args.m - row < kRowsPerUnit ? args.m - row : kRowsPerUnit), group_(args.groups),
        keep_(1 - args.beta), errors_(memory), latent_(errors_ + args.n * kRowsPerUnit),
        weights_(latent_ + args.n * kRowsPerUnit), feedback_(weights_ + kPanel * kRowsPerUnit),
        scale_(feedback_ + kPanel * kRowsPerUnit), zero_(scale_ + kRowsPerUnit),
        codes_(reinterpret_cast<int8_t*>(zero_ + kRowsPerUnit)) {}

  void round_panel(size_t start) {
    const size_t count = args_.n - start < kPanel ? args_.n - start : kPanel;
    load_weights(start, count);
    memset(feedback_, 0, kPanel * kRowsPerUnit * sizeof(float));
    for (size_t k = 0; k < start; k += kErrors) {
      const size_t depth = start - k < kErrors ? start - k : kErrors;
      for (size_t c = 0; c < count; c += kColumns) add_feedback(start, c, k, depth);
    }
    for (size_t c = 0; c < count; c += kColumns) {
      add_feedback(start, c, start, c);
      for (size_t own = c; own < count && own < c + kColumns; own++) round_column(start, own, c);
    }
    put_codes(start, count);
  }

 private:
  void load_weights(size_t start, size_t count) {
    for (size_t r = 0; r < kRowsPerUnit; r++) {
      const float* w = args_.w + (row_ + r) * args_.n;
      for (size_t c = 0; c < count; c++) weights_[c * kRowsPerUnit + r] = r < rows_ ? w[args_.column(start + c)] : 0;
    }
  }

  /// Feedback of kColumns columns, `column` being the first within the panel, from columns k … k+depth-1.
  SPINQUANT_INLINE_MEMBER void add_feedback(size_t start, size_t column, size_t k, size_t depth) {
    add_from(args_.t, errors_, start, column, k, depth);
    if (args_.drift) add_from(args_.drift, latent_, start, column, k, depth);
  }

  SPINQUANT_INLINE_MEMBER void add_from(const float* matrix, const float* sources, size_t start, size_t column, size_t k,
                                        size_t depth) {
    const float* t[kColumns];
    for (size_t c = 0; c < kColumns; c++) {
      // Past the end the last row again, for columns that nobody reads.
      const size_t j = start + column + c < args_.n ? start + column + c : args_.n - 1;
      t[c] = matrix + j * args_.n + k;
    }
    for (size_t r = 0; r < kRowsPerUnit; r += kVectors * kLanes)
      add_products(sources + k * kRowsPerUnit + r, depth, t, feedback_ + column * kRowsPerUnit + r);
  }

  void load_group(size_t group) {
    group_ = group;
    for (size_t r = 0; r < kRowsPerUnit; r++) {
      const size_t at = (row_ + r) * args_.groups + group;
      scale_[r] = r < rows_ ? args_.scale[at] : 1;
      zero_[r] = r < rows_ ? args_.zero[at] : 0;
    }
  }

  /// A column whose feedback only lacks the columns from `known` of the panel on.
  void round_column(size_t start, size_t column, size_t known) {
    const size_t j = start + column;
    if (args_.group_of(j) != group_) load_group(args_.group_of(j));
    const float *t = args_.t + j * args_.n, *drift = args_.drift ? args_.drift + j * args_.n : nullptr;
    const Vec pivot = splat(t[j]), low = splat(args_.low), high = splat(args_.high);
    const Vec keep = splat(keep_), lose = splat(keep_ * keep_ - 1);
    for (size_t r = 0; r < kRowsPerUnit; r += kLanes) {
      Vec feedback = load(feedback_ + column * kRowsPerUnit + r);
      for (size_t k = start + known; k < j; k++)
        feedback = fma(load(errors_ + k * kRowsPerUnit + r), splat(t[k]), feedback);
      for (size_t k = start + known; drift && k < j; k++)
        feedback = fma(load(latent_ + k * kRowsPerUnit + r), splat(drift[k]), feedback);
      const Vec w = load(weights_ + column * kRowsPerUnit + r), s = load(scale_ + r), z = load(zero_ + r);
      const Vec moved = feedback / pivot, wanted = w + moved;
      const Vec code = min(max(round_even(wanted / s) + z, low), high), q = s * (code - z);
      store(errors_ + j * kRowsPerUnit + r, fma(lose, moved, keep * (w - q)));
      if (drift) store(latent_ + j * kRowsPerUnit + r, keep * wanted);
      const ByteVec bytes = to_bytes(to_int(code));
      memcpy(codes_ + column * kRowsPerUnit + r, &bytes, sizeof bytes);
    }
  }

  void put_codes(size_t start, size_t count) const {
    for (size_t r = 0; r < rows_; r++) {
      int8_t* codes = args_.codes + (row_ + r) * args_.n;
      for (size_t c = 0; c < count; c++) codes[args_.column(start + c)] = codes_[c * kRowsPerUnit + r];
    }
  }

  const GptqRoundArgs& args_;
  size_t row_, rows_;
  size_t group_;                // whose scales are loaded
  float keep_;                  // γ
  float *errors_, *latent_;     // a and γ w' [n, kRowsPerUnit]
  float *weights_, *feedback_;  // [kPanel, kRowsPerUnit]
  float *scale_, *zero_;        // [kRowsPerUnit]
  int8_t* codes_;               // [kPanel, kRowsPerUnit]
};

}  // namespace spinquant::SPINQUANT_ISA
