#include "passes/sharding/PropagateFunction.h"

#include "passes/sharding/OpMotion.h"
#include "passes/sharding/Propagation.h"

using namespace mlir;

namespace titan {

namespace {

/// One function as a graph, and the answer back.
class FunctionPropagation {
public:
  FunctionPropagation(func::FuncOp function, const MeshShape &meshShape,
                      const PropagationHints &hints)
      : function(function), hints(hints), context(function.getContext()), mesh(meshShape),
        graph(toMesh(meshShape)) {
    for (auto [index, axis] : llvm::enumerate(mesh.getAxes()))
      axes[axis.name] = index;
  }

  LogicalResult run();

private:
  static sharding::Mesh toMesh(const MeshShape &shape);

  FailureOr<sharding::Sharding> convert(ShardingAttr attribute, Location location);
  ShardingAttr convert(const sharding::Sharding &sharding);
  RankedTensorType getType(Value value, const sharding::Sharding &sharding);

  LogicalResult addArguments();
  LogicalResult addOp(Operation &op);
  LogicalResult addNode(Operation &op);
  LogicalResult addStore(StoreOp store);
  LogicalResult addValue(Value value, ShardingAttr fixed, sharding::Origin origin);
  LogicalResult addSeeded(Value value);
  FailureOr<ShardingAttr> getStorage(Operation *op, FlatSymbolRefAttr name);

  LogicalResult report(const sharding::ShardingError &error);
  void apply(const sharding::PropagationResult &result);
  void applyReshard(const sharding::Reshard &reshard);
  ShardingAttr refineCut(Value value, const sharding::Reshard &reshard);
  GatherPlacement getPlacement(Value value);
  Operation *getUser(const sharding::Use &use) {
    return use.isSink ? sinks[use.index].getOperation() : nodes[use.index];
  }
  void finishSignature();

  func::FuncOp function;
  const PropagationHints &hints;
  MLIRContext *context;
  const MeshShape &mesh;
  sharding::PropagationGraph graph;
  llvm::DenseMap<StringAttr, sharding::Axis> axes;
  int64_t granule = 1; ///< of flat storage
  SymbolTableCollection symbols;

