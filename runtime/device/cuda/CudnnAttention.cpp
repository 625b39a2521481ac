#include "runtime/device/cuda/CudnnAttention.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace titan::cuda {
namespace {

using Shape = DnnGraph::Shape;
using Tensor = DnnGraph::Tensor;

/// A deterministic gradient keeps all scores there.
constexpr int64_t kMaxDeterministicWorkspace = int64_t{1} << 30;

/// Heads of the kernels of all GPUs.
constexpr int64_t kMaxDim = 128;
constexpr int64_t kDimMultiple = 8;

constexpr int64_t idOf(AttentionTensor tensor) { return static_cast<int64_t>(tensor); }

/// [batch, heads, sequence, dim], as cuDNN counts, of a tensor [batch, sequence, heads, dim].
Shape stridesOf(const gpu::AttentionStrides &strides) {
  return {strides.batch, strides.head, strides.sequence, 1};
}

Shape swapped(Shape shape) {
  std::swap(shape[2], shape[3]);
  return shape;
}

/// The graphs' tensors.
class Builder {
public:
  Builder(DnnGraph &graph, const AttentionProblem &problem)
      : graph(graph), shape(problem.shape), deterministic(problem.deterministic) {}

  void forward();
  void backward();

private:
  // Shapes.
  Shape queries() const { return {shape.batch, shape.heads, shape.queries, shape.dim}; }
  Shape keys() const { return {shape.batch, shape.kvHeads, shape.keys, shape.dim}; }
  Shape scores() const { return {shape.batch, shape.heads, shape.queries, shape.keys}; }
  Shape rows() const { return {shape.batch, shape.heads, shape.queries, 1}; }

  Tensor memory(AttentionTensor tensor, const Shape &extents,
                const gpu::AttentionStrides &strides) {
    return graph.memory(idOf(tensor), kDnnBFloat16, extents, stridesOf(strides));
  }
  /// Of keys or values, with the last dimensions exchanged.
  Tensor transposedMemory(AttentionTensor tensor, const gpu::AttentionStrides &strides) {
    return graph.memory(idOf(tensor), kDnnBFloat16, swapped(keys()), swapped(stridesOf(strides)));
  }
  Tensor rowsInMemory(AttentionTensor tensor) {
    return graph.memory(idOf(tensor), kDnnFloat32, rows(), rowStrides());
  }
  Shape rowStrides() const { return {shape.heads * shape.queries, shape.queries, 1, 1}; }
  Tensor innerRows() { return graph.inner(kDnnFloat32, rows(), rowStrides()); }
  Tensor innerScores(int type = kDnnFloat32) { return graph.inner(type, scores()); }

  /// Scores that a causal mask hides become `masked`.
  Tensor mask(Tensor scores);
  /// bfloat16 scores, a row for each key.
  Tensor transposed(Tensor scores);
  /// scores^T times `right`, summed over the heads that share keys.
  void multiplyIntoKeys(Tensor scores, Tensor right, Tensor result);

