#include "runtime/device/cpu/CpuPlans.h"

#include "runtime/device/cpu/Attention.h"
#include "runtime/device/cpu/BFloat16.h"
#include "runtime/device/cpu/Embedding.h"
#include "runtime/device/cpu/Gemm.h"
#include "runtime/device/cpu/ThreadPool.h"

namespace titan::cpu {
namespace {

float *floats(const Operand &operand) { return reinterpret_cast<float *>(operand.data); }

uint16_t *halves(const Operand &operand) { return reinterpret_cast<uint16_t *>(operand.data); }

bool isBFloat16(const Operand &operand) { return operand.view->type == DType::bf16; }

const int32_t *integers(const Operand &operand) {
  return reinterpret_cast<const int32_t *>(operand.data);
}

Status requireFloat(const char *op, std::initializer_list<const Operand *> operands) {
  for (const Operand *operand : operands)
    if (operand->view->type != DType::f32 && !isBFloat16(*operand))
      return invalidArgument(std::string(op) + " on the CPU takes f32 and bf16, found " +
                             std::string(toString(operand->view->type)));
  return okStatus();
}

/// A plan with a workspace: the one that the program planned if it is large enough, else one that
/// the loader provides.
class WorkspacePlan : public CpuPlan {
public:
  WorkspacePlan(ThreadPool &pool, int64_t needed, const Operand *planned)
      : pool(pool), needed(needed) {
    if (!planned)
      return;
    const int64_t bytes = planned->view->span() * byteSize(planned->view->type);
    if (bytes >= needed && reinterpret_cast<uintptr_t>(planned->data) % format::kAlignment == 0)
      workspace = {planned->data, static_cast<size_t>(bytes)};
  }

  int64_t workspaceBytes() const override {
    return static_cast<int64_t>(workspace.size()) >= needed ? 0 : needed;
  }
  void setWorkspace(std::span<std::byte> bytes) override { workspace = bytes; }

protected:
  ThreadPool &pool;
  int64_t needed;
  std::span<std::byte> workspace;
};

class LaunchPlan final : public CpuPlan {
public:
  LaunchPlan(ThreadPool &pool, const std::vector<LoadedStage> &stages,
             std::vector<void *> arguments)
      : pool(pool), stages(stages), arguments(std::move(arguments)) {}

  Status run() override {
    for (const LoadedStage &stage : stages)
      pool.parallelFor(stage.blocks, [&](int64_t begin, int64_t end, int) {
        stage.function(arguments.data(), begin, end);
      });
    return okStatus();
  }

private:
  ThreadPool &pool;
  const std::vector<LoadedStage> &stages;
  std::vector<void *> arguments;
};

class GemmPlan final : public WorkspacePlan {
public:
  GemmPlan(ThreadPool &pool, const GemmShape &shape, const float *a, const float *b, float *c,
           const Operand *planned)
      : WorkspacePlan(pool, gemmWorkspaceBytes(shape, pool.size()), planned), shape(shape), a(a),
        b(b), c(c) {}

  Status run() override { return gemm(pool, shape, a, b, c, workspace); }

private:
  GemmShape shape;
  const float *a;
  const float *b;
  float *c;
};

/// Matrices some of which are bfloat16.
class MixedGemmPlan final : public WorkspacePlan {
public:
  MixedGemmPlan(ThreadPool &pool, const GemmShape &shape, const MatrixData &a, const MatrixData &b,
                const MatrixData &c, const Operand *planned)
      : WorkspacePlan(pool, gemmMixedWorkspaceBytes(shape, a.type, b.type, c.type, pool.size()),
                      planned),
        shape(shape), a(a), b(b), c(c) {}

