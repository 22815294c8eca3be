#include <algorithm>
#include "../../operator/support.h"
#include "../../operator/scratch.h"
#include "gemm_bfloat16.h"

namespace spinquant {
namespace {

/// The bodies for an instruction set with products of bfloat16.
struct TileKernels {
  Kernel<GemmPackArgs> pack;
  Kernel<GemmMultiplyArgs> multiply;
  Kernel<GemmPartsArgs> parts;
};

const TileKernels kOnVectors{avx512_bf16::gemm_pack, avx512_bf16::gemm_multiply, avx512_bf16::gemm_parts};
const TileKernels kInTiles{amx::gemm_pack, amx::gemm_multiply, amx::gemm_parts};

/// Null where the loops of the reference compute.
const TileKernels* kernels_by(Isa isa) {
  return isa == Isa::amx ? &kInTiles : isa == Isa::avx512_bf16 ? &kOnVectors : nullptr;
}

/// At most so much of the shared operand is packed at a time.
constexpr size_t kSharedRows = 2048, kDepth = 768;
static_assert(kDepth <= kWholeDepth, "sums of whole numbers would overflow");

/// Each thread packs its part of the larger operand; the smaller one is packed for all.
struct Product {
  TileOperand own, shared;
  float* c;
  size_t c_stride;
  const float *row_scale, *column_scale, *addend;
  const TileKernels* kernels;
};

/// Depths in one block: the same number in each, as far as whole tiles allow.
size_t depth_step(const TileOperand& operand) {
  const size_t depth = operand.depth, unit = operand.packed_as == PackedAs::bytes ? 2 * kTileDepth : kTileDepth;
  return divided_up(divided_up(depth, divided_up(depth, kDepth)), unit) * unit;
}

/// A part of an operand, from a row and a depth on.
PackedBlock block_of(const TileOperand& operand, size_t row, size_t most_rows, size_t depth) {
  return {nullptr,
          operand.pieces,
          row,
          std::min(most_rows, operand.rows - row),
          depth,
          std::min(depth_step(operand), operand.depth - depth),
          operand.packed_as};
}

/// Packing the block of the shared operand at [row, depth] into the buffer, then multiplying with it, then `next`.
std::shared_ptr<Work> block_work(const Product& product, size_t row, size_t depth,
                                 const std::shared_ptr<Scratch>& buffer, std::shared_ptr<Work> next) {
  PackedBlock packed = block_of(product.shared, row, kSharedRows, depth);
  packed.tiles = static_cast<uint16_t*>(buffer->bytes());
  if (product.shared.takes_units()) packed.units = reinterpret_cast<float*>(packed.tiles + packed.size());
  PackedBlock part = block_of(product.own, 0, product.own.rows, depth);
  GemmPackArgs pack{product.shared, packed};
  bool is_last = depth + part.depth == product.own.depth;
  GemmMultiplyArgs multiply{product.own, part, packed, product.c, product.c_stride, depth > 0 ? product.c : product.addend,
                            is_last ? product.row_scale : nullptr, is_last ? product.column_scale : nullptr};
  auto products = std::make_shared<Work>(
      Work{part.panels(), kPanel * packed.rows * packed.depth / 64,
           [multiply, buffer, run = product.kernels->multiply](size_t first, size_t last) { run(multiply, first, last); },
           std::move(next)});
  return std::make_shared<Work>(
      Work{packed.panels(), kPanel * packed.depth,
           [pack, buffer, run = product.kernels->pack](size_t first, size_t last) { run(pack, first, last); },
           std::move(products)});
}

Work product_work(const Product& product) {
  PackedBlock largest = block_of(product.shared, 0, kSharedRows, 0);
  const size_t step = depth_step(product.shared);
  auto buffer = std::make_shared<Scratch>(largest.size() * sizeof(uint16_t) + largest.panels() * PackedBlock::kRowBytes);
  std::shared_ptr<Work> work;
  // From the last block to the first, as each names the one after it.
  for (size_t rows = divided_up(product.shared.rows, kSharedRows); rows-- > 0;) {
    for (size_t depths = divided_up(product.shared.depth, step); depths-- > 0;) {
      work = block_work(product, rows * kSharedRows, depths * step, buffer, std::move(work));
    }
  }
  return std::move(*work);
}

/// Parts of a depth so many times the larger side of the result are summed apart, whatever the threads.
constexpr size_t kDeep = 16, kParts = 8, kPartBlock = 384;

bool is_deep(const TileOperand& a, const TileOperand& b) { return a.depth >= kDeep * std::max(a.rows, b.rows); }

/// Parts of the depth, then their sum in order.
Work deep_work(const TileOperand& a, const TileOperand& b, float* c, Kernel<GemmPartsArgs> kernel) {
  size_t part = divided_up(divided_up(a.depth, kParts), kTileDepth) * kTileDepth;
  GemmPartsArgs args{a, b, part, std::min(part, kPartBlock), nullptr};
  auto partial = std::make_shared<Scratch>(args.parts() * args.result_size() * sizeof(float));
  args.partial = partial->floats();
  size_t width = b.rows;
  auto sum = [args, partial, c, width](size_t first, size_t last) {
    for (size_t i = first * width; i < last * width; i++) c[i] = args.partial[i];
    for (size_t p = 1; p < args.parts(); p++) {
      const float* from = args.partial + p * args.result_size();
      for (size_t i = first * width; i < last * width; i++) c[i] += from[i];
    }
  };
  auto summing = std::make_shared<Work>(Work{a.rows, args.parts() * width, sum, nullptr});
  return {args.parts(), a.rows * b.rows * part / 64,
          [args, kernel](size_t first, size_t last) { kernel(args, first, last); }, std::move(summing)};
}

/// Takes a product of floats with codes in whole numbers of 16 bits, where two of these products take as long as one of
/// float32 and two pieces of a float would take as long.
void take_in_whole(TileOperand& floats, TileOperand& codes, Isa isa) {
  if (isa != Isa::avx512_bf16 || floats.pieces != 2 || !floats.lies_in_rows()) return;
  floats.pieces = 1;
  floats.packed_as = codes.packed_as = PackedAs::shorts;
}

/// Takes both factors as whole numbers of a byte, if asked to, where two products of these take as long as one of bfloat16;
/// else each as one piece. Parts of a deep product have no blocks of their own units.
void take_in_bytes(bool asked, TileOperand& a, TileOperand& b, Isa isa) {
  if (!asked) return;
  a.pieces = b.pieces = 1;
  if (isa == Isa::avx512_bf16 && !is_deep(a, b)) a.packed_as = b.packed_as = PackedAs::bytes;
}

/// Both operators plan their product here, once its operands are known. In tiles the multiples of A's units
/// are multiplied, so its units are factors of the rows; those of B are factors along A's depth.
Work gemm_work(TileOperand a, TileOperand b, float* c, Isa isa, const float* column_scale = nullptr,
               const float* addend = nullptr) {
  const TileKernels* kernels = kernels_by(isa);
  if (!kernels || a.rows * b.rows * a.depth == 0) {
    if (b.units) a.depth_scale = nullptr;
    GemmArgs args{a, b, c, column_scale, addend};
    return {a.rows, b.rows * a.depth,
            [args](size_t first, size_t last) { reference::gemm_bfloat16(args, first, last); }, nullptr};
  }
  if (is_deep(a, b) && a.packed_as == PackedAs::pieces && !a.units && !column_scale && !addend) return deep_work(a, b, c, kernels->parts);
  bool a_is_larger = a.rows >= b.rows;
  return product_work({a_is_larger ? a : b, a_is_larger ? b : a, c, b.rows, a.units, column_scale, addend, kernels});
}

/// Rows of the matrix, or of its transpose.
TileOperand operand_of(const Tensor& matrix, bool transposed, bool is_a, size_t pieces) {
  size_t height = static_cast<size_t>(matrix.shape[0]), width = matrix.width();
  if (transposed) return {matrix.data, width, height, 1, width, is_a, pieces};
  return {matrix.data, height, width, width, 1, is_a, pieces};
}

Shape product_shape(const Tensor& a, bool trans_a, const Tensor& b, bool trans_b) {
  bool are_matrices = a.shape.size() == 2 && b.shape.size() == 2;
  if (!are_matrices || a.shape[trans_a ? 0 : 1] != b.shape[trans_b ? 1 : 0]) {
    reject("op(A) must be [M, K] and op(B) [K, N], found A " + text(a.shape) + " and B " + text(b.shape));
  }
  return {a.shape[trans_a ? 1 : 0], b.shape[trans_b ? 0 : 1]};
}

/// An optional factor per row of a matrix.
void require_per_row(const char* name, const Tensor& factors, const char* of, const Tensor& matrix) {
  if (!factors.data || factors.shape == Shape{matrix.shape[0]}) return;
  reject(std::string(name) + " must have one entry per row of " + of + ", found " + text(factors.shape) + " for " + of +
         " " + text(matrix.shape));
}

/// B in bfloat16, A in pieces.
class Bfloat16Base : public Operator {
 public:
  explicit Bfloat16Base(const Attributes& attributes)
      : trans_b_(flag(attributes, "transB")),
        pieces_(static_cast<size_t>(integer_between(attributes, "pieces", 3, 1, 3))),
        in_bytes_(flag(attributes, "bytes")) {}

