// Cross entropy over classes that ranks share among them.
#pragma once

#include "dialects/titan/TitanDialect.h"

namespace titan {

/// The classes that a rank has: `first` (tensor<i32>) and those after it; `axes` split the rest.
/// From `numClasses` on, if it is not null, they are padding.
struct ClassPart {
  mlir::Value first;
  mlir::ArrayAttr axes;
  mlir::IntegerAttr numClasses;
};

struct ParallelLoss {
  mlir::Value loss, valid; ///< as cross_entropy's, the same on all ranks
  mlir::Value dlogits;     ///< of the rank's classes; null without dloss
};

/// Emits the loss of `logits` [rows, classes of the rank]: row maxima are exchanged first, then
/// sums of exponentials together with the labels' logits, one number each per row and rank.
/// (Shoeybi et al. 2019, Megatron-LM.)
ParallelLoss buildParallelLoss(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value logits,
                               mlir::Value labels, const ClassPart &part, mlir::Type computeType,
                               mlir::Value dloss = {});

} // namespace titan
