// A GPU as a device: memory from the driver's virtual memory management, one compute stream,
// kernels of the program and of this folder, matrix products by cuBLASLt, and graphs of
// instructions.
//
// The host waits for the GPU only in copyToHost() and Queue::synchronize(). A failure of a kernel
// shows at the next of these, and then in every later call.
#pragma once

#include "runtime/device/Device.h"
#include "runtime/device/cpu/ThreadPool.h"
#include "runtime/device/cuda/BlasLt.h"
#include "runtime/device/cuda/CudaPlugin.h"
#include "runtime/device/cuda/CudnnAttention.h"
#include "runtime/device/cuda/DriverApi.h"
#include "runtime/device/cuda/GemmSearch.h"
#include "runtime/device/cuda/Nvtx.h"

#include <array>
#include <map>
#include <optional>
#include <set>

namespace titan::cuda {

/// An operation that can be put into a stream.
class CudaPlan : public Plan {
public:
  virtual Status enqueue(Stream stream) = 0;
};

/// A kernel's function and how it is launched.
struct KernelStage {
  FunctionHandle function = nullptr;
  unsigned blocks = 1, threads = 32;
};

/// The stages of each kernel of a program, and the module that holds them.
class CudaKernelTable final : public KernelTable {
public:
  CudaKernelTable(const Driver &driver, Module module) : driver(driver), module(module) {}
  ~CudaKernelTable() override {
    if (module)
      driver.cuModuleUnload(module);
  }

  const Driver &driver;
  Module module;
  std::vector<std::vector<KernelStage>> kernels;
};

/// The kernels of this folder by name.
class BuiltinKernels {
public:
  explicit BuiltinKernels(const Driver &driver) : driver(driver) {}
  ~BuiltinKernels() { unload(); }
  BuiltinKernels(const BuiltinKernels &) = delete;
  BuiltinKernels &operator=(const BuiltinKernels &) = delete;

  Status load();
  void unload();
  StatusOr<FunctionHandle> find(const std::string &name) const;

private:
  const Driver &driver;
  std::vector<Module> modules;
};

struct CudaOptions : GpuOptions {
  std::string driver = "libcuda.so.1";
  std::string blasLt; ///< empty: where kBlasLtLibraries are found
  std::string cudnn;  ///< empty: where kDnnLibrary is found; opened for attention in bf16
  std::string nccl;   ///< empty: where kNcclLibrary is found; opened for several ranks
};

class CudaDevice final : public Device {
public:
  static StatusOr<std::unique_ptr<CudaDevice>> open(const CudaOptions &options);
  ~CudaDevice() override;

  std::string describe() const override;
  int64_t memoryCapacity() const override { return capacity; }
  int64_t memoryUsed() const override;
  StatusOr<std::unique_ptr<Queue>> createQueue(QueueKind kind, int priority) override;
  StatusOr<std::unique_ptr<Event>> createEvent() override;
  StatusOr<std::unique_ptr<DeviceMemory>> allocate(format::Space space, int64_t bytes) override;
  StatusOr<std::unique_ptr<KernelTable>> loadKernels(const format::Program &program) override;
  StatusOr<std::unique_ptr<Plan>> prepare(const format::Instruction &instruction,
                                          std::span<const Operand> operands,
                                          const format::Program &program,
                                          KernelTable &kernels) override;
  StatusOr<std::unique_ptr<Plan>> combine(std::span<Plan *const> plans,
                                          const std::string &name) override;
  void beginRange(const char *name) override {
    if (profiler)
      profiler->begin(name);
  }
  void endRange() override {
    if (profiler)
      profiler->end();
  }
  Status copyToDevice(std::byte *device, std::span<const std::byte> host) override;
  Status copyToHost(std::span<std::byte> host, const std::byte *device) override;
  Status fillBytes(std::byte *device, int64_t bytes, uint8_t value) override;
  void hostParallelFor(int64_t blocks, FunctionRef<void(int64_t begin, int64_t end)> body) override;
  int hostThreads() const override { return threads.size(); }

