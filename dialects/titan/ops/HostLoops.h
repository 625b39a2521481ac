// Loops over host arrays that the reference evaluation of several op families shares.
#pragma once

#include "dialects/interfaces/Reference.h"

#include "llvm/ADT/SmallVector.h"

#include <vector>

namespace titan {

/// Elements from one index to the next along each dimension of a dense row-major tensor.
/// Example: shape [2, 3, 4] gives [12, 4, 1].
llvm::SmallVector<int64_t> getRowMajorStrides(llvm::ArrayRef<int64_t> shape);

/// Reads source[sum(index * strides)] for every index of `shape`, in row-major order. A stride of 0
/// repeats, permuted strides transpose.
std::vector<double> gather(llvm::ArrayRef<double> source, llvm::ArrayRef<int64_t> shape,
                           llvm::ArrayRef<int64_t> strides);

/// A tensor seen as rows of its last dimension; a tensor of rank 0 is one row of one element.
struct Rows {
  int64_t count;
  int64_t width;

  Rows(int64_t count, int64_t width) : count(count), width(width) {}
  explicit Rows(llvm::ArrayRef<int64_t> shape);
};

} // namespace titan
