#include "passes/Passes.h"

#include "dialects/titan/TitanDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;

namespace titan {

#define GEN_PASS_DEF_CASTPRECISION
#include "passes/Passes.h.inc"

namespace {

/// Narrows one block, op by op in its order.
class PrecisionCaster {
public:
  PrecisionCaster(Block &block, FloatType compute) : block(block), compute(compute) {}

  LogicalResult run() {
    for (Operation &op : llvm::make_early_inc_range(block))
      if (auto load = dyn_cast<LoadOp>(op))
        visitLoad(load);
      else if (failed(visit(&op)))
        return failure();
    return success();
  }

private:
  bool isWide(Type type) {
    auto element = dyn_cast<FloatType>(getElementTypeOrSelf(type));
    return element && element.getWidth() > compute.getWidth();
  }

  Type narrow(Type type) { return cast<RankedTensorType>(type).clone(compute); }

  void visitLoad(LoadOp load) {
    auto variable = symbols.lookupNearestSymbolFrom<VariableOp>(load, load.getVariableAttr());
    if (!variable || variable.getRole() != Role::parameter || !isWide(load.getType()))
      return;
    Value copy = getCast(load, narrow(load.getType()));
    load.getResult().replaceAllUsesExcept(copy, copy.getDefiningOp());
    originals[copy] = load.getType();
  }

  LogicalResult visit(Operation *op) {
    if (llvm::none_of(op->getOperands(), [&](Value v) { return originals.contains(v); }))
      return success();
    FailureOr<PrecisionRule> rule = getRule(op);
    if (failed(rule))
      return failure();
    for (OpOperand &operand : op->getOpOperands()) {
      Value value = operand.get();
      if (rule->operands[operand.getOperandNumber()]) {
        if (isWide(value.getType()))
          operand.set(getCast(value, narrow(value.getType())));
      } else if (Type original = originals.lookup(value)) {
        operand.set(getCast(value, original));
      }
    }
    for (unsigned index : rule->results.set_bits()) {
      Value result = op->getResult(index);
      if (!isWide(result.getType()))
        continue;
      originals[result] = result.getType();
      result.setType(narrow(result.getType()));
    }
    return success();
  }

  /// What leaves the function has the type that it was declared with.
  static FailureOr<PrecisionRule> getRule(Operation *op) {
    if (isa<StoreOp>(op) || op->hasTrait<OpTrait::IsTerminator>())
      return PrecisionRule::of(op, {}, {});
    if (auto precise = dyn_cast<PrecisionOpInterface>(op))
      return precise.getPrecisionRule();
    return op->emitOpError("does not implement PrecisionOpInterface, which titan-cast-precision "
                           "needs");
  }

  /// The value as another type, behind its definition; one cast serves all uses.
  Value getCast(Value value, Type type) {
    Value &known = casts[{value, type}];
    if (!known) {
      OpBuilder builder(block.getParentOp()->getContext());
      builder.setInsertionPointAfterValue(value);
      known = CastOp::create(builder, value.getLoc(), type, value);
    }
    return known;
  }

  Block &block;
  FloatType compute;
  SymbolTableCollection symbols;
  llvm::DenseMap<Value, Type> originals; ///< of the values that are narrower than they were
  llvm::DenseMap<std::pair<Value, Type>, Value> casts;
};

struct CastPrecision : impl::CastPrecisionBase<CastPrecision> {
  using CastPrecisionBase::CastPrecisionBase;

  void runOnOperation() override {
    FloatType compute;
    if (type == "bf16")
      compute = BFloat16Type::get(&getContext());
    else if (type == "f16")
      compute = Float16Type::get(&getContext());
    if (!compute) {
      getOperation().emitError() << "expects the type bf16 or f16, found " << type.getValue();
      return signalPassFailure();
    }
    for (auto function : getOperation().getOps<func::FuncOp>())
      for (Block &block : function.getBody())
        if (failed(PrecisionCaster(block, compute).run()))
          return signalPassFailure();
  }
};

} // namespace
} // namespace titan
