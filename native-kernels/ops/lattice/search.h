// Nearest points of the codebooks, a lane for each vector; only for kernel.cc.
#pragma once
#include "../../cpu/simd.h"
#include "lattice.h"

namespace spinquant::SPINQUANT_ISA {

SPINQUANT_INLINE IntVec choose_int(IntVec mask, IntVec a, IntVec b) { return (mask & a) | (~mask & b); }

/// What searches need of vectors: magnitudes, their order and sums. Masks are all ones or zero in each lane.
struct Magnitudes {
  Vec a[kBlock];
  IntVec is_negative[kBlock];
  /// Place of each magnitude from the largest, 0, down; of equal ones the first coordinate comes first.
  IntVec rank[kBlock];
  /// Sums of the k largest, added in the order of coordinates; k = 1 … 4.
  Vec top[5];
  Vec total, least;
  /// Whether an odd number of coordinates is negative.
  IntVec is_odd;

  SPINQUANT_INLINE_MEMBER explicit Magnitudes(const Vec* y) {
    total = Vec{};
    is_odd = IntVec{};
    for (size_t i = 0; i < kBlock; i++) {
      a[i] = abs(y[i]);
      is_negative[i] = y[i] < Vec{};
      is_odd ^= is_negative[i];
      total = total + a[i];
      least = i == 0 ? a[0] : min(a[i], least);
      rank[i] = IntVec{};
    }
    for (size_t i = 0; i < kBlock; i++)
      for (size_t j = 0; j < i; j++) {
        const IntVec larger = a[i] > a[j];
        // A mask is -1 where it holds.
        rank[j] -= larger;
        rank[i] -= ~larger;
      }
    for (int k = 1; k < 5; k++) {
      top[k] = Vec{};
      for (size_t i = 0; i < kBlock; i++) top[k] = top[k] + choose(rank[i] < splat_int(k), a[i], Vec{});
    }
  }
};

/// Gives patterns p their signs: those of y, but for one where `turns_one`, the one that costs least.
SPINQUANT_INLINE void put_signs(const Magnitudes& seen, IntVec turns_one, Vec* p) {
  Vec cost = seen.a[0] * p[0];
  IntVec cheapest = IntVec{};
  for (size_t i = 1; i < kBlock; i++) {
    const Vec own = seen.a[i] * p[i];
    const IntVec less = own <= cost;
    cost = choose(less, own, cost);
    cheapest = choose_int(less, splat_int(static_cast<int32_t>(i)), cheapest);
  }
  for (size_t i = 0; i < kBlock; i++) {
    const IntVec turned = turns_one & (cheapest == splat_int(static_cast<int32_t>(i)));
    p[i] = choose(seen.is_negative[i] ^ turned, -p[i], p[i]);
  }
}

/// The best kind of pattern so far: how many coordinates are 3/2 or more, how many 5/2, or which triple has ½.
struct BestPattern {
  Vec score;
  IntVec ones, twos, triple;

