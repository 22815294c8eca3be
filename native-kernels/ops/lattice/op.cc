#include "../../operator/support.h"
#include "lattice.h"

namespace spinquant {
namespace {

const Variants<LatticeRoundArgs> kLatticeRound = SPINQUANT_VARIANTS(lattice_round, LatticeRoundArgs);

/// Doubles of one vector are multiplied in an elementary step.
constexpr size_t kStepWidth = 8;
constexpr int64_t kMaxSweeps = 100;

class LatticeRound final : public Operator {
 public:
  explicit LatticeRound(const Attributes& attributes)
      : bits_(integer_between(attributes, "bits", 4, 2, 4)),
        sweeps_(integer_between(attributes, "sweeps", 10, 0, kMaxSweeps)) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Shape& w = inputs[0].shape;
    const int64_t block = kBlock;
    if (w.size() != 2 || w[1] == 0 || w[1] % block != 0)
      reject("W must be [m, n], n a multiple of 8, found " + text(w));
    const Shape panels{w[1] / block, w[1], block};
    const char* names[] = {"L", "G"};
    for (size_t i = 0; i < 2; i++)
      if (inputs[i + 1].shape != panels)
        reject(std::string(names[i]) + " must be " + text(panels) + ", found " + text(inputs[i + 1].shape));
    return {w, w};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const size_t m = static_cast<size_t>(inputs[0].shape[0]), n = inputs[0].width();
    const size_t sweeps = static_cast<size_t>(sweeps_);
    LatticeRoundArgs args{inputs[0].floats(),         inputs[1].floats(),         inputs[2].floats(),
                          outputs[0].mutable_bytes(), outputs[1].mutable_bytes(), m,
                          n,                          sweeps,                     static_cast<int>(bits_)};
    const size_t units = (m + kLatticeRows - 1) / kLatticeRows;
    return kernel_work(kLatticeRound, isa, args, units, (sweeps + 1) * n * n * kLatticeRows / kStepWidth);
  }

 private:
  int64_t bits_, sweeps_;
};

}  // namespace

OperatorType lattice_round_type() {
  return {"LatticeRound", {{}, {}, {}}, {{ElementType::int8}, {ElementType::int8}}, make_operator<LatticeRound>};
}

}  // namespace spinquant
