// The products of panels with rows of activations; included by the sources that are compiled per instruction set.
#pragma once
#include "byte_products.h"
#include "group_sums.h"
#include "int4_matmul.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Rows of activations and panels that are multiplied together: their sums stay in registers.
#if defined(__AVX512VNNI__)
constexpr size_t kTogether = 12, kPanelsTogether = 2;
#elif defined(__AVX512F__)
constexpr size_t kTogether = 8, kPanelsTogether = 1;
#else
constexpr size_t kTogether = 4, kPanelsTogether = 1;
#endif

/// Sums of shorter parts are needed so often that they had better stay in registers, which those of a panel do.
constexpr size_t kLongPart = 64;

/// Bytes of activations that are multiplied with all panels before the next ones: at most half of a second-level cache.
constexpr size_t kCachedBytes = 256 * 1024;

/// Bytes of weights that a tile of tokens is multiplied with before the next one; both fit a second-level cache. Results
/// of a tile then lie side by side, in few pages.
#if defined(__AVX512VNNI__)
constexpr size_t kCachedWeights = 512 * 1024;
#else
constexpr size_t kCachedWeights = 0;
#endif

/// Weights are asked for this far ahead: a page and more than what a read from memory takes.
constexpr size_t kAhead = 2048;

/// So many tokens with so many panels that follow one another.
template <size_t Tokens, size_t Panels>
class Tile {
 public:
  SPINQUANT_INLINE_MEMBER Tile(const PanelResults& results, size_t panel, size_t token)
      : results_(results), panel_(panel), token_(token) {}

  /// Of rows in one part.
  SPINQUANT_INLINE_MEMBER void multiply_rows() const {
    if (Tokens > 2) results_.expect(token_, Tokens, panel_, Panels);
    IntVec products[Tokens][kVectors];
    const uint8_t* w = weights();
    const int8_t* a = activations();
    sum_part(w, a, products);
    SPINQUANT_UNROLL
    for (size_t p = 0; p < Panels; p++) {
      results_.template write_rows<Tokens>(token_, panel_ + p, &products[0][p * kParts], kVectors);
    }
  }

  /// Of groups that are a span, or several.
  SPINQUANT_INLINE_MEMBER void multiply_spans() const {
    const uint8_t* w = weights();
    const int8_t* a = activations();
    if (Tokens > 2) results_.expect(token_, Tokens, panel_, Panels);
    Vec totals[Panels][Tokens][kParts]{}, values[Panels][Tokens][kParts]{};
    for (size_t g = 0, part = 0; g < results_.groups; g++) {
      const Grids grids(results_, panel_, g);
      for (const size_t end = part + results_.parts_of_group; part < end; part++) {
        IntVec products[Tokens][kVectors];
        sum_part(w, a, products);
        SPINQUANT_UNROLL
        for (size_t v = 0; v < kVectors; v++) {
          const size_t p = v / kParts, lanes = v % kParts;
          results_.add_part(grids.of[p][lanes], lanes, token_, part, &products[0][p * kParts], kVectors, totals[p]);
        }
      }
      SPINQUANT_UNROLL
      for (size_t p = 0; p < Panels; p++) results_.end_group(panel_ + p, g, totals[p], values[p]);
    }
    store(values);
  }

  /// Of spans of several groups.
  SPINQUANT_INLINE_MEMBER void multiply_groups() const {
    const uint8_t* w = weights();
    const int8_t* a = activations();
    Vec totals[Panels][Tokens][kParts]{}, values[Panels][Tokens][kParts]{};
    for (size_t g = 0, span = 0; g < results_.groups; g++) {
      IntVec products[Tokens][kVectors];
      sum_part(w, a, products);
      SPINQUANT_UNROLL
      for (size_t p = 0; p < Panels; p++) {
        results_.add_group(token_, panel_ + p, g, &products[0][p * kParts], kVectors, totals[p]);
      }
      if ((g + 1) % results_.parts_of_span != 0) continue;
      for (size_t p = 0; p < Panels; p++) results_.end_span(token_, span, totals[p], values[p]);
      span++;
    }
    store(values);
  }

 private:
  static constexpr size_t kVectors = Panels * kParts;

  /// What the panels have for a group.
  struct Grids {
    GroupGrid of[Panels][kParts];

    SPINQUANT_INLINE_MEMBER Grids(const PanelResults& results, size_t panel, size_t g) {
      SPINQUANT_UNROLL
      for (size_t v = 0; v < kVectors; v++) {
        of[v / kParts][v % kParts] = results.grid_of(panel + v / kParts, g, v % kParts);
      }
    }
  };
  using TileSums = Sums<Tokens <= 2>[Tokens][kVectors];

  const uint8_t* weights() const { return results_.args.packed + panel_ * results_.panel_bytes; }
  const int8_t* activations() const { return results_.args.codes + token_ * results_.depth; }

  SPINQUANT_INLINE_MEMBER void store(Vec (&values)[Panels][Tokens][kParts]) const {
    SPINQUANT_UNROLL
    for (size_t p = 0; p < Panels; p++) results_.write(token_, panel_ + p, values[p]);
  }

