// From global tensors with layouts to what one rank computes: each value becomes the rank's part,
// each reshard the collectives of its plan.
#include "dialects/titan/Partition.h"
#include "passes/Functions.h"
#include "passes/Passes.h"
#include "passes/sharding/ReshardPlan.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace titan {

#define GEN_PASS_DEF_PARTITIONSPMD
#include "passes/Passes.h.inc"

namespace {

//===----------------------------------------------------------------------===//
// Reshards
//===----------------------------------------------------------------------===//

/// Translates reshards to plans and plans to ops.
class ReshardLowering {
public:
  explicit ReshardLowering(const MeshShape &mesh) {
    for (const MeshShape::Axis &axis : mesh.getAxes()) {
      numbers[axis.name] = static_cast<unsigned>(names.size());
      names.push_back(axis.name);
      sizes.push_back(axis.size);
    }
  }

  Value lower(PartitionContext &context, Location loc, Value value, RankedTensorType from,
              RankedTensorType to, GatherPlacement placement) const {
    for (const ReshardStep &step :
         planReshard(getLayout(from), getLayout(to),
                     std::vector<int64_t>(from.getShape().begin(), from.getShape().end()), sizes))
      value = build(context, loc, value, step, placement);
    return value;
  }

private:
  AxisList getNumbers(ArrayRef<StringAttr> axes) const {
    AxisList list;
    for (StringAttr axis : axes)
      list.push_back(numbers.lookup(axis));
    return list;
  }

  Layout getLayout(RankedTensorType type) const {
    Layout layout;
    layout.dimensions.resize(type.getRank());
    ShardingAttr sharding = getSharding(type);
    if (!sharding)
      return layout;
    for (unsigned i = 0; i < layout.dimensions.size(); ++i)
      layout.dimensions[i] = getNumbers(sharding.getAxes(i));
    layout.partial = getNumbers(sharding.getPartial());
    layout.flat = getNumbers(sharding.getFlat());
    layout.granule = sharding.getGranule();
    return layout;
  }

  SmallVector<StringAttr> getNames(const AxisList &axes) const {
    SmallVector<StringAttr> list;
    for (unsigned axis : axes)
      list.push_back(names[axis]);
    return list;
  }

  Value build(PartitionContext &context, Location loc, Value value, const ReshardStep &step,
              GatherPlacement placement) const {
    OpBuilder &builder = context.getBuilder();
    const SmallVector<StringAttr> axisNames = getNames(step.axes);
    ArrayAttr axes =
        builder.getArrayAttr(SmallVector<Attribute>(axisNames.begin(), axisNames.end()));
    const auto dimension = static_cast<int64_t>(step.dimension);
    RankedTensorType type = tensorType(value);
    // The type with `dimension` that much larger.
    auto scaled = [&](int64_t times, int64_t by) {
      SmallVector<int64_t> shape(type.getShape());
      shape[dimension] = shape[dimension] * times / by;
      return type.clone(shape);
    };
    switch (step.kind) {
    case ReshardStep::Kind::allGather:
      return AllGatherOp::create(builder, loc, TypeRange(scaled(countRanks(step.axes, sizes), 1)),
                                 value, axes, dimension, placement)
          .getResult(0);
    case ReshardStep::Kind::reduceScatter:
      return ReduceScatterOp::create(builder, loc,
                                     TypeRange(scaled(1, countRanks(step.axes, sizes))), value,
                                     axes, dimension)
          .getResult(0);
    case ReshardStep::Kind::allReduce:
      return AllReduceOp::create(builder, loc, TypeRange(type), Reduction::sum, value, axes)
          .getResult(0);
    case ReshardStep::Kind::axisSlice:
      return AxisSliceOp::create(builder, loc, scaled(1, countRanks(step.axes, sizes)), value, axes,
                                 dimension);
    case ReshardStep::Kind::keepFirst:
      return keepFirst(context, loc, value, axisNames);
    case ReshardStep::Kind::flatten:
      return flatten(builder, loc, value, step.shape[0]);
    case ReshardStep::Kind::unflatten:
      return unflatten(builder, loc, value, step.shape);
    }
    llvm_unreachable("all kinds are handled");
  }

  /// The value times 1 at coordinate 0 and times 0 elsewhere.
  static Value keepFirst(PartitionContext &context, Location loc, Value value,
                         ArrayRef<StringAttr> axes) {
    OpBuilder &builder = context.getBuilder();
    RankedTensorType type = tensorType(value);
    auto scalar = RankedTensorType::get({}, type.getElementType());
    Value isFirst = OneHotOp::create(builder, loc, scalar.clone({1}), context.getAxisIndex(axes, 1),
                                     /*first=*/Value());
    isFirst = ReshapeOp::create(builder, loc, scalar, isFirst);
    Value mask = BroadcastOp::create(builder, loc, type, isFirst, ArrayRef<int64_t>{});
    return MulOp::create(builder, loc, value, mask);
  }

