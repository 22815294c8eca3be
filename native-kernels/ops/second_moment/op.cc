#include "../../operator/support.h"
#include "second_moment.h"

namespace spinquant {
namespace {

const Variants<SecondMomentArgs> kSecondMoment = SPINQUANT_VARIANTS(second_moment, SecondMomentArgs);

/// Tiles of the larger side are packed less often; a narrow result is cut smaller, to have enough of them for all threads.
constexpr size_t kWideSide = 192, kNarrowSide = 144, kWide = 1536;
/// The same of rounded products, which take half the time for each.
constexpr size_t kWideRounded = 384, kNarrowRounded = 192;
/// Floats of one vector are multiplied in an elementary step.
constexpr size_t kStepWidth = 16;

/// Null where all numbers stay float32.
Kernel<SecondMomentArgs> rounded_by(Isa isa) {
  return isa == Isa::amx ? amx::rounded_moment : isa == Isa::avx512_bf16 ? avx512_bf16::rounded_moment : nullptr;
}

class SecondMoment final : public Operator {
 public:
  explicit SecondMoment(const Attributes& attributes)
      : is_rounded_(integer_between(attributes, "pieces", 3, 1, 3) == 1) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Shape &x = inputs[0].shape, &sum = inputs[1].shape;
    if (x.size() != 2) reject("X must be [rows, n], found " + text(x));
    if (sum != Shape{x[1], x[1]}) reject("the sum must be [n, n] for X " + text(x) + ", found " + text(sum));
    return {sum};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& x = inputs[0];
    const Kernel<SecondMomentArgs> rounded = is_rounded_ ? rounded_by(isa) : nullptr;
    const size_t n = x.width(), narrow = rounded ? kNarrowRounded : kNarrowSide, wide = rounded ? kWideRounded : kWideSide;
    const size_t side = n < kWide ? narrow : wide;
    const SecondMomentArgs args{x.floats(), inputs[1].floats(), outputs[0].mutable_floats(), row_count(x), n, side};
    const size_t tiles = args.tiles(), units = tiles * (tiles + 1) / 2, steps = side * side * (args.rows + 1) / kStepWidth;
    if (!rounded) return kernel_work(kSecondMoment, isa, args, units, steps);
    return {units, steps / 2, [args, rounded](size_t first, size_t last) { rounded(args, first, last); }, nullptr};
  }

 private:
  bool is_rounded_;
};

}  // namespace

OperatorType second_moment_type() { return {"SecondMoment", {{}, {}}, {reusing(1)}, make_operator<SecondMoment>}; }

}  // namespace spinquant
