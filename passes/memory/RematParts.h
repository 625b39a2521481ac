// A graph of titan-rematerialize in parts that can be planned one by one.
#pragma once

#include "passes/memory/RematPlan.h"

#include <functional>

namespace titan {

/// The graph falls apart where values are needed anyway, as between the layers of a model. Parts
/// that are equal, as most layers are, have one graph.
class RematParts {
public:
  explicit RematParts(RematGraph graph);

  size_t size() const { return parts.size(); }
  /// The graphs of the parts, each once, and which of them is a part's.
  const std::vector<RematGraph> &getGraphs() const { return graphs; }
  size_t getGraphOf(size_t part) const { return parts[part].graph; }

  /// The plan of the whole from one for each part.
  RematPlan assemble(const std::function<const RematPlan &(size_t part)> &getPlan) const;

private:
  struct Part {
    std::vector<unsigned> ops, values; ///< their numbers in the whole
    size_t graph = 0;
  };
  void split();
  void buildGraphs();

  RematGraph whole;
  std::vector<Part> parts;
  std::vector<RematGraph> graphs;
};

} // namespace titan
