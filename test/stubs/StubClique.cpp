#include "test/stubs/StubClique.h"

#include "runtime/collectives/Reduce.h"
#include "test/stubs/StubDriver.h"

#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <span>
#include <stdexcept>
#include <sys/mman.h>
#include <unistd.h>

namespace titan::cuda::stubs {
namespace {

constexpr size_t kMemberBytes = sizeof(Member) * Clique::kMaxRanks;
constexpr size_t kAlignment = 8;

void require(bool holds, const char *rule) {
  if (!holds)
    throw std::runtime_error(std::string("NCCL: ") + rule);
}

DType typeOf(int type) {
  for (const auto &[known, nccl] : kNcclTypes)
    if (nccl == type)
      return known;
  return DType::u8;
}

size_t bytesOf(const Call &call) {
  return call.count * static_cast<size_t>(byteSize(typeOf(call.type)));
}

/// What a rank gives to a call of a communicator of `size` ranks.
size_t bytesGiven(const Call &call, int rank, int size) {
  switch (call.kind) {
  case CallKind::receive:
    return 0;
  case CallKind::broadcast:
    return rank == call.peer ? bytesOf(call) : 0;
  case CallKind::reduceScatter:
    return bytesOf(call) * static_cast<size_t>(size);
  default:
    return bytesOf(call);
  }
}

/// Where a rank's calls lie in the file: no other rank's are as long.
off_t placeOf(int rank) { return static_cast<off_t>(rank + 1) << 36; }

void transfer(bool isDone) { require(isDone, "the stub cannot use its memory"); }

/// NCCL reads and writes the buffers of GPUs of one process from any of them.
void requireAccess(const Clique &clique, const void *data, size_t bytes) {
  for (int rank = 0; rank < clique.size(); ++rank)
    if (const Member &member = clique.member(rank); member.process == ::getpid())
      require(titanStubIsValid(reinterpret_cast<uint64_t>(data), bytes, member.ordinal),
              "a buffer is no memory that the GPUs of its ranks can access");
}

bool isTransfer(const Call &call) {
  return call.kind == CallKind::send || call.kind == CallKind::receive;
}

} // namespace

/// A rank's calls, whose addresses mean something to it alone, and what it gives to each.
struct Clique::Published {
  std::vector<Call> calls;
  std::vector<std::byte> data;
  std::vector<size_t> begins; ///< of each call in the data

  const std::byte *given(size_t call) const { return data.data() + begins[call]; }

