// NCCL without GPUs: libnccl.so.2 for tests, among threads of one process and among processes of
// one host. A group of calls is done when all ranks of its communicator have enqueued theirs and
// everything before it in their streams is done; sums go in the order of the ranks. It refuses what
// NCCL's documentation forbids: a GPU twice in a communicator, calls while something is in
// progress, memory that a GPU cannot access; and anything before the GPU is done with the first
// exchange of two ranks, in which they connect.
//
// Environment: TITAN_STUB_NCCL (22809), the version; TITAN_STUB_CONNECT: if set, communicators are
// refused that would connect in their first collective (NCCL_RUNTIME_CONNECT other than 0).
#include "test/stubs/StubClique.h"
#include "test/stubs/StubDriver.h"

#include <algorithm>
#include <cstdlib>
#include <list>
#include <map>
#include <string>
#include <thread>
#include <unistd.h>

using namespace titan::cuda;
using titan::cuda::stubs::Call;
using titan::cuda::stubs::CallKind;
using titan::cuda::stubs::Clique;
using titan::cuda::stubs::Member;

struct titan::cuda::NcclHandleObject {
  std::shared_ptr<Clique> made; ///< the id leads to it
  std::shared_ptr<Clique> clique;
  int rank = 0;
  uint64_t groups = 0; ///< issued
  bool meets = false;  ///< the first group has transfers: it connects two ranks
  std::shared_ptr<bool> isAborted = std::make_shared<bool>(false);
  bool isInProgress = true; ///< a call has not been asked about
  bool isFinalized = false;
};

namespace {

/// A group of calls in a stream of this process.
struct Part {
  std::shared_ptr<Clique> clique;
  int rank = 0;
  uint64_t number = 0;
  std::vector<Call> calls;
  std::shared_ptr<bool> isAborted;
  Stream stream = nullptr;
  uint64_t position = 0;
  bool connects = false;  ///< two ranks, in their first exchange
  bool isAwaited = false; ///< its turn has come, and somebody waits
  bool isPublished = false;

  Member &own() const { return clique->member(rank); }
  bool isOver() const { return *isAborted || own().consumed >= number; }

  /// Does what can be done in the stream: whether that is all.
  bool attend() {
    if (isOver())
      return true;
    isAwaited = true;
    if (!isPublished) {
      // Others may still be reading the group before.
      if (!clique->all([this](const Member &it) { return it.consumed >= number - 1; }))
        return false;
      clique->publish(rank, calls);
      own().published = number;
      isPublished = true;
      titanStubNotify();
    }
    if (!clique->all([this](const Member &it) { return it.published >= number; }))
      return false;
    clique->receive(rank, calls);
    own().consumed = number;
    titanStubNotify();
    return true;
  }

  /// Whether some rank waits for this one.
  bool isWanted() const {
    return isAwaited || !clique->all([this](const Member &it) {
      return &it == &own() || it.published < number;
    });
  }
};

/// The communicators of this process, under the stub's mutex. What other ranks wait for is done by
/// a thread, as a GPU would: their hosts wait in other processes.
struct State {
  std::map<std::string, std::shared_ptr<Clique>> made; ///< by id, until rank 0 comes with it
  std::list<std::shared_ptr<Part>> parts;              ///< that are not over
  long communicators = 0;
  std::jthread progress;

