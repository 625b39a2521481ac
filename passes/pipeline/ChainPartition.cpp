#include "passes/pipeline/ChainPartition.h"

#include <algorithm>
#include <cassert>
#include <limits>

namespace titan {

static constexpr double kInfinity = std::numeric_limits<double>::infinity();

namespace {
/// best[p][n]: the least objective of the first n elements in p pieces; cut[p][n]: where the last
/// of those pieces begins.
struct Table {
  std::vector<std::vector<double>> best;
  std::vector<std::vector<size_t>> cut;
};
} // namespace

/// Fills the table for an objective that `combine(objective before, cost of a piece)` grows by.
template <typename Combine>
static Table solve(llvm::ArrayRef<double> prefix, size_t pieces, Combine combine) {
  const size_t size = prefix.size() - 1;
  Table table{std::vector(pieces + 1, std::vector(size + 1, kInfinity)),
              std::vector(pieces + 1, std::vector<size_t>(size + 1, 0))};
  table.best[0][0] = 0;
  for (size_t piece = 1; piece <= pieces; ++piece)
    for (size_t end = piece; end <= size; ++end)
      for (size_t begin = piece - 1; begin < end; ++begin) {
        const double value = combine(table.best[piece - 1][begin], prefix[end] - prefix[begin]);
        if (value >= table.best[piece][end])
          continue;
        table.best[piece][end] = value;
        table.cut[piece][end] = begin;
      }
  return table;
}

std::vector<int64_t> partitionChain(llvm::ArrayRef<double> costs, int64_t pieces) {
  assert(pieces >= 1 && pieces <= static_cast<int64_t>(costs.size()) && "a piece would be empty");
  std::vector<double> prefix{0};
  for (double cost : costs)
    prefix.push_back(prefix.back() + cost);
  const auto largest =
      solve(prefix, pieces, [](double before, double cost) { return std::max(before, cost); });
  // Sums of the same numbers differ in rounding by where they begin.
  const double bound = largest.best[pieces][costs.size()] * (1 + 1e-9);
  const auto squares = solve(prefix, pieces, [&](double before, double cost) {
    return cost <= bound ? before + cost * cost : kInfinity;
  });
  std::vector<int64_t> pieceOf(costs.size());
  size_t end = costs.size();
  for (int64_t piece = pieces; piece > 0; --piece) {
    const size_t begin = squares.cut[piece][end];
    std::fill(pieceOf.begin() + begin, pieceOf.begin() + end, piece - 1);
    end = begin;
  }
  return pieceOf;
}

} // namespace titan
