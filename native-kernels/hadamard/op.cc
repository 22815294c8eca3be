#include "../core/families.h"
#include "hadamard.h"

namespace spinquant {
namespace {

const Variants<HadamardArgs> kHadamard = SPINQUANT_VARIANTS(hadamard, HadamardArgs);

bool is_power_of_two(size_t n) { return n > 0 && (n & (n - 1)) == 0; }

class Hadamard final : public Operator {
 public:
  explicit Hadamard(const Attributes& attributes)
      : block_(attributes.integer("block", 0)),
        order_(attributes.integer("order", 1)),
        scale_(attributes.number("scale", 1.0f)),
        transpose_(attributes.integer("transpose", 0) != 0) {
    if (block_ < 1) reject("attribute block must be at least 1, found " + std::to_string(block_));
    if (order_ < 1 || block_ % order_ != 0 || !is_power_of_two(static_cast<size_t>(block_ / order_))) {
      reject("block must be order times a power of two, found block " + std::to_string(block_) + ", order " +
             std::to_string(order_));
    }
  }

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Tensor& x = inputs[0];
    if (x.width() % static_cast<size_t>(block_) != 0) {
      reject("the last dimension must be a multiple of block " + std::to_string(block_) + ", found " + text(x.shape));
    }
    const Tensor& m = inputs[1];
    if (order_ > 1 && (!m.data || m.shape != Shape{order_, order_})) {
      reject("input M must be [" + std::to_string(order_) + ", " + std::to_string(order_) + "], found " + text(m));
    }
    return {x.shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    size_t block = static_cast<size_t>(block_), order = static_cast<size_t>(order_);
    // A single entry M = [±1] still counts; without M it is 1.
    const float* m = inputs[1].data ? inputs[1].floats() : nullptr;
    HadamardArgs args{inputs[0].floats(), outputs[0].mutable_floats(), m, block, order, scale_, transpose_};
    if (order == 1 && m) args.scale *= m[0];
    size_t per_element = order > 1 ? 1 + order / 32 : 1;
    return kernel_work(kHadamard, isa, args, inputs[0].count() / block, block * per_element);
  }

 private:
  int64_t block_, order_;
  float scale_;
  bool transpose_;
};

}  // namespace

OperatorType hadamard_type() {
  return {"Hadamard", {{}, {ElementType::float32, true}}, 1, 0, make_operator<Hadamard>};
}

}  // namespace spinquant
