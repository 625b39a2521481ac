#include "passes/memory/MinimumCut.h"

#include <algorithm>

namespace titan {

unsigned MinimumCut::addNode() {
  outgoing.emplace_back();
  return static_cast<unsigned>(outgoing.size() - 1);
}

void MinimumCut::addEdge(unsigned from, unsigned to, Capacity capacity) {
  outgoing[from].push_back(static_cast<unsigned>(edges.size()));
  edges.push_back({to, capacity});
  outgoing[to].push_back(static_cast<unsigned>(edges.size()));
  edges.push_back({from, 0});
}

/// Distances from the source along edges that are not full; false if the sink is out of reach.
bool MinimumCut::buildLevels() {
  levels.assign(outgoing.size(), -1);
  levels[kSource] = 0;
  std::vector<unsigned> queue{kSource};
  for (size_t at = 0; at < queue.size(); ++at)
    for (unsigned index : outgoing[queue[at]]) {
      const Edge &edge = edges[index];
      if (edge.left > 0 && levels[edge.to] < 0) {
        levels[edge.to] = levels[queue[at]] + 1;
        queue.push_back(edge.to);
      }
    }
  return levels[kSink] >= 0;
}

/// Sends up to `limit` from the node to the sink along edges that lead one level up.
MinimumCut::Capacity MinimumCut::push(unsigned node, Capacity limit) {
  if (node == kSink)
    return limit;
  Capacity sent = 0;
  for (size_t &at = next[node]; at < outgoing[node].size(); ++at) {
    const unsigned index = outgoing[node][at];
    Edge &edge = edges[index];
    if (edge.left > 0 && levels[edge.to] == levels[node] + 1) {
      const Capacity part = push(edge.to, std::min(limit - sent, edge.left));
      edge.left -= part;
      edges[index ^ 1].left += part;
      sent += part;
    }
    if (sent == limit)
      break;
  }
  return sent;
}

std::vector<bool> MinimumCut::findSourceSide() {
  while (buildLevels()) {
    next.assign(outgoing.size(), 0);
    push(kSource, kInfinite);
  }
  std::vector<bool> side(levels.size());
  std::transform(levels.begin(), levels.end(), side.begin(), [](int level) { return level >= 0; });
  return side;
}

} // namespace titan
