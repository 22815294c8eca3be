// Rounding to a byte for loops: unlike a cast, defined for every number.
#pragma once
#include <cmath>
#include <cstdint>

namespace spinquant {

/// The nearest whole number in -128 … 127, halves to even; 0 for what is not a number.
inline int8_t nearest_byte(double value) {
  if (!(value > -128)) return value <= -128 ? -128 : 0;
  return value < 127 ? static_cast<int8_t>(std::nearbyint(value)) : 127;
}

}  // namespace spinquant
