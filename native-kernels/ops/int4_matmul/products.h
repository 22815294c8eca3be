// The products of a panel with rows of activations; included by the sources that are compiled per instruction set.
#pragma once
#include "byte_products.h"
#include "group_sums.h"
#include "int4_matmul.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Rows of activations that are multiplied together: their sums stay in registers.
#if defined(__AVX512VNNI__)
constexpr size_t kTogether = 12;
#elif defined(__AVX512F__)
constexpr size_t kTogether = 8;
#else
constexpr size_t kTogether = 4;
#endif

/// Bytes of activations that are multiplied with all panels before the next ones: half of a second-level cache.
constexpr size_t kCachedBytes = 256 * 1024;

/// Weights are asked for this far ahead: a page and more than what a read from memory takes.
constexpr size_t kAhead = 2048;

template <size_t Tokens>
using TileSums = Sums<Tokens <= 2>[Tokens][kParts];

/// Eight columns of the panel.
template <size_t Tokens>
SPINQUANT_INLINE void add_block(TileSums<Tokens>& sums, const uint8_t* w, const int8_t* a, size_t stride) {
  Bytes low[kParts], high[kParts];
  SPINQUANT_UNROLL
  for (size_t part = 0; part < kParts; part++) {
    const Bytes both = load_bytes(w + part * sizeof(Bytes));
    low[part] = low_halves(both);
    high[part] = high_halves(both);
  }
  SPINQUANT_UNROLL
  for (size_t token = 0; token < Tokens; token++) {
    const IntVec first = spread(a + token * stride), second = spread(a + token * stride + 4);
    SPINQUANT_UNROLL
    for (size_t part = 0; part < kParts; part++) {
      sums[token][part].add_low(low[part], first);
      sums[token][part].add_high(high[part], second);
    }
  }
}

template <size_t Tokens>
SPINQUANT_INLINE void add_step(TileSums<Tokens>& sums, const uint8_t* w, const int8_t* a, size_t stride) {
  SPINQUANT_UNROLL
  for (size_t block = 0; block < kDepthStep / kBlockColumns; block++) {
    if (Tokens == 1) __builtin_prefetch(w + kAhead + block * kBlockBytes);
    add_block<Tokens>(sums, w + block * kBlockBytes, a + block * kBlockColumns, stride);
  }
  SPINQUANT_UNROLL
  for (size_t token = 0; token < Tokens; token++) {
    SPINQUANT_UNROLL
    for (size_t part = 0; part < kParts; part++) sums[token][part].end_step();
  }
}

/// Adds what the groups of a span came to, with the scales of the tokens, and begins the next span.
/// @param place of the first token's scale.
template <size_t Tokens>
SPINQUANT_INLINE void end_span(const Int4ProductArgs& args, size_t place, const float* row_sums,
                               Vec (&totals)[Tokens][kParts], Vec (&results)[Tokens][kParts]) {
  for (size_t i = 0; i < Tokens; i++) {
    for (size_t part = 0; part < kParts; part++) {
      const float* sums = row_sums + part * kLanes;
      results[i][part] = results[i][part] + finished(args, place + i * args.layout.spans(), totals[i][part], sums);
      totals[i][part] = Vec{};
    }
  }
}

template <size_t Tokens>
void multiply(const Int4ProductArgs& args, size_t panel, size_t token) {
  const Int4Layout& layout = args.layout;
  const size_t groups = layout.groups(), group = layout.padded_group(), stride = groups * group;
  const size_t spans = layout.spans(), groups_of_span = layout.span / layout.group;
  const uint8_t* w = args.packed + panel * layout.panel_bytes();
  const float* row_sums = args.grid + panel * layout.panel_grid();
  const float* grid = row_sums + spans * kPanelRows;
  const int8_t* a = args.codes + token * stride;
  Vec results[Tokens][kParts]{}, totals[Tokens][kParts]{};
  for (size_t g = 0, span = 0; g < groups; g++) {
    TileSums<Tokens> sums{};
    for (size_t i = 0; i < group; i += kDepthStep, a += kDepthStep, w += kDepthStep / kBlockColumns * kBlockBytes) {
      add_step<Tokens>(sums, w, a, stride);
    }
    SPINQUANT_UNROLL
    for (size_t part = 0; part < kParts; part++) {
      const GroupGrid of_group(layout, grid + part * kLanes);
      SPINQUANT_UNROLL
      for (size_t i = 0; i < Tokens; i++) {
        const int32_t sum = args.sums[(token + i) * groups + g];
        totals[i][part] = of_group.added(totals[i][part], sums[i][part].total(), sum);
      }
    }
    grid += layout.has_zeros ? 2 * kPanelRows : kPanelRows;
    if ((g + 1) % groups_of_span != 0) continue;
    end_span<Tokens>(args, token * spans + span, row_sums + span * kPanelRows, totals, results);
    span++;
  }
  for (size_t i = 0; i < Tokens; i++) store_rows(args, token + i, panel, results[i]);
}

/// The last tokens, fewer than are multiplied together.
template <size_t Tokens = kTogether - 1>
SPINQUANT_INLINE void multiply_rest(const Int4ProductArgs& args, size_t panel, size_t token, size_t count) {
  if constexpr (Tokens > 0) {
    if (count == Tokens) return multiply<Tokens>(args, panel, token);
    multiply_rest<Tokens - 1>(args, panel, token, count);
  }
}

}  // namespace

void int4_products(const Int4ProductArgs& args, size_t first, size_t last) {
  const size_t fit = kCachedBytes / args.layout.depth() / kTogether * kTogether;
  const size_t step = fit > kTogether ? fit : kTogether;
  for (size_t start = 0; start < args.tokens; start += step) {
    const size_t end = start + step < args.tokens ? start + step : args.tokens;
    for (size_t panel = first; panel < last; panel++) {
      size_t token = start;
      for (; token + kTogether <= end; token += kTogether) multiply<kTogether>(args, panel, token);
      multiply_rest(args, panel, token, end - token);
    }
  }
}

}  // namespace spinquant::SPINQUANT_ISA
