#include "runtime/device/cuda/NcclCommunicator.h"

#include <algorithm>
#include <cstring>

namespace titan::cuda {

using format::Collective;
using format::Reduction;
using std::chrono::milliseconds;

namespace {

/// How long a rank that has waited in vain asks who did not come.
constexpr milliseconds kAskTime(1000);
/// How long the end of a communicator waits for the other ranks'.
constexpr milliseconds kEndTime(2000);
constexpr milliseconds kLongestSleep(2);
/// Above that of kernels; the driver takes the highest that it has.
constexpr int kPriority = -5;

milliseconds until(EventCount::Clock::time_point deadline) {
  return std::max(milliseconds(0),
                  std::chrono::duration_cast<milliseconds>(deadline - EventCount::Clock::now()));
}

/// Calls `isDone` until it says so or fails; deadline exceeded otherwise.
Status waitUntil(EventCount::Clock::time_point deadline, FunctionRef<StatusOr<bool>()> isDone) {
  std::chrono::microseconds sleep(20);
  for (;;) {
    TITAN_ASSIGN_OR_RETURN(const bool done, isDone());
    if (done)
      return okStatus();
    if (EventCount::Clock::now() >= deadline)
      return {StatusCode::deadlineExceeded, ""};
    std::this_thread::sleep_for(sleep);
    sleep = std::min<std::chrono::microseconds>(2 * sleep, kLongestSleep);
  }
}

} // namespace

NcclCommunicator::NcclCommunicator(std::shared_ptr<NcclContext> context, CommunicatorGroup group,
                                   int rank, CommunicatorOptions options, std::string key)
    : context(std::move(context)), group(std::move(group)), index(rank),
      options(std::move(options)), description(describeGroup(this->group)), key(std::move(key)) {
  const std::lock_guard lock(this->context->mutex);
  this->context->communicators[this->group.id] = this;
}

NcclCommunicator::~NcclCommunicator() {
  {
    const std::lock_guard lock(context->mutex);
    context->communicators.erase(group.id);
    context->ids.erase(group.id);
  }
  endChannels();
  for (const std::unique_ptr<Operation> &operation : operations)
    context->driver().cuEventDestroy(operation->done);
}

//===----------------------------------------------------------------------===//
// Channels
//===----------------------------------------------------------------------===//

Status NcclCommunicator::announce(NcclChannel &channel, std::vector<int> jobRanks, int rank) {
  channel.jobRanks = std::move(jobRanks);
  channel.rank = rank;
  const Driver &driver = context->driver();
  TITAN_CUDA_CHECK(driver, cuStreamCreateWithPriority(&channel.stream, kNonBlocking, kPriority));
  TITAN_CUDA_CHECK(driver, cuEventCreate(&channel.ready, kDisableTiming));
  if (rank != 0)
    return okStatus();
  NcclId id;
  TITAN_RETURN_IF_ERROR(check(context->library->ncclGetUniqueId(&id), "ncclGetUniqueId", channel));
  return context->store.set(channel.key, std::string_view(id.bytes, sizeof(id.bytes)));
}

/// Made when it is first asked for, with the mutex: a rank without collectives of the whole group
/// does not meet it.
StatusOr<NcclChannel *> NcclCommunicator::getChannel(const CollectiveOperation &operation) {
  const bool isOfAll = !isPointToPoint(operation.collective);
  const bool sends = operation.collective == Collective::send;
  const int peer = static_cast<int>(operation.peer);
  const int from = isOfAll ? size() : sends ? index : peer;
  const int to = isOfAll ? size() : sends ? peer : index;
  if (const auto found = channels.find({from, to}); found != channels.end())
    return found->second.get();
  auto channel = std::make_unique<NcclChannel>();
  channel->key = key;
  if (isOfAll) {
    TITAN_RETURN_IF_ERROR(announce(*channel, group.ranks, index));
  } else {
    channel->key += "/" + std::to_string(from) + "-" + std::to_string(to);
    TITAN_RETURN_IF_ERROR(announce(
        *channel, {group.ranks[static_cast<size_t>(from)], group.ranks[static_cast<size_t>(to)]},
        sends ? 0 : 1));
  }
  return (channels[{from, to}] = std::move(channel)).get();
}

/// Whether the channel has begun to meet its other ranks; the watchdog ends channels.
bool NcclCommunicator::hasBegun(const NcclChannel &channel) {
  const std::lock_guard lock(mutex);
  return channel.handle || channel.isConnected;
}

Status NcclCommunicator::beginConnect(Clock::time_point deadline) {
  for (auto &[ends, channel] : channels) {
    if (hasBegun(*channel))
      continue;
    auto text = context->store.get(channel->key, until(deadline));
    if (!text.ok())
      return text.status().withContext(description);
    NcclId id;
    if (text->size() != sizeof(id.bytes))
      return internalError(description + ": rank " + std::to_string(channel->jobRanks.front()) +
                           " announced " + std::to_string(text->size()) + " bytes");
    std::memcpy(id.bytes, text->data(), sizeof(id.bytes));
    const std::lock_guard lock(mutex);
    if (context->failed.load())
      return poll();
    NcclConfig config;
    const int result = context->library->ncclCommInitRankConfig(
        &channel->handle, static_cast<int>(channel->jobRanks.size()), id, channel->rank, &config);
    TITAN_RETURN_IF_ERROR(
        check(result, "ncclCommInitRankConfig", *channel).withContext(description));
  }
  return okStatus();
}

/// Whether nothing is in progress; a failure of the library.
StatusOr<bool> NcclCommunicator::isSettled(NcclChannel &channel) {
  if (context->failed.load())
    return poll();
  int state = kNcclSuccess;
  TITAN_RETURN_IF_ERROR(check(context->library->ncclCommGetAsyncError(channel.handle, &state),
                              "ncclCommGetAsyncError", channel));
  TITAN_RETURN_IF_ERROR(check(state, "NCCL", channel));
  return state != kNcclInProgress;
}

/// Waits until nothing is in progress. The mutex is free meanwhile: the watchdog looks on, and may
/// end the channel.
Status NcclCommunicator::settle(NcclChannel &channel, Clock::time_point deadline) {
  return waitUntil(deadline, [&]() -> StatusOr<bool> {
    const std::lock_guard lock(mutex);
    return isSettled(channel);
  });
}

/// Waits for the other ranks of a channel while programs are loaded: until nothing is in progress,
/// and the GPU has come to `event`, unless that is null.
Status NcclCommunicator::awaitPeers(NcclChannel &channel, EventHandle event,
                                    Clock::time_point deadline) {
  Status status = settle(channel, deadline);
  if (status.ok() && event)
    status = waitUntil(deadline, [&]() -> StatusOr<bool> {
      const std::lock_guard lock(mutex);
      TITAN_ASSIGN_OR_RETURN(const bool settled, isSettled(channel));
      if (!settled)
        return false;
      const Result result = context->driver().cuEventQuery(event);
      if (result == kNotReady)
        return false;
      TITAN_RETURN_IF_ERROR(context->driver().check(result, "cuEventQuery"));
      return true;
    });
  if (status.code() != StatusCode::deadlineExceeded)
    return status.withContext(description);
  context->fail({StatusCode::deadlineExceeded, "rank " + std::to_string(context->store.rank) +
                                                   " connects to " + description + ": waited for " +
                                                   findMissing(channel, 0)});
  return poll();
}

Status NcclCommunicator::finishConnect(Clock::time_point deadline) {
  for (auto &[ends, channel] : channels) {
    if (channel->isConnected)
      continue;
    TITAN_RETURN_IF_ERROR(awaitPeers(*channel, nullptr, deadline));
    const std::lock_guard lock(mutex);
    channel->isConnected = true;
  }
  return okStatus();
}

Status NcclCommunicator::exchangeFirst(Clock::time_point deadline) {
  const Nccl &nccl = *context->library;
  std::byte *probe = context->probe->data();
  for (auto &[ends, channel] : channels) {
    if (ends.first == size() || channel->isPaired)
      continue;
    {
      const std::lock_guard lock(mutex);
      if (context->failed.load())
        return poll();
      TITAN_RETURN_IF_ERROR(check(nccl.ncclGroupStart(), "ncclGroupStart", *channel));
      const int result =
          channel->rank == 0
              ? nccl.ncclSend(probe, 1, kNcclUint8, 1, channel->handle, channel->stream)
              : nccl.ncclRecv(probe + 1, 1, kNcclUint8, 0, channel->handle, channel->stream);
      const Status ended = check(nccl.ncclGroupEnd(), "ncclGroupEnd", *channel);
      TITAN_RETURN_IF_ERROR(check(result, "the first exchange", *channel));
      TITAN_RETURN_IF_ERROR(ended);
    }
    TITAN_RETURN_IF_ERROR(awaitPeers(*channel, nullptr, deadline));
    {
      // Only now the library has put the exchange into the stream.
      const std::lock_guard lock(mutex);
      TITAN_CUDA_CHECK(context->driver(), cuEventRecord(channel->ready, channel->stream));
    }
    TITAN_RETURN_IF_ERROR(awaitPeers(*channel, channel->ready, deadline));
    channel->isPaired = true;
  }
  return okStatus();
}

/// Names the ranks that have not come as far as this one, by what they say when they too have
/// waited in vain.
std::string NcclCommunicator::findMissing(const NcclChannel &channel, uint64_t sequence) const {
  const KeyValueStore &store = context->store;
  const std::string prefix = channel.key + "/late/";
  if (!store.set(prefix + std::to_string(channel.rank), std::to_string(sequence)).ok())
    return "the other ranks";
  const auto deadline = Clock::now() + kAskTime;
  std::vector<int> missing;
  for (size_t i = 0; i < channel.jobRanks.size(); ++i) {
    const auto said = store.get(prefix + std::to_string(i), until(deadline));
    if (!said.ok() || std::strtoull(said->c_str(), nullptr, 10) < sequence)
      missing.push_back(channel.jobRanks[i]);
  }
  return missing.empty() ? "the other ranks, which wait too" : describeRanks(missing);
}

std::vector<NcclHandle> NcclCommunicator::takeHandles() {
  const std::lock_guard lock(mutex);
  std::vector<NcclHandle> handles;
  for (auto &[ends, channel] : channels)
    if (channel->handle)
      handles.push_back(std::exchange(channel->handle, nullptr));
  return handles;
}

/// Waits for what was issued, then begins to end the library's communicator on all ranks.
Status NcclCommunicator::finalize(NcclChannel &channel, Clock::time_point deadline) {
  TITAN_RETURN_IF_ERROR(waitUntil(deadline, [&]() -> StatusOr<bool> {
    return std::none_of(operations.begin(), operations.end(), [&](const auto &it) {
      return it->channel == &channel && it->sequence > 0 &&
             context->driver().cuEventQuery(it->done) == kNotReady;
    });
  }));
  return check(context->library->ncclCommFinalize(channel.handle), "ncclCommFinalize", channel);
}

/// All channels at once: each waits for its other ranks, which may end theirs in another order.
void NcclCommunicator::endChannels() {
  const Driver &driver = context->driver();
  const auto deadline = Clock::now() + kEndTime;
  std::vector<NcclChannel *> ending;
  for (auto &[ends, channel] : channels)
    if (channel->handle && channel->isConnected && !context->failed.load() &&
        finalize(*channel, deadline).ok())
      ending.push_back(channel.get());
  for (NcclChannel *channel : ending)
    if (waitUntil(deadline, [&] { return isSettled(*channel); }).ok())
      context->library->ncclCommDestroy(std::exchange(channel->handle, nullptr));
  context->library->abortAll(takeHandles());
  for (auto &[ends, channel] : channels) {
    if (channel->ready)
      driver.cuEventDestroy(channel->ready);
    if (channel->stream)
      driver.cuStreamDestroy(channel->stream);
  }
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

std::string NcclCommunicator::describe(const Operation &operation) const {
  return describeOperation(context->store.rank, operation.spec.collective, description,
                           operation.sequence);
}

StatusOr<OperationId> NcclCommunicator::prepare(const CollectiveOperation &operation) {
  TITAN_RETURN_IF_ERROR(checkOperation(operation, size(), index).withContext(description));
  const std::lock_guard lock(mutex);
  auto added = std::make_unique<Operation>();
  added->spec = operation;
  added->bases = numBases(operation);
  TITAN_ASSIGN_OR_RETURN(added->channel, getChannel(operation));
  TITAN_CUDA_CHECK(context->driver(), cuEventCreate(&added->done, kDisableTiming));
  operations.push_back(std::move(added));
  return static_cast<OperationId>(operations.size()) - 1;
}

Status NcclCommunicator::start(OperationId id, std::span<std::byte *const> bases) {
  TITAN_RETURN_IF_ERROR(checkId(id, operations.size(), description));
  Operation &operation = *operations[static_cast<size_t>(id)];
  NcclChannel &channel = *operation.channel;
  if (context->failed.load())
    return poll();
  if (Status status = checkStart(operation.inFlight, operation.bases, bases.size()); !status.ok())
    return status.withContext(describe(operation));
  if (inFlight >= options.maxInFlight)
    return tooManyInFlight(describe(operation), static_cast<size_t>(options.maxInFlight));
  if (!channel.isConnected) {
    const auto deadline = Clock::now() + options.timeout;
    TITAN_RETURN_IF_ERROR(beginConnect(deadline));
    TITAN_RETURN_IF_ERROR(finishConnect(deadline));
  }
  Status status = enqueue(operation, bases);
  if (status.ok())
    status = settle(channel, Clock::now() + options.timeout);
  if (status.code() == StatusCode::deadlineExceeded && status.message().empty())
    status = {StatusCode::deadlineExceeded, "waited " + std::to_string(options.timeout.count()) +
                                                " ms for " +
                                                findMissing(channel, operation.sequence)};
  if (!status.ok()) {
    context->fail(status.withContext(describe(operation)));
    return poll();
  }
  return record(operation);
}

/// Puts an operation behind what the compute stream has to do so far.
Status NcclCommunicator::enqueue(Operation &operation, std::span<std::byte *const> bases) {
  NcclChannel &channel = *operation.channel;
  const Driver &driver = context->driver();
  const std::lock_guard lock(mutex);
  if (context->failed.load())
    return poll();
  operation.sequence = ++channel.sequence;
  TITAN_CUDA_CHECK(driver, cuEventRecord(channel.ready, context->device.computeStream()));
  TITAN_CUDA_CHECK(driver, cuStreamWaitEvent(channel.stream, channel.ready, 0));
  return issue(operation, bases);
}

/// Lets the watchdog know of an operation that is in its stream.
Status NcclCommunicator::record(Operation &operation) {
  const std::lock_guard lock(mutex);
  TITAN_CUDA_CHECK(context->driver(), cuEventRecord(operation.done, operation.channel->stream));
  if (numPending == 0)
    progress = Clock::now();
  // The watchdog may not have seen yet that it was done the last time.
  numPending += operation.isPending ? 0 : 1;
  operation.inFlight = operation.isPending = true;
  ++inFlight;
  return okStatus();
}

Status NcclCommunicator::issue(const Operation &operation, std::span<std::byte *const> bases) {
  const NcclChannel &channel = *operation.channel;
  TITAN_RETURN_IF_ERROR(check(context->library->ncclGroupStart(), "ncclGroupStart", channel));
  Status status;
  for (const BufferPair &pair : operation.spec.pairs)
    if (status.ok() && (pair.sourceCount > 0 || pair.destinationCount > 0))
      status = issuePair(operation, pair, bases);
  const Status ended = check(context->library->ncclGroupEnd(), "ncclGroupEnd", channel);
  return status.ok() ? ended : status;
}

Status NcclCommunicator::issuePair(const Operation &operation, const BufferPair &pair,
                                   std::span<std::byte *const> bases) {
  const Nccl &nccl = *context->library;
  const NcclChannel &channel = *operation.channel;
  const NcclHandle handle = channel.handle;
  const Stream stream = channel.stream;
  std::byte *const from = pair.source.resolve(bases), *const to = pair.destination.resolve(bases);
  const auto fromCount = static_cast<size_t>(pair.sourceCount),
             toCount = static_cast<size_t>(pair.destinationCount);
  const int type = ncclType(pair.type);
  const int reduction = operation.spec.reduction == Reduction::max ? kNcclMax : kNcclSum;
  switch (operation.spec.collective) {
  case Collective::allGather:
    return check(nccl.ncclAllGather(from, to, fromCount, type, handle, stream), "ncclAllGather",
                 channel);
  case Collective::reduceScatter:
    return check(nccl.ncclReduceScatter(from, to, toCount, type, reduction, handle, stream),
                 "ncclReduceScatter", channel);
  case Collective::allReduce:
    return check(nccl.ncclAllReduce(from, to, fromCount, type, reduction, handle, stream),
                 "ncclAllReduce", channel);
  case Collective::broadcast: {
    const int root = static_cast<int>(operation.spec.peer);
    return check(
        nccl.ncclBroadcast(root == index ? from : to, to, toCount, type, root, handle, stream),
        "ncclBroadcast", channel);
  }
  case Collective::send:
    return check(nccl.ncclSend(from, fromCount, type, 1, handle, stream), "ncclSend", channel);
  case Collective::receive:
    return check(nccl.ncclRecv(to, toCount, type, 0, handle, stream), "ncclRecv", channel);
  case Collective::allToAll:
    break;
  }
  const size_t part = fromCount / group.ranks.size();
  const int64_t bytes = static_cast<int64_t>(part) * byteSize(pair.type);
  for (int peer = 0; peer < size(); ++peer) {
    TITAN_RETURN_IF_ERROR(check(
        nccl.ncclSend(from + peer * bytes, part, type, peer, handle, stream), "ncclSend", channel));
    TITAN_RETURN_IF_ERROR(check(nccl.ncclRecv(to + peer * bytes, part, type, peer, handle, stream),
                                "ncclRecv", channel));
  }
  return okStatus();
}

Status NcclCommunicator::await(OperationId id) {
  TITAN_RETURN_IF_ERROR(checkId(id, operations.size(), description));
  Operation &operation = *operations[static_cast<size_t>(id)];
  TITAN_RETURN_IF_ERROR(checkAwait(operation.inFlight, id, operation.spec.collective, description));
  const std::lock_guard lock(mutex);
  operation.inFlight = false;
  --inFlight;
  if (context->failed.load())
    return poll();
  TITAN_CUDA_CHECK(context->driver(),
                   cuStreamWaitEvent(context->device.computeStream(), operation.done, 0));
  return okStatus();
}

uint64_t NcclCommunicator::sequence(OperationId id) const {
  return checkId(id, operations.size(), description).ok()
             ? operations[static_cast<size_t>(id)]->sequence
             : 0;
}

void NcclCommunicator::abort(const std::string &text) {
  std::string message = "rank " + std::to_string(context->store.rank) + " aborts: " + text;
  {
    const std::lock_guard lock(mutex);
    const auto pending = std::find_if(operations.begin(), operations.end(),
                                      [](const auto &it) { return it->isPending; });
    if (pending != operations.end())
      message = describe(**pending) + ": " + message;
  }
  context->fail(unavailable(message));
}

//===----------------------------------------------------------------------===//
// The watchdog
//===----------------------------------------------------------------------===//

/// The oldest operation that is under way, if none has ended for as long as the timeout; with the
/// mutex.
const NcclCommunicator::Operation *NcclCommunicator::findOverdue() {
  const auto now = Clock::now();
  Operation *oldest = nullptr;
  for (const std::unique_ptr<Operation> &it : operations) {
    if (!it->isPending)
      continue;
    if (context->driver().cuEventQuery(it->done) == kNotReady) {
      if (!oldest || it->sequence < oldest->sequence)
        oldest = it.get();
      continue;
    }
    it->isPending = false;
    --numPending;
    progress = now;
  }
  return oldest && now - progress > options.timeout ? oldest : nullptr;
}

void NcclCommunicator::watch() {
  std::unique_lock lock(mutex);
  for (auto &[ends, channel] : channels)
    if (channel->isConnected)
      if (const auto settled = isSettled(*channel); !settled.ok())
        context->fail(settled.status().withContext(description));
  const Operation *overdue = findOverdue();
  if (!overdue)
    return;
  const NcclChannel &channel = *overdue->channel;
  const uint64_t sequence = overdue->sequence;
  const std::string text = describe(*overdue);
  lock.unlock(); // the rank's thread may go on meanwhile; the channel stays
  context->fail({StatusCode::deadlineExceeded, text + ": waited " +
                                                   std::to_string(options.timeout.count()) +
                                                   " ms for " + findMissing(channel, sequence)});
}

} // namespace titan::cuda
