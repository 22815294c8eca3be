#include <algorithm>
#include "../../cpu/row_loops.h"
#include "rotary.h"

namespace spinquant::reference {

void rotary(const RotaryArgs& args, size_t first, size_t last) {
  for (size_t row = first; row < last; row++) {
    const float* x = args.x + row * 2 * args.half;
    float* y = args.y + row * 2 * args.half;
    size_t table = row % args.positions * args.half;
    for (size_t i = 0; i < args.half; i++) {
      double c = args.cos[table + i], s = static_cast<double>(args.sign) * args.sin[table + i];
      double a = x[i], b = x[args.half + i];
      y[i] = static_cast<float>(a * c - b * s);
      y[args.half + i] = static_cast<float>(b * c + a * s);
    }
  }
}

void rotary_heads(const RotaryHeadsArgs& args, size_t first, size_t last) {
  const HeadRows& rows = args.rows;
  for (size_t unit = first; unit < last; unit++) {
    const size_t sequence = unit / rows.tokens, token = unit % rows.tokens;
    for (size_t head = 0; head < rows.heads; head++) {
      const std::vector<float> row = turned_row(rows, sequence, head, token);
      std::copy(row.begin(), row.end(), args.y + ((sequence * rows.heads + head) * rows.tokens + token) * rows.width);
    }
  }
}

}  // namespace spinquant::reference
