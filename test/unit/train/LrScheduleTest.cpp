#include "runtime/train/LrSchedule.h"

#include <gtest/gtest.h>

#include <cmath>

using namespace titan;

static void expectRates(const LrSchedule &schedule, const std::vector<double> &rates) {
  for (size_t i = 0; i < rates.size(); ++i)
    EXPECT_NEAR(schedule.rate(static_cast<int64_t>(i) + 1), rates[i], 1e-16) << "step " << i + 1;
}

// The debug model of torchtitan: 10 steps.
TEST(LrSchedule, DebugModel) {
  const LrSchedule schedule({.warmupSteps = 2, .decayRatio = 0.8}, 1.0, 10);
  EXPECT_TRUE(schedule.warnings().empty());
  expectRates(schedule, {.5, 1, 1, .875, .75, .625, .5, .375, .25, .125});
}

// The rates that PyTorch computed for 20 steps of warmup 4, half of them cosine decay to a tenth.
TEST(LrSchedule, CosineEqualsPyTorch) {
  const LrSchedulerSection options = {.warmupSteps = 4,
                                      .totalSteps = 20,
                                      .decayRatio = 0.5,
                                      .decayType = "cosine",
                                      .minLrFactor = 0.1};
  const LrSchedule schedule(options, 0.003, 1); // total_steps wins over the steps trained
  expectRates(schedule, {0.00075,
                         0.0015,
                         0.0022500000000000003,
                         0.003,
                         0.003,
                         0.003,
                         0.003,
                         0.003,
                         0.003,
                         0.003,
                         0.003,
                         0.0029339262969984574,
                         0.002742172942406179,
                         0.002443510090594839,
                         0.002067172942406179,
                         0.0016500000000000002,
                         0.0012328270575938213,
                         0.0008564899094051616,
                         0.0005578270575938212,
                         0.0003660737030015428});
}

TEST(LrSchedule, SqrtDecay) {
  const LrSchedule schedule({.warmupSteps = 0, .decayRatio = 0.5, .decayType = "sqrt"}, 2.0, 8);
  // D = 4, S = 5: steps 6, 7, 8 are at p = 1/4, 2/4, 3/4.
  expectRates(schedule, {2, 2, 2, 2, 2, 1, 2 * (1 - std::sqrt(0.5)), 2 * (1 - std::sqrt(0.75))});
}

TEST(LrSchedule, DecayFillsWhatTheWarmupLeaves) {
  const LrSchedule schedule({.warmupSteps = 1}, 1.0, 5);
  expectRates(schedule, {1, 1, .75, .5, .25});
}

TEST(LrSchedule, StaysAtTheEnd) {
  const LrSchedule schedule({.warmupSteps = 0, .totalSteps = 4, .minLrFactor = 0.1}, 1.0, 100);
  EXPECT_DOUBLE_EQ(schedule.factor(5), 0.1);
  EXPECT_DOUBLE_EQ(schedule.factor(50), 0.1);
}

TEST(LrSchedule, CutsTheWarmup) {
  const LrSchedule schedule({.warmupSteps = 200, .decayRatio = 0.5}, 1.0, 10);
  ASSERT_EQ(schedule.warnings().size(), 2u);
  EXPECT_EQ(schedule.warnings()[0], "lr_scheduler.warmup_steps = 200 exceeds the 10 steps of the "
                                    "schedule and is cut to them");
  EXPECT_DOUBLE_EQ(schedule.factor(1), 0.1);
  EXPECT_DOUBLE_EQ(schedule.factor(10), 1);
}

TEST(LrSchedule, CutsTheDecay) {
  const LrSchedule schedule({.warmupSteps = 5, .decayRatio = 0.9}, 1.0, 10);
  ASSERT_EQ(schedule.warnings().size(), 1u);
  EXPECT_NE(schedule.warnings()[0].find("means 9 steps of decay, but after the warmup only 5"),
            std::string::npos);
  expectRates(schedule, {.2, .4, .6, .8, 1, 1, .8, .6, .4, .2});
}

TEST(LrSchedule, RoundsHalvesToEven) {
  // 5 * 0.5 = 2.5 steps of decay: 2, as Python rounds.
  const LrSchedule schedule({.warmupSteps = 0, .decayRatio = 0.5}, 1.0, 5);
  expectRates(schedule, {1, 1, 1, 1, .5});
}

TEST(LrSchedule, NoDecay) {
  const LrSchedule schedule({.warmupSteps = 1, .decayRatio = 0.0}, 1.0, 3);
  expectRates(schedule, {1, 1, 1, 1});
}
