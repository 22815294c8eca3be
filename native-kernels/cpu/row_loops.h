// Loops in double precision for the references of several families; nothing else includes them.
#pragma once
#include <vector>
#include "head_rows.h"
#include "kronecker.h"

namespace spinquant::reference {

/// H[row][column] of the Sylvester-Hadamard matrix.
inline int sylvester_sign(size_t row, size_t column) {
  int sign = 1;
  for (size_t bits = row & column; bits > 0; bits &= bits - 1) sign = -sign;
  return sign;
}

/// scale · (M × (Z · H)) of each block of a row, entry by entry; the row itself where there are no blocks.
inline std::vector<double> transformed(const HadamardArgs& args, const std::vector<double>& row) {
  if (args.block == 0) return row;
  const size_t columns = args.block / args.order;
  std::vector<double> result(row.size());
  for (size_t at = 0; at < row.size(); at++) {
    const size_t start = at / args.block * args.block, i = at % args.block / columns, c = at % columns;
    for (size_t j = 0; j < args.order; j++) {
      const double entry = !args.m ? 1 : args.transpose ? args.m[j * args.order + i] : args.m[i * args.order + j];
      for (size_t k = 0; k < columns; k++) {
        result[at] += args.scale * entry * sylvester_sign(k, c) * row[start + j * columns + k];
      }
    }
  }
  return result;
}

/// Lᵀ (diag(s) X) R of a row, sum by sum; the row itself where there is no such map.
inline std::vector<double> times_kronecker(const KroneckerArgs& args, const std::vector<double>& row) {
  if (args.rows == 0) return row;
  const size_t rows = args.rows, columns = args.columns;
  std::vector<double> inner(row.size()), result(row.size());
  for (size_t i = 0; i < row.size(); i++) {
    const size_t start = i / columns * columns;
    for (size_t k = 0; k < columns; k++) {
      inner[i] += row[start + k] * args.gain[start + k] * args.right[k * columns + i % columns];
    }
  }
  for (size_t i = 0; i < row.size(); i++) {
    for (size_t k = 0; k < rows; k++) {
      result[i] += args.left[k * rows + i / columns] * inner[k * columns + i % columns];
    }
  }
  return result;
}

/// A row of a head with RoPE and its transform, rounded once.
inline std::vector<float> turned_row(const HeadRows& rows, size_t sequence, size_t head, size_t token) {
  const float* x = rows.at(sequence, head, token);
  const size_t half = rows.width / 2;
  std::vector<double> row(x, x + rows.width);
  for (size_t i = 0; rows.cos && i < half; i++) {
    const double c = rows.cos[token * half + i], s = rows.sin[token * half + i], a = x[i], b = x[half + i];
    row[i] = a * c - b * s;
    row[half + i] = b * c + a * s;
  }
  const std::vector<double> turned = transformed(rows.blocks, row);
  return {turned.begin(), turned.end()};
}

}  // namespace spinquant::reference
