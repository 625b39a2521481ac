// A group of GPUs.
#pragma once

#include "runtime/device/cuda/NcclPlane.h"

namespace titan::cuda {

/// A communicator of NCCL, and the stream that its operations run in.
struct NcclChannel {
  std::string key;           ///< of what its ranks tell each other
  std::vector<int> jobRanks; ///< its members
  int rank = 0;              ///< among them
  NcclHandle handle = nullptr;
  bool isConnected = false;
  bool isPaired = false; ///< two ranks have had their first exchange
  Stream stream = nullptr;
  EventHandle ready = nullptr; ///< the compute stream has come to the latest start; before the
                               ///< first, the channel's stream to the end of the first exchange
  uint64_t sequence = 0;       ///< of the latest start
};

class NcclCommunicator final : public Communicator {
public:
  NcclCommunicator(std::shared_ptr<NcclContext> context, CommunicatorGroup group, int rank,
                   CommunicatorOptions options, std::string key);
  ~NcclCommunicator() override;

  int size() const override { return static_cast<int>(group.ranks.size()); }
  int rank() const override { return index; }
  const std::string &describe() const override { return description; }
  StatusOr<OperationId> prepare(const CollectiveOperation &operation) override;
  Status start(OperationId id, std::span<std::byte *const> bases) override;
  Status await(OperationId id) override;
  uint64_t sequence(OperationId id) const override;
  Status poll() const override { return context->poll(); }
  void abort(const std::string &reason) override;

  /// Begins to meet the other ranks of all channels; waits for those that have not announced them.
  Status beginConnect(EventCount::Clock::time_point deadline);
  Status finishConnect(EventCount::Clock::time_point deadline);
  /// NCCL connects two ranks in their first exchange, for which both hosts wait: here, one channel
  /// after another in an order that all ranks have, so that no start has to. Also waits for the
  /// GPU, where an exchange that is not done might hold up the next.
  Status exchangeFirst(EventCount::Clock::time_point deadline);
  /// Looks for failures and operations that take too long; of the watchdog.
  void watch();
  /// What is to be ended after a failure; the channels no longer have them.
  std::vector<NcclHandle> takeHandles();

private:
  using Clock = EventCount::Clock;

  struct Operation {
    CollectiveOperation spec;
    NcclChannel *channel = nullptr;
    size_t bases = 0;           ///< how many its addresses refer to
    EventHandle done = nullptr; ///< recorded behind it
    uint64_t sequence = 0;
    bool inFlight = false;  ///< started and not awaited
    bool isPending = false; ///< in the stream, for all that the watchdog knows
  };

  StatusOr<NcclChannel *> getChannel(const CollectiveOperation &operation);
  /// Lets the other ranks know how to find a channel; waits for nobody.
  Status announce(NcclChannel &channel, std::vector<int> jobRanks, int rank);
  Status issue(const Operation &operation, std::span<std::byte *const> bases);
  Status issuePair(const Operation &operation, const BufferPair &pair,
                   std::span<std::byte *const> bases);
  bool hasBegun(const NcclChannel &channel);
  StatusOr<bool> isSettled(NcclChannel &channel);
  Status settle(NcclChannel &channel, Clock::time_point deadline);
  Status awaitPeers(NcclChannel &channel, EventHandle event, Clock::time_point deadline);
  Status enqueue(Operation &operation, std::span<std::byte *const> bases);
  Status record(Operation &operation);
  std::string describe(const Operation &operation) const;
  std::string findMissing(const NcclChannel &channel, uint64_t sequence) const;
  Status check(int result, const char *what, const NcclChannel &channel) const {
    return context->library->check(result, what, channel.handle);
  }
  const Operation *findOverdue();
  Status finalize(NcclChannel &channel, Clock::time_point deadline);
  void endChannels();

  std::shared_ptr<NcclContext> context;
  const CommunicatorGroup group;
  const int index;
  const CommunicatorOptions options;
  const std::string description, key;

  std::mutex mutex; ///< of the rest, which the watchdog reads
  /// By who sends and who receives, of the group; twice size() is that of all ranks. So both ends
  /// of channels have them in one order.
  std::map<std::pair<int, int>, std::unique_ptr<NcclChannel>> channels;
  std::vector<std::unique_ptr<Operation>> operations;
  int inFlight = 0;
  int numPending = 0;         ///< operations that are pending
  Clock::time_point progress; ///< when an operation last ended, or began alone
};

} // namespace titan::cuda
