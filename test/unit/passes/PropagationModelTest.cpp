// The communication of a Llama layer, forward and backward, under the usual parallelisms: exactly
// these reshards and no others.
#include "test/unit/passes/PropagationTestGraph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using testing::ElementsAre;
using testing::IsEmpty;

namespace titan::sharding {
namespace {

constexpr int64_t kRows = 8, kLength = 16, kDim = 32, kHeads = 8, kKvHeads = 4, kHidden = 64,
                  kVocabulary = 128, kHeadDim = kDim / kHeads;

/// A model of which the tests choose the shardings.
class Llama {
public:
  /// `data` and `tensor` are the axes of a batch and of tensor parallelism, or "-"; `storage` is
  /// where variables have flat slices, or empty.
  Llama(const Mesh &mesh, std::string data, std::string tensor, std::string storage,
        bool sequenceParallel)
      : graph(mesh), data(std::move(data)), tensor(std::move(tensor)), storage(std::move(storage)),
        stream(this->data + (sequenceParallel ? " " + this->tensor : " -") + " -") {}

  std::string columnStored(const char *rank2) const {
    return std::string(rank2) + (storage.empty() ? "" : " | flat " + storage);
  }
  std::string rowSplit() const { return columnStored((tensor + " -").c_str()); }
  std::string columnSplit() const { return columnStored(("- " + tensor).c_str()); }
  std::string unsplit() const { return columnStored("-"); }

  unsigned matrix(const char *name, int64_t rows, int64_t columns, const std::string &sharding) {
    return graph.input(name, {rows, columns}, sharding);
  }
  unsigned normWeight(const char *name) { return graph.input(name, {kDim}, unsplit()); }

  unsigned embed() {
    const unsigned tokens = graph.input("tokens", {kRows, kLength}, data + " -");
    const unsigned table = matrix("table", kVocabulary, kDim, rowSplit());
    return graph.fix(stream).embedding(tokens, table);
  }

  unsigned attend(unsigned x) {
    const unsigned norm = normWeight("norm1");
    const unsigned y = graph.called("attention_norm").rmsNorm(x, norm);
    auto project = [&](const char *name, const char *weight, int64_t heads) {
      const unsigned w = matrix(weight, heads * kHeadDim, kDim, rowSplit());
      const unsigned flat = graph.called(name).einsum("bsd,nd->bsn", y, w);
      return graph.called(std::string(name) + "_heads").splitLast(flat, heads);
    };
    const unsigned q = project("q", "wq", kHeads), k = project("k", "wk", kKvHeads);
    const unsigned v = project("v", "wv", kKvHeads);
    const unsigned out = graph.mergeLast(graph.attention(q, k, v));
    const unsigned wo = matrix("wo", kDim, kDim, columnSplit());
    const unsigned projected = graph.called("o").einsum("bsn,dn->bsd", out, wo);
    return graph.called("add1").add(x, projected);
  }

  unsigned feedForward(unsigned x) {
    const unsigned y = graph.called("ffn_norm").rmsNorm(x, normWeight("norm2"));
    const unsigned w1 = matrix("w1", kHidden, kDim, rowSplit());
    const unsigned w3 = matrix("w3", kHidden, kDim, rowSplit());
    const unsigned w2 = matrix("w2", kDim, kHidden, columnSplit());
    const unsigned gate = graph.silu(graph.called("gate").einsum("bsd,nd->bsn", y, w1));
    const unsigned hidden = graph.mul(gate, graph.called("up").einsum("bsd,nd->bsn", y, w3));
    const unsigned down = graph.called("down").einsum("bsn,dn->bsd", hidden, w2);
    return graph.called("add2").add(x, down);
  }

  unsigned lose(unsigned x) {
    const unsigned y = graph.called("last_norm").rmsNorm(x, normWeight("norm"));
    const unsigned labels = graph.input("labels", {kRows, kLength}, data + " -");
    return graph.headLoss(y, matrix("output", kVocabulary, kDim, rowSplit()), labels);
  }

  PropagationResult run() {
    PropagationResult result = propagateShardings(graph.get());
    EXPECT_EQ(findFlaw(graph.get(), result), "");
    return result;
  }
  std::vector<std::string> getReshards() { return showReshards(graph, run()); }

