#include <cmath>
#include "shapes.h"

namespace spinquant {
namespace {

/// A zero point times the columns of a group is at most this. So with |a| <= 128, u <= 15 and groups of no more than
/// kMostColumns, Σ a·u and z·Σ a are at most 2^30 in size: their difference fits 32 bits.
constexpr size_t kLargestZero = size_t{1} << 23;

/// Where an element lies in a matrix, for messages.
std::string place(size_t index, size_t width) {
  return "[" + std::to_string(index / width) + ", " + std::to_string(index % width) + "]";
}

/// Codes are 16 numbers from `low` on.
void require_codes(const Tensor& codes, int low) {
  const int8_t* data = codes.bytes();
  const size_t count = codes.count();
  const auto beyond = [low](int8_t code) { return static_cast<uint8_t>((code - low) & 0xf0); };
  // Without a way out of the loop and with its end in hand, compilers look at many codes at once.
  uint8_t any = 0;
  for (size_t i = 0; i < count; i++) any |= beyond(data[i]);
  if (!any) return;
  for (size_t i = 0; i < count; i++) {
    if (!beyond(data[i])) continue;
    reject("codes must be from " + std::to_string(low) + " to " + std::to_string(low + 15) + ", found " +
           std::to_string(data[i]) + " at " + place(i, codes.width()));
  }
}

void require_zeros(const Tensor& zeros, size_t group) {
  const size_t most = kLargestZero / group;
  for (size_t i = 0; i < zeros.count(); i++) {
    const float zero = zeros.floats()[i];
    if (zero == std::nearbyint(zero) && std::fabs(zero) <= static_cast<float>(most)) continue;
    reject("zero points must be whole numbers of a size up to " + std::to_string(most) + ", found " +
           std::to_string(zero) + " at " + place(i, zeros.width()));
  }
}

/// Inputs: codes [rows, columns], scales [rows, groups], zero points of the same shape for unsigned codes. Attribute
/// `spans`: parts of a row for which a token will have a scale, 1 by default.
class PackInt4 final : public Operator {
 public:
  explicit PackInt4(const Attributes& attributes) : spans_(integer_between(attributes, "spans", 1, 1, INT32_MAX)) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Int4Layout layout = layout_of(inputs);
    return {packed_shape(layout), grid_shape(layout)};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa) const override {
    const Int4Layout layout = layout_of(inputs);
    require_codes(inputs[0], layout.has_zeros ? 0 : -kSignedZero);
    if (layout.has_zeros) require_zeros(inputs[2], layout.group);
    const PackInt4Args args{inputs[0].bytes(),
                            inputs[1].floats(),
                            inputs[2].floats(),
                            static_cast<uint8_t*>(outputs[0].data),
                            outputs[1].mutable_floats(),
                            layout};
    return {layout.panels(), kPanelRows * layout.columns,
            [args](size_t first, size_t last) { pack_int4(args, first, last); }, nullptr};
  }

 private:
  Int4Layout layout_of(const std::vector<Tensor>& inputs) const {
    const Tensor &codes = inputs[0], &scales = inputs[1], &zeros = inputs[2];
    if (codes.shape.size() != 2 || scales.shape.size() != 2 || codes.shape[0] != scales.shape[0] ||
        codes.count() == 0 || scales.count() == 0) {
      reject("codes must be [rows, columns] and scales [rows, groups], none of them 0, found " + text(codes.shape) +
             " and " + text(scales.shape));
    }
    if (zeros.data) require_same_shape("scales", scales, "zero points", zeros);
    const size_t columns = codes.width(), groups = scales.width();
    if (columns % groups != 0) {
      reject("the columns must be a multiple of the groups, found codes " + text(codes.shape) + " and scales " +
             text(scales.shape));
    }
    require_depth(columns, columns / groups);
    const size_t spans = static_cast<size_t>(spans_);
    if (columns % spans != 0 || (groups % spans != 0 && spans % groups != 0)) {
      reject("spans must divide the columns, and be a multiple or a divisor of the groups, found " +
             std::to_string(columns) + " columns, " + std::to_string(groups) + " groups and " + std::to_string(spans) +
             " spans");
    }
    return {static_cast<size_t>(codes.shape[0]), columns, columns / groups, columns / spans, zeros.data != nullptr};
  }

  int64_t spans_;
};

}  // namespace

OperatorType pack_int4_type() {
  return {"PackInt4",
          {{ElementType::int8}, {}, {ElementType::float32, true}},
          {{ElementType::int8}, {}},
          make_operator<PackInt4>};
}

}  // namespace spinquant