  /// The number of the n-th transfer of a kind with `peer`; fails where there is none like `call`.
  size_t findOther(CallKind kind, int peer, size_t n, const Call &call) const {
    for (size_t i = 0; i < calls.size(); ++i)
      if (calls[i].kind == kind && calls[i].peer == peer && n-- == 0) {
        require(calls[i].count == call.count && calls[i].type == call.type,
                "a send and its receive differ");
        return i;
      }
    throw std::runtime_error("NCCL: a send or a receive has no counterpart");
  }
  /// That of the n-th call that is no transfer; calls.size() where there is none.
  size_t findCollective(size_t n) const {
    size_t i = 0;
    while (i < calls.size() && (isTransfer(calls[i]) || n-- > 0))
      ++i;
    return i;
  }
};

std::shared_ptr<Clique> Clique::create(NcclId &id) {
  const int file = ::memfd_create("titan-stub-nccl", MFD_CLOEXEC);
  if (file < 0 || ::ftruncate(file, static_cast<off_t>(kMemberBytes)) != 0)
    return nullptr;
  std::snprintf(id.bytes, sizeof(id.bytes), "/proc/%d/fd/%d", ::getpid(), file);
  return std::shared_ptr<Clique>(new Clique(file, 0));
}

std::shared_ptr<Clique> Clique::open(const NcclId &id, int size) {
  const std::string path(id.bytes, ::strnlen(id.bytes, sizeof(id.bytes)));
  const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (file < 0 || size > kMaxRanks)
    return nullptr;
  return std::shared_ptr<Clique>(new Clique(file, size));
}

Clique::Clique(int file, int ranks) : file(file), ranks(ranks) {
  void *memory = ::mmap(nullptr, kMemberBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  transfer(memory != MAP_FAILED);
  members = static_cast<Member *>(memory);
}

Clique::~Clique() {
  ::munmap(members, kMemberBytes);
  ::close(file);
}

void Clique::publish(int rank, const std::vector<Call> &calls) {
  off_t place = placeOf(rank);
  auto write = [&](const void *data, size_t bytes) {
    transfer(::pwrite(file, data, bytes, place) == static_cast<ssize_t>(bytes));
    place += static_cast<off_t>(bytes);
  };
  const size_t count = calls.size();
  write(&count, sizeof(count));
  write(calls.data(), count * sizeof(Call));
  for (const Call &call : calls) {
    const size_t bytes = bytesGiven(call, rank, ranks);
    requireAccess(*this, call.source, bytes);
    write(call.source, bytes);
  }
}

std::vector<Clique::Published> Clique::readAll() const {
  std::vector<Published> all(static_cast<size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    Published &it = all[static_cast<size_t>(rank)];
    off_t place = placeOf(rank);
    auto read = [&](void *data, size_t bytes) {
      transfer(::pread(file, data, bytes, place) == static_cast<ssize_t>(bytes));
      place += static_cast<off_t>(bytes);
    };
    size_t count = 0, bytes = 0;
    read(&count, sizeof(count));
    it.calls.resize(count);
    read(it.calls.data(), count * sizeof(Call));
    for (const Call &call : it.calls) {
      it.begins.push_back(bytes);
      // What follows is read as elements of any type.
      bytes += (bytesGiven(call, rank, ranks) + kAlignment - 1) / kAlignment * kAlignment;
    }
    it.data.resize(bytes);
    for (size_t i = 0; i < count; ++i)
      read(it.data.data() + it.begins[i], bytesGiven(it.calls[i], rank, ranks));
  }
  return all;
}

/// The result of the n-th collective of a group.
static std::vector<std::byte> combine(const std::vector<const Call *> &calls,
                                      const std::vector<const std::byte *> &given, int rank) {
  const Call &own = *calls[static_cast<size_t>(rank)];
  for (const Call *call : calls)
    require(call->kind == own.kind && call->count == own.count && call->type == own.type &&
                call->reduction == own.reduction && call->peer == own.peer,
            "ranks call different operations");
  const size_t bytes = bytesOf(own);
  std::vector<std::byte> result;
  if (own.kind == CallKind::broadcast) {
    const std::byte *root = given[static_cast<size_t>(own.peer)];
    result.assign(root, root + bytes);
  } else if (own.kind == CallKind::allGather) {
    for (const std::byte *each : given)
      result.insert(result.end(), each, each + bytes);
  } else {
    result.resize(bytes);
    std::vector<const std::byte *> parts = given;
    if (own.kind == CallKind::reduceScatter)
      for (const std::byte *&part : parts)
        part += static_cast<size_t>(rank) * bytes;
    reduce(typeOf(own.type),
           own.reduction == kNcclMax ? format::Reduction::max : format::Reduction::sum, parts,
           result.data(), 0, static_cast<int64_t>(own.count));
  }
  return result;
}

void Clique::receive(int rank, const std::vector<Call> &calls) {
  const std::vector<Published> all = readAll();
  auto store = [&](const Call &call, const std::byte *data, size_t bytes) {
    requireAccess(*this, call.destination, bytes);
    std::memcpy(call.destination, data, bytes);
  };
  std::map<std::pair<CallKind, int>, size_t> transfers; ///< so far, by kind and peer
  size_t collectives = 0;
  for (const Call &call : calls) {
    if (isTransfer(call)) {
      const Published &peer = all[static_cast<size_t>(call.peer)];
      const bool sends = call.kind == CallKind::send;
      const size_t other = peer.findOther(sends ? CallKind::receive : CallKind::send, rank,
                                          transfers[{call.kind, call.peer}]++, call);
      if (!sends)
        store(call, peer.given(other), bytesOf(call));
      continue;
    }
    std::vector<const Call *> same;
    std::vector<const std::byte *> given;
    for (const Published &it : all) {
      const size_t number = it.findCollective(collectives);
      require(number < it.calls.size(), "ranks call different operations");
      same.push_back(&it.calls[number]);
      given.push_back(it.given(number));
    }
    ++collectives;
    const std::vector<std::byte> result = combine(same, given, rank);
    store(call, result.data(), result.size());
  }
  for (const Published &it : all)
    require(it.findCollective(collectives) == it.calls.size(), "ranks call different operations");
}

} // namespace titan::cuda::stubs
