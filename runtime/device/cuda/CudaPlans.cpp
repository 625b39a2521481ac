// Fill, copy, check_finite, embeddings and attention: kernels of this folder, or the driver's own
// operations where memory is adjacent.
#include "runtime/device/ElementBits.h"
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/device/cuda/CudaMemory.h"
#include "runtime/device/cuda/CudnnAttention.h"
#include "runtime/device/cuda/kernels/Parameters.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace titan::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kWarpsPerBlock = gpu::kAttentionWarps; ///< of all kernels of attention

/// A launch of a builtin kernel: a struct, then pointers or numbers of 8 bytes.
class BuiltinPlan : public CudaPlan {
public:
  struct Launch {
    FunctionHandle function = nullptr;
    unsigned blocksX = 1, blocksY = 1, threads = kThreads;
    std::vector<std::byte> shape;
    std::vector<uint64_t> arguments;
  };

  explicit BuiltinPlan(const Driver &driver) : driver(driver) {}

  template <typename Shape>
  Launch &add(FunctionHandle function, const Shape &shape, std::vector<uint64_t> arguments) {
    Launch &launch = launches.emplace_back();
    launch.function = function;
    launch.shape.resize(sizeof(Shape));
    std::memcpy(launch.shape.data(), &shape, sizeof(Shape));
    launch.arguments = std::move(arguments);
    return launch;
  }

  Status enqueue(Stream stream) override {
    for (Launch &launch : launches) {
      void *parameters[16];
      size_t count = 0;
      parameters[count++] = launch.shape.data();
      for (uint64_t &argument : launch.arguments)
        parameters[count++] = &argument;
      TITAN_CUDA_CHECK(driver,
                       cuLaunchKernel(launch.function, launch.blocksX, launch.blocksY, 1,
                                      launch.threads, 1, 1, 0, stream, parameters, nullptr));
    }
    return okStatus();
  }

protected:
  const Driver &driver;
  std::vector<Launch> launches;
};

uint64_t pointer(const Operand &operand) { return addressOf(operand.data); }

gpu::StridedShape stridedShape(const format::View &from, const format::View &to) {
  gpu::StridedShape shape{};
  shape.count = to.numElements();
  shape.rank = to.rank;
  for (int i = 0; i < to.rank; ++i) {
    shape.shape[i] = to.shape[i];
    shape.from[i] = from.strides[i];
    shape.to[i] = to.strides[i];
  }
  return shape;
}

/// Enough blocks to fill the GPU, each thread with one element or more.
unsigned blocksFor(const CudaDevice &device, int64_t elements) {
  const int64_t most = int64_t{8} * device.processors();
  return static_cast<unsigned>(std::clamp<int64_t>((elements + kThreads - 1) / kThreads, 1, most));
}

