// The learning rate over the steps: linear warmup, stable, decay (Hu et al. 2024, MiniCPM,
// https://arxiv.org/abs/2404.06395), with torchtitan's counting of steps.
#pragma once

#include "runtime/base/JobConfig.h"

#include <string>
#include <vector>

namespace titan {

/// With W warmup, S stable and D decay steps of T = W + S + D - 1 in total, step number n (from 1)
/// has the factor
///   n / W                         for n <= W,
///   1                             for W < n <= W + S,
///   m + (1 - m) f(p)              after, with p = (n - W - S) / D and m = min_lr_factor;
/// f(p) is 1 - p (linear), 1 - sqrt(p) (sqrt) or (1 + cos(pi p)) / 2 (cosine). The one virtual step
/// keeps the last real step above m.
///
/// Example: T = 10, W = 2, decay_ratio = 0.8, linear: D = 8, S = 1 and the factors are
///   0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125.
class LrSchedule {
public:
  /// `lr` is the rate at factor 1. T is total_steps, or `trainingSteps` when that is absent. W is
  /// cut to T, then D to T - W, each with a warning.
  LrSchedule(const LrSchedulerSection &options, double lr, int64_t trainingSteps);

  const std::vector<std::string> &warnings() const { return messages; }
  /// `step` counts from 1. Steps beyond T keep the factor that the decay ends at.
  double factor(int64_t step) const;
  double rate(int64_t step) const { return lr * factor(step); }

private:
  enum class Shape { linear, sqrt, cosine };

  double lr;
  int64_t warmup;
  int64_t stable;
  int64_t decay;
  double least;
  Shape shape;
  std::vector<std::string> messages;
};

} // namespace titan