  SPINQUANT_INLINE_MEMBER void offer(Vec other, int other_ones, int other_twos, int other_triple) {
    const IntVec better = other > score;
    score = choose(better, other, score);
    ones = choose_int(better, splat_int(other_ones), ones);
    twos = choose_int(better, splat_int(other_twos), twos);
    triple = choose_int(better, splat_int(other_triple), triple);
  }
};

/// The signed pattern nearest to y. A pattern p is best with the signs of y; where the sum would be odd then, one sign is
/// turned, where a·p is least. Of patterns of one kind the best has its largest coordinates where a has. Kinds compete by
/// a·p - ‖p‖²/2 - 2 (a·p of the coordinate turned), less a·½ - 1, which all have.
SPINQUANT_INLINE void nearest_pattern(const Vec* y, Vec* p) {
  const Magnitudes seen(y);
  const Vec* top = seen.top;
  const Vec even = choose(seen.is_odd, seen.least, Vec{}), odd = choose(seen.is_odd, Vec{}, seen.least);
  BestPattern best{-even, IntVec{}, IntVec{}, splat_int(-1)};
  best.offer(top[1] - splat(1) - odd, 1, 0, -1);
  best.offer(top[2] - splat(2) - even, 2, 0, -1);
  best.offer(top[3] - splat(3) - odd, 3, 0, -1);
  best.offer(top[4] - splat(4) - even, 4, 0, -1);
  best.offer(top[1] + top[1] - splat(3) - even, 1, 1, -1);
  best.offer(top[1] + top[2] - splat(4) - odd, 2, 1, -1);
  for (size_t at = 0; at < kTriples; at++) {
    const uint8_t *halves = kTripleTable.halves[at], *others = kTripleTable.others[at];
    const Vec i = seen.a[halves[0]], j = seen.a[halves[1]], k = seen.a[halves[2]];
    Vec least = seen.a[others[0]];
    for (size_t o = 1; o < 5; o++) least = min(seen.a[others[o]], least);
    const Vec turned = min(min(k, min(i, j)), splat(3) * least);
    const Vec score = seen.total - (i + j + k) - splat(5);
    best.offer(choose(seen.is_odd, score, score - turned), 0, 0, static_cast<int>(at));
  }
  const IntVec is_triple = best.triple >= IntVec{};
  IntVec halves[kBlock] = {};
  for (size_t at = 0; at < kTriples; at++) {
    const IntVec own = best.triple == splat_int(static_cast<int32_t>(at));
    for (uint8_t i : kTripleTable.halves[at]) halves[i] |= own;
  }
  const Vec one = splat(1);
  for (size_t i = 0; i < kBlock; i++) {
    const IntVec raised = choose_int(is_triple, ~halves[i], seen.rank[i] < best.ones);
    p[i] = splat(0.5f) + choose(raised, one, Vec{}) + choose(seen.rank[i] < best.twos, one, Vec{});
  }
  const IntVec odd_sum = ((best.ones + best.twos) & splat_int(1)) == splat_int(1);
  put_signs(seen, seen.is_odd ^ (is_triple | odd_sum), p);
}

/// The nearest point of E8P to x.
SPINQUANT_INLINE void nearest_e8p(const Vec* x, Vec* point) {
  Vec least{};
  for (int side = 0; side < 2; side++) {
    const Vec shift = splat(side == 0 ? 0.25f : -0.25f);
    Vec y[kBlock], p[kBlock], distance{};
    for (size_t i = 0; i < kBlock; i++) y[i] = x[i] - shift;
    nearest_pattern(y, p);
    for (size_t i = 0; i < kBlock; i++) {
      const Vec off = y[i] - p[i];
      distance = distance + off * off;
    }
    const IntVec taken = side == 0 ? splat_int(-1) : distance < least;
    for (size_t i = 0; i < kBlock; i++) point[i] = choose(taken, p[i] + shift, side == 0 ? p[i] : point[i]);
    least = distance;
  }
}

/// The nearest point to r of the book of one bit.
SPINQUANT_INLINE void nearest_one_bit(const Vec* r, Vec* point) {
  const Magnitudes seen(r);
  const IntVec last_missing = seen.is_negative[kBlock - 1];
  Vec longest = seen.a[0];
  IntVec place = IntVec{};
  for (size_t i = 1; i < kBlock; i++) {
    IntVec larger = seen.a[i] > longest;
    if (i == kBlock - 1) larger &= ~last_missing;
    longest = choose(larger, seen.a[i], longest);
    place = choose_int(larger, splat_int(static_cast<int32_t>(i)), place);
  }
  const Vec pair = seen.top[2] - splat(1);
  const Vec halves = splat(0.5f) * seen.total - splat(1) - choose(seen.is_odd, seen.least, Vec{});
  const Vec length = longest + longest - splat(2);
  Vec best{}, p[kBlock];
  const IntVec is_pair = pair > best;
  best = choose(is_pair, pair, best);
  const IntVec is_halves = halves > best;
  best = choose(is_halves, halves, best);
  const IntVec is_long = length > best;
  for (size_t i = 0; i < kBlock; i++) p[i] = splat(0.5f);
  put_signs(seen, seen.is_odd, p);
  for (size_t i = 0; i < kBlock; i++) {
    const IntVec in_pair = is_pair & (seen.rank[i] < splat_int(2));
    const IntVec at_place = place == splat_int(static_cast<int32_t>(i));
    const Vec size = choose(is_long, choose(at_place, splat(2), Vec{}), choose(in_pair, splat(1), Vec{}));
    point[i] = choose(is_halves & ~is_long, p[i], choose(seen.is_negative[i], -size, size));
  }
}

}  // namespace spinquant::SPINQUANT_ISA