 protected:
  TileOperand right(const Tensor& b) const {
    TileOperand operand = operand_of(b, !trans_b_, false, 1);
    operand.type = TileData::bfloat16;
    return operand;
  }

  bool trans_b_;
  size_t pieces_;
  bool in_bytes_;
};

/// B as it is or times a factor per row; given the units of A, A as multiples of these.
class GemmBfloat16 final : public Bfloat16Base {
 public:
  using Bfloat16Base::Bfloat16Base;

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    Shape result = product_shape(inputs[0], false, inputs[1], trans_b_);
    require_per_row("scale", inputs[2], "B", inputs[1]);
    require_per_row("units", inputs[3], "A", inputs[0]);
    if (inputs[3].data && !trans_b_) reject("units of A go with transB = 1");
    return {result};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    TileOperand a = operand_of(inputs[0], false, true, inputs[3].data ? 1 : pieces_);
    a.units = inputs[3].floats();
    if (!trans_b_) a.depth_scale = inputs[2].floats();
    const float* column_scale = trans_b_ ? inputs[2].floats() : nullptr;
    TileOperand b = right(inputs[1]);
    // With scales, B are codes.
    b.has_codes = inputs[2].data != nullptr;
    if (b.has_codes && !a.units && !in_bytes_) take_in_whole(a, b, isa);
    take_in_bytes(in_bytes_, a, b, isa);
    return gemm_work(a, b, outputs[0].mutable_floats(), isa, column_scale);
  }
};

/// A op(B) + C.
class GemmBfloat16Add final : public Bfloat16Base {
 public:
  using Bfloat16Base::Bfloat16Base;

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    Shape result = product_shape(inputs[0], false, inputs[1], trans_b_);
    require_same_shape("C", inputs[2], "A op(B)", {nullptr, result});
    return {result};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    TileOperand a = operand_of(inputs[0], false, true, pieces_), b = right(inputs[1]);
    take_in_bytes(in_bytes_, a, b, isa);
    return gemm_work(a, b, outputs[0].mutable_floats(), isa, nullptr, inputs[2].floats());
  }
};

