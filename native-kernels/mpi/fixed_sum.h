// Sums over ranks with the same bits on every rank and from run to run.
#pragma once
#include <cstddef>
#include "library.h"

namespace spinquant::mpi {

/**
 * values[i] ← Σ_r values_r[i], where the order of the ranks is the order of the sum: ((v₀ + v₁) + v₂) + …, in double
 * precision, and rounded once to T. Each rank sums a slice of its own, so that a rank sends
 * 2 (N − 1)/N · bytes in all, the least that a sum on all ranks needs.
 * Returns the bytes that this rank sent.
 */
template <class T>
double fixed_sum(Library& library, T* values, size_t count);

extern template double fixed_sum<float>(Library&, float*, size_t);
extern template double fixed_sum<double>(Library&, double*, size_t);

}  // namespace spinquant::mpi
