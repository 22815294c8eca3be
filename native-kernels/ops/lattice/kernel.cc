#include "../../operator/scratch.h"
#include "../../cpu/simd_double.h"
#include "search.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Columns and vectors of rows whose sums are in registers at once. A tile is kLanes rows: two vectors of doubles.
constexpr size_t kColumns = 4, kVectors = 2;
static_assert(kLatticeRows % kLanes == 0 && kVectors * kHalf == kLanes && kBlock % kColumns == 0);

/// kLatticeRows rows of W on their way, in tiles of kLanes rows; rows are lanes. Those past the end of W are zeros that
/// nobody reads.
class RowTiles {
 public:
  static size_t bytes(size_t n) { return (n * kLatticeRows + n * kBlock) * sizeof(double); }

  RowTiles(const LatticeRoundArgs& args, size_t row, void* memory)
      : args_(args), row_(row), errors_(static_cast<double*>(memory)), factors_(errors_ + args.n * kLatticeRows) {
    memset(errors_, 0, args.n * kLatticeRows * sizeof(double));
  }

  /// Rounds every block once, from the last to the first. Returns whether an error changed.
  bool pass(bool is_first) {
    bool changed = false;
    for (size_t start = args_.n; start > 0;) {
      start -= kBlock;
      load_factors(start, is_first);
      for (size_t tile = 0; tile < kLatticeRows && row_ + tile < args_.m; tile += kLanes)
        changed |= round_block(start, tile, is_first);
    }
    return changed || is_first;
  }

 private:
  /// Floats to doubles, once for all tiles. The first pass needs those of later blocks only.
  void load_factors(size_t start, bool is_first) {
    const float* from = (is_first ? args_.feedback : args_.gain) + start * args_.n;
    for (size_t i = is_first ? (start + kBlock) * kBlock : 0; i < args_.n * kBlock; i++) factors_[i] = from[i];
  }

  bool round_block(size_t start, size_t tile, bool is_first) {
    double* errors = errors_ + tile * args_.n;
    double sums[kBlock * kLanes];
    for (size_t c = 0; c < kBlock; c += kColumns) add_products(errors, start, c, is_first, sums);
    Vec w[kBlock], wanted[kBlock];
    for (size_t c = 0; c < kBlock; c++) {
      float own[kLanes], moved[kLanes];
      for (size_t r = 0; r < kLanes; r++) {
        own[r] = row_ + tile + r < args_.m ? args_.w[(row_ + tile + r) * args_.n + start + c] : 0;
        moved[r] = static_cast<float>(own[r] + sums[c * kLanes + r]);
      }
      w[c] = load(own);
      wanted[c] = load(moved);
    }
    return put(start, tile, w, wanted);
  }

  /// Σ_j E_j F_jc of kColumns columns, j in order, the block itself left out.
  SPINQUANT_INLINE_MEMBER void add_products(const double* errors, size_t start, size_t column, bool is_first,
                                            double* sums) const {
    DoubleVec sum[kColumns][kVectors] = {};
    if (!is_first) add_range(errors, 0, start, column, sum);
    add_range(errors, start + kBlock, args_.n, column, sum);
    for (size_t c = 0; c < kColumns; c++)
      for (size_t v = 0; v < kVectors; v++) store_double(sums + (column + c) * kLanes + v * kHalf, sum[c][v]);
  }

  SPINQUANT_INLINE_MEMBER void add_range(const double* errors, size_t begin, size_t end, size_t column,
                                         DoubleVec (*sum)[kVectors]) const {
    for (size_t j = begin; j < end; j++) {
      const double* factors = factors_ + j * kBlock + column;
      DoubleVec e[kVectors];
      SPINQUANT_UNROLL
      for (size_t v = 0; v < kVectors; v++) e[v] = load_double(errors + j * kLanes + v * kHalf);
      SPINQUANT_UNROLL
      for (size_t c = 0; c < kColumns; c++) {
        const DoubleVec factor = splat_double(factors[c]);
        SPINQUANT_UNROLL
        for (size_t v = 0; v < kVectors; v++) sum[c][v] = fma_double(e[v], factor, sum[c][v]);
      }
    }
  }

  /// Rounds what a block is wanted to be. Returns whether an error changed.
  bool put(size_t start, size_t tile, const Vec* w, const Vec* wanted) {
    Vec first[kBlock], second[kBlock] = {};
    nearest_e8p(wanted, first);
    const float scale = args_.residual_scale();
    if (args_.bits > 2) {
      Vec rest[kBlock];
      for (size_t c = 0; c < kBlock; c++) rest[c] = (wanted[c] - first[c]) * splat(scale);
      if (args_.bits == 4) nearest_e8p(rest, second);
      else nearest_one_bit(rest, second);
    }
    double* errors = errors_ + tile * args_.n;
    const size_t rows = args_.m - row_ - tile < kLanes ? args_.m - row_ - tile : kLanes;
    bool changed = false;
    for (size_t c = 0; c < kBlock; c++) {
      const Vec error = w[c] - (first[c] + second[c] * splat(1 / scale));
      const Vec quarters[] = {first[c] * splat(4), second[c] * splat(4)};
      for (size_t r = 0; r < rows; r++) {
        const size_t at = (row_ + tile + r) * args_.n + start + c;
        double& known = errors[(start + c) * kLanes + r];
        changed |= known != error[r];
        known = error[r];
        args_.first[at] = static_cast<int8_t>(quarters[0][r]);
        args_.second[at] = static_cast<int8_t>(quarters[1][r]);
      }
    }
    return changed;
  }

  const LatticeRoundArgs& args_;
  size_t row_;
  double* errors_;   // E: tiles of [n, kLanes]
  double* factors_;  // [n, kBlock]
};

}  // namespace

void lattice_round(const LatticeRoundArgs& args, size_t first, size_t last) {
  const Scratch scratch(RowTiles::bytes(args.n));
  for (size_t unit = first; unit < last; unit++) {
    RowTiles rows(args, unit * kLatticeRows, scratch.bytes());
    for (size_t sweep = 0; sweep <= args.sweeps; sweep++)
      if (!rows.pass(sweep == 0)) break;
  }
}

}  // namespace spinquant::SPINQUANT_ISA
