// From exact sums of codes to results; included by the sources that are compiled per instruction set.
#pragma once
#include "byte_products.h"
#include "int4_matmul.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Zero points of kLanes rows, for a group.
struct ZeroPoints {
  typedef uint32_t Unsigned __attribute__((vector_size(4 * SPINQUANT_LANES)));
  bool are_given = false;
  IntVec given{};

  ZeroPoints() = default;
  /// They are whole numbers of a size that packing has checked; others count as 0.
  SPINQUANT_INLINE_MEMBER ZeroPoints(bool has_zeros, const float* zeros) : are_given(has_zeros) {
    if (!has_zeros) return;
    const Vec values = load(zeros);
    given = to_int(choose(abs(values) < splat(0x1p24f), values, splat(0)));
  }

  /// z·Σ a in 32 bits, without a carry, of what is kept of that sum; the product of vectors takes as long as ten others.
  SPINQUANT_INLINE_MEMBER IntVec times(int32_t sum) const {
    if (!are_given) return splat_int(sum);
    return reinterpret_cast<IntVec>(reinterpret_cast<Unsigned>(given) * static_cast<uint32_t>(sum));
  }
};

/// What kLanes rows of the weight have for a group.
struct GroupGrid {
  ZeroPoints zeros;
  Vec scales{};

  GroupGrid() = default;
  /// @param grid where the scales of these rows lie.
  SPINQUANT_INLINE_MEMBER GroupGrid(const Int4Layout& layout, const float* grid)
      : zeros(layout.has_zeros, grid + kPanelRows), scales(load(grid)) {}

  /// The total with this group's: `products` are Σ a·u, `sum` is what is kept of Σ a.
  SPINQUANT_INLINE_MEMBER Vec added(Vec total, IntVec products, int32_t sum) const {
    return total + to_float(products - zeros.times(sum)) * scales;
  }
};

