#include "passes/Functions.h"

#include "dialects/titan/Sharding.h"

using namespace mlir;

namespace titan {

func::FuncOp lookupFunction(ModuleOp module, StringRef name) {
  auto function = module.lookupSymbol<func::FuncOp>(name);
  if (!function)
    module.emitError() << "expects a function @" << name << ", found none";
  return function;
}

std::string getMemberName(StringRef family, std::optional<int64_t> index) {
  return index ? (family + "." + Twine(*index)).str() : family.str();
}

SmallVector<func::FuncOp> getFamily(ModuleOp module, StringRef name) {
  if (auto single = module.lookupSymbol<func::FuncOp>(name))
    return {single};
  SmallVector<func::FuncOp> family;
  for (int64_t index = 0;; ++index) {
    auto member = module.lookupSymbol<func::FuncOp>(getMemberName(name, index));
    if (!member)
      return family;
    family.push_back(member);
  }
}

std::optional<int64_t> getNumPipelineRanks(ModuleOp module) {
  std::optional<int64_t> ranks;
  for (auto function : module.getOps<func::FuncOp>())
    if (std::optional<int64_t> rank = getPipelineRank(function))
      ranks = std::max(ranks.value_or(0), *rank + 1);
  return ranks;
}

llvm::StringMap<int64_t> getVariableRanks(ModuleOp module) {
  constexpr int64_t kShared = -1;
  llvm::StringMap<int64_t> ranks;
  for (auto function : module.getOps<func::FuncOp>()) {
    const int64_t rank = getPipelineRank(function).value_or(kShared);
    auto use = [&](StringRef variable) {
      auto [known, isNew] = ranks.try_emplace(variable, rank);
      if (!isNew && known->second != rank)
        known->second = kShared;
    };
    for (Operation &op : function.getOps())
      if (auto load = dyn_cast<LoadOp>(op))
        use(load.getVariable());
      else if (auto store = dyn_cast<StoreOp>(op))
        use(store.getVariable());
  }
  for (auto entry = ranks.begin(); entry != ranks.end();) {
    auto current = entry++;
    if (current->second == kShared)
      ranks.erase(current);
  }
  return ranks;
}

func::FuncOp createFunction(OpBuilder &builder, ModuleOp module, Location loc, StringRef name,
                            std::optional<int64_t> pipelineRank) {
  builder.setInsertionPointToEnd(module.getBody());
  auto function = func::FuncOp::create(builder, loc, getMemberName(name, pipelineRank),
                                       builder.getFunctionType({}, {}));
  if (pipelineRank)
    function->setAttr(kPipelineRank, builder.getI64IntegerAttr(*pipelineRank));
  builder.setInsertionPointToStart(function.addEntryBlock());
  auto end = func::ReturnOp::create(builder, loc);
  builder.setInsertionPoint(end);
  return function;
}

VariableOp createVariable(ModuleOp module, Location loc, const Twine &name, Role role,
                          RankedTensorType type, int64_t padding) {
  OpBuilder builder(module.getContext());
  builder.setInsertionPointToStart(module.getBody());
  for (Operation &op : llvm::reverse(module.getBody()->getOperations()))
    if (isa<VariableOp>(op)) {
      builder.setInsertionPointAfter(&op);
      break;
    }
  return VariableOp::create(builder, loc, builder.getStringAttr(name),
                            RoleAttr::get(module.getContext(), role), TypeAttr::get(type),
                            /*global_type=*/TypeAttr(), /*initializer=*/Attribute(),
                            /*placement=*/{}, builder.getI64IntegerAttr(padding));
}

SmallVector<VariableOp> getVariables(ModuleOp module, Role role) {
  SmallVector<VariableOp> variables;
  for (auto variable : module.getOps<VariableOp>())
    if (variable.getRole() == role)
      variables.push_back(variable);
  return variables;
}

void addToVariable(OpBuilder &builder, Location loc, StringRef variable, Value value) {
  Value old = LoadOp::create(builder, loc, value.getType(), variable);
  StoreOp::create(builder, loc, AddOp::create(builder, loc, old, value), variable);
}

ResultPlacement getPlacement(OpResult result) {
  auto buffering = dyn_cast<BufferingOpInterface>(result.getOwner());
  return buffering ? buffering.getPlacement(result.getResultNumber()) : ResultPlacement::fresh();
}

StringRef getLayerOfName(StringRef name) {
  const size_t begin = name.find("layers.");
  if (begin == StringRef::npos || (begin && name[begin - 1] != '.'))
    return {};
  const size_t digits = begin + StringRef("layers.").size();
  const size_t end = name.find_first_not_of("0123456789", digits);
  return end == digits ? StringRef() : name.slice(begin, end);
}

std::optional<StringRef> getLayerOfLocation(Location location) {
  std::optional<StringRef> layer;
  location->walk([&](Location part) {
    if (auto name = dyn_cast<NameLoc>(part))
      layer = getLayerOfName(name.getName());
    return !layer || layer->empty() ? WalkResult::advance() : WalkResult::interrupt();
  });
  return layer;
}

DictionaryAttr getLocalAttributes(ModuleOp module, Type type) {
  MLIRContext *context = module.getContext();
  if (getSharding(type) || MeshShape::get(module).getNumRanks() == 1)
    return DictionaryAttr::get(context);
  return DictionaryAttr::get(
      context, NamedAttribute(StringAttr::get(context, kPerRank), UnitAttr::get(context)));
}

void eraseDeadOps(Block &block) {
  for (Operation *op = block.getTerminator()->getPrevNode(); op;) {
    Operation *previous = op->getPrevNode();
    if (op->use_empty() && isPure(op) && op->getNumResults())
      op->erase();
    op = previous;
  }
}

} // namespace titan
