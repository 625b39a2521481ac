#include "passes/Functions.h"

using namespace mlir;

namespace titan {

func::FuncOp lookupFunction(ModuleOp module, StringRef name) {
  auto function = module.lookupSymbol<func::FuncOp>(name);
  if (!function)
    module.emitError() << "expects a function @" << name << ", found none";
  return function;
}

func::FuncOp createFunction(OpBuilder &builder, ModuleOp module, Location loc, StringRef name,
                            TypeRange inputs) {
  builder.setInsertionPointToEnd(module.getBody());
  auto function = func::FuncOp::create(builder, loc, name, builder.getFunctionType(inputs, {}));
  builder.setInsertionPointToStart(function.addEntryBlock());
  auto end = func::ReturnOp::create(builder, loc);
  builder.setInsertionPoint(end);
  return function;
}

VariableOp createVariable(ModuleOp module, Location loc, const Twine &name, Role role,
                          RankedTensorType type) {
  OpBuilder builder(module.getContext());
  builder.setInsertionPointToStart(module.getBody());
  for (Operation &op : llvm::reverse(module.getBody()->getOperations()))
    if (isa<VariableOp>(op)) {
      builder.setInsertionPointAfter(&op);
      break;
    }
  return VariableOp::create(builder, loc, builder.getStringAttr(name),
                            RoleAttr::get(module.getContext(), role), TypeAttr::get(type),
                            /*global_type=*/TypeAttr(), /*initializer=*/Attribute());
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

void eraseDeadOps(Block &block) {
  for (Operation *op = block.getTerminator()->getPrevNode(); op;) {
    Operation *previous = op->getPrevNode();
    if (op->use_empty() && isPure(op) && op->getNumResults())
      op->erase();
    op = previous;
  }
}

} // namespace titan