  /// Σ a·u over a part's columns, behind which w and a then point.
  SPINQUANT_INLINE_MEMBER void sum_part(const uint8_t*& w, const int8_t*& a, IntVec (&products)[Tokens][kVectors]) const {
    TileSums sums{};
    for (size_t i = 0; i < results_.part; i += kDepthStep, a += kDepthStep, w += kDepthStep / kBlockColumns * kBlockBytes) {
      add_step(sums, w, a);
    }
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Tokens; i++) {
      SPINQUANT_UNROLL
      for (size_t v = 0; v < kVectors; v++) products[i][v] = sums[i][v].total();
    }
  }

  SPINQUANT_INLINE_MEMBER void add_step(TileSums& sums, const uint8_t* w, const int8_t* a) const {
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Tokens; i++) {
      SPINQUANT_UNROLL
      for (size_t v = 0; v < kVectors; v++) sums[i][v].begin_step();
    }
    SPINQUANT_UNROLL
    for (size_t block = 0; block < kDepthStep / kBlockColumns; block++) {
      if (Tokens == 1) __builtin_prefetch(w + kAhead + block * kBlockBytes);
      add_block(sums, w + block * kBlockBytes, a + block * kBlockColumns);
    }
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Tokens; i++) {
      SPINQUANT_UNROLL
      for (size_t v = 0; v < kVectors; v++) sums[i][v].end_step();
    }
  }

  /// Eight columns of the panels.
  SPINQUANT_INLINE_MEMBER void add_block(TileSums& sums, const uint8_t* w, const int8_t* a) const {
    Bytes low[kVectors], high[kVectors];
    SPINQUANT_UNROLL
    for (size_t v = 0; v < kVectors; v++) {
      const Bytes both = load_bytes(w + v / kParts * results_.panel_bytes + v % kParts * sizeof(Bytes));
      low[v] = low_halves(both);
      high[v] = high_halves(both);
    }
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Tokens; i++) {
      const IntVec first = spread(a + i * results_.depth), second = spread(a + i * results_.depth + 4);
      SPINQUANT_UNROLL
      for (size_t v = 0; v < kVectors; v++) {
        sums[i][v].add_low(low[v], first);
        sums[i][v].add_high(high[v], second);
      }
    }
  }

  const PanelResults& results_;
  size_t panel_, token_;
};

template <size_t Tokens, size_t Panels>
void multiply_rows(const PanelResults& results, size_t panel, size_t token) {
  Tile<Tokens, Panels>(results, panel, token).multiply_rows();
}

template <size_t Tokens, size_t Panels>
void multiply_spans(const PanelResults& results, size_t panel, size_t token) {
  Tile<Tokens, Panels>(results, panel, token).multiply_spans();
}

template <size_t Tokens, size_t Panels>
void multiply_groups(const PanelResults& results, size_t panel, size_t token) {
  Tile<Tokens, Panels>(results, panel, token).multiply_groups();
}

template <size_t Tokens, size_t Panels>
SPINQUANT_INLINE void multiply(const PanelResults& results, size_t panel, size_t token) {
  if (results.parts == 1) return multiply_rows<Tokens, Panels>(results, panel, token);
  if (results.parts_of_span == 1) return multiply_spans<Tokens, Panels>(results, panel, token);
  multiply_groups<Tokens, Panels>(results, panel, token);
}

/// The last tokens, fewer than are multiplied together.
template <size_t Tokens = kTogether - 1>
SPINQUANT_INLINE void multiply_rest(const PanelResults& results, size_t panel, size_t token, size_t count) {
  if constexpr (Tokens > 0) {
    if (count == Tokens) return multiply<Tokens, 1>(results, panel, token);
    multiply_rest<Tokens - 1>(results, panel, token, count);
  }
}

/// A panel, or as many as are multiplied together, with a tile of tokens or the last ones.
SPINQUANT_INLINE void multiply_tile(const PanelResults& results, size_t panel, size_t panels, size_t token,
                                    size_t count) {
  if (count < kTogether) {
    for (size_t i = 0; i < panels; i++) multiply_rest(results, panel + i, token, count);
  } else if (panels == kPanelsTogether) {
    multiply<kTogether, kPanelsTogether>(results, panel, token);
  } else {
    multiply<kTogether, 1>(results, panel, token);
  }
}

size_t least(size_t a, size_t b) { return a < b ? a : b; }

/// The largest multiple of `unit` that is not above `count`, or one unit.
size_t whole_units(size_t count, size_t unit) { return count < unit ? unit : count / unit * unit; }

}  // namespace

void int4_products(const Int4ProductArgs& args, size_t first, size_t last) {
  const PanelResults results(args);
  const size_t together = results.part >= kLongPart ? kPanelsTogether : 1;
  const size_t tokens = whole_units(kCachedBytes / results.depth, kTogether);
  const size_t panels = whole_units(kCachedWeights / results.panel_bytes, together);
  for (size_t start = 0; start < args.tokens; start += tokens) {
    const size_t end = least(start + tokens, args.tokens);
    for (size_t from = first; from < last; from += panels) {
      const size_t to = least(from + panels, last);
      for (size_t token = start; token < end; token += kTogether) {
        for (size_t panel = from; panel < to; panel += together) {
          multiply_tile(results, panel, least(together, to - panel), token, least(kTogether, end - token));
        }
      }
    }
  }
}

}  // namespace spinquant::SPINQUANT_ISA
