#include "passes/kernels/AcyclicGraph.h"

#include "llvm/ADT/STLExtras.h"

#include <cassert>
#include <utility>

namespace titan {

AcyclicGraph::AcyclicGraph(unsigned size) : nodes(size) {
  for (unsigned node = 0; node < size; ++node)
    nodes[node].order = nodes[node].parent = node;
}

void AcyclicGraph::addInitialEdge(unsigned from, unsigned to) {
  assert(from < to && "edges first go from lower to higher nodes");
  nodes[from].successors.nodes.push_back(to);
  nodes[to].predecessors.nodes.push_back(from);
}

unsigned AcyclicGraph::find(unsigned node) const {
  while (nodes[node].parent != node) {
    nodes[node].parent = nodes[nodes[node].parent].parent;
    node = nodes[node].parent;
  }
  return node;
}

// Replaces merged nodes by what stands for them, drops repetitions and edges to `self`; only when
// the list has doubled, for a node that many are merged into has many edges.
void AcyclicGraph::tidy(Edges &edges, unsigned self) {
  constexpr size_t few = 16;
  if (edges.nodes.size() <= 2 * edges.tidied + few)
    return;
  for (unsigned &node : edges.nodes)
    node = find(node);
  llvm::sort(edges.nodes);
  edges.nodes.erase(llvm::unique(edges.nodes), edges.nodes.end());
  llvm::erase(edges.nodes, self);
  edges.tidied = edges.nodes.size();
}

// Only nodes whose order lies between the two can be on a path.
AcyclicGraph::Reach AcyclicGraph::reachesIndirectly(unsigned from, unsigned to, unsigned budget) {
  const unsigned limit = nodes[to].order;
  llvm::SmallVector<unsigned> stack;
  nodes[from].visited = ++mark;
  tidy(nodes[from].successors, from);
  for (unsigned edge : nodes[from].successors.nodes)
    if (unsigned next = find(edge); next != to && nodes[next].order < limit)
      stack.push_back(next);
  while (!stack.empty()) {
    const unsigned node = stack.pop_back_val();
    if (nodes[node].visited == mark)
      continue;
    nodes[node].visited = mark;
    if (budget-- == 0)
      return Reach::unknown;
    tidy(nodes[node].successors, node);
    for (unsigned edge : nodes[node].successors.nodes) {
      const unsigned next = find(edge);
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
      tidy(edges(nodes[node]), node);
      for (unsigned edge : edges(nodes[node]).nodes)
        if (unsigned next = find(edge); inside(nodes[next].order))
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
  const Edges predecessors = std::exchange(nodes[b].predecessors, {});
  const Edges successors = std::exchange(nodes[b].successors, {});
  for (unsigned edge : predecessors.nodes) {
    const unsigned node = find(edge);
    if (node == a)
      continue;
    insertEdge(node, a);
    nodes[a].predecessors.nodes.push_back(node);
  }
  for (unsigned edge : successors.nodes) {
    const unsigned node = find(edge);
    if (node == a)
      continue;
    insertEdge(a, node);
    nodes[a].successors.nodes.push_back(node);
  }
  tidy(nodes[a].successors, a);
  tidy(nodes[a].predecessors, a);
  return a;
}

} // namespace titan
