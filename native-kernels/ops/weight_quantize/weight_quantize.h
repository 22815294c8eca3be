// Quantizes and dequantizes weights per output channel or per group, with the search for the best clip ratio.
#pragma once
#include "../../cpu/variants.h"

namespace spinquant {

/// Candidate clip ratios p_i = 1 - i/100.
constexpr int kClipCandidates = 80;

/// Rounded to float32 from double, as Python and JavaScript would.
inline float clip_candidate(int i) { return static_cast<float>(1.0 - i / 100.0); }

struct PowerTables;

/// Unit: one group. With p the clip ratio (1 without search) and rne rounding halves to even:
///   symmetric:  s = p·max(max|w|, 1e-5) / q, q = 2^(bits-1) - 1;   Q(w) = s·clamp(rne(w/s), -q-1, q)
///   asymmetric: s = (p·max - p·min) / q, q = 2^bits - 1; z = rne(-p·min/s); Q(w) = s·(clamp(rne(w/s) + z, 0, q) - z)
/// The search takes the first p with the least Σ |Q(w) - w|^2.4 (Frantar et al., GPTQ code; Ashkboos et al., QuaRot).
struct WeightQuantizeArgs {
  const float* w;  // [units, group]
  float* y;        // the same
  float* ratio;    // [units]
  const float* given;  // ratios to use, [units]; null: 1, or the search's
  size_t group;
  float max_level;  // q
  bool symmetric;
  bool include_zero;  // the range is widened to hold 0
  bool search;
  const PowerTables* tables;  // not for the reference
};

SPINQUANT_DECLARE_KERNEL(weight_quantize, WeightQuantizeArgs)

}  // namespace spinquant
