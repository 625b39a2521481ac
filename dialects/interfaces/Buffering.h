// Memory of an op's results: what BufferingOpInterface answers.
#pragma once

#include "mlir/IR/Builders.h"
#include "mlir/IR/OpDefinition.h"

namespace titan {

/// Where a result may or must live.
struct ResultPlacement {
  enum class Kind {
    fresh,    ///< memory of its own
    reuse,    ///< may take over the memory of one of `operands` when that dies here
    inPlace,  ///< must be the memory of operands[0]: the op updates it (an accumulator)
    view,     ///< is part of operands[0]'s memory, `byteOffset` from its start; nothing is computed
    assembled ///< operand i must be computed into this result at byte offset offsets[i]
  };

  Kind kind = Kind::fresh;
  llvm::SmallVector<unsigned, 2> operands;
  int64_t byteOffset = 0;
  llvm::SmallVector<int64_t> offsets;

  static ResultPlacement fresh() { return {}; }
  static ResultPlacement reuse(llvm::ArrayRef<unsigned> operands) {
    return {Kind::reuse, {operands.begin(), operands.end()}, 0, {}};
  }
  static ResultPlacement inPlace(unsigned operand) { return {Kind::inPlace, {operand}, 0, {}}; }
  static ResultPlacement view(unsigned operand, int64_t byteOffset) {
    return {Kind::view, {operand}, byteOffset, {}};
  }
  static ResultPlacement assembled(llvm::ArrayRef<int64_t> offsets) {
    return {Kind::assembled, {}, 0, {offsets.begin(), offsets.end()}};
  }
};

} // namespace titan

#include "dialects/interfaces/Buffering.h.inc"
