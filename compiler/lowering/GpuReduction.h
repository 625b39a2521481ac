// Reductions among the threads of a GPU block, in a fixed order.
#pragma once

#include "dialects/interfaces/Fusible.h"

#include "mlir/IR/Builders.h"

#include <functional>

namespace titan {

/// Writes reductions at a builder's insertion point.
class GpuReduction {
public:
  struct Item {
    Combiner combiner;
    mlir::Value value; ///< f32: each thread's own, then the result
  };
  /// Makes shared memory of a number of f32.
  using Allocate = std::function<mlir::Value(int64_t elements)>;

  /// `thread` is the number of the thread in its block.
  GpuReduction(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value thread, Allocate allocate)
      : builder(builder), loc(loc), thread(thread), allocate(std::move(allocate)) {}

  /// Combines the values of each `group` neighboring threads, a power of two; all of them get the
  /// same bits. All threads of a warp must come here together, and all of the block if the group is
  /// larger than a warp; the group is then the block. Where the code runs again, a barrier must
  /// come before.
  void reduce(llvm::MutableArrayRef<Item> items, int64_t group);

  bool usesSharedMemory() const { return isShared; }

private:
  void shuffle(Item &item, int64_t group);
  mlir::Value index(int64_t value);

  mlir::OpBuilder &builder;
  mlir::Location loc;
  mlir::Value thread;
  Allocate allocate;
  bool isShared = false;
};

} // namespace titan
