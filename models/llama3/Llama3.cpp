#include "models/llama3/Llama3.h"

#include <cmath>

using namespace mlir;

namespace titan {
namespace {

constexpr ModelFlavor kFlavors[] = {
    {"debugmodel",
     {.dim = 256,
      .numLayers = 6,
      .numHeads = 16,
      .numKvHeads = 16,
      .ffnHiddenDim = 768,
      .vocabSize = 2048}},
    {"1B",
     {.dim = 2048,
      .numLayers = 16,
      .numHeads = 32,
      .numKvHeads = 8,
      .ffnHiddenDim = 8192,
      .vocabSize = 128256,
      .tiedEmbeddings = true}},
    {"3B",
     {.dim = 3072,
      .numLayers = 28,
      .numHeads = 24,
      .numKvHeads = 8,
      .ffnHiddenDim = 8192,
      .vocabSize = 128256,
      .tiedEmbeddings = true}},
    {"8B",
     {.dim = 4096,
      .numLayers = 32,
      .numHeads = 32,
      .numKvHeads = 8,
      .ffnHiddenDim = 14336,
      .vocabSize = 128256}},
    {"70B",
     {.dim = 8192,
      .numLayers = 80,
      .numHeads = 64,
      .numKvHeads = 8,
      .ffnHiddenDim = 28672,
      .vocabSize = 128256}},
    {"405B",
     {.dim = 16384,
      .numLayers = 126,
      .numHeads = 128,
      .numKvHeads = 8,
      .ffnHiddenDim = 53248,
      .vocabSize = 128256}},
};

/// Adds the model's variables and functions to a graph.
class Llama3Builder {
public:
  Llama3Builder(GraphBuilder &graph, const GraphOptions &options)
      : graph(graph), options(options), model(options.model) {}

  void build();

private:
  void declareParameters();
  void declareLayer(int64_t layer);
  void declareMesh();
  void declareLinear(StringRef name, int64_t outDim, int64_t inDim, double std,
                     GraphBuilder::Split split);
  void declareNorm(StringRef name);
  void declareRopeTables(StringRef name, int64_t length);

  void buildFunction(StringRef name, const BatchShape &shape, StringRef ropeName);
  Value buildLayer(int64_t layer, Value x);
  Value buildAttention(Value x);
  Value buildFeedForward(Value x);
  Value linear(StringRef name, Value x);
  Value norm(StringRef name, Value x);
  Value constrainStream(Value x);
  /// Rows of the embedding and of the head: tensor-parallel ranks have equally many.
  int64_t vocabularyRows() const { return llvm::alignTo(model.vocabSize, options.mesh.tensor); }
  int64_t vocabularyPadding() const { return vocabularyRows() - model.vocabSize; }
  StringRef headName() const { return model.tiedEmbeddings ? "tok_embeddings" : "output"; }

  GraphBuilder &graph;
  const GraphOptions &options;
  const ModelConfig &model;

