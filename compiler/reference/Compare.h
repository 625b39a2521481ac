// Inputs for comparing two programs by execution, and how far their results are apart.
#pragma once

#include "compiler/reference/Interpreter.h"

namespace titan {

/// A tensor of random values that depends on (seed, name) alone: floats are normal with standard
/// deviation 1, integers uniform in [0, intLimit).
HostTensor makeRandomTensor(mlir::RankedTensorType type, llvm::StringRef name, uint64_t seed,
                            int64_t intLimit);

/// Gives every variable of `module` a value that depends on (seed, name) and its role alone, so
/// that two phases of one program start alike. Parameters get their initial values with noise, for
/// no program error should hide behind a weight of 1 or 0; derived values keep their initializers;
/// optimizer state, counters and inputs are positive; the rest is normal. Fails with a diagnostic.
mlir::LogicalResult randomizeVariables(mlir::ModuleOp module, Interpreter &interpreter,
                                       uint64_t seed);

/// The largest difference of two elements relative to the largest magnitude in `expected`; 0 for
/// equal tensors, among them equal infinities and places without a number, and infinity for tensors
/// of unlike shapes or where only one has a number. Where `expected` is smaller than
/// `smallestScale` throughout, the difference is relative to that: what cancels to zero in one
/// order of summation leaves a rounding error in another.
double getDeviation(const HostTensor &found, const HostTensor &expected, double smallestScale = 0);

/// The largest magnitude of a tensor's finite elements; 0 without any.
double getLargestMagnitude(const HostTensor &tensor);

/// ||found - expected|| / ||expected||, Euclidean norms over all elements; infinity for unlike
/// shapes.
double getRelativeL2(const HostTensor &found, const HostTensor &expected);

/// The largest of several deviations and the tensor that has it.
struct Deviation {
  double value = 0;
  std::string name;

  void add(double deviation, const llvm::Twine &tensor);
};

} // namespace titan
