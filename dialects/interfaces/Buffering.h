// Memory of an op's results: what BufferingOpInterface answers.
#pragma once

#include "mlir/IR/Builders.h"
#include "mlir/IR/OpDefinition.h"

namespace titan {

/// The rank's one of `count` equal parts of a tensor's memory: `bytes` long, one after another in
/// the order of the coordinates in mesh axes, the first axis outermost.
struct RankPart {
  mlir::ArrayAttr axes;
  int64_t bytes = 0;
  int64_t count = 1;

  bool operator==(const RankPart &) const = default;
};

/// Where a result may or must live.
struct ResultPlacement {
  enum class Kind {
    fresh,   ///< memory of its own
    inPlace, ///< must be the memory of operands[0]: the op updates it (an accumulator)
    view,    ///< is part of operands[0]'s memory, `byteOffset` from its start; nothing is computed
    assembled, ///< operand i must be computed into this result at byte offset offsets[i]
    part,      ///< is read from the rank's part of operands[0], which is whole on every rank; may
               ///< be that memory, `rankPart`, unless this counts 0 parts
    around     ///< memory of its own, in which operands[0] may be the rank's part, `rankPart`
  };

  Kind kind = Kind::fresh;
  llvm::SmallVector<unsigned, 2> operands;
  int64_t byteOffset = 0;
  llvm::SmallVector<int64_t> offsets;
  RankPart rankPart;

  static ResultPlacement fresh() { return {}; }
  static ResultPlacement inPlace(unsigned operand) { return {Kind::inPlace, {operand}, 0, {}, {}}; }
  static ResultPlacement view(unsigned operand, int64_t byteOffset) {
    return {Kind::view, {operand}, byteOffset, {}, {}};
  }
  static ResultPlacement assembled(llvm::ArrayRef<int64_t> offsets) {
    return {Kind::assembled, {}, 0, {offsets.begin(), offsets.end()}, {}};
  }
  static ResultPlacement part(unsigned operand, RankPart part) {
    return {Kind::part, {operand}, 0, {}, part};
  }
  static ResultPlacement around(unsigned operand, RankPart part) {
    return {Kind::around, {operand}, 0, {}, part};
  }
};

} // namespace titan

#include "dialects/interfaces/Buffering.h.inc"
