// Elementary functions as arithmetic that LLVM vectorizes.
#pragma once

#include "mlir/IR/PatternMatch.h"
#include "mlir/Pass/Pass.h"

namespace titan {

/// Replaces math.exp of f32 by a polynomial: relative error below 1.5e-7 (about one unit in the
/// last place) where the result is a normal number; 0 below -87.7, infinity above 88.72, NaN for
/// NaN. Other functions, such as logarithms, which kernels take once per row, are MLIR's.
void populateMathApproximationPatterns(mlir::RewritePatternSet &patterns);

/// Applies them to a function of any kind.
std::unique_ptr<mlir::Pass> createApproximateMathPass();

} // namespace titan
