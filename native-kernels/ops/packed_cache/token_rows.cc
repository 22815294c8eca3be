#include "token_rows.h"
#include <algorithm>
#include <cstring>
#include "../../operator/support.h"

namespace spinquant {
namespace {

/// Calls `copy(row, codes, bytes)` for each piece of a token's codes and zero points, by where they lie in the row and
/// in the codes of a head.
template <class Copy>
void for_each_piece(const TokenRows& form, size_t place, Copy copy) {
  const PackedLayout& layout = form.layout;
  const size_t block = place / kBlockTokens * layout.block_bytes(), lane = place % kBlockTokens;
  if (form.is_keys) {
    for (size_t word = 0; word < layout.words(); word++) copy(word * 4, block + (word * kBlockTokens + lane) * 4, 4);
  } else {
    copy(0, block + lane * form.word_bytes(), form.word_bytes());
  }
  if (!layout.has_zeros) return;
  for (size_t group = 0; group < layout.groups(); group++) {
    copy(form.word_bytes() + group * 2, block + layout.code_bytes() + (group * kBlockTokens + lane) * 2, 2);
  }
}

size_t scale_place(const TokenRows& form, size_t place, size_t group) {
  return place / kBlockTokens * form.layout.block_scales() + group * kBlockTokens + place % kBlockTokens;
}

}  // namespace

void read_token(const TokenRows& form, const uint8_t* codes, const float* scales, size_t place, uint8_t* row) {
  for_each_piece(form, place, [&](size_t in_row, size_t in_codes, size_t bytes) {
    std::memcpy(row + in_row, codes + in_codes, bytes);
  });
  uint8_t* const own_scales = row + form.word_bytes() + form.zero_bytes();
  for (size_t group = 0; group < form.layout.groups(); group++) {
    std::memcpy(own_scales + group * 4, scales + scale_place(form, place, group), 4);
  }
  std::memset(row + form.needed(), 0, form.bytes - form.needed());
}

void write_token(const TokenRows& form, const uint8_t* row, size_t place, uint8_t* codes, float* scales) {
  for_each_piece(form, place, [&](size_t in_row, size_t in_codes, size_t bytes) {
    std::memcpy(codes + in_codes, row + in_row, bytes);
  });
  const uint8_t* const own_scales = row + form.word_bytes() + form.zero_bytes();
  for (size_t group = 0; group < form.layout.groups(); group++) {
    std::memcpy(scales + scale_place(form, place, group), own_scales + group * 4, 4);
  }
}

namespace {

/// What both operators know of the rows: attributes `width` (channels of a head), `bits`, `group`, `zeros` and `keys`.
class RowsForm {
 public:
  explicit RowsForm(const Attributes& attributes)
      : width_(integer_between(attributes, "width", 0, 1, INT32_MAX)),
        bits_(integer_between(attributes, "bits", 4, 2, 8)),
        group_(integer_between(attributes, "group", 0, 0, INT32_MAX)),
        zeros_(flag(attributes, "zeros")),
        keys_(flag(attributes, "keys")) {}

  /// Throws unless the rows [..., tokens, bytes] have room for a token.
  TokenRows of(const Tensor& rows) const {
    const size_t width = static_cast<size_t>(width_), group = group_ > 0 ? static_cast<size_t>(group_) : width;
    if (width % group != 0) {
      reject("a head of " + std::to_string(width) + " channels has no groups of " + std::to_string(group));
    }
    const TokenRows form{{width, group, bits_ > 4 ? size_t{8} : size_t{4}, zeros_}, keys_, rows.width()};
    if (rows.shape.size() >= 2 && form.bytes >= form.needed()) return form;
    reject("rows of tokens must be [..., tokens, " + std::to_string(form.needed()) + " or more bytes], found " +
           text(rows.shape));
  }

