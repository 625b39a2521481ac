#include "compiler/PhaseVerifiers.h"

#include "dialects/exec/Exec.h"
#include "dialects/titan/Sharding.h"
#include "passes/Functions.h"
#include "passes/memory/CheckTimelines.h"
#include "passes/sharding/CheckCollectiveOrder.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Verifier.h"

using namespace mlir;

namespace titan {
namespace {

/// Calls `check` for every op of a function but loads, stores and the return.
LogicalResult checkComputeOps(ModuleOp module, function_ref<LogicalResult(Operation *)> check) {
  bool valid = true;
  for (auto function : module.getOps<func::FuncOp>())
    for (Operation &op : function.getOps())
      if (!isa<LoadOp, StoreOp, func::ReturnOp>(op))
        valid &= succeeded(check(&op));
  return success(valid);
}

/// An error at the op that names what it lacks.
LogicalResult lacks(Operation *op, StringRef interface, StringRef purpose) {
  return op->emitOpError() << "does not implement " << interface << ", which " << purpose
                           << " needs";
}

LogicalResult checkFunctions(ModuleOp module, ArrayRef<StringRef> present,
                             ArrayRef<StringRef> absent) {
  for (StringRef name : present)
    if (getFamily(module, name).empty())
      return module.emitError() << "expects a function @" << name << " at this phase's end";
  for (StringRef name : absent)
    for (func::FuncOp function : getFamily(module, name))
      return function->emitOpError()
             << "expects no function @" << function.getSymName() << " at this phase's end";
  return success();
}

/// In a module with a mesh: every tensor has a sharding, which divides it.
LogicalResult checkShardings(ModuleOp module) {
  if (!module.lookupSymbol<MeshOp>(kMeshName))
    return success();
  const MeshShape mesh = MeshShape::get(module);
  bool valid = true;
  auto check = [&](Type type, Location location, const Twine &what) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor)
      return;
    const std::string error = getSharding(tensor)
                                  ? checkSharding(tensor, mesh)
                                  : "has no sharding; run titan-propagate-shardings";
    if (error.empty())
      return;
    emitError(location) << what << ": " << error;
    valid = false;
  };
  for (auto variable : module.getOps<VariableOp>())
    check(variable.getType(), variable.getLoc(), "variable '" + variable.getSymName() + "'");
  for (auto function : module.getOps<func::FuncOp>()) {
    for (BlockArgument argument : function.getArguments())
      check(argument.getType(), argument.getLoc(), "argument " + Twine(argument.getArgNumber()));
    for (Operation &op : function.getOps())
      for (OpResult result : op.getResults())
        check(result.getType(), op.getLoc(),
              op.getName().getStringRef() + ", result " + Twine(result.getResultNumber()));
  }
  return success(valid);
}

/// What every op of a tensor program answers.
LogicalResult checkTensorOp(Operation *op) {
  if (!isa<TitanDialect>(op->getDialect()))
    return op->emitOpError("is not of the titan dialect");
  // These say how data is laid out and moved, not what is computed.
  if (isa<ReshardOp, ShardingConstraintOp, CollectiveOpInterface, AxisSliceOp>(op))
    return success();
  if (!isa<CostOpInterface>(op))
    return lacks(op, "CostOpInterface", "the report");
  if (!isa<ReferenceOpInterface>(op))
    return lacks(op, "ReferenceOpInterface", "the interpreter");
  if (!isa<ShardingRuleOpInterface>(op))
    return lacks(op, "ShardingRuleOpInterface", "partitioning");
  return success();
}

/// What every op answers that is to become kernels or instructions.
LogicalResult checkLowerable(Operation *op) {
  if (failed(checkTensorOp(op)))
    return failure();
  if (isa<ReshardOp, CollectiveOpInterface, AxisSliceOp>(op))
    return success();
  if (!isa<FusibleOpInterface, DecomposableOpInterface, BufferingOpInterface>(op))
    return lacks(op, "FusibleOpInterface, DecomposableOpInterface or BufferingOpInterface",
                 "titan-plan-memory");
  return success();
}

