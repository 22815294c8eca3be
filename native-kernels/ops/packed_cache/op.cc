#include <algorithm>
#include "../../operator/head_rows.h"
#include "../../operator/scratch.h"
#include "../../operator/support.h"
#include "packed_cache.h"

namespace spinquant {
namespace {

const Variants<PackCacheArgs> kPackCache = SPINQUANT_VARIANTS(pack_cache, PackCacheArgs);
const Variants<PackedAttentionArgs> kPackedAttention = SPINQUANT_VARIANTS(packed_attention, PackedAttentionArgs);
const Variants<MergeChunksArgs> kMergeAttention = SPINQUANT_VARIANTS(merge_attention, MergeChunksArgs);

/// Groups of channels whose products are summed in whole numbers of 32 bits: 2^7·255 for each.
constexpr size_t kMostWholeChannels = size_t{1} << 16;

Kernel<PackedAttentionArgs> attention_by(Isa isa, [[maybe_unused]] const PackedLayout& keys) {
#if SPINQUANT_X86
  const bool has_byte_products = isa == Isa::avx512_vnni || isa == Isa::avx512_bf16 || isa == Isa::amx;
  if (has_byte_products && keys.group <= kMostWholeChannels) return avx512_vnni::packed_attention;
#endif
  return kPackedAttention.pick(isa);
}

/// True where rows are taken by the lane: with fewer of them most lanes would be empty.
bool takes_lanes([[maybe_unused]] Isa isa, [[maybe_unused]] const PackedAttentionArgs& args) {
#if SPINQUANT_X86
  return args.rows >= kLaneRows && !args.table && attention_by(isa, args.key_layout) == avx512_vnni::packed_attention;
#else
  return false;
#endif
}

/// Queries of a unit, if there are so many: they share a pass over the tokens.
constexpr size_t kQueriesPerUnit = 16;
/// With so few rows, tokens are shared out among threads as well, a chunk of blocks each. The number of threads does
/// not decide it, so that results do not depend on it.
constexpr size_t kFewRows = 4, kChunkBlocks = 32;

PackedLayout layout_of(size_t width, size_t group, size_t bits, bool has_zeros) {
  if (width == 0 || width % (group > 0 ? group : width) != 0) {
    reject("a head must have channels, a multiple of group " + std::to_string(group) + ", found " +
           std::to_string(width));
  }
  return {width, group > 0 ? group : width, bits > 4 ? size_t{8} : size_t{4}, has_zeros};
}

Shape with_last(Shape shape, size_t drop, std::initializer_list<size_t> last) {
  shape.resize(shape.size() - drop);
  for (size_t dim : last) shape.push_back(static_cast<int64_t>(dim));
  return shape;
}

/// Inputs: rows of heads, with the tables and the matrix that HeadRowsReader knows.
class PackCache final : public Operator {
 public:
  explicit PackCache(const Attributes& attributes)
      : reader_(attributes),
        bits_(integer_between(attributes, "bits", 4, 2, 8)),
        group_(integer_between(attributes, "group", 0, 0, INT32_MAX)),
        symmetric_(flag(attributes, "symmetric")),
        include_zero_(flag(attributes, "include_zero")),
        keys_(flag(attributes, "keys")),
        clip_ratio_(positive_number(attributes, "clip_ratio", 1.0f)),
        lower_ratio_(positive_number(attributes, "lower_ratio", clip_ratio_)) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Tensor& x = inputs[0];
    const HeadRows rows = reader_.shape_of(x);
    const PackedLayout layout = this->layout(rows.width);
    reader_.require_fit(x, inputs[1], inputs[2], inputs[3]);
    const Shape lead = reader_.lead(x);
    const size_t blocks = blocks_of(rows.tokens);
    return {with_last(lead, 0, {blocks, layout.block_bytes()}), with_last(lead, 0, {blocks, layout.block_scales()})};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const float max_level = static_cast<float>(symmetric_ ? (1 << (bits_ - 1)) - 1 : (1 << bits_) - 1);
    const HeadRowsReader::Made made = reader_.read(inputs[0], inputs[1], inputs[2], inputs[3]);
    const PackCacheArgs args{made.rows,
                             static_cast<uint8_t*>(outputs[0].data),
                             outputs[1].mutable_floats(),
                             layout(made.rows.width),
                             max_level,
                             clip_ratio_,
                             lower_ratio_,
                             symmetric_,
                             include_zero_,
                             keys_};
    const size_t units = outputs[0].count() / args.layout.block_bytes();
    const Kernel<PackCacheArgs> kernel = kPackCache.pick(isa);
    return {units, (3 + reader_.cost()) * std::min(kBlockTokens, made.rows.tokens) * args.layout.width,
            [args, kernel, keep = made.keep](size_t first, size_t last) { kernel(args, first, last); }, nullptr};
  }

