// Problems whose graphs are recorded in attention-graphs.txt, and the stub of cuDNN that shows
// graphs as text.
#pragma once

#include "runtime/base/File.h"
#include "runtime/device/cuda/CudnnAttention.h"
#include "test/unit/device/cuda/TestDevice.h"

#include <sstream>

namespace titan::cuda {

struct NamedProblem {
  std::string name;
  AttentionProblem problem;
};

/// A problem on dense tensors [batch, sequence, heads, dim].
inline AttentionProblem denseProblem(bool isGradient, int64_t heads, int64_t kvHeads,
                                     int64_t queries, int64_t keys, int64_t dim, bool causal,
                                     bool deterministic = false) {
  AttentionProblem problem;
  problem.isGradient = isGradient;
  problem.deterministic = deterministic;
  gpu::AttentionShape &shape = problem.shape;
  shape.batch = 2, shape.heads = heads, shape.kvHeads = kvHeads;
  shape.queries = queries, shape.keys = keys, shape.dim = dim;
  shape.causal = causal, shape.scale = 0.125f;
  const gpu::AttentionStrides ofQueries{queries * heads * dim, heads * dim, dim};
  const gpu::AttentionStrides ofKeys{keys * kvHeads * dim, kvHeads * dim, dim};
  shape.q = shape.out = ofQueries;
  shape.k = shape.v = ofKeys;
  if (isGradient) {
    shape.dout = shape.dq = ofQueries;
    shape.dk = shape.dv = ofKeys;
  }
  return problem;
}

inline std::vector<NamedProblem> recordedProblems() {
  return {{"causal, 4 heads share 2, 64 elements", denseProblem(false, 4, 2, 128, 128, 64, true)},
          {"no mask, 128 elements", denseProblem(false, 3, 3, 64, 192, 128, false)},
          {"gradient, causal, 4 heads share 2", denseProblem(true, 4, 2, 128, 128, 64, true)},
          {"gradient, no mask, 128 elements", denseProblem(true, 3, 3, 128, 256, 128, false)},
          {"gradient, deterministic", denseProblem(true, 4, 2, 128, 128, 64, true, true)}};
}

/// The recorded text under a name: the lines below "## NAME".
inline std::string recordedGraph(const std::string &name) {
  const auto text = readFile(TITAN_ATTENTION_GRAPHS);
  EXPECT_TRUE(text.ok()) << text.status().message();
  std::istringstream lines(*text);
  std::string line, graph;
  bool isInside = false;
  while (std::getline(lines, line)) {
    if (line.starts_with("#") && !isInside)
      isInside = line == "## " + name;
    else if (line.starts_with("#"))
      break;
    else if (isInside && !line.empty())
      graph += line + "\n";
  }
  return graph;
}

/// The own functions of the stub of cuDNN.
class DnnStub : StubLibrary {
public:
  DnnStub() : StubLibrary(testOptions().cudnn) {}
  std::string graph() const { return call<const char *()>("titanStubDnnGraph")(); }
  long descriptors() const { return call<long()>("titanStubDnnDescriptors")(); }
  long executions() const { return call<long()>("titanStubDnnExecutions")(); }
};

} // namespace titan::cuda
