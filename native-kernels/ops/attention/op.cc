#include <algorithm>
#include "../../operator/support.h"
#include "../../operator/scratch.h"
#include "tiles.h"

namespace spinquant {
namespace {

const Variants<CausalAttentionArgs> kCausalAttention = SPINQUANT_VARIANTS(causal_attention, CausalAttentionArgs);
const Variants<CausalAttentionGradArgs> kCausalAttentionGrad =
    SPINQUANT_VARIANTS(causal_attention_grad, CausalAttentionGradArgs);
/// The bodies for an instruction set with products of bfloat16.
struct TileKernels {
  Kernel<PackHeadsArgs> pack;
  Kernel<TileAttentionArgs> forward;
  Kernel<TileAttentionGradArgs> gradient;
};

const TileKernels kOnVectors{avx512_bf16::pack_heads, avx512_bf16::tile_attention, avx512_bf16::tile_attention_grad};
const TileKernels kInTiles{amx::pack_heads, amx::tile_attention, amx::tile_attention_grad};

const Variants<AttentionPartialSumArgs> kPartialSum =
    SPINQUANT_VARIANTS(attention_partial_sum, AttentionPartialSumArgs);

/// Units wanted of the backward pass, whatever the number of threads, so that results do not depend on it.
constexpr size_t kGradientUnits = 16;
/// Shorter chunks cost more in zeroing and summing their dk and dv than they gain.
constexpr size_t kSmallestChunk = 512;
/// Keys are padded to this, the block of the kernels, and channels to the widest vector.
constexpr size_t kKeyBlock = 64, kWidestVector = 16;

size_t round_up(size_t n, size_t step) { return (n + step - 1) / step * step; }

class AttentionBase : public Operator {
 public:
  explicit AttentionBase(const Attributes& attributes)
      : scale_(positive_number(attributes, "scale", 1.0f)),
        window_(integer_between(attributes, "window", 0, 0, INT64_MAX)),
        rows_(integer_between(attributes, "rows", 1, 1, INT64_MAX)),
        pieces_(static_cast<size_t>(integer_between(attributes, "pieces", 0, 0, 2))),
        score_pieces_(static_cast<size_t>(integer_between(attributes, "score_pieces", 2, 1, 2))) {}

 protected:
  /// q [..., repeats·rows, width], k and v [..., keys, width].
  AttentionShape shape_of(const Tensor& q, const Tensor& k, const Tensor& v) const {
    require_same_shape("K", k, "V", v);
    size_t rank = q.shape.size(), rows = static_cast<size_t>(rows_);
    bool fits = rank >= 2 && k.shape.size() == rank && q.count() > 0 && q.shape.back() == k.shape.back() &&
                std::equal(q.shape.begin(), q.shape.end() - 2, k.shape.begin());
    size_t stacked = fits ? static_cast<size_t>(q.shape[rank - 2]) : 0;
    size_t keys = fits ? static_cast<size_t>(k.shape[rank - 2]) : 0;
    if (!fits || stacked % rows != 0 || rows > keys) {
      reject("Q must be [..., repeats * " + std::to_string(rows_) + ", h] and K, V [..., keys, h], found " +
             text(q.shape) + " and " + text(k.shape));
    }
    size_t groups = q.count() / (stacked * q.width());
    // Kernels count positions in 32 bits: a window that leaves out nothing is none.
    size_t window = static_cast<size_t>(window_) < keys ? static_cast<size_t>(window_) : 0;
    return {groups, stacked / rows, rows, keys, q.width(), window, scale_};
  }

  static void require_units(const Tensor& k, const Tensor& units) {
    if (!units.data || units.shape == Shape(k.shape.begin(), k.shape.end() - 1)) return;
    reject("units must have one entry per row of K, found " + text(units.shape) + " for K " + text(k.shape));
  }

  /// The bodies for products of bfloat16, where they may be used and there are some; else null.
  const TileKernels* tile_kernels(Isa isa) const {
    if (pieces_ == 0) return nullptr;
    return isa == Isa::amx ? &kInTiles : isa == Isa::avx512_bf16 ? &kOnVectors : nullptr;
  }

  size_t pieces() const { return pieces_; }
  size_t score_pieces() const { return score_pieces_; }

 private:
  float scale_;
  int64_t window_, rows_;
  size_t pieces_, score_pieces_;
};

/// Keys and values of all groups in tiles, which the work after it reads.
class TilePacking {
 public:
  TilePacking(const AttentionShape& shape, Kernel<PackHeadsArgs> kernel) : args_{{}, 0, shape}, kernel_(kernel) {}

  PackedHeads add(const float* data, const float* units, bool transposed, size_t pieces) {
    PackedHeads heads{data, units, transposed, pieces};
    auto memory = std::make_shared<Scratch>(args_.shape.groups * heads.of(args_.shape, 0).size() * sizeof(uint16_t));
    heads.tiles = static_cast<uint16_t*>(memory->bytes());
    memories_.push_back(std::move(memory));
    args_.packed[args_.matrices++] = heads;
    return heads;
  }

  /// Packs, then does `next` with the tiles still there.
  Work then(Work next) const {
    auto run = next.run;
    next.run = [run, memories = memories_](size_t first, size_t last) { run(first, last); };
    return {args_.shape.groups * args_.matrices, args_.shape.keys * args_.shape.width / 8,
            [args = args_, kernel = kernel_](size_t first, size_t last) { kernel(args, first, last); },
            std::make_shared<Work>(std::move(next))};
  }

