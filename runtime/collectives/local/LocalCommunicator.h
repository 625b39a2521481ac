// A rank's end of a LocalGroup.
#pragma once

#include "runtime/collectives/local/LocalGroup.h"

#include <functional>
#include <memory>
#include <vector>

namespace titan::local {

class LocalCommunicator final : public Communicator {
public:
  /// `rank` is its index in the group, which it has joined; `released` is called at the end.
  LocalCommunicator(std::shared_ptr<LocalGroup> group, int rank, CommunicatorOptions options,
                    std::function<void()> released);
  ~LocalCommunicator() override;

  int size() const override { return group->size(); }
  int rank() const override { return index; }
  const std::string &describe() const override { return group->describe(); }
  StatusOr<OperationId> prepare(const CollectiveOperation &operation) override;
  Status start(OperationId id, std::span<std::byte *const> bases) override;
  Status await(OperationId id) override;
  uint64_t sequence(OperationId id) const override;
  Status poll() const override;
  void abort(const std::string &reason) override;

private:
  /// This rank's side of a channel.
  struct Endpoint {
    Channel *channel = nullptr;
    int participant = 0;
    uint64_t started = 0;                ///< latest sequence number
    std::vector<const void *> occupants; ///< operation in flight per meeting, or null
  };
  struct Operation {
    CollectiveOperation spec;
    WorkPlan plan;
    Contribution contribution;
    ResolvedPairs resolved;
    size_t bases = 0; ///< how many it refers to
    Endpoint *endpoint = nullptr;
    uint64_t sequence = 0;
    bool inFlight = false;
  };

  Endpoint &endpointFor(const CollectiveOperation &operation);
  Status find(OperationId id) const;
  int jobRank() const { return group->group().ranks[static_cast<size_t>(index)]; }
  std::string describe(const Operation &operation) const;
  void help(Operation &operation);
  Status fail(Operation &operation);
  Status timeOut(Operation &operation);
  void finish(Operation &operation);

  std::shared_ptr<LocalGroup> group;
  const int index;
  const CommunicatorOptions options;
  std::function<void()> released;
  std::vector<std::unique_ptr<Endpoint>> endpoints;
  std::vector<std::unique_ptr<Operation>> operations;
  std::vector<WorkScratch> scratch; ///< one per thread
};

} // namespace titan::local
