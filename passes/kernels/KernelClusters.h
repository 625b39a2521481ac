// Which ops become one kernel: the algorithm of titan-form-kernels, on plain data.
#pragma once

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"

#include <cstdint>
#include <vector>

namespace titan {

/// How an op's loops divide between rows and columns.
enum class LoopKind {
  pointwise,    ///< no reduction; rows are the leading loops
  rowReduction, ///< rows are the parallel loops
  columnSum,    ///< the leading loops reduce, and are the rows
  fullReduction ///< all loops reduce
};

/// One tensor that a node reads.
struct FusionInput {
  int producer;     ///< the node that computes it, or -1
  unsigned value;   ///< names the tensor
  int64_t elements; ///< of the tensor
  /// Leading loops that index the leading dimensions of the tensor, in order: as many as agree.
  unsigned aligned;
  bool readsOwnElement; ///< the tensor has the loops' shape and is read at the loops' indices
};

struct FusionNode {
  bool isFusible = false;     ///< otherwise only its place in the order counts
  bool canBePulled = false;   ///< one iteration computes one element of each result
  bool standsAlone = false;   ///< fusible, but only by itself
  bool isReadOutside = false; ///< its value is also needed by what is no fusible node
  LoopKind kind = LoopKind::pointwise;
  llvm::SmallVector<int64_t, 4> bounds;
  unsigned numRows = 0; ///< leading loops that are the rows of a row reduction or column sum
  llvm::SmallVector<FusionInput, 4> inputs; ///< producers have lower numbers
  /// Nodes that must come before without giving a value.
  llvm::SmallVector<unsigned, 1> after;
};

struct FusionOptions {
  unsigned maxNodes = 48;         ///< in a kernel; more would spill registers, not save memory
  unsigned maxInputs = 20;        ///< tensors read by a kernel: streams that prefetchers follow
  unsigned siblingCandidates = 4; ///< readers of the same tensor that are tried
  unsigned searchBudget = 1024;   ///< nodes visited to prove that a merge closes no cycle
};

struct FusionResult {
  /// Groups of nodes in an order that respects all edges; nodes ascend in each. Nodes that are not
  /// fusible stand alone.
  std::vector<llvm::SmallVector<unsigned>> groups;
};

/// Groups greedily, in the order of the nodes: first a node with the producers of what it reads,
/// larger tensors first, so that those are never written and read again; then with other readers of
/// a tensor that it reads whole, so that it is read once. A group has loops of which the shorter
/// are prefixes of the longer; its row reductions and column sums agree on the rows, and what lies
/// between them stays within a row. What follows from a reduction over rows may join its group if
/// it is pointwise in the reduction's own shape and follows from no other: it is computed when the
/// partial sums are combined.
FusionResult formClusters(llvm::ArrayRef<FusionNode> nodes, const FusionOptions &options = {});

} // namespace titan
