#include "passes/kernels/KernelClusters.h"

#include "passes/kernels/AcyclicGraph.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>

namespace titan {

namespace {

using Bounds = llvm::SmallVector<int64_t, 4>;

int64_t countElements(llvm::ArrayRef<int64_t> bounds) {
  return std::accumulate(bounds.begin(), bounds.end(), int64_t{1}, std::multiplies<int64_t>());
}

struct Cluster {
  llvm::SmallVector<unsigned> members; // all but `late`, ascending
  llvm::SmallVector<unsigned> late;    // computed when partial sums are combined
  std::optional<Bounds> rows;          // if a reduction decides them
  Bounds bounds;                       // the longest loops
  size_t shortest = 0;                 // the least number of loops
  unsigned aligned = ~0u;              // loops that agree along every inner edge
  bool standsAlone = false;
  llvm::SmallVector<unsigned> inputs; // tensors, not scalars; ascending
};

/// What a merge makes of two clusters.
struct Plan {
  bool joinsLate = false; // the second is one node, computed late
  bool absorbs = false;   // the first has no roots: the second pulls all of it
  unsigned aligned = ~0u;
};

class Clustering {
public:
  Clustering(llvm::ArrayRef<FusionNode> nodes, const FusionOptions &options);
  FusionResult run();

private:
  bool isLate(unsigned node) const { return late[node]; }
  bool isSum(unsigned node) const {
    return nodes[node].kind == LoopKind::columnSum || nodes[node].kind == LoopKind::fullReduction;
  }
  Cluster &clusterOf(unsigned node) { return clusters[graph.find(node)]; }
  void visit(unsigned node);
  llvm::SmallVector<unsigned> findProducers(unsigned node);
  llvm::SmallVector<unsigned> findSiblings(unsigned node);
  bool tryMerge(unsigned a, unsigned b);
  std::optional<Plan> planMerge(Cluster &a, Cluster &b);
  bool planEdges(Cluster &from, Cluster &to, Plan &plan);
  bool canJoinLate(unsigned node, const Cluster &cluster);
  bool canAbsorb(const Cluster &from, const Cluster &to) const;
  bool fitsRows(const Cluster &merged) const;
  FusionResult order();

