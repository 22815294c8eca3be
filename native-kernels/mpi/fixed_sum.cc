#include "fixed_sum.h"
#include <algorithm>
#include <vector>

namespace spinquant::mpi {
namespace {

/// Elements that are summed between two exchanges: they bound the memory beside the values.
constexpr size_t kElements = size_t{1} << 22;

template <class T>
void sum_in_order(const T* all, size_t slice, int ranks, T* sums) {
  for (size_t i = 0; i < slice; i++) {
    double sum = all[i];
    for (int rank = 1; rank < ranks; rank++) sum += all[rank * slice + i];
    sums[i] = static_cast<T>(sum);
  }
}

}  // namespace

template <class T>
double fixed_sum(Library& library, T* values, size_t count) {
  int ranks = library.size();
  double sent = 0;
  std::vector<T> all, sums, padded;
  for (size_t start = 0; start < count;) {
    size_t part = std::min(count - start, std::max<size_t>(kElements - kElements % ranks, ranks));
    size_t slice = (part + ranks - 1) / ranks;
    T* own = values + start;
    bool is_even = slice * ranks == part;
    if (!is_even) {
      padded.assign(slice * ranks, T{0});
      std::copy(own, own + part, padded.begin());
    }
    T* whole = is_even ? own : padded.data();
    all.resize(slice * ranks);
    sums.resize(slice);
    library.all_to_all(whole, all.data(), slice * sizeof(T));
    sum_in_order(all.data(), slice, ranks, sums.data());
    library.all_gather(sums.data(), whole, slice * sizeof(T));
    if (!is_even) std::copy(padded.begin(), padded.begin() + static_cast<ptrdiff_t>(part), own);
    sent += 2.0 * (ranks - 1) * static_cast<double>(slice * sizeof(T));
    start += part;
  }
  return sent;
}

template double fixed_sum<float>(Library&, float*, size_t);
template double fixed_sum<double>(Library&, double*, size_t);

}  // namespace spinquant::mpi
