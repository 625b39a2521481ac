#include "runtime/collectives/Communicator.h"

#include "runtime/base/Hash.h"
#include "runtime/collectives/Reduce.h"

#include <algorithm>
#include <set>

namespace titan {

using format::Collective;
using format::Reduction;

namespace {

constexpr size_t kRanksInMessages = 8;
constexpr int kMaxGroupId = 1023;

std::string number(int64_t value) { return std::to_string(value); }

/// The first ranks of a list: "1, 5, 7", or "1, 5, ... (9 in all)".
std::string listOf(std::span<const int> ranks, const char *lastSeparator) {
  std::string text;
  for (size_t i = 0; i < std::min(ranks.size(), kRanksInMessages); ++i)
    text += (i == 0 ? "" : i + 1 == ranks.size() ? lastSeparator : ", ") + std::to_string(ranks[i]);
  if (ranks.size() > kRanksInMessages)
    text += ", ... (" + std::to_string(ranks.size()) + " in all)";
  return text;
}

Status checkReduction(const CollectiveOperation &operation) {
  const bool reduces = operation.collective == Collective::allReduce ||
                       operation.collective == Collective::reduceScatter;
  if (reduces == (operation.reduction == Reduction::none))
    return invalidArgument(std::string(reduces ? "needs a reduction" : "has no reduction") +
                           ", found " + std::string(toString(operation.reduction)));
  if (!reduces)
    return okStatus();
  for (size_t i = 0; i < operation.pairs.size(); ++i)
    if (!canReduce(operation.pairs[i].type))
      return invalidArgument("pair " + number(int64_t(i)) + " has type " +
                             std::string(toString(operation.pairs[i].type)) +
                             ", which cannot be reduced; f32, f64, bf16, f16, i32 and i64 can");
  return okStatus();
}

Status checkPeer(const CollectiveOperation &operation, int size, int rank) {
  const bool pointToPoint = isPointToPoint(operation.collective);
  if (!pointToPoint && operation.collective != Collective::broadcast)
    return operation.peer == -1 ? okStatus()
                                : invalidArgument("has no peer, found " + number(operation.peer));
  if (operation.peer < 0 || operation.peer >= size)
    return invalidArgument("peer is in [0, " + number(size) + "), found " + number(operation.peer));
  if (pointToPoint && operation.peer == rank)
    return invalidArgument("peer " + number(operation.peer) + " is the rank itself");
  return okStatus();
}

/// What `pair` may have, given the collective: empty when it is right.
std::string brokenRule(const BufferPair &pair, Collective collective, int64_t size) {
  const int64_t from = pair.sourceCount, to = pair.destinationCount;
  int64_t product = 0;
  switch (collective) {
  case Collective::allGather:
    return __builtin_mul_overflow(from, size, &product) || product != to
               ? "the destination holds " + number(size) + " times the source"
               : "";
  case Collective::reduceScatter:
    return __builtin_mul_overflow(to, size, &product) || product != from
               ? "the source holds " + number(size) + " times the destination"
               : "";
  case Collective::allToAll:
    return from != to || from % size != 0
               ? "source and destination hold the same multiple of " + number(size)
               : "";
  case Collective::allReduce:
  case Collective::broadcast:
    return from != to ? "source and destination hold the same" : "";
  case Collective::send:
    return to != 0 ? "a send has no destination" : "";
  case Collective::receive:
    return from != 0 ? "a receive has no source" : "";
  }
  return "the collective is unknown";
}

Status checkAddress(const BufferAddress &address, int64_t count, const char *side) {
  if (address.base < BufferAddress::kFixed)
    return invalidArgument(std::string(side) + " is relative to base " + number(address.base) +
                           "; bases count from 0");
  if (address.base == BufferAddress::kFixed && !address.address && count > 0)
    return invalidArgument(std::string(side) + " has no address");
  return okStatus();
}

Status checkPair(const BufferPair &pair, const CollectiveOperation &operation, int size, int rank) {
  int64_t bytes = 0;
  for (int64_t count : {pair.sourceCount, pair.destinationCount})
    if (count < 0 || __builtin_mul_overflow(count, byteSize(pair.type), &bytes))
      return invalidArgument("a count is not negative and its bytes are below 2^63, found " +
                             number(count));
  const std::string rule = brokenRule(pair, operation.collective, size);
  if (!rule.empty())
    return invalidArgument(rule + ", found " + number(pair.sourceCount) + " and " +
                           number(pair.destinationCount) + " elements");
  const bool readsSource = operation.collective != Collective::broadcast || operation.peer == rank;
  TITAN_RETURN_IF_ERROR(checkAddress(pair.source, readsSource ? pair.sourceCount : 0, "source"));
  return checkAddress(pair.destination, pair.destinationCount, "destination");
}

} // namespace

int64_t bytesOf(const CollectiveOperation &operation) {
  int64_t bytes = 0;
  for (const BufferPair &pair : operation.pairs)
    bytes += std::max(pair.sourceCount, pair.destinationCount) * byteSize(pair.type);
  return bytes;
}

size_t numBases(const CollectiveOperation &operation) {
  size_t bases = 0;
  for (const BufferPair &pair : operation.pairs)
    for (int base : {pair.source.base, pair.destination.base})
      bases = std::max(bases, static_cast<size_t>(base + 1));
  return bases;
}

Status checkId(OperationId id, size_t prepared, const std::string &group) {
  if (id >= 0 && static_cast<size_t>(id) < prepared)
    return okStatus();
  return invalidArgument(group + ": operation " + std::to_string(id) +
                         " was never prepared; there are " + std::to_string(prepared));
}

Status checkStart(bool inFlight, size_t basesWanted, size_t basesFound) {
  if (inFlight)
    return invalidArgument("is in flight already");
  if (basesFound < basesWanted)
    return invalidArgument("refers to " + std::to_string(basesWanted) + " bases, found " +
                           std::to_string(basesFound));
  return okStatus();
}

Status checkAwait(bool inFlight, OperationId id, Collective collective, const std::string &group) {
  if (inFlight)
    return okStatus();
  return invalidArgument(group + ": operation " + std::to_string(id) + " (" +
                         std::string(toString(collective)) + ") is not in flight");
}

Status tooManyInFlight(const std::string &operation, size_t most) {
  return invalidArgument(operation + ": at most " + std::to_string(most) +
                         " operations are in flight, and the oldest is not awaited yet");
}

int sequenceOf(const CollectiveOperation &operation, int size) {
  const int peer = static_cast<int>(operation.peer);
  return operation.collective == Collective::send      ? peer
         : operation.collective == Collective::receive ? -1 - peer
                                                       : size;
}

Status checkOperation(const CollectiveOperation &operation, int size, int rank) {
  const std::string name(toString(operation.collective));
  TITAN_RETURN_IF_ERROR(checkReduction(operation).withContext(name));
  TITAN_RETURN_IF_ERROR(checkPeer(operation, size, rank).withContext(name));
  for (size_t i = 0; i < operation.pairs.size(); ++i)
    TITAN_RETURN_IF_ERROR(checkPair(operation.pairs[i], operation, size, rank)
                              .withContext(name + ", pair " + number(int64_t(i))));
  return okStatus();
}

uint64_t signatureOf(const CollectiveOperation &operation) {
  std::string text;
  auto add = [&](int64_t value) { text.append(reinterpret_cast<const char *>(&value), 8); };
  const bool pointToPoint = isPointToPoint(operation.collective);
  add(static_cast<int64_t>(pointToPoint ? Collective::send : operation.collective));
  add(static_cast<int64_t>(operation.reduction));
  add(pointToPoint ? -1 : operation.peer);
  for (const BufferPair &pair : operation.pairs) {
    add(static_cast<int64_t>(pair.type));
    add(std::max(pair.sourceCount, pair.destinationCount));
  }
  return hash64(text);
}

StatusOr<int> checkGroup(const CommunicatorGroup &group, const CommunicatorOptions &options,
                         int rank, int size) {
  const std::string name = "group '" + group.name + "'";
  if (group.id < 0 || group.id > kMaxGroupId)
    return invalidArgument(name + ": the id is from 0 to " + number(kMaxGroupId) + ", found " +
                           number(group.id));
  std::set<int> seen;
  for (int member : group.ranks) {
    if (member < 0 || member >= size)
      return invalidArgument(name + ": there is no rank " + number(member) + " among " +
                             number(size));
    if (!seen.insert(member).second)
      return invalidArgument(name + ": rank " + number(member) + " is named twice");
  }
  const auto found = std::find(group.ranks.begin(), group.ranks.end(), rank);
  if (found == group.ranks.end())
    return invalidArgument(name + ": rank " + number(rank) + " is none of its ranks " +
                           listOf(group.ranks, ", "));
  if (options.maxInFlight < 1)
    return invalidArgument(name + ": at least 1 operation is in flight, found " +
                           number(options.maxInFlight));
  return static_cast<int>(found - group.ranks.begin());
}

Status claimId(std::set<int> &ids, const CommunicatorGroup &group, int rank) {
  if (ids.insert(group.id).second)
    return okStatus();
  return invalidArgument("group '" + group.name + "': rank " + number(rank) +
                         " has a communicator with id " + number(group.id) + " already");
}

std::string describeGroup(const CommunicatorGroup &group) {
  return group.name + " of " + describeRanks(group.ranks);
}

std::string describeOperation(int rank, Collective collective, const std::string &group,
                              uint64_t sequence) {
  return "rank " + std::to_string(rank) + ", " + std::string(toString(collective)) + " over " +
         group + ", sequence number " + std::to_string(sequence);
}

std::string describeRanks(std::span<const int> ranks) {
  return (ranks.size() == 1 ? "rank " : "ranks ") + listOf(ranks, " and ");
}

} // namespace titan
