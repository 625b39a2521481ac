#include "compiler/report/ModelFacts.h"

#include "dialects/titan/Sharding.h"
#include "dialects/titan/TitanDialect.h"
#include "passes/Functions.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;

namespace titan {

/// Whether a value, or what it is cast to, is only ever the table of an embedding.
static bool isOnlyLookedUp(Value value) {
  return llvm::all_of(value.getUses(), [](OpOperand &use) {
    if (auto cast = dyn_cast<CastOp>(use.getOwner()))
      return isOnlyLookedUp(cast.getResult());
    auto embedding = dyn_cast<EmbeddingOp>(use.getOwner());
    return embedding && embedding.getTable() == use.get();
  });
}

/// 12 heads head_dim keys per query: scores and weighted values are 2 products of 2 flops each in
/// the forward, and twice that in the backward.
static int64_t attentionFlopsPerToken(AttentionOp attention) {
  ArrayRef<int64_t> query = tensorType(attention.getQuery()).getShape();
  const int64_t keys = tensorType(attention.getKey()).getDimSize(1);
  return 12 * query[2] * query[3] * keys;
}

ModelFacts collectModelFacts(ModuleOp graph) {
  ModelFacts facts;
  auto loss = graph.lookupSymbol<func::FuncOp>(names::kLoss);
  if (!loss)
    return facts;
  llvm::StringSet<> multiplied;
  for (auto load : loss.getOps<LoadOp>())
    if (!isOnlyLookedUp(load))
      multiplied.insert(load.getVariable());
  for (auto attention : loss.getOps<AttentionOp>())
    facts.attentionFlops += attentionFlopsPerToken(attention);
  if (loss.getNumArguments() > 0)
    facts.tokens = tensorType(loss.getArgument(0)).getNumElements();

  for (auto variable : graph.getOps<VariableOp>()) {
    if (variable.getRole() != Role::parameter)
      continue;
    auto type = cast<RankedTensorType>(variable.getType());
    int64_t elements = type.getNumElements();
    if (variable.getPadding())
      elements -= elements / type.getDimSize(0) * static_cast<int64_t>(variable.getPadding());
    facts.parameters += elements;
    if (type.getRank() == 1)
      facts.normWeights += elements;
    else if (!multiplied.contains(variable.getSymName()))
      facts.inputEmbedding += elements;
  }
  return facts;
}

std::vector<int64_t> sumEinsumFlops(ModuleOp local) {
  std::vector<int64_t> flops(getNumPipelineRanks(local).value_or(1));
  for (StringRef name : {names::kForward, names::kBackward, names::kBackwardWeight})
    for (func::FuncOp function : getFamily(local, name))
      for (auto einsum : function.getOps<EinsumOp>())
        flops[getPipelineRank(function).value_or(0)] += einsum.getFlops();
  return flops;
}

} // namespace titan
