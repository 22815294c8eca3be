#include <algorithm>
#include "../core/families.h"
#include "../core/scratch.h"
#include "gemm_bfloat16.h"

namespace spinquant {
namespace {

/// So much of the shared operand is packed at a time.
constexpr size_t kSharedRows = 2048, kDepth = 512;

/// Each thread packs its part of the larger operand; the smaller one is packed for all.
struct Product {
  GemmOperand own, shared;
  float* c;
  size_t c_stride;
  const float* column_scale;
};

/// A part of an operand, from a row and a depth on.
PackedBlock block_of(const GemmOperand& operand, size_t row, size_t most_rows, size_t depth) {
  return {nullptr, operand.pieces(), row, std::min(most_rows, operand.rows - row), depth,
          std::min(kDepth, operand.depth - depth)};
}

/// Packing the block of the shared operand at [row, depth] into the buffer, then multiplying with it, then `next`.
std::shared_ptr<Work> block_work(const Product& product, size_t row, size_t depth,
                                 const std::shared_ptr<Scratch>& buffer, std::shared_ptr<Work> next) {
  PackedBlock packed = block_of(product.shared, row, kSharedRows, depth);
  packed.tiles = static_cast<uint16_t*>(buffer->bytes());
  PackedBlock part = block_of(product.own, 0, product.own.rows, depth);
  GemmPackArgs pack{product.shared, packed};
  bool is_last = depth + part.depth == product.own.depth;
  GemmMultiplyArgs multiply{product.own,  part, packed, product.c, product.c_stride, depth > 0,
                            is_last ? product.column_scale : nullptr};
  auto products = std::make_shared<Work>(
      Work{multiply.units(), kGroup * kPanel * packed.rows * packed.depth / 64,
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
    for (size_t depths = divided_up(product.shared.depth, kDepth); depths-- > 0;) {
      work = block_work(product, rows * kSharedRows, depths * kDepth, buffer, std::move(work));
    }
  }
  return std::move(*work);
}

class GemmBfloat16 final : public Operator {
 public:
  explicit GemmBfloat16(const Attributes& attributes)
      : trans_b_(integer_between(attributes, "transB", 0, 0, 1) == 1) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Shape &a = inputs[0].shape, &b = inputs[1].shape;
    if (a.size() != 2 || b.size() != 2 || a[1] != b[trans_b_ ? 1 : 0]) {
      reject("A must be [M, K] and op(B) [K, N], found A " + text(a) + " and B " + text(b));
    }
    if (inputs[2].data && inputs[2].shape != Shape{b[0]}) {
      reject("scale must have one entry per row of B, found " + text(inputs[2].shape) + " for B " + text(b));
    }
    return {{a[0], b[trans_b_ ? 0 : 1]}};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    size_t height = static_cast<size_t>(inputs[1].shape[0]), width = inputs[1].width();
    const float* scale = inputs[2].floats();
    GemmOperand a{inputs[0].data, static_cast<size_t>(inputs[0].shape[0]), inputs[0].width(), inputs[0].width(), 1, true,
                  trans_b_ ? nullptr : scale};
    GemmOperand b = trans_b_ ? GemmOperand{inputs[1].data, height, width, width, 1, false, nullptr}
                             : GemmOperand{inputs[1].data, width, height, 1, width, false, nullptr};
    float* c = outputs[0].mutable_floats();
    const float* column_scale = trans_b_ ? scale : nullptr;
    if (isa == Isa::amx && a.rows * b.rows * a.depth > 0) {
      bool a_is_larger = a.rows >= b.rows;
      return product_work({a_is_larger ? a : b, a_is_larger ? b : a, c, b.rows, column_scale});
    }
    GemmArgs args{a, b, c, column_scale};
    return {a.rows, b.rows * a.depth,
            [args](size_t first, size_t last) { reference::gemm_bfloat16(args, first, last); }, nullptr};
  }

 private:
  bool trans_b_;
};

}  // namespace

OperatorType gemm_bfloat16_type() {
  return {"GemmBfloat16", {{}, {ElementType::bfloat16}, {ElementType::float32, true}}, 1, -1, make_operator<GemmBfloat16>};
}

}  // namespace spinquant
