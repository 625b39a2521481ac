#include "frontend/GraphBuilder.h"

#include "dialects/titan/ops/Einsum.h"

using namespace mlir;

namespace titan {

GraphBuilder::GraphBuilder(MLIRContext *context)
    : builder(context), location(UnknownLoc::get(context)) {
  context->loadDialect<TitanDialect, func::FuncDialect>();
  module = ModuleOp::create(location);
  builder.setInsertionPointToEnd(module->getBody());
}

//===----------------------------------------------------------------------===//
// Scopes and types
//===----------------------------------------------------------------------===//

GraphBuilder::Scope::Scope(GraphBuilder &graph, StringRef name)
    : graph(graph), outerLength(graph.path.size()) {
  graph.path = graph.qualified(name);
  graph.location = NameLoc::get(graph.builder.getStringAttr(graph.path));
}

void GraphBuilder::leaveScope(size_t outerLength) {
  path.resize(outerLength);
  if (path.empty())
    location = builder.getUnknownLoc();
  else
    location = NameLoc::get(builder.getStringAttr(path));
}

std::string GraphBuilder::qualified(StringRef name) const {
  return path.empty() ? name.str() : path + "." + name.str();
}

RankedTensorType GraphBuilder::f32(ArrayRef<int64_t> shape) {
  return RankedTensorType::get(shape, builder.getF32Type());
}

RankedTensorType GraphBuilder::i32(ArrayRef<int64_t> shape) {
  return RankedTensorType::get(shape, builder.getI32Type());
}

//===----------------------------------------------------------------------===//
// Layouts
//===----------------------------------------------------------------------===//

void GraphBuilder::declareMesh(ArrayRef<Axis> axes, ArrayRef<StringRef> storage, int64_t granule) {
  storageGranule = granule;
  assert(!mesh && !lastVariable && "the mesh comes first");
  SmallVector<StringRef> names;
  SmallVector<int64_t> sizes;
  for (const Axis &axis : axes) {
    names.push_back(axis.name);
    sizes.push_back(axis.size);
  }
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(module->getBody());
  auto op = MeshOp::create(builder, builder.getUnknownLoc(), kMeshName,
                           builder.getStrArrayAttr(names), builder.getDenseI64ArrayAttr(sizes));
  mesh.emplace(op);
  lastVariable = op;
  for (StringRef name : storage)
    if (StringAttr axis = builder.getStringAttr(name); mesh->getSize(axis) > 1)
      storageAxes.push_back(axis);
}

void GraphBuilder::declareModules(ArrayRef<std::string> names) {
  SmallVector<StringRef> list(names.begin(), names.end());
  (*module)->setAttr(kModules, builder.getStrArrayAttr(list));
}

ShardingAttr GraphBuilder::getSharding(int64_t rank, Split split) {
  SmallVector<ArrayAttr> dimensions;
  for (int64_t i = 0; i < rank; ++i) {
    SmallVector<Attribute> axes;
    for (StringRef name : split.empty() ? ArrayRef<StringRef>() : split[i])
      if (StringAttr axis = builder.getStringAttr(name); mesh->getSize(axis) > 1)
        axes.push_back(axis);
    dimensions.push_back(builder.getArrayAttr(axes));
  }
  return ShardingAttr::get(builder.getContext(), dimensions);
}

Value GraphBuilder::constrain(Value value, Split split) {
  if (!mesh)
    return value;
  return ShardingConstraintOp::create(builder, location, value.getType(), value,
                                      getSharding(tensorType(value).getRank(), split));
}

//===----------------------------------------------------------------------===//
// Variables
//===----------------------------------------------------------------------===//

Attribute GraphBuilder::constant(double value) {
  return ConstantInitAttr::get(builder.getContext(), value);
}

Attribute GraphBuilder::normal(double mean, double std) {
  return NormalInitAttr::get(builder.getContext(), mean, std);
}

Attribute GraphBuilder::truncatedNormal(double mean, double std, double lower, double upper) {
  return TruncatedNormalInitAttr::get(builder.getContext(), mean, std, lower, upper);
}

Attribute GraphBuilder::ropeTable(RopeComponent component, const RopeScaling &scaling) {
  return RopeTableInitAttr::get(builder.getContext(), component, scaling.theta, scaling.factor,
                                scaling.lowFrequency, scaling.highFrequency,
                                scaling.originalLength);
}

void GraphBuilder::declareParameter(StringRef name, ArrayRef<int64_t> shape, Attribute initializer,
                                    Split split, bool keepGathered, int64_t padding) {
  RankedTensorType type = f32(shape);
  if (mesh) {
    ShardingAttr whole = getSharding(type.getRank(), split);
    type = withSharding(type, storageAxes.empty()
                                  ? whole
                                  : ShardingAttr::get(builder.getContext(), whole.getDimensions(),
                                                      {}, storageAxes, storageGranule));
  }
  VariableOp variable = declare(Role::parameter, name, type, initializer);
  variable.setPadding(padding);
  if (keepGathered)
    variable.setPlacement(GatherPlacement::per_microbatch);
}

void GraphBuilder::declareDerived(StringRef name, ArrayRef<int64_t> shape, Attribute initializer) {
  RankedTensorType type = f32(shape);
  declare(Role::derived, name, mesh ? withSharding(type, getSharding(type.getRank(), {})) : type,
          initializer);
}

VariableOp GraphBuilder::declare(Role role, StringRef name, RankedTensorType type,
                                 Attribute initializer) {
  OpBuilder::InsertionGuard guard(builder);
  if (lastVariable)
    builder.setInsertionPointAfter(lastVariable);
  else
    builder.setInsertionPointToStart(module->getBody());
  const std::string fullName = qualified(name);
  Location loc = NameLoc::get(builder.getStringAttr(fullName));
  auto variable = VariableOp::create(builder, loc, builder.getStringAttr(fullName),
                                     RoleAttr::get(builder.getContext(), role), TypeAttr::get(type),
                                     /*global_type=*/TypeAttr(), initializer, /*placement=*/{});
  lastVariable = variable;
  variables[fullName] = withoutSharding(type);
  return variable;
}

Value GraphBuilder::load(StringRef name) {
  const std::string fullName = qualified(name);
  Value &value = loads[fullName];
  if (!value) {
    auto variable = variables.find(fullName);
    assert(variable != variables.end() && "load of a variable that is not declared");
    value = LoadOp::create(builder, location, variable->second, fullName);
  }
  return value;
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

SmallVector<Value> GraphBuilder::beginFunction(StringRef name, ArrayRef<Argument> arguments) {
  assert(!function && "functions do not nest");
  SmallVector<Type> types;
  for (const Argument &argument : arguments)
    types.push_back(argument.type);
  builder.setInsertionPointToEnd(module->getBody());
  Location loc = NameLoc::get(builder.getStringAttr(name));
  function = func::FuncOp::create(builder, loc, name, builder.getFunctionType(types, {}));
  for (auto [i, argument] : llvm::enumerate(arguments)) {
    function.setArgAttr(i, "titan.name", builder.getStringAttr(argument.name));
    if (mesh)
      function.setArgAttr(i, kArgumentSharding,
                          getSharding(argument.type.getRank(), argument.split));
  }
  Block *entry = function.addEntryBlock();
  builder.setInsertionPointToStart(entry);
  loads.clear();
  return llvm::to_vector_of<Value>(entry->getArguments());
}

void GraphBuilder::endFunction(ValueRange results) {
  func::ReturnOp::create(builder, location, results);
  function.setFunctionType(
      builder.getFunctionType(function.getArgumentTypes(), results.getTypes()));
  function = nullptr;
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

Value GraphBuilder::einsum(StringRef equation, Value lhs, Value rhs) {
  std::string error;
  std::optional<EinsumSpec> spec = parseEinsum(equation, error);
  assert(spec && "not an equation");
  SmallVector<int64_t> shape;
  for (char letter : spec->out) {
    const size_t inLhs = spec->lhs.find(letter);
    shape.push_back(inLhs != std::string::npos
                        ? tensorType(lhs).getDimSize(inLhs)
                        : tensorType(rhs).getDimSize(spec->rhs.find(letter)));
  }
  auto type = RankedTensorType::get(shape, tensorType(lhs).getElementType());
  return EinsumOp::create(builder, location, type, equation, lhs, rhs, Value());
}

Value GraphBuilder::reshape(Value input, ArrayRef<int64_t> shape) {
  auto type = RankedTensorType::get(shape, tensorType(input).getElementType());
  return ReshapeOp::create(builder, location, type, input);
}

Value GraphBuilder::add(Value lhs, Value rhs) {
  return AddOp::create(builder, location, lhs.getType(), lhs, rhs);
}

Value GraphBuilder::mul(Value lhs, Value rhs) {
  return MulOp::create(builder, location, lhs.getType(), lhs, rhs);
}

Value GraphBuilder::map(ArrayRef<Value> inputs, MapBody body) {
  RankedTensorType type = tensorType(inputs.front());
  for (Value input : inputs)
    if (tensorType(input).getRank() > type.getRank())
      type = tensorType(input);
  auto op = MapOp::create(builder, location, type, inputs);
  Block &block = op.getBody().emplaceBlock();
  for (Value input : inputs)
    block.addArgument(tensorType(input).getElementType(), location);
  auto inside = OpBuilder::atBlockEnd(&block);
  YieldOp::create(inside, location, body(inside, location, block.getArguments()));
  return op.getResult(0);
}

Value GraphBuilder::silu(Value input) {
  return SiluOp::create(builder, location, input.getType(), input);
}

Value GraphBuilder::rmsNorm(Value input, Value weight, double epsilon) {
  Type rstd = f32(tensorType(input).getShape().drop_back());
  return RmsNormOp::create(builder, location, input.getType(), rstd, input, weight,
                           llvm::APFloat(epsilon))
      .getResult();
}

Value GraphBuilder::rope(Value input, Value cosine, Value sine) {
  return RopeOp::create(builder, location, input.getType(), input, cosine, sine, /*inverse=*/false);
}

Value GraphBuilder::attention(Value query, Value key, Value value, double scale, bool causal) {
  ArrayRef<int64_t> shape = tensorType(query).getShape();
  Type lse = f32({shape[0], shape[2], shape[1]});
  return AttentionOp::create(builder, location, query.getType(), lse, query, key, value,
                             /*query_positions=*/Value(), /*key_positions=*/Value(),
                             llvm::APFloat(scale), causal)
      .getResult();
}

Value GraphBuilder::embedding(Value tokens, Value table) {
  SmallVector<int64_t> shape(tensorType(tokens).getShape());
  shape.push_back(tensorType(table).getDimSize(1));
  auto type = RankedTensorType::get(shape, tensorType(table).getElementType());
  return EmbeddingOp::create(builder, location, type, tokens, table, /*first_row=*/Value());
}

GraphBuilder::Loss GraphBuilder::headLoss(Value input, Value weight, Value labels, bool wholeLogits,
                                          int64_t padding) {
  const IntegerAttr numClasses =
      padding ? builder.getI64IntegerAttr(tensorType(weight).getDimSize(0) - padding) : nullptr;
  auto loss = HeadLossOp::create(builder, location, f32({}), f32({}), input, weight, labels,
                                 /*first_class=*/Value(), /*class_axes=*/ArrayAttr(), wholeLogits,
                                 numClasses);
  return {loss.getLoss(), loss.getValid()};
}

} // namespace titan
