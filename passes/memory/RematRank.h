// What the stages of one pipeline rank keep together.
#pragma once

#include "passes/memory/RematProblem.h"

namespace titan {

/// The stages of one pipeline rank, or the whole model, as one choice: memory is the rank's, and it
/// has several microbatches of each stage in flight.
class RematRank {
public:
  struct Stage {
    RematProblem problem;
    int64_t inFlight = 1; ///< microbatches whose residuals the rank has at a time
  };

  RematRank(std::optional<int64_t> rank, std::vector<Stage> stages);

  std::optional<int64_t> getRank() const { return rank; }
  const std::vector<Stage> &getStages() const { return stages; }

  /// From least work to least bytes: bytes of all microbatches in flight, work of one microbatch of
  /// each stage.
  const RematFrontier &getFrontier() const { return frontier; }
  /// Bytes of the mode none, and the least that a plan keeps.
  int64_t getMostBytes() const { return mostBytes; }
  int64_t getLeastBytes() const { return frontier.getPoints().back().bytes; }
  /// What a rank keeps with these plans, one per stage.
  int64_t countBytes(llvm::ArrayRef<RematPlan> plans) const;

  /// The least work that keeps at most so many bytes, and no more than the mode none does; a plan
  /// for each stage. With less bytes the plans never have more bytes or less work; none below
  /// `getLeastBytes`.
  std::optional<std::vector<RematPlan>> planWithin(int64_t bytes) const;

private:
  std::optional<int64_t> rank;
  std::vector<Stage> stages;
  RematFrontier frontier;
  int64_t mostBytes = 0;
};

/// The ranks of a module's pipeline, or one. How much is in flight the module's schedule says. An
/// error where a backward does not fit its forward, or the schedule the functions.
mlir::FailureOr<std::vector<RematRank>> collectRematRanks(mlir::ModuleOp module,
                                                          const MachineBalance &balance);

} // namespace titan
