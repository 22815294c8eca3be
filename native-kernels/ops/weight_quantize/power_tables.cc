#include "power_tables.h"
#include <cmath>

namespace spinquant {
namespace {

PowerTables make_tables() {
  PowerTables tables{};
  // j runs from 44 to 75: exponents of 2 from -39 to 24.
  for (int j = 44; j < 76; j++) tables.exponent[j % 32] = static_cast<float>(std::pow(4.0, 1.2 * (j - 63)));
  for (int part = 0; part < 32; part++) {
    double low = part < 16 ? 0.5 * (1 + part / 16.0) : 1 + (part - 16) / 16.0;
    double middle = low + (part < 16 ? 1.0 : 2.0) / 64;
    tables.inverse[part] = static_cast<float>(1 / middle);
    // The rounded inverse is used here, so that its rounding does not count.
    tables.fraction[part] = static_cast<float>(std::pow(1.0 / tables.inverse[part], 1.2));
  }
  for (int i = 0; i < kClipCandidates; i++) tables.shrink[i] = std::pow(static_cast<double>(clip_candidate(i)), 2.4);
  return tables;
}

}  // namespace

const PowerTables& power_tables() {
  static const PowerTables tables = make_tables();
  return tables;
}

}  // namespace spinquant
