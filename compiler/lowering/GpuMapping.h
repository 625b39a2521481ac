// Which threads of a GPU compute what of a stage: plain arithmetic on its shape.
#pragma once

#include "passes/kernels/KernelSchedule.h"

#include <optional>

namespace titan {

/// An access to a tensor as a linear function of the domain's coordinates: element
/// `constant + sum of coefficients[d] * coordinate d` of its memory, in row-major order.
struct LinearAccess {
  llvm::SmallVector<int64_t> coefficients;
  int64_t constant = 0;
};

/// None if a place divides coordinates.
std::optional<LinearAccess> getLinearAccess(mlir::AffineMap place, llvm::ArrayRef<int64_t> shape);

/// How wide an access is to `width` neighbors along the coordinate `innermost`, the first of which
/// is at a multiple of `width`.
enum class AccessForm {
  uniform,     ///< all are the same element
  vector,      ///< `width` adjacent elements, aligned
  interleaved, ///< every second of 2 * `width` adjacent elements, aligned
  scattered    ///< anything else: one by one
};
AccessForm classifyAccess(const LinearAccess &access, unsigned innermost, int64_t width);

/// The grid of a stage and how its threads divide the work.
struct GpuMapping {
  int64_t blocks = 1;
  int64_t threads = 32;     ///< of a block
  int64_t group = 32;       ///< neighboring threads that share a row; `threads` if the block does
  int64_t rowsPerBlock = 1; ///< consecutive rows, of which the groups take turns
  llvm::SmallVector<int64_t> widths; ///< per nest: neighbors along the last column loop
  /// Not all nests give an element's memory to the same thread, which therefore wait for each other
  /// between nests.
  bool separateNests = false;

  int64_t groups() const { return threads / group; }
};

/// For stages that combine nothing. `reduces`: the stage has partial results per block, whose
/// number is the stage's own.
GpuMapping mapRows(KernelOp kernel, const Stage &stage, bool reduces);
/// `threads`: of a block, at least.
GpuMapping mapFlat(KernelOp kernel, const Stage &stage, bool reduces, int64_t threads = 0);

/// A stage that combines partial results: a warp's lanes are elements, its warps share the partial
/// results of each element.
inline constexpr int64_t kCombiningWarps = 8;
inline constexpr int64_t kWarp = 32;

} // namespace titan
