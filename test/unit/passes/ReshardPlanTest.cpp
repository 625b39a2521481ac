#include "passes/sharding/ReshardPlan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

using namespace titan;

namespace {

using Kind = ReshardStep::Kind;
using Shape = std::vector<int64_t>;

struct Array {
  Shape shape;
  std::vector<double> values;
};

int64_t product(const Shape &shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

/// A small mesh whose ranks hold arrays; executes plans.
class Mesh {
public:
  explicit Mesh(std::vector<int64_t> axisSizes) : sizes(std::move(axisSizes)) {}

  int64_t ranks() const { return product(sizes); }

  int64_t count(const AxisList &axes) const {
    int64_t ranks = 1;
    for (unsigned axis : axes)
      ranks *= sizes[axis];
    return ranks;
  }

  int64_t coordinate(int64_t rank, unsigned axis) const {
    for (size_t i = sizes.size() - 1; i > axis; --i)
      rank /= sizes[i];
    return rank % sizes[axis];
  }

  int64_t coordinate(int64_t rank, const AxisList &axes) const {
    int64_t linear = 0;
    for (unsigned axis : axes)
      linear = linear * sizes[axis] + coordinate(rank, axis);
    return linear;
  }

  /// The ranks that differ in these axes alone, by their coordinate in them.
  std::vector<int64_t> group(int64_t rank, const AxisList &axes) const {
    std::vector<int64_t> members(count(axes));
    for (int64_t other = 0; other < ranks(); ++other) {
      bool isMember = true;
      for (unsigned axis = 0; axis < sizes.size(); ++axis)
        if (std::find(axes.begin(), axes.end(), axis) == axes.end())
          isMember &= coordinate(other, axis) == coordinate(rank, axis);
      if (isMember)
        members[coordinate(other, axes)] = other;
    }
    return members;
  }

  std::vector<int64_t> sizes;
};

/// Part `index` of `parts` along a dimension.
Array slice(const Array &whole, unsigned dimension, int64_t parts, int64_t index) {
  Array part{whole.shape, {}};
  EXPECT_EQ(whole.shape[dimension] % parts, 0);
  part.shape[dimension] /= parts;
  int64_t inner = 1;
  for (size_t i = dimension; i < part.shape.size(); ++i)
    inner *= part.shape[i];
  const int64_t outer = product(part.shape) / std::max<int64_t>(1, inner);
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < inner; ++i)
      part.values.push_back(whole.values[(o * parts + index) * inner + i]);
  return part;
}

Array join(const std::vector<Array> &parts, unsigned dimension) {
  Array whole{parts[0].shape, {}};
  whole.shape[dimension] *= static_cast<int64_t>(parts.size());
  int64_t inner = 1;
  for (size_t i = dimension; i < parts[0].shape.size(); ++i)
    inner *= parts[0].shape[i];
  for (int64_t o = 0; o < product(parts[0].shape) / std::max<int64_t>(1, inner); ++o)
    for (const Array &part : parts)
      whole.values.insert(whole.values.end(), part.values.begin() + o * inner,
                          part.values.begin() + (o + 1) * inner);
  return whole;
}

Array add(Array left, const Array &right) {
  for (size_t i = 0; i < left.values.size(); ++i)
    left.values[i] += right.values[i];
  return left;
}

/// What a rank holds next, given what all hold.
Array execute(const Mesh &mesh, const ReshardStep &step, const std::vector<Array> &held,
              int64_t rank) {
  const std::vector<int64_t> members = mesh.group(rank, step.axes);
  const int64_t own = mesh.coordinate(rank, step.axes), parts = mesh.count(step.axes);
  auto sum = [&] {
    Array total = held[members[0]];
    for (size_t i = 1; i < members.size(); ++i)
      total = add(total, held[members[i]]);
    return total;
  };
  Array result = held[rank];
  switch (step.kind) {
  case Kind::allGather: {
    std::vector<Array> all;
    for (int64_t member : members)
      all.push_back(held[member]);
    return join(all, step.dimension);
  }
  case Kind::reduceScatter:
    return slice(sum(), step.dimension, parts, own);
  case Kind::allReduce:
    return sum();
  case Kind::axisSlice:
    return slice(result, step.dimension, parts, own);
  case Kind::keepFirst:
    if (own != 0)
      std::fill(result.values.begin(), result.values.end(), 0.0);
    return result;
  case Kind::flatten:
    result.shape = step.shape;
    result.values.resize(product(step.shape), 0.0);
    return result;
  case Kind::unflatten:
    result.shape = step.shape;
    result.values.resize(product(step.shape));
    return result;
  }
  return result;
}

/// The part of a rank, but for partial sums. Flat padding is poisoned.
Array getPart(const Mesh &mesh, const Layout &layout, Array value, int64_t rank) {
  for (unsigned i = 0; i < layout.dimensions.size(); ++i)
    for (unsigned axis : layout.dimensions[i])
      value = slice(value, i, mesh.sizes[axis], mesh.coordinate(rank, axis));
  if (layout.flat.empty())
    return value;
  const int64_t slices = mesh.count(layout.flat), elements = product(value.shape);
  int64_t size = (elements + slices - 1) / slices;
  size = (size + layout.granule - 1) / layout.granule * layout.granule;
  value.values.resize(size * slices, std::numeric_limits<double>::quiet_NaN());
  value.shape = {size * slices};
  return slice(value, 0, slices, mesh.coordinate(rank, layout.flat));
}

/// Parts of which the sums over the partial axes are those of `value`.
std::vector<Array> distribute(const Mesh &mesh, const Layout &layout, const Array &value,
                              std::mt19937 &random) {
  std::vector<Array> held;
  for (int64_t rank = 0; rank < mesh.ranks(); ++rank)
    held.push_back(getPart(mesh, layout, value, rank));
  if (mesh.count(layout.partial) == 1)
    return held;
  // Addends are random, the same on ranks that differ in other axes alone, and the last one is what
  // is missing.
  const int64_t addends = mesh.count(layout.partial);
  Array rest = value;
  std::vector<Array> terms;
  for (int64_t i = 0; i + 1 < addends; ++i) {
    Array term = value;
    for (size_t j = 0; j < term.values.size(); ++j) {
      term.values[j] = static_cast<double>(random() % 100);
      rest.values[j] -= term.values[j];
    }
    terms.push_back(term);
  }
  terms.push_back(rest);
  for (int64_t rank = 0; rank < mesh.ranks(); ++rank)
    held[rank] = getPart(mesh, layout, terms[mesh.coordinate(rank, layout.partial)], rank);
  return held;
}

/// Whether the ranks hold `value` in this layout; padding may hold anything.
void expectHeld(const Mesh &mesh, const Layout &layout, const Array &value,
                const std::vector<Array> &held) {
  for (int64_t rank = 0; rank < mesh.ranks(); ++rank) {
    const Array expected = getPart(mesh, layout, value, rank);
    Array sum = held[rank];
    ASSERT_EQ(sum.shape, expected.shape);
    if (const auto members = mesh.group(rank, layout.partial); members.size() > 1) {
      sum = held[members[0]];
      for (size_t i = 1; i < members.size(); ++i)
        sum = add(sum, held[members[i]]);
    }
    for (size_t i = 0; i < expected.values.size(); ++i)
      ASSERT_TRUE(std::isnan(expected.values[i]) || sum.values[i] == expected.values[i])
          << "rank " << rank << ", element " << i << ": " << sum.values[i] << ", expects "
          << expected.values[i];
  }
}

/// A random layout of a tensor whose sizes are multiples of all axes' product.
Layout randomLayout(const Mesh &mesh, size_t rank, std::mt19937 &random) {
  Layout layout;
  layout.dimensions.resize(rank);
  AxisList axes(mesh.sizes.size());
  std::iota(axes.begin(), axes.end(), 0u);
  std::shuffle(axes.begin(), axes.end(), random);
  const bool isFlat = random() % 3 == 0;
  for (unsigned axis : axes) {
    const unsigned place = random() % (rank + 3);
    if (place < rank)
      layout.dimensions[place].push_back(axis);
    else if (place == rank)
      layout.partial.push_back(axis);
    else if (isFlat && place == rank + 1)
      layout.flat.push_back(axis);
  }
  layout.granule = layout.flat.empty() ? 1 : 1 + random() % 4;
  return layout;
}

std::vector<ReshardStep> plan(const Layout &from, const Layout &to, const Shape &shape = {8, 8},
                              const std::vector<int64_t> &sizes = {2, 2, 2}) {
  return planReshard(from, to, shape, sizes);
}

} // namespace

