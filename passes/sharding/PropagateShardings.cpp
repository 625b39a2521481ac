#include "passes/Passes.h"
#include "passes/sharding/PropagateFunction.h"

using namespace mlir;

namespace titan {

#define GEN_PASS_DEF_PROPAGATESHARDINGS
#include "passes/Passes.h.inc"

namespace {

struct PropagateShardings : impl::PropagateShardingsBase<PropagateShardings> {
  using PropagateShardingsBase::PropagateShardingsBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    // Without a mesh there is nothing to lay out.
    if (!module.lookupSymbol<MeshOp>(kMeshName))
      return;
    const MeshShape mesh = MeshShape::get(module);
    PropagationHints hints;
    hints.placement = placement;
    for (auto function : module.getOps<func::FuncOp>())
      if (!function.isExternal() && !isSharded(function) &&
          failed(propagateShardings(function, mesh, hints)))
        return signalPassFailure();
  }
};

} // namespace
} // namespace titan