  /// Waits for the compute stream. A failure of the GPU names the plans that it was in.
  Status synchronize();

  const Driver &api() const { return driver; }
  const BuiltinKernels &builtins() const { return kernels; }
  BlasLt &blas() { return *blasLt; }
  GemmSearch &gemms() { return search; }
  CudnnAttention &dnnAttention() { return *attention; }
  /// Tells the user what was not told before.
  void noteOnce(const std::string &text);
  /// Elements of 2 or 4 bytes become bf16 or f32 between -1 and 1, the same ones every time.
  Status fillRandom(std::byte *device, int64_t elements, int64_t elementBytes);
  Stream computeStream() const { return stream; }
  Context currentContext() const { return context; }
  const CudaOptions &settings() const { return options; }
  /// Of the GPU, among those that the driver shows.
  DeviceNumber number() const { return device; }
  const std::string &deviceName() const { return name; }
  int processors() const { return multiprocessors; }

private:
  /// Pinned memory that a copy goes through, and when it may be used again.
  struct Staging {
    std::byte *data = nullptr;
    EventHandle done = nullptr;
  };
  static constexpr size_t kStagingBuffers = 8;
  static constexpr int64_t kStagingBytes = int64_t{1} << 20;

  CudaDevice(Driver driver, int threads, const CudaOptions &options)
      : driver(std::move(driver)), kernels(this->driver), threads(threads), options(options) {}

  Status start();
  Status describeDevice();
  Status findPeers(int count);
  Status createStaging();
  Status enqueueMark();
  /// Those that run here, the best first.
  StatusOr<std::vector<const format::Image *>> chooseImages(const format::Program &program) const;
  StatusOr<Module> loadImages(const format::Program &program) const;

  Driver driver;
  BuiltinKernels kernels;
  cpu::ThreadPool threads;
  const CudaOptions options;
  DeviceNumber device = 0;
  std::vector<DeviceNumber> accessors; ///< the GPUs that may access this one's memory, itself first
  Context context = nullptr;
  Stream stream = nullptr;
  const Nvtx *profiler = nullptr;    ///< null without one
  std::vector<std::string> combined; ///< names of combined plans
  std::unique_ptr<DeviceMemory>
      mark; ///< of the host: the combined plan that the GPU has begun last
  std::unique_ptr<BlasLt> blasLt;
  GemmSearch search{*this};
  std::optional<CudnnAttention> attention;
  std::set<std::string> noted;
  std::array<Staging, kStagingBuffers> staging;
  size_t nextStaging = 0;
  std::string name;
  int major = 0, minor = 0, multiprocessors = 1;
  int64_t capacity = 0;
};

/// `text` as a module, with the compiler's own words where it refuses.
StatusOr<Module> loadModule(const Driver &driver, const void *text);

StatusOr<std::unique_ptr<Plan>> prepareLaunch(CudaDevice &device, const format::Launch &op,
                                              std::span<const Operand> operands,
                                              const CudaKernelTable &kernels);
/// Fill, copy and check_finite.
StatusOr<std::unique_ptr<Plan>> prepareMemoryOp(CudaDevice &device,
                                                const format::Instruction &instruction,
                                                std::span<const Operand> operands);
StatusOr<std::unique_ptr<Plan>> prepareEmbedding(CudaDevice &device,
                                                 const format::Instruction &instruction,
                                                 std::span<const Operand> operands);
StatusOr<std::unique_ptr<Plan>> prepareAttention(CudaDevice &device,
                                                 const format::Instruction &instruction,
                                                 std::span<const Operand> operands);
StatusOr<std::unique_ptr<Plan>> prepareGemm(CudaDevice &device, const format::Gemm &op,
                                            std::span<const Operand> operands);

} // namespace titan::cuda
