#include "../../operator/support.h"
#include "fake_quantize.h"

namespace spinquant {
namespace {

const Variants<FakeQuantizeArgs> kFakeQuantize = SPINQUANT_VARIANTS(fake_quantize, FakeQuantizeArgs);
const Variants<QuantizeRowsArgs> kQuantizeRows = SPINQUANT_VARIANTS(quantize_rows, QuantizeRowsArgs);
const Variants<RowMultiplesArgs> kRowMultiples = SPINQUANT_VARIANTS(row_multiples, RowMultiplesArgs);
const Variants<FakeQuantizeScaleGradArgs> kScaleGrad =
    SPINQUANT_VARIANTS(fake_quantize_scale_grad, FakeQuantizeScaleGradArgs);

/// Elements of the last dimension that share a scale: 0 for all of them.
int64_t group_attribute(const Attributes& attributes) { return integer_between(attributes, "group", 0, 0, INT64_MAX); }

void require_groups(const Tensor& x, int64_t group) {
  if (group == 0 || x.width() % static_cast<size_t>(group) == 0) return;
  reject("the last dimension must be a multiple of group " + std::to_string(group) + ", found " + text(x.shape));
}

size_t group_size(const Tensor& x, int64_t group) { return group > 0 ? static_cast<size_t>(group) : x.width(); }

class FakeQuantize : public Operator {
 public:
  explicit FakeQuantize(const Attributes& attributes)
      : bits_(integer_between(attributes, "bits", 4, 2, 8)),
        group_(group_attribute(attributes)),
        symmetric_(flag(attributes, "symmetric")),
        include_zero_(flag(attributes, "include_zero")),
        clip_ratio_(positive_number(attributes, "clip_ratio", 1.0f)),
        lower_ratio_(positive_number(attributes, "lower_ratio", clip_ratio_)) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    require_groups(inputs[0], group_);
    return {inputs[0].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    float* scales = outputs.size() > 1 ? outputs[1].mutable_floats() : nullptr;
    const FakeQuantizeArgs args = quantizer(inputs[0], outputs[0].mutable_floats(), scales);
    return kernel_work(kFakeQuantize, isa, args, units(inputs[0], args), 2 * args.group);
  }

 protected:
  FakeQuantizeArgs quantizer(const Tensor& x, float* y, float* scales) const {
    const float max_level = static_cast<float>(symmetric_ ? (1 << (bits_ - 1)) - 1 : (1 << bits_) - 1);
    return {x.floats(), y, scales, group_size(x, group_), max_level, clip_ratio_, lower_ratio_, symmetric_, include_zero_};
  }

  static size_t units(const Tensor& x, const FakeQuantizeArgs& args) { return args.group ? x.count() / args.group : 0; }

  int64_t bits_, group_;
  bool symmetric_, include_zero_;
  float clip_ratio_, lower_ratio_;
};

/// FakeQuantize of whole rows that also gives their scales, of which the results are whole multiples.
class FakeQuantizeRows : public FakeQuantize {
 public:
  explicit FakeQuantizeRows(const Attributes& attributes) : FakeQuantize(attributes) {
    if (group_ != 0) reject("attribute group must be 0, found " + std::to_string(group_));
    if (!symmetric_ && !include_zero_) reject("a range that leaves out zero need not give whole multiples of a scale");
  }

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Shape& x = inputs[0].shape;
    if (x.empty() || x.back() == 0) reject("X must have rows of at least one number, found " + text(x));
    return {x, Shape(x.begin(), x.end() - 1)};
  }
};

/// FakeQuantizeRows as bytes.
class QuantizeRows final : public FakeQuantizeRows {
 public:
  explicit QuantizeRows(const Attributes& attributes) : FakeQuantizeRows(attributes) {
    if (!symmetric_ && bits_ > 7) reject("codes of 8 bits that have a zero point do not fit a byte");
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const QuantizeRowsArgs args{quantizer(inputs[0], nullptr, outputs[1].mutable_floats()), outputs[0].mutable_bytes()};
    const size_t width = args.quantizer.group;
    return kernel_work(kQuantizeRows, isa, args, units(inputs[0], args.quantizer), 2 * width);
  }
};

class RowMultiples final : public Operator {
 public:
  explicit RowMultiples(const Attributes&) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Shape& codes = inputs[0].shape;
    if (codes.empty() || inputs[1].shape != Shape(codes.begin(), codes.end() - 1)) {
      reject("scales must have the shape of the rows of codes " + text(codes) + ", found " + text(inputs[1].shape));
    }
    return {codes};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const RowMultiplesArgs args{inputs[0].bytes(), inputs[1].floats(), outputs[0].mutable_floats(), inputs[0].width()};
    return kernel_work(kRowMultiples, isa, args, inputs[1].count(), args.width);
  }
};

/// Needs neither bits nor clip_ratio: both are in y.
class FakeQuantizeScaleGrad final : public Operator {
 public:
  explicit FakeQuantizeScaleGrad(const Attributes& attributes)
      : group_(group_attribute(attributes)),
        symmetric_(flag(attributes, "symmetric")),
        include_zero_(flag(attributes, "include_zero")) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    require_same_shape("X", inputs[0], "Y", inputs[1]);
    require_same_shape("X", inputs[0], "dY", inputs[2]);
    require_groups(inputs[0], group_);
    return {inputs[0].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& x = inputs[0];
    size_t group = group_size(x, group_);
    float* dx = outputs[0].mutable_floats();
    FakeQuantizeScaleGradArgs args{x.floats(), inputs[1].floats(), inputs[2].floats(), dx, group, symmetric_,
                                   include_zero_};
    return kernel_work(kScaleGrad, isa, args, group ? x.count() / group : 0, 2 * group);
  }

 private:
  int64_t group_;
  bool symmetric_, include_zero_;
};

}  // namespace

OperatorType fake_quantize_type() { return {"FakeQuantize", {{}}, {reusing(0)}, make_operator<FakeQuantize>}; }

OperatorType fake_quantize_rows_type() {
  return {"FakeQuantizeRows", {{}}, {reusing(0), {}}, make_operator<FakeQuantizeRows>};
}

OperatorType quantize_rows_type() {
  return {"QuantizeRows", {{}}, {{ElementType::int8}, {}}, make_operator<QuantizeRows>};
}

OperatorType row_multiples_type() {
  return {"RowMultiples", {{ElementType::int8}, {}}, {{}}, make_operator<RowMultiples>};
}

OperatorType fake_quantize_scale_grad_type() {
  return {"FakeQuantizeScaleGrad", {{}, {}, {}}, {reusing(2)}, make_operator<FakeQuantizeScaleGrad>};
}

}  // namespace spinquant
