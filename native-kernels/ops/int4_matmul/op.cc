#include <algorithm>
#include "../../operator/hadamard_blocks.h"
#include "../../operator/kronecker_map.h"
#include "../../operator/scratch.h"
#include "shapes.h"

namespace spinquant {
namespace {

const Variants<Int4ActivationArgs> kActivations = SPINQUANT_VARIANTS(int4_activations, Int4ActivationArgs);
const Variants<Int4ProductArgs> kProducts = SPINQUANT_VARIANTS(int4_products, Int4ProductArgs);

Kernel<Int4ProductArgs> products_by(Isa isa) {
#if SPINQUANT_X86
  if (isa == Isa::avx_vnni) return avx_vnni::int4_products;
  if (isa == Isa::avx512_vnni || isa == Isa::avx512_bf16) return avx512_vnni::int4_products;
  if (isa == Isa::amx) return amx::int4_products;
#elif SPINQUANT_ARM64
  if (isa == Isa::neon_dot) return neon_dot::int4_products;
#endif
  return kProducts.pick(isa);
}

void require_span(const Int4Layout& layout) {
  const bool are_parts = layout.span % layout.group == 0 || layout.group % layout.span == 0;
  if (are_parts && layout.columns % layout.span == 0) return;
  reject("activation_group must divide the columns, and be a multiple or a divisor of group, found " +
         std::to_string(layout.span) + " for " + std::to_string(layout.columns) + " columns in groups of " +
         std::to_string(layout.group));
}

/// What the first step writes and the second one reads.
struct QuantizedRows {
  Scratch codes, sums, scales, shifted;

  QuantizedRows(size_t tokens, const Int4Layout& layout)
      : codes(tokens * layout.depth()),
        sums(tokens * layout.parts() * sizeof(int32_t)),
        scales(2 * tokens * layout.spans() * sizeof(float)),
        shifted(tokens * sizeof(int32_t)) {}
};

/// The most weights that are multiplied with the same rows.
constexpr size_t kMostWeights = 3;

/// Panels of a unit of work: bodies multiply two of them at a time.
constexpr size_t kUnitPanels = 2;

/// Products of the same rows; units are pairs of panels of one weight, for all weights.
struct Products {
  Int4ProductArgs args[kMostWeights];
  size_t count;

  static size_t units_of(const Int4ProductArgs& args) { return (args.layout.panels() + kUnitPanels - 1) / kUnitPanels; }

  size_t units() const {
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) sum += units_of(args[i]);
    return sum;
  }

  void run(Kernel<Int4ProductArgs> multiply, size_t first, size_t last) const {
    size_t start = 0;
    for (size_t i = 0; i < count; i++) {
      const size_t end = start + units_of(args[i]);
      if (first < end && start < last) {
        const size_t from = (std::max(first, start) - start) * kUnitPanels;
        const size_t to = (std::min(last, end) - start) * kUnitPanels;
        multiply(args[i], from, std::min(to, args[i].layout.panels()));
      }
      start = end;
    }
  }
};

/// A packed weight and where its product goes.
struct Factor {
  int64_t rows;
  const Tensor &packed, &grid, &y;
  const float* addend;
};

/// What the attributes say of the quantizer of the rows, and of weights [rows, columns] as PackInt4 gives them, in spans
/// of `activation_group` columns.
class Int4Operator : public Operator {
 protected:
  explicit Int4Operator(const Attributes& attributes)
      : group_(integer_between(attributes, "group", 0, 0, kMostColumns)),
        activation_group_(integer_between(attributes, "activation_group", 0, 0, INT32_MAX)),
        bits_(integer_between(attributes, "bits", 8, 2, 8)),
        zero_points_(flag(attributes, "zero_points")),
        symmetric_(flag(attributes, "symmetric")),
        include_zero_(flag(attributes, "include_zero", true)),
        clip_ratio_(positive_number(attributes, "clip_ratio", 1.0f)),
        lower_ratio_(positive_number(attributes, "lower_ratio", clip_ratio_)) {}

