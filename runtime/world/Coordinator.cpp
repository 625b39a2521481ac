#include "runtime/world/Coordinator.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <charconv>

namespace titan::control {

std::string describeRanks(const std::vector<int> &ranks) {
  constexpr size_t kShown = 8;
  std::vector<std::string> ranges;
  for (size_t i = 0; i < ranks.size();) {
    size_t end = i + 1;
    while (end < ranks.size() && ranks[end] == ranks[end - 1] + 1)
      ++end;
    // "4 to 5" would be longer than the two of them.
    if (end - i <= 2)
      end = i + 1;
    ranges.push_back(end - i > 1 ? fmt::format("{} to {}", ranks[i], ranks[end - 1])
                                 : fmt::format("{}", ranks[i]));
    i = end;
  }
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  if (ranges.size() > kShown) {
    const size_t more = ranges.size() - kShown;
    ranges.resize(kShown);
    ranges.push_back(fmt::format("{} more groups", more));
  }
  for (size_t i = 0; i < ranges.size(); ++i)
    text += (i == 0 ? "" : i + 1 == ranges.size() ? " and " : ", ") + ranges[i];
  return text;
}

std::string describeSeconds(std::chrono::duration<double> length) {
  return fmt::format("{:.3g} s", length.count());
}

Coordinator::Coordinator(int size, const WorldOptions &options, std::string place, TimePoint now)
    : options(options), place(std::move(place)), start(now), lastTick(now), members(size) {}

std::string Coordinator::name(int rank) const {
  return fmt::format("rank {} on host {}", rank, members[rank].host);
}

Status Coordinator::join(int rank, std::string host, TimePoint now) {
  if (rank < 0 || rank >= size())
    return invalidArgument(fmt::format("rank {} does not exist in a world of {}; ranks are 0 to {}",
                                       rank, size(), size() - 1));
  if (members[rank].state != MemberState::absent)
    return invalidArgument(fmt::format("rank {} is there already, on host {}; each rank of a job "
                                       "needs a number of its own",
                                       rank, members[rank].host));
  TITAN_RETURN_IF_ERROR(abortReason);
  members[rank] = {MemberState::here, std::move(host), now};
  ++joined;
  return okStatus();
}

void Coordinator::answer(int rank, uint64_t id, Reply reply) {
  replies.push_back({rank, id, std::move(reply)});
}

void Coordinator::request(int rank, uint64_t id, Request request, TimePoint now) {
  if (!abortReason.ok())
    return answer(rank, id, {.status = abortReason});
  if (hasLeft(rank))
    return answer(rank, id,
                  {.status = invalidArgument(fmt::format("{} has left the job", name(rank)))});
  switch (request.kind) {
  case RequestKind::set:
    store(request.key, std::move(request.value));
    return answer(rank, id, {});
  case RequestKind::add:
    return answer(rank, id, addTo(request.key, request.amount));
  case RequestKind::get:
    if (auto found = values.find(request.key); found != values.end())
      return answer(rank, id, {.value = found->second});
    getters[request.key].insert(lastWaiter + 1);
    return wait(rank, id, std::move(request), now);
  case RequestKind::barrier:
    return arrive(rank, id, std::move(request), now);
  case RequestKind::leave:
    return leave(rank, id, std::move(request), now);
  }
}

void Coordinator::wait(int rank, uint64_t id, Request request, TimePoint now) {
  // A year stands for "forever": adding the largest duration would overflow.
  const Duration timeout =
      std::clamp<Duration>(request.timeout, Duration(0), std::chrono::hours(24 * 365));
  const TimePoint deadline = now + timeout;
  waiters.emplace(++lastWaiter, Waiter{rank, id, std::move(request), deadline});
  deadlines.emplace(deadline, lastWaiter);
}

void Coordinator::release(WaiterId waiter, Reply reply) {
  auto found = waiters.find(waiter);
  answer(found->second.rank, found->second.id, std::move(reply));
  deadlines.erase({found->second.deadline, waiter});
  waiters.erase(found);
}

void Coordinator::store(const std::string &key, std::string value) {
  if (auto found = getters.find(key); found != getters.end()) {
    for (WaiterId waiter : found->second)
      release(waiter, {.value = value});
    getters.erase(found);
  }
  values[key] = std::move(value);
}

Reply Coordinator::addTo(const std::string &key, int64_t amount) {
  int64_t sum = 0;
  if (auto found = values.find(key); found != values.end()) {
    const std::string &text = found->second;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), sum);
    if (error != std::errc() || end != text.data() + text.size())
      return {.status = invalidArgument(fmt::format(
                  "key '{}': holds '{}', which is no counter; a counter is a whole number", key,
                  text.substr(0, 40)))};
  }
  if (__builtin_add_overflow(sum, amount, &sum))
    return {.status = invalidArgument(
                fmt::format("key '{}': adding {} leaves the range of 64 bits", key, amount))};
  store(key, std::to_string(sum));
  return {.sum = sum};
}

std::vector<int> Coordinator::membersIn(MemberState state) const {
  std::vector<int> ranks;
  for (int rank = 0; rank < size(); ++rank)
    if (members[rank].state == state)
      ranks.push_back(rank);
  return ranks;
}

static Status goneFromBarrier(const std::string &barrier, const std::vector<int> &left) {
  return unavailable(
      fmt::format("barrier '{}' cannot complete: {} left the job", barrier, describeRanks(left)));
}

