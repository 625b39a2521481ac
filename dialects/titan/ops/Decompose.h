// Short ways to build the programs that composite ops decompose into.
#pragma once

#include "dialects/titan/TitanDialect.h"

namespace titan {

/// Builds ops on tensors at one location, computing in one float type.
class ProgramBuilder {
public:
  ProgramBuilder(mlir::OpBuilder &builder, mlir::Location loc, mlir::Type computeType)
      : builder(builder), loc(loc), computeType(computeType) {}

  /// `value` in the compute type.
  mlir::Value widen(mlir::Value value) { return castTo(value, computeType); }
  mlir::Value castTo(mlir::Value value, mlir::Type element);

  mlir::Value add(mlir::Value a, mlir::Value b) { return AddOp::create(builder, loc, a, b); }
  mlir::Value sub(mlir::Value a, mlir::Value b) { return SubOp::create(builder, loc, a, b); }
  mlir::Value mul(mlir::Value a, mlir::Value b) { return MulOp::create(builder, loc, a, b); }
  mlir::Value exp(mlir::Value a) { return ExpOp::create(builder, loc, a); }
  mlir::Value log(mlir::Value a) { return LogOp::create(builder, loc, a); }
  mlir::Value rsqrt(mlir::Value a) { return RsqrtOp::create(builder, loc, a); }

  mlir::Value full(llvm::ArrayRef<int64_t> shape, double value);
  /// Repeats `value`, whose dimensions are `dimensions` of `shape`.
  mlir::Value broadcast(mlir::Value value, llvm::ArrayRef<int64_t> shape,
                        llvm::ArrayRef<int64_t> dimensions);
  mlir::Value reduce(Reduction reduction, mlir::Value value, llvm::ArrayRef<int64_t> dimensions);
  /// `first` (tensor<i32>, or null for 0) is the number of the first class.
  mlir::Value oneHot(mlir::Value labels, int64_t classes, mlir::Value first = {});
  mlir::Value isValid(mlir::Value labels);
  /// logits [rows, classes], classes numbered as in oneHot: with a number below all others where
  /// they are `numClasses` or more, which is null where there is no padding.
  mlir::Value maskPadding(mlir::Value logits, mlir::IntegerAttr numClasses, mlir::Value first = {});

private:
  mlir::OpBuilder &builder;
  mlir::Location loc;
  mlir::Type computeType;
};

} // namespace titan
