#include "runtime/collectives/mpi/MpiCommunicator.h"

#include "runtime/collectives/Reduce.h"

#include <algorithm>
#include <utility>

namespace titan::mpi {

using format::Collective;

namespace {

// A message's tag: group id, point to point or not, phase, and the low bits of the sequence number,
// so that messages of operations in flight at the same time meet their likes whatever the order in
// which they are posted.
constexpr int kSequenceBits = 10;
constexpr int kPhaseShift = kSequenceBits, kKindShift = kPhaseShift + 1, kIdShift = kKindShift + 1;

constexpr int64_t kReduceBlock = int64_t{1} << 14;    // elements
constexpr int64_t kHelpedElements = int64_t{1} << 17; // from here on the other threads help
constexpr std::chrono::microseconds kShortestSleep{20}, kLongestSleep{500};

} // namespace

Status checkMpi(int code, const char *call) {
  if (code == MPI_SUCCESS)
    return okStatus();
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  return internalError(std::string(call) + ": " + std::string(text, static_cast<size_t>(length)));
}

MpiCommunicator::MpiCommunicator(std::shared_ptr<MpiContext> context, CommunicatorGroup group,
                                 int rank, CommunicatorOptions options)
    : context(std::move(context)), group(std::move(group)), index(rank),
      options(std::move(options)), description(describeGroup(this->group)) {
  const std::lock_guard lock(this->context->mutex);
  this->context->communicators.insert(this);
  if (!this->context->aborted.ok()) {
    reason = this->context->aborted;
    failed.store(true);
  }
}

MpiCommunicator::~MpiCommunicator() {
  for (const auto &operation : operations)
    if (operation->inFlight)
      cancel(*operation);
  const std::lock_guard lock(context->mutex);
  context->communicators.erase(this);
  context->ids.erase(group.id);
  context->prepared -= operations.size();
}

StatusOr<OperationId> MpiCommunicator::prepare(const CollectiveOperation &operation) {
  TITAN_RETURN_IF_ERROR(checkOperation(operation, size(), index).withContext(description));
  auto added = std::make_unique<Operation>();
  added->spec = operation;
  added->plan = planMessages(operation, size(), index, context->options.maxMessageBytes);
  added->owner = this;
  std::unique_ptr<uint64_t> &counted = sequences[sequenceOf(operation, size())];
  if (!counted)
    counted = std::make_unique<uint64_t>(0);
  added->sequences = counted.get();
  added->sources.resize(operation.pairs.size());
  added->destinations.resize(operation.pairs.size());
  added->bases = numBases(operation);
  added->contributions.resize(static_cast<size_t>(size()));
  added->workspace.resize(static_cast<size_t>(added->plan.workspaceBytes));
  size_t messages = 0;
  for (const MessagePlan::Phase &phase : added->plan.phases)
    messages = std::max(messages, phase.messages.size());
  added->requests.assign(messages, MPI_REQUEST_NULL);
  operations.push_back(std::move(added));
  context->inFlight.reserve(++context->prepared);
  return static_cast<OperationId>(operations.size()) - 1;
}

Status MpiCommunicator::find(OperationId id) const {
  return checkId(id, operations.size(), description);
}

std::string MpiCommunicator::describe(const Operation &operation) const {
  return describeOperation(context->rank, operation.spec.collective, description,
                           operation.sequence);
}

int MpiCommunicator::tag(const Operation &operation) const {
  const int sequence = static_cast<int>(operation.sequence & ((1 << kSequenceBits) - 1));
  return group.id << kIdShift | int(isPointToPoint(operation.spec.collective)) << kKindShift |
         static_cast<int>(operation.phase) << kPhaseShift | sequence;
}

std::byte *MpiCommunicator::address(Operation &operation, const Message &message) const {
  switch (message.side) {
  case Message::Side::source:
    return operation.sources[message.pair] + message.offset;
  case Message::Side::destination:
    return operation.destinations[message.pair] + message.offset;
  case Message::Side::workspace:
    break;
  }
  return operation.workspace.data() + message.offset;
}

Status MpiCommunicator::postPhase(Operation &operation) {
  const std::vector<Message> &messages = operation.plan.phases[operation.phase].messages;
  const int messageTag = tag(operation);
  // Receives first: what arrives then goes straight to its place.
  for (bool sends : {false, true})
    for (size_t i = 0; i < messages.size(); ++i) {
      const Message &message = messages[i];
      if (message.isSend != sends)
        continue;
      std::byte *data = address(operation, message);
      const int count = static_cast<int>(message.bytes);
      const int peer = group.ranks[static_cast<size_t>(message.peer)];
      MPI_Request *request = &operation.requests[i];
      const int code =
          sends ? MPI_Isend(data, count, MPI_BYTE, peer, messageTag, context->comm, request)
                : MPI_Irecv(data, count, MPI_BYTE, peer, messageTag, context->comm, request);
      TITAN_RETURN_IF_ERROR(checkMpi(code, sends ? "MPI_Isend" : "MPI_Irecv"));
    }
  return okStatus();
}

Status MpiCommunicator::start(OperationId id, std::span<std::byte *const> bases) {
  TITAN_RETURN_IF_ERROR(find(id));
  Operation &operation = *operations[static_cast<size_t>(id)];
  if (failed.load())
    return poll();
  if (Status status = checkStart(operation.inFlight, operation.bases, bases.size()); !status.ok())
    return status.withContext(describe(operation));
  if (inFlightHere >= options.maxInFlight)
    return tooManyInFlight(describe(operation), static_cast<size_t>(options.maxInFlight));
  for (size_t i = 0; i < operation.spec.pairs.size(); ++i) {
    operation.sources[i] = operation.spec.pairs[i].source.resolve(bases);
    operation.destinations[i] = operation.spec.pairs[i].destination.resolve(bases);
  }
  operation.sequence = ++*operation.sequences;
  operation.phase = 0;
  operation.done = false;
  operation.inFlight = true;
  ++inFlightHere;
  context->inFlight.push_back(&operation);
  if (Status status = postPhase(operation); !status.ok()) {
    fail(status.withContext(describe(operation)));
    return poll();
  }
  return okStatus();
}

void MpiCommunicator::forBlocks(int64_t count, FunctionRef<void(int64_t, int64_t)> body) {
  if (!options.parallelFor || count < kHelpedElements)
    return body(0, count);
  options.parallelFor((count + kReduceBlock - 1) / kReduceBlock, [&](int64_t first, int64_t last) {
    body(first * kReduceBlock, std::min(count, last * kReduceBlock));
  });
}

void MpiCommunicator::reduceOwn(Operation &operation, const LocalReduction &it) {
  const DType type = operation.spec.pairs[it.pair].type;
  const std::byte *others = operation.workspace.data() + it.workspaceOffset;
  for (int from = 0; from < size(); ++from) {
    const int slot = from < index ? from : from - 1;
    operation.contributions[static_cast<size_t>(from)] =
        from == index ? operation.sources[it.pair] + it.sourceOffset
                      : others + slot * it.count * byteSize(type);
  }
  std::byte *out = operation.destinations[it.pair] + it.destinationOffset;
  forBlocks(it.count, [&](int64_t begin, int64_t end) {
    reduce(type, operation.spec.reduction, operation.contributions, out, begin, end);
  });
}

Status MpiCommunicator::finishPhase(Operation &operation) {
  const MessagePlan::Phase &phase = operation.plan.phases[operation.phase];
  for (const LocalReduction &reduction : phase.reductions)
    reduceOwn(operation, reduction);
  for (const LocalCopy &copy : phase.copies)
    copyBytes(operation.destinations[copy.pair] + copy.destinationOffset,
              operation.sources[copy.pair] + copy.sourceOffset, copy.bytes, /*streaming=*/false);
  if (++operation.phase < operation.plan.phases.size())
    return postPhase(operation);
  operation.done = true;
  return okStatus();
}

Status MpiCommunicator::progress(Operation &operation) {
  while (!operation.done) {
    const size_t count = operation.plan.phases[operation.phase].messages.size();
    bool complete = true;
    for (size_t i = 0; i < count; ++i) {
      if (operation.requests[i] == MPI_REQUEST_NULL)
        continue;
      int arrived = 0;
      TITAN_RETURN_IF_ERROR(
          checkMpi(MPI_Test(&operation.requests[i], &arrived, MPI_STATUS_IGNORE), "MPI_Test"));
      complete = complete && arrived;
    }
    if (!complete)
      return okStatus();
    TITAN_RETURN_IF_ERROR(finishPhase(operation));
  }
  return okStatus();
}

Status MpiCommunicator::progressAll() {
  // Others' operations too: their second phases may be what a rank waits for that we wait for.
  for (Operation *operation : context->inFlight) {
    if (operation->done || operation->owner->failed.load())
      continue;
    if (Status status = operation->owner->progress(*operation); !status.ok())
      operation->owner->fail(status.withContext(operation->owner->describe(*operation)));
  }
  return failed.load() ? poll() : okStatus();
}

std::string MpiCommunicator::awaited(const Operation &operation) const {
  std::set<int> peers;
  if (!operation.done) {
    const std::vector<Message> &messages = operation.plan.phases[operation.phase].messages;
    for (size_t i = 0; i < messages.size(); ++i)
      if (operation.requests[i] != MPI_REQUEST_NULL)
        peers.insert(group.ranks[static_cast<size_t>(messages[i].peer)]);
  }
  return peers.empty() ? "" : describeRanks(std::vector<int>(peers.begin(), peers.end()));
}

void MpiCommunicator::cancel(Operation &operation) {
  if (!operation.done) {
    const std::vector<Message> &messages = operation.plan.phases[operation.phase].messages;
    for (size_t i = 0; i < messages.size(); ++i) {
      if (operation.requests[i] == MPI_REQUEST_NULL)
        continue;
      if (!messages[i].isSend)
        MPI_Cancel(&operation.requests[i]);
      MPI_Request_free(&operation.requests[i]);
    }
  }
  finish(operation);
}

void MpiCommunicator::finish(Operation &operation) {
  operation.inFlight = false;
  --inFlightHere;
  std::erase(context->inFlight, &operation);
}

Status MpiCommunicator::failedAwait(Operation &operation) {
  const std::string waitedFor = awaited(operation);
  const Status found = poll();
  std::string message = found.message();
  // A failure that this very operation ran into names it already.
  if (const std::string own = describe(operation); message.compare(0, own.size(), own) != 0)
    message = own + ": " + message;
  if (!waitedFor.empty())
    message += " (while waiting for " + waitedFor + ")";
  cancel(operation);
  return {found.code(), std::move(message)};
}

Status MpiCommunicator::await(OperationId id) {
  TITAN_RETURN_IF_ERROR(find(id));
  Operation &operation = *operations[static_cast<size_t>(id)];
  TITAN_RETURN_IF_ERROR(checkAwait(operation.inFlight, id, operation.spec.collective, description));
  const EventCount::Clock::time_point deadline = EventCount::Clock::now() + options.timeout;
  std::chrono::microseconds sleep = kShortestSleep;
  for (;;) {
    const uint32_t seen = changed.current();
    const Status status = progressAll();
    if (operation.done) {
      finish(operation);
      return okStatus();
    }
    if (!status.ok())
      return failedAwait(operation);
    const EventCount::Clock::time_point now = EventCount::Clock::now();
    if (now >= deadline) {
      fail({StatusCode::deadlineExceeded, describe(operation) + ": waited " +
                                              std::to_string(options.timeout.count()) + " ms for " +
                                              awaited(operation)});
      const Status timedOut = poll();
      cancel(operation);
      return timedOut;
    }
    changed.wait(seen, std::min(deadline, now + sleep));
    sleep = std::min(sleep * 2, kLongestSleep);
  }
}

uint64_t MpiCommunicator::sequence(OperationId id) const {
  return find(id).ok() ? operations[static_cast<size_t>(id)]->sequence : 0;
}

Status MpiCommunicator::poll() const {
  const std::lock_guard lock(mutex);
  return reason;
}

void MpiCommunicator::fail(Status status) {
  {
    const std::lock_guard lock(mutex);
    if (!reason.ok())
      return;
    reason = std::move(status);
    failed.store(true);
    context->anyFailed.store(true);
  }
  changed.notify();
}

void MpiCommunicator::abort(const std::string &text) {
  fail(unavailable("rank " + std::to_string(context->rank) + " aborts: " + text));
}

} // namespace titan::mpi
