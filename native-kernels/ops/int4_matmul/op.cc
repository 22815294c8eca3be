#include <cmath>
#include "../../operator/scratch.h"
#include "../../operator/support.h"
#include "int4_matmul.h"

namespace spinquant {
namespace {

const Variants<Int4ActivationArgs> kActivations = SPINQUANT_VARIANTS(int4_activations, Int4ActivationArgs);
const Variants<Int4ProductArgs> kProducts = SPINQUANT_VARIANTS(int4_products, Int4ProductArgs);

Kernel<Int4ProductArgs> products_by(Isa isa) {
#if SPINQUANT_X86
  if (isa == Isa::avx_vnni) return avx_vnni::int4_products;
  if (isa == Isa::avx512_vnni) return avx512_vnni::int4_products;
  if (isa == Isa::amx) return amx::int4_products;
#elif SPINQUANT_ARM64
  if (isa == Isa::neon_dot) return neon_dot::int4_products;
#endif
  return kProducts.pick(isa);
}

/// A zero point times the columns of a group is at most this. So with |a| <= 128, u <= 15 and groups of no more than
/// kMostColumns, Σ a·u and z·Σ a are at most 2^30 in size: their difference fits 32 bits.
constexpr size_t kLargestZero = size_t{1} << 23;

void require_depth(size_t columns, size_t group) {
  if (group > 0 && columns % group == 0 && columns > 0 && group <= kMostColumns) return;
  reject("columns must be a multiple of group, and a group have 1 … " + std::to_string(kMostColumns) +
         " columns, found " + std::to_string(columns) + " columns in groups of " + std::to_string(group));
}

void require_span(const Int4Layout& layout) {
  if (layout.span % layout.group == 0 && layout.columns % layout.span == 0) return;
  reject("activation_group must be a multiple of group and divide the columns, found " + std::to_string(layout.span) +
         " for " + std::to_string(layout.columns) + " columns in groups of " + std::to_string(layout.group));
}

Shape packed_shape(const Int4Layout& layout) {
  return {static_cast<int64_t>(layout.panels()), static_cast<int64_t>(layout.blocks()), kBlockBytes};
}

Shape grid_shape(const Int4Layout& layout) {
  return {static_cast<int64_t>(layout.panels()), static_cast<int64_t>(layout.grid_rows()), kPanelRows};
}

/// Where an element lies in a matrix, for messages.
std::string place(size_t index, size_t width) {
  return "[" + std::to_string(index / width) + ", " + std::to_string(index % width) + "]";
}

/// Codes are 16 numbers from `low` on.
void require_codes(const Tensor& codes, int low) {
  const int8_t* data = codes.bytes();
  const auto beyond = [low](int8_t code) { return static_cast<uint8_t>((code - low) & 0xf0); };
  // Without a way out of the loop, compilers look at many codes at once.
  uint8_t any = 0;
  for (size_t i = 0; i < codes.count(); i++) any |= beyond(data[i]);
  if (!any) return;
  for (size_t i = 0; i < codes.count(); i++) {
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
    if (groups % spans != 0) {
      reject("the groups must be a multiple of spans, found " + std::to_string(groups) + " groups in " +
             std::to_string(spans) + " spans");
    }
    return {static_cast<size_t>(codes.shape[0]), columns, columns / groups, columns / spans, zeros.data != nullptr};
  }

  int64_t spans_;
};

/// What the first step writes and the second one reads.
struct QuantizedRows {
  Scratch codes, sums, scales;

