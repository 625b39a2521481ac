// A directed acyclic graph whose nodes can be merged without closing a cycle.
#pragma once

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"

#include <cstdint>
#include <optional>

namespace titan {

/// Keeps a topological order under insertion of edges and merging of nodes.
/// (Pearce and Kelly 2007, A dynamic topological sort algorithm for directed acyclic graphs.)
class AcyclicGraph {
public:
  /// Nodes are 0 to size - 1; edges must first go from lower to higher nodes.
  explicit AcyclicGraph(unsigned size);

  /// Adds an edge, between two nodes that have not been merged away, from the one that is lower
  /// in number: only before the first merge.
  void addInitialEdge(unsigned from, unsigned to);

  /// Merges two nodes into one unless a path through a third leads from one to the other. Returns
  /// the node that stands for both, or nothing. Gives up, and returns nothing, after visiting
  /// `budget` nodes, so that the time of many merges stays linear.
  std::optional<unsigned> merge(unsigned a, unsigned b, unsigned budget);

  /// The node that stands for `node` after merges.
  unsigned find(unsigned node) const;

  /// Nodes that an edge leads to, from a node that stands for itself; may name merged ones.
  llvm::ArrayRef<unsigned> successors(unsigned node) const { return nodes[node].successors.nodes; }

private:
  /// May name merged nodes, repeat nodes and name the node itself.
  struct Edges {
    llvm::SmallVector<unsigned, 4> nodes;
    size_t tidied = 0; ///< how many there were when last tidied
  };
  struct Node {
    Edges predecessors, successors;
    unsigned order;
    mutable unsigned parent;
    unsigned visited = 0;
  };
  enum class Reach { no, yes, unknown };

  Reach reachesIndirectly(unsigned from, unsigned to, unsigned budget);
  void insertEdge(unsigned from, unsigned to);
  void tidy(Edges &edges, unsigned self);

  llvm::SmallVector<Node, 0> nodes;
  unsigned mark = 0;
};

} // namespace titan
