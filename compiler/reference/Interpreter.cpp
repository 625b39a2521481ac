#include "compiler/reference/Interpreter.h"

#include "compiler/reference/Distribution.h"
#include "compiler/reference/Initializers.h"
#include "compiler/reference/Rounding.h"
#include "passes/Functions.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/MapVector.h"

#include <cblas.h>

// Some of the headers that Debian's alternatives offer as cblas.h lack it.
extern "C" void openblas_set_num_threads(int threads);

using namespace mlir;

namespace titan {

/// Contractions through the machine's BLAS, on one thread: bits do not depend on the number of
/// cores, and the products of small models are too short to share.
class Interpreter::Context : public ReferenceContext {
public:
  explicit Context(const MeshShape &mesh) : mesh(mesh) { openblas_set_num_threads(1); }

  void multiplyAdd(int64_t m, int64_t n, int64_t k, const double *a, const double *b,
                   double *c) override {
    if (m == 0 || n == 0 || k == 0)
      return;
    auto asInt = [](int64_t extent) { return static_cast<int>(extent); };
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, asInt(m), asInt(n), asInt(k), 1.0, a,
                asInt(k), b, asInt(n), 1.0, c, asInt(n));
  }

  int64_t getCoordinate(ArrayRef<StringAttr> axes) const override {
    return mesh.getCoordinate(rank, axes);
  }

  int64_t rank = 0; ///< being evaluated

private:
  const MeshShape &mesh;
};

/// What a rank keeps between calls.
struct Interpreter::Rank {
  llvm::StringMap<TensorRef> variables;
};

/// What a rank knows inside one function or region.
struct Interpreter::Frame {
  int64_t rank = 0;
  DenseMap<Value, TensorRef> values;
  /// The variables at the function's entry: loads see these, whatever a callee stored since.
  llvm::StringMap<TensorRef> entry;
  llvm::MapVector<StringAttr, TensorRef> stores;
  /// The operands of the terminator.
  SmallVector<TensorRef> results;
};

/// Callers deeper than this are taken for endless recursion.
static constexpr int kMaxDepth = 64;

/// Whether each rank has its own value by design.
static bool isAxisIndex(VariableOp variable) {
  return isa_and_present<AxisIndexInitAttr>(variable.getInitializer().value_or(Attribute()));
}

/// Global programs run on one rank whatever their mesh, per-device programs on all of it: those in
/// which ranks hold parts, know their place, or exchange something.
static bool isPerDevice(ModuleOp module) {
  auto exchanges = [](Operation *op) {
    return isa<CollectiveOpInterface, AxisSliceOp>(op) ? WalkResult::interrupt()
                                                       : WalkResult::advance();
  };
  return llvm::any_of(module.getOps<VariableOp>(),
                      [](VariableOp variable) {
                        return variable.getGlobalType().has_value() || isAxisIndex(variable);
                      }) ||
         module.walk(exchanges).wasInterrupted() ||
         llvm::any_of(module.getOps<func::FuncOp>(), [](func::FuncOp function) {
           for (unsigned i = 0; i < function.getNumArguments(); ++i)
             if (function.getArgAttr(i, kGlobalType))
               return true;
           return false;
         });
}

Interpreter::Interpreter(ModuleOp module, InterpreterOptions options)
    : module(module), symbols(module), options(options),
      mesh(isPerDevice(module) ? MeshShape::get(module) : MeshShape()), ranks(mesh.getNumRanks()),
      variableRanks(getVariableRanks(module)), context(std::make_unique<Context>(mesh)) {}

Interpreter::~Interpreter() = default;

SmallVector<int64_t> Interpreter::getRanks(std::optional<int64_t> pipelineRank) {
  const auto axis = StringAttr::get(module.getContext(), kPipelineAxis);
  SmallVector<int64_t> members;
  for (int64_t rank = 0; rank < static_cast<int64_t>(ranks.size()); ++rank)
    if (!pipelineRank || !mesh.hasAxis(axis) || mesh.getCoordinate(rank, axis) == *pipelineRank)
      members.push_back(rank);
  return members;
}

static void roundToTypes(HostTensor &tensor) {
  roundToType(tensor.values, tensor.type.getElementType());
}

//===----------------------------------------------------------------------===//
// Variables
//===----------------------------------------------------------------------===//

/// The type that a value has from outside: its global one without the sharding.
static RankedTensorType getOuterType(Type local, Type global) {
  return withoutSharding(cast<RankedTensorType>(global ? global : local));
}

/// The type that values of one local type have when those of all ranks are stacked.
static RankedTensorType getStackedType(Type local, const MeshShape &mesh) {
  auto type = cast<RankedTensorType>(local);
  SmallVector<int64_t> shape{mesh.getNumRanks()};
  llvm::append_range(shape, type.getShape());
  return RankedTensorType::get(shape, type.getElementType());
}

