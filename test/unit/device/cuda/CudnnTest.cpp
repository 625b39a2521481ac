#include "test/unit/device/cuda/AttentionGraphs.h"

#include "runtime/device/cuda/CudaMemory.h"

#include <cmath>
#include <gmock/gmock.h>

using testing::HasSubstr;

namespace titan::cuda {
namespace {

class CudnnTest : public StubTest {
protected:
  CudnnTest() {
    options.note = [this](const std::string &text) { notes.push_back(text); };
  }

  void open() {
    memories.clear();
    device.reset();
    auto opened = CudaDevice::open(options);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    device = *std::move(opened);
  }

  /// Prepares attention, or its gradient, on memory of its own that all tensors share, with so many
  /// bytes of scratch memory, `shift` bytes from an aligned address.
  std::unique_ptr<Plan> prepare(DType type, bool isGradient = false, int64_t dim = 64,
                                int64_t scratchBytes = 0, int64_t shift = 0) {
    const format::View view = format::denseView(type, {1, 16, 2, dim});
    const format::View lse = format::denseView(DType::f32, {1, 2, 16});
    auto memory = device->allocate(format::Space::device, 4 * view.numElements());
    EXPECT_TRUE(memory.ok());
    const format::View scratch = format::denseView(DType::i8, {scratchBytes});
    auto scratchMemory = device->allocate(format::Space::device, scratchBytes + shift);
    EXPECT_TRUE(scratchMemory.ok());
    const std::vector<Operand> operands = {{(*memory)->data(), &view},
                                           {(*memory)->data(), &lse},
                                           {(*scratchMemory)->data() + shift, &scratch}};
    memories.push_back(*std::move(memory));
    memories.push_back(*std::move(scratchMemory));
    format::Attention op{0, 0, 0, format::kNone, format::kNone, 0, 1};
    format::AttentionGrad grad{0, 0, 0, format::kNone, format::kNone, 0, 1, 0, 0, 0, 0};
    op.scale = grad.scale = 1, op.causal = grad.causal = true;
    if (scratchBytes > 0)
      grad.scratch = 2;
    format::Program program;
    program.target = "cuda";
    auto kernels = device->loadKernels(program);
    EXPECT_TRUE(kernels.ok());
    auto plan =
        device->prepare(isGradient ? format::Instruction(grad) : op, operands, program, **kernels);
    EXPECT_TRUE(plan.ok()) << plan.status().message();
    return *std::move(plan);
  }

