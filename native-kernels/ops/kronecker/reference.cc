#include "../../cpu/row_loops.h"
#include "kronecker.h"

namespace spinquant::reference {

void kronecker(const KroneckerArgs& args, size_t first, size_t last) {
  const size_t n = args.width();
  for (size_t unit = first; unit < last; unit++) {
    const std::vector<double> row = times_kronecker(args, {args.x + unit * n, args.x + (unit + 1) * n});
    for (size_t i = 0; i < n; i++) args.y[unit * n + i] = static_cast<float>(row[i]);
  }
}

}  // namespace spinquant::reference
