// NCCL without GPUs: libnccl.so.2 for tests, among threads of one process. A group of calls is done
// when all ranks of its communicator have enqueued theirs and everything before it in their streams
// is done; sums go in the order of the ranks. It refuses what NCCL's documentation forbids: a GPU
// twice in a communicator, calls while something is in progress, memory that a GPU cannot access.
//
// Environment: TITAN_STUB_NCCL (22809), the version.
#include "runtime/collectives/Reduce.h"
#include "runtime/device/cuda/Nccl.h"
#include "test/stubs/StubDriver.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <stdexcept>

using namespace titan::cuda;
using titan::DType;

namespace {

enum class Kind { allGather, reduceScatter, allReduce, broadcast, send, receive };

struct Call {
  Kind kind;
  std::byte *source, *destination;
  size_t count; ///< of the source; of the destination for reduceScatter and receive
  int type, reduction, peer;
};

/// What one rank brings to a meeting.
struct Part {
  std::vector<Call> calls;
  Stream stream = nullptr;
  uint64_t position = 0;
};

struct Meeting {
  std::vector<Part> parts; ///< by rank
  size_t here = 0;
  bool isDone = false;
};

struct Clique {
  int size = 0;
  std::map<int, int> gpus; ///< by rank
  std::set<int> finalized;
  std::map<uint64_t, std::shared_ptr<Meeting>> meetings; ///< by number
};

DType typeOf(int type) {
  switch (type) {
  case kNcclFloat32:
    return DType::f32;
  case kNcclFloat64:
    return DType::f64;
  case kNcclBFloat16:
    return DType::bf16;
  case kNcclFloat16:
    return DType::f16;
  case kNcclInt32:
    return DType::i32;
  case kNcclInt64:
    return DType::i64;
  default:
    return DType::u8;
  }
}

} // namespace

struct titan::cuda::NcclHandleObject {
  std::shared_ptr<Clique> clique;
  int rank = 0;
  uint64_t groups = 0; ///< issued
  std::shared_ptr<bool> isAborted = std::make_shared<bool>(false);
  bool isInProgress = true; ///< a call has not been asked about
  bool isFinalized = false;
};

