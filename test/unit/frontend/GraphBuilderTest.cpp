#include "frontend/GraphBuilder.h"

#include "mlir/IR/Verifier.h"

#include <gtest/gtest.h>

using namespace mlir;

namespace titan {
namespace {

class GraphBuilderTest : public testing::Test {
protected:
  MLIRContext context;
  GraphBuilder graph{&context};
};

TEST_F(GraphBuilderTest, InfersResultTypes) {
  graph.declareParameter("w", {24, 16}, graph.constant(1.0));
  graph.declareParameter("table", {100, 16}, graph.normal(0.0, 1.0));
  auto inputs = graph.beginFunction("f", {{"tokens", graph.i32({2, 4})}});
  Value x = graph.embedding(inputs[0], graph.load("table"));
  EXPECT_EQ(x.getType(), graph.f32({2, 4, 16}));
  Value y = graph.einsum("bsd,nd->bsn", x, graph.load("w"));
  EXPECT_EQ(y.getType(), graph.f32({2, 4, 24}));
  Value heads = graph.reshape(y, {2, 4, 6, 4});
  Value mixed = graph.attention(heads, heads, heads, 0.5, /*causal=*/true);
  EXPECT_EQ(mixed.getType(), graph.f32({2, 4, 6, 4}));
  auto loss = graph.headLoss(x, graph.load("table"), inputs[0]);
  EXPECT_EQ(loss.sum.getType(), graph.f32({}));
  graph.endFunction({loss.sum, loss.valid, mixed});

  OwningOpRef<ModuleOp> module = graph.takeModule();
  EXPECT_TRUE(succeeded(verify(*module)));
  auto function = module->lookupSymbol<func::FuncOp>("f");
  EXPECT_EQ(function.getResultTypes().size(), 3u);
  EXPECT_EQ(function.getArgAttrOfType<StringAttr>(0, "titan.name"), "tokens");
}

TEST_F(GraphBuilderTest, ScopesNameVariablesAndOps) {
  {
    auto layer = graph.scope("layers.0");
    auto linear = graph.scope("wq");
    graph.declareParameter("weight", {8, 8}, graph.constant(0.0));
  }
  graph.declareParameter("norm.weight", {8}, graph.constant(1.0));
  auto inputs = graph.beginFunction("f", {{"x", graph.f32({2, 8})}});
  Value y;
  {
    auto layer = graph.scope("layers.0");
    auto linear = graph.scope("wq");
    y = graph.einsum("bk,nk->bn", inputs[0], graph.load("weight"));
  }
  Value z = graph.rmsNorm(y, graph.load("norm.weight"), 1e-5);
  graph.endFunction(z);

  EXPECT_EQ(cast<NameLoc>(y.getLoc()).getName(), "layers.0.wq");
  EXPECT_TRUE(isa<UnknownLoc>(z.getLoc()));
  OwningOpRef<ModuleOp> module = graph.takeModule();
  EXPECT_TRUE(succeeded(verify(*module)));
  EXPECT_TRUE(module->lookupSymbol<VariableOp>("layers.0.wq.weight"));
}

TEST_F(GraphBuilderTest, AFunctionLoadsAVariableOnce) {
  graph.declareDerived("table", {4, 2}, graph.ropeTable(RopeComponent::cosine, {.theta = 10000.0}));
  for (StringRef name : {"f", "g"}) {
    graph.beginFunction(name, {});
    Value first = graph.load("table"), second = graph.load("table");
    EXPECT_EQ(first, second);
    graph.endFunction(first);
  }
  OwningOpRef<ModuleOp> module = graph.takeModule();
  EXPECT_TRUE(succeeded(verify(*module)));
  for (auto function : module->getOps<func::FuncOp>())
    EXPECT_EQ(llvm::range_size(function.getOps<LoadOp>()), 1u);
}

TEST_F(GraphBuilderTest, VariablesStandBeforeFunctions) {
  graph.declareParameter("a", {1}, graph.constant(0.0));
  graph.beginFunction("f", {});
  graph.endFunction(graph.load("a"));
  graph.declareParameter("b", {1}, graph.constant(0.0));
  OwningOpRef<ModuleOp> module = graph.takeModule();
  auto op = module->getBody()->begin();
  EXPECT_EQ(cast<VariableOp>(*op++).getSymName(), "a");
  EXPECT_EQ(cast<VariableOp>(*op++).getSymName(), "b");
  EXPECT_TRUE(isa<func::FuncOp>(*op));
}

} // namespace
} // namespace titan
