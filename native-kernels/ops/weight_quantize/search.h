// The error Σ |Q(w) - w|^2.4 of a candidate quantizer.
#pragma once
#include "../../cpu/simd_quantize.h"
#include "power_tables.h"

namespace spinquant::SPINQUANT_ISA {

/// A candidate's error is compared with the best one after this many weights: often enough to stop early, seldom
/// enough that the sum over lanes costs little. It also bounds the float32 rounding of the sum.
constexpr size_t kChunk = 128;

/// d^1.2 = d · 2^(0.2·log2 d). With only a fifth of the logarithm in the exponent, float32 suffices: relative error
/// below 1e-6 for normal d (the polynomials' part is 2.6e-7 and 7.5e-8), 0 for 0.
SPINQUANT_INLINE Vec power_1_2(Vec d) {
  // d = 2^k · (1 + f) with 1 + f in [√½, √2).
  const IntVec sqrt_half = splat_int(0x3f3504f3);
  IntVec offset = bits_of(d) - sqrt_half;
  Vec k = to_float(offset >> 23);
  Vec f = from_bits((offset & splat_int(0x007fffff)) + sqrt_half) - splat(1.0f);
  // (1/5)·log2(1 + f)
  Vec t = splat(-0.0411057416f);
  t = fma(t, f, splat(0.0646608453f));
  t = fma(t, f, splat(-0.0736442483f));
  t = fma(t, f, splat(0.0958411336f));
  t = fma(t, f, splat(-0.144212204f));
  t = fma(t, f, splat(0.288543591f));
  t = fma(t, f, splat(-2.90412851e-07f));
  t = fma(k, splat(0.2f), t);
  Vec whole = round_even(t);
  Vec g = t - whole;
  // 2^g for |g| <= 1/2
  Vec y = splat(0.0013276472f);
  y = fma(y, g, splat(0.00967554133f));
  y = fma(y, g, splat(0.0555071327f));
  y = fma(y, g, splat(0.240221197f));
  y = fma(y, g, splat(0.693146967f));
  y = fma(y, g, splat(1.00000007f));
  return d * from_bits(bits_of(y) + (to_int(whole) << 23));
}

/// total + d^1.2 for any d.
struct PowerByLogarithm {
  explicit PowerByLogarithm(const PowerTables&) {}
  SPINQUANT_INLINE_MEMBER Vec add(Vec total, Vec d) const { return total + power_1_2(d); }
};

#if defined(__AVX512F__)
/// The same from tables (power_tables.h), in half the steps; d < 2^-39 counts as 0. Relative error below 3e-7:
/// four roundings, and 1.4e-8 from the polynomial.
struct PowerByTable {
  Vec exponent[2], inverse[2], fraction[2];

  explicit PowerByTable(const PowerTables& t)
      : exponent{load(t.exponent), load(t.exponent + 16)},
        inverse{load(t.inverse), load(t.inverse + 16)},
        fraction{load(t.fraction), load(t.fraction + 16)} {}

  /// Entry (index mod 32) of a table.
  static SPINQUANT_INLINE_MEMBER Vec look_up(const Vec (&table)[2], IntVec index) {
    return _mm512_permutex2var_ps(table[0], reinterpret_cast<__m512i>(index), table[1]);
  }

  SPINQUANT_INLINE_MEMBER Vec add(Vec total, Vec d) const {
    const __mmask16 counted = _mm512_cmp_ps_mask(d, splat(0x1p-39f), _CMP_GE_OQ);
    const IntVec bits = bits_of(d), part = bits >> 19;
    const Vec m = from_bits((bits & splat_int(0x00ffffff)) | splat_int(0x3f000000));
    const Vec t = fma(m, look_up(inverse, part), splat(-1.0f));
    Vec p = fma(t, splat(-0.032f), splat(0.12f));
    p = fma(p, t, splat(1.2f));
    p = fma(p, t, splat(1.0f));
    const Vec size = look_up(exponent, bits >> 24) * look_up(fraction, part);
    return _mm512_mask3_fmadd_ps(size, p, total, counted);
  }
};
using FastPower = PowerByTable;
#else
using FastPower = PowerByLogarithm;
#endif

/// Terms (|Q(w) - w| / scale)^2.4. w/scale is taken as w·(1/scale): a weight within rounding of a tie may fall on its
/// other side, where the error is the same to 1e-6.
template <bool HasZero, class Power>
struct ErrorTerms {
  VectorQuantizer<HasZero> quantizer;
  Vec inverse;

