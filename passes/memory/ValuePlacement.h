// Decides for one function where each tensor value lives.
#pragma once

#include "passes/Functions.h"
#include "passes/kernels/KernelSchedule.h"

#include "llvm/ADT/EquivalenceClasses.h"

namespace titan {

/// A byte range that is fixed before the function is placed: a variable, or a tensor in a residual
/// class.
struct FixedRange {
  mlir::StringAttr base; ///< a segment or residual class
  int64_t offset = 0;
  /// Whether other values may take the memory over once its tensor is dead.
  bool reusable = false;
  /// How much may be written there: of a result or variable that has getRoom(); else 0.
  int64_t room = 0;
};

/// The bytes that a value needs where it leaves its function to be computed there: those of the
/// tensor whose front it is, such as a gathered one that ends in padding, unless they are many more
/// than its own.
int64_t getRoom(mlir::Value value);

/// The ranges that a function's arguments, results and variables have.
struct FunctionLayout {
  llvm::SmallVector<FixedRange> arguments;
  llvm::SmallVector<FixedRange> results;
  const llvm::StringMap<FixedRange> *variables = nullptr;
  ScheduleOptions scheduleOptions; ///< of kernels, which decide about their scratch memory
  int64_t computeCapability = 0;   ///< of the GPU, on which other ops' scratch memory depends
};

/// Memory that one or more values share, one after another or as views.
struct Storage {
  int64_t bytes = 0;
  FixedRange fixed;   ///< base is null for storage in the function's arena
  int64_t begin = -1; ///< positions of the first definition and the last use
  int64_t end = -1;
  int64_t arenaOffset = 0;

  bool inArena() const { return !fixed.base; }
};

/// Bytes [offset, ...) of a storage.
struct Place {
  unsigned storage = 0;
  int64_t offset = 0;
  /// Of what lies in the rank's part of a larger tensor: `offset` is where part 0 begins.
  RankPart rankPart = {};

  Place shifted(int64_t bytes) const { return {storage, offset + bytes, rankPart}; }
  /// The rank's part of the tensor that is here.
  Place withPart(RankPart part) const {
    return part.count > 1 ? Place{storage, offset, part} : *this;
  }
  /// How many bytes behind `offset` the place begins on the last rank.
  int64_t spread() const { return (rankPart.count - 1) * rankPart.bytes; }

  bool operator==(const Place &) const = default;
};

/// A value that has to be copied before an op, because it cannot be computed in place.
struct PlacedCopy {
  mlir::Operation *before;
  mlir::Value value;
  Place to;
};

/// Places the values of a function's single block; see titan-plan-memory in Passes.td for the
/// rules.
class ValuePlacement {
public:
  ValuePlacement(mlir::func::FuncOp function, const FunctionLayout &layout)
      : function(function), layout(layout) {}

  mlir::LogicalResult run();

  const Storage &getStorage(Place place) const { return storages[place.storage]; }
  Place getPlace(mlir::Value value) const { return places.lookup(value); }
  /// For each result of a kernel the operand whose memory it takes over, or -1.
  llvm::ArrayRef<int> getTies(mlir::Operation *kernel) const { return ties.find(kernel)->second; }
  /// An op's scratch memory, if it needs some.
  std::optional<Place> getScratch(mlir::Operation *op) const;
  llvm::ArrayRef<PlacedCopy> getCopies() const { return copies; }
  int64_t getArenaBytes() const { return arenaBytes; }

private:
  using ResultOptions = llvm::SmallVector<llvm::SmallVector<unsigned>>;

  void numberOps();
  void computeLastUses();
  mlir::Value getGroup(mlir::Value value) const;
  unsigned countOperandsSharing(mlir::Operation *op, mlir::Value operand) const;
  void computeHints();
  void hintOperands(mlir::Operation *op);
  mlir::LogicalResult placeOp(mlir::Operation *op);
  void placeLoad(LoadOp load);
  void placeView(mlir::Value result, mlir::Value operand, int64_t byteOffset);
  void placePart(mlir::OpResult result, const ResultPlacement &placement);
  void placeInPlace(mlir::Operation *op, unsigned result, unsigned operand);
  bool mayAssembleInVariable(mlir::Operation *op, Place whole);
  void placeAssembled(mlir::Operation *op, llvm::ArrayRef<int64_t> offsets);
  /// Places a result where its hint says or in fresh memory.
  void placeByHint(mlir::Operation *op, mlir::Value result, llvm::ArrayRef<unsigned> mayOverwrite);
  mlir::LogicalResult placeKernel(KernelOp kernel);
  int reuseOperand(mlir::Operation *op, mlir::Value result, llvm::ArrayRef<unsigned> operands);
  void placeScratch(mlir::Operation *op, int64_t bytes);
  void placeStore(StoreOp store);
  void placeReturn(mlir::Operation *end);
  void orderExitCopies();
  void packArenaStorages();

  unsigned addStorage(int64_t bytes, FixedRange fixed = {});
  unsigned getFixedStorage(const FixedRange &range, int64_t bytes);
  void assign(mlir::Value value, Place place);
  bool mayOverwriteVariable(mlir::Operation *op, Place place,
                            llvm::ArrayRef<unsigned> mayOverwrite);
  int64_t position(mlir::Operation *op) const { return positions.lookup(op); }
  /// The last use of anything that shares the value's memory as a view or part of it.
  int64_t lastUse(mlir::Value value) const { return lastUses.lookup(getGroup(value)); }

  mlir::func::FuncOp function;
  const FunctionLayout &layout;
  llvm::DenseMap<mlir::Operation *, int64_t> positions;
  /// Values that share memory as views of one another, or as parts of an assembled result.
  llvm::EquivalenceClasses<mlir::Value> groups;
  llvm::DenseMap<mlir::Value, int64_t> lastUses; ///< by the group's leader
  std::vector<Storage> storages;
  llvm::DenseMap<std::pair<mlir::StringAttr, int64_t>, unsigned> fixedStorages;
  /// Loads of the variable that a fixed storage holds.
  llvm::DenseMap<unsigned, llvm::SmallVector<mlir::Value, 1>> loads;
  llvm::DenseMap<mlir::Value, Place> hints;
  llvm::DenseMap<mlir::Value, Place> places;
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<int>> ties;
  llvm::DenseMap<mlir::Operation *, unsigned> scratch;
  llvm::SmallVector<PlacedCopy> copies;
  int64_t arenaBytes = 0;
};

} // namespace titan
