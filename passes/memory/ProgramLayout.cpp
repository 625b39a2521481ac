#include "passes/memory/ProgramLayout.h"

#include "dialects/exec/Exec.h"
#include "dialects/titan/Sharding.h"

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

ProgramLayout::ProgramLayout(ModuleOp module) : module(module) {
  forward = module.lookupSymbol<func::FuncOp>(names::kForward);
  evaluation = module.lookupSymbol<func::FuncOp>(names::kEval);
  for (VariableOp variable : module.getOps<VariableOp>()) {
    switch (variable.getRole()) {
    case Role::parameter:
      placeVariable(variable, segments::kParameters);
      break;
    case Role::gradient:
      placeVariable(variable, segments::kGradients);
      break;
    case Role::derived:
      placeVariable(variable, segments::kDerived);
      break;
    case Role::counter:
    case Role::input:
    case Role::output:
      placeVariable(variable, segments::kIo);
      break;
    case Role::optimizer_state:
      placeVariable(variable, segments::kState);
      break;
    }
  }
  batch = layOut(segments::kBatch, forward ? TypeRange(forward.getArgumentTypes()) : TypeRange());
  residuals = layOut(segments::kForwardToBackward,
                     forward ? TypeRange(forward.getResultTypes()) : TypeRange());
  evalBatch = layOut(segments::kEvalBatch,
                     evaluation ? TypeRange(evaluation.getArgumentTypes()) : TypeRange());
}

void ProgramLayout::placeVariable(VariableOp variable, StringRef segment) {
  int64_t &bytes = segmentBytes[segment];
  variables[variable.getSymName()] = {StringAttr::get(module.getContext(), segment), bytes, false};
  bytes += alignUp(getByteSize(variable.getType()));
}

ProgramLayout::ResidualClass ProgramLayout::layOut(StringRef name, TypeRange types) {
  ResidualClass result;
  result.name = StringAttr::get(module.getContext(), name);
  for (Type type : types) {
    result.offsets.push_back(result.bytes);
    result.bytes += alignUp(getByteSize(type));
  }
  return result;
}

/// One range per tensor of a class.
static void appendRanges(SmallVector<FixedRange> &ranges, StringAttr name,
                         ArrayRef<int64_t> offsets, bool reusable) {
  for (int64_t offset : offsets)
    ranges.push_back({name, offset, reusable});
}

FunctionLayout ProgramLayout::getFunctionLayout(func::FuncOp function) const {
  FunctionLayout layout;
  layout.variables = &variables;
  StringRef name = function.getSymName();
  if (name == names::kForward || name == names::kBackward)
    appendRanges(layout.arguments, batch.name, batch.offsets, false);
  if (name == names::kBackward)
    appendRanges(layout.arguments, residuals.name, residuals.offsets, true);
  if (name == names::kForward)
    appendRanges(layout.results, residuals.name, residuals.offsets, false);
  if (name == names::kEval)
    appendRanges(layout.arguments, evalBatch.name, evalBatch.offsets, false);
  return layout;
}

//===----------------------------------------------------------------------===//
// Declarations
//===----------------------------------------------------------------------===//

static ArrayAttr toArray(MLIRContext *context, ArrayRef<StringAttr> axes) {
  return ArrayAttr::get(context, SmallVector<Attribute>(axes.begin(), axes.end()));
}

/// The global type with its sharding as the exec dialect says it; null without one.
static TypeAttr convertGlobalType(TypeAttr type) {
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
  auto converted = exec::ShardingAttr::get(context, ArrayAttr::get(context, dimensions),
                                           listIfAny(sharding.getPartial()),
                                           listIfAny(sharding.getFlat()), sharding.getGranule());
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
        convertGlobalType(variable.getGlobalTypeAttr()),
        exec::RoleAttr::get(builder.getContext(), convertRole(variable.getRole())),
        FlatSymbolRefAttr::get(range.base), builder.getI64IntegerAttr(range.offset),
        convertInitializer(variable.getInitializer().value_or(Attribute())));
  }
}

