#include "cholesky.h"
#include "round.h"
#include "sweep.h"

namespace spinquant::SPINQUANT_ISA {

void reverse_cholesky_start(const ReverseCholeskyArgs& args, size_t first, size_t last) {
  memset(args.t + first * args.n, 0, (last - first) * args.n * sizeof(float));
  if (first == 0) *args.shift = shift_of(args);
}

void reverse_cholesky_sums(const ReverseCholeskyArgs& args, size_t first, size_t last) {
  const Scratch scratch(kDepth * (kBlockRows + kTileColumns) * sizeof(double));
  double* block = static_cast<double*>(scratch.bytes());
  for (size_t tile = first; tile < last; tile++) {
    start_sums(args, tile);
    for (size_t row = args.end(); row < args.n; row += kDepth) subtract_rows(args, tile, row, block);
  }
}

void reverse_cholesky_solve(const ReverseCholeskyArgs& args, size_t first, size_t last) {
  const Scratch scratch(kBlockRows * kBlockRows * sizeof(double));
  double* factor = static_cast<double*>(scratch.bytes());
  // Cheap enough for every thread to do for itself.
  factor_block(args, factor);
  if (first == 0) put_block(args, factor);
  for (size_t tile = first; tile < last; tile++) solve_tile(args, tile, factor);
}

void gptq_round(const GptqRoundArgs& args, size_t first, size_t last) {
  const Scratch scratch(RowBlock::bytes(args.n));
  for (size_t unit = first; unit < last; unit++) {
    RowBlock block(args, unit * kRowsPerUnit, scratch.floats());
    for (size_t panel = 0; panel < args.n; panel += kPanel) block.round_panel(panel);
  }
}

void gptq_sweep(const GptqSweepArgs& args, size_t first, size_t last) {
  const Scratch scratch(SweptBlock::bytes(args.n));
  for (size_t unit = first; unit < last; unit++) {
    SweptBlock block(args, unit * kRowsPerUnit, scratch.floats());
    for (size_t sweep = 0; sweep < args.sweeps && block.sweep(); sweep++) {
    }
  }
}

}  // namespace spinquant::SPINQUANT_ISA
