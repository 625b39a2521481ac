// Which bytes are in use at each instruction of a step.
#pragma once

#include "mlir/IR/BuiltinOps.h"

#include <cstdint>
#include <string>
#include <vector>

namespace titan {

/// The memory of one rank while the timeline "train" runs its prologue, its body once, and its
/// epilogue. Parameters and other segments that last count whole. Of residuals and scratch a byte
/// counts from the instruction that writes it to the last one that reads what was written; of a
/// collective's buffers until the collective is awaited.
struct StepMemory {
  /// A segment; or a use of one: "gathered weights" are what
  /// all-gathers of parameters, or of their narrow copies, put into scratch.
  struct Kind {
    std::string name;
    std::vector<int64_t> bytes; ///< by instruction
  };
  /// What a timeline entry runs.
  struct Stretch {
    std::string function;
    size_t begin = 0, end = 0; ///< instructions
  };

  std::vector<Kind> kinds; ///< those that last first
  std::vector<Stretch> stretches;

  size_t numInstructions() const { return stretches.empty() ? 0 : stretches.back().end; }
  int64_t totalBytes(size_t instruction) const;
  /// The instruction with the most bytes in use.
  size_t peak() const;
};

StepMemory collectStepMemory(mlir::ModuleOp exec);

} // namespace titan
