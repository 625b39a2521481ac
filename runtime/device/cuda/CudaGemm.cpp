#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/device/cuda/CudaMemory.h"

namespace titan::cuda {
namespace {

class GemmPlan final : public CudaPlan {
public:
  GemmPlan(std::unique_ptr<LtPlan> plan, const Operand &a, const Operand &b, const Operand &c)
      : plan(std::move(plan)), a(a.data), b(b.data), c(c.data) {}

  int64_t workspaceBytes() const override { return static_cast<int64_t>(plan->workspaceBytes()); }
  void setWorkspace(std::span<std::byte> bytes) override { workspace = bytes.data(); }
  Status enqueue(Stream stream) override { return plan->enqueue(b, a, c, workspace, stream); }

private:
  std::unique_ptr<LtPlan> plan;
  const std::byte *a, *b;
  std::byte *c, *workspace = nullptr;
};

} // namespace

StatusOr<std::unique_ptr<Plan>> prepareGemm(CudaDevice &device, const format::Gemm &op,
                                            std::span<const Operand> operands) {
  const Operand &a = operands[op.a], &b = operands[op.b], &c = operands[op.c];
  TITAN_ASSIGN_OR_RETURN(const LtProblem problem,
                         describeGemm(op, a.view->type, b.view->type, c.view->type,
                                      addressOf(a.data), addressOf(b.data), addressOf(c.data)));
  TITAN_ASSIGN_OR_RETURN(std::unique_ptr<LtPlan> plan,
                         device.gemms().plan(problem, {b.data, a.data, c.data}));
  return std::unique_ptr<Plan>(std::make_unique<GemmPlan>(std::move(plan), a, b, c));
}

} // namespace titan::cuda