 private:
  int64_t width_, bits_, group_;
  bool zeros_, keys_;
};

size_t tokens_of(const Tensor& rows) { return static_cast<size_t>(rows.shape[rows.shape.size() - 2]); }

/// Heads of all sequences: the dimensions before the last two.
size_t heads_of(const Tensor& rows) {
  return element_count(Shape(rows.shape.begin(), rows.shape.end() - 2));
}

Shape with_last(const Tensor& rows, size_t before, size_t last) {
  Shape shape = rows.shape;
  shape[shape.size() - 2] = static_cast<int64_t>(before);
  shape.back() = static_cast<int64_t>(last);
  return shape;
}

/// Puts new tokens, packed in blocks of their own, behind the rows of those before. Inputs: rows [..., past, bytes];
/// codes [..., blocks, block bytes] and scales [..., blocks, groups·16] of the new ones; their number [1].
class AppendTokens final : public Operator {
 public:
  explicit AppendTokens(const Attributes& attributes) : form_(attributes) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Tensor &rows = inputs[0], &count = inputs[3];
    const TokenRows form = form_.of(rows);
    if (count.shape != Shape{1}) reject("the number of tokens must be [1], found " + text(count.shape));
    const int64_t tokens = count.integers()[0];
    if (tokens < 0 || tokens > INT32_MAX) reject("the number of tokens must not be " + std::to_string(tokens));
    const size_t blocks = blocks_of(static_cast<size_t>(tokens));
    const Shape codes = with_last(rows, blocks, form.layout.block_bytes());
    const Shape scales = with_last(rows, blocks, form.layout.block_scales());
    if (inputs[1].shape != codes || inputs[2].shape != scales) {
      reject(std::to_string(tokens) + " tokens for rows " + text(rows.shape) + " must be codes " + text(codes) +
             " and scales " + text(scales) + ", found " + text(inputs[1].shape) + " and " + text(inputs[2].shape));
    }
    return {with_last(rows, tokens_of(rows) + static_cast<size_t>(tokens), rows.width())};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa) const override {
    const Tensor& rows = inputs[0];
    const TokenRows form = form_.of(rows);
    const size_t past = tokens_of(rows), added = static_cast<size_t>(inputs[3].integers()[0]);
    const size_t blocks = blocks_of(added), total = past + added;
    const auto* before = static_cast<const uint8_t*>(rows.data);
    const auto* codes = static_cast<const uint8_t*>(inputs[1].data);
    const float* scales = inputs[2].floats();
    auto* after = static_cast<uint8_t*>(outputs[0].data);
    return {heads_of(rows), total * form.bytes / 16 + 1,
            [=](size_t first, size_t last) {
              for (size_t head = first; head < last; head++) {
                uint8_t* const own = after + head * total * form.bytes;
                std::memcpy(own, before + head * past * form.bytes, past * form.bytes);
                const uint8_t* const own_codes = codes + head * blocks * form.layout.block_bytes();
                const float* const own_scales = scales + head * blocks * form.layout.block_scales();
                for (size_t token = 0; token < added; token++) {
                  read_token(form, own_codes, own_scales, token, own + (past + token) * form.bytes);
                }
              }
            },
            nullptr};
  }

 private:
  RowsForm form_;
};

/// Rows of tokens [..., tokens, bytes] as blocks that attention reads: codes and scales as PackCache gives them.
class TokenBlocks final : public Operator {
 public:
  explicit TokenBlocks(const Attributes& attributes) : form_(attributes) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Tensor& rows = inputs[0];
    const TokenRows form = form_.of(rows);
    const size_t blocks = blocks_of(tokens_of(rows));
    return {with_last(rows, blocks, form.layout.block_bytes()), with_last(rows, blocks, form.layout.block_scales())};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa) const override {
    const Tensor& rows = inputs[0];
    const TokenRows form = form_.of(rows);
    const size_t tokens = tokens_of(rows), blocks = blocks_of(tokens);
    const auto* all = static_cast<const uint8_t*>(rows.data);
    auto* codes = static_cast<uint8_t*>(outputs[0].data);
    float* scales = outputs[1].mutable_floats();
    const size_t block_bytes = form.layout.block_bytes(), block_scales = form.layout.block_scales();
    return {heads_of(rows) * blocks, kBlockTokens * form.bytes / 4,
            [=](size_t first, size_t last) {
              for (size_t unit = first; unit < last; unit++) {
                const size_t head = unit / blocks, begin = unit % blocks * kBlockTokens;
                const size_t count = std::min(tokens - begin, kBlockTokens);
                uint8_t* const own_codes = codes + unit * block_bytes;
                float* const own_scales = scales + unit * block_scales;
                if (count < kBlockTokens) {
                  std::memset(own_codes, 0, block_bytes);
                  std::memset(own_scales, 0, block_scales * sizeof(float));
                }
                for (size_t token = 0; token < count; token++) {
                  write_token(form, all + (head * tokens + begin + token) * form.bytes, token, own_codes, own_scales);
                }
              }
            },
            nullptr};
  }

 private:
  RowsForm form_;
};

constexpr InputSpec kBytes{ElementType::int8, false}, kCount{ElementType::int64, false};

}  // namespace

OperatorType append_tokens_type() {
  return {"AppendTokens", {kBytes, kBytes, {}, kCount}, {{ElementType::int8}}, make_operator<AppendTokens>};
}

OperatorType token_blocks_type() {
  return {"TokenBlocks", {kBytes}, {{ElementType::int8}, {}}, make_operator<TokenBlocks>};
}

}  // namespace spinquant
