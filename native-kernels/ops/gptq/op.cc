#include "../../operator/support.h"
#include "../../operator/scratch.h"
#include "gptq.h"

namespace spinquant {
namespace {

const Variants<ReverseCholeskyArgs> kStart = SPINQUANT_VARIANTS(reverse_cholesky_start, ReverseCholeskyArgs);
const Variants<ReverseCholeskyArgs> kSums = SPINQUANT_VARIANTS(reverse_cholesky_sums, ReverseCholeskyArgs);
const Variants<ReverseCholeskyArgs> kSolve = SPINQUANT_VARIANTS(reverse_cholesky_solve, ReverseCholeskyArgs);
const Variants<GptqRoundArgs> kGptqRound = SPINQUANT_VARIANTS(gptq_round, GptqRoundArgs);
const Variants<GptqSweepArgs> kGptqSweep = SPINQUANT_VARIANTS(gptq_sweep, GptqSweepArgs);

/// Doubles of one vector are multiplied in an elementary step.
constexpr size_t kStepWidth = 8;

size_t tiles_of(size_t columns) { return (columns + kTileColumns - 1) / kTileColumns; }

size_t dim(const Tensor& tensor, size_t axis) { return static_cast<size_t>(tensor.shape[axis]); }

void require_square(const char* name, const Tensor& tensor) {
  const Shape& shape = tensor.shape;
  if (shape.size() == 2 && shape[0] == shape[1] && shape[0] > 0) return;
  reject(std::string(name) + " must be [n, n], found " + text(shape));
}

/// Throws unless every column is named once.
void require_permutation(const Tensor& order, size_t n) {
  if (order.shape != Shape{static_cast<int64_t>(n)}) reject("order must be [n], found " + text(order.shape));
  std::vector<bool> seen(n);
  for (size_t j = 0; j < n; j++) {
    const int64_t column = order.integers()[j];
    if (column < 0 || static_cast<size_t>(column) >= n || seen[static_cast<size_t>(column)]) {
      reject("order must name each column of W once, found " + std::to_string(column) + " at " + std::to_string(j));
    }
    seen[static_cast<size_t>(column)] = true;
  }
}

/// Checks W [m, n] for a square matrix, scale and zero [m, groups].
void require_grid(const Tensor& w, const char* name, const Tensor& square, const Tensor& scale, const Tensor& zero) {
  require_square(name, square);
  if (w.shape.size() != 2 || w.shape[1] != square.shape[0]) {
    reject("W must be [m, n] for " + std::string(name) + " " + text(square.shape) + ", found " + text(w.shape));
  }
  if (scale.shape.size() != 2 || scale.shape[0] != w.shape[0] || scale.shape[1] <= 0 ||
      w.shape[1] % scale.shape[1] != 0) {
    reject("scale must be [m, groups], groups dividing n, found " + text(scale.shape) + " for W " + text(w.shape));
  }
  require_same_shape("scale", scale, "zero", zero);
}

class ReverseCholesky final : public Operator {
 public:
  explicit ReverseCholesky(const Attributes& attributes) : damping_(positive_number(attributes, "damping", 0.01f)) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    require_square("H", inputs[0]);
    return {inputs[0].shape};
  }

  /// λ and zeros, then block after block from the last one: what later rows say of it, then the block itself.
  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const size_t n = inputs[0].width(), tile = kBlockRows * kTileColumns;
    auto memory = std::make_shared<Scratch>((kStepWidth + tiles_of(n) * tile) * sizeof(double));
    double* shift = static_cast<double*>(memory->bytes());
    const float* h = inputs[0].floats();
    ReverseCholeskyArgs args{h, outputs[0].mutable_floats(), shift, shift + kStepWidth, n, damping_, 0};
    std::shared_ptr<Work> next;
    for (; args.begin < n; args.begin += kBlockRows) {
      const size_t tiles_before = args.begin > 0 ? tiles_of(args.begin) : 1;
      Work solve = kernel_work(kSolve, isa, args, tiles_before, tile * kBlockRows / kStepWidth);
      solve.next = std::move(next);
      const size_t sum_cost = tile * (n - args.begin) / kStepWidth;
      next = std::make_shared<Work>(kernel_work(kSums, isa, args, tiles_of(args.end()), sum_cost));
      next->next = std::make_shared<Work>(std::move(solve));
    }
    Work start = kernel_work(kStart, isa, args, n, n / kStepWidth + 1);
    start.run = [run = start.run, memory](size_t first, size_t last) { run(first, last); };
    start.next = std::move(next);
    return start;
  }

