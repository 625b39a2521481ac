// What the ranks of one group share when they are threads of one process: the places where their
// starts meet, and the group's failure.
#pragma once

#include "runtime/collectives/Communicator.h"
#include "runtime/collectives/Futex.h"
#include "runtime/collectives/local/WorkPlan.h"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace titan::local {

/// What one rank brings to a meeting.
struct Contribution {
  const ResolvedPairs *pairs = nullptr;
  uint64_t signature = 0;
  format::Collective collective = format::Collective::allReduce;
  int64_t bytes = 0;
};

/// Room that one working thread needs, with one element per rank.
struct WorkScratch {
  explicit WorkScratch(int ranks)
      : pairs(static_cast<size_t>(ranks)), addresses(static_cast<size_t>(ranks)) {}
  std::vector<const ResolvedPairs *> pairs;
  std::vector<const std::byte *> addresses;
};

/// One operation in flight: where its participants meet and share out the work. It serves one
/// sequence number after another, `depth` apart; sequence number s is over on all ranks before
/// s + depth begins, so everything that counts up tells which one it belongs to.
struct Meeting {
  explicit Meeting(int participants)
      : contributions(static_cast<size_t>(participants)),
        arrived(static_cast<size_t>(participants)), lanes(static_cast<size_t>(participants)) {}

  struct alignas(64) Lane {
    std::atomic<uint64_t> next{0}; ///< low half of the sequence number, index of the next chunk
  };

  std::vector<Contribution> contributions;
  std::vector<std::atomic<uint64_t>> arrived; ///< sequence number of each one's latest start
  std::atomic<uint64_t> arrivals{0};          ///< of all sequence numbers together
  std::atomic<uint64_t> opened{0};            ///< latest sequence number whose work may begin
  std::atomic<uint64_t> completed{0};         ///< latest sequence number that is done
  std::vector<Lane> lanes;
  std::atomic<uint32_t> remaining{0}; ///< chunks of the latest opened sequence number
  EventCount changed;
};

/// Meetings in the order of the sequence numbers, among the group or from one rank to another.
struct Channel {
  Channel(std::vector<int> participants, int depth);

  /// Sequence numbers begin at 1.
  Meeting &meeting(uint64_t sequence) { return *meetings[(sequence - 1) % meetings.size()]; }

  std::vector<int> participants; ///< ranks within the group
  std::vector<std::unique_ptr<Meeting>> meetings;
};

class LocalGroup {
public:
  LocalGroup(CommunicatorGroup group, int depth);

  const CommunicatorGroup &group() const { return members; }
  int size() const { return static_cast<int>(members.ranks.size()); }
  int depth() const { return meetingsPerChannel; }
  const std::string &describe() const { return description; }

  Channel &everyone() { return *all; }
  /// From one rank to another; made when either first asks.
  Channel &between(int from, int to);

  /// A rank's end. With operations in flight it stops all work in the group, which can never be
  /// completed then, and waits until none is under way.
  void leave(int rank, bool inFlight);
  bool wasLeft() const { return anyLeft.load(); }

  /// Brings a contribution to sequence number `sequence`. The last to come opens the work. Fails
  /// the group when the contributions do not fit each other.
  void arrive(Channel &channel, int participant, uint64_t sequence, const Contribution &mine,
              const WorkPlan &plan);

  /// Does chunks of an opened meeting until none is left to claim.
  void work(Channel &channel, int participant, uint64_t sequence, const WorkPlan &plan,
            WorkScratch &scratch);

  /// Group ranks that have not come to a meeting, or that have left the group.
  std::vector<int> awaited(Channel &channel, uint64_t sequence) const;
  bool isStuck(const Meeting &meeting, uint64_t sequence) const {
    return meeting.opened.load() < sequence || silenced.load();
  }

  /// The first failure counts; it wakes everyone.
  void fail(Status status);
  bool hasFailed() const { return failed.load(); }
  Status failure() const;
  /// After a failure: returns when no thread works on anyone's memory any more.
  void awaitQuiet();

  /// Ranks of the job, from ranks of the group.
  std::vector<int> jobRanks(std::span<const int> groupRanks) const;

private:
  bool beginWork();
  void endWork();
  void open(Channel &channel, Meeting &meeting, uint64_t sequence, const WorkPlan &plan);
  Status compare(const Channel &channel, const Meeting &meeting, uint64_t sequence) const;

  CommunicatorGroup members;
  std::string description;
  int meetingsPerChannel;
  std::unique_ptr<Channel> all;

  mutable std::mutex mutex; ///< of the fields up to the next blank line
  std::map<std::pair<int, int>, std::unique_ptr<Channel>> pairs;
  Status reason;

  std::vector<std::atomic<bool>> left;
  std::atomic<bool> anyLeft{false};
  std::atomic<bool> failed{false};
  std::atomic<bool> silenced{false}; ///< a rank left with operations in flight
  std::atomic<uint32_t> working{0};  ///< threads within work()
  EventCount quiet;
};

} // namespace titan::local