 private:
  PackHeadsArgs args_;
  Kernel<PackHeadsArgs> kernel_;
  std::vector<std::shared_ptr<Scratch>> memories_;
};

class CausalAttention final : public AttentionBase {
 public:
  using AttentionBase::AttentionBase;

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    shape_of(inputs[0], inputs[1], inputs[2]);
    require_units(inputs[1], inputs[3]);
    const Shape& q = inputs[0].shape;
    return {q, Shape(q.begin(), q.end() - 1)};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    AttentionShape shape = shape_of(inputs[0], inputs[1], inputs[2]);
    CausalAttentionArgs args{inputs[0].floats(),          inputs[1].floats(),          inputs[2].floats(),
                             outputs[0].mutable_floats(), outputs[1].mutable_floats(), shape};
    if (const TileKernels* kernels = tile_kernels(isa)) {
      TilePacking packing(shape, kernels->pack);
      const float* units = inputs[3].floats();
      TileAttentionArgs tiles{args, packing.add(args.k, units, false, pieces()),
                              packing.add(args.v, nullptr, true, pieces()), pieces()};
      return packing.then({shape.query_heads() * tiles.units_per_head(), kTileQueries * shape.keys * shape.width / 64,
                           [tiles, run = kernels->forward](size_t first, size_t last) { run(tiles, first, last); }, nullptr});
    }
    size_t cost = kQueriesPerUnit * shape.keys * shape.width / 16;
    return kernel_work(kCausalAttention, isa, args, shape.query_heads() * args.units_per_head(), cost);
  }
};

class CausalAttentionGrad final : public AttentionBase {
 public:
  using AttentionBase::AttentionBase;

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    shape_of(inputs[0], inputs[1], inputs[2]);
    require_units(inputs[1], inputs[6]);
    require_same_shape("Q", inputs[0], "O", inputs[3]);
    require_same_shape("Q", inputs[0], "dO", inputs[5]);
    if (inputs[4].shape != Shape(inputs[0].shape.begin(), inputs[0].shape.end() - 1)) {
      reject("lse must have one entry per row of Q, found " + text(inputs[4].shape));
    }
    return {inputs[0].shape, inputs[1].shape, inputs[2].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    AttentionShape shape = shape_of(inputs[0], inputs[1], inputs[2]);
    const TileKernels* kernels = tile_kernels(isa);
    size_t wanted = (kGradientUnits + shape.query_heads() - 1) / shape.query_heads();
    size_t chunks = std::max<size_t>(1, std::min(wanted, shape.rows / kSmallestChunk));
    size_t chunk_rows = round_up((shape.rows + chunks - 1) / chunks, kernels ? kTileQueries : kQueriesPerUnit);
    chunks = (shape.rows + chunk_rows - 1) / chunk_rows;
    CausalAttentionGradArgs args{inputs[0].floats(), inputs[1].floats(), inputs[2].floats(),
                                 inputs[3].floats(), inputs[4].floats(), inputs[5].floats(),
                                 outputs[0].mutable_floats(), nullptr, shape, chunks, chunk_rows,
                                 round_up(shape.keys, kKeyBlock), round_up(shape.width, kernels ? kPanel : kWidestVector)};
    size_t units = shape.query_heads() * chunks;
    auto partial = std::make_shared<Scratch>(units * 2 * args.partial_size() * sizeof(float));
    args.partial = partial->floats();
    AttentionPartialSumArgs sums{args.partial, outputs[1].mutable_floats(), outputs[2].mutable_floats(), shape,
                                 chunks,       args.keys_padded,            args.width_padded};
    Kernel<AttentionPartialSumArgs> sum = kPartialSum.pick(isa);
    size_t sum_cost = 2 * shape.repeats * chunks * shape.width;
    auto summing = std::make_shared<Work>(Work{shape.groups * shape.keys, sum_cost,
                                               [sums, sum, partial](size_t a, size_t b) { sum(sums, a, b); }, nullptr});
    if (kernels) return tile_work(args, *kernels, inputs[6].floats(), units, std::move(summing));
    Work work = kernel_work(kCausalAttentionGrad, isa, args, units, chunk_rows * shape.keys * shape.width / 8);
    work.next = std::move(summing);
    return work;
  }

 private:
  Work tile_work(const CausalAttentionGradArgs& args, const TileKernels& kernels, const float* key_units, size_t units,
                 std::shared_ptr<Work> next) const {
    TilePacking packing(args.shape, kernels.pack);
    TileAttentionGradArgs tiles{args, packing.add(args.k, key_units, false, score_pieces()),
                                packing.add(args.k, key_units, true, pieces()),
                                packing.add(args.v, nullptr, false, pieces()), pieces(), score_pieces()};
    return packing.then({units, args.chunk_rows * args.shape.keys * args.shape.width / 32,
                         [tiles, run = kernels.gradient](size_t first, size_t last) { run(tiles, first, last); },
                         std::move(next)});
  }
};

}  // namespace

/// The rows of K are whole multiples of these units, at most 256 times; only tiles use them.
constexpr InputSpec kUnits{ElementType::float32, true};

OperatorType causal_attention_type() {
  return {"CausalAttention", {{}, {}, {}, kUnits}, {{}, {}}, make_operator<CausalAttention>};
}

OperatorType causal_attention_grad_type() {
  return {"CausalAttentionGrad", {{}, {}, {}, {}, {}, {}, kUnits}, {{}, {}, {}}, make_operator<CausalAttentionGrad>};
}

}  // namespace spinquant
