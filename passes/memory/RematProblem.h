// Between the IR and the algorithm of titan-rematerialize: what the backward needs of the forward.
#pragma once

#include "passes/OpWork.h"
#include "passes/memory/RematFrontier.h"
#include "passes/memory/RematMode.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace titan {

/// A forward function and the backward that continues it, of the whole model or one stage. The
/// forward returns what it sends on, then the residuals; the backward takes the forward's
/// arguments, the residuals, then cotangents of what was sent. If the backward is in two halves the
/// second takes what the first one takes, and then what that returns behind its cotangents.
struct DirectionPair {
  mlir::func::FuncOp forward, backward;
  mlir::func::FuncOp weights; ///< the second half, or null
  unsigned numSent = 0, numResiduals = 0;
};

/// The pairs of a module. An error at a backward that does not fit its forward.
mlir::FailureOr<llvm::SmallVector<DirectionPair>> findDirectionPairs(mlir::ModuleOp module);

/// The microbatches of a stage whose residuals a rank has at a time: from the forward to the
/// backward or its first half, from there to the second half, and over both.
struct MicrobatchesInFlight {
  int64_t toBackward = 1, toWeights = 1, handed = 1;
};

/// The forward as a graph, with the bytes of all microbatches in flight and the work of one;
/// numbers of its ops and values are indices here.
///
/// What depends on variables alone, such as a weight that is gathered and cast, is there in the
/// backward at no cost: it is never kept, since how long weights are held is the placement of their
/// gathers. A view costs nothing and is not kept either, but what it is a view of. What goes from
/// one layer to the next, or from or to what lies outside of layers, never runs again, so that
/// a layer's backward needs no more than its own forward. What stands behind all layers and only
/// the backward reads, such as the last norm, costs no work there: it then does not run in the
/// forward. The layer of an op is the one that its location names; if there is none, that of an
/// operand's op.
struct RematProblem {
  DirectionPair functions;
  RematGraph graph;
  llvm::SmallVector<mlir::Operation *> ops;
  llvm::SmallVector<mlir::Value> values;
  std::vector<std::string> layers; ///< of each op; empty outside of layers

  RematProblem(DirectionPair functions, const MachineBalance &balance,
               const MicrobatchesInFlight &inFlight = {});

  /// The graph of a plan in which all layers that `isFull` says keep their inputs alone, and in
  /// other places only pointwise functions run again. Layers count from 1 in the forward's order.
  RematGraph withFullLayers(llvm::function_ref<bool(size_t)> isFull) const;
  /// The graph in which layers keep what their ops say, and other places are as above.
  RematGraph withOpChoices() const;

private:
  void addValue(mlir::Value value, int producer, bool mayKeep);
  void addOp(mlir::Operation *op, const MachineBalance &balance);
  void markNeeded();
  void markBoundaries();
  void findTail();
  void keepOutside(RematGraph &graph, size_t op) const;
  std::string findLayer(mlir::Operation *op) const;

  MicrobatchesInFlight inFlight;
  llvm::DenseMap<mlir::Value, unsigned> valueNumbers;
  llvm::DenseMap<mlir::Operation *, unsigned> opNumbers;
  llvm::DenseSet<mlir::Operation *> tail; ///< what only the backward reads
};

/// How titan-rematerialize chooses (Passes.td).
struct RematChoice {
  RematMode mode = RematMode::none;
  int64_t every = 2;   ///< N of the mode selective
  double budget = 0.5; ///< b of the mode budget, which allows least + b * (none - least) bytes:
                       ///< `least` is what every plan keeps, `none` what the mode none does
  int64_t bytes = 0;   ///< of the mode limit, which a pipeline rank may keep
};
/// For one stage. The mode limit looks at a whole rank (RematRank.h).
RematPlan choosePlan(const RematProblem &problem, const RematChoice &choice);

/// Makes the plan true: the forward returns what is kept, the first half of a backward what it
/// hands over, and what the backward or one of its halves lacks it computes where it first reads
/// it.
void applyPlan(const RematProblem &problem, const RematPlan &plan);

} // namespace titan
