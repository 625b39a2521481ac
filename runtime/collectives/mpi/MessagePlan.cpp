#include "runtime/collectives/mpi/MessagePlan.h"

#include <algorithm>

namespace titan::mpi {

using format::Collective;
using Side = Message::Side;

namespace {

constexpr int64_t kAlignment = 64;

/// Elements [begin, end) of part `part` of `count` elements that are split among `size` ranks.
struct Share {
  int64_t begin, end;
  int64_t count() const { return end - begin; }
};
Share shareOf(int64_t count, int size, int part) {
  constexpr int64_t kGranule = 16; // no rank for a few elements
  const int64_t each = (count / size + kGranule) / kGranule * kGranule;
  return {std::min(count, part * each), std::min(count, (part + 1) * each)};
}

class Planner {
public:
  Planner(const CollectiveOperation &operation, int size, int rank, int64_t maxBytes)
      : operation(operation), size(size), rank(rank), maxBytes(maxBytes) {
    plan.phases.resize(operation.collective == Collective::allReduce ? 2 : 1);
  }

  MessagePlan build() {
    for (uint32_t pair = 0; pair < operation.pairs.size(); ++pair)
      addPair(pair);
    return std::move(plan);
  }

private:
  void addMessage(int phase, bool isSend, Side side, int peer, uint32_t pair, int64_t offset,
                  int64_t bytes) {
    for (; bytes > 0; offset += maxBytes, bytes -= maxBytes)
      plan.phases[static_cast<size_t>(phase)].messages.push_back(
          {isSend, side, peer, pair, offset, std::min(bytes, maxBytes)});
  }
  void send(uint32_t pair, int peer, int64_t offset, int64_t bytes) {
    addMessage(0, true, Side::source, peer, pair, offset, bytes);
  }
  void receive(uint32_t pair, int peer, int64_t offset, int64_t bytes) {
    addMessage(0, false, Side::destination, peer, pair, offset, bytes);
  }
  void copy(uint32_t pair, int64_t from, int64_t to, int64_t bytes) {
    if (bytes > 0)
      plan.phases[0].copies.push_back({pair, from, to, bytes});
  }

  void addPair(uint32_t pair);
  void addReduction(uint32_t pair, Share (*partOf)(int64_t count, int size, int part),
                    bool ownPartOnly);
  void addGather(uint32_t pair);

  const CollectiveOperation &operation;
  const int size, rank;
  const int64_t maxBytes;
  MessagePlan plan;
};

void Planner::addReduction(uint32_t pair, Share (*partOf)(int64_t, int, int), bool ownPartOnly) {
  const BufferPair &it = operation.pairs[pair];
  const int64_t element = byteSize(it.type);
  const Share own = partOf(it.sourceCount, size, rank);
  const int64_t ownBytes = own.count() * element, workspace = plan.workspaceBytes;
  for (int i = 1; i < size; ++i) {
    const int peer = (rank + i) % size;
    const Share part = partOf(it.sourceCount, size, peer);
    send(pair, peer, part.begin * element, part.count() * element);
    const int slot = peer < rank ? peer : peer - 1;
    addMessage(0, false, Side::workspace, peer, pair, workspace + slot * ownBytes, ownBytes);
  }
  plan.workspaceBytes += ((size - 1) * ownBytes + kAlignment - 1) / kAlignment * kAlignment;
  if (own.count() > 0)
    plan.phases[0].reductions.push_back(
        {pair, own.begin * element, ownPartOnly ? 0 : own.begin * element, workspace, own.count()});
}

void Planner::addGather(uint32_t pair) {
  const BufferPair &it = operation.pairs[pair];
  const int64_t element = byteSize(it.type);
  const Share own = shareOf(it.destinationCount, size, rank);
  for (int i = 1; i < size; ++i) {
    const int peer = (rank + i) % size;
    const Share part = shareOf(it.destinationCount, size, peer);
    addMessage(1, true, Side::destination, peer, pair, own.begin * element, own.count() * element);
    addMessage(1, false, Side::destination, peer, pair, part.begin * element,
               part.count() * element);
  }
}

void Planner::addPair(uint32_t pair) {
  const BufferPair &it = operation.pairs[pair];
  const int64_t element = byteSize(it.type);
  const int64_t from = it.sourceCount * element, to = it.destinationCount * element;
  const int peer = static_cast<int>(operation.peer);
  switch (operation.collective) {
  case Collective::allGather:
    copy(pair, 0, rank * from, from);
    for (int i = 1; i < size; ++i) {
      const int other = (rank + i) % size;
      send(pair, other, 0, from);
      receive(pair, other, other * from, from);
    }
    return;
  case Collective::allToAll:
    copy(pair, rank * (from / size), rank * (from / size), from / size);
    for (int i = 1; i < size; ++i) {
      const int other = (rank + i) % size;
      send(pair, other, other * (from / size), from / size);
      receive(pair, other, other * (from / size), from / size);
    }
    return;
  case Collective::broadcast:
    if (peer != rank)
      return receive(pair, peer, 0, to);
    copy(pair, 0, 0, from);
    for (int i = 1; i < size; ++i)
      send(pair, (rank + i) % size, 0, from);
    return;
  case Collective::reduceScatter:
    return addReduction(
        pair,
        [](int64_t count, int size, int part) {
          return Share{part * (count / size), (part + 1) * (count / size)};
        },
        /*ownPartOnly=*/true);
  case Collective::allReduce:
    addReduction(pair, shareOf, /*ownPartOnly=*/false);
    return addGather(pair);
  case Collective::send:
    return send(pair, peer, 0, from);
  case Collective::receive:
    return receive(pair, peer, 0, to);
  }
}

} // namespace

MessagePlan planMessages(const CollectiveOperation &operation, int size, int rank,
                         int64_t maxBytes) {
  return Planner(operation, size, rank, maxBytes).build();
}

} // namespace titan::mpi
