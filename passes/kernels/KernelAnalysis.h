// What a titan.kernel needs and does: its schedule in numbers, for memory planning and reports.
#pragma once

#include "dialects/titan/TitanDialect.h"
#include "passes/kernels/KernelSchedule.h"

#include "llvm/ADT/Hashing.h"

namespace titan {

/// The arguments of a kernel's stages are its operands, its results, and one scratch buffer, which
/// is present exactly when `scratchBytes` is not 0.
struct KernelPlan {
  /// Per result the operands whose memory it may take over when they die here: same type, and no
  /// element is read after it was overwritten. A planner ties an operand to at most one result.
  llvm::SmallVector<llvm::SmallVector<unsigned>> reusable;
  /// Bytes of scratch memory; its contents are undefined before and after a launch. Aligned to 64.
  int64_t scratchBytes = 0;
  /// Independent blocks of each stage, a function of the shapes alone: stages run one after
  /// another, the blocks of a stage in any order and number of threads with the same bits.
  llvm::SmallVector<int64_t> blocks;
  /// Floating-point operations, with what is computed again in a later phase.
  int64_t flops = 0;
  /// Bytes of the operands and results, each counted once.
  int64_t bytesRead = 0;
  int64_t bytesWritten = 0;
};

/// Fails with an error at the op if its region has no schedule of rows and columns. The plan of a
/// batch is that of its kernels side by side.
llvm::FailureOr<KernelPlan> analyzeKernel(KernelOp kernel, const ScheduleOptions &options = {});

/// Structural hash and equality: kernels that are equal have the same operand and result types and
/// the same ops with the same attributes in the same order; where they are in the source does not
/// count. Equal kernels become one function.
llvm::hash_code hashKernel(KernelOp kernel);
bool kernelsEqual(KernelOp lhs, KernelOp rhs);

} // namespace titan
