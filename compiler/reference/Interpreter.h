// The reference interpreter: what a titan module means, on host arrays of doubles.
//
// It evaluates functions of any phase up to kernel formation. Every pass is proved against it: the
// same inputs before and after must give the same results.
#pragma once

#include "dialects/interfaces/Reference.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/StringMap.h"

#include <memory>

namespace titan {

enum class Precision {
  ideal, ///< double throughout: equal programs agree to about 1e-12
  typed, ///< the result of every op is rounded to its element type
};

struct InterpreterOptions {
  Precision precision = Precision::ideal;
  uint64_t seed = 0; ///< of the variables' random initializers
};

/// Calls functions of one module; the module's variables keep their values between calls. The
/// module must outlive the interpreter and not change meanwhile.
///
/// A function is evaluated op by op: each op on every rank before the next op, so that an op sees
/// the operands of all ranks at once. For now there is one rank.
class Interpreter {
public:
  explicit Interpreter(mlir::ModuleOp module, InterpreterOptions options = {});
  ~Interpreter();
  Interpreter(const Interpreter &) = delete;
  Interpreter &operator=(const Interpreter &) = delete;

  /// The function's results. Fails with a diagnostic at the op that cannot be evaluated, or at the
  /// function when the arguments are not what it takes; the variables are then unchanged.
  mlir::FailureOr<llvm::SmallVector<HostTensor>> call(llvm::StringRef function,
                                                      llvm::ArrayRef<HostTensor> arguments);

  bool hasFunction(llvm::StringRef name) const;

  /// A variable's value, first set by its initializer, or zeros; null when the module has no such
  /// variable or it cannot be initialized (with a diagnostic).
  HostTensor *findVariable(llvm::StringRef name);
  /// The same for a variable that is known to exist.
  HostTensor &variable(llvm::StringRef name);

  /// The most elements that values of one call held at a time, variables and arguments excluded.
  int64_t peakElements() const { return peak; }

private:
  using TensorRef = std::shared_ptr<HostTensor>;
  struct Rank;
  struct Frame;
  class Blas;

  mlir::FailureOr<TensorRef> getVariable(Rank &rank, mlir::StringAttr name);
  mlir::LogicalResult run(mlir::Block &block, llvm::MutableArrayRef<Frame> frames);
  mlir::LogicalResult evaluate(mlir::Operation &op, llvm::MutableArrayRef<Frame> frames);
  mlir::LogicalResult evaluateReference(mlir::Operation &op, Frame &frame);
  mlir::LogicalResult callRegion(mlir::Operation &op, mlir::Block &body,
                                 llvm::MutableArrayRef<Frame> frames, bool isFunction);
  mlir::LogicalResult load(mlir::Operation &op, Frame &frame);
  void define(Frame &frame, mlir::Value value, TensorRef tensor);
  void commitStores(Frame &frame);

  mlir::ModuleOp module;
  mlir::SymbolTable symbols;
  InterpreterOptions options;
  std::vector<Rank> ranks;
  std::unique_ptr<Blas> blas;
  int64_t held = 0, peak = 0;
  int depth = 0;
};

} // namespace titan
