// From exact sums of codes to results; included by the sources that are compiled per instruction set.
#pragma once
#include "byte_products.h"
#include "int4_matmul.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Zero points of kLanes rows, for a group.
struct ZeroPoints {
  typedef uint32_t Unsigned __attribute__((vector_size(4 * SPINQUANT_LANES)));
  bool are_given;
  IntVec given{};

  /// They are whole numbers of a size that packing has checked; others count as 0.
  SPINQUANT_INLINE_MEMBER ZeroPoints(bool has_zeros, const float* zeros) : are_given(has_zeros) {
    if (!has_zeros) return;
    const Vec values = load(zeros);
    given = to_int(choose(abs(values) < splat(0x1p24f), values, splat(0)));
  }

  /// z·sum in 32 bits, without a carry; the product of vectors takes as long as ten others.
  SPINQUANT_INLINE_MEMBER IntVec times(int32_t sum) const {
    if (!are_given) return splat_int(kSignedZero * sum);
    return reinterpret_cast<IntVec>(reinterpret_cast<Unsigned>(given) * static_cast<uint32_t>(sum));
  }
};

/// What kLanes rows of the weight have for a group.
struct GroupGrid {
  ZeroPoints zeros;
  Vec scales;

  /// @param grid where the scales of these rows lie.
  SPINQUANT_INLINE_MEMBER GroupGrid(const Int4Layout& layout, const float* grid)
      : zeros(layout.has_zeros, grid + kPanelRows), scales(load(grid)) {}

  /// The total with this group's: `products` are Σ a·u, `sum` is Σ a.
  SPINQUANT_INLINE_MEMBER Vec added(Vec total, IntVec products, int32_t sum) const {
    return total + to_float(products - zeros.times(sum)) * scales;
  }
};

/// What a span adds to a token's results, of the totals of its groups. @param place of the token's scale for the span.
SPINQUANT_INLINE Vec finished(const Int4ProductArgs& args, size_t place, Vec total, const float* row_sums) {
  return (total + splat(args.shifts[place]) * load(row_sums)) * splat(args.scales[place]);
}

/// Writes the results of a token for a panel, up to 16.
SPINQUANT_INLINE void store_rows(const Int4ProductArgs& args, size_t token, size_t panel, const Vec (&values)[kParts]) {
  const size_t row = panel * kPanelRows, count = args.layout.rows - row, start = token * args.layout.rows + row;
  SPINQUANT_UNROLL
  for (size_t part = 0; part < kParts; part++) {
    const size_t done = part * kLanes, at = start + done;
    if (done + kLanes <= count) {
      store(args.y + at, args.addend ? load(args.addend + at) + values[part] : values[part]);
    } else if (done < count) {
      const size_t left = count - done;
      store_part(args.y + at, left, args.addend ? load_part(args.addend + at, left, 0) + values[part] : values[part]);
    }
  }
}

/// What follows the sums of a panel. Sizes are computed once: divisions take as long as many products.
struct PanelResults {
  const Int4ProductArgs& args;
  size_t groups, group, groups_of_span, spans, depth, panel_bytes, grid_step, panel_grid;

  explicit PanelResults(const Int4ProductArgs& of)
      : args(of),
        groups(of.layout.groups()),
        group(of.layout.padded_group()),
        groups_of_span(of.layout.span / of.layout.group),
        spans(of.layout.spans()),
        depth(groups * group),
        panel_bytes(depth / kBlockColumns * kBlockBytes),
        grid_step(of.layout.has_zeros ? 2 * kPanelRows : kPanelRows),
        panel_grid(of.layout.panel_grid()) {}

  /// Where results will lie is asked for, which takes as long as a read from memory.
  SPINQUANT_INLINE_MEMBER void expect(size_t token, size_t tokens, size_t panel, size_t panels) const {
    for (size_t i = 0; i < tokens; i++) {
      const float* y = args.y + (token + i) * args.layout.rows + panel * kPanelRows;
      for (size_t p = 0; p < panels; p++) __builtin_prefetch(y + p * kPanelRows, 1);
    }
  }

  /// Writes results of tokens, of their products, which lie `stride` vectors apart; of weights with one group.
  template <size_t Tokens>
  SPINQUANT_INLINE_MEMBER void write_group(size_t token, size_t panel, const IntVec* products, size_t stride) const {
    const float* row_sums = args.grid + panel * panel_grid;
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Tokens; i++) {
      Vec values[kParts];
      SPINQUANT_UNROLL
      for (size_t part = 0; part < kParts; part++) {
        const float* grid = row_sums + part * kLanes;
        const GroupGrid of_group(args.layout, grid + kPanelRows);
        const Vec total = of_group.added(Vec{}, products[i * stride + part], args.sums[token + i]);
        values[part] = Vec{} + finished(args, token + i, total, grid);
      }
      store_rows(args, token + i, panel, values);
    }
  }

  /// Adds the products of a group that is a span, with the scales of the tokens.
  template <size_t Tokens>
  SPINQUANT_INLINE_MEMBER void add_span(size_t token, size_t panel, size_t span, const IntVec* products, size_t stride,
                                        Vec (&values)[Tokens][kParts]) const {
    const float* row_sums = args.grid + panel * panel_grid + span * kPanelRows;
    const float* scales = args.grid + panel * panel_grid + spans * kPanelRows + span * grid_step;
    SPINQUANT_UNROLL
    for (size_t part = 0; part < kParts; part++) {
      const GroupGrid of_group(args.layout, scales + part * kLanes);
      SPINQUANT_UNROLL
      for (size_t i = 0; i < Tokens; i++) {
        const size_t place = (token + i) * spans + span;
        const Vec total = of_group.added(Vec{}, products[i * stride + part], args.sums[place]);
        values[i][part] = values[i][part] + finished(args, place, total, row_sums + part * kLanes);
      }
    }
  }

  /// Adds the products of a group of tokens to their totals.
  template <size_t Tokens>
  SPINQUANT_INLINE_MEMBER void add_group(size_t token, size_t panel, size_t g, const IntVec* products, size_t stride,
                                         Vec (&totals)[Tokens][kParts]) const {
    SPINQUANT_UNROLL
    for (size_t part = 0; part < kParts; part++) {
      const float* grid = args.grid + panel * panel_grid + spans * kPanelRows + g * grid_step;
      const GroupGrid of_group(args.layout, grid + part * kLanes);
      SPINQUANT_UNROLL
      for (size_t i = 0; i < Tokens; i++) {
        const int32_t sum = args.sums[(token + i) * groups + g];
        totals[i][part] = of_group.added(totals[i][part], products[i * stride + part], sum);
      }
    }
  }

  /// Adds what the groups of a span came to, with the scales of the tokens, and begins the next span.
  template <size_t Tokens>
  SPINQUANT_INLINE_MEMBER void end_span(size_t token, size_t panel, size_t span, Vec (&totals)[Tokens][kParts],
                                        Vec (&values)[Tokens][kParts]) const {
    const float* row_sums = args.grid + panel * panel_grid + span * kPanelRows;
    for (size_t i = 0; i < Tokens; i++) {
      for (size_t part = 0; part < kParts; part++) {
        const Vec of_span = finished(args, (token + i) * spans + span, totals[i][part], row_sums + part * kLanes);
        values[i][part] = values[i][part] + of_span;
        totals[i][part] = Vec{};
      }
    }
  }
};

}  // namespace
}  // namespace spinquant::SPINQUANT_ISA
