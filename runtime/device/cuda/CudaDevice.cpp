#include "runtime/device/cuda/CudaDevice.h"

#include "runtime/device/cuda/CudaMemory.h"

#include <algorithm>
#include <cstring>
#include <thread>

namespace titan::cuda {
namespace {

class CudaQueue final : public Queue {
public:
  /// A queue of `device`'s compute stream or, with `own`, of that, which ends with the queue.
  CudaQueue(CudaDevice &device, Stream own)
      : device(device), driver(device.api()), stream(own ? own : device.computeStream()),
        isOwned(own) {}
  ~CudaQueue() override {
    if (isOwned)
      driver.cuStreamDestroy(stream);
  }

  Status submit(Plan &plan) override { return static_cast<CudaPlan &>(plan).enqueue(stream); }
  Status synchronize() override {
    return isOwned ? driver.check(driver.cuStreamSynchronize(stream), "cuStreamSynchronize")
                   : device.synchronize();
  }
  Stream handle() const { return stream; }

private:
  CudaDevice &device;
  const Driver &driver;
  Stream stream;
  bool isOwned;
};

class CudaEvent final : public Event {
public:
  CudaEvent(const Driver &driver, EventHandle event) : driver(driver), event(event) {}
  ~CudaEvent() override { driver.cuEventDestroy(event); }

  Status record(Queue &queue) override {
    return driver.check(driver.cuEventRecord(event, static_cast<CudaQueue &>(queue).handle()),
                        "cuEventRecord");
  }
  Status wait(Queue &queue) override {
    return driver.check(
        driver.cuStreamWaitEvent(static_cast<CudaQueue &>(queue).handle(), event, 0),
        "cuStreamWaitEvent");
  }
  StatusOr<bool> poll() override {
    const Result result = driver.cuEventQuery(event);
    if (result == kNotReady)
      return false;
    TITAN_RETURN_IF_ERROR(driver.check(result, "cuEventQuery"));
    return true;
  }

private:
  const Driver &driver;
  EventHandle event;
};

/// Plans as one graph: a launch costs the host one call, and the GPU no gap between them.
class GraphPlan final : public CudaPlan {
public:
  explicit GraphPlan(const Driver &driver) : driver(driver) {}
  ~GraphPlan() override {
    if (executable)
      driver.cuGraphExecDestroy(executable);
  }

  /// `begin` is done first.
  Status capture(Stream stream, FunctionRef<Status()> begin, std::span<Plan *const> plans) {
    // Relaxed: the driver may load a kernel when it meets it for the first time.
    TITAN_CUDA_CHECK(driver, cuStreamBeginCapture(stream, kRelaxedCapture));
    Status status = begin();
    for (Plan *plan : plans)
      if (status.ok())
        status = static_cast<CudaPlan *>(plan)->enqueue(stream);
    Graph graph = nullptr;
    const Status ended =
        driver.check(driver.cuStreamEndCapture(stream, &graph), "cuStreamEndCapture");
    if (status.ok())
      status = ended;
    if (status.ok())
      status = driver.check(driver.cuGraphInstantiateWithFlags(&executable, graph, 0),
                            "cuGraphInstantiateWithFlags");
    if (graph)
      driver.cuGraphDestroy(graph);
    return status;
  }

