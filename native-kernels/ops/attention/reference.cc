#include <cmath>
#include <vector>
#include "attention.h"

namespace spinquant::reference {
namespace {

double dot(const float* a, const float* b, size_t count) {
  double total = 0;
  for (size_t i = 0; i < count; i++) total += static_cast<double>(a[i]) * b[i];
  return total;
}

void attend_row(const CausalAttentionArgs& args, size_t head, size_t position_row) {
  const AttentionShape& shape = args.shape;
  size_t width = shape.width, row = head * shape.rows + position_row, group = head / shape.repeats;
  size_t first = shape.first_key(shape.position(position_row)), last = shape.position(position_row);
  const float* k = args.k + group * shape.keys * width;
  const float* v = args.v + group * shape.keys * width;
  std::vector<double> scores;
  double highest = -INFINITY, total = 0;
  for (size_t j = first; j <= last; j++) {
    scores.push_back(shape.scale * dot(args.q + row * width, k + j * width, width));
    highest = std::max(highest, scores.back());
  }
  for (double& s : scores) total += s = std::exp(s - highest);
  for (size_t i = 0; i < width; i++) {
    double o = 0;
    for (size_t j = first; j <= last; j++) o += scores[j - first] / total * v[j * width + i];
    args.o[row * width + i] = static_cast<float>(o);
  }
  args.lse[row] = static_cast<float>(highest + std::log(total));
}

void row_gradient(const CausalAttentionGradArgs& args, size_t head, size_t position_row, float* dk, float* dv) {
  const AttentionShape& shape = args.shape;
  size_t width = shape.width, row = head * shape.rows + position_row, group = head / shape.repeats;
  size_t first = shape.first_key(shape.position(position_row)), last = shape.position(position_row);
  const float* q = args.q + row * width;
  const float* d_o = args.d_o + row * width;
  double delta = dot(d_o, args.o + row * width, width);
  std::vector<double> dq(width);
  for (size_t j = first; j <= last; j++) {
    const float* k = args.k + (group * shape.keys + j) * width;
    const float* v = args.v + (group * shape.keys + j) * width;
    double p = std::exp(shape.scale * dot(q, k, width) - args.lse[row]);
    double ds = shape.scale * p * (dot(d_o, v, width) - delta);
    for (size_t i = 0; i < width; i++) {
      dq[i] += ds * k[i];
      dk[j * args.width_padded + i] += static_cast<float>(ds * q[i]);
      dv[j * args.width_padded + i] += static_cast<float>(p * d_o[i]);
    }
  }
  for (size_t i = 0; i < width; i++) args.dq[row * width + i] = static_cast<float>(dq[i]);
}

}  // namespace

void causal_attention(const CausalAttentionArgs& args, size_t first, size_t last) {
  for (size_t unit = first; unit < last; unit++) {
    size_t start = unit % args.units_per_head() * kQueriesPerUnit;
    size_t end = std::min(start + kQueriesPerUnit, args.shape.rows);
    for (size_t row = start; row < end; row++) attend_row(args, unit / args.units_per_head(), row);
  }
}

void causal_attention_grad(const CausalAttentionGradArgs& args, size_t first, size_t last) {
  for (size_t unit = first; unit < last; unit++) {
    float* dk = args.partial + unit * 2 * args.partial_size();
    std::fill(dk, dk + 2 * args.partial_size(), 0.0f);
    size_t start = unit % args.chunks * args.chunk_rows;
    size_t end = std::min(start + args.chunk_rows, args.shape.rows);
    for (size_t row = start; row < end; row++) {
      row_gradient(args, unit / args.chunks, row, dk, dk + args.partial_size());
    }
  }
}

void attention_partial_sum(const AttentionPartialSumArgs& args, size_t first, size_t last) {
  const AttentionShape& shape = args.shape;
  size_t parts = shape.repeats * args.chunks, size = args.keys_padded * args.width_padded;
  for (size_t unit = first; unit < last; unit++) {
    size_t group = unit / shape.keys, key = unit % shape.keys;
    for (size_t i = 0; i < shape.width; i++) {
      double dk = 0, dv = 0;
      for (size_t part = group * parts; part < (group + 1) * parts; part++) {
        dk += args.partial[2 * part * size + key * args.width_padded + i];
        dv += args.partial[(2 * part + 1) * size + key * args.width_padded + i];
      }
      args.dk[unit * shape.width + i] = static_cast<float>(dk);
      args.dv[unit * shape.width + i] = static_cast<float>(dv);
    }
  }
}

}  // namespace spinquant::reference
