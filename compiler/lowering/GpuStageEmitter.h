// The GPU form of one stage of a kernel: implementation of GpuKernelEmitter.h.
#pragma once

#include "compiler/lowering/GpuKernelEmitter.h"
#include "compiler/lowering/GpuMapping.h"
#include "compiler/lowering/GpuReduction.h"
#include "compiler/lowering/StageBody.h"
#include "passes/kernels/KernelBatch.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

#include <optional>

namespace titan {

/// What a stage is written into: a function of its own, or a part of a batch's.
struct GpuFrame {
  mlir::gpu::GPUFuncOp function;
  mlir::OpBuilder::InsertPoint point;
  Values buffers; ///< operands, results and scratch, if any; null for tied results
  mlir::Value thread, block;
  mlir::Value scratchBegin; ///< in elements; null: 0
};

/// A kernel's buffers as a function takes them: one-dimensional.
llvm::SmallVector<mlir::Type> getBufferTypes(KernelOp kernel, int64_t scratchBytes);

/// Appends a kernel function to `module`. Its frame's point is the end of its only block, which has
/// no terminator yet.
GpuFrame createGpuFunction(mlir::Location loc, llvm::StringRef symbol,
                           mlir::gpu::GPUModuleOp module, llvm::ArrayRef<mlir::Type> buffers,
                           int64_t threads, llvm::function_ref<bool(unsigned)> isWritten);
void finishGpuFunction(mlir::gpu::GPUFuncOp function);

/// The functions of a batch; see emitGpuKernel.
llvm::FailureOr<std::vector<GpuStage>> emitGpuBatch(KernelOp batch, llvm::ArrayRef<BatchPart> parts,
                                                    const KernelTies &ties, llvm::StringRef symbol,
                                                    mlir::gpu::GPUModuleOp module);

/// Writes one stage. As on the CPU, three insertion points follow the three levels of evaluations.
/// An element-level evaluation has `width` copies, for neighbors along the last column loop.
class GpuStageEmitter : StageBody {
public:
  GpuStageEmitter(KernelOp kernel, const KernelTies &ties, const KernelSchedule &schedule,
                  unsigned index)
      : StageBody(kernel, ties, schedule, index), values(stage.evaluations.size()) {}

  mlir::LogicalResult checkTypes();
  /// Decides which threads compute what, of at least so many in a flat stage.
  const GpuMapping &mapThreads(int64_t threads = 0);
  /// Whether the stage writes to a buffer of the launch.
  bool stores(unsigned argument) const;
  /// After mapThreads().
  mlir::LogicalResult emit(const GpuFrame &into);

private:
  /// A root that is accumulated over all rows of a block: its value so far, per thread.
  struct BlockSum {
    const Root *root;
    mlir::Value value;
  };
  /// A vector of every second element that was loaded in this iteration.
  struct Interleaved {
    unsigned argument;
    llvm::SmallVector<int64_t> coefficients;
    int64_t first; ///< the constant of the access of the vector's first element
    mlir::Value vector;
  };
  /// The sums of a block's columns, each element of which belongs to one thread.
  struct ColumnSum {
    mlir::Value memory; ///< shared, or the block's part of scratch where that has no room
    mlir::Value base;
    bool isShared;
    int64_t columns, width;
  };

  bool isTied(unsigned result) const { return result < ties.size() && ties[result]; }
  mlir::Value allocateShared(int64_t elements);

  // Loops.
  void emitFlat();
  void emitCombination();
  mlir::LogicalResult emitRows();
  void emitRow(mlir::Value row);
  void emitNest(const Nest &nest, int64_t width);
  void emitRowLevelNest(const Nest &nest);
  void emitColumnLoop(const Nest &nest, int64_t width);
  void emitElements(const Nest &nest, mlir::Value element, int64_t width, Values &carried);
  mlir::LogicalResult prepareColumnSums();
  void emitColumnLoopOver(const ColumnSum &sum, llvm::function_ref<void(mlir::Value)> body);
  mlir::Value placeIn(const ColumnSum &sum, mlir::Value column);
  void storeColumnSums();
  void storeBlockSums();
  void synchronizeBeforeStores(const Nest &nest);
  mlir::scf::ForOp loop(mlir::Value first, mlir::Value end, mlir::Value step,
                        mlir::ValueRange carried = {});
  Values decode(mlir::Value number, llvm::ArrayRef<int64_t> sizes);

  // Scalars.
  void emitEvaluations(const Nest &nest, mlir::OpBuilder::InsertPoint row);
  void emitEvaluation(unsigned number);
  void emitLoad(unsigned number);
  mlir::Value loadInterleaved(unsigned argument, const LinearAccess &access);
  void emitElementRoots(const Nest &nest, Values &carried);
  void emitStore(const Nest &nest, const Root &root);
  void storeInterleaved(const Nest &nest, const Root &root, const LinearAccess &access);
  void storeScattered(const Root &root, mlir::RankedTensorType tensor, mlir::Value memory);
  void addToColumnSum(const Root &root);
  Values split(mlir::Value vector, int64_t elements);
  mlir::Value load(mlir::Value memory, mlir::Value offset, int64_t elements);
  void store(mlir::ValueRange scalars, mlir::Value memory, mlir::Value offset);
  mlir::Value offsetOf(const LinearAccess &access, int64_t constant);
  mlir::Value elementOffset(mlir::AffineMap place, llvm::ArrayRef<int64_t> shape);
  AccessForm formOf(const LinearAccess &access) const {
    return classifyAccess(access, coordinates.size() - 1, width);
  }
  mlir::Value lookup(ScalarRef ref, int64_t lane) const {
    const auto &copies = values[ref.evaluation];
    return copies[copies.size() == 1 ? 0 : lane][ref.output];
  }
  Values lanesOf(ScalarRef ref) const {
    Values lanes;
    for (int64_t lane = 0; lane < width; ++lane)
      lanes.push_back(lookup(ref, lane));
    return lanes;
  }
  Combiner combinerOf(const Root &root) const {
    return root.kind == Root::Kind::rowReduction ? schedule.rowReductions[root.index].combiner
                                                 : schedule.crossReductions[root.index].combiner;
  }
  mlir::Value partialOffset(const CrossReduction &reduction, mlir::Value part, mlir::Value element);
  mlir::Value scratch() const { return frame.buffers.back(); }

  GpuMapping mapping;
  GpuFrame frame;
  mlir::OpBuilder::InsertPoint preamble;
  llvm::SmallVector<llvm::SmallVector<Values>> values; // per evaluation, per copy, per output
  mlir::Value lane;                                    // within the group of a row
  int64_t width = 1;                                   // of the nest being written
  llvm::SmallVector<Values> laneCoordinates;
  mlir::Value flatIndex;                                // of the first neighbor, in a flat stage
  mlir::Value columnIndex;                              // likewise, through the nest's columns
  std::optional<mlir::OpBuilder::InsertPoint> rowPoint; // where row-level scalars go
  llvm::SmallVector<Interleaved> interleaved;
  llvm::DenseMap<unsigned, mlir::Value> reduced;  // by row reduction
  llvm::DenseMap<unsigned, mlir::Value> combined; // by cross reduction
  std::vector<BlockSum> blockSums;
  llvm::DenseMap<unsigned, ColumnSum> columnSums; // by cross reduction
  int64_t sharedBytes = 0;                        // of column sums
  unsigned numShared = 0;                         // pieces of shared memory
  std::optional<GpuReduction> reduction;
};

} // namespace titan
