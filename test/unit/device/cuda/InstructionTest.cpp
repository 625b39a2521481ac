// Instructions on the GPU against the same instructions on the CPU, on random data. Results start
// as NaN: an element that is not written shows.
#include "runtime/device/cpu/CpuDevice.h"
#include "test/unit/device/Numbers.h"
#include "test/unit/device/TestArrays.h"
#include "test/unit/device/cuda/TestDevice.h"

#include <bit>

using namespace titan;
using format::View;

namespace {

enum class Content { random, integers, poison, zero };

struct Buffer {
  View view;
  Content content = Content::random;
  bool isResult = false;
  int64_t limit = 1; ///< integers are from 0 to limit - 1
  float scale = 1;
};

Buffer input(DType type, std::initializer_list<int64_t> shape, float scale = 1) {
  return {format::denseView(type, shape), Content::random, false, 1, scale};
}
Buffer result(DType type, std::initializer_list<int64_t> shape) {
  return {format::denseView(type, shape), Content::poison, true};
}
Buffer accumulated(DType type, std::initializer_list<int64_t> shape) {
  return {format::denseView(type, shape), Content::random, true};
}
Buffer indices(std::initializer_list<int64_t> shape, int64_t limit) {
  return {format::denseView(DType::i32, shape), Content::integers, false, limit};
}

/// The inner part of a dense tensor whose rows are longer.
Buffer strided(Buffer buffer, int64_t rowPadding) {
  int64_t stride = 1;
  for (int i = buffer.view.rank - 1; i >= 0; --i) {
    buffer.view.strides[i] = stride;
    stride = buffer.view.shape[i] * stride + (i == buffer.view.rank - 1 ? rowPadding : 0);
  }
  return buffer;
}

std::vector<std::byte> contentsOf(const Buffer &buffer, uint32_t seed) {
  const int64_t count = buffer.view.span(), element = byteSize(buffer.view.type);
  std::vector<std::byte> bytes(static_cast<size_t>(count * element));
  const std::vector<float> numbers = cpu::randomFloats(count, seed);
  for (int64_t i = 0; i < count; ++i) {
    uint64_t bits = 0;
    const float number = numbers[static_cast<size_t>(i)] * buffer.scale;
    if (buffer.content == Content::poison)
      bits = ~uint64_t{0};
    else if (buffer.content == Content::integers)
      bits = static_cast<uint64_t>(std::abs(number) * 1000) % static_cast<uint64_t>(buffer.limit);
    else if (buffer.content == Content::random)
      bits = buffer.view.type == DType::bf16 ? toBFloat16(number) : std::bit_cast<uint32_t>(number);
    std::memcpy(bytes.data() + i * element, &bits, static_cast<size_t>(element));
  }
  return bytes;
}

/// All buffers after the instruction.
StatusOr<std::vector<std::vector<std::byte>>> runOn(Device &device, const std::string &target,
                                                    const format::Instruction &instruction,
                                                    const std::vector<Buffer> &buffers) {
  format::Program program;
  program.target = target;
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<KernelTable> kernels, device.loadKernels(program));
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<Queue> queue,
                         device.createQueue(QueueKind::compute, 0));
  std::vector<std::unique_ptr<DeviceMemory>> memory;
  std::vector<Operand> operands;
  uint32_t seed = 1;
  for (const Buffer &buffer : buffers) {
    const std::vector<std::byte> bytes = contentsOf(buffer, seed++);
    TITAN_ASSIGN_OR_RETURN(
        memory.emplace_back(),
        device.allocate(format::Space::device, static_cast<int64_t>(bytes.size())));
    TITAN_RETURN_IF_ERROR(device.copyToDevice(memory.back()->data(), bytes));
    operands.push_back({memory.back()->data(), &buffer.view});
  }
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<Plan> plan,
                         device.prepare(instruction, operands, program, *kernels));
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<DeviceMemory> workspace,
                         device.allocate(format::Space::device, plan->workspaceBytes()));
  if (plan->workspaceBytes() > 0)
    plan->setWorkspace({workspace->data(), static_cast<size_t>(plan->workspaceBytes())});
  TITAN_RETURN_IF_ERROR(queue->submit(*plan));
  TITAN_RETURN_IF_ERROR(queue->synchronize());
  std::vector<std::vector<std::byte>> after;
  for (const auto &it : memory) {
    after.emplace_back(static_cast<size_t>(it->size()));
    TITAN_RETURN_IF_ERROR(device.copyToHost(after.back(), it->data()));
  }
  return after;
}

