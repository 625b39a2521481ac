// What the stages of one pipeline rank keep together.
#pragma once

#include "passes/memory/RematProblem.h"

namespace titan {

/// The stages of one pipeline rank, or the whole model, as one choice: memory is the rank's, and it
/// has several microbatches of each stage in flight.
class RematRank {
public:
  RematRank(std::optional<int64_t> rank, std::vector<RematProblem> stages);

  std::optional<int64_t> getRank() const { return rank; }
  const std::vector<RematProblem> &getStages() const { return stages; }

  /// From least work to least bytes: bytes of all microbatches in flight, work of one microbatch of
  /// each stage. Made when first asked for, as are the next.
  const RematFrontier &getFrontier() const;
  /// Bytes of the mode none, and the least that a plan keeps.
  int64_t getMostBytes() const;
  int64_t getLeastBytes() const { return getFrontier().getPoints().back().bytes; }

  /// A plan for each stage. None for the mode limit with less than `getLeastBytes`; otherwise that
  /// is the least work that keeps no more than it allows and the mode none keeps, and with less
  /// bytes its plans never have more bytes or less work.
  std::optional<std::vector<RematPlan>> choosePlans(const RematChoice &choice) const;

private:
  std::optional<int64_t> rank;
  std::vector<RematProblem> stages;
  mutable std::optional<RematFrontier> frontier;
  mutable std::optional<int64_t> mostBytes;
};

/// Bytes and work of a rank's plans.
RematFrontier::Point addUp(llvm::ArrayRef<RematPlan> plans);

/// The ranks of a module's pipeline, or one. How much is in flight the module's schedule says. An
/// error where a backward does not fit its forward, or the schedule the functions.
mlir::FailureOr<std::vector<RematRank>> collectRematRanks(mlir::ModuleOp module,
                                                          const MachineBalance &balance);

} // namespace titan
