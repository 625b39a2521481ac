#include "dialects/titan/Sharding.h"
#include "passes/Functions.h"
#include "passes/Passes.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace titan {

#define GEN_PASS_DEF_SPLITSTAGES
#include "passes/Passes.h.inc"

namespace {

/// The name that the model's author gave to where an op stands.
StringRef getName(Location location) {
  auto named = dyn_cast<NameLoc>(location);
  return named ? named.getName().getValue() : StringRef();
}

/// Which stage has which modules.
class StageNames {
public:
  LogicalResult read(ModuleOp module);

  int64_t getNumStages() const { return static_cast<int64_t>(ranks.size()); }
  int64_t getRank(int64_t stage) const { return ranks[stage]; }

  /// The stage of the module that a name stands for or lies in.
  std::optional<int64_t> find(StringRef name) const {
    while (!name.empty()) {
      if (auto known = stages.find(name); known != stages.end())
        return known->second;
      name = name.contains('.') ? name.rsplit('.').first : StringRef();
    }
    return std::nullopt;
  }

  /// All modules' names, for messages.
  std::string describe() const {
    std::string text;
    for (StringRef name : names)
      text += (text.empty() ? "" : ", ") + name.str();
    return text;
  }

private:
  LogicalResult readRanks(ModuleOp module, ArrayAttr lists);

  llvm::StringMap<int64_t> stages; ///< by module
  SmallVector<StringRef> names;
  SmallVector<int64_t> ranks; ///< by stage
};

LogicalResult StageNames::readRanks(ModuleOp module, ArrayAttr lists) {
  auto given = module->getAttrOfType<DenseI64ArrayAttr>(kStageRanks);
  if (!given || given.size() != static_cast<int64_t>(lists.size()) || lists.empty())
    return module.emitError() << "expects " << kStageRanks << " to have the rank of each of the "
                              << lists.size() << " stages, at least 1";
  ranks.assign(given.asArrayRef().begin(), given.asArrayRef().end());
  const int64_t size =
      MeshShape::get(module).getSize(StringAttr::get(module.getContext(), kPipelineAxis));
  for (int64_t rank : ranks)
    if (rank < 0 || rank >= size)
      return module.emitError() << kStageRanks << " has rank " << rank << ", but axis "
                                << kPipelineAxis << " of the mesh has " << size;
  for (int64_t rank = 0; rank < size; ++rank)
    if (!llvm::is_contained(ranks, rank))
      return module.emitError() << kStageRanks << " has no stage of rank " << rank << " of "
                                << size;
  return success();
}

LogicalResult StageNames::read(ModuleOp module) {
  auto lists = module->getAttrOfType<ArrayAttr>(kStages);
  if (!lists || failed(readRanks(module, lists)))
    return module.emitError() << "expects " << kStages << " to be lists of modules' names";
  for (auto [stage, list] : llvm::enumerate(lists))
    for (Attribute attribute : cast<ArrayAttr>(list)) {
      auto name = dyn_cast<StringAttr>(attribute);
      if (!name)
        return module.emitError() << "expects a module's name in " << kStages << ", found "
                                  << attribute;
      if (!stages.try_emplace(name.getValue(), stage).second)
        return module.emitError() << "module '" << name.getValue() << "' stands twice in "
                                  << kStages;
      names.push_back(name.getValue());
    }
  return success();
}

/// Cuts one function.
class FunctionCutter {
public:
  FunctionCutter(func::FuncOp function, const StageNames &names)
      : function(function), names(names),
        mesh(MeshShape::get(function->getParentOfType<ModuleOp>())), needs(names.getNumStages()) {}

  LogicalResult run();

private:
  /// What one stage needs from outside.
  struct Needs {
    llvm::SmallSetVector<unsigned, 2> inputs;
    SmallVector<Value> received; ///< results of the stage before
    llvm::DenseSet<Value> seen;
  };

  LogicalResult assign(Operation *op);
  FailureOr<int64_t> findStage(Operation *op);
  bool isFree(Value value) const {
    Operation *op = value.getDefiningOp();
    return op && free.contains(op);
  }
  bool isMovable(Operation *op) const;
  std::optional<int64_t> getStage(Value value) const;
  std::optional<int64_t> findParameterStage(Value value) const;
  void need(int64_t stage, Value value);
  void findReceived();
  LogicalResult buildStage(int64_t stage);
  DictionaryAttr getAttributes(unsigned input);
  Value getIn(OpBuilder &builder, IRMapping &mapping, Value value);