  static Value flatten(OpBuilder &builder, Location loc, Value value, int64_t elements) {
    RankedTensorType type = tensorType(value);
    Value flat = builder.createOrFold<ReshapeOp>(loc, type.clone({type.getNumElements()}), value);
    if (elements == type.getNumElements())
      return flat;
    // The tail takes part in sums and is stored.
    Value zeros = FullOp::create(builder, loc, type.clone({elements - type.getNumElements()}),
                                 llvm::APFloat(0.0));
    return ConcatOp::create(builder, loc, type.clone({elements}), ValueRange{flat, zeros});
  }

  static Value unflatten(OpBuilder &builder, Location loc, Value value,
                         llvm::ArrayRef<int64_t> shape) {
    RankedTensorType whole = tensorType(value).clone(shape);
    if (whole.getNumElements() != tensorType(value).getNumElements())
      value = SliceOp::create(builder, loc, whole.clone({whole.getNumElements()}), value,
                              builder.getI64IntegerAttr(0));
    return builder.createOrFold<ReshapeOp>(loc, whole, value);
  }

  llvm::DenseMap<StringAttr, unsigned> numbers;
  SmallVector<StringAttr> names;
  std::vector<int64_t> sizes;
};

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

/// The variables that hold coordinates, made when first asked for.
class AxisIndices {
public:
  explicit AxisIndices(ModuleOp module) : module(module), symbols(module) {}

  VariableOp get(ArrayRef<StringAttr> axes, int64_t scale) {
    std::string name = "axis_index.";
    for (StringAttr axis : axes)
      name += (axis.getValue() + ".").str();
    name += std::to_string(scale);
    if (auto variable = symbols.lookup<VariableOp>(name))
      return variable;
    MLIRContext *context = module.getContext();
    VariableOp variable = createVariable(module, module.getLoc(), name, Role::derived,
                                         RankedTensorType::get({}, IntegerType::get(context, 32)));
    variable.setInitializerAttr(AxisIndexInitAttr::get(context, axes, scale));
    symbols.insert(variable);
    return variable;
  }

private:
  ModuleOp module;
  SymbolTable symbols;
};

/// One function's local form.
class FunctionPartitioner : public PartitionContext {
public:
  FunctionPartitioner(func::FuncOp function, const MeshShape &mesh, const ReshardLowering &reshards,
                      AxisIndices &indices)
      : function(function), mesh(mesh), reshards(reshards), indices(indices),
        builder(function.getContext()) {}

  LogicalResult run();

  OpBuilder &getBuilder() override { return builder; }
  RankedTensorType getLocalType(Type type) override {
    return titan::getLocalType(cast<RankedTensorType>(type), mesh);
  }
  Value getAxisIndex(ArrayRef<StringAttr> axes, int64_t scale) override;

private:
  LogicalResult partition(Operation &op);
  LogicalResult buildLocal(Operation &op, ValueRange operands, SmallVectorImpl<Value> &results);
  void describeSignature();

