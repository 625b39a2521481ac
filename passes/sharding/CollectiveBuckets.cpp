#include "passes/sharding/CollectiveBuckets.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace titan {
namespace {

/// The last group of a key: others may still join.
struct OpenBucket {
  size_t index = 0; ///< in the list of groups
  std::string layer;
  int64_t ready = -1, firstUse = 0, bytes = 0;

  bool accepts(const BucketCandidate &candidate, int64_t limit) const {
    return candidate.layer == layer && bytes <= limit - candidate.bytes &&
           std::max(ready, candidate.ready) < std::min(firstUse, candidate.firstUse);
  }
};

} // namespace

std::vector<std::vector<size_t>> formBuckets(const std::vector<BucketCandidate> &candidates,
                                             int64_t limit) {
  std::vector<size_t> order(candidates.size());
  std::iota(order.begin(), order.end(), 0);
  auto place = [&](size_t i) {
    return candidates[i].isGather ? candidates[i].firstUse : candidates[i].ready;
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return place(a) < place(b); });
  std::vector<std::vector<size_t>> buckets;
  std::map<int64_t, OpenBucket> open;
  for (size_t i : order) {
    const BucketCandidate &candidate = candidates[i];
    auto [known, isNew] = open.try_emplace(candidate.key);
    OpenBucket &bucket = known->second;
    if (!isNew && bucket.accepts(candidate, limit)) {
      buckets[bucket.index].push_back(i);
      bucket.ready = std::max(bucket.ready, candidate.ready);
      bucket.firstUse = std::min(bucket.firstUse, candidate.firstUse);
      bucket.bytes += candidate.bytes;
      continue;
    }
    bucket = {buckets.size(), candidate.layer, candidate.ready, candidate.firstUse,
              candidate.bytes};
    buckets.push_back({i});
  }
  return buckets;
}

} // namespace titan