  func::FuncOp function;
  const StageNames &names;
  MeshShape mesh;
  llvm::DenseSet<Operation *> free; ///< depends on no input
  llvm::DenseMap<Operation *, int64_t> stages;
  llvm::DenseMap<Value, int64_t> lastStages; ///< of values that cross to other stages
  SmallVector<Needs> needs;
};

/// A layout in which a rank holds more than before: it is made where it is used.
bool FunctionCutter::isMovable(Operation *op) const {
  auto reshard = dyn_cast<ReshardOp>(op);
  if (!reshard || !getSharding(reshard.getInput().getType()).getPartial().empty())
    return false;
  auto size = [&](Value value) { return getLocalType(tensorType(value), mesh).getNumElements(); };
  return size(reshard.getResult()) >= size(reshard.getInput());
}

/// The stage in which a value is made; none for inputs and for what every stage makes itself.
std::optional<int64_t> FunctionCutter::getStage(Value value) const {
  Operation *op = value.getDefiningOp();
  auto known = op ? stages.find(op) : stages.end();
  return known == stages.end() ? std::nullopt : std::optional(known->second);
}

/// The last stage that has a parameter which the free value is made of.
std::optional<int64_t> FunctionCutter::findParameterStage(Value value) const {
  if (auto load = value.getDefiningOp<LoadOp>())
    return names.find(load.getVariable());
  std::optional<int64_t> last;
  for (Value operand : value.getDefiningOp()->getOperands())
    last = std::max(last, findParameterStage(operand));
  return last;
}

FailureOr<int64_t> FunctionCutter::findStage(Operation *op) {
  int64_t earliest = 0;
  std::optional<int64_t> parameters;
  for (Value operand : op->getOperands()) {
    if (isFree(operand))
      parameters = std::max(parameters, findParameterStage(operand));
    else
      earliest = std::max(earliest, getStage(operand).value_or(0));
  }
  if (isMovable(op))
    return earliest;
  std::optional<int64_t> named = names.find(getName(op->getLoc()));
  if (!named)
    named = std::max(parameters.value_or(0), earliest);
  if (*named < earliest)
    return op->emitOpError() << "is of stage " << *named << ", but uses a value of stage "
                             << earliest << "; stages follow the order of the model's modules";
  return *named;
}

LogicalResult FunctionCutter::assign(Operation *op) {
  if (isa<StoreOp>(op))
    return op->emitOpError() << "stands in @" << function.getSymName()
                             << ", which may not change variables";
  const bool isInput =
      llvm::any_of(op->getOperands(), [&](Value operand) { return !isFree(operand); });
  if (!isInput) {
    free.insert(op);
    return success();
  }
  FailureOr<int64_t> stage = findStage(op);
  if (failed(stage))
    return failure();
  stages[op] = *stage;
  return success();
}

/// Notes that a stage uses a value, and what follows from it.
void FunctionCutter::need(int64_t stage, Value value) {
  if (!needs[stage].seen.insert(value).second)
    return;
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    needs[stage].inputs.insert(argument.getArgNumber());
    return;
  }
  Operation *op = value.getDefiningOp();
  if (isFree(value) || (isMovable(op) && stages.lookup(op) < stage)) {
    for (Value operand : op->getOperands())
      need(stage, operand);
    return;
  }
  if (stages.lookup(op) < stage) {
    int64_t &last = lastStages[value];
    last = std::max(last, stage);
  }
}

/// What crosses from stage to stage, in the order of definition.
void FunctionCutter::findReceived() {
  for (Operation &op : function.getBody().front())
    for (Value result : op.getResults()) {
      const int64_t last = lastStages.lookup(result);
      for (int64_t stage = getStage(result).value_or(last) + 1; stage <= last; ++stage)
        needs[stage].received.push_back(result);
    }
}

DictionaryAttr FunctionCutter::getAttributes(unsigned input) {
  DictionaryAttr attributes = function.getArgAttrDict(input);
  return attributes ? attributes : DictionaryAttr::get(function.getContext());
}

Value FunctionCutter::getIn(OpBuilder &builder, IRMapping &mapping, Value value) {
  if (Value known = mapping.lookupOrNull(value))
    return known;
  Operation *op = value.getDefiningOp();
  for (Value operand : op->getOperands())
    getIn(builder, mapping, operand);
  builder.clone(*op, mapping);
  return mapping.lookup(value);
}

