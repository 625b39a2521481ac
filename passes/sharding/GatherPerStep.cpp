#include "dialects/titan/Sharding.h"
#include "passes/Functions.h"
#include "passes/Passes.h"
#include "passes/sharding/OpMotion.h"

#include "mlir/IR/IRMapping.h"

#include <map>

using namespace mlir;

namespace titan {

#define GEN_PASS_DEF_GATHERPERSTEP
#include "passes/Passes.h.inc"

namespace {

struct GatherPerStep : impl::GatherPerStepBase<GatherPerStep> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    ranks.clear();
    for (StringRef name : {StringRef(names::kForward), StringRef(names::kBackward)})
      for (func::FuncOp function : getFamily(module, name)) {
        for (auto reshard : llvm::make_early_inc_range(function.getOps<ReshardOp>()))
          if (LoadOp load = getStored(reshard.getInput());
              load && reshard.getPlacement() == GatherPlacement::per_step)
            replace(module, reshard, load.getVariableAttr().getAttr(), getPipelineRank(function));
        eraseDeadOps(function.getBody().front());
      }
  }

private:
  /// What one pipeline rank gathers: the variables that take a parameter's place, by the layout and
  /// type that are asked for, and the function that fills them.
  struct Rank {
    llvm::DenseMap<std::pair<StringAttr, Type>, StringAttr> gathered;
    func::FuncOp unshard;
  };

  /// What computes the value from the parameter's slice, once more.
  static Value cloneFromParameter(OpBuilder &builder, Value value) {
    auto result = cast<OpResult>(value);
    IRMapping mapping;
    for (Value operand : result.getOwner()->getOperands())
      mapping.map(operand, cloneFromParameter(builder, operand));
    return builder.clone(*result.getOwner(), mapping)->getResult(result.getResultNumber());
  }

  void replace(ModuleOp module, ReshardOp reshard, StringAttr parameter,
               std::optional<int64_t> rankNumber) {
    Rank &rank = ranks[rankNumber];
    OpBuilder builder(module.getContext());
    if (!rank.unshard)
      rank.unshard = createFunction(builder, module, module.getLoc(), names::kUnshard, rankNumber);
    StringAttr &variable = rank.gathered[{parameter, reshard.getType()}];
    if (!variable)
      variable = addVariable(module, reshard, parameter, rank.unshard);
    builder.setInsertionPoint(reshard);
    reshard.replaceAllUsesWith(
        LoadOp::create(builder, reshard.getLoc(), reshard.getType(), variable).getResult());
    reshard.erase();
  }

  /// A new variable, which `unshard` fills.
  StringAttr addVariable(ModuleOp module, ReshardOp reshard, StringAttr parameter,
                         func::FuncOp unshard) {
    Location loc = module.lookupSymbol(parameter)->getLoc();
    std::string name = (names::kGatheredPrefix + parameter.getValue()).str();
    // Another layout of the same parameter, such as of a matrix that two layers share.
    for (int64_t count = 2; module.lookupSymbol(name); ++count)
      name = (names::kGatheredPrefix + parameter.getValue() + "." + Twine(count)).str();
    createVariable(module, loc, name, Role::derived, cast<RankedTensorType>(reshard.getType()));
    OpBuilder builder(unshard.getBody().front().getTerminator());
    Value slice = cloneFromParameter(builder, reshard.getInput());
    Value whole =
        ReshardOp::create(builder, loc, reshard.getType(), slice, GatherPlacement::per_step,
                          builder.getStringAttr("kept until the step's end"));
    StoreOp::create(builder, loc, whole, name);
    return builder.getStringAttr(name);
  }

  std::map<std::optional<int64_t>, Rank> ranks;
};

} // namespace
} // namespace titan