  // Of the function being built.
  BatchShape batch;
  Value cosine, sine;
};

//===----------------------------------------------------------------------===//
// Layouts: everything else follows from these
//===----------------------------------------------------------------------===//

/// Matrices [out, in] whose outputs, or whose inputs, the tensor-parallel ranks share.
/// (Shoeybi et al. 2019, Megatron-LM.)
constexpr StringRef kTensorAxis[] = {"tp"};
constexpr ArrayRef<StringRef> kColumns[] = {kTensorAxis, {}};
constexpr ArrayRef<StringRef> kRows[] = {{}, kTensorAxis};

/// Tokens [rows, sequence] and the residual stream [rows, sequence, dim].
constexpr StringRef kBatchAxes[] = {"dp_replicate", "dp_shard"};
constexpr ArrayRef<StringRef> kTokens[] = {kBatchAxes, {}};
constexpr ArrayRef<StringRef> kStream[] = {kBatchAxes, {}, {}};
/// With the sequence split too, between the matrices. (Korthikanti et al. 2022.)
constexpr ArrayRef<StringRef> kSequenceStream[] = {kBatchAxes, kTensorAxis, {}};

void Llama3Builder::declareMesh() {
  const MeshConfig &mesh = options.mesh;
  // Slices begin at multiples of what devices load at once, gathered as what is computed with.
  constexpr int64_t kLoadBytes = 16;
  graph.declareMesh({{"pp", mesh.pipeline},
                     {"dp_replicate", mesh.replicate},
                     {"dp_shard", mesh.shard},
                     {"cp", mesh.context},
                     {"tp", mesh.tensor}},
                    {"dp_shard", "cp"}, kLoadBytes / options.computeBytes);
  if (mesh.pipeline == 1)
    return;
  std::vector<std::string> modules = {"tok_embeddings"};
  for (int64_t layer = 0; layer < model.numLayers; ++layer)
    modules.push_back("layers." + std::to_string(layer));
  modules.insert(modules.end(), {"norm", "output"});
  graph.declareModules(modules);
}

Value Llama3Builder::constrainStream(Value x) {
  return graph.constrain(x, options.sequenceParallel ? kSequenceStream : kStream);
}

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

void Llama3Builder::declareLinear(StringRef name, int64_t outDim, int64_t inDim, double std,
                                  GraphBuilder::Split split) {
  auto scope = graph.scope(name);
  graph.declareParameter("weight", {outDim, inDim}, graph.truncatedNormal(0.0, std, -2.0, 2.0),
                         split);
}

void Llama3Builder::declareNorm(StringRef name) {
  auto scope = graph.scope(name);
  graph.declareParameter("weight", {model.dim}, graph.constant(1.0));
}

void Llama3Builder::declareLayer(int64_t layer) {
  // Projections that end in the residual stream begin smaller the deeper they stand, and so does
  // the gated half of SwiGLU, so that the stream's variance does not grow with depth.
  const double std = 0.02;
  const double deepStd = 0.02 / std::sqrt(2.0 * static_cast<double>(layer + 1));
  const int64_t kvDim = model.numKvHeads * model.headDim();
  {
    auto scope = graph.scope("attention");
    declareLinear("wq", model.dim, model.dim, std, kColumns);
    declareLinear("wk", kvDim, model.dim, std, kColumns);
    declareLinear("wv", kvDim, model.dim, std, kColumns);
    declareLinear("wo", model.dim, model.dim, deepStd, kRows);
  }
  {
    auto scope = graph.scope("feed_forward");
    declareLinear("w1", model.ffnHiddenDim, model.dim, std, kColumns);
    declareLinear("w2", model.dim, model.ffnHiddenDim, deepStd, kRows);
    declareLinear("w3", model.ffnHiddenDim, model.dim, deepStd, kColumns);
  }
  declareNorm("attention_norm");
  declareNorm("ffn_norm");
}

void Llama3Builder::declareParameters() {
  // Logits begin with variance 1; a shared matrix follows the head, not the embedding.
  const double headStd = 1.0 / std::sqrt(static_cast<double>(model.dim));
  Attribute head = graph.truncatedNormal(0.0, headStd, -3.0 * headStd, 3.0 * headStd);
  graph.declareParameter("tok_embeddings.weight", {vocabularyRows(), model.dim},
                         model.tiedEmbeddings ? head : graph.normal(0.0, 1.0), kColumns,
                         model.tiedEmbeddings && options.keepSharedMatrix, vocabularyPadding());
  for (int64_t layer = 0; layer < model.numLayers; ++layer) {
    auto scope = graph.scope("layers." + std::to_string(layer));
    declareLayer(layer);
  }
  declareNorm("norm");
  if (!model.tiedEmbeddings)
    graph.declareParameter("output.weight", {vocabularyRows(), model.dim}, head, kColumns,
                           /*keepGathered=*/false, vocabularyPadding());
}

void Llama3Builder::declareRopeTables(StringRef name, int64_t length) {
  const RopeScaling scaling = {.theta = model.ropeTheta,
                               .factor = 8.0,
                               .lowFrequency = 1.0,
                               .highFrequency = 4.0,
                               .originalLength = 8192.0};
  auto scope = graph.scope(name);
  graph.declareDerived("cosine", {length, model.headDim() / 2},
                       graph.ropeTable(RopeComponent::cosine, scaling));
  graph.declareDerived("sine", {length, model.headDim() / 2},
                       graph.ropeTable(RopeComponent::sine, scaling));
}

//===----------------------------------------------------------------------===//
// The forward pass
//===----------------------------------------------------------------------===//

Value Llama3Builder::linear(StringRef name, Value x) {
  auto scope = graph.scope(name);
  return graph.einsum("bsd,nd->bsn", x, graph.load("weight"));
}

Value Llama3Builder::norm(StringRef name, Value x) {
  auto scope = graph.scope(name);
  return graph.rmsNorm(x, graph.load("weight"), model.normEpsilon);
}

Value Llama3Builder::buildAttention(Value x) {
  auto scope = graph.scope("attention");
  const auto [rows, length] = batch;
  const int64_t headDim = model.headDim();
  Value q = graph.reshape(linear("wq", x), {rows, length, model.numHeads, headDim});
  Value k = graph.reshape(linear("wk", x), {rows, length, model.numKvHeads, headDim});
  Value v = graph.reshape(linear("wv", x), {rows, length, model.numKvHeads, headDim});
  q = graph.rope(q, cosine, sine);
  k = graph.rope(k, cosine, sine);
  const double scale = 1.0 / std::sqrt(static_cast<double>(headDim));
  Value out = graph.attention(q, k, v, scale, /*causal=*/true);
  return linear("wo", graph.reshape(out, {rows, length, model.dim}));
}

Value Llama3Builder::buildFeedForward(Value x) {
  auto scope = graph.scope("feed_forward");
  Value gate = graph.silu(linear("w1", x));
  return linear("w2", graph.mul(gate, linear("w3", x)));
}

Value Llama3Builder::buildLayer(int64_t layer, Value x) {
  auto scope = graph.scope("layers." + std::to_string(layer));
  x = constrainStream(graph.add(x, buildAttention(norm("attention_norm", x))));
  return constrainStream(graph.add(x, buildFeedForward(norm("ffn_norm", x))));
}

void Llama3Builder::buildFunction(StringRef name, const BatchShape &shape, StringRef ropeName) {
  batch = shape;
  RankedTensorType type = graph.i32({shape.rows, shape.length});
  SmallVector<Value> arguments =
      graph.beginFunction(name, {{"tokens", type, kTokens}, {"labels", type, kTokens}});
  {
    auto scope = graph.scope(ropeName);
    cosine = graph.load("cosine");
    sine = graph.load("sine");
  }
  Value x;
  {
    auto scope = graph.scope("tok_embeddings");
    x = constrainStream(graph.embedding(arguments[0], graph.load("weight")));
  }
  for (int64_t layer = 0; layer < model.numLayers; ++layer)
    x = buildLayer(layer, x);
  x = norm("norm", x);
  GraphBuilder::Loss loss;
  {
    // A shared matrix keeps its own name; the op is the head's all the same.
    Value head = graph.load(headName().str() + ".weight");
    auto scope = graph.scope("output");
    loss = graph.headLoss(x, head, arguments[1], options.wholeLogits, vocabularyPadding());
  }
  graph.endFunction({loss.sum, loss.valid});
}

void Llama3Builder::build() {
  declareMesh();
  declareParameters();
  declareRopeTables("rope", options.training.length);
  const bool ownTables =
      options.validation && options.validation->length != options.training.length;
  if (ownTables)
    declareRopeTables("rope.validation", options.validation->length);
  buildFunction("loss", options.training, "rope");
  if (options.validation)
    buildFunction("eval", *options.validation, ownTables ? "rope.validation" : "rope");
}

} // namespace

const ModelDefinition kLlama3 = {"llama3", kFlavors,
                                 [](GraphBuilder &graph, const GraphOptions &options) {
                                   Llama3Builder(graph, options).build();
                                 }};

} // namespace titan
