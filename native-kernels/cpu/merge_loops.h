// Chunks brought together in double precision, for the references of several families; nothing else includes this.
#pragma once
#include <algorithm>
#include <cmath>
#include "merge_chunks.h"

namespace spinquant::reference {

inline void merge_chunks(const MergeChunksArgs& args, size_t first, size_t last) {
  const size_t size = args.width + 2;
  for (size_t query = first; query < last; query++) {
    const float* partial = args.partial + query * args.chunks * size;
    double highest = -INFINITY, total = 0;
    for (size_t c = 0; c < args.chunks; c++) highest = std::max<double>(highest, partial[c * size + args.width]);
    for (size_t c = 0; c < args.chunks; c++)
      total += std::exp(partial[c * size + args.width] - highest) * partial[c * size + args.width + 1];
    for (size_t i = 0; i < args.width; i++) {
      double sum = 0;
      for (size_t c = 0; c < args.chunks; c++)
        sum += std::exp(partial[c * size + args.width] - highest) * partial[c * size + i];
      args.o_of(query)[i] = static_cast<float>(sum / total);
    }
  }
}

}  // namespace spinquant::reference
