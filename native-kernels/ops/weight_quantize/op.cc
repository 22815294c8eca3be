#include "../../operator/support.h"
#include "power_tables.h"
#include "weight_quantize.h"

namespace spinquant {
namespace {

const Variants<WeightQuantizeArgs> kWeightQuantize = SPINQUANT_VARIANTS(weight_quantize, WeightQuantizeArgs);

class FakeQuantizeWeight final : public Operator {
 public:
  explicit FakeQuantizeWeight(const Attributes& attributes)
      : bits_(integer_between(attributes, "bits", 4, 2, 8)),
        group_(integer_between(attributes, "group", 0, 0, INT64_MAX)),
        symmetric_(flag(attributes, "symmetric", true)),
        search_(flag(attributes, "clip_search")) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Tensor& w = inputs[0];
    if (w.shape.empty()) reject("the weight must have at least one dimension");
    size_t group = group_size(w);
    if (group == 0 || w.width() % group != 0) {
      reject("the last dimension must be a multiple of group " + std::to_string(group) + ", found " + text(w.shape));
    }
    Shape ratios = w.shape;
    ratios.back() = static_cast<int64_t>(w.width() / group);
    if (inputs[1].data && inputs[1].shape != ratios) {
      reject("the given ratios must be " + text(ratios) + ", found " + text(inputs[1].shape));
    }
    return {w.shape, ratios};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& w = inputs[0];
    size_t group = group_size(w);
    float max_level = static_cast<float>(symmetric_ ? (1 << (bits_ - 1)) - 1 : (1 << bits_) - 1);
    WeightQuantizeArgs args{};
    args.w = w.floats();
    args.y = outputs[0].mutable_floats();
    args.ratio = outputs[1].mutable_floats();
    args.given = inputs[1].floats();
    args.group = group;
    args.max_level = max_level;
    args.symmetric = symmetric_;
    args.include_zero = group_ == 0;
    args.search = search_;
    args.tables = &power_tables();
    size_t unit_cost = group * (search_ ? 2 * kClipCandidates : 2);
    return kernel_work(kWeightQuantize, isa, args, w.count() / group, unit_cost);
  }

 private:
  size_t group_size(const Tensor& w) const { return group_ > 0 ? static_cast<size_t>(group_) : w.width(); }

  int64_t bits_, group_;
  bool symmetric_, search_;
};

}  // namespace

OperatorType fake_quantize_weight_type() {
  return {"FakeQuantizeWeight", {{}, {ElementType::float32, true}}, {{}, {}}, make_operator<FakeQuantizeWeight>};
}

}  // namespace spinquant