/// What every op of a per-device program answers.
LogicalResult checkLocalOp(Operation *op) {
  for (Type type : op->getResultTypes())
    if (getSharding(type))
      return op->emitOpError() << "has the global result " << type
                               << ": titan-partition-spmd has not run";
  // What ranks do together becomes instructions in titan-schedule-instructions.
  if (!isa<CollectiveOpInterface, AxisSliceOp>(op))
    return checkLowerable(op);
  return isa<CostOpInterface>(op) ? success() : lacks(op, "CostOpInterface", "the report");
}

LogicalResult checkLossFunction(ModuleOp module, StringRef name) {
  auto function = module.lookupSymbol<func::FuncOp>(name);
  if (!function)
    return success();
  Type scalar = RankedTensorType::get({}, Float32Type::get(module.getContext()));
  if (function.getNumResults() != 2 || !llvm::all_of(function.getResultTypes(), [&](Type type) {
        return isa<RankedTensorType>(type) && isSameTensor(type, scalar);
      }))
    return function.emitOpError() << "expects results (loss, valid tokens), both " << scalar
                                  << ", found " << function.getFunctionType();
  return success();
}

const StringRef kStepFunctions[] = {names::kPrologue, names::kForward, names::kBackward,
                                    names::kUpdate};

} // namespace

LogicalResult verifyGraph(ModuleOp module) {
  if (failed(verify(module)) || failed(checkFunctions(module, {names::kLoss}, kStepFunctions)) ||
      failed(checkLossFunction(module, names::kLoss)) ||
      failed(checkLossFunction(module, names::kEval)))
    return failure();
  return checkComputeOps(module, checkTensorOp);
}

LogicalResult verifySharded(ModuleOp module) {
  return failure(failed(verifyGraph(module)) || failed(checkShardings(module)));
}

LogicalResult verifyStep(ModuleOp module) {
  if (failed(verify(module)) || failed(checkFunctions(module, kStepFunctions, {names::kLoss})) ||
      failed(checkShardings(module)))
    return failure();
  return checkComputeOps(module, [](Operation *op) {
    return isa<ChunkableOpInterface>(op) ? checkTensorOp(op) : checkLowerable(op);
  });
}

LogicalResult verifyDevice(ModuleOp module) {
  if (failed(verify(module)) || failed(checkFunctions(module, kStepFunctions, {names::kLoss})))
    return failure();
  return checkComputeOps(module, [](Operation *op) {
    return isa<ChunkableOpInterface>(op) ? checkTensorOp(op) : checkLocalOp(op);
  });
}

LogicalResult verifyLocal(ModuleOp module) {
  if (failed(verify(module)) || failed(checkFunctions(module, kStepFunctions, {names::kLoss})))
    return failure();
  return checkComputeOps(module, [](Operation *op) -> LogicalResult {
    if (isa<ChunkableOpInterface>(op))
      return op->emitOpError("is not unrolled into chunks: titan-chunk-loss has not run");
    return checkLocalOp(op);
  });
}

LogicalResult verifyKernels(ModuleOp module) {
  if (failed(verify(module)))
    return failure();
  return checkComputeOps(module, [](Operation *op) -> LogicalResult {
    if (isa<KernelOp, BufferingOpInterface>(op))
      return success();
    if (isa<FusibleOpInterface, DecomposableOpInterface>(op))
      return op->emitOpError("is in no kernel: titan-form-kernels has not run");
    return lacks(op, "BufferingOpInterface", "titan-plan-memory");
  });
}

LogicalResult verifyExec(ModuleOp module) {
  if (failed(verify(module)))
    return failure();
  bool valid = true;
  for (Operation &op : *module.getBody())
    if (!isa<exec::ExecDialect>(op.getDialect())) {
      op.emitOpError("is not of the exec dialect");
      valid = false;
    }
  return success(valid && succeeded(checkCollectiveOrder(module)) &&
                 succeeded(checkTimelines(module)));
}

} // namespace titan
