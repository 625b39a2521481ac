// What rank 0 knows: who is there, the store, who waits for what, and whether the job is aborted.
//
// A state machine without threads, clocks or sockets: transports feed it events with the time and
// carry away its replies. TcpServer and LocalWorld are the two transports, which therefore agree.
//
// Example, two ranks:
//   join(0), join(1)                         complete() is true
//   request(0, 7, barrier "start")           no reply yet
//   request(1, 3, barrier "start")           replies {rank 0, id 7, ok}, {rank 1, id 3, ok}
//   tick(now + heartbeatTimeout)             with no heard(1): aborted() names rank 1
#pragma once

#include "runtime/world/World.h"

#include <map>
#include <set>
#include <utility>
#include <vector>

namespace titan::control {

using TimePoint = std::chrono::steady_clock::time_point;

enum class RequestKind : uint8_t { set, get, add, barrier, leave };
inline constexpr uint8_t kRequestKinds = 5;

struct Request {
  RequestKind kind = RequestKind::set;
  std::string key = {};   ///< also a barrier's name; empty for leave
  std::string value = {}; ///< of set
  int64_t amount = 0;     ///< of add
  Duration timeout = {};  ///< of get, barrier and leave
};

struct Reply {
  Status status = {};
  std::string value = {}; ///< of get
  int64_t sum = 0;        ///< of add
};

struct AddressedReply {
  int rank = 0;
  uint64_t id = 0; ///< the request's
  Reply reply;
};

class Coordinator {
public:
  /// `place` names the rendezvous in the error about ranks that did not come.
  Coordinator(int size, const WorldOptions &options, std::string place, TimePoint now);

  /// A rank has come. Fails, and changes nothing, if the rank is none of the world's or is there.
  Status join(int rank, std::string host, TimePoint now);
  /// Remembers why a peer that wanted to join was turned away, for the error about missing ranks.
  void turnedAway(std::string why) { lastRefusal = std::move(why); }
  /// A rank's request; `id` is the caller's, for the reply, and differs among a rank's pending
  /// ones.
  void request(int rank, uint64_t id, Request request, TimePoint now);
  /// A sign of life.
  void heard(int rank, TimePoint now);
  /// The way to a rank is lost; aborts unless it has left. `how` completes "rank 1 is gone: ".
  void dropped(int rank, const std::string &how, TimePoint now);
  /// A rank asks to end the job; `reason` names it. The first reason stays.
  void abortJob(const Status &reason);
  /// Expires what is due. To be called at nextDeadline() at the latest.
  void tick(TimePoint now);
  TimePoint nextDeadline() const;

  int size() const { return static_cast<int>(members.size()); }
  /// Every rank has joined (some may have left since).
  bool complete() const { return joined == size(); }
  bool hasLeft(int rank) const { return members[rank].state == MemberState::left; }
  const Status &aborted() const { return abortReason; }
  /// The replies since the last call. After an abort none come for requests that were waiting: the
  /// transport tells every rank of the abort instead.
  std::vector<AddressedReply> takeReplies() { return std::exchange(replies, {}); }

private:
  enum class MemberState : uint8_t { absent, here, left };
  struct Member {
    MemberState state = MemberState::absent;
    std::string host;
    TimePoint lastHeard;
  };
  /// A request that waits.
  struct Waiter {
    int rank;
    uint64_t id;
    Request request;
    TimePoint deadline;
  };
  using WaiterId = uint64_t;

  void answer(int rank, uint64_t id, Reply reply);
  void wait(int rank, uint64_t id, Request request, TimePoint now);
  /// Removes the waiter from everything but the queue of its key or barrier, and replies.
  void release(WaiterId waiter, Reply reply);
  void expire(WaiterId waiter);
  void store(const std::string &key, std::string value);
  Reply addTo(const std::string &key, int64_t amount);
  void arrive(int rank, uint64_t id, Request request, TimePoint now);
  void leave(int rank, uint64_t id, Request request, TimePoint now);
  void releaseLastLeaver();
  std::vector<int> membersIn(MemberState state) const;
  std::string name(int rank) const;
  Status timeoutOf(const Waiter &waiter) const;
  void checkInit(TimePoint now);
  void checkHeartbeats(TimePoint now);

  WorldOptions options;
  std::string place;
  TimePoint start;
  TimePoint lastTick;
  std::vector<Member> members;
  int joined = 0; ///< ever
  int left = 0;
  std::string lastRefusal;
  Status abortReason;

  std::map<std::string, std::string> values;
  WaiterId lastWaiter = 0;
  std::map<WaiterId, Waiter> waiters;
  std::set<std::pair<TimePoint, WaiterId>> deadlines;
  std::map<std::string, std::set<WaiterId>> getters;       ///< by key
  std::map<std::string, std::map<int, WaiterId>> arrivals; ///< by barrier, then rank
  WaiterId lastLeaver = 0;                                 ///< rank 0's leave, while it waits
  std::vector<AddressedReply> replies;
};

/// "rank 3", "ranks 0, 2 to 5 and 9"; ascending ranks, at least one. Long lists are cut.
std::string describeRanks(const std::vector<int> &ranks);
/// "0.4 s", "300 s".
std::string describeSeconds(std::chrono::duration<double> length);

} // namespace titan::control