  Status run() override { return gemmMixed(pool, shape, a, b, c, workspace); }

private:
  GemmShape shape;
  MatrixData a, b, c;
};

/// The types and functions of attention on one element type.
struct FloatAttention {
  using Element = float;
  using Inputs = AttentionInputs;
  using GradInputs = AttentionGradInputs;
  static constexpr auto workspaceBytes = attentionWorkspaceBytes;
  static constexpr auto gradWorkspaceBytes = attentionGradWorkspaceBytes;
  static constexpr auto run = attention;
  static constexpr auto runGrad = attentionGrad;
};
struct BFloat16Attention {
  using Element = uint16_t;
  using Inputs = AttentionBf16Inputs;
  using GradInputs = AttentionBf16GradInputs;
  static constexpr auto workspaceBytes = attentionBf16WorkspaceBytes;
  static constexpr auto gradWorkspaceBytes = attentionBf16GradWorkspaceBytes;
  static constexpr auto run = attentionBf16;
  static constexpr auto runGrad = attentionBf16Grad;
};

template <typename Kind> class AttentionPlan final : public WorkspacePlan {
public:
  AttentionPlan(ThreadPool &pool, const AttentionShape &shape, const typename Kind::Inputs &inputs,
                typename Kind::Element *out, float *lse, const Operand *planned)
      : WorkspacePlan(pool, Kind::workspaceBytes(shape, pool.size(), bestIsa()), planned),
        shape(shape), inputs(inputs), out(out), lse(lse) {}

  Status run() override { return Kind::run(pool, shape, inputs, out, lse, workspace, bestIsa()); }

private:
  AttentionShape shape;
  typename Kind::Inputs inputs;
  typename Kind::Element *out;
  float *lse;
};

template <typename Kind> class AttentionGradPlan final : public WorkspacePlan {
public:
  using Element = typename Kind::Element;

  AttentionGradPlan(ThreadPool &pool, const AttentionGradShape &shape,
                    const typename Kind::GradInputs &inputs, Element *dq, Element *dk, Element *dv,
                    const Operand *planned)
      : WorkspacePlan(pool, Kind::gradWorkspaceBytes(shape, pool.size(), bestIsa()), planned),
        shape(shape), inputs(inputs), dq(dq), dk(dk), dv(dv) {}

  Status run() override {
    return Kind::runGrad(pool, shape, inputs, dq, dk, dv, workspace, bestIsa());
  }

private:
  AttentionGradShape shape;
  typename Kind::GradInputs inputs;
  Element *dq;
  Element *dk;
  Element *dv;
};

template <typename T> class EmbeddingPlan final : public CpuPlan {
public:
  EmbeddingPlan(ThreadPool &pool, const EmbeddingShape &shape, const int32_t *tokens,
                const T *table, T *out, const int32_t *firstRow)
      : pool(pool), shape(shape), tokens(tokens), table(table), out(out), firstRow(firstRow) {}

  Status run() override { return embedding(pool, shape, tokens, table, out, firstRow); }

private:
  ThreadPool &pool;
  EmbeddingShape shape;
  const int32_t *tokens;
  const T *table;
  T *out;
  const int32_t *firstRow;
};

template <typename T> class EmbeddingGradPlan final : public WorkspacePlan {
public:
  EmbeddingGradPlan(ThreadPool &pool, const EmbeddingShape &shape, const int32_t *tokens,
                    const T *outGrad, float *tableGrad, const int32_t *firstRow,
                    const Operand *planned)
      : WorkspacePlan(pool, embeddingGradWorkspaceBytes(shape), planned), shape(shape),
        tokens(tokens), outGrad(outGrad), tableGrad(tableGrad), firstRow(firstRow) {}

  Status run() override {
    return embeddingGrad(pool, shape, tokens, outGrad, tableGrad, workspace, firstRow);
  }

private:
  EmbeddingShape shape;
  const int32_t *tokens;
  const T *outGrad;
  float *tableGrad;
  const int32_t *firstRow;
};

/// Prepares the instructions that a hand-written kernel implements.
class LibraryPreparer {
public:
  LibraryPreparer(ThreadPool &pool, std::span<const Operand> operands)
      : pool(pool), operands(operands) {}

