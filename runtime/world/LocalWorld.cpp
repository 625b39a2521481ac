#include "runtime/world/LocalWorld.h"

#include "runtime/world/AbortState.h"
#include "runtime/world/BackgroundThread.h"
#include "runtime/world/Coordinator.h"
#include "runtime/world/Socket.h"

#include <spdlog/fmt/fmt.h>

#include <condition_variable>
#include <mutex>
#include <optional>

namespace titan {

namespace control {

using Clock = std::chrono::steady_clock;

/// The coordinator, its lock, and the thread that watches its deadlines and carries out aborts.
class LocalHub {
public:
  LocalHub(int size, const WorldOptions &options);
  LocalHub(const LocalHub &) = delete;
  ~LocalHub();

  int size() const { return coordinator.size(); }
  const std::string &host() const { return hostOfAll; }
  Status join(int rank, AbortState &abortState);
  /// The rank's world ends; without a goodbye this is a death.
  void end(int rank, const AbortState &abortState);
  Status aborted();
  Reply call(int rank, Request request);
  void abortJob(const Status &reason);
  void markDead(int rank, const std::string &how);
  void markHung(int rank);

private:
  struct Member {
    AbortState *abortState = nullptr; ///< of its world, while there is one
    bool alive = false;               ///< neither dead, hung nor gone
    std::map<uint64_t, std::optional<Reply>> pending;
  };

  void watch();
  /// Hands out replies and wakes whoever may have to look again. With the lock held.
  void publish();
  void tellAbort(std::unique_lock<std::mutex> &lock);

  std::string hostOfAll = hostName();
  std::mutex mutex; ///< guards what follows
  std::condition_variable changed;
  std::condition_variable watcherWakes;
  Coordinator coordinator;
  std::vector<Member> members;
  uint64_t lastId = 0;
  TimePoint watcherDeadline; ///< until when the watcher sleeps
  bool abortTold = false;
  bool telling = false; ///< the watcher runs callbacks, without the lock
  bool stopping = false;

  std::thread watcher;
};

LocalHub::LocalHub(int size, const WorldOptions &options)
    : coordinator(size, options, "this process", Clock::now()), members(size) {
  watcher = startBackgroundThread([this] { watch(); });
}

LocalHub::~LocalHub() {
  {
    std::lock_guard lock(mutex);
    stopping = true;
  }
  watcherWakes.notify_all();
  watcher.join();
}

void LocalHub::publish() {
  for (AddressedReply &reply : coordinator.takeReplies()) {
    auto &pending = members[reply.rank].pending;
    if (auto found = pending.find(reply.id); found != pending.end())
      found->second = std::move(reply.reply);
  }
  changed.notify_all();
  if (coordinator.nextDeadline() < watcherDeadline || !coordinator.aborted().ok())
    watcherWakes.notify_all();
}

Status LocalHub::join(int rank, AbortState &abortState) {
  std::unique_lock lock(mutex);
  TITAN_RETURN_IF_ERROR(coordinator.join(rank, hostOfAll, Clock::now()));
  members[rank].abortState = &abortState;
  members[rank].alive = true;
  publish();
  changed.wait(lock, [&] { return coordinator.complete() || !coordinator.aborted().ok(); });
  return coordinator.aborted();
}

void LocalHub::end(int rank, const AbortState &abortState) {
  std::unique_lock lock(mutex);
  // A second world for a rank was refused, and its end means nothing.
  if (members[rank].abortState != &abortState)
    return;
  members[rank].alive = false;
  coordinator.dropped(rank, "its thread ended without a goodbye", Clock::now());
  publish();
  // The watcher may be about to use the rank's abort state.
  changed.wait(lock, [&] { return !telling; });
  members[rank].abortState = nullptr;
}

Status LocalHub::aborted() {
  std::lock_guard lock(mutex);
  return coordinator.aborted();
}

Reply LocalHub::call(int rank, Request request) {
  std::unique_lock lock(mutex);
  const uint64_t id = ++lastId;
  Member &member = members[rank];
  auto entry = member.pending.emplace(id, std::nullopt).first;
  coordinator.request(rank, id, std::move(request), Clock::now());
  publish();
  changed.wait(lock, [&] { return entry->second.has_value() || !coordinator.aborted().ok(); });
  Reply reply = entry->second ? *std::move(entry->second) : Reply{.status = coordinator.aborted()};
  member.pending.erase(entry);
  return reply;
}

void LocalHub::abortJob(const Status &reason) {
  std::lock_guard lock(mutex);
  coordinator.abortJob(reason);
  publish();
}

void LocalHub::markDead(int rank, const std::string &how) {
  std::lock_guard lock(mutex);
  members[rank].alive = false;
  coordinator.dropped(rank, how, Clock::now());
  publish();
}

void LocalHub::markHung(int rank) {
  std::lock_guard lock(mutex);
  members[rank].alive = false;
}

void LocalHub::tellAbort(std::unique_lock<std::mutex> &lock) {
  abortTold = true;
  telling = true;
  const Status reason = coordinator.aborted();
  std::vector<AbortState *> states;
  for (const Member &member : members)
    if (member.abortState != nullptr)
      states.push_back(member.abortState);
  lock.unlock();
  for (AbortState *state : states)
    state->trip(reason);
  lock.lock();
  telling = false;
  changed.notify_all();
}

void LocalHub::watch() {
  std::unique_lock lock(mutex);
  while (!stopping) {
    const TimePoint now = Clock::now();
    for (int rank = 0; rank < size(); ++rank)
      if (members[rank].alive)
        coordinator.heard(rank, now);
    coordinator.tick(now);
    if (!coordinator.aborted().ok() && !abortTold)
      tellAbort(lock);
    publish();
    watcherDeadline = coordinator.nextDeadline();
    if (stopping)
      break;
    if (watcherDeadline == TimePoint::max())
      watcherWakes.wait(lock);
    else
      watcherWakes.wait_until(lock, watcherDeadline);
  }
}

namespace {

class LocalWorld : public World {
public:
  LocalWorld(int rank, LocalHub &hub, std::shared_ptr<LocalGroup> group)
      : World(rank, hub.size(), hub.host()), hub(hub), group(std::move(group)) {}
  ~LocalWorld() override { hub.end(rank(), abortState()); }