  static int64_t rows_of(const Attributes& attributes, const char* name, int64_t least) {
    return integer_between(attributes, name, least, least, INT32_MAX);
  }

  /// Shape of the product of x with a weight.
  Shape product_shape(const Tensor& x, int64_t rows, const Tensor& packed, const Tensor& grid) const {
    if (x.shape.empty()) reject("X must have at least one dimension");
    const Int4Layout layout = layout_of(x, rows);
    require_depth(layout.columns, layout.group);
    require_span(layout);
    const Shape wanted = packed_shape(layout), wanted_grid = grid_shape(layout);
    if (packed.shape != wanted || grid.shape != wanted_grid) {
      reject("a weight [" + std::to_string(layout.rows) + ", " + std::to_string(layout.columns) + "] in groups of " +
             std::to_string(layout.group) + " is packed as " + text(wanted) + " with a grid " + text(wanted_grid) +
             ", found " + text(packed.shape) + " and " + text(grid.shape));
    }
    Shape result = x.shape;
    result.back() = rows;
    return result;
  }

  /// Quantizes the rows, then multiplies them by each weight. @param kept what the rows need until they are quantized.
  Work products(const Tensor& x, const Int4Rows& rows, const std::vector<Factor>& factors, Isa isa,
                std::shared_ptr<const void> kept = nullptr) const {
    const Int4Layout layout = layout_of(x, factors[0].rows);
    const size_t tokens = row_count(x);
    auto memory = std::make_shared<QuantizedRows>(tokens, layout);
    const Int4ActivationArgs quantizer = quantizer_of(rows, layout, tokens, *memory);
    Products products{{}, factors.size()};
    for (size_t i = 0; i < factors.size(); i++) {
      const Factor& factor = factors[i];
      products.args[i] = {static_cast<const uint8_t*>(factor.packed.data),
                          factor.grid.floats(),
                          quantizer.codes,
                          quantizer.sums,
                          quantizer.scales,
                          quantizer.shifts,
                          quantizer.shifted,
                          factor.y.mutable_floats(),
                          factor.addend,
                          layout_of(x, factor.rows),
                          tokens};
    }
    const auto quantize = kActivations.pick(isa);
    const auto multiply = products_by(isa);
    auto next = std::make_shared<Work>(Work{
        tokens > 0 ? products.units() : 0, kUnitPanels * tokens * layout.depth(),
        [products, memory, multiply](size_t first, size_t last) { products.run(multiply, first, last); }, nullptr});
    return {tokens, row_cost(rows, layout.columns),
            [quantizer, quantize, kept](size_t first, size_t last) { quantize(quantizer, first, last); },
            std::move(next)};
  }

 private:
  /// As the operators that make the rows count their work, and two steps for the quantizer.
  static size_t row_cost(const Int4Rows& rows, size_t columns) {
    const size_t blocks = rows.blocks.block > 0 ? 1 + rows.blocks.order / kMixGroup / 4 : 0;
    const size_t map = rows.map.rows > 0 ? 1 + (rows.map.rows + rows.map.columns) / 8 : 0;
    return columns * (2 + (rows.up ? 4 : 0) + (rows.norm ? 1 : 0) + map + blocks);
  }

  Int4Layout layout_of(const Tensor& x, int64_t rows) const {
    const size_t columns = x.width();
    const auto given = [columns](int64_t size) { return size > 0 ? static_cast<size_t>(size) : columns; };
    return {static_cast<size_t>(rows), columns, given(group_), given(activation_group_), zero_points_};
  }

  Int4ActivationArgs quantizer_of(const Int4Rows& rows, const Int4Layout& layout, size_t tokens,
                                  const QuantizedRows& memory) const {
    const float max_level = static_cast<float>(symmetric_ ? (1 << (bits_ - 1)) - 1 : (1 << bits_) - 1);
    return {rows,
            static_cast<int8_t*>(memory.codes.bytes()),
            static_cast<int32_t*>(memory.sums.bytes()),
            memory.scales.floats(),
            memory.scales.floats() + tokens * layout.spans(),
            static_cast<int32_t*>(memory.shifted.bytes()),
            layout,
            tokens,
            max_level,
            clip_ratio_,
            lower_ratio_,
            symmetric_,
            include_zero_,
            bits_ == 8 ? 128.0f : 0.0f};
  }

