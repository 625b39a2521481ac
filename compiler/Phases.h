// The phases of compilation as data: what runs in each, and what must hold at its end.
//
//     graph   the model as built: @loss and @eval over global tensors
//     sharded every tensor laid out on the mesh, communication visible as reshards
//     step    the whole training step: @fwd, @bwd, @prologue, @update
//     device  one device's program with its collectives, backwards in halves if the schedule has
//             them
//     local   what the backward recomputes is chosen, loss in chunks, collectives in buckets
//     kernels fusible ops grouped into kernels, instructions in their final order
//     exec    buffers and instructions
#pragma once

#include "passes/Passes.h"
#include "runtime/base/JobConfig.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"

namespace titan {

/// What the passes ask about the target.
struct PhaseTarget {
  int64_t computeCapability = 0; ///< of a GPU (90: 9.0); 0: a CPU
  /// The most that each pipeline rank may keep for the backward, for activation_checkpoint.mode
  /// memory_limit and auto (MemoryLimit.h). Without it they do as none.
  std::vector<int64_t> residualBytes = {};
};

struct Phase {
  llvm::StringLiteral name;
  llvm::StringLiteral description;
  /// Adds the passes that lead from the previous phase to this one.
  void (*build)(mlir::OpPassManager &passes, const JobConfig &job, const PhaseTarget &target);
  /// Checks what later phases rely on; errors stand at the offending ops.
  llvm::LogicalResult (*verify)(mlir::ModuleOp module);
};

/// All phases, in order. The first is the input.
llvm::ArrayRef<Phase> allPhases();

/// Null if there is none of that name.
const Phase *findPhase(llvm::StringRef name);

/// Adds a phase's passes, then its verifier as a pass.
void addPhase(mlir::OpPassManager &passes, const Phase &phase, const JobConfig &job,
              const PhaseTarget &target = {});

/// How titan-rematerialize chooses in the phase `local`.
RematerializeOptions getRematerializeOptions(const JobConfig &job, const PhaseTarget &target);

/// Registers `--titan-verify-phase=phase=NAME` and one pipeline per phase, `--titan-phase-NAME`,
/// with the settings of a default job.
void registerPhases();

} // namespace titan
