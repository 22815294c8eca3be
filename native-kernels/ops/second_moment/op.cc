#include "../../operator/support.h"
#include "second_moment.h"

namespace spinquant {
namespace {

const Variants<SecondMomentArgs> kSecondMoment = SPINQUANT_VARIANTS(second_moment, SecondMomentArgs);

/// Tiles of the larger side are packed less often; a narrow result is cut smaller, to have enough of them for all threads.
constexpr size_t kWideSide = 192, kNarrowSide = 144, kWide = 1536;
/// Floats of one vector are multiplied in an elementary step.
constexpr size_t kStepWidth = 16;

class SecondMoment final : public Operator {
 public:
  explicit SecondMoment(const Attributes&) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Shape &x = inputs[0].shape, &sum = inputs[1].shape;
    if (x.size() != 2) reject("X must be [rows, n], found " + text(x));
    if (sum != Shape{x[1], x[1]}) reject("the sum must be [n, n] for X " + text(x) + ", found " + text(sum));
    return {sum};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& x = inputs[0];
    const size_t n = x.width(), side = n < kWide ? kNarrowSide : kWideSide;
    const SecondMomentArgs args{x.floats(), inputs[1].floats(), outputs[0].mutable_floats(), row_count(x), n, side};
    const size_t tiles = args.tiles();
    return kernel_work(kSecondMoment, isa, args, tiles * (tiles + 1) / 2, side * side * (args.rows + 1) / kStepWidth);
  }
};

}  // namespace

OperatorType second_moment_type() { return {"SecondMoment", {{}, {}}, {reusing(1)}, make_operator<SecondMoment>}; }

}  // namespace spinquant
