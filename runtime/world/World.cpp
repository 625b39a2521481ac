#include "runtime/world/World.h"

#include "runtime/world/AbortState.h"
#include "runtime/world/Coordinator.h"

#include <spdlog/fmt/fmt.h>

namespace titan {

namespace control {

void AbortState::trip(const Status &reason) {
  {
    std::lock_guard lock(reasonMutex);
    if (!why.ok())
      return;
    why = reason;
    tripped.store(true, std::memory_order_release);
  }
  std::lock_guard lock(callbackMutex);
  for (auto &[id, callback] : callbacks)
    callback(reason);
  callbacks.clear();
}

Status AbortState::reason() const {
  std::lock_guard lock(reasonMutex);
  return why;
}

uint64_t AbortState::add(std::function<void(const Status &)> callback) {
  std::lock_guard lock(callbackMutex);
  if (isTripped()) {
    callback(reason());
    return 0;
  }
  callbacks.emplace(++lastId, std::move(callback));
  return lastId;
}

void AbortState::remove(uint64_t id) {
  std::lock_guard lock(callbackMutex);
  callbacks.erase(id);
}

} // namespace control

Status checkWorldOptions(const WorldOptions &options) {
  auto check = [](const char *name, Duration value, Duration least) {
    if (value >= least && value <= std::chrono::hours(24 * 365))
      return okStatus();
    return invalidArgument(
        fmt::format("{} is {} ms; it must be {} ms to a year", name, value.count(), least.count()));
  };
  TITAN_RETURN_IF_ERROR(check("the time to start", options.initTimeout, Duration(1)));
  TITAN_RETURN_IF_ERROR(check("the heartbeat interval", options.heartbeatInterval, Duration(1)));
  return check("the heartbeat timeout", options.heartbeatTimeout, 2 * options.heartbeatInterval);
}

AbortSubscription::AbortSubscription(std::shared_ptr<control::AbortState> state, uint64_t id)
    : state(std::move(state)), id(id) {}

AbortSubscription::AbortSubscription(AbortSubscription &&other) noexcept
    : state(std::move(other.state)), id(other.id) {}

AbortSubscription &AbortSubscription::operator=(AbortSubscription &&other) noexcept {
  if (this != &other) {
    remove();
    state = std::move(other.state);
    id = other.id;
  }
  return *this;
}

AbortSubscription::~AbortSubscription() { remove(); }

void AbortSubscription::remove() {
  if (state && id != 0)
    state->remove(id);
  state.reset();
}

World::World(int rank, int size, std::string host)
    : ownRank(rank), ranks(size), ownHost(std::move(host)),
      state(std::make_shared<control::AbortState>()) {}

World::~World() = default;

Status World::checkKey(std::string_view key) const {
  if (key.empty() || key.size() > kMaxKeyBytes)
    return invalidArgument(
        fmt::format("a key of {} bytes; keys have 1 to {}", key.size(), kMaxKeyBytes));
  return okStatus();
}

Status World::set(std::string_view key, std::string_view value) {
  TITAN_RETURN_IF_ERROR(checkKey(key));
  if (value.size() > kMaxValueBytes)
    return invalidArgument(fmt::format("key '{}': a value of {} bytes; at most {} are possible",
                                       key, value.size(), kMaxValueBytes));
  return call({.kind = control::RequestKind::set,
               .key = std::string(key),
               .value = std::string(value)})
      .status;
}

StatusOr<std::string> World::get(std::string_view key, Duration timeout) {
  TITAN_RETURN_IF_ERROR(checkKey(key));
  control::Reply reply =
      call({.kind = control::RequestKind::get, .key = std::string(key), .timeout = timeout});
  TITAN_RETURN_IF_ERROR(reply.status);
  return std::move(reply.value);
}

StatusOr<int64_t> World::add(std::string_view key, int64_t amount) {
  TITAN_RETURN_IF_ERROR(checkKey(key));
  control::Reply reply =
      call({.kind = control::RequestKind::add, .key = std::string(key), .amount = amount});
  TITAN_RETURN_IF_ERROR(reply.status);
  return reply.sum;
}

Status World::barrier(std::string_view name, Duration timeout) {
  TITAN_RETURN_IF_ERROR(checkKey(name));
  return call({.kind = control::RequestKind::barrier, .key = std::string(name), .timeout = timeout})
      .status;
}

void World::abortJob(const Status &reason) {
  const Status named =
      reason.withContext(fmt::format("rank {} on host {} aborted", ownRank, ownHost));
  if (named.ok() || isAborted())
    return;
  // The others first: a callback of this rank may take its time.
  announceAbort(named);
  state->trip(named);
}

Status World::aborted() const { return state->reason(); }

bool World::isAborted() const { return state->isTripped(); }

AbortSubscription World::onAbort(std::function<void(const Status &)> callback) {
  return AbortSubscription(state, state->add(std::move(callback)));
}

Status World::leave(Duration timeout) {
  return call({.kind = control::RequestKind::leave, .timeout = timeout}).status;
}

} // namespace titan
