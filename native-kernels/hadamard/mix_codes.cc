#include "mix_codes.h"

namespace spinquant {
namespace {

bool is_sign_matrix(const float* m, size_t count) {
  bool signs = true;
  for (size_t i = 0; i < count; i++) signs &= m[i] == 1 || m[i] == -1;
  return signs;
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
  unsigned code = 0;
  for (size_t b = 0; b < count; b++) code |= static_cast<unsigned>(entries[b] < 0) << b;
  return static_cast<uint8_t>(code * kMixCodeUnit);
}

std::vector<uint8_t> encode(const float* m, size_t order, size_t groups) {
  size_t sets = (order + kMixRows - 1) / kMixRows;
  std::vector<uint8_t> codes(sets * groups * kMixRows, 0);
  for (size_t i = 0; i < order; i++) {
    uint8_t* set = &codes[i / kMixRows * groups * kMixRows + i % kMixRows];
    for (size_t g = 0; g < groups; g++) {
      size_t left = order - g * kMixGroup;
      set[g * kMixRows] = code_of(m + i * order + g * kMixGroup, left < kMixGroup ? left : kMixGroup);
    }
  }
  return codes;
}

}  // namespace

MixMatrix prepare_mix(const float* m, size_t order, bool transpose) {
  MixMatrix mix;
  mix.order = order;
  mix.groups = (order + kMixGroup - 1) / kMixGroup;
  std::vector<float> entries = transpose ? transposed(m, order) : std::vector<float>(m, m + order * order);
  if (is_sign_matrix(entries.data(), entries.size())) {
    mix.codes = encode(entries.data(), order, mix.groups);
  } else {
    mix.entries = std::move(entries);
  }
  return mix;
}

}  // namespace spinquant
