#include "runtime/collectives/local/LocalCommunicator.h"

#include <algorithm>
#include <utility>

namespace titan::local {

using format::Collective;

LocalCommunicator::LocalCommunicator(std::shared_ptr<LocalGroup> group, int rank,
                                     CommunicatorOptions options, std::function<void()> released)
    : group(std::move(group)), index(rank), options(std::move(options)),
      released(std::move(released)) {
  const int threads = this->options.parallelFor ? std::max(this->options.threads, 1) : 1;
  scratch.assign(static_cast<size_t>(threads), WorkScratch(size()));
}

LocalCommunicator::~LocalCommunicator() {
  group->leave(index, std::any_of(operations.begin(), operations.end(),
                                  [](const auto &it) { return it->inFlight; }));
  released();
}

LocalCommunicator::Endpoint &LocalCommunicator::endpointFor(const CollectiveOperation &operation) {
  const int peer = static_cast<int>(operation.peer);
  const bool sends = operation.collective == Collective::send;
  const bool receives = operation.collective == Collective::receive;
  Channel &channel = sends      ? group->between(index, peer)
                     : receives ? group->between(peer, index)
                                : group->everyone();
  for (const auto &endpoint : endpoints)
    if (endpoint->channel == &channel)
      return *endpoint;
  auto endpoint = std::make_unique<Endpoint>();
  endpoint->channel = &channel;
  endpoint->participant = sends ? 0 : receives ? 1 : index;
  endpoint->occupants.resize(channel.meetings.size());
  endpoints.push_back(std::move(endpoint));
  return *endpoints.back();
}

StatusOr<OperationId> LocalCommunicator::prepare(const CollectiveOperation &operation) {
  TITAN_RETURN_IF_ERROR(checkOperation(operation, size(), index).withContext(group->describe()));
  Endpoint &endpoint = endpointFor(operation);
  const int participants = static_cast<int>(endpoint.channel->participants.size());
  const Contribution contribution{nullptr, signatureOf(operation), operation.collective,
                                  bytesOf(operation)};
  auto added = std::make_unique<Operation>(
      Operation{operation, WorkPlan(operation, participants), contribution, {}, 0, &endpoint});
  added->contribution.pairs = &added->resolved;
  added->resolved.sources.resize(operation.pairs.size());
  added->resolved.destinations.resize(operation.pairs.size());
  added->bases = numBases(operation);
  operations.push_back(std::move(added));
  return static_cast<OperationId>(operations.size()) - 1;
}

std::string LocalCommunicator::describe(const Operation &operation) const {
  return describeOperation(jobRank(), operation.spec.collective, group->describe(),
                           operation.sequence);
}

Status LocalCommunicator::find(OperationId id) const {
  return checkId(id, operations.size(), group->describe());
}

Status LocalCommunicator::start(OperationId id, std::span<std::byte *const> bases) {
  TITAN_RETURN_IF_ERROR(find(id));
  Operation &operation = *operations[static_cast<size_t>(id)];
  if (group->hasFailed())
    return poll();
  if (Status status = checkStart(operation.inFlight, operation.bases, bases.size()); !status.ok())
    return status.withContext(describe(operation));
  Endpoint &endpoint = *operation.endpoint;
  const void *&occupant = endpoint.occupants[endpoint.started % endpoint.occupants.size()];
  if (occupant)
    return tooManyInFlight(describe(operation), endpoint.occupants.size());
  occupant = &operation;
  operation.inFlight = true;
  operation.sequence = ++endpoint.started;
  for (size_t i = 0; i < operation.spec.pairs.size(); ++i) {
    operation.resolved.sources[i] = operation.spec.pairs[i].source.resolve(bases);
    operation.resolved.destinations[i] = operation.spec.pairs[i].destination.resolve(bases);
  }
  group->arrive(*endpoint.channel, endpoint.participant, operation.sequence, operation.contribution,
                operation.plan);
  return okStatus();
}

void LocalCommunicator::help(Operation &operation) {
  auto workAs = [&](WorkScratch &room) {
    group->work(*operation.endpoint->channel, operation.endpoint->participant, operation.sequence,
                operation.plan, room);
  };
  if (scratch.size() == 1 || !operation.plan.isLarge())
    return workAs(scratch[0]);
  // Blocks are handed out one by one: each is one thread's room.
  options.parallelFor(static_cast<int64_t>(scratch.size()), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      workAs(scratch[static_cast<size_t>(i)]);
  });
}

void LocalCommunicator::finish(Operation &operation) {
  Endpoint &endpoint = *operation.endpoint;
  endpoint.occupants[(operation.sequence - 1) % endpoint.occupants.size()] = nullptr;
  operation.inFlight = false;
}

Status LocalCommunicator::fail(Operation &operation) {
  group->awaitQuiet();
  finish(operation);
  const std::vector<int> missing = group->awaited(*operation.endpoint->channel, operation.sequence);
  const Status reason = group->failure();
  std::string message = describe(operation) + ": " + reason.message();
  if (!missing.empty())
    message += " (while waiting for " + describeRanks(group->jobRanks(missing)) + ")";
  return {reason.code(), std::move(message)};
}

Status LocalCommunicator::timeOut(Operation &operation) {
  const std::vector<int> missing = group->awaited(*operation.endpoint->channel, operation.sequence);
  const Status status(StatusCode::deadlineExceeded,
                      describe(operation) + ": waited " + std::to_string(options.timeout.count()) +
                          " ms for " + describeRanks(group->jobRanks(missing)));
  group->fail(status);
  group->awaitQuiet();
  finish(operation);
  return status;
}

Status LocalCommunicator::await(OperationId id) {
  TITAN_RETURN_IF_ERROR(find(id));
  Operation &operation = *operations[static_cast<size_t>(id)];
  TITAN_RETURN_IF_ERROR(
      checkAwait(operation.inFlight, id, operation.spec.collective, group->describe()));
  Meeting &meeting = operation.endpoint->channel->meeting(operation.sequence);
  const EventCount::Clock::time_point deadline = EventCount::Clock::now() + options.timeout;
  for (;;) {
    const uint32_t seen = meeting.changed.current();
    if (meeting.opened.load() == operation.sequence)
      help(operation);
    if (meeting.completed.load() >= operation.sequence) {
      finish(operation);
      return okStatus();
    }
    if (group->hasFailed())
      return fail(operation);
    const EventCount::Clock::time_point now = EventCount::Clock::now();
    if (now < deadline) {
      meeting.changed.wait(seen, deadline);
      continue;
    }
    // Once all have come, the data is being moved, however long that takes.
    if (group->isStuck(meeting, operation.sequence))
      return timeOut(operation);
    meeting.changed.wait(seen, now + std::chrono::seconds(1));
  }
}

uint64_t LocalCommunicator::sequence(OperationId id) const {
  return find(id).ok() ? operations[static_cast<size_t>(id)]->sequence : 0;
}

Status LocalCommunicator::poll() const {
  return group->hasFailed() ? group->failure() : okStatus();
}

void LocalCommunicator::abort(const std::string &reason) {
  group->fail(unavailable("rank " + std::to_string(jobRank()) + " aborts: " + reason));
}

} // namespace titan::local