 private:
  float damping_;
};

class GptqRound final : public Operator {
 public:
  explicit GptqRound(const Attributes& attributes)
      : bits_(integer_between(attributes, "bits", 4, 2, 8)), beta_(finite_number(attributes, "beta", 0)) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    require_grid(inputs[0], "T", inputs[1], inputs[2], inputs[3]);
    if (inputs[4].data) require_permutation(inputs[4], dim(inputs[0], 1));
    if (inputs[5].data) require_same_shape("T", inputs[1], "R", inputs[5]);
    return {inputs[0].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& w = inputs[0];
    const float half = static_cast<float>(1 << (bits_ - 1));
    GptqRoundArgs args{w.floats(),         inputs[1].floats(),        inputs[2].floats(),
                       inputs[3].floats(), outputs[0].mutable_bytes(), inputs[4].integers(),
                       inputs[5].floats(), dim(w, 0),                 dim(w, 1),
                       dim(inputs[2], 1),  -half,                     half - 1,
                       beta_};
    const size_t units = (args.m + kRowsPerUnit - 1) / kRowsPerUnit, matrices = args.drift ? 2 : 1;
    const size_t products = matrices * args.n * args.n / 2 * kRowsPerUnit;
    return kernel_work(kGptqRound, isa, args, units, products / (2 * kStepWidth) + args.n);
  }

 private:
  int64_t bits_;
  float beta_;
};

class GptqSweep final : public Operator {
 public:
  explicit GptqSweep(const Attributes& attributes)
      : bits_(integer_between(attributes, "bits", 4, 2, 8)),
        sweeps_(integer_between(attributes, "sweeps", 1, 1, INT32_MAX)),
        damping_(positive_number(attributes, "damping", 0.01f)) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    require_grid(inputs[0], "H", inputs[1], inputs[3], inputs[4]);
    require_same_shape("W", inputs[0], "codes", inputs[2]);
    return {inputs[0].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& w = inputs[0];
    const float half = static_cast<float>(1 << (bits_ - 1));
    GptqSweepArgs args{w.floats(),
                       inputs[1].floats(),
                       inputs[2].bytes(),
                       inputs[3].floats(),
                       inputs[4].floats(),
                       outputs[0].mutable_bytes(),
                       dim(w, 0),
                       dim(w, 1),
                       dim(inputs[3], 1),
                       static_cast<size_t>(sweeps_),
                       -half,
                       half - 1,
                       0};
    double trace = 0;
    for (size_t j = 0; j < args.n; j++) trace += args.h[j * args.n + j];
    args.shift = trace == 0 ? 1 : damping_ * (trace / static_cast<double>(args.n));
    const size_t units = (args.m + kRowsPerUnit - 1) / kRowsPerUnit;
    const size_t products = args.n * args.n * kRowsPerUnit * (args.sweeps + 1);
    return kernel_work(kGptqSweep, isa, args, units, products / (2 * kStepWidth) + args.n);
  }

 private:
  int64_t bits_, sweeps_;
  float damping_;
};

}  // namespace

OperatorType reverse_cholesky_type() { return {"ReverseCholesky", {{}}, {{}}, make_operator<ReverseCholesky>}; }

OperatorType gptq_round_type() {
  const InputSpec order{ElementType::int64, true};
  const InputSpec drift{ElementType::float32, true};
  return {"GptqRound", {{}, {}, {}, {}, order, drift}, {{ElementType::int8}}, make_operator<GptqRound>};
}

OperatorType gptq_sweep_type() {
  return {"GptqSweep", {{}, {}, {ElementType::int8}, {}, {}}, {{ElementType::int8}}, make_operator<GptqSweep>};
}

}  // namespace spinquant
