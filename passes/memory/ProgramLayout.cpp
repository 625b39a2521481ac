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
  llvm::StringMap<int64_t> rooms; ///< of derived variables: others are laid out alike
  module.walk([&](StoreOp store) {
    int64_t &room = rooms[store.getVariable()];
    room = std::max(room, getRoom(store.getValue()));
  });
  for (VariableOp variable : module.getOps<VariableOp>()) {
    auto owner = owners.find(variable.getSymName());
    const int64_t room =
        variable.getRole() == Role::derived ? rooms.lookup(variable.getSymName()) : 0;
    placeVariable(variable,
                  getMemberName(getSegment(variable.getRole()), owner == owners.end()
                                                                    ? std::nullopt
                                                                    : std::optional(owner->second)),
                  room);
  }
}

void ProgramLayout::placeVariable(VariableOp variable, StringRef segment, int64_t room) {
  int64_t &bytes = segmentBytes[segment];
  variables[variable.getSymName()] = {StringAttr::get(module.getContext(), segment), bytes, false,
                                      room};
  bytes += alignUp(std::max(room, getByteSize(variable.getType())));
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

unsigned ProgramLayout::Flow::countResiduals(int64_t stage) const {
  func::FuncOp function = forward[stage];
  return function.getNumResults() - countSent(stage);
}

func::FuncOp ProgramLayout::Flow::getFunction(const PipelineAction &action) const {
  switch (action.kind) {
  case ActionKind::forward:
    return forward[action.stage];
  case ActionKind::backward:
  case ActionKind::backwardInput:
    return backward[action.stage];
  case ActionKind::backwardWeight:
    return weights[action.stage];
  }
  llvm_unreachable("every kind has a function");
}

bool ProgramLayout::Flow::isReadByWeights(int64_t stage, unsigned index) const {
  if (weights.empty())
    return false;
  func::FuncOp function = weights[stage];
  return !function.getArgument(index).use_empty();
}

SlotClass ProgramLayout::Flow::getResidualClass(int64_t stage, unsigned index) const {
  func::FuncOp function = forward[stage];
  return isReadByWeights(stage, function.getNumArguments() + index) ? SlotClass::residualsToWeight
                                                                    : SlotClass::residuals;
}

bool ProgramLayout::Flow::doWeightsRead(SlotClass received, int64_t stage) const {
  if (weights.empty())
    return false;
  func::FuncOp first = forward[stage], second = backward[stage];
  auto isAsked = [&](unsigned i) {
    return received == SlotClass::activations
               ? i < first.getNumArguments() && isReceived(first, i)
               : i >= first.getNumArguments() && isReceived(second, i);
  };
  return llvm::any_of(llvm::seq(0u, second.getNumArguments()),
                      [&](unsigned i) { return isAsked(i) && isReadByWeights(stage, i); });
}

const ProgramLayout::ResidualClass &ProgramLayout::Flow::getOutgoing(int64_t stage,
                                                                     bool isForward) const {
  const int64_t to = isForward ? stage + 1 : stage - 1;
  if (getPipelineRank(stage) == getPipelineRank(to))
    return get(isForward ? SlotClass::activations : SlotClass::cotangents, to);
  return get(isForward ? SlotClass::sentActivations : SlotClass::sentCotangents, stage);
}

void ProgramLayout::append(ResidualClass &to, Type type, int64_t room) {
  to.types.push_back(type);
  to.offsets.push_back(to.bytes);
  to.rooms.push_back(room);
  to.bytes += alignUp(std::max(room, getByteSize(type)));
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
  static constexpr StringLiteral kNames[] = {segments::kForwardToBackward,
                                             segments::kActivations,
                                             "sent_activations",
                                             "cotangents",
                                             "sent_cotangents",
                                             segments::kForwardToWeight,
                                             segments::kInputToWeight};
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
  // What is sent is laid out as it is received.
  for (auto [i, value] : llvm::enumerate(forward.front().getTerminator()->getOperands()))
    append(flow.get(i < numSent ? SlotClass::sentActivations
                                : flow.getResidualClass(stage, i - numSent),
                    stage),
           value.getType(), i < numSent ? 0 : getRoom(value));
  for (Type type : getReceivedTypes(forward))
    append(flow.get(SlotClass::activations, stage), type);
  if (flow.backward.empty())
    return success();
  for (Type type : getReceivedTypes(flow.backward[stage]))
    append(flow.get(SlotClass::cotangents, stage), type);
  const unsigned numCotangents = stage ? flow.countCotangents(stage - 1) : 0;
  for (auto [i, type] : llvm::enumerate(flow.backward[stage].getResultTypes()))
    append(
        flow.get(i < numCotangents ? SlotClass::sentCotangents : SlotClass::inputToWeight, stage),
        type);
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
  llvm::append_range(wanted, forward.getResultTypes().drop_front(flow.countSent(stage)));
  llvm::append_range(wanted, getReceivedTypes(backward));
  if (backward.getArgumentTypes() != ArrayRef(wanted))
    return backward.emitError() << "expects @" << backward.getSymName()
                                << " to take the inputs and results of @" << forward.getSymName()
                                << ", found " << backward.getFunctionType();
  const ArrayRef<Type> cotangents =
      stage ? ArrayRef(flow.get(SlotClass::cotangents, stage - 1).types) : ArrayRef<Type>();
  const auto results = backward.getResultTypes();
  if (results.take_front(cotangents.size()) != cotangents ||
      (flow.weights.empty() && results.size() > cotangents.size()))
    return backward.emitError() << "expects @" << backward.getSymName()
                                << " to return the cotangents that the stage before takes, found "
                                << backward.getFunctionType();
  return success();
}

/// Checks that the second half of a backward takes what the first one takes, and then what that
/// hands over.
LogicalResult ProgramLayout::verifyWeights(const Flow &flow, int64_t stage) {
  func::FuncOp backward = flow.backward[stage], weights = flow.weights[stage];
  const unsigned numCotangents = stage ? flow.countCotangents(stage - 1) : 0;
  SmallVector<Type> wanted(backward.getArgumentTypes());
  if (backward.getNumResults() >= numCotangents)
    llvm::append_range(wanted, backward.getResultTypes().drop_front(numCotangents));
  if (weights.getArgumentTypes() == ArrayRef(wanted) && weights.getNumResults() == 0)
    return success();
  return weights.emitError() << "expects @" << weights.getSymName() << " to take what @"
                             << backward.getSymName()
                             << " takes and then what that returns behind its cotangents, found "
                             << weights.getFunctionType();
}

/// The schedule that the module names; that of one stage and one microbatch without a pipeline.
LogicalResult ProgramLayout::setSchedule(Flow &flow, StringRef name) {
  if (!flow.isPipeline()) {
    flow.schedule = {"one stage", 1, {0}, {{{ActionKind::forward, 0, 0}}}};
    if (!flow.backward.empty())
      flow.schedule.actions[0].push_back({ActionKind::backward, 0, 0});
  } else {
    FailureOr<PipelineSchedule> schedule = readSchedule(module, name, flow.backward.empty());
    if (failed(schedule))
      return failure();
    flow.schedule = std::move(*schedule);
  }
  if (!flow.weights.empty())
    splitBackwards(flow.schedule);
  else if (splitsBackward(flow.schedule))
    return module.emitError() << name
                              << " computes backwards in two halves, but there are no functions @"
                              << names::kBackwardWeight << ": titan-split-backward has not run";
  const size_t numStages = flow.forward.size();
  if (flow.schedule.rankOfStage.size() != numStages)
    return module.emitError() << name << " has " << flow.schedule.rankOfStage.size()
                              << " stages, the module " << numStages;
  for (auto [stage, rank] : llvm::enumerate(flow.schedule.rankOfStage))
    if (flow.getPipelineRank(stage).value_or(0) != rank)
      return flow.forward[stage].emitError()
             << "is of another rank than in " << name << ", " << rank;
  return success();
}

LogicalResult ProgramLayout::verifyFamilies(const Flow &flow) {
  for (auto [name, functions] : {std::pair(names::kBackward, &flow.backward),
                                 std::pair(names::kBackwardWeight, &flow.weights)})
    if (!functions->empty() && functions->size() != flow.forward.size())
      return module.emitError() << "expects as many functions @" << name << " as @"
                                << names::kForward << ", found " << functions->size() << " and "
                                << flow.forward.size();
  for (size_t stage = 0; stage < flow.weights.size(); ++stage)
    if (failed(verifyWeights(flow, static_cast<int64_t>(stage))))
      return failure();
  return success();
}

LogicalResult ProgramLayout::planFlow(Flow &flow, StringRef scheduleName) {
  if (flow.forward.empty())
    return success();
  if (failed(verifyFamilies(flow)))
    return failure();
  findInputs(flow);
  const auto numStages = static_cast<int64_t>(flow.forward.size());
  for (int64_t stage = 0; stage < numStages; ++stage)
    if (failed(layOutStage(flow, stage)))
      return failure();
  std::vector<StageTraffic> traffic;
  for (int64_t stage = 0; stage < numStages; ++stage) {
    if (failed(verifyStage(flow, stage)))
      return failure();
    traffic.push_back({flow.countSent(stage) > 0, flow.countCotangents(stage) > 0,
                       flow.doWeightsRead(SlotClass::activations, stage),
                       flow.doWeightsRead(SlotClass::cotangents, stage)});
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
  training.forward = getFamily(module, names::kForward);
  training.backward = getFamily(module, names::kBackward);
  training.weights = getFamily(module, names::kBackwardWeight);
  evaluation.prefix = "eval_";
  evaluation.forward = getFamily(module, names::kEval);
  if (failed(planFlow(training, kSchedule)) || failed(planFlow(evaluation, kEvalSchedule)))
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

/// The ranges of what a stage's functions take or return, from the classes of its slots.
class ProgramLayout::StageRanges {
public:
  StageRanges(const Flow &flow, int64_t stage, MLIRContext *context)
      : flow(flow), stage(stage), context(context) {}

  /// `reusable`: the function may overwrite them.
  void append(SmallVector<FixedRange> &to, const ResidualClass &from, size_t index,
              bool reusable) const {
    to.push_back(
        {StringAttr::get(context, from.name), from.offsets[index], reusable, from.rooms[index]});
  }
  void appendAll(SmallVector<FixedRange> &to, const ResidualClass &from, bool reusable) const {
    for (size_t i = 0; i < from.offsets.size(); ++i)
      append(to, from, i, reusable);
  }
  void appendClass(SmallVector<FixedRange> &to, SlotClass slotClass, bool reusable) const {
    appendAll(to, flow.get(slotClass, stage), reusable);
  }
  /// In the order of the forward's results.
  void appendResiduals(SmallVector<FixedRange> &to, bool reusable, bool reusableByWeights) const {
    std::array<size_t, kNumSlotClasses> next = {};
    for (unsigned i = 0; i < flow.countResiduals(stage); ++i) {
      const SlotClass slotClass = flow.getResidualClass(stage, i);
      append(to, flow.get(slotClass, stage), next[static_cast<size_t>(slotClass)]++,
             slotClass == SlotClass::residualsToWeight ? reusableByWeights : reusable);
    }
  }
  /// What the forward takes too.
  void appendInputs(SmallVector<FixedRange> &to, bool reusable) const {
    func::FuncOp forward = flow.forward[stage];
    size_t numReceived = 0;
    for (unsigned i = 0; i < forward.getNumArguments(); ++i) {
      if (isReceived(forward, i)) {
        append(to, flow.get(SlotClass::activations, stage), numReceived++, reusable);
        continue;
      }
      const std::string name = getInputName(forward, i);
      const auto *input =
          llvm::find_if(flow.inputs, [&](const Input &one) { return one.name == name; });
      append(to, flow.batch, input - flow.inputs.begin(), false);
    }
  }

private:
  const Flow &flow;
  int64_t stage;
  MLIRContext *context;
};

void ProgramLayout::layOutForward(const Flow &flow, int64_t stage, FunctionLayout &layout) const {
  const StageRanges ranges(flow, stage, module->getContext());
  ranges.appendInputs(layout.arguments, false);
  if (flow.countSent(stage))
    ranges.appendAll(layout.results, flow.getOutgoing(stage, true), false);
  // An evaluation's last results are none: they go to variables.
  ranges.appendResiduals(layout.results, false, false);
}

/// What the second half reads stays as it is in the first.
void ProgramLayout::layOutBackward(const Flow &flow, int64_t stage, bool isWeights,
                                   FunctionLayout &layout) const {
  auto isLast = [&](SlotClass received) {
    return isWeights || !flow.doWeightsRead(received, stage);
  };
  const StageRanges ranges(flow, stage, module->getContext());
  ranges.appendInputs(layout.arguments, isLast(SlotClass::activations));
  ranges.appendResiduals(layout.arguments, true, isWeights);
  if (flow.countCotangents(stage))
    ranges.appendClass(layout.arguments, SlotClass::cotangents, isLast(SlotClass::cotangents));
  if (isWeights)
    return ranges.appendClass(layout.arguments, SlotClass::inputToWeight, true);
  if (stage > 0 && flow.countCotangents(stage - 1))
    ranges.appendAll(layout.results, flow.getOutgoing(stage, false), false);
  ranges.appendClass(layout.results, SlotClass::inputToWeight, false);
}

bool ProgramLayout::layOutFunction(const Flow &flow, func::FuncOp function,
                                   FunctionLayout &layout) const {
  auto find = [&](const SmallVector<func::FuncOp> &functions) -> std::optional<int64_t> {
    const auto *found = llvm::find(functions, function);
    return found == functions.end() ? std::nullopt : std::optional(found - functions.begin());
  };
  if (auto stage = find(flow.forward))
    layOutForward(flow, *stage, layout);
  else if (auto stage = find(flow.backward))
    layOutBackward(flow, *stage, false, layout);
  else if (auto stage = find(flow.weights))
    layOutBackward(flow, *stage, true, layout);
  else
    return false;
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
