#include "passes/memory/MinimumCut.h"

#include <algorithm>

namespace titan {

unsigned MinimumCut::addNode() {
  outgoing.push_back(-1);
  return static_cast<unsigned>(outgoing.size() - 1);
}

void MinimumCut::append(unsigned from, unsigned to, Capacity capacity) {
  edges.push_back({to, outgoing[from], capacity});
  outgoing[from] = static_cast<int>(edges.size() - 1);
}

void MinimumCut::addEdge(unsigned from, unsigned to, Capacity capacity) {
  append(from, to, capacity);
  append(to, from, 0);
}

/// Distances from the source along edges that are not full; false if the sink is out of reach.
bool MinimumCut::buildLevels() {
  levels.assign(outgoing.size(), -1);
  levels[kSource] = 0;
  queue.assign(1, kSource);
  for (size_t at = 0; at < queue.size() && levels[kSink] < 0; ++at)
    for (int index = outgoing[queue[at]]; index >= 0; index = edges[index].following) {
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
  for (int &at = next[node]; at >= 0; at = edges[at].following) {
    Edge &edge = edges[at];
    if (edge.left > 0 && levels[edge.to] == levels[node] + 1) {
      const Capacity part = push(edge.to, std::min(limit - sent, edge.left));
      edge.left -= part;
      edges[at ^ 1].left += part;
      sent += part;
    }
    if (sent == limit)
      break;
  }
  return sent;
}

std::vector<bool> MinimumCut::findSourceSide() {
  while (buildLevels()) {
    next = outgoing;
    push(kSource, kInfinite);
  }
  std::vector<bool> side(levels.size());
  std::transform(levels.begin(), levels.end(), side.begin(), [](int level) { return level >= 0; });
  return side;
}

} // namespace titan