 private:
  PackedLayout layout(size_t width) const {
    return layout_of(width, static_cast<size_t>(group_), static_cast<size_t>(bits_), !symmetric_);
  }

  HeadRowsReader reader_;
  int64_t bits_, group_;
  bool symmetric_, include_zero_, keys_;
  float clip_ratio_, lower_ratio_;
};

/// What the attributes say of keys or of values.
struct Form {
  int64_t bits, group;
  bool has_zeros;

  Form(const Attributes& attributes, const std::string& of)
      : bits(integer_between(attributes, (of + "_bits").c_str(), 4, 2, 8)),
        group(integer_between(attributes, (of + "_group").c_str(), 0, 0, INT32_MAX)),
        has_zeros(flag(attributes, (of + "_zeros").c_str())) {}

  PackedLayout layout(size_t width) const {
    return layout_of(width, static_cast<size_t>(group), static_cast<size_t>(bits), has_zeros);
  }
};

/// Packed tokens [..., blocks, bytes] with scales [..., blocks, groups · 16].
void require_packed(const char* name, const Tensor& q, const PackedLayout& layout, const Tensor& codes,
                    const Tensor& scales, size_t tokens) {
  const size_t rank = q.shape.size();
  const int64_t blocks = codes.shape.size() == rank ? codes.shape[rank - 2] : -1;
  const Shape wanted_codes = with_last(q.shape, 2, {static_cast<size_t>(blocks), layout.block_bytes()});
  const Shape wanted_scales = with_last(q.shape, 2, {static_cast<size_t>(blocks), layout.block_scales()});
  if (blocks >= 0 && codes.shape == wanted_codes && scales.shape == wanted_scales &&
      blocks_of(tokens) <= static_cast<size_t>(blocks)) {
    return;
  }
  reject(std::string(name) + " for Q " + text(q.shape) + " must be codes [..., blocks, " +
         std::to_string(layout.block_bytes()) + "] and scales [..., blocks, " + std::to_string(layout.block_scales()) +
         "] with at least " + std::to_string(blocks_of(tokens)) + " blocks of 16 tokens, found " + text(codes.shape) +
         " and " + text(scales.shape));
}

/// Inputs: q [..., repeats·rows, h]; the new tokens' keys (codes, scales) and values (the same); those of the cache;
/// length [1]; where keys have a constant part, coefficients [..., repeats·rows, terms] and a table [positions, terms].
/// With attribute `joined` q is [sequences, groups, repeats·rows, h], and the result [sequences · rows, heads · h].
class PackedAttention final : public Operator {
 public:
  explicit PackedAttention(const Attributes& attributes)
      : keys_(attributes, "key"),
        values_(attributes, "value"),
        scale_(positive_number(attributes, "scale", 1.0f)),
        window_(integer_between(attributes, "window", 0, 0, INT64_MAX)),
        stacked_(attributes),
        joined_(flag(attributes, "joined")) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Tensor &q = inputs[0], &length = inputs[9];
    const size_t rows = stacked_.of(q);
    if (length.shape != Shape{1}) reject("length must be [1], found " + text(length.shape));
    const int64_t tokens = length.integers()[0];
    if (tokens < 0 || tokens > INT32_MAX) reject("length must be from 0 to the capacity, found " + std::to_string(tokens));
    const size_t past = static_cast<size_t>(tokens);
    const PackedLayout keys = keys_.layout(q.width()), values = values_.layout(q.width());
    require_packed("the new keys", q, keys, inputs[1], inputs[2], rows);
    require_packed("the new values", q, values, inputs[3], inputs[4], rows);
    require_packed("the keys of the cache", q, keys, inputs[5], inputs[6], past);
    require_packed("the values of the cache", q, values, inputs[7], inputs[8], past);
    require_constant_part(q, inputs[10], inputs[11], past + rows);
    if (!joined_) return {q.shape};
    if (q.shape.size() != 4) reject("Q must be [sequences, groups, repeats * rows, h] to be joined, found " + text(q.shape));
    return {{q.shape[0] * static_cast<int64_t>(stacked_.of(q)), static_cast<int64_t>(heads_of(q) * q.width())}};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& q = inputs[0];
    const size_t stacked = static_cast<size_t>(q.shape[q.shape.size() - 2]), rows = stacked_.of(q);
    const size_t repeats = stacked / rows, groups = q.count() / (stacked * q.width());
    PackedAttentionArgs args{q.floats(),
                             tokens_of(inputs[1], inputs[2]),
                             tokens_of(inputs[3], inputs[4]),
                             tokens_of(inputs[5], inputs[6]),
                             tokens_of(inputs[7], inputs[8]),
                             keys_.layout(q.width()),
                             values_.layout(q.width()),
                             inputs[10].floats(),
                             inputs[11].floats(),
                             inputs[11].data ? inputs[11].width() : 0,
                             nullptr,
                             repeats,
                             rows,
                             static_cast<size_t>(inputs[9].integers()[0]),
                             static_cast<size_t>(window_),
                             std::min(rows, std::max<size_t>(kQueriesPerUnit / repeats, 1)),
                             0,
                             scale_};
    args.chunk_blocks = rows <= kFewRows ? kChunkBlocks : args.block_count();
    const bool by_lanes = takes_lanes(isa, args);
    if (by_lanes) args.row_block = kLaneRows;
    const size_t queries = groups * stacked;
    auto partial = std::make_shared<Scratch>(queries * args.chunks() * args.partial_size() * sizeof(float));
    args.partial = partial->floats();
    const MergeChunksArgs merge{args.partial, outputs[0].mutable_floats(), args.chunks(), q.width(), joined_ ? heads_of(q) : 1, rows};
#if SPINQUANT_X86
    const auto attend = by_lanes ? avx512_vnni::packed_attention_rows : attention_by(isa, args.key_layout);
#else
    const auto attend = attention_by(isa, args.key_layout);
#endif
    const auto bring_together = kMergeAttention.pick(isa);
    auto merging = std::make_shared<Work>(
        Work{queries, args.chunks() * q.width(),
             [merge, partial, bring_together](size_t first, size_t last) { bring_together(merge, first, last); }, nullptr});
    const size_t tokens = std::min(args.block_count(), args.chunk_blocks) * kBlockTokens;
    return {groups * args.row_blocks() * args.chunks(), repeats * args.row_block * tokens * (q.width() / 8 + 4),
            [args, partial, attend](size_t first, size_t last) { attend(args, first, last); }, std::move(merging)};
  }

