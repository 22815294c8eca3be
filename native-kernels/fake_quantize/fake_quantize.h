// Quantizes and dequantizes each group of activations by its own range (dynamic, per token).
#pragma once
#include "../core/variants.h"

namespace spinquant {

/// Unit: one group.
///   symmetric:  s = clip·max|x| / q, q = 2^(bits-1) - 1;      y = s·clamp(rne(x/s), -q-1, q)
///   asymmetric: s = clip·(max - min) / q, q = 2^bits - 1;  z = rne(-clip·min/s);  y = s·(clamp(rne(x/s) + z, 0, q) - z)
/// A symmetric scale of 0 becomes 1; a range of [0, 0] becomes [-1, 1]; any other single value stays as it is.
/// rne rounds halves to even. Every step is one float32 operation, as in the composed graph.
struct FakeQuantizeArgs {
  const float* x;  // [units, group]
  float* y;        // the same; may be x
  size_t group;
  float max_level;  // q
  float clip_ratio;
  bool symmetric;
  bool include_zero;  // the range is widened to hold 0 (asymmetric only)
};

SPINQUANT_DECLARE_KERNEL(fake_quantize, FakeQuantizeArgs)

}  // namespace spinquant