  DnnGraph &graph;
  const gpu::AttentionShape &shape;
  const bool deterministic;
};

Tensor Builder::mask(Tensor scores) {
  if (!shape.causal)
    return scores;
  const Tensor rows = graph.index(2, scores, innerScores(kDnnInt32));
  const Tensor columns = graph.index(3, scores, innerScores(kDnnInt32));
  const Tensor isSeen = graph.compare(kDnnGreaterOrEqual, rows, columns, innerScores(kDnnBoolean));
  return graph.select(scores, graph.number(idOf(AttentionTensor::masked)), isSeen, innerScores());
}

void Builder::forward() {
  const Tensor q = memory(AttentionTensor::q, queries(), shape.q);
  const Tensor k = transposedMemory(AttentionTensor::k, shape.k);
  const Tensor v = memory(AttentionTensor::v, keys(), shape.v);
  const Tensor out = memory(AttentionTensor::out, queries(), shape.out);
  const Tensor lse = rowsInMemory(AttentionTensor::lse);
  const Tensor scale = graph.number(idOf(AttentionTensor::scale));

  const Tensor products = graph.matmul(q, k, innerScores());
  const Tensor scores = mask(graph.pointwise(kDnnMultiply, products, scale, innerScores()));
  const Tensor highest = graph.reduce(kDnnReduceMax, scores, innerRows());
  const Tensor below = graph.pointwise(kDnnSubtract, scores, highest, innerScores());
  const Tensor exponentials = graph.pointwise(kDnnExp, below, innerScores());
  const Tensor total = graph.reduce(kDnnReduceAdd, exponentials, innerRows());
  const Tensor logTotal = graph.pointwise(kDnnLog, total, innerRows());
  graph.pointwise(kDnnAdd, highest, logTotal, lse);
  const Tensor weights =
      graph.pointwise(kDnnDivide, exponentials, total, innerScores(kDnnBFloat16));
  graph.matmul(weights, v, out);
}

Tensor Builder::transposed(Tensor scores) {
  return graph.reshape(scores, graph.inner(kDnnBFloat16, swapped(this->scores()),
                                           swapped(DnnGraph::denseStrides(this->scores()))));
}

void Builder::multiplyIntoKeys(Tensor scores, Tensor right, Tensor result) {
  if (shape.heads == shape.kvHeads) {
    graph.matmul(scores, right, result);
    return;
  }
  const Shape ofAllHeads = {shape.batch, shape.heads, shape.keys, shape.dim};
  graph.reduce(kDnnReduceAdd, graph.matmul(scores, right, graph.inner(kDnnBFloat16, ofAllHeads)),
               result);
}

void Builder::backward() {
  const Tensor q = memory(AttentionTensor::q, queries(), shape.q);
  const Tensor k = transposedMemory(AttentionTensor::k, shape.k);
  const Tensor v = transposedMemory(AttentionTensor::v, shape.v);
  const Tensor out = memory(AttentionTensor::out, queries(), shape.out);
  const Tensor lse = rowsInMemory(AttentionTensor::lse);
  const Tensor dout = memory(AttentionTensor::dout, queries(), shape.dout);
  const Tensor dq = memory(AttentionTensor::dq, queries(), shape.dq);
  const Tensor dk = memory(AttentionTensor::dk, keys(), shape.dk);
  const Tensor dv = memory(AttentionTensor::dv, keys(), shape.dv);
  const Tensor scale = graph.number(idOf(AttentionTensor::scale));

  // What the gradient of a softmax subtracts.
  const Shape rowMajor = {shape.heads * shape.queries * shape.dim, shape.queries * shape.dim,
                          shape.heads * shape.dim, 1};
  const Tensor outputs =
      graph.pointwise(kDnnMultiply, dout, out, graph.inner(kDnnFloat32, queries(), rowMajor));
  const Tensor sums = graph.reduce(kDnnReduceAdd, outputs, innerRows());
  const Tensor rowSums =
      graph.pointwise(kDnnMultiply, sums, graph.number(idOf(AttentionTensor::one)),
                      rowsInMemory(AttentionTensor::rowSums));

  const Tensor products = graph.matmul(q, k, innerScores());
  const Tensor scores = graph.pointwise(kDnnMultiply, products, scale, innerScores());
  const Tensor logWeights = mask(graph.pointwise(kDnnSubtract, scores, lse, innerScores()));
  const Tensor weights = graph.pointwise(kDnnExp, logWeights, innerScores());
  multiplyIntoKeys(transposed(weights), dout, dv);

  const Tensor changes = graph.matmul(dout, v, innerScores());
  const Tensor centered = graph.pointwise(kDnnSubtract, changes, rowSums, innerScores());
  const Tensor weighted = graph.pointwise(kDnnMultiply, centered, weights, innerScores());
  const Tensor scoreGrads = graph.pointwise(kDnnMultiply, weighted, scale, innerScores());
  multiplyIntoKeys(transposed(scoreGrads), q, dk);

  const Tensor keyRows = graph.reshape(k, graph.inner(kDnnFloat32, keys(), stridesOf(shape.k)));
  if (deterministic) {
    graph.matmul(scoreGrads, keyRows, dq);
    return;
  }
  // Blocks of keys add to the queries' sums in any order.
  const Tensor dqSums = graph.memory(idOf(AttentionTensor::dqSums), kDnnFloat32, queries(),
                                     DnnGraph::denseStrides(queries()));
  graph.pointwise(kDnnIdentity, graph.matmul(scoreGrads, keyRows, dqSums), dq);
}

/// Of equal problems and of no others. Structs are zeroed before they are filled.
std::string keyOf(const AttentionProblem &problem) {
  return std::string(reinterpret_cast<const char *>(&problem.shape), sizeof(problem.shape)) +
         (problem.isGradient ? 'g' : 'f') + (problem.deterministic ? 'd' : 'n') +
         std::to_string(problem.maxWorkspace);
}

} // namespace

