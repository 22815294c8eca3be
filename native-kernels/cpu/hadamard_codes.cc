#include "hadamard_codes.h"
#include <cstring>

namespace spinquant {
namespace {

constexpr uint32_t kSignBit = 0x80000000u;
constexpr uint32_t kOneBits = 0x3f800000u;  // 1.0f

uint32_t bits_of(const float* value) {
  uint32_t bits;
  std::memcpy(&bits, value, sizeof bits);
  return bits;
}

bool is_sign_matrix(const float* m, size_t count) {
  uint32_t difference = 0;
  for (size_t i = 0; i < count; i++) difference |= (bits_of(m + i) & ~kSignBit) ^ kOneBits;
  return difference == 0;
}

std::vector<float> transposed(const float* m, size_t order) {
  std::vector<float> result(order * order);
  for (size_t i = 0; i < order; i++) {
    for (size_t j = 0; j < order; j++) result[j * order + i] = m[i * order + j];
  }
  return result;
}

/// Bit b is set when entry b of the group is -1.
uint8_t code_of(const float* entries, size_t count) {
  uint32_t code = 0;
  for (size_t b = 0; b < count; b++) code |= bits_of(entries + b) >> 31 << b;
  return static_cast<uint8_t>(code * kMixCodeUnit);
}

std::vector<uint8_t> encode(const float* m, size_t order, size_t groups) {
  const size_t sets = (order + kMixRows - 1) / kMixRows, whole = order / kMixGroup;
  std::vector<uint8_t> codes(sets * groups * kMixRows, 0);
  for (size_t i = 0; i < order; i++) {
    uint8_t* set = &codes[i / kMixRows * groups * kMixRows + i % kMixRows];
    const float* row = m + i * order;
    for (size_t g = 0; g < whole; g++) set[g * kMixRows] = code_of(row + g * kMixGroup, kMixGroup);
    if (whole < groups) set[whole * kMixRows] = code_of(row + whole * kMixGroup, order - whole * kMixGroup);
  }
  return codes;
}

}  // namespace

MixMatrix prepare_mix(const float* m, size_t order, bool transpose) {
  MixMatrix mix;
  std::vector<float> turned;
  if (transpose) turned = transposed(m, order);
  const float* entries = transpose ? turned.data() : m;
  if (is_sign_matrix(m, order * order)) {
    mix.codes = encode(entries, order, (order + kMixGroup - 1) / kMixGroup);
  } else {
    mix.entries.assign(entries, entries + order * order);
  }
  return mix;
}

}  // namespace spinquant
