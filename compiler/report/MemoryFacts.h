// What a finished program keeps in memory.
#pragma once

#include "mlir/IR/BuiltinOps.h"

#include <cstdint>
#include <string>
#include <vector>

namespace titan {

/// Read from the declarations and buffers of the phase `exec`.
struct MemoryFacts {
  /// A segment, or a class of the residuals.
  struct Item {
    std::string name;
    int64_t bytes = 0;
    int64_t slots = 0;                          ///< of a residual class; 0 for a segment
    int64_t slotBytes = 0;                      ///< of a residual class
    std::optional<int64_t> rank = std::nullopt; ///< the only pipeline rank that has a segment
  };
  /// A stretch of memory that one tensor takes, or several alike: of the same size, whose names
  /// differ in numbers only.
  struct Buffer {
    std::string base; ///< segment or residual class
    std::string name; ///< of the variable, or function and op; numbers are "N" if there are several
    int64_t bytes = 0; ///< of one
    int64_t count = 1;
  };
  /// What is added to a segment's variables so that each rank has equally much.
  struct Padding {
    std::string name;    ///< segment
    int64_t bytes = 0;   ///< in the parts of all ranks that share the variables
    int64_t ofBytes = 0; ///< of these parts
  };

  std::vector<Item> segments;        ///< in the program's order
  std::vector<Item> residualClasses; ///< parts of the segment of residuals
  std::vector<Padding> padding;      ///< of segments with variables that may be padded
  std::vector<Buffer> largest;       ///< variables and buffers, largest first

  /// Of one rank: in a pipeline of one with the most.
  int64_t totalBytes() const;
};

/// `mostBuffers` limits `largest`.
MemoryFacts collectMemoryFacts(mlir::ModuleOp exec, size_t mostBuffers = 10);

} // namespace titan