  Status enqueue(Stream stream) override {
    return driver.check(driver.cuGraphLaunch(executable, stream), "cuGraphLaunch");
  }

private:
  const Driver &driver;
  ExecutableGraph executable = nullptr;
};

} // namespace

StatusOr<std::unique_ptr<CudaDevice>> CudaDevice::open(const CudaOptions &options) {
  TITAN_ASSIGN_OR_RETURN(Driver driver, Driver::open(options.driver));
  const int threads =
      options.threads > 0 ? options.threads : static_cast<int>(std::thread::hardware_concurrency());
  std::unique_ptr<CudaDevice> device(
      new CudaDevice(std::move(driver), std::max(1, threads), options));
  TITAN_RETURN_IF_ERROR(device->start());
  return device;
}

Status CudaDevice::start() {
  int count = 0;
  TITAN_CUDA_CHECK(driver, cuDeviceGetCount(&count));
  // A launcher may show each process its own GPU alone.
  const int ordinal = count == 1 && options.gpusOfProcess == 1 ? 0 : options.ordinal;
  if (ordinal >= count)
    return invalidArgument(
        "GPU " + std::to_string(ordinal) +
        " does not exist: the driver "
        "shows " +
        std::to_string(count) + (count == 1 ? " GPU" : " GPUs") + ", and each rank needs one; " +
        (options.gpusOfProcess == 1 ? "start at most as many processes on a host as it has GPUs"
                                    : "compile the job for as many ranks") +
        ", or see CUDA_VISIBLE_DEVICES");
  TITAN_CUDA_CHECK(driver, cuDeviceGet(&device, ordinal));
  TITAN_RETURN_IF_ERROR(describeDevice());
  TITAN_RETURN_IF_ERROR(findPeers(std::min(options.gpusOfProcess, count)));
  TITAN_CUDA_CHECK(driver, cuDevicePrimaryCtxRetain(&context, device));
  TITAN_CUDA_CHECK(driver, cuCtxSetCurrent(context));
  TITAN_CUDA_CHECK(driver, cuStreamCreateWithPriority(&stream, kNonBlocking, 0));
  TITAN_RETURN_IF_ERROR(createStaging());
  TITAN_ASSIGN_OR_RETURN(mark, PinnedMemory::create(driver, sizeof(int32_t)));
  profiler = Nvtx::ofProcess();
  TITAN_RETURN_IF_ERROR(kernels.load());
  TITAN_ASSIGN_OR_RETURN(blasLt, BlasLt::open(options.blasLt));
  attention.emplace(options.cudnn, 10 * major + minor);
  return okStatus();
}

Status CudaDevice::describeDevice() {
  char text[256] = {};
  TITAN_CUDA_CHECK(driver, cuDeviceGetName(text, sizeof(text) - 1, device));
  name = text;
  TITAN_CUDA_CHECK(driver, cuDeviceGetAttribute(&major, kMajorAttribute, device));
  TITAN_CUDA_CHECK(driver, cuDeviceGetAttribute(&minor, kMinorAttribute, device));
  TITAN_CUDA_CHECK(driver, cuDeviceGetAttribute(&multiprocessors, kProcessorsAttribute, device));
  int hasVirtualMemory = 0;
  TITAN_CUDA_CHECK(driver,
                   cuDeviceGetAttribute(&hasVirtualMemory, kVirtualMemoryAttribute, device));
  size_t bytes = 0;
  TITAN_CUDA_CHECK(driver, cuDeviceTotalMem(&bytes, device));
  capacity = static_cast<int64_t>(bytes);
  if (major < 8)
    return unavailable(name + " has compute capability " + std::to_string(major) + "." +
                       std::to_string(minor) + "; Titan needs 8.0 (A100) or newer");
  if (!hasVirtualMemory)
    return unavailable(name + " has no virtual memory management, which Titan's memory needs");
  return okStatus();
}

/// NCCL moves data between GPUs of one process straight from buffer to buffer.
Status CudaDevice::findPeers(int count) {
  accessors = {device};
  // A process that has one rank has one GPU, whatever it is shown: it leaves the others alone.
  if (count == 1)
    return okStatus();
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    DeviceNumber peer = 0;
    int can = 0;
    TITAN_CUDA_CHECK(driver, cuDeviceGet(&peer, ordinal));
    if (peer == device)
      continue;
    TITAN_CUDA_CHECK(driver, cuDeviceCanAccessPeer(&can, peer, device));
    if (can)
      accessors.push_back(peer);
  }
  return okStatus();
}

Status CudaDevice::createStaging() {
  for (Staging &it : staging) {
    void *address = nullptr;
    TITAN_CUDA_CHECK(driver, cuMemHostAlloc(&address, kStagingBytes, kPortable));
    it.data = static_cast<std::byte *>(address);
    TITAN_CUDA_CHECK(driver, cuEventCreate(&it.done, kDisableTiming));
  }
  return okStatus();
}

CudaDevice::~CudaDevice() {
  if (stream) {
    driver.cuStreamSynchronize(stream);
    driver.cuStreamDestroy(stream);
  }
  for (const Staging &it : staging) {
    if (it.done)
      driver.cuEventDestroy(it.done);
    if (it.data)
      driver.cuMemFreeHost(it.data);
  }
  mark.reset();
  attention.reset();
  blasLt.reset();
  kernels.unload();
  if (context)
    driver.cuDevicePrimaryCtxRelease(device);
}

std::string CudaDevice::describe() const {
  const int version = driver.version();
  return name + ", compute capability " + std::to_string(major) + "." + std::to_string(minor) +
         ", driver for CUDA " + std::to_string(version / 1000) + "." +
         std::to_string(version % 1000 / 10) + ", cuBLASLt " + blasLt->describeVersion();
}

void CudaDevice::noteOnce(const std::string &text) {
  if (options.note && noted.insert(text).second)
    options.note(text);
}

int64_t CudaDevice::memoryUsed() const {
  size_t free = 0, total = 0;
  return driver.cuMemGetInfo(&free, &total) == kSuccess ? static_cast<int64_t>(total - free) : 0;
}

StatusOr<std::unique_ptr<Queue>> CudaDevice::createQueue(QueueKind kind, int priority) {
  if (kind == QueueKind::compute)
    return std::unique_ptr<Queue>(std::make_unique<CudaQueue>(*this, nullptr));
  Stream own = nullptr;
  TITAN_CUDA_CHECK(driver, cuStreamCreateWithPriority(&own, kNonBlocking, priority));
  return std::unique_ptr<Queue>(std::make_unique<CudaQueue>(*this, own));
}

StatusOr<std::unique_ptr<Event>> CudaDevice::createEvent() {
  EventHandle event = nullptr;
  TITAN_CUDA_CHECK(driver, cuEventCreate(&event, kDisableTiming));
  return std::unique_ptr<Event>(std::make_unique<CudaEvent>(driver, event));
}