void Coordinator::arrive(int rank, uint64_t id, Request request, TimePoint now) {
  const std::string barrier = request.key;
  if (left > 0)
    return answer(rank, id, {.status = goneFromBarrier(barrier, membersIn(MemberState::left))});
  auto &arrived = arrivals[barrier];
  if (!arrived.emplace(rank, lastWaiter + 1).second)
    return answer(rank, id,
                  {.status = invalidArgument(fmt::format(
                       "barrier '{}': rank {} waits in it already; threads of one rank need "
                       "barriers of different names",
                       barrier, rank))});
  wait(rank, id, std::move(request), now);
  if (static_cast<int>(arrived.size()) < size())
    return;
  for (auto [member, waiter] : arrived)
    release(waiter, {});
  arrivals.erase(barrier);
}

void Coordinator::leave(int rank, uint64_t id, Request request, TimePoint now) {
  // Rank 0 stays to serve the others; it only waits.
  if (rank == 0) {
    if (lastLeaver != 0)
      return answer(rank, id, {.status = invalidArgument("rank 0 is leaving already")});
    wait(rank, id, std::move(request), now);
    lastLeaver = lastWaiter;
    return releaseLastLeaver();
  }
  members[rank].state = MemberState::left;
  ++left;
  answer(rank, id, {});
  for (auto &[barrier, arrived] : arrivals)
    for (auto [member, waiter] : arrived)
      release(waiter, {.status = goneFromBarrier(barrier, {rank})});
  arrivals.clear();
  releaseLastLeaver();
}

void Coordinator::releaseLastLeaver() {
  if (lastLeaver == 0 || left < size() - 1)
    return;
  release(std::exchange(lastLeaver, 0), {});
  members[0].state = MemberState::left;
  ++left;
}

void Coordinator::heard(int rank, TimePoint now) { members[rank].lastHeard = now; }

void Coordinator::dropped(int rank, const std::string &how, TimePoint now) {
  if (members[rank].state != MemberState::here)
    return;
  abortJob(unavailable(fmt::format("{} is gone: {}; last heard of {} ago", name(rank), how,
                                   describeSeconds(now - members[rank].lastHeard))));
}

void Coordinator::abortJob(const Status &reason) {
  if (!abortReason.ok())
    return;
  abortReason = reason;
  waiters.clear();
  deadlines.clear();
  getters.clear();
  arrivals.clear();
  lastLeaver = 0;
}

Status Coordinator::timeoutOf(const Waiter &waiter) const {
  const Request &request = waiter.request;
  const std::string limit = describeSeconds(request.timeout);
  auto failure = [](std::string text) {
    return Status(StatusCode::deadlineExceeded, std::move(text));
  };
  if (request.kind == RequestKind::get)
    return failure(fmt::format("key '{}' was not set within {}", request.key, limit));
  std::vector<int> missing;
  if (request.kind == RequestKind::leave) {
    for (int rank = 1; rank < size(); ++rank)
      if (!hasLeft(rank))
        missing.push_back(rank);
    return failure(fmt::format("{} did not leave within {}", describeRanks(missing), limit));
  }
  const auto &arrived = arrivals.at(request.key);
  for (int rank = 0; rank < size(); ++rank)
    if (!arrived.contains(rank))
      missing.push_back(rank);
  return failure(fmt::format("barrier '{}': {} did not come within {}", request.key,
                             describeRanks(missing), limit));
}

void Coordinator::expire(WaiterId id) {
  const Waiter &waiter = waiters.at(id);
  const std::string key = waiter.request.key;
  const RequestKind kind = waiter.request.kind;
  const int rank = waiter.rank;
  release(id, {.status = timeoutOf(waiter)});
  if (kind == RequestKind::leave) {
    lastLeaver = 0;
  } else if (kind == RequestKind::get) {
    auto queue = getters.find(key);
    queue->second.erase(id);
    if (queue->second.empty())
      getters.erase(queue);
  } else {
    auto arrived = arrivals.find(key);
    arrived->second.erase(rank);
    if (arrived->second.empty())
      arrivals.erase(arrived);
  }
}

void Coordinator::checkInit(TimePoint now) {
  if (complete() || now < start + options.initTimeout)
    return;
  std::string message = fmt::format("{} of {} did not come to {} within {}",
                                    describeRanks(membersIn(MemberState::absent)), size(), place,
                                    describeSeconds(options.initTimeout));
  if (!lastRefusal.empty())
    message += fmt::format("; the last one turned away: {}", lastRefusal);
  abortJob(Status(StatusCode::deadlineExceeded, std::move(message)));
}

void Coordinator::checkHeartbeats(TimePoint now) {
  // A late tick means that this process stood still (stopped, swapped out): what the ranks sent in
  // that time is still to be read, so the pause counts for nobody.
  const auto pause = now - lastTick;
  const bool stoodStill = pause > options.heartbeatTimeout / 2;
  for (int rank = 0; rank < size(); ++rank) {
    Member &member = members[rank];
    if (member.state != MemberState::here)
      continue;
    if (stoodStill)
      member.lastHeard = std::min(now, member.lastHeard + pause);
    else if (now - member.lastHeard > options.heartbeatTimeout)
      return abortJob(unavailable(fmt::format("{} is silent: last heard of {} ago, the limit is {}",
                                              name(rank), describeSeconds(now - member.lastHeard),
                                              describeSeconds(options.heartbeatTimeout))));
  }
}

void Coordinator::tick(TimePoint now) {
  if (!abortReason.ok())
    return;
  while (!deadlines.empty() && deadlines.begin()->first <= now)
    expire(deadlines.begin()->second);
  checkInit(now);
  checkHeartbeats(now);
  lastTick = now;
}

TimePoint Coordinator::nextDeadline() const {
  if (!abortReason.ok())
    return TimePoint::max();
  TimePoint next = lastTick + options.heartbeatTimeout / 8;
  if (!complete())
    next = std::min(next, start + options.initTimeout);
  if (!deadlines.empty())
    next = std::min(next, deadlines.begin()->first);
  return next;
}

} // namespace titan::control
