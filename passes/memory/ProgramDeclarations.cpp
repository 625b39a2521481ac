// The exec ops of a planned program: its memory and its timelines.
#include "dialects/exec/Exec.h"
#include "dialects/titan/Sharding.h"
#include "passes/memory/ProgramLayout.h"

using namespace mlir;

namespace titan {

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

static ArrayAttr toArray(MLIRContext *context, ArrayRef<StringAttr> axes) {
  return ArrayAttr::get(context, SmallVector<Attribute>(axes.begin(), axes.end()));
}

/// The global type with its sharding as the exec dialect says it; null without one.
static TypeAttr convertGlobalType(TypeAttr type, int64_t padding) {
  auto global = type ? dyn_cast<RankedTensorType>(type.getValue()) : RankedTensorType();
  ShardingAttr sharding = global ? getSharding(global) : ShardingAttr();
  if (!sharding)
    return {};
  MLIRContext *context = type.getContext();
  auto listIfAny = [&](ArrayRef<StringAttr> axes) {
    return axes.empty() ? ArrayAttr() : toArray(context, axes);
  };
  SmallVector<Attribute> dimensions(sharding.getDimensions().begin(),
                                    sharding.getDimensions().end());
  auto converted = exec::ShardingAttr::get(
      context, ArrayAttr::get(context, dimensions), listIfAny(sharding.getPartial()),
      listIfAny(sharding.getFlat()), sharding.getGranule(), padding);
  return TypeAttr::get(
      RankedTensorType::get(global.getShape(), global.getElementType(), converted));
}

static exec::InitializerAttr convertInitializer(Attribute attribute) {
  auto number = [](const APFloat &value) { return value.convertToDouble(); };
  MLIRContext *context = attribute ? attribute.getContext() : nullptr;
  if (auto init = dyn_cast_if_present<ConstantInitAttr>(attribute))
    return exec::InitializerAttr::get(context, exec::Distribution::Constant,
                                      number(init.getValue()));
  if (auto init = dyn_cast_if_present<NormalInitAttr>(attribute))
    return exec::InitializerAttr::get(context, exec::Distribution::Normal, number(init.getMean()),
                                      number(init.getStd()));
  if (auto init = dyn_cast_if_present<TruncatedNormalInitAttr>(attribute))
    return exec::InitializerAttr::get(context, exec::Distribution::TruncatedNormal,
                                      number(init.getMean()), number(init.getStd()),
                                      number(init.getLower()), number(init.getUpper()));
  if (auto init = dyn_cast_if_present<RopeTableInitAttr>(attribute)) {
    const double numbers[] = {number(init.getTheta()), number(init.getFactor()),
                              number(init.getLowFrequency()), number(init.getHighFrequency()),
                              number(init.getOriginalLength())};
    return exec::InitializerAttr::get(context,
                                      init.getComponent() == RopeComponent::cosine
                                          ? exec::Distribution::RopeCosine
                                          : exec::Distribution::RopeSine,
                                      numbers);
  }
  if (auto init = dyn_cast_if_present<AxisIndexInitAttr>(attribute))
    return exec::InitializerAttr::get(context, toArray(context, init.getAxes()),
                                      static_cast<double>(init.getScale()));
  return {};
}

static exec::Role convertRole(Role role) {
  switch (role) {
  case Role::parameter:
    return exec::Role::Parameter;
  case Role::optimizer_state:
    return exec::Role::OptimizerState;
  case Role::gradient:
    return exec::Role::Gradient;
  case Role::derived:
    return exec::Role::Derived;
  case Role::counter:
    return exec::Role::Counter;
  case Role::input:
    return exec::Role::Input;
  case Role::output:
    return exec::Role::Output;
  }
  llvm_unreachable("every role has a case");
}

void ProgramLayout::declareVariables(OpBuilder &builder) {
  for (auto variable : module.getOps<VariableOp>()) {
    const FixedRange &range = variables.find(variable.getSymName())->second;
    exec::VariableOp::create(
        builder, variable.getLoc(), variable.getSymNameAttr(), variable.getTypeAttr(),
        convertGlobalType(variable.getGlobalTypeAttr(), variable.getPadding()),
        exec::RoleAttr::get(builder.getContext(), convertRole(variable.getRole())),
        FlatSymbolRefAttr::get(range.base), builder.getI64IntegerAttr(range.offset),
        convertInitializer(variable.getInitializer().value_or(Attribute())));
  }
}

void ProgramLayout::declareInputs(OpBuilder &builder, const Flow &flow) {
  for (auto [input, offset] : llvm::zip_equal(flow.inputs, flow.batch.offsets)) {
    auto [name, function, index] = input;
    exec::VariableOp::create(
        builder, function.getLoc(), builder.getStringAttr(flow.prefix + name),
        TypeAttr::get(function.getArgumentTypes()[index]),
        convertGlobalType(function.getArgAttrOfType<TypeAttr>(index, kGlobalType), /*padding=*/0),
        exec::RoleAttr::get(builder.getContext(), exec::Role::Input),
        FlatSymbolRefAttr::get(builder.getContext(), flow.batch.name),
        builder.getI64IntegerAttr(offset), exec::InitializerAttr());
  }
}

void ProgramLayout::declareSegments(OpBuilder &builder,
                                    const llvm::StringMap<int64_t> &arenaBytes) {
  SmallVector<std::optional<int64_t>> ranks = {std::nullopt};
  for (int64_t rank = 0; rank < numRanks.value_or(0); ++rank)
    ranks.push_back(rank);
  for (auto &[name, bytes] : arenaBytes)
    segmentBytes[name] = bytes;
  for (std::optional<int64_t> rank : ranks)
    for (StringRef kind :
         {StringRef(segments::kParameters), StringRef(segments::kState),
          StringRef(segments::kGradients), StringRef(segments::kDerived), StringRef(segments::kIo),
          StringRef(segments::kResiduals), StringRef(segments::kScratch)}) {
      const std::string name = getMemberName(kind, rank);
      // A pipeline has most of its memory by rank.
      if (!numRanks || segmentBytes.lookup(name))
        exec::SegmentOp::create(builder, module.getLoc(), name, segmentBytes.lookup(name),
                                exec::Space::Device,
                                rank ? builder.getI64IntegerAttr(*rank) : IntegerAttr());
    }
}

void ProgramLayout::declareClasses(OpBuilder &builder) {
  forEachClass([&](const ResidualClass &it) {
    exec::ResidualClassOp::create(builder, module.getLoc(), it.name,
                                  getMemberName(segments::kResiduals, it.rank), it.offset, it.slots,
                                  it.bytes);
  });
}

void ProgramLayout::declareMemory(OpBuilder &builder, const llvm::StringMap<int64_t> &arenaBytes) {
  builder.setInsertionPointToStart(module.getBody());
  SmallVector<Attribute> mesh;
  const MeshShape shape = MeshShape::get(module);
  for (const MeshShape::Axis &axis : shape.getAxes())
    mesh.push_back(exec::AxisAttr::get(builder.getContext(), axis.name, axis.size));
  exec::ProgramOp::create(builder, module.getLoc(), "cpu", builder.getArrayAttr(mesh), 0, "",
                          builder.getStrArrayAttr({}));
  declareSegments(builder, arenaBytes);
  declareClasses(builder);
  declareVariables(builder);
  declareInputs(builder, training);
  declareInputs(builder, evaluation);
}

//===----------------------------------------------------------------------===//
// Timelines
//===----------------------------------------------------------------------===//

static exec::Action getLetter(ActionKind kind) {
  switch (kind) {
  case ActionKind::forward:
    return exec::Action::Forward;
  case ActionKind::backward:
    return exec::Action::Backward;
  case ActionKind::backwardInput:
    return exec::Action::InputBackward;
  case ActionKind::backwardWeight:
    return exec::Action::WeightBackward;
  }
  llvm_unreachable("every kind has a letter");
}

/// The async function that an entry starts or awaits, made when it is first met.
std::string ProgramLayout::getTransfer(OpBuilder &builder, const Flow &flow,
                                       const TimelineEntry &entry) {
  const bool sends =
      entry.kind == TimelineEntry::Kind::startSend || entry.kind == TimelineEntry::Kind::awaitSend;
  const bool isActivation = entry.action.kind == ActionKind::forward;
  const std::string name =
      flow.prefix + getMemberName((sends ? "send_" : "receive_") +
                                      std::string(isActivation ? "activations" : "cotangents"),
                                  entry.action.stage);
  if (!transfers.insert(name).second)
    return name;
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToEnd(module.getBody());
  func::FuncOp stage = flow.forward[entry.action.stage];
  Location loc = stage.getLoc();
  auto function = exec::FuncOp::create(builder, loc, name);
  function.setAsync(true);
  builder.setInsertionPointToStart(function.getBody());
  const SlotUse &slot = entry.slots.front();
  const ResidualClass &from = flow.get(slot.slotClass, slot.stage);
  SmallVector<Value> buffers;
  for (auto [type, offset] : llvm::zip_equal(from.types, from.offsets))
    buffers.push_back(exec::BufferOp::create(
        builder, loc, getBufferType(type), FlatSymbolRefAttr::get(builder.getContext(), from.name),
        builder.getI64IntegerAttr(offset), exec::RotationAttr()));
  exec::StartOp::create(builder, loc, exec::TokenType::get(builder.getContext()),
                        sends ? exec::Collective::Send : exec::Collective::Receive,
                        exec::Reduction::None, builder.getStrArrayAttr({exec::kPipelineAxis}),
                        builder.getI64IntegerAttr(entry.peer), /*channel=*/isActivation ? 0 : 1,
                        sends ? ValueRange(buffers) : ValueRange(),
                        sends ? ValueRange() : ValueRange(buffers));
  return name;
}

void ProgramLayout::declareBody(OpBuilder &builder, const Flow &flow,
                                const RankTimeline &timeline) {
  using Kind = TimelineEntry::Kind;
  MLIRContext *context = builder.getContext();
  for (const TimelineEntry &entry : timeline.entries) {
    SmallVector<Attribute> slots;
    auto bind = [&](const ResidualClass &residualClass, int64_t index) {
      if (residualClass.bytes)
        slots.push_back(exec::SlotAttr::get(
            context, FlatSymbolRefAttr::get(context, residualClass.name), index));
    };
    const PipelineAction &action = entry.action;
    exec::Mode mode = exec::Mode::Run;
    exec::Action letter = getLetter(action.kind);
    std::string function;
    if (entry.kind == Kind::compute) {
      bind(flow.batch, action.microbatch);
      function = flow.getFunction(action).getSymName().str();
    } else {
      const bool sends = entry.kind == Kind::startSend || entry.kind == Kind::awaitSend;
      const bool starts = entry.kind == Kind::startSend || entry.kind == Kind::startReceive;
      letter = sends ? exec::Action::Send : exec::Action::Receive;
      mode = starts ? exec::Mode::Start : exec::Mode::Await;
      function = getTransfer(builder, flow, entry);
    }
    for (const SlotUse &slot : entry.slots)
      bind(flow.get(slot.slotClass, slot.stage), slot.index);
    exec::ActionOp::create(builder, module.getLoc(), mode, letter, function, action.stage,
                           action.microbatch, builder.getArrayAttr(slots));
  }
}

void ProgramLayout::declareFlow(OpBuilder &builder, const Flow &flow, StringRef timeline) {
  const bool trains = !flow.backward.empty();
  for (auto [rank, entries] : llvm::enumerate(flow.timelines.ranks)) {
    const std::optional<int64_t> own =
        flow.isPipeline() ? std::optional(static_cast<int64_t>(rank)) : std::nullopt;
    builder.setInsertionPointToEnd(module.getBody());
    auto op = exec::TimelineOp::create(builder, module.getLoc(), getMemberName(timeline, own));
    if (own)
      op.setPipelineRankAttr(builder.getI64IntegerAttr(*own));
    // The rank's function of that name, or the one that all ranks have.
    auto once = [&](Region &section, exec::Action letter, StringRef family) {
      auto function = module.lookupSymbol<func::FuncOp>(getMemberName(family, own));
      if (!function)
        function = module.lookupSymbol<func::FuncOp>(family);
      if (!function)
        return;
      builder.setInsertionPointToEnd(&section.front());
      exec::ActionOp::create(builder, module.getLoc(), exec::Mode::Run, letter,
                             function.getSymName(), 0, 0, builder.getArrayAttr({}));
    };
    once(op.getPrologue(), exec::Action::Prologue,
         trains ? names::kPrologue : names::kEvalPrologue);
    if (trains)
      once(op.getPrologue(), exec::Action::Unshard, names::kUnshard);
    builder.setInsertionPointToEnd(&op.getBodyRegion().front());
    declareBody(builder, flow, entries);
    if (!trains) {
      once(op.getEpilogue(), exec::Action::Update, names::kEvalTotals);
      continue;
    }
    once(op.getEpilogue(), exec::Action::Update, names::kGradientSquares);
    once(op.getEpilogue(), exec::Action::Update, names::kTotals);
    once(op.getEpilogue(), exec::Action::Update, names::kUpdate);
  }
}

void ProgramLayout::declareTimelines(OpBuilder &builder) {
  declareFlow(builder, training, "train");
  declareFlow(builder, evaluation, "evaluation");
  for (func::FuncOp function : getFamily(module, names::kDerive)) {
    builder.setInsertionPointToEnd(module.getBody());
    const std::optional<int64_t> rank = titan::getPipelineRank(function);
    auto op = exec::TimelineOp::create(builder, module.getLoc(), getMemberName("refresh", rank));
    if (rank)
      op.setPipelineRankAttr(builder.getI64IntegerAttr(*rank));
    builder.setInsertionPointToEnd(&op.getPrologue().front());
    exec::ActionOp::create(builder, module.getLoc(), exec::Mode::Run, exec::Action::Prologue,
                           function.getSymName(), 0, 0, builder.getArrayAttr({}));
  }
}

} // namespace titan
