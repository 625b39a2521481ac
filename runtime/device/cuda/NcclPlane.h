// The data plane of ranks that have a GPU each, by way of NCCL.
//
// Operations are put into streams, and nothing here waits for them:
//
//   start(id)   the group's stream waits for all work of the compute stream so far, then moves data
//   await(id)   later work of the compute stream waits for that
//
// So the sources and destinations are memory that the GPU can access, the host sees a result once
// it has waited for the compute stream, and it then asks poll() whether the result is one: after a
// failure, streams go on over whatever memory holds.
//
// A communicator of NCCL does its operations one after the other, in the order in which they were
// issued. A group therefore has one for the operations of all its ranks, and one for each
// direction between two of them: what a rank receives later does not hold up what it sends now.
//
// Sums are NCCL's: in its own order, and rounded to the type at each step.
#pragma once

#include "runtime/collectives/Communicator.h"
#include "runtime/collectives/Futex.h"
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/device/cuda/Nccl.h"

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>

namespace titan::cuda {

class NcclCommunicator;

/// What the communicators of a rank share.
struct NcclContext {
  NcclContext(CudaDevice &device, const KeyValueStore &store, std::unique_ptr<Nccl> library)
      : device(device), store(store), library(std::move(library)) {}

  const Driver &driver() const { return device.api(); }
  /// Ends everything; the first reason counts. From any thread.
  void fail(const Status &status);
  Status poll() const;

  CudaDevice &device;
  const KeyValueStore store;
  const std::unique_ptr<Nccl> library;
  std::unique_ptr<DeviceMemory> probe; ///< a byte to send and one to receive
  std::atomic<bool> failed{false};
  EventCount changed; ///< wakes the watchdog

  mutable std::mutex reasonMutex; ///< of `reason`; taken last
  Status reason;

  std::mutex mutex; ///< of the rest; taken before those of communicators
  std::set<int> ids;
  std::map<std::string, int> generations;          ///< how many communicators a group has had
  std::map<int, NcclCommunicator *> communicators; ///< by the group's id
};

class NcclPlane final : public DataPlane {
public:
  /// Opens NCCL, by the name that the device was opened with. The device outlives the plane; the
  /// store says which rank this is. Fails (invalid argument) where another rank has the same GPU.
  static StatusOr<std::unique_ptr<DataPlane>> open(CudaDevice &device, const KeyValueStore &store);
  ~NcclPlane() override;

  int rank() const override { return context->store.rank; }
  int size() const override { return context->store.size; }
  std::string describe() const override;
  StatusOr<std::unique_ptr<Communicator>>
  createCommunicator(const CommunicatorGroup &group, const CommunicatorOptions &options) override;
  Status connect(std::chrono::milliseconds timeout) override;
  Status poll() const override { return context->poll(); }
  Status fill(std::byte *data, int64_t bytes, uint8_t value) override {
    return context->device.fillBytes(data, bytes, value);
  }
  void abort(const std::string &reason) override;

private:
  explicit NcclPlane(std::shared_ptr<NcclContext> context);
  void watch();
  void abortAll();

  std::shared_ptr<NcclContext> context;
  std::atomic<bool> ended{false};
  std::thread watchdog; ///< finds failures and timeouts while the host waits for the GPU
};

} // namespace titan::cuda
