// Executes a schedule on paper: does it end, when, and how much is in flight.
#pragma once

#include "passes/pipeline/Schedule.h"

#include <array>

namespace titan {

/// What is kept for a microbatch between two actions of a stage. Where a schedule has I and W
/// anywhere, B counts as I followed by W: a stage has one forward, whose residuals both take.
enum class ResidualClass : uint8_t {
  forwardToBackward, ///< of a schedule without I and W
  forwardToInput,    ///< what only I needs
  forwardToWeight,   ///< what W needs, whether I does or not
  inputToWeight,     ///< the cotangents that I makes or receives and W needs
};
constexpr size_t kNumResidualClasses = 4;
/// A number for each class.
template <typename T> using PerClass = std::array<T, kNumResidualClasses>;

/// The actions of a stage, in any unit of time.
struct ActionCosts {
  double forward = 1;
  double backward = 2;
  double backwardInput = 1;
  double backwardWeight = 1;
  double get(ActionKind kind) const;
};

struct SimulationOptions {
  std::vector<ActionCosts> costs;               ///< one for all stages, or one per stage
  std::vector<PerClass<int64_t>> residualBytes; ///< of a microbatch; empty, or one per stage
  std::vector<int64_t> residentBytes;           ///< of a rank, whatever it does; empty, or per rank
  double transfer = 0; ///< from the end of an action to when another rank has its result
};

struct TimedAction {
  PipelineAction action;
  double begin = 0;
  double end = 0;
};

struct RankSimulation {
  std::vector<TimedAction> actions;
  double busy = 0;
  /// The most microbatches in flight over the stages of the rank: F begun, B or W not finished.
  int64_t inFlight = 0;
  /// After each action began, bytes of residuals and what is resident.
  std::vector<int64_t> bytes;
  int64_t peakBytes = 0;
};

struct Simulation {
  double makespan = 0;
  std::vector<RankSimulation> ranks;
  /// The most of a stage that is in flight: the slots that it needs.
  std::vector<PerClass<int64_t>> inFlight;
  /// The part of all ranks' time in which they wait.
  double getIdleShare() const;
};

/// Each stage has on its rank, for each microbatch, one F and later one B or one I and later one W;
/// no action is there twice or on another rank. An evaluation's schedule has F alone. The error
/// names the action, its rank and its place in the rank's list.
llvm::Error checkComplete(const PipelineSchedule &schedule, bool isEvaluation = false);

/// Executes a complete schedule, training or evaluation. A rank executes its actions in order, as
/// soon as each has its inputs. A send never blocks its rank; it completes when its receive is
/// posted. A stage has as many slots for what it receives as it has in flight (`inFlight`), and
/// receives are posted in the sender's order as slots get free. So ranks that wait for each other
/// in a ring, or that use what they receive in another order than it is sent, are an error: it
/// names what each rank waits for.
llvm::Expected<Simulation> simulate(const PipelineSchedule &schedule,
                                    const SimulationOptions &options = {});

} // namespace titan
