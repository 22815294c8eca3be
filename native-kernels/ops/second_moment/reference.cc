#include "second_moment.h"

namespace spinquant::reference {
namespace {

void finish(const SecondMomentArgs& args, size_t i, size_t j) {
  double sum = args.sum[i * args.n + j];
  for (size_t t = 0; t < args.rows; t++) sum += static_cast<double>(args.x[t * args.n + i]) * args.x[t * args.n + j];
  args.next[i * args.n + j] = args.next[j * args.n + i] = static_cast<float>(sum);
}

}  // namespace

void second_moment(const SecondMomentArgs& args, size_t first, size_t last) {
  const size_t tiles = args.tiles();
  for (size_t i = 0; i < args.n; i++) {
    for (size_t j = 0; j <= i; j++) {
      const size_t row = i / args.side, unit = row * (row + 1) / 2 + j / args.side;
      if (row < tiles && unit >= first && unit < last) finish(args, i, j);
    }
  }
}

}  // namespace spinquant::reference
