#include "passes/sharding/ReshardPlan.h"

#include <algorithm>

namespace titan {

int64_t countRanks(const AxisList &axes, const std::vector<int64_t> &axisSizes) {
  int64_t ranks = 1;
  for (unsigned axis : axes)
    ranks *= axisSizes[axis];
  return ranks;
}
namespace {

using Kind = ReshardStep::Kind;

bool contains(const AxisList &axes, unsigned axis) {
  return std::find(axes.begin(), axes.end(), axis) != axes.end();
}

/// The axes of `axes` that `other` lacks.
AxisList without(const AxisList &axes, const AxisList &other) {
  AxisList rest;
  for (unsigned axis : axes)
    if (!contains(other, axis))
      rest.push_back(axis);
  return rest;
}

/// Moves a tensor step by step; `now` is where it is.
class Resharder {
public:
  Resharder(const Layout &from, const Layout &to, const std::vector<int64_t> &shape,
            const std::vector<int64_t> &axisSizes)
      : shape(shape), sizes(axisSizes), now(dropUnitAxes(from)), to(dropUnitAxes(to)) {}

  std::vector<ReshardStep> run() {
    const bool staysFlat = moveFlat();
    if (!now.flat.empty() && !staysFlat)
      leaveFlat();
    if (!staysFlat)
      moveDimensions();
    if (!staysFlat && !to.flat.empty())
      enterFlat();
    allReduce(without(now.partial, to.partial));
    keepFirst(without(to.partial, now.partial));
    return steps;
  }

private:
  AxisList dropUnitAxes(AxisList axes) const {
    std::erase_if(axes, [&](unsigned axis) { return sizes[axis] == 1; });
    return axes;
  }

  /// Axes of one rank split nothing; but storage over such an axis is flat all the same.
  Layout dropUnitAxes(Layout layout) const {
    for (AxisList &axes : layout.dimensions)
      axes = dropUnitAxes(axes);
    layout.partial = dropUnitAxes(layout.partial);
    return layout;
  }

  int64_t count(const AxisList &axes) const { return countRanks(axes, sizes); }

  /// What a rank has after the dimensions' axes.
  std::vector<int64_t> wholeShape() const {
    std::vector<int64_t> local = shape;
    for (size_t i = 0; i < local.size(); ++i)
      local[i] /= count(now.dimensions[i]);
    return local;
  }

  void add(Kind kind, const AxisList &axes, unsigned dimension = 0) {
    if (!axes.empty())
      steps.push_back({kind, axes, dimension, {}});
  }

  void allReduce(const AxisList &axes) {
    add(Kind::allReduce, axes);
    now.partial = without(now.partial, axes);
  }

  void keepFirst(const AxisList &axes) {
    add(Kind::keepFirst, axes);
    now.partial.insert(now.partial.end(), axes.begin(), axes.end());
  }

  /// Elements of a slice, and of everything that is cut into slices.
  int64_t sliceElements(const Layout &layout) const {
    int64_t elements = 1;
    for (int64_t size : wholeShape())
      elements *= size;
    const int64_t slices = count(layout.flat);
    const int64_t slice = (elements + slices - 1) / slices;
    return (slice + layout.granule - 1) / layout.granule * layout.granule;
  }

  /// Slices that are made of the target's, or the other way round: they are gathered or cut as they
  /// are, padding and all. Returns whether the tensor now has its flat axes.
  bool moveFlat() {
    if (now.flat.empty() || to.flat.empty() || now.dimensions != to.dimensions)
      return false;
    const AxisList &shorter = now.flat.size() < to.flat.size() ? now.flat : to.flat;
    const AxisList &longer = now.flat.size() < to.flat.size() ? to.flat : now.flat;
    const bool areNested =
        std::equal(shorter.begin(), shorter.end(), longer.begin()) &&
        sliceElements(now) * count(now.flat) == sliceElements(to) * count(to.flat);
    if (!areNested)
      return false;
    const AxisList rest(longer.begin() + shorter.size(), longer.end());
    if (now.flat.size() < to.flat.size()) {
      cut(0, dropUnitAxes(rest));
    } else {
      allReduce(without(now.partial, to.partial));
      add(Kind::allGather, dropUnitAxes(rest));
    }
    now.flat = to.flat;
    now.granule = to.granule;
    return true;
  }

