// The loops of a titan.kernel: what analysis counts and the emitters write.
//
// A kernel's first stage walks *rows*, the leading loops, which are independent and divided into
// blocks; within a row it runs *nests* of column loops one after another, because one nest may need
// what an earlier one reduced. What is reduced over rows has one partial result per block, which a
// later stage combines in the order of the blocks.
//
// A nest computes its roots, the values that leave it, by pulling: a scalar of a tensor at a place
// is a load, or the scalar body of the op that computes the tensor applied to the scalars that body
// reads, and so on. Tensors inside a kernel thus never exist in memory; a value that two nests
// need is computed twice, unless it is stored anyway.
//
// Example, y = x * rsqrt(sum of x * x over columns) for a tensor<8x64xf32>:
//   rows {8}
//   nest 0, columns {64}: load x[d0, d1]; x * x; root: row reduction 0, sum
//   nest 1, columns {64}: reduced 0; rsqrt (row level: above the loop); load x[d0, d1]; product;
//                         root: store to result 0 at [d0, d1]
#pragma once

#include "dialects/titan/TitanDialect.h"
#include "passes/kernels/KernelClusters.h"

#include <vector>

namespace titan {

/// Where a scalar is computed: once per call, once per row, or in the innermost column loop.
enum class Level { stage, row, element };

/// A scalar that an evaluation yields.
struct ScalarRef {
  unsigned evaluation;
  unsigned output = 0;
};

/// One step of a nest. Maps take the domain's coordinates: rows first, then columns.
struct Evaluation {
  enum class Kind {
    load,     ///< element `place` of operand `index`
    reload,   ///< element `place` of result `index`, stored by an earlier nest
    reduced,  ///< the value of row reduction `index`
    combined, ///< the value of cross reduction `index`, in the stage that combines its partials
    compute   ///< the body of `op` at the loops `place`, on `inputs`
  };
  Kind kind;
  Level level;
  mlir::AffineMap place;
  unsigned index = 0;
  FusibleOpInterface op;
  llvm::SmallVector<ScalarRef> inputs;
};

/// A value that leaves a nest.
struct Root {
  enum class Kind {
    store,          ///< to result `index` at `place`
    rowReduction,   ///< combined over the nest's columns into row reduction `index`
    crossReduction, ///< combined over rows into element `place` of cross reduction `index`
  };
  Kind kind;
  ScalarRef value;
  unsigned index;
  mlir::AffineMap place;
};

/// Column loops (none: once per row) around a list of evaluations and then its roots.
struct Nest {
  llvm::SmallVector<int64_t> columns;
  llvm::SmallVector<unsigned> evaluations; // in order; those of row and stage level go above
  llvm::SmallVector<Root> roots;
};

/// A reduction within rows.
struct RowReduction {
  Combiner combiner;
  mlir::Type type; ///< a compute type
};

/// A reduction over rows. Its scratch memory is [blocks of stage 0][shape], at `scratchOffset`.
struct CrossReduction {
  Combiner combiner;
  mlir::Type type; ///< a compute type
  llvm::SmallVector<int64_t> shape;
  int64_t scratchOffset = 0;
};

struct Stage {
  /// A flat stage has one nest; its columns are walked as one loop, and its blocks are ranges of
  /// elements. Otherwise blocks are ranges of rows, counted in row-major order.
  bool isFlat = false;
  llvm::SmallVector<int64_t> rows;
  std::vector<Nest> nests;
  std::vector<Evaluation> evaluations;
  llvm::SmallVector<unsigned> combines; ///< the cross reductions that this stage combines first
  int64_t units = 1;                    ///< rows, or elements if flat
  int64_t unitsPerBlock = 1;
  int64_t blocks = 1;
};

struct KernelSchedule {
  std::vector<Stage> stages;
  llvm::SmallVector<RowReduction> rowReductions;
  llvm::SmallVector<CrossReduction> crossReductions;
  int64_t scratchBytes = 0;
};

/// What a schedule depends on beside the kernel: sizes that suit the processor.
struct ScheduleOptions {
  /// Columns that a row should have, so that finding the row's place costs little beside it.
  int64_t minColumns = 512;
  /// A stage that reduces over rows has partial results for each block, in memory that the launch
  /// needs and that is read once more: so many bytes of operands and results are enough work for
  /// one, and there are not more than so many.
  int64_t bytesPerReducingBlock = 128 * 1024;
  int64_t maxReducingBlocks = 64;

  /// A GPU has over a hundred multiprocessors, each of which wants two blocks, and a warp for a
  /// short row.
  static ScheduleOptions forGpu() { return {32, 16 * 1024, 256}; }
};

/// Fails with an error at the kernel or one of its ops; a batch has no schedule of its own.
llvm::FailureOr<KernelSchedule> scheduleKernel(KernelOp kernel,
                                               const ScheduleOptions &options = {});

/// The kind of an op's loops; rows are the leading loops except in a row reduction, where they are
/// the parallel loops wherever those stand.
LoopKind classify(const IterationSpace &space);

} // namespace titan
