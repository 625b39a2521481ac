// Attention by cuDNN: its forward and backward operation graphs of flash attention
// (FlashAttention-2, https://arxiv.org/abs/2307.08691), on tensors as they lie in memory.
//
// cuDNN recognizes the very operations, in the very types, that NVIDIA's cudnn-frontend 1.23 builds
// for cuDNN 9.6 to 9.20, and a test holds Titan's graphs against that record. The frontend itself
// would need NVIDIA's headers, which Debian has not, and CUDA's run time. The log of the sums of
// exponentials that forward leaves is the natural one of Titan's own kernels, so either's forward
// goes with either's backward.
#pragma once

#include "runtime/device/Device.h"
#include "runtime/device/cuda/CudnnGraph.h"
#include "runtime/device/cuda/kernels/Parameters.h"

#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace titan::cuda {

class CudaDevice;

/// Tensors of attention, by the numbers that cuDNN knows them under.
enum class AttentionTensor : int64_t {
  q = 1,
  k,
  v,
  out,
  lse, ///< float32 [batch, heads, queries], dense
  dout,
  dq,
  dk,
  dv,
  // What is given by value.
  scale,
  masked,
  one,
  // What lies in the workspace.
  rowSums, ///< float32 [batch, heads, queries]: of out * dout
  dqSums,  ///< float32 [batch, heads, queries, dim]
};

/// Attention, or its gradient, of bfloat16. Equal problems have equal plans.
struct AttentionProblem {
  gpu::AttentionShape shape{};
  bool isGradient = false;
  /// The gradient adds in the same order every time, at the price of scores in the workspace.
  bool deterministic = false;
  /// Of the plan's own, in bytes.
  int64_t maxWorkspace = std::numeric_limits<int64_t>::max();
};

/// Why a version of cuDNN does not do it on a GPU of that compute capability (90: 9.0), of what
/// NVIDIA's cudnn-frontend 1.23 refuses; success where it may.
Status checkAttention(const AttentionProblem &problem, size_t version, int capability);

/// Describes it. Of the tensors, those that `problem` needs are used.
void buildAttention(DnnGraph &graph, const AttentionProblem &problem);

/// Bytes that one of the tensors in the workspace has; 0 for those that the problem does not need.
int64_t workspaceOf(const AttentionProblem &problem, AttentionTensor tensor);

/// A problem that cuDNN runs, for any addresses.
struct AttentionPlan {
  AttentionProblem problem;
  DnnGraph graph;
  std::optional<DnnPlan> plan;
};

/// The plans of a device, each built once.
class CudnnAttention {
public:
  /// Of the compute capability `capability` (90: 9.0); work is put into the stream that it is
  /// enqueued in. `name` as Cudnn::open takes it. The library is opened for the first problem, and
  /// a context is current then.
  CudnnAttention(std::string name, int capability)
      : name(std::move(name)), capability(capability) {}
  ~CudnnAttention();

  /// The plan, which lives as long as this does. Fails (unavailable) when the library is missing
  /// or does not do it, with the reason.
  StatusOr<const AttentionPlan *> find(const AttentionProblem &problem);

  /// After find() has succeeded once.
  const Cudnn &library() const { return *cudnn; }
  DnnHandle handle() const { return dnnHandle; }

private:
  Status open();
  StatusOr<std::unique_ptr<AttentionPlan>> build(const AttentionProblem &problem);

  const std::string name;
  const int capability;
  std::optional<Status> opened; ///< of the first attempt
  std::unique_ptr<Cudnn> cudnn;
  DnnHandle dnnHandle = nullptr;
  std::map<std::string, StatusOr<std::unique_ptr<AttentionPlan>>> plans; ///< by problem
};

/// A tensor of an instruction at its address.
struct AttentionOperand {
  AttentionTensor tensor;
  std::byte *data;
};

/// What is asked of an instruction beside its shape.
struct AttentionRequest {
  DType type;
  bool isGradient = false, hasPositions = false;
  std::vector<AttentionOperand> operands;
  std::span<std::byte> scratch; ///< what the program plans for it; empty if nothing
};

/// A plan for the instruction by cuDNN; null where Titan's own kernels are to do it. A note says
/// which, and why. A gradient takes the program's scratch memory for its workspace, and is refused
/// where that is too small; without any, and where it has to be deterministic, its workspace is the
/// device's.
std::unique_ptr<Plan> prepareDnnAttention(CudaDevice &device, const gpu::AttentionShape &shape,
                                          const AttentionRequest &request);

} // namespace titan::cuda