/// Ranks that hold none get zeros.
static HostTensor stack(ArrayRef<const HostTensor *> parts, Type local, const MeshShape &mesh) {
  HostTensor all(getStackedType(local, mesh));
  const int64_t size = cast<RankedTensorType>(local).getNumElements();
  for (auto [rank, part] : llvm::enumerate(parts))
    if (part)
      llvm::copy(part->values, all.values.begin() + static_cast<int64_t>(rank) * size);
  return all;
}

static HostTensor unstack(const HostTensor &all, Type local, int64_t rank) {
  HostTensor part(cast<RankedTensorType>(local));
  std::copy_n(all.values.begin() + rank * static_cast<int64_t>(part.values.size()),
              part.values.size(), part.values.begin());
  return part;
}

FailureOr<HostTensor> Interpreter::gather(ArrayRef<const HostTensor *> parts, Type local,
                                          Type global, Location location, const Twine &what) {
  HostTensor tensor;
  std::optional<GatherError> error;
  if (global) {
    error = gatherFromRanks(parts, cast<RankedTensorType>(global), mesh, tensor);
  } else {
    tensor = **llvm::find_if(parts, [](const HostTensor *part) { return part; });
    tensor.type = getOuterType(local, {});
    error = findDifference(parts);
  }
  if (error)
    return emitError(location) << what << ": ranks " << error->first << " and " << error->second
                               << " hold different values of element " << error->element << " of "
                               << (global ? global : local);
  return tensor;
}

/// Gives all ranks the variable's initial value.
LogicalResult Interpreter::initializeVariable(VariableOp variable) {
  StringRef name = variable.getSymName();
  auto local = cast<RankedTensorType>(variable.getType());
  if (auto index =
          dyn_cast_if_present<AxisIndexInitAttr>(variable.getInitializer().value_or(Attribute()))) {
    for (auto [number, rank] : llvm::enumerate(ranks)) {
      auto tensor = std::make_shared<HostTensor>(local);
      tensor->values[0] =
          static_cast<double>(mesh.getCoordinate(number, index.getAxes()) * index.getScale());
      rank.variables[name] = std::move(tensor);
    }
    return success();
  }
  HostTensor tensor(getOuterType(local, variable.getGlobalType().value_or(Type())));
  if (std::optional<Attribute> initializer = variable.getInitializer())
    if (failed(initialize(tensor, *initializer, CounterGenerator(options.seed, name),
                          variable.getLoc())))
      return failure();
  if (const auto rows = static_cast<int64_t>(variable.getPadding()))
    std::fill_n(tensor.values.rbegin(), rows * (tensor.size() / tensor.shape()[0]), 0.0);
  scatterVariable(variable, tensor);
  return success();
}

/// Gives the ranks their parts of a value.
void Interpreter::scatterVariable(VariableOp variable, HostTensor &tensor) {
  if (options.precision == Precision::typed)
    roundToTypes(tensor);
  const Padding padding = variable.getRole() == Role::gradient ? Padding::zero : Padding::poison;
  const std::optional<Type> global = variable.getGlobalType();
  for (auto [number, rank] : llvm::enumerate(ranks))
    rank.variables[variable.getSymName()] = std::make_shared<HostTensor>(
        global ? scatterToRank(tensor, cast<RankedTensorType>(*global), mesh, number, padding)
               : tensor);
}

HostTensor *Interpreter::findVariable(StringRef name) {
  std::unique_ptr<OuterVariable> &outer = outerVariables[name];
  if (outer && !outer->stale)
    return &outer->tensor;
  auto variable = symbols.lookup<VariableOp>(name);
  if (!variable ||
      (!ranks.front().variables.contains(name) && failed(initializeVariable(variable))))
    return nullptr;
  SmallVector<const HostTensor *> parts(ranks.size());
  auto owner = variableRanks.find(name);
  for (int64_t rank :
       getRanks(owner == variableRanks.end() ? std::nullopt : std::optional(owner->second))) {
    parts[rank] = ranks[rank].variables[name].get();
    if (isAxisIndex(variable))
      break;
  }
  FailureOr<HostTensor> tensor =
      gather(parts, variable.getType(), variable.getGlobalType().value_or(Type()),
             variable.getLoc(), "variable @" + name);
  if (failed(tensor))
    return nullptr;
  if (!outer)
    outer = std::make_unique<OuterVariable>();
  *outer = {std::move(*tensor), /*stale=*/false};
  return &outer->tensor;
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
  {
    ranks[frame.rank].variables[name.getValue()] = std::make_shared<HostTensor>(*tensor);
    auto outer = outerVariables.find(name.getValue());
    if (outer != outerVariables.end() && outer->second)
      outer->second->stale = true;
  }
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
  context->rank = frame.rank;
  if (failed(reference.evaluate(*context, operands, results)))
    return failure();
  for (auto [value, tensor] : llvm::zip_equal(op.getResults(), results)) {
    if (options.precision == Precision::typed)
      roundToTypes(tensor);
    define(frame, value, std::make_shared<HostTensor>(std::move(tensor)));
  }
  return success();
}

