// Which elements of a global tensor a rank holds, and where.
#pragma once

#include "runtime/base/FunctionRef.h"
#include "runtime/base/Status.h"
#include "runtime/format/Program.h"

#include <span>

namespace titan {

/// A rank's coordinate in some mesh axes as one number, the first axis outermost. Ranks number the
/// mesh in row-major order, outermost axis first. Axes that the mesh lacks count nothing.
int64_t coordinateOf(std::span<const format::Axis> mesh, std::span<const std::string> axes,
                     int rank);

/// How many bytes behind its place a rank has a buffer: 0 without a rotation.
int64_t rotationOffset(const format::Buffer &buffer, std::span<const format::Axis> mesh, int rank);

/// Example: of a tensor 4 x 6 whose columns two ranks share, rank 1 has four runs: its elements
/// 0..2 are elements 3..5 of the tensor, 3..5 are 9..11, and so on.
class VariableLayout {
public:
  /// Of a verified program's variable.
  VariableLayout(const format::Variable &variable, std::span<const format::Axis> mesh, int rank);

  /// The global tensor without rows of padding, dense and row-major.
  const format::View &global() const { return whole; }

  /// Calls visit(local, global, count) for maximal runs of elements that follow one another both in
  /// the rank's memory and in the global tensor, in the order of both. Padding belongs to no run.
  void forEachRun(FunctionRef<void(int64_t local, int64_t global, int64_t count)> visit) const;

  /// Whether this rank stands for all that hold the same elements: exactly one of them does.
  /// Addends of a partial sum are different elements in this sense.
  bool isFirstHolder() const { return firstHolder; }

private:
  format::View whole;
  std::array<int64_t, format::kMaxRank> block{};  ///< extents of the rank's part
  std::array<int64_t, format::kMaxRank> origin{}; ///< of the part in the tensor
  int64_t begin = 0, end = 0; ///< elements of the part, row-major, that are held
  bool firstHolder = true;
};

} // namespace titan