class InstructionTest : public testing::Test {
protected:
  void SetUp() override { open(cuda::testOptions()); }

  void open(const cuda::CudaOptions &options) {
    gpu.reset();
    auto opened = cuda::CudaDevice::open(options);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    gpu = *std::move(opened);
  }

  /// Results agree within `tolerance` of the largest; what is outside their views is as it was.
  void check(const format::Instruction &instruction, const std::vector<Buffer> &buffers,
             double tolerance) {
    auto expected = runOn(cpu, "cpu", instruction, buffers);
    auto found = runOn(*gpu, "cuda", instruction, buffers);
    ASSERT_TRUE(expected.ok()) << expected.status().message();
    ASSERT_TRUE(found.ok()) << found.status().message();
    for (size_t i = 0; i < buffers.size(); ++i) {
      if (!buffers[i].isResult && buffers[i].view.type == DType::i8)
        continue; // scratch memory
      if (!buffers[i].isResult || tolerance == 0) {
        EXPECT_EQ((*found)[i], (*expected)[i]) << "buffer " << i;
        continue;
      }
      const std::vector<float> a = test::numbersOf((*found)[i], buffers[i].view.type);
      const std::vector<float> b = test::numbersOf((*expected)[i], buffers[i].view.type);
      // Infinities must be the same, and are left out of the comparison.
      std::vector<float> values;
      std::vector<double> wanted;
      for (size_t j = 0; j < a.size(); ++j) {
        if (std::isinf(b[j])) {
          EXPECT_EQ(a[j], b[j]) << "buffer " << i << ", element " << j;
          continue;
        }
        values.push_back(a[j]);
        wanted.push_back(static_cast<double>(b[j]));
      }
      EXPECT_LT(cpu::relativeError(values, wanted), tolerance) << "buffer " << i;
    }
  }

  cpu::CpuDevice cpu{1};
  std::unique_ptr<cuda::CudaDevice> gpu;
};

constexpr double kFloat32 = 2e-6, kBFloat16 = 8e-3;

TEST_F(InstructionTest, Fill) {
  for (const DType type : {DType::f32, DType::bf16, DType::i32})
    check(format::Fill{0, 3}, {result(type, {5, 33})}, 0);
  check(format::Fill{0, 7}, {result(DType::i8, {70})}, 0);
  for (const DType type : {DType::f32, DType::bf16, DType::f64})
    check(format::Fill{0, -2}, {strided(result(type, {3, 5, 7}), 3)}, 0);
  check(format::Fill{0, 0}, {result(DType::f64, {9})}, 0);
}

TEST_F(InstructionTest, Copy) {
  check(format::Copy{0, 1}, {input(DType::f32, {7, 9}), result(DType::f32, {7, 9})}, 0);
  for (const DType type : {DType::f32, DType::bf16, DType::f64, DType::i8})
    check(format::Copy{0, 1},
          {strided(input(type, {4, 3, 5}), 2), strided(result(type, {4, 3, 5}), 4)}, 0);
}

TEST_F(InstructionTest, CheckFinite) {
  for (const Content content : {Content::random, Content::poison}) {
    Buffer last = strided(input(DType::bf16, {3, 500}), 4);
    last.content = content;
    check(format::CheckFinite{{0, 1}, 2}, {input(DType::f32, {1000}), last, result(DType::f32, {})},
          0);
  }
}

TEST_F(InstructionTest, Embedding) {
  for (const DType type : {DType::f32, DType::bf16}) {
    format::Embedding op{0, 1, 2};
    check(op, {indices({2, 9}, 11), input(type, {11, 40}), result(type, {2, 9, 40})}, 0);
    op.firstRow = 3;
    Buffer first = indices({}, 5);
    check(op, {indices({2, 9}, 11), input(type, {4, 40}), result(type, {2, 9, 40}), first}, 0);
  }
}

TEST_F(InstructionTest, EmbeddingGrad) {
  for (const DType type : {DType::f32, DType::bf16}) {
    format::EmbeddingGrad op;
    op.dout = 0, op.tokens = 1, op.dtable = 2;
    // More tokens than a block has threads; most stand there several times.
    check(op,
          {input(type, {1, 300, 300}), indices({1, 300}, 50), accumulated(DType::f32, {50, 300})},
          1e-6);
    // More than it looks at in one turn.
    check(op, {input(type, {1, 1100, 3}), indices({1, 1100}, 40), accumulated(DType::f32, {40, 3})},
          1e-6);
    op.firstRow = 3;
    check(op,
          {input(type, {2, 9, 40}), indices({2, 9}, 11), accumulated(DType::f32, {4, 40}),
           indices({}, 5)},
          1e-6);
  }
}

