#include "passes/kernels/AcyclicGraph.h"

#include "llvm/ADT/STLExtras.h"

#include <cassert>

namespace titan {

AcyclicGraph::AcyclicGraph(unsigned size) : nodes(size) {
  for (unsigned node = 0; node < size; ++node)
    nodes[node].order = nodes[node].parent = node;
}

void AcyclicGraph::addInitialEdge(unsigned from, unsigned to) {
  assert(from < to && "edges first go from lower to higher nodes");
  nodes[from].successors.push_back(to);
  nodes[to].predecessors.push_back(from);
}

unsigned AcyclicGraph::find(unsigned node) const {
  while (nodes[node].parent != node) {
    nodes[node].parent = nodes[nodes[node].parent].parent;
    node = nodes[node].parent;
  }
  return node;
}

// Replaces merged nodes by what stands for them, drops repetitions and edges to `self`.
void AcyclicGraph::normalize(llvm::SmallVectorImpl<unsigned> &edges, unsigned self) {
  for (unsigned &node : edges)
    node = find(node);
  llvm::sort(edges);
  edges.erase(llvm::unique(edges), edges.end());
  llvm::erase(edges, self);
}

// Only nodes whose order lies between the two can be on a path.
AcyclicGraph::Reach AcyclicGraph::reachesIndirectly(unsigned from, unsigned to, unsigned budget) {
  const unsigned limit = nodes[to].order;
  llvm::SmallVector<unsigned> stack;
  ++mark;
  normalize(nodes[from].successors, from);
  for (unsigned next : nodes[from].successors)
    if (next != to && nodes[next].order < limit)
      stack.push_back(next);
  while (!stack.empty()) {
    const unsigned node = stack.pop_back_val();
    if (nodes[node].visited == mark)
      continue;
    nodes[node].visited = mark;
    if (budget-- == 0)
      return Reach::unknown;
    normalize(nodes[node].successors, node);
    for (unsigned next : nodes[node].successors) {
      if (next == to)
        return Reach::yes;
      if (nodes[next].order < limit)
        stack.push_back(next);
    }
  }
  return Reach::no;
}

// Restores the order for a new edge that closes no cycle: what `to` reaches within the affected
// range moves behind what reaches `from` within it.
void AcyclicGraph::insertEdge(unsigned from, unsigned to) {
  if (nodes[from].order < nodes[to].order)
    return;
  const unsigned low = nodes[to].order, high = nodes[from].order;
  auto collect = [&](unsigned start, auto edges, auto inside) {
    llvm::SmallVector<unsigned> found, stack{start};
    ++mark;
    while (!stack.empty()) {
      const unsigned node = stack.pop_back_val();
      if (nodes[node].visited == mark)
        continue;
      nodes[node].visited = mark;
      found.push_back(node);
      normalize(edges(nodes[node]), node);
      for (unsigned next : edges(nodes[node]))
        if (inside(nodes[next].order))
          stack.push_back(next);
    }
    llvm::sort(found, [&](unsigned a, unsigned b) { return nodes[a].order < nodes[b].order; });
    return found;
  };
  auto forward = collect(
      to, [](Node &node) -> auto & { return node.successors; },
      [&](unsigned order) { return order <= high; });
  auto backward = collect(
      from, [](Node &node) -> auto & { return node.predecessors; },
      [&](unsigned order) { return order >= low; });
  llvm::SmallVector<unsigned> moved(backward);
  moved.append(forward);
  llvm::SmallVector<unsigned> places;
  for (unsigned node : moved)
    places.push_back(nodes[node].order);
  llvm::sort(places);
  for (auto [node, place] : llvm::zip(moved, places))
    nodes[node].order = place;
}

std::optional<unsigned> AcyclicGraph::merge(unsigned a, unsigned b, unsigned budget) {
  a = find(a);
  b = find(b);
  if (a == b)
    return a;
  // By the order a path can only lead from the first to the second.
  if (nodes[a].order > nodes[b].order)
    std::swap(a, b);
  if (reachesIndirectly(a, b, budget) != Reach::no)
    return std::nullopt;
  nodes[b].parent = a;
  normalize(nodes[a].successors, a);
  normalize(nodes[a].predecessors, a);
  auto predecessors = std::move(nodes[b].predecessors);
  auto successors = std::move(nodes[b].successors);
  nodes[b].predecessors.clear();
  nodes[b].successors.clear();
  normalize(predecessors, a);
  normalize(successors, a);
  for (unsigned node : predecessors) {
    insertEdge(node, a);
    nodes[a].predecessors.push_back(node);
    nodes[node].successors.push_back(a);
  }
  for (unsigned node : successors) {
    insertEdge(a, node);
    nodes[a].successors.push_back(node);
    nodes[node].predecessors.push_back(a);
  }
  normalize(nodes[a].successors, a);
  normalize(nodes[a].predecessors, a);
  return a;
}

} // namespace titan
