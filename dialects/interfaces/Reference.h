// Evaluation on host arrays: what ReferenceOpInterface answers.
#pragma once

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/OpDefinition.h"

#include <vector>

namespace titan {

/// A tensor on the host, row-major, every element a double (integers up to 2^53 are exact; a
/// boolean is 0 or 1).
struct HostTensor {
  mlir::RankedTensorType type;
  std::vector<double> values;

  HostTensor() = default;
  explicit HostTensor(mlir::RankedTensorType type)
      : type(type), values(static_cast<size_t>(type.getNumElements()), 0.0) {}

  llvm::ArrayRef<int64_t> shape() const { return type.getShape(); }
  int64_t size() const { return static_cast<int64_t>(values.size()); }
};

/// What the interpreter offers to ops.
class ReferenceContext {
public:
  virtual ~ReferenceContext() = default;

  /// c[m, n] += a[m, k] b[k, n], all row-major and dense, in double precision.
  virtual void multiplyAdd(int64_t m, int64_t n, int64_t k, const double *a, const double *b,
                           double *c) = 0;

  /// The linear coordinate of the rank being evaluated in mesh axes, the first one outermost; 0
  /// without a mesh.
  virtual int64_t getCoordinate(llvm::ArrayRef<mlir::StringAttr> axes) const { return 0; }
};

} // namespace titan

#include "dialects/interfaces/Reference.h.inc"
