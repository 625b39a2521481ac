#include "runtime/train/LrSchedule.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace titan {

LrSchedule::LrSchedule(const LrSchedulerSection &options, double lr, int64_t trainingSteps)
    : lr(lr), warmup(options.warmupSteps), least(options.minLrFactor),
      shape(options.decayType == "cosine" ? Shape::cosine
            : options.decayType == "sqrt" ? Shape::sqrt
                                          : Shape::linear) {
  const int64_t total = options.totalSteps.value_or(trainingSteps);
  if (warmup > total) {
    messages.push_back(fmt::format(
        "lr_scheduler.warmup_steps = {} exceeds the {} steps of the schedule and is cut to them",
        warmup, total));
    warmup = total;
  }
  decay = total - warmup;
  if (options.decayRatio) {
    // Like Python's round(): halves go to the even neighbour.
    const auto wanted =
        static_cast<int64_t>(std::nearbyint(static_cast<double>(total) * *options.decayRatio));
    if (wanted > decay)
      messages.push_back(fmt::format("lr_scheduler.decay_ratio = {} means {} steps of decay, but "
                                     "after the warmup only {} are left, and it is cut to them",
                                     *options.decayRatio, wanted, decay));
    decay = std::min(wanted, decay);
  }
  stable = total + 1 - warmup - decay;
}

double LrSchedule::factor(int64_t step) const {
  if (step <= warmup)
    return static_cast<double>(step) / static_cast<double>(warmup);
  if (step <= warmup + stable || decay == 0)
    return 1.0;
  const double progress =
      std::min(1.0, static_cast<double>(step - warmup - stable) / static_cast<double>(decay));
  double f = 0;
  switch (shape) {
  case Shape::linear:
    f = 1 - progress;
    break;
  case Shape::sqrt:
    f = 1 - std::sqrt(progress);
    break;
  case Shape::cosine:
    f = 0.5 * (1 + std::cos(std::numbers::pi * progress));
    break;
  }
  return least + (1 - least) * f;
}

} // namespace titan