  explicit ErrorTerms(const Quantizer& q) : quantizer(q), inverse(splat(1.0f / q.scale)) {}

  SPINQUANT_INLINE_MEMBER Vec add(const Power& power, Vec total, Vec w) const {
    const Vec u = (quantizer.dequantized(w * inverse) - w) * inverse;
    return power.add(total, u * u);
  }

  /// The terms of count < kLanes weights.
  SPINQUANT_INLINE_MEMBER Vec add_part(const Power& power, Vec total, const float* w, size_t count) const {
    const Vec terms = add(power, splat(0), load_part(w, count, w[0]));
    return total + choose(lane_index() < splat_int(static_cast<int32_t>(count)), terms, splat(0));
  }
};

template <bool HasZero, class Power>
SPINQUANT_INLINE float chunk_sum(const ErrorTerms<HasZero, Power>& terms, const Power& power, const float* w,
                                 size_t count) {
  Vec a = splat(0), b = splat(0);
  size_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    a = terms.add(power, a, load(w + i));
    b = terms.add(power, b, load(w + i + kLanes));
  }
  for (; i + kLanes <= count; i += kLanes) a = terms.add(power, a, load(w + i));
  if (i < count) b = terms.add_part(power, b, w + i, count - i);
  return sum(a + b);
}

/// The whole sum of a candidate, or some larger value than `limit` as soon as it has passed it.
template <bool HasZero, class Power>
double sum_up_to(double limit, const Quantizer& q, const Power& power, const float* w, size_t count) {
  const ErrorTerms<HasZero, Power> terms(q);
  double total = 0;
  for (size_t i = 0; i < count && !(total > limit); i += kChunk) {
    total += chunk_sum(terms, power, w + i, count - i < kChunk ? count - i : kChunk);
  }
  return total;
}

/// So small a sum may hold terms that the tables leave out: the weights are multiples of the scale.
SPINQUANT_INLINE bool is_doubtful(double total, size_t count) { return !(total > 1e-7 * static_cast<double>(count)); }

template <bool HasZero>
double error_up_to(double limit, const Quantizer& q, const PowerTables& tables, const float* w, size_t count) {
  const double total = sum_up_to<HasZero>(limit, q, FastPower(tables), w, count);
  return is_doubtful(total, count) ? sum_up_to<HasZero>(limit, q, PowerByLogarithm(tables), w, count) : total;
}

/// Candidates of a small group that are worked on at the same time, as one alone would mostly wait for itself.
constexpr size_t kTogether = 4;

/// The sums of kTogether candidates over a group of at most a chunk.
template <bool HasZero>
void errors_together(const Quantizer* q, const PowerTables& tables, const float* w, size_t count, double* totals) {
  using Terms = ErrorTerms<HasZero, FastPower>;
  const FastPower power(tables);
  const Terms terms[kTogether] = {Terms(q[0]), Terms(q[1]), Terms(q[2]), Terms(q[3])};
  Vec total[kTogether] = {};
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Vec v = load(w + i);
    SPINQUANT_UNROLL
    for (size_t c = 0; c < kTogether; c++) total[c] = terms[c].add(power, total[c], v);
  }
  for (size_t c = 0; c < kTogether; c++) {
    if (i < count) total[c] = terms[c].add_part(power, total[c], w + i, count - i);
    totals[c] = sum(total[c]);
    if (is_doubtful(totals[c], count)) {
      totals[c] = sum_up_to<HasZero>(__builtin_inf(), q[c], PowerByLogarithm(tables), w, count);
    }
  }
}

}  // namespace spinquant::SPINQUANT_ISA