/// op(A) op(B) in float32, each in so many pieces; or one of them, given its units, as multiples of these.
class SplitGemm final : public Operator {
 public:
  explicit SplitGemm(const Attributes& attributes)
      : trans_a_(flag(attributes, "transA")),
        trans_b_(flag(attributes, "transB")),
        units_of_b_(flag(attributes, "unitsOfB")),
        pieces_(static_cast<size_t>(integer_between(attributes, "pieces", 2, 1, 3))),
        in_bytes_(flag(attributes, "bytes")) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    Shape result = product_shape(inputs[0], trans_a_, inputs[1], trans_b_);
    require_per_row("units", inputs[2], units_of_b_ ? "B" : "A", inputs[units_of_b_ ? 1 : 0]);
    bool fits = units_of_b_ ? !trans_b_ : !trans_a_;
    if (inputs[2].data && !fits) reject("units go with transA = 0 for A, transB = 0 for B");
    if (!inputs[2].data && pieces_ == 3) reject("pieces must be 1 or 2 where neither factor has units");
    return {result};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const float* units = inputs[2].floats();
    TileOperand a = operand_of(inputs[0], trans_a_, true, units && !units_of_b_ ? 1 : pieces_);
    TileOperand b = operand_of(inputs[1], !trans_b_, false, units && units_of_b_ ? 1 : pieces_);
    (units_of_b_ ? b : a).units = units;
    if (units_of_b_) a.depth_scale = units;
    take_in_bytes(in_bytes_, a, b, isa);
    return gemm_work(a, b, outputs[0].mutable_floats(), isa);
  }

 private:
  bool trans_a_, trans_b_, units_of_b_;
  size_t pieces_;
  bool in_bytes_;
};

