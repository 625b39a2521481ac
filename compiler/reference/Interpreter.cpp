#include "compiler/reference/Interpreter.h"

#include "compiler/reference/Initializers.h"
#include "compiler/reference/Rounding.h"
#include "dialects/titan/TitanDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/MapVector.h"

#include <cblas.h>

// Some of the headers that Debian's alternatives offer as cblas.h lack it.
extern "C" void openblas_set_num_threads(int threads);

using namespace mlir;

namespace titan {

/// Contractions through the machine's BLAS, on one thread: bits do not depend on the number of
/// cores, and the products of small models are too short to share.
class Interpreter::Blas : public ReferenceContext {
public:
  Blas() { openblas_set_num_threads(1); }

  void multiplyAdd(int64_t m, int64_t n, int64_t k, const double *a, const double *b,
                   double *c) override {
    if (m == 0 || n == 0 || k == 0)
      return;
    auto asInt = [](int64_t extent) { return static_cast<int>(extent); };
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, asInt(m), asInt(n), asInt(k), 1.0, a,
                asInt(k), b, asInt(n), 1.0, c, asInt(n));
  }
};

/// What a rank keeps between calls.
struct Interpreter::Rank {
  llvm::StringMap<TensorRef> variables;
};

/// What a rank knows inside one function or region.
struct Interpreter::Frame {
  Rank *rank = nullptr;
  DenseMap<Value, TensorRef> values;
  /// The variables at the function's entry: loads see these, whatever a callee stored since.
  llvm::StringMap<TensorRef> entry;
  llvm::MapVector<StringAttr, TensorRef> stores;
  /// The operands of the terminator.
  SmallVector<TensorRef> results;
};

/// Callers deeper than this are taken for endless recursion.
static constexpr int kMaxDepth = 64;

Interpreter::Interpreter(ModuleOp module, InterpreterOptions options)
    : module(module), symbols(module), options(options), ranks(1), blas(std::make_unique<Blas>()) {}

Interpreter::~Interpreter() = default;

static void roundToTypes(HostTensor &tensor) {
  Type type = tensor.type.getElementType();
  for (double &value : tensor.values)
    value = roundToType(value, type);
}

//===----------------------------------------------------------------------===//
// Variables
//===----------------------------------------------------------------------===//

FailureOr<Interpreter::TensorRef> Interpreter::getVariable(Rank &rank, StringAttr name) {
  TensorRef &slot = rank.variables[name.getValue()];
  if (slot)
    return slot;
  auto variable = symbols.lookup<VariableOp>(name);
  if (!variable)
    return failure();
  auto tensor = std::make_shared<HostTensor>(cast<RankedTensorType>(variable.getType()));
  if (std::optional<Attribute> initializer = variable.getInitializer())
    if (failed(initialize(*tensor, *initializer, CounterGenerator(options.seed, name.getValue()),
                          variable.getLoc())))
      return failure();
  if (options.precision == Precision::typed)
    roundToTypes(*tensor);
  return slot = std::move(tensor);
}

HostTensor *Interpreter::findVariable(StringRef name) {
  FailureOr<TensorRef> tensor =
      getVariable(ranks.front(), StringAttr::get(module.getContext(), name));
  return succeeded(tensor) ? tensor->get() : nullptr;
}

HostTensor &Interpreter::variable(StringRef name) {
  HostTensor *tensor = findVariable(name);
  assert(tensor && "the module has no such variable");
  return *tensor;
}

bool Interpreter::hasFunction(StringRef name) const {
  return static_cast<bool>(symbols.lookup<func::FuncOp>(name));
}

LogicalResult Interpreter::load(Operation &op, Frame &frame) {
  auto load = cast<LoadOp>(op);
  StringAttr name = load.getVariableAttr().getAttr();
  auto found = frame.entry.find(name.getValue());
  if (found == frame.entry.end())
    return op.emitOpError() << "cannot be evaluated: there is no variable @" << name.getValue();
  frame.values[load.getResult()] = found->second;
  return success();
}

void Interpreter::commitStores(Frame &frame) {
  for (auto &[name, tensor] : frame.stores)
    // A copy: the tensor may be another variable's value or one the caller still reads.
    frame.rank->variables[name.getValue()] = std::make_shared<HostTensor>(*tensor);
}

//===----------------------------------------------------------------------===//
// Evaluation
//===----------------------------------------------------------------------===//

void Interpreter::define(Frame &frame, Value value, TensorRef tensor) {
  held += tensor->size();
  peak = std::max(peak, held);
  frame.values[value] = std::move(tensor);
}

LogicalResult Interpreter::evaluateReference(Operation &op, Frame &frame) {
  auto reference = dyn_cast<ReferenceOpInterface>(op);
  if (!reference)
    return op.emitOpError("cannot be evaluated: it lacks ReferenceOpInterface");
  SmallVector<const HostTensor *> operands;
  for (Value operand : op.getOperands())
    operands.push_back(frame.values.lookup(operand).get());
  SmallVector<HostTensor> results;
  for (Type type : op.getResultTypes())
    results.emplace_back(cast<RankedTensorType>(type));
  if (failed(reference.evaluate(*blas, operands, results)))
    return failure();
  for (auto [value, tensor] : llvm::zip_equal(op.getResults(), results)) {
    if (options.precision == Precision::typed)
      roundToTypes(tensor);
    define(frame, value, std::make_shared<HostTensor>(std::move(tensor)));
  }
  return success();
}

