#include <algorithm>
#include "../core/families.h"
#include "../core/scratch.h"
#include "gemm_bfloat16.h"

namespace spinquant {
namespace {

/// At most so much of the shared operand is packed at a time.
constexpr size_t kSharedRows = 2048, kDepth = 768;

/// Each thread packs its part of the larger operand; the smaller one is packed for all.
struct Product {
  TileOperand own, shared;
  float* c;
  size_t c_stride;
  const float* column_scale;
};

/// Depths in one block: the same number in each, as far as whole tiles allow.
size_t depth_step(size_t depth) {
  return divided_up(divided_up(depth, divided_up(depth, kDepth)), kTileDepth) * kTileDepth;
}

/// A part of an operand, from a row and a depth on.
PackedBlock block_of(const TileOperand& operand, size_t row, size_t most_rows, size_t depth) {
  return {nullptr, operand.pieces, row, std::min(most_rows, operand.rows - row), depth,
          std::min(depth_step(operand.depth), operand.depth - depth)};
}

/// Packing the block of the shared operand at [row, depth] into the buffer, then multiplying with it, then `next`.
std::shared_ptr<Work> block_work(const Product& product, size_t row, size_t depth,
                                 const std::shared_ptr<Scratch>& buffer, std::shared_ptr<Work> next) {
  PackedBlock packed = block_of(product.shared, row, kSharedRows, depth);
  packed.tiles = static_cast<uint16_t*>(buffer->bytes());
  PackedBlock part = block_of(product.own, 0, product.own.rows, depth);
  GemmPackArgs pack{product.shared, packed};
  bool is_last = depth + part.depth == product.own.depth;
  GemmMultiplyArgs multiply{product.own, part, packed, product.c, product.c_stride, depth > 0,
                            is_last ? product.column_scale : nullptr};
  auto products = std::make_shared<Work>(
      Work{part.panels(), kPanel * packed.rows * packed.depth / 64,
           [multiply, buffer](size_t first, size_t last) { amx::gemm_multiply(multiply, first, last); }, std::move(next)});
  return std::make_shared<Work>(
      Work{packed.panels(), kPanel * packed.depth,
           [pack, buffer](size_t first, size_t last) { amx::gemm_pack(pack, first, last); }, std::move(products)});
}

Work product_work(const Product& product) {
  PackedBlock largest = block_of(product.shared, 0, kSharedRows, 0);
  auto buffer = std::make_shared<Scratch>(largest.size() * sizeof(uint16_t));
  std::shared_ptr<Work> work;
  // From the last block to the first, as each names the one after it.
  for (size_t rows = divided_up(product.shared.rows, kSharedRows); rows-- > 0;) {
    for (size_t depths = divided_up(product.shared.depth, depth_step(product.shared.depth)); depths-- > 0;) {
      work = block_work(product, rows * kSharedRows, depths * depth_step(product.shared.depth), buffer, std::move(work));
    }
  }
  return std::move(*work);
}

/// What both operators share: the product once its operands are known.
Work gemm_work(const TileOperand& a, const TileOperand& b, float* c, const float* column_scale, Isa isa) {
  if (isa == Isa::amx && a.rows * b.rows * a.depth > 0) {
    bool a_is_larger = a.rows >= b.rows;
    return product_work({a_is_larger ? a : b, a_is_larger ? b : a, c, b.rows, column_scale});
  }
  GemmArgs args{a, b, c, column_scale};
  return {a.rows, b.rows * a.depth,
          [args](size_t first, size_t last) { reference::gemm_bfloat16(args, first, last); }, nullptr};
}

/// Rows of the matrix, or of its transpose.
TileOperand operand_of(const Tensor& matrix, bool transposed, bool is_a, size_t pieces) {
  size_t height = static_cast<size_t>(matrix.shape[0]), width = matrix.width();
  if (transposed) return {matrix.data, width, height, 1, width, is_a, pieces, nullptr};
  return {matrix.data, height, width, width, 1, is_a, pieces, nullptr};
}

Shape product_shape(const Tensor& a, bool trans_a, const Tensor& b, bool trans_b) {
  bool are_matrices = a.shape.size() == 2 && b.shape.size() == 2;
  if (!are_matrices || a.shape[trans_a ? 0 : 1] != b.shape[trans_b ? 1 : 0]) {
    reject("op(A) must be [M, K] and op(B) [K, N], found A " + text(a.shape) + " and B " + text(b.shape));
  }
  return {a.shape[trans_a ? 1 : 0], b.shape[trans_b ? 0 : 1]};
}

bool flag(const Attributes& attributes, const char* name) { return integer_between(attributes, name, 0, 0, 1) == 1; }

/// B in bfloat16, as it is or times a factor per row.
class GemmBfloat16 final : public Operator {
 public:
  explicit GemmBfloat16(const Attributes& attributes)
      : trans_b_(flag(attributes, "transB")),
        pieces_(static_cast<size_t>(integer_between(attributes, "pieces", 3, 2, 3))) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    Shape result = product_shape(inputs[0], false, inputs[1], trans_b_);
    if (inputs[2].data && inputs[2].shape != Shape{inputs[1].shape[0]}) {
      reject("scale must have one entry per row of B, found " + text(inputs[2].shape) + " for B " +
             text(inputs[1].shape));
    }
    return {result};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    TileOperand a = operand_of(inputs[0], false, true, pieces_);
    if (!trans_b_) a.depth_scale = inputs[2].floats();
    TileOperand b = operand_of(inputs[1], !trans_b_, false, 1);
    return gemm_work(a, b, outputs[0].mutable_floats(), trans_b_ ? inputs[2].floats() : nullptr, isa);
  }

 private:
  bool trans_b_;
  size_t pieces_;
};

/// op(A) op(B) in float32, each of two pieces.
class SplitGemm final : public Operator {
 public:
  explicit SplitGemm(const Attributes& attributes)
      : trans_a_(flag(attributes, "transA")), trans_b_(flag(attributes, "transB")) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    return {product_shape(inputs[0], trans_a_, inputs[1], trans_b_)};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    TileOperand a = operand_of(inputs[0], trans_a_, true, 2);
    TileOperand b = operand_of(inputs[1], !trans_b_, false, 2);
    return gemm_work(a, b, outputs[0].mutable_floats(), nullptr, isa);
  }

 private:
  bool trans_a_, trans_b_;
};

}  // namespace

OperatorType gemm_bfloat16_type() {
  return {"GemmBfloat16", {{}, {ElementType::bfloat16}, {ElementType::float32, true}}, 1, -1, make_operator<GemmBfloat16>};
}

OperatorType split_gemm_type() { return {"SplitGemm", {{}, {}}, 1, -1, make_operator<SplitGemm>}; }

}  // namespace spinquant