void buildAttention(DnnGraph &graph, const AttentionProblem &problem) {
  Builder builder(graph, problem);
  if (problem.isGradient)
    builder.backward();
  else
    builder.forward();
}

Status checkAttention(const AttentionProblem &problem, size_t version, int capability) {
  const gpu::AttentionShape &shape = problem.shape;
  if (shape.dim > kMaxDim || shape.dim % kDimMultiple != 0)
    return unavailable("cuDNN takes heads of 8, 16, ... 128 elements, found " +
                       std::to_string(shape.dim));
  if (shape.queries < 2 || shape.keys < 2)
    return unavailable("cuDNN takes sequences of 2 tokens or more, found " +
                       std::to_string(std::min(shape.queries, shape.keys)));
  if (version == 91000 || version == 91001)
    return unavailable("attention of this version of cuDNN is wrong; 9.10.2 is right");
  if (!problem.isGradient)
    return okStatus();
  if (version <= 91500 && shape.keys % 128 != 0)
    return unavailable("the gradient of cuDNN before 9.15.1 takes sequences of multiples of 128 "
                       "tokens, found " +
                       std::to_string(shape.keys));
  // There it takes engines that are chosen by hand.
  if (problem.deterministic && capability / 10 == 10)
    return unavailable("the heuristics of cuDNN have no deterministic gradient on this GPU");
  return okStatus();
}

int64_t workspaceOf(const AttentionProblem &problem, AttentionTensor tensor) {
  const gpu::AttentionShape &shape = problem.shape;
  const int64_t rowBytes = shape.batch * shape.heads * shape.queries * int64_t{sizeof(float)};
  if (!problem.isGradient)
    return 0;
  if (tensor == AttentionTensor::rowSums)
    return rowBytes;
  return tensor == AttentionTensor::dqSums && !problem.deterministic ? rowBytes * shape.dim : 0;
}

//===----------------------------------------------------------------------===//
// Plans
//===----------------------------------------------------------------------===//

CudnnAttention::~CudnnAttention() {
  plans.clear();
  if (dnnHandle)
    cudnn->cudnnDestroy(dnnHandle);
}

Status CudnnAttention::open() {
  TITAN_ASSIGN_OR_RETURN(cudnn, Cudnn::open(name));
  return cudnn->check(cudnn->cudnnCreate(&dnnHandle), "cudnnCreate");
}

StatusOr<std::unique_ptr<AttentionPlan>> CudnnAttention::build(const AttentionProblem &problem) {
  TITAN_RETURN_IF_ERROR(checkAttention(problem, cudnn->version(), capability));
  std::unique_ptr<AttentionPlan> built(new AttentionPlan{problem, DnnGraph(*cudnn), {}});
  buildAttention(built->graph, problem);
  const int64_t maxWorkspace = problem.deterministic
                                   ? std::min(problem.maxWorkspace, kMaxDeterministicWorkspace)
                                   : problem.maxWorkspace;
  TITAN_ASSIGN_OR_RETURN(DnnPlan plan, built->graph.plan({dnnHandle}, maxWorkspace));
  built->plan.emplace(std::move(plan));
  return built;
}

StatusOr<const AttentionPlan *> CudnnAttention::find(const AttentionProblem &problem) {
  if (!opened)
    opened = open();
  TITAN_RETURN_IF_ERROR(*opened);
  const std::string key = keyOf(problem);
  auto found = plans.find(key);
  if (found == plans.end())
    found = plans.emplace(key, build(problem)).first;
  if (!found->second.ok())
    return unavailable("cuDNN " + cudnn->describeVersion() + ": " +
                       found->second.status().message());
  return static_cast<const AttentionPlan *>(found->second->get());
}

} // namespace titan::cuda