  StatusOr<std::unique_ptr<Plan>> operator()(const format::Gemm &op);
  StatusOr<std::unique_ptr<Plan>> operator()(const format::Attention &op);
  StatusOr<std::unique_ptr<Plan>> operator()(const format::AttentionGrad &op);
  StatusOr<std::unique_ptr<Plan>> operator()(const format::Embedding &op);
  StatusOr<std::unique_ptr<Plan>> operator()(const format::EmbeddingGrad &op);
  template <typename Op> StatusOr<std::unique_ptr<Plan>> operator()(const Op &) {
    return internalError("no hand-written kernel implements this instruction");
  }

private:
  const Operand *any(uint32_t index) const {
    return index == format::kNone ? nullptr : &operands[index];
  }
  const int32_t *integersIfAny(uint32_t index) const {
    return index == format::kNone ? nullptr : integers(operands[index]);
  }
  HeadStrides strides(uint32_t index) const {
    const format::View &view = *operands[index].view;
    return {view.strides[0], view.strides[1], view.strides[2]};
  }
  template <typename Op> AttentionShape attentionShape(const Op &op) const {
    const format::View &q = *operands[op.q].view, &k = *operands[op.k].view;
    return {q.shape[0], q.shape[1], k.shape[1],    q.shape[2],    k.shape[2],    q.shape[3],
            op.scale,   op.causal,  strides(op.q), strides(op.k), strides(op.v), strides(op.out)};
  }
  template <typename T> T *elements(uint32_t index) const {
    return reinterpret_cast<T *>(operands[index].data);
  }
  template <typename Kind, typename Op> typename Kind::Inputs attentionInputs(const Op &op) const {
    using T = typename Kind::Element;
    return {elements<T>(op.q), elements<T>(op.k), elements<T>(op.v),
            integersIfAny(op.queryPositions), integersIfAny(op.keyPositions)};
  }
  template <typename Kind> std::unique_ptr<Plan> prepareAttention(const format::Attention &op);
  template <typename Kind> std::unique_ptr<Plan> prepareGrad(const format::AttentionGrad &op);
  EmbeddingShape embeddingShape(uint32_t table, uint32_t rows) const {
    const format::View &matrix = *operands[table].view, &out = *operands[rows].view;
    const int64_t stride = out.rank >= 2 ? out.strides[out.rank - 2] : matrix.shape[1];
    return {out.numElements() / matrix.shape[1], matrix.shape[0], matrix.shape[1],
            matrix.strides[0], stride};
  }