  int64_t group_, activation_group_, bits_;
  bool zero_points_, symmetric_, include_zero_;
  float clip_ratio_, lower_ratio_;
};

/// Up to three weights that multiply the same rows x [..., columns]. Attribute `norm`: rows are divided by their root
/// mean square first. @tparam Before inputs in front of the weights, each packed bytes and a grid.
template <size_t Before>
class SharedRows : public Int4Operator {
 public:
  explicit SharedRows(const Attributes& attributes)
      : Int4Operator(attributes),
        rows_{rows_of(attributes, "rows", 1), rows_of(attributes, "rows2", 0), rows_of(attributes, "rows3", 0)},
        norm_(flag(attributes, "norm")),
        epsilon_(epsilon_of(attributes, 1e-5f)) {
    if (rows_[1] == 0 && rows_[2] > 0) reject("attribute rows3 must be 0 where rows2 is");
  }

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    std::vector<Shape> shapes;
    for (size_t i = 0; i < kMostWeights; i++) {
      const Tensor &packed = inputs[Before + 2 * i], &grid = inputs[Before + 1 + 2 * i];
      const bool is_wanted = rows_[i] > 0;
      if (is_wanted != (packed.data != nullptr) || is_wanted != (grid.data != nullptr)) {
        reject("there must be a weight with its grid for each of rows, rows2 and rows3 that is not 0");
      }
      if (is_wanted) shapes.push_back(product_shape(inputs[0], rows_[i], packed, grid));
    }
    return shapes;
  }

 protected:
  /// @param map what the rows are multiplied by before they are quantized.
  Work shared(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, const KroneckerArgs& map,
              Isa isa) const {
    const Tensor& x = inputs[0];
    std::vector<Factor> factors;
    for (size_t i = 0; i < outputs.size(); i++) {
      factors.push_back({rows_[i], inputs[Before + 2 * i], inputs[Before + 1 + 2 * i], outputs[i], nullptr});
    }
    return products(x, {x.floats(), nullptr, norm_, epsilon_, map, {}}, factors, isa);
  }

 private:
  int64_t rows_[kMostWeights];
  bool norm_;
  float epsilon_;
};

class Int4MatMul final : public SharedRows<1> {
 public:
  using SharedRows::SharedRows;

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    return shared(inputs, outputs, {}, isa);
  }
};

/// Behind x come the numbers of ops/kronecker.
class KroneckerInt4MatMul final : public SharedRows<2> {
 public:
  explicit KroneckerInt4MatMul(const Attributes& attributes) : SharedRows(attributes), map_(attributes) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    map_.require_fit(inputs[0], inputs[1]);
    return SharedRows::output_shapes(inputs);
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    return shared(inputs, outputs, map_.make(inputs[0].width(), inputs[1]), isa);
  }

 private:
  KroneckerMap map_;
};

/// Inputs: an addend of the result's shape, x [..., columns], a weight and its grid.
class Int4MatMulAdd final : public Int4Operator {
 public:
  explicit Int4MatMulAdd(const Attributes& attributes)
      : Int4Operator(attributes), rows_(rows_of(attributes, "rows", 1)) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Shape shape = product_shape(inputs[1], rows_, inputs[2], inputs[3]);
    require_same_shape("the addend", inputs[0], "the product", {empty_address(), shape});
    return {shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Int4Rows rows{inputs[1].floats(), nullptr, false, 0, {}, {}};
    return products(inputs[1], rows, {{rows_, inputs[2], inputs[3], outputs[0], inputs[0].floats()}}, isa);
  }

 private:
  int64_t rows_;
};