  QuantizedRows(size_t tokens, const Int4Layout& layout)
      : codes(tokens * layout.depth()),
        sums(tokens * layout.groups() * sizeof(int32_t)),
        scales(2 * tokens * layout.spans() * sizeof(float)) {}
};

/// Inputs: x [..., columns], and a weight [rows, columns] as PackInt4 gives it, in spans of `activation_group` columns.
class Int4MatMul final : public Operator {
 public:
  explicit Int4MatMul(const Attributes& attributes)
      : rows_(integer_between(attributes, "rows", 1, 1, INT32_MAX)),
        group_(integer_between(attributes, "group", 0, 0, kMostColumns)),
        activation_group_(integer_between(attributes, "activation_group", 0, 0, INT32_MAX)),
        bits_(integer_between(attributes, "bits", 8, 2, 8)),
        zero_points_(flag(attributes, "zero_points")),
        symmetric_(flag(attributes, "symmetric")),
        include_zero_(flag(attributes, "include_zero", true)),
        clip_ratio_(positive_number(attributes, "clip_ratio", 1.0f)) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Tensor& x = inputs[0];
    if (x.shape.empty()) reject("X must have at least one dimension");
    const Int4Layout layout = layout_of(x);
    require_depth(layout.columns, layout.group);
    require_span(layout);
    const Shape packed = packed_shape(layout), grid = grid_shape(layout);
    if (inputs[1].shape != packed || inputs[2].shape != grid) {
      reject("a weight [" + std::to_string(layout.rows) + ", " + std::to_string(layout.columns) + "] in groups of " +
             std::to_string(layout.group) + " is packed as " + text(packed) + " with a grid " + text(grid) +
             ", found " + text(inputs[1].shape) + " and " + text(inputs[2].shape));
    }
    Shape result = x.shape;
    result.back() = rows_;
    return {result};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Int4Layout layout = layout_of(inputs[0]);
    const size_t tokens = row_count(inputs[0]);
    auto rows = std::make_shared<QuantizedRows>(tokens, layout);
    const Int4ActivationArgs quantizer = quantizer_of(inputs[0], layout, tokens, *rows);
    const Int4ProductArgs product{static_cast<const uint8_t*>(inputs[1].data),
                                  inputs[2].floats(),
                                  quantizer.codes,
                                  quantizer.sums,
                                  quantizer.scales,
                                  quantizer.shifts,
                                  outputs[0].mutable_floats(),
                                  layout,
                                  tokens};
    const auto quantize = kActivations.pick(isa);
    const auto multiply = products_by(isa);
    auto products = std::make_shared<Work>(
        Work{tokens > 0 ? layout.panels() : 0, tokens * layout.depth(),
             [product, rows, multiply](size_t first, size_t last) { multiply(product, first, last); }, nullptr});
    return {tokens, 2 * layout.columns,
            [quantizer, quantize](size_t first, size_t last) { quantize(quantizer, first, last); }, std::move(products)};
  }

 private:
  Int4Layout layout_of(const Tensor& x) const {
    const size_t columns = x.width();
    const auto given = [columns](int64_t size) { return size > 0 ? static_cast<size_t>(size) : columns; };
    return {static_cast<size_t>(rows_), columns, given(group_), given(activation_group_), zero_points_};
  }

  Int4ActivationArgs quantizer_of(const Tensor& x, const Int4Layout& layout, size_t tokens,
                                  const QuantizedRows& rows) const {
    const float max_level = static_cast<float>(symmetric_ ? (1 << (bits_ - 1)) - 1 : (1 << bits_) - 1);
    return {x.floats(),
            static_cast<int8_t*>(rows.codes.bytes()),
            static_cast<int32_t*>(rows.sums.bytes()),
            rows.scales.floats(),
            rows.scales.floats() + tokens * layout.spans(),
            layout,
            max_level,
            clip_ratio_,
            symmetric_,
            include_zero_,
            !symmetric_ && (bits_ == 8 || !include_zero_),
            bits_ == 8 ? 128.0f : 0.0f};
  }

  int64_t rows_, group_, activation_group_, bits_;
  bool zero_points_, symmetric_, include_zero_;
  float clip_ratio_;
};

}  // namespace

OperatorType pack_int4_type() {
  return {"PackInt4",
          {{ElementType::int8}, {}, {ElementType::float32, true}},
          {{ElementType::int8}, {}},
          make_operator<PackInt4>};
}

OperatorType int4_matmul_type() {
  return {"Int4MatMul", {{}, {ElementType::int8}, {}}, {{}}, make_operator<Int4MatMul>};
}

}  // namespace spinquant