  void leaveFlat() {
    // The slice is the smallest it will ever be.
    allReduce(without(now.partial, to.partial));
    add(Kind::allGather, dropUnitAxes(now.flat));
    steps.push_back({Kind::unflatten, {}, 0, wholeShape()});
    now.flat.clear();
    now.granule = 1;
  }

  void enterFlat() {
    steps.push_back({Kind::flatten, {}, 0, {sliceElements(to) * count(to.flat)}});
    cut(0, dropUnitAxes(to.flat));
    now.flat = to.flat;
    now.granule = to.granule;
  }

  /// Cuts a dimension along axes that split nothing now: sums are scattered, whole values sliced.
  /// Neighbours of a kind are one step.
  void cut(unsigned dimension, const AxisList &axes) {
    for (size_t begin = 0; begin < axes.size();) {
      const bool isPartial = contains(now.partial, axes[begin]);
      size_t end = begin;
      while (end < axes.size() && contains(now.partial, axes[end]) == isPartial)
        ++end;
      const AxisList run(axes.begin() + begin, axes.begin() + end);
      add(isPartial ? Kind::reduceScatter : Kind::axisSlice, run, dimension);
      now.partial = without(now.partial, run);
      begin = end;
    }
  }

  bool splitsNothing(unsigned axis) const {
    return std::none_of(now.dimensions.begin(), now.dimensions.end(),
                        [&](const AxisList &axes) { return contains(axes, axis); });
  }

  /// Cuts dimensions as far as the target says and the axes are free.
  void cutDimensions() {
    for (unsigned dimension = 0; dimension < now.dimensions.size(); ++dimension) {
      AxisList &axes = now.dimensions[dimension];
      const AxisList &wanted = to.dimensions[dimension];
      if (axes.size() >= wanted.size() || !std::equal(axes.begin(), axes.end(), wanted.begin()))
        continue;
      AxisList missing;
      for (size_t i = axes.size(); i < wanted.size() && splitsNothing(wanted[i]); ++i)
        missing.push_back(wanted[i]);
      cut(dimension, missing);
      axes.insert(axes.end(), missing.begin(), missing.end());
    }
  }

  /// Gathers the axes of each dimension from the first one on that the target lacks there.
  void gatherDimensions() {
    for (unsigned dimension = 0; dimension < now.dimensions.size(); ++dimension) {
      AxisList &axes = now.dimensions[dimension];
      const AxisList &wanted = to.dimensions[dimension];
      const auto [kept, unused] =
          std::mismatch(axes.begin(), axes.end(), wanted.begin(), wanted.end());
      add(Kind::allGather, AxisList(kept, axes.end()), dimension);
      axes.erase(kept, axes.end());
    }
  }

  void moveDimensions() {
    // What is cut first is less to gather.
    cutDimensions();
    AxisList later = to.flat;
    for (const AxisList &axes : to.dimensions)
      later.insert(later.end(), axes.begin(), axes.end());
    later.insert(later.end(), to.partial.begin(), to.partial.end());
    if (to.flat.empty())
      allReduce(without(now.partial, later));
    gatherDimensions();
    cutDimensions();
  }

  const std::vector<int64_t> &shape;
  const std::vector<int64_t> &sizes;
  Layout now, to;
  std::vector<ReshardStep> steps;
};

} // namespace

std::vector<ReshardStep> planReshard(const Layout &from, const Layout &to,
                                     const std::vector<int64_t> &shape,
                                     const std::vector<int64_t> &axisSizes) {
  return Resharder(from, to, shape, axisSizes).run();
}

} // namespace titan