  llvm::ArrayRef<FusionNode> nodes;
  FusionOptions options;
  AcyclicGraph graph;
  std::vector<Cluster> clusters; // by the node that stands for it
  std::vector<bool> late;
  std::vector<bool> absorbed; // its loops are not the cluster's
  std::vector<llvm::SmallVector<unsigned, 4>> users;
  llvm::DenseMap<unsigned, llvm::SmallVector<unsigned, 4>> readers; // whole, by value
};

} // namespace

Clustering::Clustering(llvm::ArrayRef<FusionNode> nodes, const FusionOptions &options)
    : nodes(nodes), options(options), graph(nodes.size()), clusters(nodes.size()),
      late(nodes.size()), absorbed(nodes.size()), users(nodes.size()) {
  for (auto [index, node] : llvm::enumerate(nodes)) {
    const auto number = static_cast<unsigned>(index);
    for (const FusionInput &input : node.inputs) {
      if (input.producer < 0)
        continue;
      graph.addInitialEdge(input.producer, number);
      users[input.producer].push_back(number);
    }
    for (unsigned earlier : node.after)
      graph.addInitialEdge(earlier, number);
    Cluster &cluster = clusters[index];
    cluster.members = {number};
    cluster.bounds = node.bounds;
    cluster.shortest = node.bounds.size();
    cluster.standsAlone = node.standsAlone || !node.isFusible;
    if (node.kind == LoopKind::rowReduction || node.kind == LoopKind::columnSum)
      cluster.rows = Bounds(llvm::ArrayRef<int64_t>(node.bounds).take_front(node.numRows));
    for (const FusionInput &input : node.inputs)
      if (input.elements > 1)
        cluster.inputs.push_back(input.value);
    llvm::sort(cluster.inputs);
    cluster.inputs.erase(llvm::unique(cluster.inputs), cluster.inputs.end());
  }
}

// Whether nodes in `from` feed nodes in `to` only in ways that one kernel can hold.
bool Clustering::planEdges(Cluster &from, Cluster &to, Plan &plan) {
  // A long sum is merged from many pairs of a large and a small cluster: looks from the smaller.
  llvm::SmallVector<unsigned> consumers;
  if (from.members.size() < to.members.size()) {
    for (unsigned producer : llvm::concat<const unsigned>(from.members, from.late))
      llvm::copy_if(users[producer], std::back_inserter(consumers),
                    [&](unsigned user) { return &clusterOf(user) == &to; });
  } else {
    consumers.assign(to.members.begin(), to.members.end());
    consumers.append(to.late);
  }
  for (unsigned consumer : consumers) {
    for (const FusionInput &input : nodes[consumer].inputs) {
      if (input.producer < 0 || &clusterOf(input.producer) != &from)
        continue;
      if (isSum(input.producer) || isLate(input.producer)) {
        if (to.members.size() != 1 || !to.late.empty() || !canJoinLate(consumer, from))
          return false;
        plan.joinsLate = true;
        return true;
      }
      const bool isReduced = nodes[input.producer].kind == LoopKind::rowReduction;
      if (isLate(consumer) || absorbed[consumer] ||
          (!isReduced && !nodes[input.producer].canBePulled))
        return false;
      plan.aligned = std::min(plan.aligned, input.aligned);
    }
  }
  return true;
}

bool Clustering::canJoinLate(unsigned node, const Cluster &cluster) {
  const FusionNode &consumer = nodes[node];
  if (consumer.kind != LoopKind::pointwise || !consumer.canBePulled)
    return false;
  for (const FusionInput &input : consumer.inputs) {
    if (!input.readsOwnElement)
      return false;
    if (input.producer < 0)
      continue;
    if (&clusterOf(input.producer) != &cluster) {
      // What follows from several sums belongs to none of them: they are alike, and a GPU can
      // compute them in one launch.
      if (isSum(input.producer))
        return false;
      continue;
    }
    // What the rows compute is gone when the sums are combined.
    if (!isSum(input.producer) && !isLate(input.producer))
      return false;
  }
  return true;
}

// A cluster none of whose values is needed elsewhere may have any loops, if pulling it does not
// compute its elements several times.
bool Clustering::canAbsorb(const Cluster &from, const Cluster &to) const {
  if (!from.late.empty() || countElements(from.bounds) < countElements(to.bounds))
    return false;
  return llvm::all_of(from.members, [&](unsigned member) {
    const FusionNode &node = nodes[member];
    if (node.kind != LoopKind::pointwise || !node.canBePulled || node.isReadOutside)
      return false;
    return llvm::all_of(users[member], [&](unsigned user) {
      const unsigned cluster = graph.find(user);
      return &clusters[cluster] == &from || &clusters[cluster] == &to;
    });
  });
}

bool Clustering::fitsRows(const Cluster &merged) const {
  if (!merged.rows)
    return true;
  const size_t rows = merged.rows->size();
  return rows <= merged.aligned && rows <= merged.shortest;
}

static bool isPrefix(llvm::ArrayRef<int64_t> a, llvm::ArrayRef<int64_t> b) {
  if (a.size() > b.size())
    std::swap(a, b);
  // A scalar belongs to scalars only.
  return a.empty() == b.empty() && b.take_front(a.size()) == a;
}

std::optional<Plan> Clustering::planMerge(Cluster &a, Cluster &b) {
  if (a.standsAlone || b.standsAlone)
    return std::nullopt;
  Plan plan;
  if (!planEdges(a, b, plan))
    return std::nullopt;
  if (plan.joinsLate)
    return plan;
  if (!planEdges(b, a, plan) || plan.joinsLate)
    return std::nullopt;
  if (!isPrefix(a.bounds, b.bounds)) {
    if (!canAbsorb(a, b))
      return std::nullopt;
    plan.absorbs = true;
    plan.aligned = ~0u;
    return plan;
  }
  if (a.rows && b.rows && *a.rows != *b.rows)
    return std::nullopt;
  Cluster merged;
  merged.rows = a.rows ? a.rows : b.rows;
  merged.shortest = std::min(a.shortest, b.shortest);
  merged.aligned = std::min({a.aligned, b.aligned, plan.aligned});
  if (!fitsRows(merged))
    return std::nullopt;
  return plan;
}

// `a` comes before `b`: values flow from it to `b`, or none flow.
bool Clustering::tryMerge(unsigned a, unsigned b) {
  a = graph.find(a);
  b = graph.find(b);
  if (a == b)
    return true;
  Cluster &first = clusters[a], &second = clusters[b];
  auto plan = planMerge(first, second);
  if (!plan)
    return false;
  llvm::SmallVector<unsigned> inputs;
  std::set_union(first.inputs.begin(), first.inputs.end(), second.inputs.begin(),
                 second.inputs.end(), std::back_inserter(inputs));
  // Scalars cost nothing: a long sum of them may be one kernel.
  const bool isScalar = first.bounds.empty() && second.bounds.empty();
  if (!isScalar && !plan->joinsLate &&
      (first.members.size() + second.members.size() > options.maxNodes ||
       inputs.size() > options.maxInputs))
    return false;
  auto merged = graph.merge(a, b, options.searchBudget);
  if (!merged)
    return false;
  Cluster result = std::move(first);
  if (plan->joinsLate) {
    late[second.members[0]] = true;
    result.late.push_back(second.members[0]);
  } else {
    if (plan->absorbs) {
      for (unsigned member : result.members)
        absorbed[member] = true;
      result.bounds = second.bounds;
      result.shortest = second.shortest;
      result.aligned = second.aligned;
      result.rows = second.rows;
    } else {
      if (second.bounds.size() > result.bounds.size())
        result.bounds = second.bounds;
      result.shortest = std::min(result.shortest, second.shortest);
      result.aligned = std::min({result.aligned, second.aligned, plan->aligned});
      if (!result.rows)
        result.rows = second.rows;
    }
    auto add = [](llvm::SmallVector<unsigned> &all, llvm::ArrayRef<unsigned> more) {
      llvm::SmallVector<unsigned> both;
      std::merge(all.begin(), all.end(), more.begin(), more.end(), std::back_inserter(both));
      all = std::move(both);
    };
    add(result.members, second.members);
    add(result.late, second.late);
  }
  result.inputs = std::move(inputs);
  clusters[*merged == a ? b : a] = Cluster();
  clusters[*merged] = std::move(result);
  return true;
}

llvm::SmallVector<unsigned> Clustering::findProducers(unsigned node) {
  llvm::SmallVector<const FusionInput *> inputs;
  for (const FusionInput &input : nodes[node].inputs)
    if (input.producer >= 0 && nodes[input.producer].isFusible)
      inputs.push_back(&input);
  llvm::sort(inputs, [](auto *a, auto *b) {
    return std::pair(-a->elements, a) < std::pair(-b->elements, b); // ties: as they stand
  });
  llvm::SmallVector<unsigned> producers;
  for (const FusionInput *input : inputs)
    if (!llvm::is_contained(producers, static_cast<unsigned>(input->producer)))
      producers.push_back(input->producer);
  return producers;
}

llvm::SmallVector<unsigned> Clustering::findSiblings(unsigned node) {
  llvm::SmallVector<unsigned> siblings;
  for (const FusionInput &input : nodes[node].inputs) {
    if (!input.readsOwnElement || input.elements <= 1)
      continue;
    auto &others = readers[input.value];
    unsigned tried = 0;
    for (unsigned other : llvm::reverse(others)) {
      if (tried++ == options.siblingCandidates)
        break;
      if (!llvm::is_contained(siblings, other))
        siblings.push_back(other);
    }
    if (others.empty() || others.back() != node)
      others.push_back(node);
  }
  return siblings;
}

void Clustering::visit(unsigned node) {
  if (!nodes[node].isFusible)
    return;
  for (unsigned producer : findProducers(node))
    tryMerge(producer, node);
  if (isLate(node))
    return;
  for (unsigned sibling : findSiblings(node))
    if (!isLate(sibling) && clusterOf(sibling).bounds == clusterOf(node).bounds)
      tryMerge(sibling, node);
}

// Each group comes when its last node's turn is, or before, when an op whose turn it is needs it:
// what is computed late, such as what the backward computes again, does not move up because it
// could.
FusionResult Clustering::order() {
  FusionResult result;
  std::vector<llvm::SmallVector<unsigned, 4>> needed(nodes.size());
  std::vector<llvm::SmallVector<unsigned>> members(nodes.size());
  for (unsigned node = 0; node < nodes.size(); ++node) {
    const unsigned to = graph.find(node);
    members[to].push_back(node);
    for (const FusionInput &input : nodes[node].inputs)
      if (input.producer >= 0)
        needed[to].push_back(graph.find(input.producer));
    for (unsigned earlier : nodes[node].after)
      needed[to].push_back(graph.find(earlier));
  }
  std::vector<size_t> visited(nodes.size()); // of `needed`
  std::vector<bool> isDone(nodes.size());
  llvm::SmallVector<unsigned> path;
  for (unsigned node = 0; node < nodes.size(); ++node) {
    if (const unsigned own = graph.find(node); members[own].back() == node && !isDone[own])
      path.push_back(own);
    while (!path.empty()) {
      const unsigned at = path.back();
      if (visited[at] < needed[at].size()) {
        const unsigned next = needed[at][visited[at]++];
        if (next != at && !isDone[next])
          path.push_back(next);
        continue;
      }
      path.pop_back();
      isDone[at] = true;
      result.groups.push_back(members[at]);
    }
  }
  return result;
}

FusionResult Clustering::run() {
  for (unsigned node = 0; node < nodes.size(); ++node)
    visit(node);
  return order();
}

FusionResult formClusters(llvm::ArrayRef<FusionNode> nodes, const FusionOptions &options) {
  return Clustering(nodes, options).run();
}

} // namespace titan
