#include "runtime/collectives/local/WorkPlan.h"

#include "runtime/collectives/Reduce.h"

#include <algorithm>

namespace titan::local {

using format::Collective;

namespace {

/// What one claim of a chunk is worth, and how long a table of chunks may get.
constexpr int64_t kChunkBytes = int64_t{256} << 10;
constexpr int64_t kMaxChunks = 4096;
/// Below this, one rank does all.
constexpr int64_t kOneLaneBytes = int64_t{32} << 10;
/// From here on other threads are woken.
constexpr int64_t kLargeBytes = int64_t{512} << 10;
/// From here on what is written would drive everything else out of the caches.
constexpr int64_t kStreamingBytes = int64_t{16} << 20;
/// Reductions go in steps that stay in the second-level cache until the last rank has its copy.
constexpr int64_t kReduceBytes = int64_t{64} << 10;

} // namespace

WorkPlan::WorkPlan(const CollectiveOperation &operation, int ranks)
    : collective(operation.collective), reduction(operation.reduction),
      root(collective == Collective::broadcast ? static_cast<int>(operation.peer) : 0),
      ranks(ranks) {
  for (const BufferPair &pair : operation.pairs) {
    types.push_back(pair.type);
    const int64_t largest = std::max(pair.sourceCount, pair.destinationCount);
    const bool hasParts = collective == Collective::allGather ||
                          collective == Collective::reduceScatter ||
                          collective == Collective::allToAll;
    partCounts.push_back(hasParts ? largest / ranks : largest);
  }
  const int64_t bytes = bytesOf(operation);
  chunkBytes = std::max(kChunkBytes, bytes / kMaxChunks);
  large = bytes >= kLargeBytes;
  streaming = bytes >= kStreamingBytes;
  const int lanes = bytes <= kOneLaneBytes ? 1 : ranks;
  begins.push_back(0);
  for (int lane = 0; lane < lanes; ++lane) {
    for (int own = lane; own < ranks; own += lanes)
      addLane(operation, own);
    begins.push_back(static_cast<uint32_t>(all.size()));
  }
}

void WorkPlan::addRange(uint32_t pair, int part, int other, int64_t begin, int64_t end) {
  const int64_t step = chunkBytes / byteSize(types[pair]);
  for (; begin < end; begin += step)
    all.push_back({pair, part, other, begin, std::min(step, end - begin)});
}

void WorkPlan::addLane(const CollectiveOperation &operation, int lane) {
  for (uint32_t pair = 0; pair < types.size(); ++pair) {
    const int64_t count = partCounts[pair];
    switch (collective) {
    case Collective::allGather:
    case Collective::reduceScatter:
      addRange(pair, lane, 0, 0, count);
      break;
    case Collective::allToAll:
      for (int to = 0; to < ranks; ++to)
        addRange(pair, lane, to, 0, count);
      break;
    default: { // an equal share of what has no parts, cut at cache lines
      constexpr int64_t kGranule = 64;
      const int64_t share = (count / ranks + kGranule) / kGranule * kGranule;
      addRange(pair, lane, 0, std::min(count, lane * share), std::min(count, (lane + 1) * share));
    }
    }
  }
}

void WorkPlan::copyToAll(const Chunk &chunk, int from, std::span<const ResolvedPairs *const> pairs,
                         int64_t destinationBegin) const {
  const int64_t element = byteSize(types[chunk.pair]);
  const std::byte *source = pairs[size_t(from)]->sources[chunk.pair] + chunk.begin * element;
  for (int to = 0; to < ranks; ++to)
    copyBytes(pairs[size_t(to)]->destinations[chunk.pair] + destinationBegin * element, source,
              chunk.count * element, streaming);
}

void WorkPlan::reduceInto(const Chunk &chunk, std::span<const ResolvedPairs *const> pairs,
                          std::span<const std::byte *> addresses, int64_t sourceBegin,
                          int to) const {
  const DType type = types[chunk.pair];
  const int64_t element = byteSize(type), step = kReduceBytes / element;
  const std::span<const std::byte *> sources = addresses.first(size_t(ranks));
  for (int rank = 0; rank < ranks; ++rank)
    sources[size_t(rank)] = pairs[size_t(rank)]->sources[chunk.pair] + sourceBegin * element;
  const auto destination = [&](int rank) {
    return pairs[size_t(rank)]->destinations[chunk.pair] + chunk.begin * element;
  };
  for (int64_t begin = 0; begin < chunk.count; begin += step) {
    const int64_t end = std::min(begin + step, chunk.count);
    reduce(type, reduction, sources, destination(to), begin, end);
    if (collective != Collective::allReduce)
      continue;
    // In place these lines are in the cache already: they were just read.
    for (int rank = 0; rank < ranks; ++rank)
      if (rank != to)
        copyBytes(destination(rank) + begin * element, destination(to) + begin * element,
                  (end - begin) * element, /*streaming=*/false);
  }
}

void WorkPlan::run(uint32_t index, std::span<const ResolvedPairs *const> pairs,
                   std::span<const std::byte *> addresses) const {
  const Chunk &chunk = all[index];
  const int64_t element = byteSize(types[chunk.pair]), count = partCounts[chunk.pair];
  switch (collective) {
  case Collective::allGather:
    return copyToAll(chunk, chunk.part, pairs, chunk.part * count + chunk.begin);
  case Collective::broadcast:
    return copyToAll(chunk, root, pairs, chunk.begin);
  case Collective::reduceScatter:
    return reduceInto(chunk, pairs, addresses, chunk.part * count + chunk.begin, chunk.part);
  case Collective::allReduce:
    return reduceInto(chunk, pairs, addresses, chunk.begin, chunk.part);
  case Collective::allToAll:
    return copyBytes(pairs[size_t(chunk.other)]->destinations[chunk.pair] +
                         (chunk.part * count + chunk.begin) * element,
                     pairs[size_t(chunk.part)]->sources[chunk.pair] +
                         (chunk.other * count + chunk.begin) * element,
                     chunk.count * element, streaming);
  case Collective::send:
  case Collective::receive:
    return copyBytes(pairs[1]->destinations[chunk.pair] + chunk.begin * element,
                     pairs[0]->sources[chunk.pair] + chunk.begin * element, chunk.count * element,
                     streaming);
  }
}

} // namespace titan::local
