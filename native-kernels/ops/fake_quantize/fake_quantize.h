// Quantizes and dequantizes each group of activations by its own range (dynamic, per token).
#pragma once
#include "../../cpu/variants.h"

namespace spinquant {

/// Unit: one group.
///   symmetric:  s = clip·max|x| / q, q = 2^(bits-1) - 1;      y = s·clamp(rne(x/s), -q-1, q)
///   asymmetric: s = (b - a) / q, q = 2^bits - 1;           z = rne(-a/s);     y = s·(clamp(rne(x/s) + z, 0, q) - z)
///   with the ends a = lower·min and b = clip·max; where both are above 0, a = clip·min, and below 0, b = lower·max
/// A symmetric scale of 0 becomes 1; a range of [0, 0] becomes [-1, 1]; any other single value stays as it is.
/// rne rounds halves to even. Every step is one float32 operation, as in the composed graph.
struct FakeQuantizeArgs {
  const float* x;  // [units, group]
  float* y;        // the same; may be x
  float* scales;   // s [units], or null; with a symmetric quantizer or one that includes zero
  size_t group;
  float max_level;  // q
  float clip_ratio, lower_ratio;
  bool symmetric;
  bool include_zero;  // the range is widened to hold 0 (asymmetric only)
};

/// As FakeQuantize of rows, of which each value is a whole multiple of the row's scale: these multiples, -128 … 127, with
/// no more than 8 bits (7 where asymmetric), and the scale. Where the scale is below the smallest float, all are 0.
/// Unit: one row. `quantizer.y` is not used.
struct QuantizeRowsArgs {
  FakeQuantizeArgs quantizer;
  int8_t* codes;  // [units, group]
};

/// y = scale · code. Unit: one row.
struct RowMultiplesArgs {
  const int8_t* codes;  // [units, width]
  const float* scales;  // [units]
  float* y;             // [units, width]
  size_t width;
};

/// The gradient when the scale is not a constant: straight through the rounding, y_i = x_i + s(x)·e_i with e held.
/// Unit: one group. With D = Σ dy·(y - x) = s·Σ dy·e, and s proportional to the range, clip and q cancel:
///   symmetric:  dx = dy, and at the first j of the largest |x|  dx_j += sign(x_j)·D / |x_j|
///   asymmetric: dx = dy, and dx += D / (max - min) at the first maximum, -= the same at the first minimum
/// An end of the range that include_zero puts at 0 belongs to no element and has no gradient; a range of a single
/// value has none at all. Saturated values (clip < 1) keep the identity and count in D as all others do.
struct FakeQuantizeScaleGradArgs {
  const float* x;   // [units, group]
  const float* y;   // the same, quantized
  const float* dy;  // the same
  float* dx;        // the same; may be dy
  size_t group;
  bool symmetric;
  bool include_zero;
};

SPINQUANT_DECLARE_KERNEL(fake_quantize, FakeQuantizeArgs)
SPINQUANT_DECLARE_KERNEL(quantize_rows, QuantizeRowsArgs)
SPINQUANT_DECLARE_KERNEL(row_multiples, RowMultiplesArgs)
SPINQUANT_DECLARE_KERNEL(fake_quantize_scale_grad, FakeQuantizeScaleGradArgs)

}  // namespace spinquant
