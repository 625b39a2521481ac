// What the stages of a pipeline do and keep, and when.
#pragma once

#include "passes/pipeline/Simulator.h"

#include "mlir/IR/BuiltinOps.h"

namespace titan {

/// Empty for a program without a pipeline.
struct PipelineFacts {
  /// Of one microbatch on one rank, from CostOpInterface.
  struct Work {
    int64_t flops = 0;
    int64_t bytesRead = 0; ///< by ops that run alone
    int64_t bytesWritten = 0;

    double time = 0; ///< by estimateWork

    int64_t bytes() const { return bytesRead + bytesWritten; }
  };
  struct Stage {
    int64_t rank = 0;
    Work forward = {};
    Work backward = {}; ///< or its first half
    Work weights = {};  ///< its second half, if it has two
    /// Of a microbatch, by what keeps it.
    PerClass<int64_t> residualBytes = {};

    int64_t getResidualBytes() const { return llvm::sum_of(residualBytes); }
  };

  std::vector<Stage> stages;
  PipelineSchedule schedule; ///< of training
  /// By pipeline rank: parameters and all else but residuals, the scratch of one action included.
  std::vector<int64_t> residentBytes;

  bool isEmpty() const { return stages.empty(); }
  /// What one stage does, with names for reports: `{"forward", ...}`.
  std::vector<std::pair<const char *, Work>> listWork(size_t stage) const;
  /// In units of the mean forward of a stage.
  Simulation simulate() const;
  /// The most microbatches of a stage for which something is kept.
  static int64_t countInFlight(const Simulation &simulation, size_t stage);
};

/// The stages' work, from the phase `local`.
PipelineFacts collectPipelineWork(mlir::ModuleOp local);
/// Adds what the phase `exec` knows: the schedule and the bytes.
void addPipelineProgram(mlir::ModuleOp exec, PipelineFacts &facts);

} // namespace titan