TEST_F(InstructionTest, Gemm) {
  for (const bool transA : {false, true})
    for (const bool transB : {false, true})
      for (const bool accumulate : {false, true}) {
        format::Gemm op;
        op.a = 0, op.b = 1, op.c = 2;
        op.transA = transA, op.transB = transB, op.accumulate = accumulate;
        op.m = 33, op.n = 20, op.k = 48;
        const auto a = transA ? std::initializer_list<int64_t>{48, 33}
                              : std::initializer_list<int64_t>{33, 48};
        const auto b = transB ? std::initializer_list<int64_t>{20, 48}
                              : std::initializer_list<int64_t>{48, 20};
        op.lda = transA ? 33 : 48, op.ldb = transB ? 48 : 20, op.ldc = 20;
        const auto into = [&](DType type) {
          return accumulate ? accumulated(type, {33, 20}) : result(type, {33, 20});
        };
        check(op, {input(DType::f32, a), input(DType::f32, b), into(DType::f32)}, kFloat32);
        check(op, {input(DType::bf16, a), input(DType::bf16, b), into(DType::f32)}, kFloat32);
        check(op, {input(DType::bf16, a), input(DType::bf16, b), into(DType::bf16)}, kBFloat16);
      }
}

TEST_F(InstructionTest, BatchedGemmOfSlices) {
  format::Gemm op;
  op.a = 0, op.b = 1, op.c = 2;
  op.transB = true;
  op.m = 5, op.n = 6, op.k = 8, op.batch = 3;
  op.lda = 12, op.ldb = 10, op.ldc = 9;
  op.strideA = 60, op.strideB = 60, op.strideC = 45;
  check(op,
        {input(DType::f32, {3, 5, 12}), input(DType::f32, {3, 6, 10}),
         accumulated(DType::f32, {3, 5, 9})},
        kFloat32);
}

struct AttentionCase {
  DType type;
  int64_t queries, keys, heads, kvHeads, dim;
  bool causal, positions;
};

void PrintTo(const AttentionCase &it, std::ostream *os) {
  *os << toString(it.type) << " " << it.queries << "x" << it.keys << " heads " << it.heads << "/"
      << it.kvHeads << " dim " << it.dim << (it.causal ? " causal" : "")
      << (it.positions ? " positions" : "");
}

class AttentionInstructionTest : public InstructionTest,
                                 public testing::WithParamInterface<AttentionCase> {
protected:
  void checkAttention(const AttentionCase &it);
};

TEST_P(AttentionInstructionTest, AgreesWithCpu) {
  checkAttention(GetParam());
  if (GetParam().type != DType::bf16 || GetParam().positions)
    return;
  // That was cuDNN, where it takes the case; now Titan's own kernels.
  cuda::CudaOptions options = cuda::testOptions();
  options.ownAttention = true;
  open(options);
  checkAttention(GetParam());
}

using DeterministicAttentionTest = AttentionInstructionTest;

