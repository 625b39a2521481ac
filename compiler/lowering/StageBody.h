// What the CPU and the GPU form of a kernel's stage share: scalars, and where they are.
#pragma once

#include "compiler/lowering/KernelEmitter.h"

namespace titan {

using Values = llvm::SmallVector<mlir::Value>;

/// Product of sizes; 1 without any.
int64_t product(llvm::ArrayRef<int64_t> sizes);

/// Lets LLVM reassociate and approximate where an operation has no flags of its own. Never nnan or
/// ninf: a diverging run must show.
void relaxFloatingPoint(mlir::Operation *function);

mlir::Value combineScalars(mlir::OpBuilder &builder, mlir::Location loc, Combiner combiner,
                           mlir::Value a, mlir::Value b);

/// A stage of a kernel that is being written at an insertion point. The forms differ in their loops
/// and in how elements get into scalars and out of them.
class StageBody {
protected:
  StageBody(KernelOp kernel, const KernelTies &ties, const KernelSchedule &schedule, unsigned index)
      : kernel(kernel), ties(ties), schedule(schedule), stage(schedule.stages[index]),
        isFirst(index == 0), builder(kernel.getContext()), loc(kernel.getLoc()) {}

  /// The launch's buffer that holds a result.
  unsigned resultArgument(unsigned result) const {
    if (result < ties.size() && ties[result])
      return *ties[result];
    return kernel->getNumOperands() + result;
  }
  /// The tensor that a load or reload reads, and the launch's buffer that holds it.
  std::pair<mlir::RankedTensorType, unsigned> source(const Evaluation &evaluation) const;

  /// The scalars of an evaluation of kind compute.
  Values emitCompute(const Evaluation &evaluation, mlir::ValueRange inputs);
  mlir::Value combine(Combiner combiner, mlir::Value a, mlir::Value b) {
    return combineScalars(builder, loc, combiner, a, b);
  }
  mlir::Value identity(Combiner combiner, mlir::Type type);
  /// A map's results at `coordinates`.
  Values places(mlir::AffineMap map);
  mlir::Value index(int64_t value);

  KernelOp kernel;
  const KernelTies &ties;
  const KernelSchedule &schedule;
  const Stage &stage;
  const bool isFirst;
  mlir::OpBuilder builder;
  mlir::Location loc;
  Values coordinates; ///< of the domain: rows, then columns

private:
  mlir::Value expand(mlir::AffineExpr expression);
};

} // namespace titan
