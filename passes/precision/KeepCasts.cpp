#include "passes/Functions.h"
#include "passes/Passes.h"
#include "passes/sharding/OpMotion.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/IR/OperationSupport.h"

using namespace mlir;

namespace titan {

#define GEN_PASS_DEF_KEEPCASTS
#include "passes/Passes.h.inc"

namespace {

/// The parameter's load that the op makes a narrower value of, element by element; null for others.
LoadOp getNarrowed(Operation &op, const SymbolTable &symbols) {
  if (op.getNumOperands() != 1 || op.getNumResults() != 1 || !isPointwise(&op))
    return {};
  auto load = op.getOperand(0).getDefiningOp<LoadOp>();
  auto variable = load ? symbols.lookup<VariableOp>(load.getVariable()) : VariableOp();
  const bool isNarrowed = variable && variable.getRole() == Role::parameter &&
                          tensorType(op.getResult(0)).getElementTypeBitWidth() <
                              tensorType(load).getElementTypeBitWidth();
  return isNarrowed ? load : LoadOp();
}

struct KeepCasts : impl::KeepCastsBase<KeepCasts> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    copies.clear();
    derive.clear();
    owners = getVariableRanks(module);
    SymbolTable symbols(module);
    const SmallVector<func::FuncOp> functions(module.getOps<func::FuncOp>());
    for (func::FuncOp function : functions) {
      if (function.isExternal())
        continue;
      for (Operation &op : llvm::make_early_inc_range(function.getOps()))
        if (LoadOp load = getNarrowed(op, symbols))
          replace(op, symbols.lookup<VariableOp>(load.getVariable()));
      eraseDeadOps(function.getBody().front());
    }
    for (func::FuncOp function : functions)
      for (auto store : llvm::make_early_inc_range(function.getOps<StoreOp>()))
        storeCopies(store);
  }

private:
  /// A variable that takes the place of what the op, which stands in @derive, computes.
  struct Copy {
    Operation *maker;
    VariableOp variable;
  };

  void replace(Operation &op, VariableOp parameter) {
    SmallVector<Copy> &known = copies[parameter.getSymNameAttr()];
    Copy *copy = llvm::find_if(known, [&](const Copy &it) {
      return OperationEquivalence::isEquivalentTo(
          &op, it.maker, OperationEquivalence::ignoreValueEquivalence, /*markEquivalent=*/nullptr,
          OperationEquivalence::IgnoreLocations);
    });
    if (copy == known.end()) {
      known.push_back(create(op, parameter));
      copy = &known.back();
    }
    OpBuilder builder(&op);
    op.replaceAllUsesWith(LoadOp::create(builder, op.getLoc(), op.getResult(0).getType(),
                                         copy->variable.getSymName()));
    op.erase();
  }

  Copy create(Operation &op, VariableOp parameter) {
    ModuleOp module = getOperation();
    auto type = cast<RankedTensorType>(op.getResult(0).getType());
    std::string name;
    llvm::raw_string_ostream(name) << type.getElementType() << '.' << parameter.getSymName();
    const size_t length = name.size();
    // Another function of the same parameter, or a name that is taken.
    for (int64_t count = 2; module.lookupSymbol(name); ++count) {
      name.resize(length);
      name += '.' + std::to_string(count);
    }
    VariableOp variable = createVariable(module, parameter.getLoc(), name, Role::derived, type,
                                         parameter.getPadding());
    OpBuilder builder(getDerive(parameter.getSymName()).getBody().front().getTerminator());
    Value master = LoadOp::create(builder, parameter.getLoc(), op.getOperand(0).getType(),
                                  parameter.getSymName());
    return {storeCopy({&op, variable}, builder, master), variable};
  }

  /// Stores the copy of a parameter's value; returns what makes it.
  static Operation *storeCopy(Copy copy, OpBuilder &builder, Value master) {
    IRMapping mapping;
    mapping.map(copy.maker->getOperand(0), master);
    Operation *maker = builder.clone(*copy.maker, mapping);
    maker->setLoc(copy.variable->getLoc());
    StoreOp::create(builder, maker->getLoc(), maker->getResult(0), copy.variable.getSymName());
    return maker;
  }

  void storeCopies(StoreOp store) {
    const auto known = copies.find(store.getVariableAttr().getAttr());
    if (known == copies.end())
      return;
    OpBuilder builder(store->getContext());
    builder.setInsertionPointAfter(store);
    for (const Copy &copy : known->second)
      storeCopy(copy, builder, store.getValue());
  }

  /// The function of the pipeline rank that has the parameter.
  func::FuncOp getDerive(StringRef parameter) {
    if (derive.empty()) {
      OpBuilder builder(&getContext());
      const std::optional<int64_t> numRanks = getNumPipelineRanks(getOperation());
      for (int64_t rank = 0; rank < numRanks.value_or(1); ++rank)
        derive.push_back(createFunction(builder, getOperation(), getOperation().getLoc(),
                                        names::kDerive,
                                        numRanks ? std::optional(rank) : std::nullopt));
    }
    return derive[derive.size() == 1 ? 0 : owners.lookup(parameter)];
  }

  llvm::DenseMap<StringAttr, SmallVector<Copy>> copies; ///< by parameter
  llvm::StringMap<int64_t> owners;                      ///< pipeline ranks of variables
  SmallVector<func::FuncOp> derive;                     ///< by pipeline rank
};

} // namespace
} // namespace titan