TEST(ReshardPlan, NothingToDo) {
  EXPECT_TRUE(plan({{{0}, {1}}, {2}}, {{{0}, {1}}, {2}}).empty());
  // The order of partial axes, and axes of one rank, mean nothing.
  EXPECT_TRUE(plan({{{}, {}}, {1, 2}}, {{{}, {}}, {2, 1}}).empty());
  EXPECT_TRUE(plan({{{0}, {}}}, {{{}, {}}}, {8, 8}, {1, 2, 2}).empty());
}

TEST(ReshardPlan, OneStepEach) {
  using Steps = std::vector<ReshardStep>;
  EXPECT_EQ(plan({{{0}, {}}}, {{{}, {}}}), (Steps{{Kind::allGather, {0}, 0, {}}}));
  EXPECT_EQ(plan({{{}, {0, 1}}}, {{{}, {}}}), (Steps{{Kind::allGather, {0, 1}, 1, {}}}));
  EXPECT_EQ(plan({{{}, {0, 1}}}, {{{}, {0}}}), (Steps{{Kind::allGather, {1}, 1, {}}}));
  EXPECT_EQ(plan({{{}, {}}}, {{{}, {0, 1}}}), (Steps{{Kind::axisSlice, {0, 1}, 1, {}}}));
  EXPECT_EQ(plan({{{}, {}}, {0}}, {{{}, {0}}}), (Steps{{Kind::reduceScatter, {0}, 1, {}}}));
  EXPECT_EQ(plan({{{}, {}}, {0, 1}}, {{{}, {}}}), (Steps{{Kind::allReduce, {0, 1}, 0, {}}}));
  EXPECT_EQ(plan({{{}, {}}}, {{{}, {}}, {0}}), (Steps{{Kind::keepFirst, {0}, 0, {}}}));
}

