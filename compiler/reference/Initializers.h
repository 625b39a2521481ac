// Initial values of variables, and random tensors for tests.
#pragma once

#include "dialects/interfaces/Reference.h"

#include "mlir/IR/Attributes.h"

#include <cstdint>

namespace titan {

/// Random numbers without state: each is a function of a key and a counter, so that a tensor has
/// the same values whatever was drawn before. (Salmon et al. 2011, for the idea; the mixing
/// function is Steele et al. 2014, SplitMix64.)
class CounterGenerator {
public:
  CounterGenerator(uint64_t seed, llvm::StringRef name);

  /// Uniform in (0, 1).
  double uniform(uint64_t counter) const;
  /// Normal with mean 0 and standard deviation 1 (Box and Muller 1958).
  double normal(uint64_t counter) const;

private:
  uint64_t key;
};

/// Fills `tensor` with what the initializer attribute says; fails with an error at `location` when
/// the attribute is none of the dialect's or does not fit the tensor.
llvm::LogicalResult initialize(HostTensor &tensor, mlir::Attribute initializer,
                               const CounterGenerator &generator, mlir::Location location);

} // namespace titan