  void advance(const std::stop_token &stop) {
    std::unique_lock lock(*titanStubMutex());
    while (!stop.stop_requested()) {
      parts.remove_if([](const auto &part) { return part->isOver(); });
      for (const std::shared_ptr<Part> &part : parts)
        if (part->isWanted())
          titanStubDrain(part->stream, part->position);
      titanStubAwaitChange(lock, parts.empty() ? 1000 : 0.5);
    }
  }
};

State &state() {
  static State instance;
  return instance;
}

/// The calls of the group that this thread has begun.
struct Group {
  int depth = 0;
  NcclHandle communicator = nullptr;
  Stream stream = nullptr;
  std::vector<Call> calls;
  int error = kNcclSuccess;
};

Group &group() {
  static thread_local Group instance;
  return instance;
}

int issue(Group &issued) {
  NcclHandle communicator = issued.communicator;
  if (!communicator)
    return kNcclSuccess; // an empty group
  if (communicator->isInProgress || communicator->isFinalized || *communicator->isAborted)
    return kNcclInvalidUsage;
  for (const std::shared_ptr<Part> &other : state().parts)
    if (other->connects && !other->isOver() && other->own().ordinal == titanStubCurrentGpu())
      return kNcclInvalidUsage;
  auto part = std::make_shared<Part>();
  part->clique = communicator->clique;
  part->rank = communicator->rank;
  part->number = ++communicator->groups;
  part->calls = std::move(issued.calls);
  part->isAborted = communicator->isAborted;
  part->stream = issued.stream;
  const int result =
      titanStubEnqueueShared(issued.stream, [part] { return part->attend(); }, &part->position);
  const CallKind kind = part->calls.front().kind;
  communicator->meets = part->connects =
      part->number == 1 && (kind == CallKind::send || kind == CallKind::receive);
  communicator->isInProgress = true;
  part->own().issued = part->number;
  state().parts.push_back(std::move(part));
  titanStubNotify();
  return result == kSuccess ? kNcclInProgress : 1;
}

int add(const Call &call, NcclHandle communicator, Stream stream) {
  Group &current = group();
  const bool isAlone = current.depth == 0;
  if (isAlone)
    current = {};
  if (!communicator ||
      titanStubCurrentGpu() != communicator->clique->member(communicator->rank).ordinal ||
      (current.communicator && (current.communicator != communicator || current.stream != stream)))
    return current.error = kNcclInvalidUsage;
  if (call.peer >= communicator->clique->size())
    return current.error = kNcclInvalidArgument;
  current.communicator = communicator;
  current.stream = stream;
  current.calls.push_back(call);
  if (!isAlone)
    return kNcclSuccess;
  const std::lock_guard lock(*titanStubMutex());
  return issue(current);
}

std::byte *bytes(const void *data) {
  return const_cast<std::byte *>(static_cast<const std::byte *>(data));
}

void release(NcclHandle communicator) {
  std::jthread ended; // without the mutex, which it takes
  const std::lock_guard lock(*titanStubMutex());
  delete communicator;
  if (--state().communicators == 0) {
    ended = std::move(state().progress);
    ended.request_stop();
  }
  titanStubNotify();
}

} // namespace