StatusOr<std::unique_ptr<Plan>> addStrided(CudaDevice &device, std::unique_ptr<BuiltinPlan> plan,
                                           const std::string &kernel,
                                           const gpu::StridedShape &shape,
                                           std::vector<uint64_t> arguments) {
  TITAN_ASSIGN_OR_RETURN(const FunctionHandle function, device.builtins().find(kernel));
  plan->add(function, shape, std::move(arguments)).blocksX = blocksFor(device, shape.count);
  return std::unique_ptr<Plan>(std::move(plan));
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

/// A fill of adjacent elements.
class FillPlan final : public CudaPlan {
public:
  FillPlan(const Driver &driver, DeviceAddress address, int64_t count, int64_t element,
           uint64_t pattern)
      : driver(driver), address(address), count(static_cast<size_t>(count)), element(element),
        pattern(pattern) {}

  Status enqueue(Stream stream) override {
    if (element == 1)
      TITAN_CUDA_CHECK(
          driver, cuMemsetD8Async(address, static_cast<unsigned char>(pattern), count, stream));
    else if (element == 2)
      TITAN_CUDA_CHECK(
          driver, cuMemsetD16Async(address, static_cast<unsigned short>(pattern), count, stream));
    else
      TITAN_CUDA_CHECK(driver,
                       cuMemsetD32Async(address, static_cast<unsigned>(pattern), count, stream));
    return okStatus();
  }

private:
  const Driver &driver;
  DeviceAddress address;
  size_t count;
  int64_t element;
  uint64_t pattern;
};

class CopyPlan final : public CudaPlan {
public:
  CopyPlan(const Driver &driver, DeviceAddress from, DeviceAddress to, int64_t bytes)
      : driver(driver), from(from), to(to), bytes(static_cast<size_t>(bytes)) {}

  Status enqueue(Stream stream) override {
    TITAN_CUDA_CHECK(driver, cuMemcpyDtoDAsync(to, from, bytes, stream));
    return okStatus();
  }

private:
  const Driver &driver;
  DeviceAddress from, to;
  size_t bytes;
};

/// Raises the flag, then lowers it for each value that is not finite.
class CheckFinitePlan final : public BuiltinPlan {
public:
  CheckFinitePlan(const Driver &driver, DeviceAddress flag) : BuiltinPlan(driver), flag(flag) {}

  Status enqueue(Stream stream) override {
    TITAN_CUDA_CHECK(driver, cuMemsetD32Async(flag, std::bit_cast<uint32_t>(1.0f), 1, stream));
    return BuiltinPlan::enqueue(stream);
  }

private:
  DeviceAddress flag;
};

StatusOr<std::unique_ptr<Plan>> prepareFill(CudaDevice &device, const format::Fill &op,
                                            const Operand &buffer) {
  TITAN_ASSIGN_OR_RETURN(const uint64_t pattern, encodeElement(op.value, buffer.view->type));
  const int64_t element = byteSize(buffer.view->type);
  if (buffer.view->isContiguous() && (element <= 4 || pattern == 0)) {
    const int64_t scale = element > 4 ? element / 4 : 1;
    return std::unique_ptr<Plan>(std::make_unique<FillPlan>(
        device.api(), pointer(buffer), buffer.view->numElements() * scale, element, pattern));
  }
  return addStrided(device, std::make_unique<BuiltinPlan>(device.api()),
                    "titan_fill" + std::to_string(element),
                    stridedShape(*buffer.view, *buffer.view), {pointer(buffer), pattern});
}

StatusOr<std::unique_ptr<Plan>> prepareCopy(CudaDevice &device, const Operand &source,
                                            const Operand &destination) {
  const int64_t element = byteSize(source.view->type);
  if (source.view->isContiguous() && destination.view->isContiguous())
    return std::unique_ptr<Plan>(std::make_unique<CopyPlan>(
        device.api(), pointer(source), pointer(destination), source.view->numElements() * element));
  return addStrided(
      device, std::make_unique<BuiltinPlan>(device.api()), "titan_copy" + std::to_string(element),
      stridedShape(*source.view, *destination.view), {pointer(source), pointer(destination)});
}

StatusOr<std::unique_ptr<Plan>> prepareCheckFinite(CudaDevice &device,
                                                   const format::CheckFinite &op,
                                                   std::span<const Operand> operands) {
  auto plan = std::make_unique<CheckFinitePlan>(device.api(), pointer(operands[op.flag]));
  for (uint32_t index : op.values) {
    const Operand &value = operands[index];
    if (value.view->type != DType::f32 && value.view->type != DType::bf16)
      return invalidArgument("check_finite on a GPU takes f32 and bf16, found " +
                             std::string(toString(value.view->type)));
    TITAN_ASSIGN_OR_RETURN(
        const FunctionHandle function,
        device.builtins().find("titan_check_finite_" + std::string(toString(value.view->type))));
    plan->add(function, stridedShape(*value.view, *value.view),
              {pointer(value), pointer(operands[op.flag])})
        .blocksX = blocksFor(device, value.view->numElements());
  }
  return std::unique_ptr<Plan>(std::move(plan));
}

//===----------------------------------------------------------------------===//
// Embeddings
//===----------------------------------------------------------------------===//

/// "f32" or "bf16"; an error of `op` for other types.
StatusOr<std::string> floatName(const char *op, DType type) {
  if (type == DType::f32 || type == DType::bf16)
    return std::string(toString(type));
  return invalidArgument(std::string(op) + " on a GPU takes f32 and bf16, found " +
                         std::string(toString(type)));
}

gpu::EmbeddingShape embeddingShape(const format::View &table, const format::View &rows) {
  const int64_t width = table.shape[1];
  return {rows.numElements() / width, width, table.shape[0], table.strides[0],
          rows.rank >= 2 ? rows.strides[rows.rank - 2] : width};
}

uint64_t pointerIfAny(std::span<const Operand> operands, uint32_t index) {
  return index == format::kNone ? 0 : pointer(operands[index]);
}

StatusOr<std::unique_ptr<Plan>> prepareEmbedding(CudaDevice &device, const format::Embedding &op,
                                                 std::span<const Operand> operands) {
  const Operand &table = operands[op.table], &out = operands[op.out];
  TITAN_ASSIGN_OR_RETURN(const std::string type, floatName("embedding", table.view->type));
  TITAN_ASSIGN_OR_RETURN(const FunctionHandle function,
                         device.builtins().find("titan_embedding_" + type));
  auto plan = std::make_unique<BuiltinPlan>(device.api());
  const gpu::EmbeddingShape shape = embeddingShape(*table.view, *out.view);
  plan->add(function, shape,
            {pointer(operands[op.tokens]), pointer(table), pointer(out),
             pointerIfAny(operands, op.firstRow)})
      .blocksX = static_cast<unsigned>(shape.tokens);
  return std::unique_ptr<Plan>(std::move(plan));
}

StatusOr<std::unique_ptr<Plan>> prepareEmbedding(CudaDevice &device,
                                                 const format::EmbeddingGrad &op,
                                                 std::span<const Operand> operands) {
  const Operand &dout = operands[op.dout], &dtable = operands[op.dtable];
  TITAN_ASSIGN_OR_RETURN(const std::string type, floatName("embedding_grad", dout.view->type));
  if (dtable.view->type != DType::f32)
    return invalidArgument("embedding_grad on a GPU adds to f32, found " +
                           std::string(toString(dtable.view->type)));
  TITAN_ASSIGN_OR_RETURN(const FunctionHandle function,
                         device.builtins().find("titan_embedding_grad_" + type));
  auto plan = std::make_unique<BuiltinPlan>(device.api());
  const gpu::EmbeddingShape shape = embeddingShape(*dtable.view, *dout.view);
  BuiltinPlan::Launch &launch = plan->add(function, shape,
                                          {pointer(dout), pointer(operands[op.tokens]),
                                           pointer(dtable), pointerIfAny(operands, op.firstRow)});
  launch.blocksX = static_cast<unsigned>(shape.tokens);
  launch.blocksY = static_cast<unsigned>((shape.width + kThreads - 1) / kThreads);
  return std::unique_ptr<Plan>(std::move(plan));
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

gpu::AttentionStrides stridesOf(const Operand &operand) {
  const auto &strides = operand.view->strides;
  return {strides[0], strides[1], strides[2]};
}

/// What attention and its gradient have in common.
template <typename Op>
StatusOr<gpu::AttentionShape> attentionShape(const Op &op, std::span<const Operand> operands) {
  const format::View &q = *operands[op.q].view, &k = *operands[op.k].view;
  gpu::AttentionShape shape{};
  shape.batch = q.shape[0];
  shape.queries = q.shape[1];
  shape.keys = k.shape[1];
  shape.heads = q.shape[2];
  shape.kvHeads = k.shape[2];
  shape.dim = q.shape[3];
  shape.scale = op.scale;
  shape.causal = op.causal;
  shape.q = stridesOf(operands[op.q]);
  shape.k = stridesOf(operands[op.k]);
  shape.v = stridesOf(operands[op.v]);
  shape.out = stridesOf(operands[op.out]);
  if (shape.dim > gpu::kMaxHeadDim)
    return invalidArgument("attention on a GPU has heads of up to " +
                           std::to_string(gpu::kMaxHeadDim) + " elements, found " +
                           std::to_string(shape.dim));
  if (shape.batch * shape.heads > 65535)
    return invalidArgument("attention on a GPU takes up to 65535 heads of all rows, found " +
                           std::to_string(shape.batch * shape.heads) +
                           ": lower training.local_batch_size");
  return shape;
}

/// The bytes of an instruction's scratch memory; none if it has none.
std::span<std::byte> scratchOf(uint32_t scratch, std::span<const Operand> operands) {
  if (scratch == format::kNone)
    return {};
  const format::View &view = *operands[scratch].view;
  return {operands[scratch].data, static_cast<size_t>(view.numElements() * byteSize(view.type))};
}

/// For cuDNN; `others` are the tensors that a gradient has beside those of attention.
template <typename Op>
AttentionRequest requestOf(const Op &op, std::span<const Operand> operands,
                           std::initializer_list<AttentionOperand> others) {
  AttentionRequest request;
  request.type = operands[op.q].view->type;
  request.isGradient = others.size() > 0;
  request.hasPositions = op.queryPositions != format::kNone;
  request.operands = {{AttentionTensor::q, operands[op.q].data},
                      {AttentionTensor::k, operands[op.k].data},
                      {AttentionTensor::v, operands[op.v].data},
                      {AttentionTensor::out, operands[op.out].data},
                      {AttentionTensor::lse, operands[op.lse].data}};
  request.operands.insert(request.operands.end(), others);
  request.scratch = scratchOf(op.scratch, operands);
  return request;
}

/// Blocks of `warps` warps, of `rows` rows each, along the sequence.
void setGrid(BuiltinPlan::Launch &launch, int64_t length, int64_t heads,
             int64_t warps = kWarpsPerBlock, int64_t rows = 1) {
  launch.threads = static_cast<unsigned>(32 * warps);
  launch.blocksX = static_cast<unsigned>((length + warps * rows - 1) / (warps * rows));
  launch.blocksY = static_cast<unsigned>(heads);
}

/// Rows of a warp of the kernels on tensor cores.
constexpr int64_t kFlashRows = 16;

/// Heads that there are kernels on tensor cores for.
constexpr int64_t kFlashHeads[] = {16, 32, 64, 96, 128};

/// Whether the kernels on tensor cores can do it: they read rows of bfloat16 as vectors of 16
/// bytes, and know no positions.
template <typename Op>
bool fitsTensorCores(const Op &op, std::initializer_list<uint32_t> rows,
                     std::span<const Operand> operands) {
  const format::View &q = *operands[op.q].view;
  if (q.type != DType::bf16 || op.queryPositions != format::kNone ||
      std::find(std::begin(kFlashHeads), std::end(kFlashHeads), q.shape[3]) ==
          std::end(kFlashHeads))
    return false;
  return std::all_of(rows.begin(), rows.end(), [&](uint32_t index) {
    const auto &strides = operands[index].view->strides;
    return pointer(operands[index]) % 16 == 0 && strides[0] % 8 == 0 && strides[1] % 8 == 0 &&
           strides[2] % 8 == 0;
  });
}

/// The heads that a kernel without tensor cores is for: up to so many elements.
int64_t paddedHead(int64_t dim) { return dim <= 64 ? 64 : dim <= 128 ? 128 : gpu::kMaxHeadDim; }

/// Rows of a warp.
int64_t rowsOf(int64_t dim, bool isFlash) {
  return isFlash ? kFlashRows : gpu::attentionRows(static_cast<int>(dim));
}

/// The kernel of attention for tensor cores or without them; `part` is "query_grad_" and the like.
StatusOr<FunctionHandle> findAttention(const CudaDevice &device, const std::string &part,
                                       bool isFlash, int64_t dim, const std::string &type) {
  return device.builtins().find(isFlash ? "titan_flash_" + part + std::to_string(dim)
                                        : "titan_attention_" + part +
                                              std::to_string(paddedHead(dim)) + "_" + type);
}

StatusOr<std::unique_ptr<Plan>> prepareAttention(CudaDevice &device, const format::Attention &op,
                                                 std::span<const Operand> operands) {
  TITAN_ASSIGN_OR_RETURN(const std::string type, floatName("attention", operands[op.q].view->type));
  TITAN_ASSIGN_OR_RETURN(const gpu::AttentionShape shape, attentionShape(op, operands));
  if (auto plan = prepareDnnAttention(device, shape, requestOf(op, operands, {})))
    return plan;
  const bool isFlash = fitsTensorCores(op, {op.q, op.k, op.v, op.out}, operands);
  TITAN_ASSIGN_OR_RETURN(const FunctionHandle function,
                         findAttention(device, "", isFlash, shape.dim, type));
  auto plan = std::make_unique<BuiltinPlan>(device.api());
  setGrid(
      plan->add(function, shape,
                {pointer(operands[op.q]), pointer(operands[op.k]), pointer(operands[op.v]),
                 pointerIfAny(operands, op.queryPositions), pointerIfAny(operands, op.keyPositions),
                 pointer(operands[op.out]), pointer(operands[op.lse])}),
      shape.queries, shape.batch * shape.heads, kWarpsPerBlock, rowsOf(shape.dim, isFlash));
  return std::unique_ptr<Plan>(std::move(plan));
}

/// Three kernels; the first one fills a workspace that the others read: the program's scratch
/// memory if that has room for it.
class AttentionGradPlan final : public BuiltinPlan {
public:
  AttentionGradPlan(const Driver &driver, int64_t bytes) : BuiltinPlan(driver), bytes(bytes) {}

  /// When all launches are there.
  void offer(std::span<std::byte> scratch) {
    if (static_cast<int64_t>(scratch.size()) < bytes)
      return;
    setWorkspace(scratch);
    bytes = 0;
  }

  int64_t workspaceBytes() const override { return bytes; }
  void setWorkspace(std::span<std::byte> workspace) override {
    for (const auto &[launch, argument] : workspaceArguments)
      launches[launch].arguments[argument] = addressOf(workspace.data());
  }

  /// That argument of the latest launch is the workspace.
  void takesWorkspace(size_t argument) {
    workspaceArguments.emplace_back(launches.size() - 1, argument);
  }

private:
  int64_t bytes;
  std::vector<std::pair<size_t, size_t>> workspaceArguments;
};

StatusOr<std::unique_ptr<Plan>> prepareAttention(CudaDevice &device,
                                                 const format::AttentionGrad &op,
                                                 std::span<const Operand> operands) {
  TITAN_ASSIGN_OR_RETURN(const std::string type,
                         floatName("attention_grad", operands[op.q].view->type));
  TITAN_ASSIGN_OR_RETURN(gpu::AttentionShape shape, attentionShape(op, operands));
  shape.dout = stridesOf(operands[op.dout]);
  shape.dq = stridesOf(operands[op.dq]);
  shape.dk = stridesOf(operands[op.dk]);
  shape.dv = stridesOf(operands[op.dv]);
  if (auto plan = prepareDnnAttention(device, shape,
                                      requestOf(op, operands,
                                                {{AttentionTensor::dout, operands[op.dout].data},
                                                 {AttentionTensor::dq, operands[op.dq].data},
                                                 {AttentionTensor::dk, operands[op.dk].data},
                                                 {AttentionTensor::dv, operands[op.dv].data}})))
    return plan;
  const auto at = [&](uint32_t index) { return pointerIfAny(operands, index); };
  const bool isFlash =
      fitsTensorCores(op, {op.q, op.k, op.v, op.out, op.dout, op.dq, op.dk, op.dv}, operands);
  TITAN_ASSIGN_OR_RETURN(const FunctionHandle prepare,
                         device.builtins().find("titan_attention_prepare_" + type));
  TITAN_ASSIGN_OR_RETURN(const FunctionHandle queryGrad,
                         findAttention(device, "query_grad_", isFlash, shape.dim, type));
  TITAN_ASSIGN_OR_RETURN(const FunctionHandle keyGrad,
                         findAttention(device, "key_grad_", isFlash, shape.dim, type));
  const int64_t heads = shape.batch * shape.heads;
  auto plan = std::make_unique<AttentionGradPlan>(device.api(), heads * shape.queries * 4);
  setGrid(plan->add(prepare, shape, {at(op.out), at(op.dout), 0}), shape.queries, heads);
  plan->takesWorkspace(2);
  const std::vector<uint64_t> inputs = {
      at(op.q),   at(op.k), at(op.v),   at(op.queryPositions), at(op.keyPositions),
      at(op.lse), 0,        at(op.dout)};
  std::vector<uint64_t> arguments = inputs;
  arguments.push_back(at(op.dq));
  setGrid(plan->add(queryGrad, shape, arguments), shape.queries, heads, kWarpsPerBlock,
          rowsOf(shape.dim, isFlash));
  plan->takesWorkspace(6);
  arguments = inputs;
  arguments.push_back(at(op.dk));
  arguments.push_back(at(op.dv));
  setGrid(plan->add(keyGrad, shape, arguments), shape.keys, shape.batch * shape.kvHeads,
          isFlash ? 2 : kWarpsPerBlock, rowsOf(shape.dim, isFlash));
  plan->takesWorkspace(6);
  plan->offer(scratchOf(op.scratch, operands));
  return std::unique_ptr<Plan>(std::move(plan));
}

} // namespace

Status CudaDevice::fillRandom(std::byte *to, int64_t elements, int64_t elementBytes) {
  TITAN_ASSIGN_OR_RETURN(const FunctionHandle function,
                         kernels.find("titan_random" + std::to_string(elementBytes)));
  DeviceAddress address = addressOf(to);
  void *parameters[] = {&address, &elements};
  TITAN_CUDA_CHECK(driver, cuLaunchKernel(function, blocksFor(*this, elements), 1, 1, kThreads, 1,
                                          1, 0, stream, parameters, nullptr));
  return okStatus();
}

StatusOr<std::unique_ptr<Plan>> prepareMemoryOp(CudaDevice &device,
                                                const format::Instruction &instruction,
                                                std::span<const Operand> operands) {
  if (const auto *op = std::get_if<format::Fill>(&instruction))
    return prepareFill(device, *op, operands[op->buffer]);
  if (const auto *op = std::get_if<format::Copy>(&instruction))
    return prepareCopy(device, operands[op->source], operands[op->destination]);
  return prepareCheckFinite(device, std::get<format::CheckFinite>(instruction), operands);
}

StatusOr<std::unique_ptr<Plan>> prepareEmbedding(CudaDevice &device,
                                                 const format::Instruction &instruction,
                                                 std::span<const Operand> operands) {
  if (const auto *op = std::get_if<format::Embedding>(&instruction))
    return prepareEmbedding(device, *op, operands);
  return prepareEmbedding(device, std::get<format::EmbeddingGrad>(instruction), operands);
}

StatusOr<std::unique_ptr<Plan>> prepareAttention(CudaDevice &device,
                                                 const format::Instruction &instruction,
                                                 std::span<const Operand> operands) {
  if (const auto *op = std::get_if<format::Attention>(&instruction))
    return prepareAttention(device, *op, operands);
  return prepareAttention(device, std::get<format::AttentionGrad>(instruction), operands);
}

} // namespace titan::cuda
