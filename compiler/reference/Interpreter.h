// The reference interpreter: what a titan module means, on host arrays of doubles.
//
// It evaluates functions of any phase up to kernel formation. Every pass is proved against it: the
// same inputs before and after must give the same results.
#pragma once

#include "dialects/interfaces/Reference.h"
#include "dialects/titan/Sharding.h"

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
/// A per-device program, in which titan-partition-spmd has left global types, is evaluated on all
/// ranks of its mesh in lock step: each op on every rank before the next op, so that a collective
/// sees the operands of all ranks at once. From outside it looks like the global program: arguments
/// are cut into what the ranks hold and results and variables put together again, and it is an
/// error if ranks that should hold the same do not, bit for bit. Slices' padding is poisoned.
///
/// A function of one pipeline rank is evaluated on the ranks of that coordinate alone, and a
/// variable that only functions of one pipeline rank use is read from them. What stages hand to
/// each other goes through the caller.
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
  mlir::ModuleOp getModule() const { return module; }

  /// A variable's value, first set by its initializer, or zeros; null when the module has no such
  /// variable or it cannot be initialized (with a diagnostic). The tensor stays where it is; after
  /// a call it has to be asked for again.
  HostTensor *findVariable(llvm::StringRef name);
  /// The same for a variable that is known to exist.
  HostTensor &variable(llvm::StringRef name);

  /// The most elements that values of one call held at a time, variables and arguments excluded.
  int64_t peakElements() const { return peak; }

private:
  using TensorRef = std::shared_ptr<HostTensor>;
  struct Rank;
  struct Frame;
  /// A variable as seen from outside, where it may be changed between calls.
  struct OuterVariable {
    HostTensor tensor;
    bool stale = false; ///< a call has stored a new value since
  };
  class Context;

  mlir::LogicalResult initializeVariable(VariableOp variable);
  /// The ranks that a function or variable of a pipeline rank is on.
  llvm::SmallVector<int64_t> getRanks(std::optional<int64_t> pipelineRank);
  void scatterVariable(VariableOp variable, HostTensor &tensor);
  mlir::FailureOr<HostTensor> gather(llvm::ArrayRef<const HostTensor *> parts, mlir::Type local,
                                     mlir::Type global, mlir::Location location,
                                     const llvm::Twine &what);
  mlir::LogicalResult run(mlir::Block &block, llvm::MutableArrayRef<Frame> frames);
  mlir::LogicalResult evaluate(mlir::Operation &op, llvm::MutableArrayRef<Frame> frames);
  mlir::LogicalResult evaluateReference(mlir::Operation &op, Frame &frame);
  mlir::LogicalResult evaluateCollective(mlir::Operation &op, llvm::MutableArrayRef<Frame> frames);
  mlir::LogicalResult callRegion(mlir::Operation &op, mlir::Block &body,
                                 llvm::MutableArrayRef<Frame> frames, bool isFunction);
  mlir::LogicalResult load(mlir::Operation &op, Frame &frame);
  void define(Frame &frame, mlir::Value value, TensorRef tensor);
  void commitStores(Frame &frame);

  mlir::ModuleOp module;
  mlir::SymbolTable symbols;
  InterpreterOptions options;
  MeshShape mesh;
  std::vector<Rank> ranks;
  llvm::StringMap<int64_t> variableRanks; ///< pipeline ranks of variables that one of them has
  llvm::StringMap<std::unique_ptr<OuterVariable>> outerVariables;
  std::unique_ptr<Context> context;
  int64_t held = 0, peak = 0;
  int depth = 0;
};

} // namespace titan