extern "C" {

int ncclGetVersion(int *version) {
  const char *value = std::getenv("TITAN_STUB_NCCL");
  *version = value ? std::atoi(value) : 22809;
  return kNcclSuccess;
}
const char *ncclGetErrorString(int) { return "an error of the stub"; }
const char *ncclGetLastError(NcclHandle) { return ""; }

int ncclGetUniqueId(NcclId *id) {
  const std::lock_guard lock(*titanStubMutex());
  *id = {};
  std::shared_ptr<Clique> made = Clique::create(*id);
  if (!made)
    return 2; // a system error
  state().made[id->bytes] = std::move(made);
  return kNcclSuccess;
}

int ncclCommInitRankConfig(NcclHandle *communicator, int ranks, NcclId id, int rank,
                           NcclConfig *config) {
  const std::lock_guard lock(*titanStubMutex());
  if (config->size < sizeof(NcclConfig) || config->magic != 0xcafebeef || config->blocking != 0 ||
      ranks < 1 || rank < 0 || rank >= ranks)
    return kNcclInvalidArgument;
  if (const char *connect = std::getenv("NCCL_RUNTIME_CONNECT");
      std::getenv("TITAN_STUB_CONNECT") && std::string(connect ? connect : "1") != "0")
    return kNcclInvalidUsage;
  const std::shared_ptr<Clique> clique = Clique::open(id, ranks);
  if (!clique)
    return kNcclRemoteError;
  const int ordinal = titanStubCurrentGpu(), gpu = titanStubNumberOnHost(ordinal);
  for (int other = 0; other < ranks; ++other)
    if (const Member &it = clique->member(other); it.process && (other == rank || it.gpu == gpu))
      return kNcclInvalidUsage;
  Member &own = clique->member(rank);
  own.gpu = gpu;
  own.ordinal = ordinal;
  own.process = ::getpid();
  *communicator = new NcclHandleObject();
  (*communicator)->clique = clique;
  (*communicator)->rank = rank;
  if (const auto made = state().made.find(id.bytes); rank == 0 && made != state().made.end()) {
    (*communicator)->made = std::move(made->second);
    state().made.erase(made);
  }
  if (state().communicators++ == 0)
    state().progress = std::jthread([](const std::stop_token &stop) { state().advance(stop); });
  return kNcclInProgress;
}

int ncclCommGetAsyncError(NcclHandle communicator, int *error) {
  const std::lock_guard lock(*titanStubMutex());
  const NcclHandleObject &own = *communicator;
  // Two ranks connect in their first exchange, for which both hosts have to come.
  const bool isComplete = own.clique->all([&own](const Member &it) {
    return it.process && (!own.isFinalized || it.isFinalized) && (!own.meets || it.issued > 0);
  });
  if (isComplete)
    communicator->isInProgress = false;
  *error = isComplete ? kNcclSuccess : kNcclInProgress;
  return kNcclSuccess;
}

int ncclCommFinalize(NcclHandle communicator) {
  const std::lock_guard lock(*titanStubMutex());
  communicator->isFinalized = true;
  communicator->clique->member(communicator->rank).isFinalized = true;
  return kNcclInProgress;
}

int ncclCommDestroy(NcclHandle communicator) {
  {
    const std::lock_guard lock(*titanStubMutex());
    if (!communicator->isFinalized)
      return kNcclInvalidUsage;
  }
  release(communicator);
  return kNcclSuccess;
}

int ncclCommAbort(NcclHandle communicator) {
  {
    std::unique_lock lock(*titanStubMutex());
    *communicator->isAborted = true;
    titanStubNotify();
    // Freeing memory waits for the GPU, where other communicators' operations may hang.
    const int gpu = communicator->clique->member(communicator->rank).ordinal;
    while (std::any_of(state().parts.begin(), state().parts.end(), [gpu](const auto &part) {
      return part->isAwaited && !part->isOver() && part->own().ordinal == gpu;
    }))
      titanStubAwaitChange(lock, 1);
  }
  release(communicator);
  return kNcclSuccess;
}

int ncclGroupStart() {
  if (group().depth++ == 0) {
    group() = {};
    group().depth = 1;
  }
  return kNcclSuccess;
}

int ncclGroupEnd() {
  Group &current = group();
  if (--current.depth > 0)
    return kNcclSuccess;
  if (current.error != kNcclSuccess)
    return current.error;
  const std::lock_guard lock(*titanStubMutex());
  return issue(current);
}

int ncclAllGather(const void *source, void *destination, size_t count, int type,
                  NcclHandle communicator, Stream stream) {
  return add({CallKind::allGather, bytes(source), bytes(destination), count, type, 0, -1},
             communicator, stream);
}

int ncclReduceScatter(const void *source, void *destination, size_t count, int type, int reduction,
                      NcclHandle communicator, Stream stream) {
  return add(
      {CallKind::reduceScatter, bytes(source), bytes(destination), count, type, reduction, -1},
      communicator, stream);
}

int ncclAllReduce(const void *source, void *destination, size_t count, int type, int reduction,
                  NcclHandle communicator, Stream stream) {
  return add({CallKind::allReduce, bytes(source), bytes(destination), count, type, reduction, -1},
             communicator, stream);
}

int ncclBroadcast(const void *source, void *destination, size_t count, int type, int root,
                  NcclHandle communicator, Stream stream) {
  return add({CallKind::broadcast, bytes(source), bytes(destination), count, type, 0, root},
             communicator, stream);
}

int ncclSend(const void *source, size_t count, int type, int peer, NcclHandle communicator,
             Stream stream) {
  return add({CallKind::send, bytes(source), nullptr, count, type, 0, peer}, communicator, stream);
}

int ncclRecv(void *destination, size_t count, int type, int peer, NcclHandle communicator,
             Stream stream) {
  return add({CallKind::receive, nullptr, bytes(destination), count, type, 0, peer}, communicator,
             stream);
}
}