  CudaOptions options = testOptions();
  std::vector<std::string> notes;
  std::unique_ptr<CudaDevice> device;
  std::vector<std::unique_ptr<DeviceMemory>> memories; ///< ends before the device
};

TEST_F(CudnnTest, GraphsAreThoseOfTheFrontend) {
  open();
  const DnnStub stub;
  for (const auto &[name, problem] : recordedProblems()) {
    const auto plan = device->dnnAttention().find(problem);
    ASSERT_TRUE(plan.ok()) << name << ": " << plan.status().message();
    EXPECT_EQ(stub.graph(), recordedGraph(name)) << name;
  }
}

TEST_F(CudnnTest, EqualProblemsShareAPlan) {
  open();
  const DnnStub stub;
  const AttentionProblem problem = denseProblem(false, 2, 2, 16, 16, 64, true);
  const auto first = device->dnnAttention().find(problem);
  ASSERT_TRUE(first.ok()) << first.status().message();
  const long descriptors = stub.descriptors();
  EXPECT_EQ(*device->dnnAttention().find(problem), *first);
  EXPECT_EQ(stub.descriptors(), descriptors);
  AttentionProblem other = problem;
  other.shape.causal = false;
  EXPECT_NE(*device->dnnAttention().find(other), *first);
  device.reset();
  EXPECT_EQ(stub.descriptors(), 0);
}

TEST_F(CudnnTest, WorkspaceHoldsTheSums) {
  const AttentionProblem forward = denseProblem(false, 2, 2, 16, 16, 64, true);
  EXPECT_EQ(workspaceOf(forward, AttentionTensor::rowSums), 0);
  const AttentionProblem gradient = denseProblem(true, 2, 2, 16, 16, 64, true);
  EXPECT_EQ(workspaceOf(gradient, AttentionTensor::rowSums), 2 * 2 * 16 * 4);
  EXPECT_EQ(workspaceOf(gradient, AttentionTensor::dqSums), 2 * 2 * 16 * 64 * 4);
  EXPECT_EQ(workspaceOf(gradient, AttentionTensor::dq), 0);
  const AttentionProblem repeatable = denseProblem(true, 2, 2, 16, 16, 64, true, true);
  EXPECT_EQ(workspaceOf(repeatable, AttentionTensor::dqSums), 0);
}

TEST_F(CudnnTest, Refusals) {
  const auto refusal = [](const AttentionProblem &problem, size_t version = 91900,
                          int capability = 90) {
    const Status status = checkAttention(problem, version, capability);
    return status.ok() ? std::string() : status.message();
  };
  EXPECT_EQ(refusal(denseProblem(false, 2, 2, 16, 16, 8, true)), "");
  EXPECT_EQ(refusal(denseProblem(true, 2, 2, 37, 37, 128, true)), "");
  EXPECT_EQ(refusal(denseProblem(false, 2, 2, 16, 16, 60, true)),
            "cuDNN takes heads of 8, 16, ... 128 elements, found 60");
  EXPECT_EQ(refusal(denseProblem(false, 2, 2, 16, 16, 136, true)),
            "cuDNN takes heads of 8, 16, ... 128 elements, found 136");
  EXPECT_EQ(refusal(denseProblem(false, 2, 2, 16, 1, 64, true)),
            "cuDNN takes sequences of 2 tokens or more, found 1");
  EXPECT_EQ(refusal(denseProblem(false, 2, 2, 16, 16, 64, true), 91001),
            "attention of this version of cuDNN is wrong; 9.10.2 is right");
  EXPECT_EQ(refusal(denseProblem(false, 2, 2, 37, 37, 64, true), 91500), "");
  EXPECT_EQ(refusal(denseProblem(true, 2, 2, 256, 256, 64, true), 91500), "");
  EXPECT_EQ(refusal(denseProblem(true, 2, 2, 37, 37, 64, true), 91500),
            "the gradient of cuDNN before 9.15.1 takes sequences of multiples of 128 tokens, found "
            "37");
  EXPECT_EQ(refusal(denseProblem(true, 2, 2, 16, 16, 64, true), 91900, 103), "");
  EXPECT_EQ(refusal(denseProblem(true, 2, 2, 16, 16, 64, true, true), 91900, 103),
            "the heuristics of cuDNN have no deterministic gradient on this GPU");
}

TEST_F(CudnnTest, NotesSayWhichKernels) {
  open();
  prepare(DType::bf16);
  prepare(DType::bf16);
  prepare(DType::f32);
  prepare(DType::bf16, false, 60);
  EXPECT_THAT(notes, testing::ElementsAre(
                         "attention: cuDNN 9.19.0",
                         "attention: Titan's own kernels, since cuDNN takes bf16, found f32",
                         "attention: Titan's own kernels, since cuDNN takes rows that are aligned "
                         "to 16 bytes"));
  notes.clear();
  options.ownAttention = true;
  open();
  prepare(DType::bf16);
  EXPECT_THAT(notes,
              testing::ElementsAre("attention: Titan's own kernels, since cuDNN is not wanted"));
}

TEST_F(CudnnTest, MissingLibrary) {
  options.cudnn = "/nowhere/libcudnn.so.9";
  open();
  prepare(DType::bf16);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_THAT(notes[0], HasSubstr("attention: Titan's own kernels, since cuDNN 9.6 or newer is "
                                  "missing: tried cannot load library '/nowhere/libcudnn.so.9'"));
  EXPECT_THAT(notes[0], HasSubstr("as pip's nvidia-cudnn-cu12 or -cu13"));
}

TEST_F(CudnnTest, OldLibrary) {
  setenv("TITAN_STUB_CUDNN", "90501", 1);
  open();
  prepare(DType::bf16);
  unsetenv("TITAN_STUB_CUDNN");
  EXPECT_THAT(notes, testing::ElementsAre(
                         "attention: Titan's own kernels, since cuDNN is of version 9.5.1; needed "
                         "is 9.6.0 or newer"));
}

TEST_F(CudnnTest, RunsAPlanThatCanBeBuilt) {
  // The first of the stub's engines cannot.
  open();
  const DnnStub stub;
  const auto plan = prepare(DType::bf16, true);
  auto workspace = device->allocate(format::Space::device, plan->workspaceBytes());
  ASSERT_TRUE(workspace.ok());
  plan->setWorkspace({(*workspace)->data(), static_cast<size_t>(plan->workspaceBytes())});
  auto queue = device->createQueue(QueueKind::compute, 0);
  ASSERT_TRUE(queue.ok());
  const long executions = stub.executions();
  EXPECT_TRUE((*queue)->submit(*plan).ok());
  EXPECT_TRUE((*queue)->synchronize().ok());
  EXPECT_EQ(stub.executions(), executions + 1);
}

TEST_F(CudnnTest, GradientsTakeTheirScratchMemory) {
  // Sums of 32 rows, of 32 rows of 64 elements, what the stub's plans need, and what an alignment
  // to 256 bytes may cost.
  constexpr int64_t kNeeded = 256 + 8192 + 256 + 192;
  open();
  auto queue = device->createQueue(QueueKind::compute, 0);
  ASSERT_TRUE(queue.ok());
  for (const int64_t shift : {0, 64, 192}) {
    const auto plan = prepare(DType::bf16, true, 64, kNeeded, shift);
    EXPECT_EQ(plan->workspaceBytes(), 0);
    EXPECT_TRUE((*queue)->submit(*plan).ok());
    EXPECT_TRUE((*queue)->synchronize().ok());
  }
  EXPECT_EQ(prepare(DType::bf16, true, 64, kNeeded - 1)->workspaceBytes(), 0);
  EXPECT_EQ(prepare(DType::bf16, true, 64, 1000)->workspaceBytes(), 0);
  // Titan's own sums of rows: 128 bytes.
  EXPECT_EQ(prepare(DType::bf16, true, 64, 128)->workspaceBytes(), 0);
  EXPECT_EQ(prepare(DType::f32, true, 64, 127)->workspaceBytes(), 128);
  const std::string own = "gradient of attention: Titan's own kernels, since ";
  EXPECT_THAT(
      notes, testing::ElementsAre(
                 "gradient of attention: cuDNN 9.19.0",
                 own + "cuDNN 9.19.0: cudnnBackendFinalize: a status of the stub (3000): an engine "
                       "that cannot be built",
                 own + "the program plans 1000 bytes of scratch memory for it, fewer than cuDNN's "
                       "sums take",
                 own + "the program plans 128 bytes of scratch memory for it, fewer than cuDNN's "
                       "sums take",
                 own + "cuDNN takes bf16, found f32"));
  // What a deterministic one needs is not planned: it depends on the run.
  options.deterministic = true;
  open();
  EXPECT_GT(prepare(DType::bf16, true, 64, kNeeded)->workspaceBytes(), 0);
}

TEST_F(CudnnTest, LargeWorkspacesOfDeterministicGradientsAreRefused) {
  open();
  setenv("TITAN_STUB_CUDNN_WORKSPACE", "1073741825", 1);
  const auto large = device->dnnAttention().find(denseProblem(true, 2, 2, 16, 16, 64, true, true));
  const auto other = device->dnnAttention().find(denseProblem(true, 2, 2, 16, 16, 64, true));
  unsetenv("TITAN_STUB_CUDNN_WORKSPACE");
  EXPECT_TRUE(other.ok()) << other.status().message();
  ASSERT_FALSE(large.ok());
  EXPECT_EQ(large.status().message(), "cuDNN 9.19.0: cudnnBackendFinalize: a status of the stub "
                                      "(3000): an engine that cannot be built");
}

TEST_F(CudnnTest, GraphsThatDoNotFitAreRefused) {
  open();
  AttentionProblem problem = denseProblem(false, 2, 2, 16, 16, 64, true);
  problem.shape.q.head = 0;
  const auto plan = device->dnnAttention().find(problem);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.status().message(),
            "cuDNN 9.19.0: cudnnBackendFinalize: a status of the stub (2000): a descriptor that is "
            "not whole");
  // A refusal is kept as a plan is.
  EXPECT_EQ(device->dnnAttention().find(problem).status().message(), plan.status().message());
}

} // namespace
} // namespace titan::cuda
