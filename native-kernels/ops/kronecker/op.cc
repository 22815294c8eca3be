#include "../../operator/kronecker_map.h"
#include "kronecker.h"

namespace spinquant {
namespace {

const Variants<KroneckerArgs> kKronecker = SPINQUANT_VARIANTS(kronecker, KroneckerArgs);

/// Inputs: x [..., n], and numbers that begin with s [n], L [left, left] and R [n / left, n / left].
class Kronecker final : public Operator {
 public:
  explicit Kronecker(const Attributes& attributes) : map_(attributes) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    map_.require_fit(inputs[0], inputs[1]);
    return {inputs[0].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& x = inputs[0];
    KroneckerArgs args = map_.make(x.width(), inputs[1]);
    args.x = x.floats();
    args.y = outputs[0].mutable_floats();
    return kernel_work(kKronecker, isa, args, row_count(x), x.width() * (1 + map_.cost(x.width())));
  }

 private:
  KroneckerMap map_;
};

}  // namespace

OperatorType kronecker_type() { return {"Kronecker", {{}, {}}, {reusing(0)}, make_operator<Kronecker>}; }

}  // namespace spinquant