 private:
  /// Query heads, where they are joined.
  size_t heads_of(const Tensor& q) const { return static_cast<size_t>(q.shape[1] * q.shape[2]) / stacked_.of(q); }

  static PackedTokens tokens_of(const Tensor& codes, const Tensor& scales) {
    return {static_cast<const uint8_t*>(codes.data), scales.floats(),
            static_cast<size_t>(codes.shape[codes.shape.size() - 2])};
  }

  static void require_constant_part(const Tensor& q, const Tensor& coefficients, const Tensor& table, size_t positions) {
    if (!coefficients.data && !table.data) return;
    const bool fits = coefficients.data && table.data && table.shape.size() == 2 &&
                      table.shape[0] >= static_cast<int64_t>(positions) &&
                      coefficients.shape == with_last(q.shape, 1, {table.width()});
    if (fits) return;
    reject("coefficients must be [..., repeats * rows, n] for Q " + text(q.shape) + ", and the table [positions, n] with at least " +
           std::to_string(positions) + " positions, found " + text(coefficients) + " and " + text(table));
  }

  Form keys_, values_;
  float scale_;
  int64_t window_;
  StackedRows stacked_;
  bool joined_;
};

constexpr InputSpec kBytes{ElementType::int8, false}, kLength{ElementType::int64, false},
    kOptional{ElementType::float32, true};

}  // namespace

OperatorType pack_cache_type() {
  return {"PackCache",
          {{}, kOptional, kOptional, kOptional},
          {{ElementType::int8}, {}},
          make_operator<PackCache>};
}

OperatorType packed_attention_type() {
  return {"PackedAttention",
          {{}, kBytes, {}, kBytes, {}, kBytes, {}, kBytes, {}, kLength, kOptional, kOptional},
          {{}},
          make_operator<PackedAttention>};
}

}  // namespace spinquant