namespace {

struct State {
  std::map<uint64_t, std::shared_ptr<Clique>> cliques; ///< by id
  uint64_t nextId = 1;
  long communicators = 0;
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

size_t bytesOf(const Call &call, size_t count) {
  return count * static_cast<size_t>(titan::byteSize(typeOf(call.type)));
}

void require(bool holds, const char *rule) {
  if (!holds)
    throw std::runtime_error(std::string("NCCL: ") + rule);
}

/// NCCL reads and writes the buffers of GPUs of one process from any of them.
void requireAccess(const Clique &clique, const void *data, size_t bytes) {
  for (const auto &[rank, gpu] : clique.gpus)
    require(titanStubIsValid(reinterpret_cast<uint64_t>(data), bytes, gpu),
            "a buffer is no memory that the GPUs of its ranks can access");
}

/// The number of the n-th send of `from` to `to`, or receive of `to` from `from`.
const Call *findCall(const Part &part, Kind kind, int peer, size_t n) {
  for (const Call &call : part.calls)
    if (call.kind == kind && call.peer == peer && n-- == 0)
      return &call;
  return nullptr;
}

/// Sends and receives of a group: every rank's sends meet the receives of the others.
void exchange(const Clique &clique, const Meeting &meeting, int rank) {
  std::map<int, size_t> seen;
  for (const Call &call : meeting.parts[static_cast<size_t>(rank)].calls) {
    if (call.kind != Kind::send)
      continue;
    const Call *other = findCall(meeting.parts[static_cast<size_t>(call.peer)], Kind::receive, rank,
                                 seen[call.peer]++);
    require(other && other->count == call.count && other->type == call.type,
            "a send has no receive of its size");
    requireAccess(clique, call.source, bytesOf(call, call.count));
    requireAccess(clique, other->destination, bytesOf(call, call.count));
    std::memmove(other->destination, call.source, bytesOf(call, call.count));
  }
}

void combine(const Clique &clique, const std::vector<const Call *> &calls) {
  const Call &first = *calls.front();
  const auto ranks = calls.size();
  const size_t read = first.kind == Kind::reduceScatter ? first.count * ranks : first.count;
  std::vector<std::vector<std::byte>> sources(ranks);
  for (size_t i = 0; i < ranks; ++i) {
    const Call &call = *calls[i];
    require(call.kind == first.kind && call.count == first.count && call.type == first.type &&
                call.reduction == first.reduction && call.peer == first.peer,
            "ranks call different operations");
    if (call.kind == Kind::broadcast && static_cast<int>(i) != call.peer)
      continue;
    requireAccess(clique, call.source, bytesOf(call, read));
    sources[i].assign(call.source, call.source + bytesOf(call, read));
  }
  std::vector<std::byte> result;
  if (first.kind == Kind::allGather)
    for (const auto &source : sources)
      result.insert(result.end(), source.begin(), source.end());
  else if (first.kind == Kind::broadcast)
    result = sources[static_cast<size_t>(first.peer)];
  else {
    result.resize(bytesOf(first, read));
    std::vector<const std::byte *> contributions;
    for (const auto &source : sources)
      contributions.push_back(source.data());
    titan::reduce(typeOf(first.type),
                  first.reduction == kNcclMax ? titan::format::Reduction::max
                                              : titan::format::Reduction::sum,
                  contributions, result.data(), 0, static_cast<int64_t>(read));
  }
  for (size_t i = 0; i < ranks; ++i) {
    const bool takesPart = first.kind == Kind::reduceScatter;
    const size_t bytes = takesPart ? bytesOf(first, first.count) : result.size();
    requireAccess(clique, calls[i]->destination, bytes);
    std::memcpy(calls[i]->destination, result.data() + (takesPart ? i * bytes : 0), bytes);
  }
}

void run(const Clique &clique, const Meeting &meeting) {
  std::vector<std::vector<const Call *>> collectives; ///< by number, then rank
  for (size_t rank = 0; rank < meeting.parts.size(); ++rank) {
    size_t number = 0;
    for (const Call &call : meeting.parts[rank].calls) {
      if (call.kind == Kind::send || call.kind == Kind::receive)
        continue;
      if (collectives.size() <= number)
        collectives.emplace_back();
      collectives[number++].push_back(&call);
    }
    exchange(clique, meeting, static_cast<int>(rank));
  }
  for (const auto &calls : collectives) {
    require(calls.size() == meeting.parts.size(), "ranks call different operations");
    combine(clique, calls);
  }
}

/// A rank's part in its stream: whether the meeting is done.
bool attend(const Clique &clique, Meeting &meeting, size_t rank, const bool &isAborted) {
  if (meeting.isDone || isAborted)
    return true;
  if (meeting.here < meeting.parts.size())
    return false;
  for (size_t other = 0; other < meeting.parts.size(); ++other) {
    const Part &part = meeting.parts[other];
    if (other != rank && !titanStubDrain(part.stream, part.position - 1))
      return false;
    if (meeting.isDone)
      return true;
  }
  run(clique, meeting);
  meeting.isDone = true;
  titanStubNotify();
  return true;
}

int issue(Group &issued) {
  NcclHandle communicator = issued.communicator;
  if (!communicator)
    return kNcclSuccess; // an empty group
  if (communicator->isInProgress || communicator->isFinalized || *communicator->isAborted)
    return kNcclInvalidUsage;
  const std::shared_ptr<Clique> clique = communicator->clique;
  std::shared_ptr<Meeting> &meeting = clique->meetings[++communicator->groups];
  if (!meeting) {
    meeting = std::make_shared<Meeting>();
    meeting->parts.resize(static_cast<size_t>(clique->size));
  }
  const auto rank = static_cast<size_t>(communicator->rank);
  Part &part = meeting->parts[rank];
  part.calls = std::move(issued.calls);
  part.stream = issued.stream;
  const int result = titanStubEnqueueShared(
      issued.stream,
      [clique, it = meeting, rank, isAborted = communicator->isAborted] {
        return attend(*clique, *it, rank, *isAborted);
      },
      &part.position);
  if (++meeting->here == meeting->parts.size())
    clique->meetings.erase(communicator->groups);
  titanStubNotify();
  communicator->isInProgress = true;
  return result == kSuccess ? kNcclInProgress : 1;
}

int add(const Call &call, NcclHandle communicator, Stream stream) {
  Group &current = group();
  const bool isAlone = current.depth == 0;
  if (isAlone)
    current = {};
  if (!communicator || titanStubCurrentGpu() != communicator->clique->gpus[communicator->rank] ||
      (current.communicator && (current.communicator != communicator || current.stream != stream)))
    return current.error = kNcclInvalidUsage;
  if (call.peer >= communicator->clique->size)
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
  --state().communicators;
  delete communicator;
}

} // namespace

extern "C" {

long titanStubCommunicators() { return state().communicators; }

int ncclGetVersion(int *version) {
  const char *value = std::getenv("TITAN_STUB_NCCL");
  *version = value ? std::atoi(value) : 22809;
  return kNcclSuccess;
}
const char *ncclGetErrorString(int) { return "an error of the stub"; }
const char *ncclGetLastError(NcclHandle) { return ""; }

int ncclGetUniqueId(NcclId *id) {
  const std::lock_guard lock(*titanStubMutex());
  std::memset(id, 0, sizeof(*id));
  const uint64_t number = state().nextId++;
  std::memcpy(id->bytes, &number, sizeof(number));
  return kNcclSuccess;
}

int ncclCommInitRankConfig(NcclHandle *communicator, int ranks, NcclId id, int rank,
                           NcclConfig *config) {
  const std::lock_guard lock(*titanStubMutex());
  if (config->size < sizeof(NcclConfig) || config->magic != 0xcafebeef || config->blocking != 0 ||
      ranks < 1 || rank < 0 || rank >= ranks)
    return kNcclInvalidArgument;
  uint64_t number = 0;
  std::memcpy(&number, id.bytes, sizeof(number));
  std::shared_ptr<Clique> &clique = state().cliques[number];
  if (!clique)
    clique = std::make_shared<Clique>();
  clique->size = ranks;
  for (const auto &[other, gpu] : clique->gpus)
    if (other == rank || gpu == titanStubCurrentGpu())
      return kNcclInvalidUsage;
  clique->gpus[rank] = titanStubCurrentGpu();
  *communicator = new NcclHandleObject();
  (*communicator)->clique = clique;
  (*communicator)->rank = rank;
  ++state().communicators;
  if (static_cast<int>(clique->gpus.size()) == ranks)
    state().cliques.erase(number);
  return kNcclInProgress;
}

int ncclCommGetAsyncError(NcclHandle communicator, int *error) {
  const std::lock_guard lock(*titanStubMutex());
  const Clique &clique = *communicator->clique;
  const bool isComplete =
      static_cast<int>(clique.gpus.size()) == clique.size &&
      (!communicator->isFinalized || static_cast<int>(clique.finalized.size()) == clique.size);
  if (isComplete)
    communicator->isInProgress = false;
  *error = isComplete ? kNcclSuccess : kNcclInProgress;
  return kNcclSuccess;
}

int ncclCommFinalize(NcclHandle communicator) {
  const std::lock_guard lock(*titanStubMutex());
  communicator->isFinalized = true;
  communicator->clique->finalized.insert(communicator->rank);
  return kNcclInProgress;
}

int ncclCommDestroy(NcclHandle communicator) {
  const std::lock_guard lock(*titanStubMutex());
  if (!communicator->isFinalized)
    return kNcclInvalidUsage;
  release(communicator);
  return kNcclSuccess;
}

int ncclCommAbort(NcclHandle communicator) {
  const std::lock_guard lock(*titanStubMutex());
  *communicator->isAborted = true;
  release(communicator);
  titanStubNotify();
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
  return add({Kind::allGather, bytes(source), bytes(destination), count, type, 0, -1}, communicator,
             stream);
}

int ncclReduceScatter(const void *source, void *destination, size_t count, int type, int reduction,
                      NcclHandle communicator, Stream stream) {
  return add({Kind::reduceScatter, bytes(source), bytes(destination), count, type, reduction, -1},
             communicator, stream);
}

int ncclAllReduce(const void *source, void *destination, size_t count, int type, int reduction,
                  NcclHandle communicator, Stream stream) {
  return add({Kind::allReduce, bytes(source), bytes(destination), count, type, reduction, -1},
             communicator, stream);
}

int ncclBroadcast(const void *source, void *destination, size_t count, int type, int root,
                  NcclHandle communicator, Stream stream) {
  return add({Kind::broadcast, bytes(source), bytes(destination), count, type, 0, root},
             communicator, stream);
}

int ncclSend(const void *source, size_t count, int type, int peer, NcclHandle communicator,
             Stream stream) {
  return add({Kind::send, bytes(source), nullptr, count, type, 0, peer}, communicator, stream);
}

int ncclRecv(void *destination, size_t count, int type, int peer, NcclHandle communicator,
             Stream stream) {
  return add({Kind::receive, nullptr, bytes(destination), count, type, 0, peer}, communicator,
             stream);
}
}
