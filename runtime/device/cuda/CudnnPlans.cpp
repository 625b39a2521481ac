// Instructions of attention that cuDNN runs.
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/device/cuda/CudaMemory.h"
#include "runtime/device/cuda/CudnnAttention.h"

#include <algorithm>
#include <limits>
#include <span>

namespace titan::cuda {
namespace {

/// Of tensors in the workspace, in bytes; what cuDNN asks of its own.
constexpr int64_t kAlignment = 256;

int64_t aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// What lies in the workspace beside the plan's own.
constexpr AttentionTensor kScratch[] = {AttentionTensor::rowSums, AttentionTensor::dqSums};

int64_t scratchBytes(const AttentionProblem &problem) {
  int64_t bytes = 0;
  for (const AttentionTensor tensor : kScratch)
    bytes += aligned(workspaceOf(problem, tensor));
  return bytes;
}

/// The part of the program's scratch memory, which begins at a multiple of 64, that is aligned; of
/// the same size wherever it lies.
std::span<std::byte> alignedPart(std::span<std::byte> scratch) {
  constexpr size_t kLost = kAlignment - 64;
  if (scratch.size() <= kLost)
    return {};
  const auto address = static_cast<int64_t>(addressOf(scratch.data()));
  return scratch.subspan(static_cast<size_t>(aligned(address) - address), scratch.size() - kLost);
}

/// A plan at addresses.
class DnnAttentionPlan final : public CudaPlan {
public:
  /// `scratch` is the workspace, if it is not empty.
  DnnAttentionPlan(const CudnnAttention &attention, const AttentionPlan &plan,
                   std::span<const AttentionOperand> operands, std::span<std::byte> scratch)
      : attention(attention), plan(plan), scale(plan.problem.shape.scale),
        // What the library wants of a masked score changed; neither has a weight.
        masked(attention.library().version() < 91000 ? std::numeric_limits<float>::lowest()
                                                     : -std::numeric_limits<float>::infinity()) {
    for (const AttentionOperand &operand : operands)
      give(operand.tensor, operand.data);
    give(AttentionTensor::scale, &scale);
    if (plan.problem.shape.causal)
      give(AttentionTensor::masked, &masked);
    if (plan.problem.isGradient)
      give(AttentionTensor::one, &one);
    if (!scratch.empty())
      setWorkspace(scratch);
  }

  /// Never 0 before the plan is ready, which setWorkspace() makes it.
  int64_t workspaceBytes() const override {
    return pack ? 0 : std::max<int64_t>(plan.plan->workspaceBytes, 1) + scratchBytes(plan.problem);
  }

  void setWorkspace(std::span<std::byte> workspace) override {
    std::byte *next = workspace.data();
    for (const AttentionTensor tensor : kScratch)
      if (const int64_t bytes = workspaceOf(plan.problem, tensor)) {
        give(tensor, next);
        next += aligned(bytes);
      }
    pack.emplace(attention.library(), kDnnVariantPack);
    ready = pack->set(kDnnPackWorkspace, kDnnTypePointer, next)
                .set(kDnnPackPointers, kDnnTypePointer, std::span<const void *const>(pointers))
                .set(kDnnPackIds, kDnnTypeInt64, std::span<const int64_t>(ids))
                .finalize();
  }

  Status enqueue(Stream stream) override {
    const Cudnn &library = attention.library();
    TITAN_RETURN_IF_ERROR(ready);
    TITAN_RETURN_IF_ERROR(
        library.check(library.cudnnSetStream(attention.handle(), stream), "cudnnSetStream"));
    return library.check(
        library.cudnnBackendExecute(attention.handle(), plan.plan->descriptor.get(), pack->get()),
        "cudnnBackendExecute");
  }

private:
  void give(AttentionTensor tensor, const void *data) {
    ids.push_back(static_cast<int64_t>(tensor));
    pointers.push_back(data);
  }

  const CudnnAttention &attention;
  const AttentionPlan &plan;
  const float scale, masked, one = 1;
  std::vector<int64_t> ids;
  std::vector<const void *> pointers; ///< of each id
  std::optional<DnnObject> pack;
  Status ready;
};

/// In so much workspace, if that is limited.
StatusOr<const AttentionPlan *> find(CudaDevice &device, const gpu::AttentionShape &shape,
                                     const AttentionRequest &request,
                                     std::optional<int64_t> workspaceBytes) {
  if (device.settings().ownAttention)
    return unavailable("cuDNN is not wanted");
  if (request.type != DType::bf16)
    return unavailable("cuDNN takes bf16, found " + std::string(toString(request.type)));
  if (request.hasPositions)
    return unavailable("cuDNN takes no positions of tokens");
  for (const AttentionOperand &operand : request.operands)
    if (addressOf(operand.data) % 16 != 0)
      return unavailable("cuDNN takes tensors that are aligned to 16 bytes");
  for (const gpu::AttentionStrides &strides :
       {shape.q, shape.k, shape.v, shape.out, shape.dout, shape.dq, shape.dk, shape.dv})
    if (strides.batch % 8 != 0 || strides.sequence % 8 != 0 || strides.head % 8 != 0)
      return unavailable("cuDNN takes rows that are aligned to 16 bytes");
  AttentionProblem problem;
  problem.shape = shape;
  problem.isGradient = request.isGradient;
  problem.deterministic = request.isGradient && device.settings().deterministic;
  if (workspaceBytes) {
    problem.maxWorkspace = *workspaceBytes - scratchBytes(problem);
    if (problem.maxWorkspace < 0)
      return unavailable("the program plans " + std::to_string(request.scratch.size()) +
                         " bytes of scratch memory for it, fewer than cuDNN's sums take");
  }
  return device.dnnAttention().find(problem);
}

} // namespace

std::unique_ptr<Plan> prepareDnnAttention(CudaDevice &device, const gpu::AttentionShape &shape,
                                          const AttentionRequest &request) {
  std::span<std::byte> scratch;
  std::optional<int64_t> workspaceBytes;
  if (request.isGradient && !device.settings().deterministic && !request.scratch.empty()) {
    scratch = alignedPart(request.scratch);
    workspaceBytes = static_cast<int64_t>(scratch.size());
  }
  const auto found = find(device, shape, request, workspaceBytes);
  const std::string what = request.isGradient ? "gradient of attention: " : "attention: ";
  if (!found.ok()) {
    device.noteOnce(what + "Titan's own kernels, since " + found.status().message());
    return nullptr;
  }
  CudnnAttention &attention = device.dnnAttention();
  device.noteOnce(what + "cuDNN " + attention.library().describeVersion());
  return std::make_unique<DnnAttentionPlan>(attention, **found, request.operands, scratch);
}

} // namespace titan::cuda
