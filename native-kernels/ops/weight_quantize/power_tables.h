// Constants of the clip search.
#pragma once
#include <array>
#include "weight_quantize.h"

namespace spinquant {

/// d^1.2 for 2^-39 <= d < 2^25 from two table entries and a short polynomial. Writing the biased exponent of d as
/// 2j + b, d = 4^(j - 63) · m with m in [½, 2), b and the first four bits of the fraction choosing one of 32 parts:
///   d^1.2 = exponent[j mod 32] · fraction[part] · (1 + t)^1.2,   t = m · inverse[part] - 1,  |t| <= 1/32.
struct PowerTables {
  alignas(64) float exponent[32];
  alignas(64) float inverse[32];
  alignas(64) float fraction[32];
  /// p^2.4 of each candidate: errors are summed in units of the candidate's own scale, which is p times that of 1.
  double shrink[kClipCandidates];
};

const PowerTables& power_tables();

}  // namespace spinquant