/// A collective on the groups of all ranks.
LogicalResult Interpreter::evaluateCollective(Operation &op, MutableArrayRef<Frame> frames) {
  auto collective = cast<CollectiveOpInterface>(op);
  const SmallVector<StringAttr> axes = collective.getGroupAxes();
  llvm::DenseMap<int64_t, size_t> indices; // of frames, by rank
  for (auto [index, frame] : llvm::enumerate(frames))
    indices[frame.rank] = index;
  for (auto [operand, value] : llvm::zip_equal(op.getOperands(), op.getResults())) {
    std::vector<HostTensor> results(frames.size(),
                                    HostTensor(cast<RankedTensorType>(value.getType())));
    for (const Frame &frame : frames) {
      const SmallVector<int64_t> group = mesh.getGroup(frame.rank, axes);
      for (int64_t member : group)
        if (!indices.contains(member))
          return op.emitOpError() << "cannot be evaluated: it needs rank " << member
                                  << ", which is of another pipeline rank";
      if (group.front() != frame.rank)
        continue;
      SmallVector<const HostTensor *> sources;
      SmallVector<HostTensor *> destinations;
      for (int64_t member : group) {
        auto index = indices.find(member);
        sources.push_back(frames[index->second].values.lookup(operand).get());
        destinations.push_back(&results[index->second]);
      }
      collective.evaluateGroup(sources, destinations);
    }
    for (auto [frame, result] : llvm::zip_equal(frames, results)) {
      if (options.precision == Precision::typed)
        roundToTypes(result);
      define(frame, value, std::make_shared<HostTensor>(std::move(result)));
    }
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
      innerFrame.entry = ranks[frame.rank].variables;
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
  if (isa<CollectiveOpInterface>(op))
    return evaluateCollective(op, frames);
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
  for (auto variable : module.getOps<VariableOp>()) {
    auto outer = outerVariables.find(variable.getSymName());
    if (!ranks.front().variables.contains(variable.getSymName())) {
      if (failed(initializeVariable(variable)))
        return failure();
    } else if (outer != outerVariables.end() && outer->second && !outer->second->stale &&
               !isAxisIndex(variable)) {
      scatterVariable(variable, outer->second->tensor);
    }
  }
  std::vector<Frame> frames;
  for (int64_t rank : getRanks(getPipelineRank(function))) {
    Frame &frame = frames.emplace_back();
    frame.rank = rank;
    frame.entry = ranks[rank].variables;
  }
  for (auto [index, argument] : llvm::enumerate(arguments)) {
    auto global = function.getArgAttrOfType<TypeAttr>(index, kGlobalType);
    const bool isPerRank = function.getArgAttr(index, kPerRank) != nullptr;
    Type type = global ? global.getValue() : function.getArgumentTypes()[index];
    if (isPerRank)
      type = getStackedType(type, mesh);
    if (!isSameTensor(argument.type, type))
      return function.emitOpError()
             << "takes " << type << " as argument " << index << ", found " << argument.type;
    for (Frame &frame : frames) {
      auto tensor = std::make_shared<HostTensor>(
          global      ? scatterToRank(argument, cast<RankedTensorType>(type), mesh, frame.rank,
                                      Padding::poison)
          : isPerRank ? unstack(argument, function.getArgumentTypes()[index], frame.rank)
                      : argument);
      if (options.precision == Precision::typed)
        roundToTypes(*tensor);
      frame.values[function.getArgument(index)] = std::move(tensor);
    }
  }
  held = peak = 0;
  if (failed(run(function.getBody().front(), frames)))
    return failure();
  for (Frame &frame : frames)
    commitStores(frame);
  SmallVector<HostTensor> results;
  for (auto [index, type] : llvm::enumerate(function.getResultTypes())) {
    SmallVector<const HostTensor *> parts(ranks.size());
    for (Frame &frame : frames)
      parts[frame.rank] = frame.results[index].get();
    if (function.getResultAttr(index, kPerRank)) {
      results.push_back(stack(parts, type, mesh));
      continue;
    }
    auto global = function.getResultAttrOfType<TypeAttr>(index, kGlobalType);
    FailureOr<HostTensor> result =
        gather(parts, type, global ? global.getValue() : Type(), function.getLoc(),
               "result " + Twine(index) + " of @" + name);
    if (failed(result))
      return failure();
    results.push_back(std::move(*result));
  }
  return results;
}

} // namespace titan
