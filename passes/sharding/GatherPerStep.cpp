#include "dialects/titan/Sharding.h"
#include "passes/Functions.h"
#include "passes/Passes.h"

#include <map>

using namespace mlir;

namespace titan {

#define GEN_PASS_DEF_GATHERPERSTEP
#include "passes/Passes.h.inc"

namespace {

struct GatherPerStep : impl::GatherPerStepBase<GatherPerStep> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    // By pipeline rank, which variable a parameter is gathered into, by the layout that is asked
    // for.
    std::map<std::optional<int64_t>, GatheredVariables> gathered;
    for (StringRef name : {StringRef(names::kForward), StringRef(names::kBackward)})
      for (func::FuncOp function : getFamily(module, name))
        for (auto reshard : llvm::make_early_inc_range(function.getOps<ReshardOp>()))
          replace(module, reshard, gathered[getPipelineRank(function)]);
    for (auto &[rank, variables] : gathered)
      if (!variables.empty())
        buildUnshard(module, rank, variables);
  }

private:
  using GatheredVariables = llvm::MapVector<std::pair<StringAttr, Type>, std::string>;

  void buildUnshard(ModuleOp module, std::optional<int64_t> rank,
                    const GatheredVariables &variables) {
    OpBuilder builder(module.getContext());
    createFunction(builder, module, module.getLoc(), names::kUnshard, rank);
    for (auto &[key, variable] : variables) {
      auto parameter = module.lookupSymbol<VariableOp>(key.first);
      Location loc = parameter.getLoc();
      Value slice = LoadOp::create(builder, loc, parameter.getType(), key.first.getValue());
      Value whole = ReshardOp::create(builder, loc, key.second, slice, GatherPlacement::per_step,
                                      builder.getStringAttr("kept until the step's end"));
      StoreOp::create(builder, loc, whole, variable);
    }
  }

  void replace(ModuleOp module, ReshardOp reshard, GatheredVariables &gathered) {
    auto load = reshard.getInput().getDefiningOp<LoadOp>();
    if (reshard.getPlacement() != GatherPlacement::per_step || !load)
      return;
    StringAttr name = load.getVariableAttr().getAttr();
    std::string &variable = gathered[{name, reshard.getType()}];
    if (variable.empty()) {
      variable = (names::kGatheredPrefix + name.getValue()).str();
      // Another layout of the same parameter, such as of a matrix that two layers share.
      for (int64_t count = 2; module.lookupSymbol(variable); ++count)
        variable = (names::kGatheredPrefix + name.getValue() + "." + Twine(count)).str();
      createVariable(module, load.getLoc(), variable, Role::derived,
                     cast<RankedTensorType>(reshard.getType()));
    }
    OpBuilder builder(reshard);
    reshard.replaceAllUsesWith(
        LoadOp::create(builder, reshard.getLoc(), reshard.getType(), variable).getResult());
    reshard.erase();
    if (load->use_empty())
      load.erase();
  }
};

} // namespace
} // namespace titan