LogicalResult FunctionCutter::buildStage(int64_t stage) {
  Block &body = function.getBody().front();
  OpBuilder builder(function);
  auto cut =
      func::FuncOp::create(builder, function.getLoc(), getMemberName(function.getSymName(), stage),
                           builder.getFunctionType({}, {}));
  cut->setAttr(kPipelineRank, builder.getI64IntegerAttr(names.getRank(stage)));
  Block *block = cut.addEntryBlock();
  builder.setInsertionPointToStart(block);
  IRMapping mapping;
  SmallVector<DictionaryAttr> attributes;
  SmallVector<unsigned> inputs = needs[stage].inputs.takeVector();
  llvm::sort(inputs);
  for (unsigned input : inputs) {
    BlockArgument argument = body.getArgument(input);
    mapping.map(argument, block->addArgument(argument.getType(), argument.getLoc()));
    attributes.push_back(getAttributes(input));
  }
  for (Value value : needs[stage].received) {
    mapping.map(value, block->addArgument(value.getType(), value.getLoc()));
    attributes.push_back(
        builder.getDictionaryAttr(builder.getNamedAttr(kReceived, builder.getUnitAttr())));
  }
  for (Operation &op : body.without_terminator()) {
    auto own = stages.find(&op);
    if (own == stages.end() || own->second != stage)
      continue;
    for (Value operand : op.getOperands())
      getIn(builder, mapping, operand);
    builder.clone(op, mapping);
  }
  const bool isLast = stage + 1 == names.getNumStages();
  SmallVector<Value> results;
  for (Value value :
       isLast ? SmallVector<Value>(body.getTerminator()->getOperands()) : needs[stage + 1].received)
    results.push_back(getIn(builder, mapping, value));
  func::ReturnOp::create(builder, function.getLoc(), results);
  eraseDeadOps(*block);
  if (block->without_terminator().empty())
    return function.emitError() << "stage " << stage << " of @" << function.getSymName()
                                << " computes nothing; the modules of stages are "
                                << names.describe();
  cut.setType(builder.getFunctionType(block->getArgumentTypes(), ValueRange(results).getTypes()));
  cut.setAllArgAttrs(attributes);
  return success();
}

LogicalResult FunctionCutter::run() {
  if (!function.getBody().hasOneBlock())
    return function.emitError() << "expects @" << function.getSymName() << " to have one block";
  Block &body = function.getBody().front();
  for (Operation &op : body.without_terminator())
    if (failed(assign(&op)))
      return failure();
  for (auto [op, stage] : stages)
    for (Value operand : op->getOperands())
      need(stage, operand);
  for (Value result : body.getTerminator()->getOperands())
    need(names.getNumStages() - 1, result);
  findReceived();
  for (int64_t stage = 0; stage < names.getNumStages(); ++stage)
    if (failed(buildStage(stage)))
      return failure();
  function.erase();
  return success();
}

struct SplitStages : impl::SplitStagesBase<SplitStages> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (!module->hasAttr(kStages))
      return;
    StageNames names;
    if (failed(names.read(module)) || failed(checkNames(module, names)))
      return signalPassFailure();
    for (StringRef name : {StringRef(names::kLoss), StringRef(names::kEval)})
      if (auto function = module.lookupSymbol<func::FuncOp>(name))
        if (failed(FunctionCutter(function, names).run()))
          return signalPassFailure();
    if (failed(checkParameters(module)))
      return signalPassFailure();
    module->removeAttr(kStages);
    module->removeAttr(kStageRanks);
  }

private:
  /// Every parameter lies in a module of some stage.
  LogicalResult checkNames(ModuleOp module, const StageNames &names) {
    for (VariableOp parameter : getVariables(module, Role::parameter))
      if (!names.find(parameter.getSymName()))
        return parameter.emitError()
               << "parameter @" << parameter.getSymName()
               << " lies in no module of a stage; the modules of stages are " << names.describe();
    return success();
  }

  LogicalResult checkParameters(ModuleOp module) {
    llvm::StringMap<func::FuncOp> users;
    for (func::FuncOp function : getFamily(module, names::kLoss))
      for (auto load : function.getOps<LoadOp>()) {
        auto variable = module.lookupSymbol<VariableOp>(load.getVariable());
        if (!variable || variable.getRole() != Role::parameter)
          continue;
        func::FuncOp first = users.try_emplace(load.getVariable(), function).first->second;
        if (getPipelineRank(first) == getPipelineRank(function))
          continue;
        auto error = variable.emitError()
                     << "parameter @" << load.getVariable() << " is used by @" << first.getSymName()
                     << " of pipeline rank " << *getPipelineRank(first) << " and by @"
                     << function.getSymName() << " of rank " << *getPipelineRank(function)
                     << "; stages that share weights have to be of one rank";
        error.attachNote(load.getLoc()) << "used here";
        return error;
      }
    return success();
  }
};

} // namespace
} // namespace titan
