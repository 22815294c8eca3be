#include "../../operator/support.h"
#include "stored_rows.h"

namespace spinquant {
namespace {

const Variants<StoredRowsArgs> kStoredRows = SPINQUANT_VARIANTS(stored_rows, StoredRowsArgs);

class StoredRows final : public Operator {
 public:
  explicit StoredRows(const Attributes&) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Shape &x = inputs[0].shape, &w = inputs[1].shape;
    if (x.size() != 2 || w.size() != 2 || x[1] != w[1]) {
      reject("StoredRows multiplies [T, K] by [N, K], not " + text(x) + " by " + text(w));
    }
    return {{x[0], w[0]}};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor &x = inputs[0], &w = inputs[1];
    const size_t rows = static_cast<size_t>(x.shape[0]), width = static_cast<size_t>(w.shape[0]);
    StoredRowsArgs args{x.floats(), static_cast<const uint16_t*>(w.data), outputs[0].mutable_floats(),
                        rows,       x.width(),                            width};
    return kernel_work(kStoredRows, isa, args, width, rows * x.width());
  }
};

}  // namespace

OperatorType stored_rows_type() {
  return {"StoredRows", {{}, {ElementType::bfloat16}}, {{}}, make_operator<StoredRows>};
}

}  // namespace spinquant
