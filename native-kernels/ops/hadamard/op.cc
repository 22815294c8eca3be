#include "../../operator/support.h"
#include "hadamard.h"
#include "mix_codes.h"

namespace spinquant {
namespace {

const Variants<HadamardArgs> kHadamard = SPINQUANT_VARIANTS(hadamard, HadamardArgs);

bool is_power_of_two(size_t n) { return n > 0 && (n & (n - 1)) == 0; }

class Hadamard final : public Operator {
 public:
  explicit Hadamard(const Attributes& attributes)
      : block_(attributes.integer("block", 0)),
        order_(attributes.integer("order", 1)),
        scale_(finite_number(attributes, "scale", 1.0f)),
        transpose_(flag(attributes, "transpose")) {
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
    // For order 1 it may be left out, but one that is given is read as any other.
    if (m.data ? m.shape != Shape{order_, order_} : order_ > 1) {
      reject("input M must be [" + std::to_string(order_) + ", " + std::to_string(order_) + "], found " + text(m));
    }
    return {x.shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const size_t block = static_cast<size_t>(block_), order = static_cast<size_t>(order_);
    HadamardArgs args{};
    args.x = inputs[0].floats();
    args.y = outputs[0].mutable_floats();
    args.block = block;
    args.order = order;
    args.scale = scale_;
    args.transpose = transpose_;
    const size_t units = inputs[0].count() / block;
    if (order == 1) {
      if (inputs[1].data) args.scale *= inputs[1].floats()[0];
      return kernel_work(kHadamard, isa, args, units, block);
    }
    args.m = inputs[1].floats();
    auto mix = std::make_shared<const MixMatrix>(prepare_mix(args.m, order, transpose_));
    args.codes = mix->codes.empty() ? nullptr : mix->codes.data();
    args.entries = mix->entries.data();
    Kernel<HadamardArgs> kernel = kHadamard.pick(isa);
    return {units, block * (1 + order / kMixGroup / 4),
            [args, kernel, mix](size_t first, size_t last) { kernel(args, first, last); }, nullptr};
  }

 private:
  int64_t block_, order_;
  float scale_;
  bool transpose_;
};

}  // namespace

OperatorType hadamard_type() {
  return {"Hadamard", {{}, {ElementType::float32, true}}, {reusing(0)}, make_operator<Hadamard>};
}

}  // namespace spinquant