  func::FuncOp function;
  const MeshShape &mesh;
  const ReshardLowering &reshards;
  AxisIndices &indices;
  OpBuilder builder;
  IRMapping local;
  Block *body = nullptr;
  llvm::DenseMap<StringAttr, Value> loadedIndices;
};

/// Whether ranks hold anything but the whole tensor.
bool isDistributed(Type type) {
  ShardingAttr sharding = getSharding(type);
  return sharding && !sharding.isReplicated();
}

Value FunctionPartitioner::getAxisIndex(ArrayRef<StringAttr> axes, int64_t scale) {
  VariableOp variable = indices.get(axes, scale);
  Value &value = loadedIndices[variable.getSymNameAttr()];
  if (!value) {
    OpBuilder atEntry = OpBuilder::atBlockBegin(body);
    value = LoadOp::create(atEntry, function.getLoc(), variable.getType(), variable.getSymName());
  }
  return value;
}

LogicalResult FunctionPartitioner::buildLocal(Operation &op, ValueRange operands,
                                              SmallVectorImpl<Value> &results) {
  if (isa<LoadOp, StoreOp, func::CallOp>(op) || op.hasTrait<OpTrait::ReturnLike>()) {
    cloneLocal(&op, *this, operands, results);
    return success();
  }
  if (auto reshard = dyn_cast<ReshardOp>(op)) {
    results.push_back(reshards.lower(*this, op.getLoc(), operands[0],
                                     tensorType(reshard.getInput()),
                                     tensorType(reshard.getResult()), reshard.getPlacement()));
    return success();
  }
  auto sharded = dyn_cast<ShardingRuleOpInterface>(op);
  if (!sharded)
    return op.emitOpError("cannot be partitioned: it does not implement ShardingRuleOpInterface");
  const ShardingRule rule = sharded.getShardingRule();
  if (std::string error = checkLayouts(&op, rule, mesh); !error.empty())
    return op.emitOpError() << "cannot be computed by parts: " << error;
  if (auto partitioned = dyn_cast<PartitionOpInterface>(op))
    return partitioned.buildLocal(*this, operands, results);
  return buildLocalByFactors(&op, rule, *this, operands, results);
}

LogicalResult FunctionPartitioner::partition(Operation &op) {
  for (auto [i, type] : llvm::enumerate(op.getResultTypes()))
    if (std::string error = checkSharding(cast<RankedTensorType>(type), mesh); !error.empty())
      return op.emitOpError() << "result " << i << ", " << type << ": " << error;
  SmallVector<Value> operands, results;
  for (Value operand : op.getOperands())
    operands.push_back(local.lookup(operand));
  if (failed(buildLocal(op, operands, results)))
    return failure();
  for (auto [from, to] : llvm::zip_equal(op.getResults(), results)) {
    assert(to.getType() == getLocalType(from.getType()) && "a local form of another type");
    local.map(from, to);
  }
  return success();
}

/// Notes what tensors the arguments and results are parts of.
void FunctionPartitioner::describeSignature() {
  auto name = builder.getStringAttr(kGlobalType);
  SmallVector<Type> inputs, results;
  for (auto [i, type] : llvm::enumerate(function.getArgumentTypes())) {
    inputs.push_back(getLocalType(type));
    if (isDistributed(type))
      function.setArgAttr(i, name, TypeAttr::get(type));
  }
  for (auto [i, type] : llvm::enumerate(function.getResultTypes())) {
    results.push_back(getLocalType(type));
    if (isDistributed(type))
      function.setResultAttr(i, name, TypeAttr::get(type));
  }
  function.setFunctionType(builder.getFunctionType(inputs, results));
}

LogicalResult FunctionPartitioner::run() {
  for (auto [i, type] : llvm::enumerate(function.getArgumentTypes()))
    if (std::string error = checkSharding(cast<RankedTensorType>(type), mesh); !error.empty())
      return function.emitOpError() << "argument " << i << ", " << type << ": " << error;
  if (!function.isExternal()) {
    if (!function.getBody().hasOneBlock())
      return function.emitOpError("cannot be partitioned: it has several blocks");
    Block &global = function.getBody().front();
    body = builder.createBlock(&function.getBody());
    for (BlockArgument argument : global.getArguments())
      local.map(argument, body->addArgument(getLocalType(argument.getType()), argument.getLoc()));
    for (Operation &op : global) {
      builder.setInsertionPointToEnd(body);
      if (failed(partition(op)))
        return failure();
    }
    global.erase();
  }
  describeSignature();
  return success();
}

//===----------------------------------------------------------------------===//
// The module
//===----------------------------------------------------------------------===//

/// Whether any tensor says how it is laid out.
bool hasShardings(ModuleOp module) {
  auto isSharded = [](Type type) { return static_cast<bool>(getSharding(type)); };
  return module
      ->walk([&](Operation *op) {
        auto variable = dyn_cast<VariableOp>(op);
        auto function = dyn_cast<func::FuncOp>(op);
        if ((variable && isSharded(variable.getType())) ||
            (function && llvm::any_of(function.getArgumentTypes(), isSharded)) ||
            llvm::any_of(op->getResultTypes(), isSharded))
          return WalkResult::interrupt();
        return WalkResult::advance();
      })
      .wasInterrupted();
}

void partitionVariable(VariableOp variable, const MeshShape &mesh) {
  auto type = cast<RankedTensorType>(variable.getType());
  if (isDistributed(type))
    variable.setGlobalTypeAttr(TypeAttr::get(type));
  variable.setType(getLocalType(type, mesh));
}

struct PartitionSpmd : impl::PartitionSpmdBase<PartitionSpmd> {
  using PartitionSpmdBase::PartitionSpmdBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (!hasShardings(module))
      return;
    const MeshShape mesh = MeshShape::get(module);
    const ReshardLowering reshards(mesh);
    AxisIndices indices(module);
    for (auto variable : module.getOps<VariableOp>())
      partitionVariable(variable, mesh);
    for (auto function : llvm::make_early_inc_range(module.getOps<func::FuncOp>()))
      if (failed(FunctionPartitioner(function, mesh, reshards, indices).run()))
        return signalPassFailure();
  }
};

} // namespace
} // namespace titan
