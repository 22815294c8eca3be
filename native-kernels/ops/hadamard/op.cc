#include "../../operator/hadamard_blocks.h"
#include "../../operator/support.h"
#include "hadamard.h"

namespace spinquant {
namespace {

const Variants<HadamardArgs> kHadamard = SPINQUANT_VARIANTS(hadamard, HadamardArgs);

class Hadamard final : public Operator {
 public:
  explicit Hadamard(const Attributes& attributes) : blocks_(attributes, false) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    blocks_.require_fit(inputs[0].shape, inputs[0].width(), inputs[1]);
    return {inputs[0].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    HadamardBlocks::Made made = blocks_.make(inputs[1]);
    made.args.x = inputs[0].floats();
    made.args.y = outputs[0].mutable_floats();
    Kernel<HadamardArgs> kernel = kHadamard.pick(isa);
    return {inputs[0].count() / blocks_.block(), blocks_.block() * blocks_.cost(),
            [made, kernel](size_t first, size_t last) { kernel(made.args, first, last); }, nullptr};
  }

 private:
  HadamardBlocks blocks_;
};

}  // namespace

OperatorType hadamard_type() {
  return {"Hadamard", {{}, {ElementType::float32, true}}, {reusing(0)}, make_operator<Hadamard>};
}

}  // namespace spinquant
