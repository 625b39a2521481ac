// The minimum cut of a directed graph with capacities.
#pragma once

#include <cstdint>
#include <vector>

namespace titan {

/// A network with one source and one sink, and its minimum cut by Dinic's algorithm (Dinitz,
/// "Algorithm for solution of a problem of maximum flow in networks with power estimation", 1970):
/// O(nodes^2 edges), in practice near linear on the shallow graphs of a layer's ops.
class MinimumCut {
public:
  /// Capacities are sums of products of bytes and work: 128 bits hold them without rounding.
  __extension__ typedef __int128 Capacity;
  /// More than all finite capacities together.
  static constexpr Capacity kInfinite = static_cast<Capacity>(1) << 120;

  static constexpr unsigned kSource = 0, kSink = 1;

  unsigned addNode();
  void addEdge(unsigned from, unsigned to, Capacity capacity);

  /// The nodes on the source's side of a minimum cut; of several the one with the fewest nodes
  /// there. A finite cut must exist. May be called once.
  std::vector<bool> findSourceSide();

private:
  struct Edge {
    unsigned to;
    int following; ///< the next edge that leaves the same node, -1 after the last
    Capacity left; ///< capacity minus flow
  };

  void append(unsigned from, unsigned to, Capacity capacity);
  bool buildLevels();
  Capacity push(unsigned node, Capacity limit);

  /// An edge and its reverse stand at 2i and 2i + 1.
  std::vector<Edge> edges;
  std::vector<int> outgoing = {-1, -1}; ///< the first edge that leaves each node
  std::vector<int> levels;
  std::vector<int> next; ///< the first edge of each node that may still lead on
  std::vector<unsigned> queue;
};

} // namespace titan