  ThreadPool &pool;
  std::span<const Operand> operands;
};

StatusOr<std::unique_ptr<Plan>> LibraryPreparer::operator()(const format::Gemm &op) {
  const Operand &a = operands[op.a], &b = operands[op.b], &c = operands[op.c];
  TITAN_RETURN_IF_ERROR(requireFloat("gemm", {&a, &b, &c}));
  const GemmShape shape{op.m,   op.n,   op.k,     op.transA,  op.transB,  op.accumulate, op.lda,
                        op.ldb, op.ldc, op.batch, op.strideA, op.strideB, op.strideC};
  if (!isBFloat16(a) && !isBFloat16(b) && !isBFloat16(c))
    return std::unique_ptr<Plan>(std::make_unique<GemmPlan>(pool, shape, floats(a), floats(b),
                                                            floats(c), any(op.workspace)));
  auto matrix = [](const Operand &operand) { return MatrixData{operand.view->type, operand.data}; };
  return std::unique_ptr<Plan>(std::make_unique<MixedGemmPlan>(pool, shape, matrix(a), matrix(b),
                                                               matrix(c), any(op.workspace)));
}

template <typename Kind>
std::unique_ptr<Plan> LibraryPreparer::prepareAttention(const format::Attention &op) {
  return std::make_unique<AttentionPlan<Kind>>(pool, attentionShape(op), attentionInputs<Kind>(op),
                                               elements<typename Kind::Element>(op.out),
                                               floats(operands[op.lse]), any(op.scratch));
}

StatusOr<std::unique_ptr<Plan>> LibraryPreparer::operator()(const format::Attention &op) {
  TITAN_RETURN_IF_ERROR(requireFloat("attention", {&operands[op.q]}));
  return isBFloat16(operands[op.q]) ? prepareAttention<BFloat16Attention>(op)
                                    : prepareAttention<FloatAttention>(op);
}

template <typename Kind>
std::unique_ptr<Plan> LibraryPreparer::prepareGrad(const format::AttentionGrad &op) {
  using T = typename Kind::Element;
  const AttentionGradShape shape{attentionShape(op), strides(op.dout), strides(op.dq),
                                 strides(op.dk), strides(op.dv)};
  const typename Kind::GradInputs inputs{attentionInputs<Kind>(op), elements<T>(op.out),
                                         floats(operands[op.lse]), elements<T>(op.dout)};
  return std::make_unique<AttentionGradPlan<Kind>>(pool, shape, inputs, elements<T>(op.dq),
                                                   elements<T>(op.dk), elements<T>(op.dv),
                                                   any(op.scratch));
}

StatusOr<std::unique_ptr<Plan>> LibraryPreparer::operator()(const format::AttentionGrad &op) {
  TITAN_RETURN_IF_ERROR(requireFloat("attention_grad", {&operands[op.q]}));
  return isBFloat16(operands[op.q]) ? prepareGrad<BFloat16Attention>(op)
                                    : prepareGrad<FloatAttention>(op);
}

StatusOr<std::unique_ptr<Plan>> LibraryPreparer::operator()(const format::Embedding &op) {
  TITAN_RETURN_IF_ERROR(requireFloat("embedding", {&operands[op.table], &operands[op.out]}));
  auto make = [&]<typename T>(T *table, T *out) {
    return std::unique_ptr<Plan>(std::make_unique<EmbeddingPlan<T>>(
        pool, embeddingShape(op.table, op.out), integers(operands[op.tokens]), table, out,
        integersIfAny(op.firstRow)));
  };
  if (isBFloat16(operands[op.table]))
    return make(halves(operands[op.table]), halves(operands[op.out]));
  return make(floats(operands[op.table]), floats(operands[op.out]));
}

StatusOr<std::unique_ptr<Plan>> LibraryPreparer::operator()(const format::EmbeddingGrad &op) {
  const Operand &dout = operands[op.dout], &dtable = operands[op.dtable];
  TITAN_RETURN_IF_ERROR(requireFloat("embedding_grad", {&dtable, &dout}));
  if (dtable.view->type != DType::f32)
    return invalidArgument("embedding_grad on the CPU adds to f32, found " +
                           std::string(toString(dtable.view->type)));
  auto make = [&]<typename T>(const T *rows) {
    return std::unique_ptr<Plan>(std::make_unique<EmbeddingGradPlan<T>>(
        pool, embeddingShape(op.dtable, op.dout), integers(operands[op.tokens]), rows,
        floats(dtable), integersIfAny(op.firstRow), any(op.scratch)));
  };
  return isBFloat16(dout) ? make(halves(dout)) : make(floats(dout));
}

} // namespace

StatusOr<std::unique_ptr<Plan>> prepareLaunch(ThreadPool &pool, const format::Launch &op,
                                              std::span<const Operand> operands,
                                              const CpuKernelTable &kernels) {
  std::vector<void *> arguments;
  for (uint32_t buffer : op.buffers)
    arguments.push_back(operands[buffer].data);
  return std::unique_ptr<Plan>(
      std::make_unique<LaunchPlan>(pool, kernels.kernels[op.kernel], std::move(arguments)));
}

StatusOr<std::unique_ptr<Plan>> prepareLibraryOp(ThreadPool &pool,
                                                 const format::Instruction &instruction,
                                                 std::span<const Operand> operands) {
  return std::visit(LibraryPreparer(pool, operands), instruction);
}

} // namespace titan::cpu