TEST_P(DeterministicAttentionTest, AgreesWithCpu) {
  cuda::CudaOptions options = cuda::testOptions();
  options.deterministic = true;
  open(options);
  checkAttention(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Shapes, DeterministicAttentionTest,
                         testing::Values(AttentionCase{DType::bf16, 69, 69, 4, 2, 64, true,
                                                       false}));

void AttentionInstructionTest::checkAttention(const AttentionCase &it) {
  const double tolerance = it.type == DType::f32 ? 1e-5 : 2 * kBFloat16;
  const float scale = 1 / std::sqrt(static_cast<float>(it.dim));
  const Buffer q = input(it.type, {2, it.queries, it.heads, it.dim});
  const Buffer k = input(it.type, {2, it.keys, it.kvHeads, it.dim});
  const Buffer queryPositions = indices({2, it.queries}, it.keys);
  const Buffer keyPositions = indices({2, it.keys}, it.keys);
  const uint32_t none = format::kNone;
  format::Attention op{0, 1, 2, it.positions ? 3 : none, it.positions ? 4 : none, 5, 6};
  op.scale = scale, op.causal = it.causal;
  const Buffer out = result(it.type, {2, it.queries, it.heads, it.dim});
  const Buffer lse = result(DType::f32, {2, it.heads, it.queries});
  check(op, {q, k, k, queryPositions, keyPositions, out, lse}, tolerance);

  // The gradient's inputs are the forward's results, of the CPU.
  std::vector<Buffer> buffers = {q, k, k, queryPositions, keyPositions, out, lse};
  auto forward = runOn(cpu, "cpu", op, buffers);
  ASSERT_TRUE(forward.ok());
  format::AttentionGrad grad{0, 1, 2, op.queryPositions, op.keyPositions, 5, 6, 7, 8, 9, 10};
  grad.scale = scale, grad.causal = it.causal;
  // out and lse are random here: the gradient is a function of them as of the others. A large lse
  // keeps the weights small.
  buffers[5].content = Content::random;
  buffers[5].isResult = false;
  buffers[6] = input(DType::f32, {2, it.heads, it.queries}, 0.1f);
  buffers.push_back(input(it.type, {2, it.queries, it.heads, it.dim}));
  buffers.push_back(result(it.type, {2, it.queries, it.heads, it.dim}));
  buffers.push_back(result(it.type, {2, it.keys, it.kvHeads, it.dim}));
  buffers.push_back(result(it.type, {2, it.keys, it.kvHeads, it.dim}));
  check(grad, buffers, tolerance);
  // Once more in the program's scratch memory: rows, sums of dq, dk and dv of each head if heads
  // share them, what cuDNN and an alignment take.
  const int64_t rows = 2 * it.heads * it.queries * 4;
  const int64_t shared =
      it.heads == it.kvHeads ? 0 : 2 * (2 * it.heads * it.keys * it.dim * 2 + 256);
  grad.scratch = 11;
  buffers.push_back({format::denseView(DType::i8, {rows * (1 + it.dim) + shared + 1024}),
                     Content::poison, false});
  check(grad, buffers, tolerance);
}

TEST_F(InstructionTest, AttentionOfNaNsIsNaN) {
  // Lanes that disagree about a maximum would part before a shuffle.
  for (const DType type : {DType::f32, DType::bf16}) {
    Buffer k = input(type, {1, 40, 1, 64});
    const Buffer out = result(type, {1, 40, 1, 64});
    k.content = Content::poison;
    format::Attention op{0, 1, 2, format::kNone, format::kNone, 3, 4};
    op.scale = 1, op.causal = true;
    for (const bool own : {false, true}) {
      if (!own && cuda::onRealGpu())
        continue; // what cuDNN makes of NaNs is its own affair
      if (own) {
        cuda::CudaOptions options = cuda::testOptions();
        options.ownAttention = true;
        open(options);
      }
      const auto found = runOn(*gpu, "cuda", op,
                               {input(type, {1, 40, 1, 64}), k, input(type, {1, 40, 1, 64}), out,
                                result(DType::f32, {1, 1, 40})});
      ASSERT_TRUE(found.ok()) << found.status().message();
      for (const float value : test::numbersOf((*found)[3], type))
        EXPECT_TRUE(std::isnan(value));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionInstructionTest,
                         testing::Values(AttentionCase{DType::f32, 37, 37, 4, 2, 16, true, false},
                                         AttentionCase{DType::f32, 5, 70, 2, 2, 33, false, false},
                                         AttentionCase{DType::f32, 40, 24, 2, 1, 64, true, true},
                                         AttentionCase{DType::bf16, 37, 37, 4, 2, 64, true, true},
                                         // On tensor cores.
                                         AttentionCase{DType::bf16, 69, 69, 4, 2, 64, true, false},
                                         AttentionCase{DType::bf16, 20, 70, 2, 2, 64, false, false},
                                         AttentionCase{DType::bf16, 67, 67, 2, 1, 128, true, false},
                                         AttentionCase{DType::bf16, 66, 5, 1, 1, 128, true, false},
                                         AttentionCase{DType::bf16, 40, 40, 2, 1, 16, true, false},
                                         AttentionCase{DType::bf16, 20, 33, 1, 1, 32, false, false},
                                         AttentionCase{DType::bf16, 35, 35, 2, 1, 96, true, false},
                                         // Without them.
                                         AttentionCase{DType::bf16, 70, 70, 2, 1, 48, true, false},
                                         AttentionCase{DType::f32, 70, 66, 2, 2, 100, true, false},
                                         AttentionCase{DType::bf16, 33, 20, 2, 1, 128, true, true},
                                         AttentionCase{DType::f32, 3, 4, 1, 1, 256, true, false}));

} // namespace
