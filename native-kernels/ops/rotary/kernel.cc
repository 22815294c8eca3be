#include "../../cpu/simd_heads.h"
#include "../../operator/scratch.h"
#include "rotary.h"

namespace spinquant::SPINQUANT_ISA {
void rotary(const RotaryArgs& args, size_t first, size_t last) {
  for (size_t row = first; row < last; row++) {
    size_t table = row % args.positions * args.half;
    const float* x = args.x + row * 2 * args.half;
    rotary_row(x, args.cos + table, args.sin + table, args.y + row * 2 * args.half, args.half, args.sign);
  }
}

void rotary_heads(const RotaryHeadsArgs& args, size_t first, size_t last) {
  const HeadRows& rows = args.rows;
  const Scratch memory(turning_memory(rows));
  for (size_t unit = first; unit < last; unit++) {
    const size_t sequence = unit / rows.tokens, token = unit % rows.tokens;
    for (size_t head = 0; head < rows.heads; head++) {
      float* y = args.y + ((sequence * rows.heads + head) * rows.tokens + token) * rows.width;
      turned_row(rows, sequence, head, token, y, memory.bytes());
    }
  }
}

}  // namespace spinquant::SPINQUANT_ISA