TEST(ReshardPlan, AMovedAxisIsGatheredThenCut) {
  EXPECT_EQ(
      plan({{{0}, {}}}, {{{}, {0}}}),
      (std::vector<ReshardStep>{{Kind::allGather, {0}, 0, {}}, {Kind::axisSlice, {0}, 1, {}}}));
}

TEST(ReshardPlan, WhatIsCutFirstIsLessToGather) {
  EXPECT_EQ(
      plan({{{0}, {}}, {1}}, {{{}, {1}}}),
      (std::vector<ReshardStep>{{Kind::reduceScatter, {1}, 1, {}}, {Kind::allGather, {0}, 0, {}}}));
}

TEST(ReshardPlan, StorageIsGatheredAndCutToSize) {
  // [3, 5] over 4 slices of granule 4: 16 elements.
  EXPECT_EQ(
      planReshard({{{}, {}}, {}, {0}, 4}, {{{}, {}}}, {3, 5}, {4}),
      (std::vector<ReshardStep>{{Kind::allGather, {0}, 0, {}}, {Kind::unflatten, {}, 0, {3, 5}}}));
}

TEST(ReshardPlan, GradientsAreScatteredThenSummedOnSlices) {
  EXPECT_EQ(planReshard({{{1}, {}}, {0, 2}}, {{{1}, {}}, {}, {0}, 4}, {6, 5}, {4, 2, 2}),
            (std::vector<ReshardStep>{{Kind::flatten, {}, 0, {16}},
                                      {Kind::reduceScatter, {0}, 0, {}},
                                      {Kind::allReduce, {2}, 0, {}}}));
}

TEST(ReshardPlan, NestedSlicesAreCutAndGatheredAsTheyAre) {
  // 40 elements in 2 slices of 20, or 4 of 10; with granule 4 in 4 of 12, which do not nest.
  const Layout two{{{}}, {}, {0}, 2}, four{{{}}, {}, {0, 1}, 2};
  EXPECT_EQ(planReshard(two, four, {40}, {2, 2}),
            (std::vector<ReshardStep>{{Kind::axisSlice, {1}, 0, {}}}));
  EXPECT_EQ(planReshard(four, two, {40}, {2, 2}),
            (std::vector<ReshardStep>{{Kind::allGather, {1}, 0, {}}}));
  EXPECT_EQ(planReshard({{{}}, {}, {0}, 4}, {{{}}, {}, {0, 1}, 4}, {40}, {2, 2}),
            (std::vector<ReshardStep>{{Kind::allGather, {0}, 0, {}},
                                      {Kind::unflatten, {}, 0, {40}},
                                      {Kind::flatten, {}, 0, {48}},
                                      {Kind::axisSlice, {0, 1}, 0, {}}}));
}

TEST(ReshardPlan, RandomPairsKeepTheValue) {
  std::mt19937 random(11);
  const std::vector<std::vector<int64_t>> meshes = {{2}, {3}, {2, 2}, {3, 2}, {2, 1, 3}, {2, 2, 2}};
  for (int round = 0; round < 1000; ++round) {
    const Mesh mesh(meshes[random() % meshes.size()]);
    Array value{Shape(1 + random() % 3), {}};
    for (int64_t &size : value.shape)
      size = mesh.ranks() * (1 + random() % 2);
    for (int64_t i = 0; i < product(value.shape); ++i)
      value.values.push_back(static_cast<double>(random() % 1000));
    const Layout from = randomLayout(mesh, value.shape.size(), random);
    const Layout to = randomLayout(mesh, value.shape.size(), random);
    std::vector<Array> held = distribute(mesh, from, value, random);
    for (const ReshardStep &step : planReshard(from, to, value.shape, mesh.sizes)) {
      std::vector<Array> next;
      for (int64_t rank = 0; rank < mesh.ranks(); ++rank)
        next.push_back(execute(mesh, step, held, rank));
      held = std::move(next);
    }
    ASSERT_NO_FATAL_FAILURE(expectHeld(mesh, to, value, held)) << "round " << round;
  }
}