/// Inputs: gate and up [..., columns], a weight and its grid, M of ops/hadamard where `order` is above 1, and an addend
/// of the result's shape. The last two may be left out. Without attribute `block` there is no transform.
class SwiGluInt4MatMul final : public Int4Operator {
 public:
  explicit SwiGluInt4MatMul(const Attributes& attributes)
      : Int4Operator(attributes),
        rows_(rows_of(attributes, "rows", 1)),
        blocks_(attributes, true) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Tensor &gate = inputs[0], &addend = inputs[5];
    require_same_shape("gate", gate, "up", inputs[1]);
    const Shape shape = product_shape(gate, rows_, inputs[2], inputs[3]);
    blocks_.require_fit(gate.shape, gate.width(), inputs[4]);
    if (addend.data) require_same_shape("the addend", addend, "the product", {empty_address(), shape});
    return {shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const HadamardBlocks::Made blocks = blocks_.make(inputs[4]);
    const Int4Rows rows{inputs[0].floats(), inputs[1].floats(), false, 0, {}, blocks.args};
    const std::vector<Factor> factors{{rows_, inputs[2], inputs[3], outputs[0], inputs[5].floats()}};
    return products(inputs[0], rows, factors, isa, blocks.keep);
  }

 private:
  int64_t rows_;
  HadamardBlocks blocks_;
};

/// Inputs: gate and up [..., columns], the numbers of ops/kronecker, a weight and its grid, and an addend of the result's
/// shape, which may be left out.
class SwiGluKroneckerInt4MatMul final : public Int4Operator {
 public:
  explicit SwiGluKroneckerInt4MatMul(const Attributes& attributes)
      : Int4Operator(attributes), rows_(rows_of(attributes, "rows", 1)), map_(attributes) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Tensor &gate = inputs[0], &addend = inputs[5];
    require_same_shape("gate", gate, "up", inputs[1]);
    map_.require_fit(gate, inputs[2]);
    const Shape shape = product_shape(gate, rows_, inputs[3], inputs[4]);
    if (addend.data) require_same_shape("the addend", addend, "the product", {empty_address(), shape});
    return {shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const KroneckerArgs map = map_.make(inputs[0].width(), inputs[2]);
    const Int4Rows rows{inputs[0].floats(), inputs[1].floats(), false, 0, map, {}};
    return products(inputs[0], rows, {{rows_, inputs[3], inputs[4], outputs[0], inputs[5].floats()}}, isa);
  }

 private:
  int64_t rows_;
  KroneckerMap map_;
};

constexpr InputSpec kBytes{ElementType::int8, false}, kMoreBytes{ElementType::int8, true},
    kOptional{ElementType::float32, true};

}  // namespace

OperatorType int4_matmul_type() {
  return {"Int4MatMul",
          {{}, kBytes, {}, kMoreBytes, kOptional, kMoreBytes, kOptional},
          {{}, {}, {}},
          make_operator<Int4MatMul>};
}

OperatorType kronecker_int4_matmul_type() {
  return {"KroneckerInt4MatMul",
          {{}, {}, kBytes, {}, kMoreBytes, kOptional, kMoreBytes, kOptional},
          {{}, {}, {}},
          make_operator<KroneckerInt4MatMul>};
}

OperatorType int4_matmul_add_type() {
  return {"Int4MatMulAdd", {{}, {}, kBytes, {}}, {reusing(0)}, make_operator<Int4MatMulAdd>};
}

OperatorType swiglu_int4_matmul_type() {
  return {"SwiGluInt4MatMul", {{}, {}, kBytes, {}, kOptional, kOptional}, {{}}, make_operator<SwiGluInt4MatMul>};
}

OperatorType swiglu_kronecker_int4_matmul_type() {
  return {"SwiGluKroneckerInt4MatMul",
          {{}, {}, {}, kBytes, {}, kOptional},
          {{}},
          make_operator<SwiGluKroneckerInt4MatMul>};
}

}  // namespace spinquant