void ProgramLayout::declareInputs(OpBuilder &builder, func::FuncOp function,
                                  const ResidualClass &inputs, StringRef prefix) {
  for (auto [i, offset] : llvm::enumerate(inputs.offsets)) {
    auto given = function.getArgAttrOfType<StringAttr>(i, names::kInputName);
    const std::string name = given ? given.str() : "input" + std::to_string(i);
    exec::VariableOp::create(builder, function.getLoc(), builder.getStringAttr(prefix + name),
                             TypeAttr::get(function.getArgumentTypes()[i]),
                             convertGlobalType(function.getArgAttrOfType<TypeAttr>(i, kGlobalType)),
                             exec::RoleAttr::get(builder.getContext(), exec::Role::Input),
                             FlatSymbolRefAttr::get(inputs.name), builder.getI64IntegerAttr(offset),
                             exec::InitializerAttr());
  }
}

void ProgramLayout::declareMemory(OpBuilder &builder, int64_t arenaBytes) {
  Location loc = module.getLoc();
  builder.setInsertionPointToStart(module.getBody());
  SmallVector<Attribute> mesh;
  for (const MeshShape::Axis &axis : MeshShape::get(module).getAxes())
    mesh.push_back(exec::AxisAttr::get(builder.getContext(), axis.name, axis.size));
  exec::ProgramOp::create(builder, loc, "cpu", builder.getArrayAttr(mesh), 0, "",
                          builder.getStrArrayAttr({}));
  segmentBytes[segments::kScratch] = arenaBytes;
  segmentBytes[segments::kResiduals] = batch.bytes + evalBatch.bytes + residuals.bytes;
  for (StringRef name :
       {StringRef(segments::kParameters), StringRef(segments::kState),
        StringRef(segments::kGradients), StringRef(segments::kDerived), StringRef(segments::kIo),
        StringRef(segments::kResiduals), StringRef(segments::kScratch)})
    exec::SegmentOp::create(builder, loc, name, segmentBytes[name], exec::Space::Device);
  int64_t offset = 0;
  for (const ResidualClass *residualClass : {&batch, &evalBatch, &residuals}) {
    if (residualClass->bytes == 0)
      continue;
    exec::ResidualClassOp::create(builder, loc, residualClass->name.getValue(),
                                  segments::kResiduals, offset, /*slots=*/1, residualClass->bytes);
    offset += residualClass->bytes;
  }
  declareVariables(builder);
  if (forward)
    declareInputs(builder, forward, batch, "");
  if (evaluation)
    declareInputs(builder, evaluation, evalBatch, "eval_");
}

void ProgramLayout::declareTimelines(OpBuilder &builder) {
  Location loc = module.getLoc();
  MLIRContext *context = builder.getContext();
  auto slots = [&](std::initializer_list<const ResidualClass *> classes) {
    SmallVector<Attribute> attributes;
    for (const ResidualClass *residualClass : classes)
      if (residualClass->bytes)
        attributes.push_back(
            exec::SlotAttr::get(context, FlatSymbolRefAttr::get(residualClass->name), 0));
    return builder.getArrayAttr(attributes);
  };
  auto action = [&](Region &section, exec::Action letter, StringRef function, ArrayAttr bound) {
    if (!module.lookupSymbol(function))
      return;
    builder.setInsertionPointToEnd(&section.front());
    exec::ActionOp::create(builder, loc, exec::Mode::Run, letter, function, 0, 0, bound);
  };

  if (forward) {
    builder.setInsertionPointToEnd(module.getBody());
    auto train = exec::TimelineOp::create(builder, loc, "train");
    action(train.getPrologue(), exec::Action::Prologue, names::kPrologue, slots({}));
    action(train.getPrologue(), exec::Action::Unshard, names::kUnshard, slots({}));
    action(train.getBodyRegion(), exec::Action::Forward, names::kForward,
           slots({&batch, &residuals}));
    action(train.getBodyRegion(), exec::Action::Backward, names::kBackward,
           slots({&batch, &residuals}));
    action(train.getEpilogue(), exec::Action::Update, names::kUpdate, slots({}));
  }
  if (evaluation) {
    builder.setInsertionPointToEnd(module.getBody());
    auto timeline = exec::TimelineOp::create(builder, loc, "evaluation");
    action(timeline.getPrologue(), exec::Action::Prologue, names::kEvalPrologue, slots({}));
    action(timeline.getBodyRegion(), exec::Action::Forward, names::kEval, slots({&evalBatch}));
  }
}

} // namespace titan