LogicalResult Interpreter::callRegion(Operation &op, Block &body, MutableArrayRef<Frame> frames,
                                      bool isFunction) {
  if (depth >= kMaxDepth)
    return op.emitOpError() << "cannot be evaluated: calls are nested more than " << kMaxDepth
                            << " deep";
  std::vector<Frame> inner(frames.size());
  for (auto [frame, innerFrame] : llvm::zip_equal(frames, inner)) {
    innerFrame.rank = frame.rank;
    if (isFunction)
      innerFrame.entry = frame.rank->variables;
    for (auto [argument, operand] : llvm::zip_equal(body.getArguments(), op.getOperands()))
      innerFrame.values[argument] = frame.values.lookup(operand);
  }
  ++depth;
  const LogicalResult done = run(body, inner);
  --depth;
  if (failed(done))
    return failure();
  for (auto [frame, innerFrame] : llvm::zip_equal(frames, inner)) {
    commitStores(innerFrame);
    for (auto [value, tensor] : llvm::zip_equal(op.getResults(), innerFrame.results))
      define(frame, value, std::move(tensor));
  }
  return success();
}

LogicalResult Interpreter::evaluate(Operation &op, MutableArrayRef<Frame> frames) {
  if (op.hasTrait<OpTrait::ReturnLike>()) {
    for (Frame &frame : frames)
      for (Value operand : op.getOperands())
        frame.results.push_back(frame.values.lookup(operand));
    return success();
  }
  if (auto kernel = dyn_cast<KernelOp>(op))
    return callRegion(op, kernel.getBody().front(), frames, /*isFunction=*/false);
  if (auto call = dyn_cast<func::CallOp>(op)) {
    auto callee = symbols.lookup<func::FuncOp>(call.getCallee());
    if (!callee || callee.isExternal())
      return op.emitOpError() << "cannot be evaluated: no body of @" << call.getCallee();
    return callRegion(op, callee.getBody().front(), frames, /*isFunction=*/true);
  }
  for (Frame &frame : frames) {
    if (auto store = dyn_cast<StoreOp>(op))
      frame.stores[store.getVariableAttr().getAttr()] = frame.values.lookup(store.getValue());
    else if (failed(isa<LoadOp>(op) ? load(op, frame) : evaluateReference(op, frame)))
      return failure();
  }
  return success();
}

/// For each op of a block, the values that nothing after it uses.
static SmallVector<SmallVector<Value, 2>> findDyingValues(Block &block) {
  DenseMap<Value, unsigned> lastUse;
  unsigned number = 0;
  for (Operation &op : block) {
    for (Value result : op.getResults())
      lastUse[result] = number;
    for (Value operand : op.getOperands())
      lastUse[operand] = number;
    ++number;
  }
  SmallVector<SmallVector<Value, 2>> dying(number);
  for (auto [value, last] : lastUse)
    dying[last].push_back(value);
  return dying;
}

LogicalResult Interpreter::run(Block &block, MutableArrayRef<Frame> frames) {
  const auto dying = findDyingValues(block);
  for (auto [op, values] : llvm::zip_equal(block, dying)) {
    if (failed(evaluate(op, frames)))
      return failure();
    for (Frame &frame : frames)
      for (Value value : values) {
        // Arguments belong to the caller, loaded values to the module.
        Operation *producer = value.getDefiningOp();
        if (producer && !isa<LoadOp>(producer))
          held -= cast<RankedTensorType>(value.getType()).getNumElements();
        frame.values.erase(value);
      }
  }
  return success();
}

FailureOr<SmallVector<HostTensor>> Interpreter::call(StringRef name,
                                                     ArrayRef<HostTensor> arguments) {
  auto function = symbols.lookup<func::FuncOp>(name);
  if (!function || function.isExternal())
    return module.emitError() << "the module has no function @" << name;
  if (function.getNumArguments() != arguments.size())
    return function.emitOpError() << "takes " << function.getNumArguments() << " arguments, found "
                                  << arguments.size();
  for (auto variable : module.getOps<VariableOp>())
    if (failed(getVariable(ranks.front(), variable.getSymNameAttr())))
      return failure();
  std::vector<Frame> frames(1);
  Frame &frame = frames.front();
  frame.rank = &ranks.front();
  frame.entry = frame.rank->variables;
  for (auto [index, argument] : llvm::enumerate(arguments)) {
    if (argument.type != function.getArgumentTypes()[index])
      return function.emitOpError() << "takes " << function.getArgumentTypes()[index]
                                    << " as argument " << index << ", found " << argument.type;
    auto tensor = std::make_shared<HostTensor>(argument);
    if (options.precision == Precision::typed)
      roundToTypes(*tensor);
    frame.values[function.getArgument(index)] = std::move(tensor);
  }
  held = peak = 0;
  if (failed(run(function.getBody().front(), frames)))
    return failure();
  commitStores(frame);
  SmallVector<HostTensor> results;
  for (const TensorRef &tensor : frame.results)
    results.push_back(*tensor);
  return results;
}

} // namespace titan