  llvm::DenseMap<Value, unsigned> numbers;
  std::vector<Value> values;      ///< by number
  std::vector<Operation *> nodes; ///< by number
  std::vector<StoreOp> sinks;     ///< by number
  std::vector<Operation *> constraints;
  llvm::DenseMap<Operation *, int64_t> positions; ///< of nodes and sinks in the block
};

/// `einsum "bsd,nd->bsn"` would be long: the op's name without its dialect.
std::string getShortName(Operation *op) { return op->getName().stripDialect().str(); }

} // namespace

//===----------------------------------------------------------------------===//
// Translation of shardings
//===----------------------------------------------------------------------===//

sharding::Mesh FunctionPropagation::toMesh(const MeshShape &shape) {
  sharding::Mesh mesh;
  for (const MeshShape::Axis &axis : shape.getAxes())
    mesh.axes.push_back({axis.name.str(), axis.size});
  return mesh;
}

FailureOr<sharding::Sharding> FunctionPropagation::convert(ShardingAttr attribute,
                                                           Location location) {
  sharding::Sharding result;
  auto convertAxes = [&](ArrayRef<StringAttr> names, sharding::AxisList &list) -> LogicalResult {
    for (StringAttr name : names) {
      auto known = axes.find(name);
      if (known == axes.end())
        return emitError(location) << "axis " << name << " is not one of the mesh";
      list.push_back(known->second);
    }
    return success();
  };
  for (unsigned i = 0; i < attribute.getDimensions().size(); ++i)
    if (failed(convertAxes(attribute.getAxes(i), result.dimensions.emplace_back())))
      return failure();
  if (failed(convertAxes(attribute.getPartial(), result.partial)) ||
      failed(convertAxes(attribute.getFlat(), result.flat)))
    return failure();
  llvm::sort(result.partial);
  if (attribute.isFlat()) {
    if (granule != 1 && granule != attribute.getGranule())
      return emitError(location) << "storage is cut at multiples of " << attribute.getGranule()
                                 << " elements here and of " << granule
                                 << " elsewhere in the function";
    granule = attribute.getGranule();
  }
  return result;
}

ShardingAttr FunctionPropagation::convert(const sharding::Sharding &sharding) {
  auto names = [&](ArrayRef<sharding::Axis> list) {
    return llvm::map_to_vector(list, [&](sharding::Axis axis) {
      return StringAttr::get(context, graph.getMesh().axes[axis].name);
    });
  };
  SmallVector<ArrayAttr> dimensions;
  for (const sharding::AxisList &list : sharding.dimensions) {
    const auto attributes = llvm::to_vector_of<Attribute>(names(list));
    dimensions.push_back(ArrayAttr::get(context, attributes));
  }
  return ShardingAttr::get(context, dimensions, names(sharding.partial), names(sharding.flat),
                           sharding.flat.empty() ? 1 : granule);
}

RankedTensorType FunctionPropagation::getType(Value value, const sharding::Sharding &sharding) {
  return withSharding(tensorType(value), convert(sharding));
}

//===----------------------------------------------------------------------===//
// The function as a graph
//===----------------------------------------------------------------------===//

LogicalResult FunctionPropagation::addValue(Value value, ShardingAttr fixed,
                                            sharding::Origin origin) {
  sharding::TensorValue tensor;
  tensor.shape.assign(tensorType(value).getShape().begin(), tensorType(value).getShape().end());
  tensor.origin = origin;
  if (fixed) {
    FailureOr<sharding::Sharding> sharding = convert(fixed, value.getLoc());
    if (failed(sharding))
      return failure();
    tensor.sharding = *sharding;
  }
  if (auto load = value.getDefiningOp<LoadOp>())
    tensor.name = load.getVariable().str();
  else if (Operation *op = value.getDefiningOp())
    tensor.name = getShortName(op);
  else
    tensor.name = "argument " + std::to_string(cast<BlockArgument>(value).getArgNumber());
  numbers[value] = graph.addValue(std::move(tensor));
  values.push_back(value);
  return success();
}

/// A value as it is: open, suggested, or with the sharding that it already has.
LogicalResult FunctionPropagation::addSeeded(Value value) {
  if (auto seed = hints.seeds.find(value); seed != hints.seeds.end())
    if (ShardingAttr primal = getSharding(seed->second.getType()))
      return addValue(value, primal.withPartial({}).withoutFlat(), sharding::Origin::seed);
  if (hints.open.contains(value))
    return addValue(value, {}, sharding::Origin::seed);
  return addValue(value, getSharding(value.getType()), sharding::Origin::annotation);
}

LogicalResult FunctionPropagation::addArguments() {
  for (BlockArgument argument : function.getArguments()) {
    auto sharding =
        function.getArgAttrOfType<ShardingAttr>(argument.getArgNumber(), kArgumentSharding);
    if (failed(sharding ? addValue(argument, sharding, sharding::Origin::variable)
                        : addSeeded(argument)))
      return failure();
  }
  return success();
}

FailureOr<ShardingAttr> FunctionPropagation::getStorage(Operation *op, FlatSymbolRefAttr name) {
  auto variable = symbols.lookupNearestSymbolFrom<VariableOp>(op, name);
  ShardingAttr sharding =
      variable ? getSharding(getSeenType(cast<RankedTensorType>(variable.getType()), op))
               : ShardingAttr();
  if (!sharding)
    return op->emitOpError() << "variable " << name << " has no sharding";
  return sharding;
}

LogicalResult FunctionPropagation::addStore(StoreOp store) {
  FailureOr<ShardingAttr> storage = getStorage(store, store.getVariableAttr());
  if (failed(storage))
    return failure();
  FailureOr<sharding::Sharding> wanted = convert(*storage, store.getLoc());
  if (failed(wanted))
    return failure();
  graph.addSink({store.getVariable().str(), numbers.lookup(store.getValue()), *wanted});
  positions[store] = positions.size();
  sinks.push_back(store);
  return success();
}

LogicalResult FunctionPropagation::addNode(Operation &op) {
  sharding::Node node;
  node.name = getShortName(&op);
  if (auto ruled = dyn_cast<ShardingRuleOpInterface>(op))
    node.rule = ruled.getShardingRule();
  else if (isa<ShardingConstraintOp>(op))
    node.rule = getLinearPointwiseRule(&op, ShardingRule::Linearity::each);
  else
    return op.emitOpError("does not implement ShardingRuleOpInterface, which "
                          "titan-propagate-shardings needs");
  for (Value operand : op.getOperands())
    node.operands.push_back(numbers.lookup(operand));
  for (Value result : op.getResults())
    node.results.push_back(numbers.lookup(result));
  node.setFromRule();
  graph.addNode(std::move(node));
  positions[&op] = positions.size();
  nodes.push_back(&op);
  return success();
}

LogicalResult FunctionPropagation::addOp(Operation &op) {
  if (op.hasTrait<OpTrait::IsTerminator>())
    return success();
  if (auto store = dyn_cast<StoreOp>(op))
    return addStore(store);
  if (auto load = dyn_cast<LoadOp>(op)) {
    FailureOr<ShardingAttr> storage = getStorage(load, load.getVariableAttr());
    return failure(failed(storage) || failed(addValue(load, *storage, sharding::Origin::variable)));
  }
  // A reshard takes what comes.
  if (isa<ReshardOp>(op))
    return addValue(op.getResult(0), getSharding(op.getResult(0).getType()),
                    sharding::Origin::annotation);
  if (auto constraint = dyn_cast<ShardingConstraintOp>(op)) {
    constraints.push_back(&op);
    if (failed(addValue(constraint, constraint.getSharding(), sharding::Origin::annotation)))
      return failure();
    return addNode(op);
  }
  for (Value result : op.getResults())
    if (failed(addSeeded(result)))
      return failure();
  return addNode(op);
}

//===----------------------------------------------------------------------===//
// The answer
//===----------------------------------------------------------------------===//

LogicalResult FunctionPropagation::report(const sharding::ShardingError &error) {
  Location location = error.isSink ? sinks[error.index].getLoc() : values[error.index].getLoc();
  return emitError(location) << error.message;
}

/// Storage that is cut along more axes, for sums of all elements alone, is cut from the slices that
/// ranks have: a finer granule makes their parts theirs, so that ranks exchange nothing. Parts
/// still begin where devices load 16 bytes at once.
ShardingAttr FunctionPropagation::refineCut(Value value, const sharding::Reshard &reshard) {
  ShardingAttr target = convert(reshard.to);
  const sharding::AxisList &slices = reshard.from.flat, &parts = reshard.to.flat;
  const bool isCutFurther = !slices.empty() && slices.size() < parts.size() &&
                            slices == ArrayRef(parts).take_front(slices.size()) &&
                            reshard.from.dimensions == reshard.to.dimensions;
  auto isSum = [&](const sharding::Use &use) {
    return !use.isSink && llvm::all_of(getUser(use)->getResults(), [](Value result) {
      return tensorType(result).getRank() == 0;
    });
  };
  if (!isCutFurther || reshard.atDefinition || !llvm::all_of(reshard.uses, isSum))
    return target;
  const int64_t slice = getFlatStorage(getType(value, reshard.from), mesh).sliceElements;
  const int64_t cuts = graph.getMesh().getDegree(ArrayRef(parts).drop_front(slices.size()));
  const int64_t loads = 16 * 8 / tensorType(value).getElementTypeBitWidth();
  if (slice % (cuts * loads))
    return target;
  return ShardingAttr::get(context, target.getDimensions(), target.getPartial(), target.getFlat(),
                           slice / cuts);
}

void FunctionPropagation::applyReshard(const sharding::Reshard &reshard) {
  Value value = values[reshard.value];
  OpBuilder builder(context);
  Location location = value.getLoc();
  if (reshard.atDefinition) {
    builder.setInsertionPointAfterValue(value);
  } else {
    Operation *first = getUser(*llvm::min_element(reshard.uses, [&](auto &a, auto &b) {
      return positions.lookup(getUser(a)) < positions.lookup(getUser(b));
    }));
    builder.setInsertionPoint(first);
    location = first->getLoc();
  }
  const GatherPlacement placement =
      reshard.from.flat.empty() ? GatherPlacement::per_function : getPlacement(value);
  RankedTensorType type = withSharding(tensorType(value), refineCut(value, reshard));
  auto op = ReshardOp::create(builder, location, type, value, placement,
                              builder.getStringAttr(reshard.reason));
  if (reshard.atDefinition) {
    value.replaceAllUsesExcept(op, op);
    value.setType(getType(value, reshard.from));
    values[reshard.value] = op;
    return;
  }
  for (const sharding::Use &use : reshard.uses)
    getUser(use)->setOperand(use.operand, op);
}

/// How long what is gathered of a stored value is kept.
GatherPlacement FunctionPropagation::getPlacement(Value value) {
  if (hints.placement != GatherPlacement::per_function)
    return hints.placement;
  LoadOp load = getStored(value);
  auto variable = load ? symbols.lookupNearestSymbolFrom<VariableOp>(load, load.getVariableAttr())
                       : VariableOp();
  return variable ? variable.getPlacement().value_or(hints.placement) : hints.placement;
}

void FunctionPropagation::apply(const sharding::PropagationResult &result) {
  for (auto [value, sharding] : llvm::zip_equal(values, result.shardings))
    value.setType(getType(value, sharding));
  // Those at definitions first: the others then use what everything sees.
  for (bool atDefinition : {true, false})
    for (const sharding::Reshard &reshard : result.reshards)
      if (reshard.atDefinition == atDefinition)
        applyReshard(reshard);
  for (Operation *constraint : constraints) {
    constraint->getResult(0).replaceAllUsesWith(constraint->getOperand(0));
    constraint->erase();
  }
}

void FunctionPropagation::finishSignature() {
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    function.removeArgAttr(i, kArgumentSharding);
  Block &block = function.getBody().front();
  function.setType(FunctionType::get(context, block.getArgumentTypes(),
                                     block.getTerminator()->getOperandTypes()));
}

LogicalResult FunctionPropagation::run() {
  if (!function.getBody().hasOneBlock())
    return function.emitError() << "expects @" << function.getSymName()
                                << " to have a body of one block";
  if (failed(addArguments()))
    return failure();
  for (Operation &op : function.getBody().front())
    if (failed(addOp(op)))
      return failure();
  const sharding::PropagationResult result = sharding::propagateShardings(graph);
  for (const sharding::ShardingError &error : result.errors)
    (void)report(error);
  if (!result.errors.empty())
    return failure();
  apply(result);
  finishSignature();
  return success();
}

LogicalResult propagateShardings(func::FuncOp function, const MeshShape &mesh,
                                 const PropagationHints &hints) {
  return FunctionPropagation(function, mesh, hints).run();
}

bool isSharded(func::FuncOp function) {
  auto known = [](Type type) { return static_cast<bool>(getSharding(type)); };
  if (llvm::any_of(function.getArgumentTypes(), known))
    return true;
  for (Operation &op : function.getOps())
    if (op.getNumResults())
      return known(op.getResult(0).getType());
  return false;
}

} // namespace titan