/// One factor as codes of its rows and their scales, exactly; the other one, transposed if asked, in so many pieces.
class CodeGemm final : public Operator {
 public:
  explicit CodeGemm(const Attributes& attributes)
      : codes_of_b_(flag(attributes, "codesOfB")),
        transposes_(flag(attributes, "transposeOther")),
        pieces_(static_cast<size_t>(integer_between(attributes, "pieces", 2, 1, 3))),
        in_bytes_(flag(attributes, "bytes")) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Tensor &codes = inputs[0], &other = inputs[2];
    Shape result = codes_of_b_ ? product_shape(other, transposes_, codes, false)
                               : product_shape(codes, false, other, transposes_);
    require_per_row("scales", inputs[1], "codes", codes);
    return {result};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    TileOperand codes = operand_of(inputs[0], codes_of_b_, !codes_of_b_, 1);
    codes.type = TileData::int8;
    codes.units = inputs[1].floats();
    TileOperand other = operand_of(inputs[2], codes_of_b_ ? transposes_ : !transposes_, codes_of_b_, pieces_);
    if (codes_of_b_) other.depth_scale = codes.units;
    if (!in_bytes_) take_in_whole(other, codes, isa);
    take_in_bytes(in_bytes_, codes, other, isa);
    return gemm_work(codes_of_b_ ? other : codes, codes_of_b_ ? codes : other, outputs[0].mutable_floats(), isa);
  }

 private:
  bool codes_of_b_, transposes_;
  size_t pieces_;
  bool in_bytes_;
};

}  // namespace

OperatorType gemm_bfloat16_type() {
  std::vector<InputSpec> inputs{{}, {ElementType::bfloat16}, {ElementType::float32, true}, {ElementType::float32, true}};
  return {"GemmBfloat16", std::move(inputs), {{}}, make_operator<GemmBfloat16>};
}

OperatorType gemm_bfloat16_add_type() {
  return {"GemmBfloat16Add", {{}, {ElementType::bfloat16}, {}}, {reusing(2)}, make_operator<GemmBfloat16Add>};
}

OperatorType split_gemm_type() {
  return {"SplitGemm", {{}, {}, {ElementType::float32, true}}, {{}}, make_operator<SplitGemm>};
}

OperatorType code_gemm_type() {
  return {"CodeGemm", {{ElementType::int8}, {}, {}}, {{}}, make_operator<CodeGemm>};
}

}  // namespace spinquant
