// Products of activations with weights of 4 bits. Activations are quantized per row on the way, and whole numbers are
// multiplied and summed in int32. README.md shows the layout of packed weights.
#pragma once
#include <cstdint>
#include "../../cpu/hadamard.h"
#include "../../cpu/kronecker.h"
#include "../../cpu/variants.h"

namespace spinquant {

/// Rows of the weight that lie together.
constexpr size_t kPanelRows = 16;
/// Columns of a panel in a block, and the bytes of one.
constexpr size_t kBlockColumns = 8, kBlockBytes = 64;
/// Parts of a row are padded to a multiple of this.
constexpr size_t kDepthStep = 32;
/// Signed codes -8 … 7 are stored as 0 … 15 with this zero point.
constexpr int kSignedZero = 8;
/// No group has more columns, so that its sums fit 32 bits (op.cc).
constexpr size_t kMostColumns = size_t{1} << 19;

/// The shape of a packed weight [rows, columns] with a scale per row and group of columns. A token has a scale per span.
/// Spans are whole groups, or groups whole spans; the shorter of the two are the parts of a row.
struct Int4Layout {
  size_t rows, columns, group, span;
  bool has_zeros;

  size_t groups() const { return columns / group; }
  size_t spans() const { return columns / span; }
  size_t part() const { return group < span ? group : span; }
  size_t parts() const { return columns / part(); }
  size_t padded_part() const { return (part() + kDepthStep - 1) / kDepthStep * kDepthStep; }
  /// Columns with those that pad each part.
  size_t depth() const { return parts() * padded_part(); }
  size_t panels() const { return (rows + kPanelRows - 1) / kPanelRows; }
  size_t blocks() const { return depth() / kBlockColumns; }
  size_t panel_bytes() const { return blocks() * kBlockBytes; }
  /// Rows of 16 floats of a panel's grid: the sums of each span, then per group the scales and, if any, the zero points.
  size_t grid_rows() const { return spans() + groups() * (has_zeros ? 2 : 1); }
  size_t panel_grid() const { return grid_rows() * kPanelRows; }
  /// What is kept of the sum of a part's codes: all that zero points take off, where they are those of signed codes.
  int32_t taken_off(int32_t sum) const { return has_zeros ? sum : kSignedZero * sum; }
};

/// Unit: one panel.
struct PackInt4Args {
  const int8_t* codes;  // [rows, columns]
  const float* scales;  // [rows, groups]
  const float* zeros;   // the same, or null for signed codes
  uint8_t* packed;      // [panels, blocks, 64]
  float* grid;          // [panels, grid_rows, 16]
  Int4Layout layout;
};

/// There is one body: it copies, but for the sums of rows, which are summed in double.
void pack_int4(const PackInt4Args& args, size_t first, size_t last);

/// What is quantized: rows x [tokens, columns] as they are, or what the operators RmsNorm, SwiGlu, Kronecker and Hadamard
/// make of them, to the last bit. No such row leaves the cache of its thread.
struct Int4Rows {
  const float* x;       // the gate, where there is `up`
  const float* up;      // [tokens, columns]: silu(x)·up is taken; null where there is none
  bool norm;            // then each row is divided by its root mean square
  float epsilon;
  KroneckerArgs map;    // then a row is multiplied; x and y of the map are not used, and rows 0 is none
  HadamardArgs blocks;  // then blocks of a row are transformed; its x and y are not used, and block 0 is none

  bool are_plain() const { return !up && !norm && map.rows == 0 && blocks.block == 0; }
};

/// Quantizes every span of the rows by the rules of ops/fake_quantize: x̂ = scale·(code + shift), the codes in a byte.
/// Unit: one row.
struct Int4ActivationArgs {
  Int4Rows rows;
  int8_t* codes;          // [tokens, depth], 0 in the padding
  int32_t* sums;          // [parts, tokens]: of codes, times the zero point of signed weights, for those
  float *scales, *shifts; // [spans, tokens]
  int32_t* shifted;       // [tokens]: how many spans have a shift that is not 0
  Int4Layout layout;
  size_t tokens;
  float max_level, clip_ratio, lower_ratio;
  bool symmetric, include_zero;
  /// 128 for 8 bits, so that shifted codes fit a byte, else 0.
  float base;
};

/// Multiples -zero … max_level - zero that fit a byte are codes as they are. Those of 8 bits, which reach ±255, and of
/// ranges far from zero are shifted.
static inline float int4_shift(const Int4ActivationArgs& args, float zero) {
  return zero <= 128 && args.max_level - zero <= 127 ? 0 : args.base - zero;
}

/// y [tokens, rows]. With a the codes of a token, t their shift in a span, and u, z, s of a row n and group g of the
/// weight, summed over the parts p of a row, each in a span and a group:
///   y = Σ_p scale·s_g·(Σ a·u - z_g·Σ a) + Σ_spans scale·t·R_n,   R_n = Σ s_g·(u - z_g), the sum of a row over the span.
/// The sums in brackets are exact in int32; each later step is one float32 operation, the same in every body but the
/// reference, which sums scale·(a + t)·s·(u - z) in double. The longer of group and span multiplies the sum of its parts.
/// Where there is an addend, y is the sum of both. Unit: one panel.
struct Int4ProductArgs {
  const uint8_t* packed;
  const float* grid;
  const int8_t* codes;
  const int32_t* sums;           // [parts, tokens]
  const float *scales, *shifts;  // [spans, tokens]
  const int32_t* shifted;        // [tokens]
  float* y;
  const float* addend;  // [tokens, rows], or null; may be y
  Int4Layout layout;
  size_t tokens;
};

SPINQUANT_DECLARE_KERNEL(int4_activations, Int4ActivationArgs)
SPINQUANT_DECLARE_KERNEL(int4_products, Int4ProductArgs)

namespace avx_vnni {
void int4_products(const Int4ProductArgs&, size_t first, size_t last);
}
namespace avx512_vnni {
void int4_products(const Int4ProductArgs&, size_t first, size_t last);
}
namespace amx {
void int4_products(const Int4ProductArgs&, size_t first, size_t last);
}
namespace neon_dot {
void int4_products(const Int4ProductArgs&, size_t first, size_t last);
}

}  // namespace spinquant