StatusOr<std::unique_ptr<DeviceMemory>> CudaDevice::allocate(format::Space space, int64_t bytes) {
  return space == format::Space::device ? MappedMemory::create(driver, accessors, stream, bytes)
                                        : PinnedMemory::create(driver, bytes);
}

StatusOr<std::unique_ptr<Plan>> CudaDevice::combine(std::span<Plan *const> plans,
                                                    const std::string &name) {
  auto graph = std::make_unique<GraphPlan>(driver);
  combined.push_back(name);
  TITAN_RETURN_IF_ERROR(graph->capture(stream, [this] { return enqueueMark(); }, plans));
  return std::unique_ptr<Plan>(std::move(graph));
}

/// Lets the GPU write the number of the latest combined plan into memory of the host, which can be
/// read when the GPU has failed.
Status CudaDevice::enqueueMark() {
  TITAN_ASSIGN_OR_RETURN(const FunctionHandle function, kernels.find("titan_mark"));
  DeviceAddress address = addressOf(mark->data());
  auto number = static_cast<int32_t>(combined.size());
  void *parameters[] = {&address, &number};
  TITAN_CUDA_CHECK(driver,
                   cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, stream, parameters, nullptr));
  return okStatus();
}

Status CudaDevice::synchronize() {
  Status status = driver.check(driver.cuStreamSynchronize(stream), "cuStreamSynchronize");
  int32_t number = 0;
  std::memcpy(&number, mark->data(), sizeof(number));
  if (status.ok() || number <= 0 || number > static_cast<int32_t>(combined.size()))
    return status;
  return {status.code(), status.message() + "; the GPU had begun " +
                             combined[static_cast<size_t>(number) - 1] +
                             "; --poison waits for each instruction and tells which it is"};
}

Status CudaDevice::copyToDevice(std::byte *to, std::span<const std::byte> host) {
  while (!host.empty()) {
    Staging &buffer = staging[nextStaging];
    nextStaging = (nextStaging + 1) % staging.size();
    const size_t bytes = std::min(host.size(), static_cast<size_t>(kStagingBytes));
    TITAN_CUDA_CHECK(driver, cuEventSynchronize(buffer.done));
    std::memcpy(buffer.data, host.data(), bytes);
    TITAN_CUDA_CHECK(driver, cuMemcpyHtoDAsync(addressOf(to), buffer.data, bytes, stream));
    TITAN_CUDA_CHECK(driver, cuEventRecord(buffer.done, stream));
    to += bytes;
    host = host.subspan(bytes);
  }
  return okStatus();
}

Status CudaDevice::copyToHost(std::span<std::byte> host, const std::byte *from) {
  while (!host.empty()) {
    Staging &buffer = staging[nextStaging];
    const size_t bytes = std::min(host.size(), static_cast<size_t>(kStagingBytes));
    TITAN_CUDA_CHECK(driver, cuEventSynchronize(buffer.done));
    TITAN_CUDA_CHECK(driver, cuMemcpyDtoHAsync(buffer.data, addressOf(from), bytes, stream));
    TITAN_RETURN_IF_ERROR(synchronize());
    std::memcpy(host.data(), buffer.data, bytes);
    from += bytes;
    host = host.subspan(bytes);
  }
  return okStatus();
}

Status CudaDevice::fillBytes(std::byte *to, int64_t bytes, uint8_t value) {
  if (bytes <= 0)
    return okStatus();
  TITAN_CUDA_CHECK(driver,
                   cuMemsetD8Async(addressOf(to), value, static_cast<size_t>(bytes), stream));
  return okStatus();
}

void CudaDevice::hostParallelFor(int64_t blocks,
                                 FunctionRef<void(int64_t begin, int64_t end)> body) {
  threads.parallelFor(blocks, [&](int64_t begin, int64_t end, int) { body(begin, end); });
}

StatusOr<std::unique_ptr<Plan>> CudaDevice::prepare(const format::Instruction &instruction,
                                                    std::span<const Operand> operands,
                                                    const format::Program &program,
                                                    KernelTable &table) {
  if (const auto *launch = std::get_if<format::Launch>(&instruction))
    return prepareLaunch(*this, *launch, operands, static_cast<CudaKernelTable &>(table));
  if (const auto *gemm = std::get_if<format::Gemm>(&instruction))
    return prepareGemm(*this, *gemm, operands);
  if (std::holds_alternative<format::Fill>(instruction) ||
      std::holds_alternative<format::Copy>(instruction) ||
      std::holds_alternative<format::CheckFinite>(instruction))
    return prepareMemoryOp(*this, instruction, operands);
  if (std::holds_alternative<format::Embedding>(instruction) ||
      std::holds_alternative<format::EmbeddingGrad>(instruction))
    return prepareEmbedding(*this, instruction, operands);
  if (std::holds_alternative<format::Attention>(instruction) ||
      std::holds_alternative<format::AttentionGrad>(instruction))
    return prepareAttention(*this, instruction, operands);
  return internalError("a collective is no instruction of the device");
}

} // namespace titan::cuda
