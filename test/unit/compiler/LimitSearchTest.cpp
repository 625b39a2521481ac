#include "compiler/LimitSearch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace titan {
namespace {

/// A rank with plans of these bytes, and what it needs besides with each; most bytes first.
struct Plans {
  std::vector<int64_t> kept, others;

  size_t indexWithin(int64_t bytes) const {
    for (size_t i = 0; i < kept.size(); ++i)
      if (kept[i] <= bytes)
        return i;
    ADD_FAILURE() << "no plan within " << bytes;
    return kept.size() - 1;
  }
  int64_t total(size_t plan) const { return kept[plan] + others[plan]; }
  int64_t leastTotal() const {
    int64_t least = total(0);
    for (size_t i = 1; i < kept.size(); ++i)
      least = std::min(least, total(i));
    return least;
  }

  LimitSearch search(int64_t limit, int &trials) const {
    LimitSearch search(limit, kept.back(), kept.front(),
                       [this](int64_t bytes) { return kept[indexWithin(bytes)]; });
    while (auto bytes = search.next()) {
      search.report(total(indexWithin(*bytes)));
      ++trials;
    }
    return search;
  }
};

/// Many plans, a few jumps of what is needed besides: as of layers that take the same steps.
Plans makePlans(std::mt19937 &random) {
  Plans plans;
  const int count = 2 + static_cast<int>(random() % 400), jumps = static_cast<int>(random() % 6);
  int64_t kept = 1000, others = 100 + static_cast<int64_t>(random() % 100000);
  for (int i = 0; i < count; ++i, kept += 1 + static_cast<int64_t>(random() % 500))
    plans.kept.push_back(kept);
  std::reverse(plans.kept.begin(), plans.kept.end());
  plans.others.assign(plans.kept.size(), others);
  for (int jump = 0; jump < jumps; ++jump) {
    const size_t from = random() % plans.kept.size();
    const auto more = static_cast<int64_t>(random() % 20000);
    for (size_t i = from; i < plans.others.size(); ++i)
      plans.others[i] += more;
  }
  return plans;
}

TEST(LimitSearch, TakesThePlanThatKeepsMostOfThoseThatFit) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    const Plans plans = makePlans(random);
    const int64_t least = plans.leastTotal(), most = std::max(least, plans.total(0));
    const int64_t limit = least + static_cast<int64_t>(random() % (most - least + 100));
    int trials = 0;
    const LimitSearch search = plans.search(limit, trials);
    ASSERT_TRUE(search.fits()) << "round " << round;
    size_t best = 0;
    while (plans.total(best) > limit)
      ++best;
    ASSERT_EQ(plans.indexWithin(search.getAllowed()), best) << "round " << round;
    ASSERT_EQ(search.getTotal(), plans.total(best));
    ASSERT_LE(trials, 10) << "round " << round;
  }
}

TEST(LimitSearch, SaysTheLeastThatWouldFit) {
  std::mt19937 random(2);
  for (int round = 0; round < 2000; ++round) {
    const Plans plans = makePlans(random);
    const int64_t least = plans.leastTotal();
    int trials = 0;
    const LimitSearch search =
        plans.search(1 + static_cast<int64_t>(random() % (least - 1)), trials);
    ASSERT_FALSE(search.fits());
    ASSERT_EQ(plans.total(plans.indexWithin(search.getAllowed())), search.getTotal());
    ASSERT_LE(search.getTotal(), least + least / 499) << "round " << round;
    ASSERT_LE(trials, 32);
    EXPECT_TRUE(plans.search(search.getTotal(), trials = 0).fits());
  }
}

TEST(LimitSearch, OnePlanIsTriedOnce) {
  const Plans plans{{700}, {300}};
  int trials = 0;
  EXPECT_TRUE(plans.search(1000, trials).fits());
  EXPECT_FALSE(plans.search(999, trials).fits());
  EXPECT_EQ(trials, 2);
}

} // namespace
} // namespace titan