  TestGraph graph;
  std::string data, tensor, storage, stream;
};

Mesh getMesh() { return {{{"dp_replicate", 2}, {"dp_shard", 2}, {"cp", 1}, {"tp", 4}}}; }

TEST(PropagationModel, SequenceParallelLayer) {
  Llama model(getMesh(), "-", "tp", "", true);
  model.feedForward(model.attend(model.graph.input("x", {kRows, kLength, kDim}, "- tp -")));
  EXPECT_THAT(model.getReshards(),
              ElementsAre("attention_norm: [{}, {tp}, {}] -> [{}, {}, {}]",
                          "o: [{}, {}, {}] partial {tp} -> [{}, {tp}, {}]",
                          "ffn_norm: [{}, {tp}, {}] -> [{}, {}, {}]",
                          "down: [{}, {}, {}] partial {tp} -> [{}, {tp}, {}]"));
}

TEST(PropagationModel, TheSameReshardServesAllUses) {
  Llama model(getMesh(), "-", "tp", "", true);
  model.attend(model.graph.input("x", {kRows, kLength, kDim}, "- tp -"));
  const PropagationResult result = model.run();
  EXPECT_EQ(result.reshards[0].uses.size(), 3u);
  EXPECT_EQ(result.reshards[0].reason,
            "operand 0 of 'q' needs dimension 1 whole: 'tp' splits dimension 0 of operand 1");
  EXPECT_EQ(result.reshards[1].reason,
            "operand 1 of 'add1' is a partial sum over 'tp', which splits it here");
}

TEST(PropagationModel, TensorParallelLayerWithoutSequenceParallel) {
  Llama model(getMesh(), "-", "tp", "", false);
  model.feedForward(model.attend(model.graph.input("x", {kRows, kLength, kDim}, "- - -")));
  EXPECT_THAT(model.getReshards(), ElementsAre("o: [{}, {}, {}] partial {tp} -> [{}, {}, {}]",
                                               "down: [{}, {}, {}] partial {tp} -> [{}, {}, {}]"));
}

TEST(PropagationModel, EmbeddingAndHeadSplitByVocabulary) {
  Llama model(getMesh(), "-", "tp", "", true);
  const unsigned loss = model.lose(model.feedForward(model.embed()));
  const PropagationResult result = model.run();
  EXPECT_THAT(showReshards(model.graph, result),
              ElementsAre("embedding: [{}, {}, {}] partial {tp} -> [{}, {tp}, {}]",
                          "ffn_norm: [{}, {tp}, {}] -> [{}, {}, {}]",
                          "down: [{}, {}, {}] partial {tp} -> [{}, {tp}, {}]",
                          "last_norm: [{}, {tp}, {}] -> [{}, {}, {}]"));
  EXPECT_TRUE(result.reshards[0].atDefinition);
  EXPECT_EQ(result.reshards[0].reason, "result 0 of 'embedding' is fixed as [{}, {tp}, {}]");
  // The op sums over the split classes itself.
  EXPECT_EQ(model.graph.show(result.shardings[loss]), "[]");
}

TEST(PropagationModel, HeadsAreSplitThroughReshapes) {
  Llama model(getMesh(), "dp_replicate+dp_shard", "tp", "", true);
  model.attend(model.graph.input("x", {kRows, kLength, kDim}, model.stream));
  const PropagationResult result = model.run();
  for (auto [value, sharding] : llvm::zip_equal(model.graph.get().getValues(), result.shardings))
    if (value.name == "q_heads" || value.name == "k_heads")
      EXPECT_EQ(model.graph.show(sharding), "[{dp_replicate, dp_shard}, {}, {tp}, {}]");
}

TEST(PropagationModel, DataParallelismGathersWeightsOnly) {
  Llama model(getMesh(), "dp_replicate+dp_shard", "-", "dp_shard", false);
  const unsigned loss = model.lose(model.feedForward(model.embed()));
  const PropagationResult result = model.run();
  EXPECT_THAT(
      showReshards(model.graph, result),
      ElementsAre("table: [{}, {}] flat {dp_shard} -> [{}, {}]",
                  "norm2: [{}] flat {dp_shard} -> [{}]", "w1: [{}, {}] flat {dp_shard} -> [{}, {}]",
                  "w3: [{}, {}] flat {dp_shard} -> [{}, {}]",
                  "w2: [{}, {}] flat {dp_shard} -> [{}, {}]", "norm: [{}] flat {dp_shard} -> [{}]",
                  "output: [{}, {}] flat {dp_shard} -> [{}, {}]"));
  EXPECT_EQ(result.reshards[2].reason,
            "operand 1 of 'gate' needs the tensor, not its flat slices over 'dp_shard'");
  EXPECT_EQ(model.graph.show(result.shardings[loss]), "[] partial {dp_replicate, dp_shard}");
}

TEST(PropagationModel, AllAxesTogether) {
  Llama model(getMesh(), "dp_replicate+dp_shard", "tp", "dp_shard", true);
  model.feedForward(model.graph.input("x", {kRows, kLength, kDim}, model.stream));
  const std::string batch = "[{dp_replicate, dp_shard}, ";
  EXPECT_THAT(model.getReshards(),
              ElementsAre("norm2: [{}] flat {dp_shard} -> [{}]",
                          "ffn_norm: " + batch + "{tp}, {}] -> " + batch + "{}, {}]",
                          "w1: [{tp}, {}] flat {dp_shard} -> [{tp}, {}]",
                          "w3: [{tp}, {}] flat {dp_shard} -> [{tp}, {}]",
                          "w2: [{}, {tp}] flat {dp_shard} -> [{}, {tp}]",
                          "down: " + batch + "{}, {}] partial {tp} -> " + batch + "{tp}, {}]"));
}

/// The backward of feedForward: residuals are arguments, cotangents have their primals' splits.
void differentiateFeedForward(Llama &model) {
  TestGraph &graph = model.graph;
  const std::string hidden = model.data + " - " + model.tensor;
  auto residual = [&](const char *name, int64_t width, const std::string &sharding) {
    return graph.input(name, {kRows, kLength, width}, sharding, Origin::annotation);
  };
  const unsigned x = residual("x", kDim, model.stream), y = residual("y", kDim, model.stream);
  const unsigned gate = residual("gate", kHidden, hidden), up = residual("up", kHidden, hidden);
  const unsigned dz = residual("dz", kDim, model.stream);
  const unsigned norm = model.normWeight("norm2");
  const unsigned w1 = model.matrix("w1", kHidden, kDim, model.rowSplit());
  const unsigned w3 = model.matrix("w3", kHidden, kDim, model.rowSplit());
  const unsigned w2 = model.matrix("w2", kDim, kHidden, model.columnSplit());

  const unsigned gated = graph.silu(gate);
  const unsigned product = graph.mul(gated, up);
  const unsigned dw2 = graph.called("dw2").einsum("bsd,bsn->dn", dz, product);
  const unsigned dhidden = graph.seed(hidden).einsum("bsd,dn->bsn", dz, w2);
  const unsigned dup = graph.seed(hidden).mul(dhidden, gated);
  const unsigned dgated = graph.seed(hidden).mul(dhidden, up);
  const unsigned dgate = graph.seed(hidden).siluGrad(gate, dgated);
  const unsigned dw1 = graph.called("dw1").einsum("bsn,bsd->nd", dgate, y);
  const unsigned dw3 = graph.called("dw3").einsum("bsn,bsd->nd", dup, y);
  const unsigned dy1 = graph.seed(model.stream).einsum("bsn,nd->bsd", dgate, w1);
  const unsigned dy3 = graph.seed(model.stream).einsum("bsn,nd->bsd", dup, w3);
  const unsigned dy = graph.seed(model.stream).called("dy").add(dy1, dy3);
  auto [dx, dnorm] = graph.seed(model.stream).called("norm_grad").rmsNormGrad(dy, x, norm);
  graph.returnValue("dstream", graph.seed(model.stream).add(dz, dx));
  graph.store("gradient.w1", dw1, model.rowSplit());
  graph.store("gradient.w2", dw2, model.columnSplit());
  graph.store("gradient.w3", dw3, model.rowSplit());
  graph.store("gradient.norm2", dnorm, model.unsplit());
}

TEST(PropagationModel, SequenceParallelBackward) {
  Llama model(getMesh(), "-", "tp", "", true);
  differentiateFeedForward(model);
  // A gather of the cotangent, one of the normalized stream again, and one reduce-scatter.
  EXPECT_THAT(model.getReshards(),
              ElementsAre("dz: [{}, {tp}, {}] -> [{}, {}, {}]", "y: [{}, {tp}, {}] -> [{}, {}, {}]",
                          "dy: [{}, {}, {}] partial {tp} -> [{}, {tp}, {}]",
                          "norm_grad: [{}] partial {tp} -> [{}]"));
}

TEST(PropagationModel, TensorParallelBackwardWithoutSequenceParallel) {
  Llama model(getMesh(), "-", "tp", "", false);
  differentiateFeedForward(model);
  // Two partial sums are added first; the norm's gradients are not two partial sums.
  EXPECT_THAT(model.getReshards(), ElementsAre("dy: [{}, {}, {}] partial {tp} -> [{}, {}, {}]"));
}

TEST(PropagationModel, GradientsAreScatteredToTheirStorage) {
  Llama model(getMesh(), "dp_replicate+dp_shard", "tp", "dp_shard", true);
  differentiateFeedForward(model);
  const std::string batch = "[{dp_replicate, dp_shard}, ";
  const std::string partial = " partial {dp_replicate, dp_shard} -> ";
  EXPECT_THAT(
      model.getReshards(),
      ElementsAre("dz: " + batch + "{tp}, {}] -> " + batch + "{}, {}]",
                  "w2: [{}, {tp}] flat {dp_shard} -> [{}, {tp}]",
                  "y: " + batch + "{tp}, {}] -> " + batch + "{}, {}]",
                  "w1: [{tp}, {}] flat {dp_shard} -> [{tp}, {}]",
                  "w3: [{tp}, {}] flat {dp_shard} -> [{tp}, {}]",
                  "dy: " + batch + "{}, {}] partial {tp} -> " + batch + "{tp}, {}]",
                  "norm2: [{}] flat {dp_shard} -> [{}]",
                  "dw1: [{tp}, {}]" + partial + "[{tp}, {}] flat {dp_shard}",
                  "dw2: [{}, {tp}]" + partial + "[{}, {tp}] flat {dp_shard}",
                  "dw3: [{tp}, {}]" + partial + "[{tp}, {}] flat {dp_shard}",
                  "norm_grad: [{}] partial {dp_replicate, dp_shard, tp} -> [{}] flat {dp_shard}"));
}

TEST(PropagationModel, AttentionBackwardKeepsHeadsSplit) {
  Llama model(getMesh(), "dp_replicate+dp_shard", "tp", "", true);
  TestGraph &graph = model.graph;
  const std::string heads = "dp_replicate+dp_shard - tp -";
  auto residual = [&](const char *name, const TestGraph::Shape &shape, const std::string &text) {
    return graph.input(name, shape, text, Origin::annotation);
  };
  const unsigned q = residual("q", {kRows, kLength, kHeads, kHeadDim}, heads);
  const unsigned k = residual("k", {kRows, kLength, kKvHeads, kHeadDim}, heads);
  const unsigned v = residual("v", {kRows, kLength, kKvHeads, kHeadDim}, heads);
  const unsigned y = residual("y", {kRows, kLength, kDim}, model.stream);
  const unsigned dz = residual("dz", {kRows, kLength, kDim}, model.stream);
  const unsigned wo = model.matrix("wo", kDim, kDim, model.columnSplit());
  const unsigned dout = graph.splitLast(graph.einsum("bsd,dn->bsn", dz, wo), kHeads);
  unsigned sum = 0;
  for (auto [index, gradient] : llvm::enumerate(graph.attentionGrad(q, k, v, dout))) {
    const unsigned flat = graph.mergeLast(gradient);
    const int64_t width = graph.shapeOf(flat).back();
    const unsigned w = model.matrix("w", width, kDim, model.rowSplit());
    graph.store("gradient", graph.called("dw").einsum("bsn,bsd->nd", flat, y), model.rowSplit());
    const unsigned dy = graph.seed(model.stream).einsum("bsn,nd->bsd", flat, w);
    sum = index == 0 ? dy : graph.called("sum").add(sum, dy);
  }
  graph.store("dy", sum, model.stream);
  const std::string batch = "[{dp_replicate, dp_shard}, ";
  const std::string dw = "dw: [{tp}, {}] partial {dp_replicate, dp_shard} -> [{tp}, {}]";
  EXPECT_THAT(model.getReshards(),
              ElementsAre("dz: " + batch + "{tp}, {}] -> " + batch + "{}, {}]",
                          "y: " + batch + "{tp}, {}] -> " + batch + "{}, {}]", dw, dw, dw,
                          "sum: " + batch + "{}, {}] partial {tp} -> " + batch + "{tp}, {}]"));
}

TEST(PropagationModel, HeadBackward) {
  Llama model(getMesh(), "dp_replicate+dp_shard", "tp", "", true);
  TestGraph &graph = model.graph;
  const unsigned x = graph.input("x", {kRows, kLength, kDim}, model.stream, Origin::annotation);
  const unsigned labels = graph.input("labels", {kRows, kLength}, model.data + " -");
  const unsigned output = model.matrix("output", kVocabulary, kDim, model.rowSplit());
  const unsigned one = graph.full({});
  auto [dx, dweight] = graph.called("grad").headLossGrad(x, output, labels, one);
  graph.store("dx", dx, model.stream);
  graph.store("gradient.output", dweight, model.rowSplit());
  const std::string batch = "[{dp_replicate, dp_shard}, ";
  EXPECT_THAT(model.getReshards(),
              ElementsAre("x: " + batch + "{tp}, {}] -> " + batch + "{}, {}]",
                          "grad: " + batch + "{}, {}] partial {tp} -> " + batch + "{tp}, {}]",
                          "grad: [{tp}, {}] partial {dp_replicate, dp_shard} -> [{tp}, {}]"));
}

/// The optimizer step of a matrix and a norm weight on the storage of the variables.
TEST(PropagationModel, OptimizerWorksOnStorageWithOneReduction) {
  Llama model(getMesh(), "-", "tp", "dp_shard", true);
  TestGraph &graph = model.graph;
  auto variable = [&](const char *name, bool isMatrix) {
    return isMatrix ? model.matrix(name, kHidden, kDim, model.rowSplit()) : model.normWeight(name);
  };
  llvm::SmallVector<unsigned> gradients;
  for (bool isMatrix : {true, false})
    gradients.push_back(graph.cast(variable("gradient", isMatrix)));
  const unsigned norm = graph.called("norm").sumOfSquares(gradients);
  const unsigned factor = graph.called("factor").pointwise("rsqrt", {norm}, {}, {});
  for (bool isMatrix : {true, false}) {
    const unsigned clipped = graph.mul(gradients[isMatrix ? 0 : 1], factor);
    const unsigned rate = graph.input("rate", {}, "");
    const unsigned updated =
        graph.adam(variable("parameter", isMatrix), clipped, variable("moment", isMatrix), rate);
    graph.store("parameter", updated, isMatrix ? model.rowSplit() : model.unsplit());
  }
  // The norm weight is the same on all tp ranks: each sums its slice of it.
  EXPECT_THAT(model.getReshards(),
              ElementsAre("cast: [{}] flat {dp_shard} -> [{}] flat {dp_shard, tp}",
                          "norm: [] partial {dp_shard, tp} -> []"));
}

TEST(PropagationModel, LossesAreSummedWithoutCommunication) {
  Llama model(getMesh(), "dp_replicate+dp_shard", "tp", "", true);
  TestGraph &graph = model.graph;
  const std::string partial = "| partial dp_replicate+dp_shard";
  graph.store("loss_sum", graph.full({}, /*isZero=*/true), partial);
  const unsigned x = graph.input("x", {kRows, kLength, kDim}, model.data + " - -");
  const unsigned sum = graph.input("loss_sum", {}, partial);
  graph.store("loss_sum", graph.add(sum, model.lose(x)), partial);
  EXPECT_THAT(model.getReshards(), IsEmpty());
}

TEST(PropagationModel, CastBeforeGather) {
  Llama model(getMesh(), "dp_shard", "-", "dp_shard", false);
  TestGraph &graph = model.graph;
  const unsigned w = graph.cast(model.matrix("w", kHidden, kDim, model.rowSplit()));
  const unsigned x = graph.input("x", {kRows, kLength, kDim}, "dp_shard - -");
  graph.einsum("bsd,nd->bsn", x, w);
  EXPECT_THAT(model.getReshards(), ElementsAre("cast: [{}, {}] flat {dp_shard} -> [{}, {}]"));
}

TEST(PropagationModel, GradientsAreReducedAfterTheirCast) {
  Llama model(getMesh(), "dp_shard", "-", "dp_shard", false);
  TestGraph &graph = model.graph;
  const unsigned x = graph.input("x", {kRows, kLength, kDim}, "dp_shard - -");
  const unsigned dy = graph.input("dy", {kRows, kLength, kHidden}, "dp_shard - -");
  const unsigned old = model.matrix("gradient", kHidden, kDim, model.rowSplit());
  const unsigned dw = graph.cast(graph.einsum("bsn,bsd->nd", dy, x));
  graph.store("gradient", graph.add(old, dw), model.rowSplit());
  EXPECT_THAT(model.getReshards(),
              ElementsAre("cast: [{}, {}] partial {dp_shard} -> [{}, {}] flat {dp_shard}"));
}

} // namespace
} // namespace titan::sharding
