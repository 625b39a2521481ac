// A group of processes. Part of the plugin.
#pragma once

#include "runtime/collectives/Communicator.h"
#include "runtime/collectives/Futex.h"
#include "runtime/collectives/mpi/MessagePlan.h"
#include "runtime/collectives/mpi/MpiPlane.h"

#define OMPI_SKIP_MPICXX 1
#include <mpi.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace titan::mpi {

class MpiCommunicator;

/// An operation of a communicator, and how far it is.
struct Operation {
  CollectiveOperation spec;
  MessagePlan plan;
  MpiCommunicator *owner = nullptr;
  uint64_t *sequences = nullptr; ///< of the latest start among those that it is counted with
  size_t bases = 0;              ///< how many its addresses refer to
  std::vector<std::byte *> sources, destinations;
  std::vector<const std::byte *> contributions; ///< room for one per rank
  std::vector<std::byte> workspace;
  std::vector<MPI_Request> requests; ///< of the phase, in the order of its messages
  uint64_t sequence = 0;
  size_t phase = 0;
  bool inFlight = false, done = false;
};

/// What the communicators of a process share. Only the rank's thread touches `inFlight` and MPI.
struct MpiContext {
  MPI_Comm comm = MPI_COMM_NULL;
  int rank = 0, size = 1;
  MpiOptions options;
  std::vector<Operation *> inFlight; ///< of all communicators; never allocates in a step
  size_t prepared = 0;

  std::mutex mutex; ///< of the fields up to the next blank line
  std::set<int> ids;
  std::set<MpiCommunicator *> communicators;
  Status aborted;

  std::atomic<bool> anyFailed{false};
};

/// What MPI says about a return code, or ok.
Status checkMpi(int code, const char *call);

class MpiCommunicator final : public Communicator {
public:
  MpiCommunicator(std::shared_ptr<MpiContext> context, CommunicatorGroup group, int rank,
                  CommunicatorOptions options);
  ~MpiCommunicator() override;

  int size() const override { return static_cast<int>(group.ranks.size()); }
  int rank() const override { return index; }
  const std::string &describe() const override { return description; }
  StatusOr<OperationId> prepare(const CollectiveOperation &operation) override;
  Status start(OperationId id, std::span<std::byte *const> bases) override;
  Status await(OperationId id) override;
  uint64_t sequence(OperationId id) const override;
  Status poll() const override;
  void abort(const std::string &reason) override;

  /// The first failure counts; from any thread.
  void fail(Status status);

private:
  Status find(OperationId id) const;
  std::string describe(const Operation &operation) const;
  int tag(const Operation &operation) const;
  std::byte *address(Operation &operation, const Message &message) const;
  Status postPhase(Operation &operation);
  Status finishPhase(Operation &operation);
  Status progress(Operation &operation);
  Status progressAll();
  void reduceOwn(Operation &operation, const LocalReduction &reduction);
  void forBlocks(int64_t count, FunctionRef<void(int64_t begin, int64_t end)> body);
  void cancel(Operation &operation);
  void finish(Operation &operation);
  std::string awaited(const Operation &operation) const;
  Status failedAwait(Operation &operation);

  std::shared_ptr<MpiContext> context;
  const CommunicatorGroup group;
  const int index;
  const CommunicatorOptions options;
  const std::string description;
  std::vector<std::unique_ptr<Operation>> operations;
  std::map<int, std::unique_ptr<uint64_t>> sequences; ///< by peer; -1 - peer receives; size all
  int inFlightHere = 0;
  std::atomic<bool> failed{false};
  mutable std::mutex mutex; ///< of `reason`
  Status reason;
  EventCount changed;
};

} // namespace titan::mpi