  Status join() { return hub.join(rank(), abortState()); }

protected:
  Reply call(Request request) override {
    Reply reply = hub.call(rank(), std::move(request));
    // The watcher tells every rank of an abort, but this rank is to know when its call fails.
    if (!reply.status.ok())
      if (Status reason = hub.aborted(); !reason.ok())
        abortState().trip(reason);
    return reply;
  }
  void announceAbort(const Status &reason) override { hub.abortJob(reason); }

private:
  LocalHub &hub;
  std::shared_ptr<LocalGroup> group; ///< owns the hub
};

} // namespace
} // namespace control

LocalGroup::LocalGroup(std::unique_ptr<control::LocalHub> hub) : hub(std::move(hub)) {}

LocalGroup::~LocalGroup() = default;

StatusOr<std::shared_ptr<LocalGroup>> LocalGroup::create(int size, const WorldOptions &options) {
  constexpr int kMaxThreads = 4096;
  if (size < 1 || size > kMaxThreads)
    return invalidArgument(
        fmt::format("a world of {} ranks in one process; 1 to {} are possible", size, kMaxThreads));
  TITAN_RETURN_IF_ERROR(checkWorldOptions(options));
  return std::shared_ptr<LocalGroup>(
      new LocalGroup(std::make_unique<control::LocalHub>(size, options)));
}

StatusOr<std::unique_ptr<World>> LocalGroup::join(int rank) {
  if (rank < 0 || rank >= hub->size())
    return invalidArgument(fmt::format("rank {} does not exist in a world of {}; ranks are 0 to {}",
                                       rank, hub->size(), hub->size() - 1));
  auto world = std::make_unique<control::LocalWorld>(rank, *hub, shared_from_this());
  TITAN_RETURN_IF_ERROR(world->join());
  return std::unique_ptr<World>(std::move(world));
}

void LocalGroup::markDead(int rank, const std::string &how) { hub->markDead(rank, how); }

void LocalGroup::markHung(int rank) { hub->markHung(rank); }

} // namespace titan
