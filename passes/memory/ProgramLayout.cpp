#include "passes/memory/ProgramLayout.h"

#include "dialects/exec/Exec.h"
#include "dialects/titan/Sharding.h"
#include "passes/pipeline/ScheduleAttribute.h"

using namespace mlir;

namespace titan {

static int64_t alignUp(int64_t bytes) {
  return (bytes + exec::kAlignment - 1) / exec::kAlignment * exec::kAlignment;
}

MemRefType getBufferType(Type tensor) {
  auto type = cast<RankedTensorType>(tensor);
  return MemRefType::get(type.getShape(), type.getElementType());
}

MemRefType getScratchType(OpBuilder &builder, int64_t bytes) {
  return MemRefType::get({bytes}, builder.getI8Type());
}

//===----------------------------------------------------------------------===//
// Variables
//===----------------------------------------------------------------------===//

static StringRef getSegment(Role role) {
  switch (role) {
  case Role::parameter:
    return segments::kParameters;
  case Role::gradient:
    return segments::kGradients;
  case Role::derived:
    return segments::kDerived;
  case Role::counter:
  case Role::input:
  case Role::output:
    return segments::kIo;
  case Role::optimizer_state:
    return segments::kState;
  }
  llvm_unreachable("every role has a case");
}

ProgramLayout::ProgramLayout(ModuleOp module)
    : module(module), numRanks(getNumPipelineRanks(module)), owners(getVariableRanks(module)) {
  for (VariableOp variable : module.getOps<VariableOp>()) {
    auto owner = owners.find(variable.getSymName());
    placeVariable(variable, getMemberName(getSegment(variable.getRole()),
                                          owner == owners.end() ? std::nullopt
                                                                : std::optional(owner->second)));
  }
}

void ProgramLayout::placeVariable(VariableOp variable, StringRef segment) {
  int64_t &bytes = segmentBytes[segment];
  variables[variable.getSymName()] = {StringAttr::get(module.getContext(), segment), bytes, false};
  bytes += alignUp(getByteSize(variable.getType()));
}

//===----------------------------------------------------------------------===//
// Stages
//===----------------------------------------------------------------------===//

static bool isReceived(func::FuncOp function, unsigned index) {
  return static_cast<bool>(function.getArgAttr(index, kReceived));
}

static SmallVector<Type> getReceivedTypes(func::FuncOp function) {
  SmallVector<Type> types;
  for (auto [i, type] : llvm::enumerate(function.getArgumentTypes()))
    if (isReceived(function, i))
      types.push_back(type);
  return types;
}

static std::string getInputName(func::FuncOp function, unsigned index) {
  auto given = function.getArgAttrOfType<StringAttr>(index, names::kInputName);
  return given ? given.str() : "input" + std::to_string(index);
}

unsigned ProgramLayout::Flow::countSent(int64_t stage) const {
  return stage + 1 < static_cast<int64_t>(forward.size())
             ? getReceivedTypes(forward[stage + 1]).size()
             : 0;
}

unsigned ProgramLayout::Flow::countCotangents(int64_t stage) const {
  return backward.empty() ? 0 : getReceivedTypes(backward[stage]).size();
}

const ProgramLayout::ResidualClass &ProgramLayout::Flow::getOutgoing(int64_t stage,
                                                                     bool isForward) const {
  const int64_t to = isForward ? stage + 1 : stage - 1;
  if (getPipelineRank(stage) == getPipelineRank(to))
    return get(isForward ? SlotClass::activations : SlotClass::cotangents, to);
  return get(isForward ? SlotClass::sentActivations : SlotClass::sentCotangents, stage);
}

void ProgramLayout::append(ResidualClass &to, Type type) {
  to.types.push_back(type);
  to.offsets.push_back(to.bytes);
  to.bytes += alignUp(getByteSize(type));
}

void ProgramLayout::findInputs(Flow &flow) {
  flow.batch.name = flow.prefix + segments::kBatch.str();
  for (func::FuncOp function : flow.forward)
    for (unsigned i = 0; i < function.getNumArguments(); ++i) {
      const std::string name = getInputName(function, i);
      if (isReceived(function, i) ||
          llvm::any_of(flow.inputs, [&](const Input &input) { return input.name == name; }))
        continue;
      flow.inputs.push_back({name, function, i});
      append(flow.batch, function.getArgumentTypes()[i]);
    }
}

LogicalResult ProgramLayout::layOutStage(Flow &flow, int64_t stage) {
  static constexpr StringLiteral kNames[] = {segments::kForwardToBackward, segments::kActivations,
                                             "sent_activations", "cotangents", "sent_cotangents"};
  auto &classes = flow.classes.emplace_back();
  for (auto [residualClass, name] : llvm::zip_equal(classes, kNames)) {
    residualClass.name =
        flow.prefix + getMemberName(name, flow.isPipeline() ? std::optional(stage) : std::nullopt);
    residualClass.rank = flow.getPipelineRank(stage);
  }
  func::FuncOp forward = flow.forward[stage];
  const unsigned numSent = flow.countSent(stage);
  if (forward.getNumResults() < numSent)
    return forward.emitError() << "expects @" << forward.getSymName() << " to return the "
                               << numSent << " tensors that the next stage takes, found "
                               << forward.getFunctionType();
  for (auto [i, type] : llvm::enumerate(forward.getResultTypes()))
    append(flow.get(i < numSent ? SlotClass::sentActivations : SlotClass::residuals, stage), type);
  for (Type type : getReceivedTypes(forward))
    append(flow.get(SlotClass::activations, stage), type);
  if (flow.backward.empty())
    return success();
  for (Type type : getReceivedTypes(flow.backward[stage]))
    append(flow.get(SlotClass::cotangents, stage), type);
  for (Type type : flow.backward[stage].getResultTypes())
    append(flow.get(SlotClass::sentCotangents, stage), type);
  return success();
}

/// Checks that a stage's functions fit each other and their neighbours.
LogicalResult ProgramLayout::verifyStage(const Flow &flow, int64_t stage) const {
  func::FuncOp forward = flow.forward[stage];
  const bool isLast = stage + 1 == static_cast<int64_t>(flow.forward.size());
  if (!isLast && ArrayRef(flow.get(SlotClass::sentActivations, stage).types) !=
                     ArrayRef(flow.get(SlotClass::activations, stage + 1).types))
    return forward.emitError() << "expects @" << forward.getSymName()
                               << " to return first what the next stage takes, found "
                               << forward.getFunctionType();
  if (flow.backward.empty())
    return success();
  func::FuncOp backward = flow.backward[stage];
  SmallVector<Type> wanted(forward.getArgumentTypes());
  llvm::append_range(wanted, flow.get(SlotClass::residuals, stage).types);
  llvm::append_range(wanted, getReceivedTypes(backward));
  if (backward.getArgumentTypes() != ArrayRef(wanted))
    return backward.emitError() << "expects @" << backward.getSymName()
                                << " to take the inputs and results of @" << forward.getSymName()
                                << ", found " << backward.getFunctionType();
  const ArrayRef<Type> cotangents =
      stage ? ArrayRef(flow.get(SlotClass::cotangents, stage - 1).types) : ArrayRef<Type>();
  if (backward.getResultTypes() != cotangents)
    return backward.emitError() << "expects @" << backward.getSymName()
                                << " to return the cotangents that the stage before takes, found "
                                << backward.getFunctionType();
  return success();
}

/// The schedule that the module names; that of one stage and one microbatch without a pipeline.
LogicalResult ProgramLayout::setSchedule(Flow &flow, StringRef name) {
  if (!flow.isPipeline()) {
    flow.schedule = {"one stage", 1, {0}, {{{ActionKind::forward, 0, 0}}}};
    if (!flow.backward.empty())
      flow.schedule.actions[0].push_back({ActionKind::backward, 0, 0});
    return success();
  }
  FailureOr<PipelineSchedule> schedule = readSchedule(module, name, flow.backward.empty());
  if (failed(schedule))
    return failure();
  flow.schedule = std::move(*schedule);
  const size_t numStages = flow.forward.size();
  if (flow.schedule.rankOfStage.size() != numStages)
    return module.emitError() << name << " has " << flow.schedule.rankOfStage.size()
                              << " stages, the module " << numStages;
  for (auto [stage, rank] : llvm::enumerate(flow.schedule.rankOfStage))
    if (flow.getPipelineRank(stage) != rank)
      return flow.forward[stage].emitError()
             << "is of another rank than in " << name << ", " << rank;
  return success();
}

LogicalResult ProgramLayout::planFlow(Flow &flow, StringRef forward, StringRef backward,
                                      StringRef scheduleName) {
  flow.forward = getFamily(module, forward);
  flow.backward = getFamily(module, backward);
  if (flow.forward.empty())
    return success();
  if (!flow.backward.empty() && flow.backward.size() != flow.forward.size())
    return module.emitError() << "expects as many functions @" << backward << " as @" << forward
                              << ", found " << flow.backward.size() << " and "
                              << flow.forward.size();
  findInputs(flow);
  const auto numStages = static_cast<int64_t>(flow.forward.size());
  for (int64_t stage = 0; stage < numStages; ++stage)
    if (failed(layOutStage(flow, stage)))
      return failure();
  std::vector<StageTraffic> traffic;
  for (int64_t stage = 0; stage < numStages; ++stage) {
    if (failed(verifyStage(flow, stage)))
      return failure();
    traffic.push_back({flow.countSent(stage) > 0, flow.countCotangents(stage) > 0});
  }
  if (failed(setSchedule(flow, scheduleName)))
    return failure();
  llvm::Expected<PipelineTimelines> timelines = planTimelines(flow.schedule, traffic);
  if (!timelines)
    return module.emitError() << llvm::toString(timelines.takeError());
  flow.timelines = std::move(*timelines);
  flow.batch.slots = flow.schedule.microbatches;
  for (auto [stage, slots] : llvm::enumerate(flow.timelines.slots))
    for (auto [residualClass, count] : llvm::zip_equal(flow.classes[stage], slots)) {
      residualClass.slots = count;
      if (count == 0)
        residualClass.bytes = 0; // a neighbour on the same rank uses the memory directly
    }
  return success();
}

/// All classes that have memory, in the order of the program.
void ProgramLayout::forEachClass(llvm::function_ref<void(ResidualClass &)> visit) {
  for (Flow *flow : {&training, &evaluation}) {
    if (flow->batch.bytes)
      visit(flow->batch);
    for (auto &stage : flow->classes)
      for (ResidualClass &residualClass : stage)
        if (residualClass.bytes)
          visit(residualClass);
  }
}

LogicalResult ProgramLayout::plan() {
  evaluation.prefix = "eval_";
  if (failed(planFlow(training, names::kForward, names::kBackward, kSchedule)) ||
      failed(planFlow(evaluation, names::kEval, "", kEvalSchedule)))
    return failure();
  forEachClass([&](ResidualClass &it) {
    int64_t &bytes = segmentBytes[getMemberName(segments::kResiduals, it.rank)];
    it.offset = bytes;
    bytes += it.slots * it.bytes;
  });
  return success();
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

std::string ProgramLayout::getScratch(func::FuncOp function) const {
  return getMemberName(segments::kScratch, titan::getPipelineRank(function));
}

bool ProgramLayout::layOutFunction(const Flow &flow, func::FuncOp function,
                                   FunctionLayout &layout) const {
  const auto *forward = llvm::find(flow.forward, function);
  const auto *backward = llvm::find(flow.backward, function);
  const bool isForward = forward != flow.forward.end();
  if (!isForward && backward == flow.backward.end())
    return false;
  const int64_t stage =
      isForward ? forward - flow.forward.begin() : backward - flow.backward.begin();
  func::FuncOp first = flow.forward[stage];
  auto range = [&](const ResidualClass &from, size_t index, bool reusable) {
    return FixedRange{StringAttr::get(function.getContext(), from.name), from.offsets[index],
                      reusable};
  };
  auto appendAll = [&](SmallVector<FixedRange> &to, const ResidualClass &from, bool reusable) {
    for (size_t i = 0; i < from.offsets.size(); ++i)
      to.push_back(range(from, i, reusable));
  };
  size_t numReceived = 0;
  for (unsigned i = 0; i < first.getNumArguments(); ++i) {
    if (isReceived(first, i)) {
      layout.arguments.push_back(
          range(flow.get(SlotClass::activations, stage), numReceived++, !isForward));
      continue;
    }
    const std::string name = getInputName(first, i);
    const size_t input =
        llvm::find_if(flow.inputs, [&](const Input &one) { return one.name == name; }) -
        flow.inputs.begin();
    layout.arguments.push_back(range(flow.batch, input, false));
  }
  if (isForward) {
    if (flow.countSent(stage))
      appendAll(layout.results, flow.getOutgoing(stage, true), false);
    // An evaluation's last results are none: they go to variables.
    appendAll(layout.results, flow.get(SlotClass::residuals, stage), false);
    return true;
  }
  appendAll(layout.arguments, flow.get(SlotClass::residuals, stage), true);
  if (flow.countCotangents(stage))
    appendAll(layout.arguments, flow.get(SlotClass::cotangents, stage), true);
  if (stage > 0 && flow.countCotangents(stage - 1))
    appendAll(layout.results, flow.getOutgoing(stage, false), false);
  return true;
}

FunctionLayout ProgramLayout::getFunctionLayout(func::FuncOp function) const {
  FunctionLayout layout;
  layout.variables = &variables;
  if (!layOutFunction(training, function, layout))
    layOutFunction(evaluation, function, layout);
  return layout;
}

} // namespace titan