/// What the shifts of a token add to its results for kLanes rows. Few tokens have any, where there are many spans.
/// @param row_sums of the first span.
SPINQUANT_INLINE Vec with_shifts(const Int4ProductArgs& args, size_t token, size_t spans, Vec values,
                                 const float* row_sums) {
  if (args.shifted[token] == 0) return values;
  for (size_t span = 0; span < spans; span++) {
    const size_t place = span * args.tokens + token;
    if (args.shifts[place] == 0) continue;
    values = values + splat(args.scales[place] * args.shifts[place]) * load(row_sums + span * kPanelRows);
  }
  return values;
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
  size_t groups, part, parts, parts_of_span, parts_of_group, spans, depth, panel_bytes, grid_step, panel_grid;

  explicit PanelResults(const Int4ProductArgs& of)
      : args(of),
        groups(of.layout.groups()),
        part(of.layout.padded_part()),
        parts(of.layout.parts()),
        parts_of_span(of.layout.span / of.layout.part()),
        parts_of_group(of.layout.group / of.layout.part()),
        spans(of.layout.spans()),
        depth(parts * part),
        panel_bytes(depth / kBlockColumns * kBlockBytes),
        grid_step(of.layout.has_zeros ? 2 * kPanelRows : kPanelRows),
        panel_grid(of.layout.panel_grid()) {}

  /// The grid of a group for kLanes rows of a panel.
  SPINQUANT_INLINE_MEMBER GroupGrid grid_of(size_t panel, size_t g, size_t lanes) const {
    return {args.layout, args.grid + panel * panel_grid + spans * kPanelRows + g * grid_step + lanes * kLanes};
  }

  /// Where results will lie is asked for, which takes as long as a read from memory.
  SPINQUANT_INLINE_MEMBER void expect(size_t token, size_t tokens, size_t panel, size_t panels) const {
    for (size_t i = 0; i < tokens; i++) {
      const float* y = args.y + (token + i) * args.layout.rows + panel * kPanelRows;
      for (size_t p = 0; p < panels; p++) __builtin_prefetch(y + p * kPanelRows, 1);
    }
  }

  /// Writes results of tokens, of their products, which lie `stride` vectors apart; of rows in one part.
  template <size_t Tokens>
  SPINQUANT_INLINE_MEMBER void write_rows(size_t token, size_t panel, const IntVec* products, size_t stride) const {
    const float* row_sums = args.grid + panel * panel_grid;
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Tokens; i++) {
      Vec values[kParts];
      SPINQUANT_UNROLL
      for (size_t part = 0; part < kParts; part++) {
        const Vec total = grid_of(panel, 0, part).added(Vec{}, products[i * stride + part], args.sums[token + i]);
        const Vec shifted = total + splat(args.shifts[token + i]) * load(row_sums + part * kLanes);
        values[part] = Vec{} + shifted * splat(args.scales[token + i]);
      }
      store_rows(args, token + i, panel, values);
    }
  }

  /// Adds the products of a part to totals of a group, with the scales of the tokens.
  template <size_t Tokens>
  SPINQUANT_INLINE_MEMBER void add_part(const GroupGrid& grid, size_t lanes, size_t token, size_t p,
                                        const IntVec* products, size_t stride, Vec (&totals)[Tokens][kParts]) const {
    const int32_t* sums = args.sums + p * args.tokens + token;
    const float* scales = args.scales + p * args.tokens + token;
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Tokens; i++) {
      const Vec sum = to_float(products[i * stride + lanes] - grid.zeros.times(sums[i]));
      totals[i][lanes] = totals[i][lanes] + sum * splat(scales[i]);
    }
  }

  /// Adds the totals of a group, of whole spans, and begins the next one.
  template <size_t Tokens>
  SPINQUANT_INLINE_MEMBER void end_group(size_t panel, size_t g, Vec (&totals)[Tokens][kParts],
                                         Vec (&values)[Tokens][kParts]) const {
    SPINQUANT_UNROLL
    for (size_t lanes = 0; lanes < kParts; lanes++) {
      const Vec scales = grid_of(panel, g, lanes).scales;
      SPINQUANT_UNROLL
      for (size_t i = 0; i < Tokens; i++) {
        values[i][lanes] = values[i][lanes] + totals[i][lanes] * scales;
        totals[i][lanes] = Vec{};
      }
    }
  }

  /// Adds the products of a group of tokens to their totals of a span.
  template <size_t Tokens>
  SPINQUANT_INLINE_MEMBER void add_group(size_t token, size_t panel, size_t g, const IntVec* products, size_t stride,
                                         Vec (&totals)[Tokens][kParts]) const {
    SPINQUANT_UNROLL
    for (size_t lanes = 0; lanes < kParts; lanes++) {
      const GroupGrid of_group = grid_of(panel, g, lanes);
      SPINQUANT_UNROLL
      for (size_t i = 0; i < Tokens; i++) {
        const int32_t sum = args.sums[g * args.tokens + token + i];
        totals[i][lanes] = of_group.added(totals[i][lanes], products[i * stride + lanes], sum);
      }
    }
  }

  /// Adds what the groups of a span came to, with the scales of the tokens, and begins the next span.
  template <size_t Tokens>
  SPINQUANT_INLINE_MEMBER void end_span(size_t token, size_t span, Vec (&totals)[Tokens][kParts],
                                        Vec (&values)[Tokens][kParts]) const {
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Tokens; i++) {
      const Vec scale = splat(args.scales[span * args.tokens + token + i]);
      SPINQUANT_UNROLL
      for (size_t lanes = 0; lanes < kParts; lanes++) {
        values[i][lanes] = values[i][lanes] + totals[i][lanes] * scale;
        totals[i][lanes] = Vec{};
      }
    }
  }

  /// Writes results of tokens in several parts.
  template <size_t Tokens>
  SPINQUANT_INLINE_MEMBER void write(size_t token, size_t panel, Vec (&values)[Tokens][kParts]) const {
    const float* row_sums = args.grid + panel * panel_grid;
    SPINQUANT_UNROLL
    for (size_t i = 0; i < Tokens; i++) {
      SPINQUANT_UNROLL
      for (size_t lanes = 0; lanes < kParts; lanes++) {
        values[i][lanes] = with_shifts(args, token + i, spans, values[i][lanes], row_sums + lanes * kLanes);
      }
      store_rows(args, token + i, panel, values[i]);
    }
  }
};

}  // namespace
}  // namespace spinquant::SPINQUANT_ISA
