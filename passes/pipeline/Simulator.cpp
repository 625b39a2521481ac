#include "passes/pipeline/Simulator.h"

#include "passes/pipeline/ScheduleCsv.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <optional>
#include <tuple>

namespace titan {

double ActionCosts::get(ActionKind kind) const {
  switch (kind) {
  case ActionKind::forward:
    return forward;
  case ActionKind::backward:
    return backward;
  case ActionKind::backwardInput:
    return backwardInput;
  case ActionKind::backwardWeight:
    return backwardWeight;
  }
  llvm_unreachable("all kinds have a cost");
}

double Simulation::getIdleShare() const {
  double busy = 0;
  for (const RankSimulation &rank : ranks)
    busy += rank.busy;
  return makespan > 0 ? 1 - busy / (makespan * ranks.size()) : 0;
}

//===--- Completeness
//--------------------------------------------------------------------------===//

template <typename... Args> static llvm::Error fail(const char *format, Args &&...args) {
  return llvm::createStringError(llvm::formatv(format, std::forward<Args>(args)...).str());
}

namespace {
/// Where the actions of a schedule are; counts of stages and microbatches need not be believed.
class Positions {
public:
  llvm::Error read(const PipelineSchedule &schedule);
  llvm::Error check(const PipelineSchedule &schedule, bool isEvaluation) const;

private:
  using Key = std::tuple<int64_t, int64_t, ActionKind>;
  std::optional<size_t> find(int64_t stage, int64_t microbatch, ActionKind kind) const {
    const auto found = positions.find({stage, microbatch, kind});
    return found == positions.end() ? std::nullopt : std::optional(found->second);
  }
  llvm::Error checkBackward(const PipelineSchedule &schedule, int64_t stage,
                            int64_t microbatch) const;
  std::map<Key, size_t> positions; ///< in the list of the action's rank
};
} // namespace

llvm::Error Positions::read(const PipelineSchedule &schedule) {
  for (const auto &[rank, actions] : llvm::enumerate(schedule.actions)) {
    if (actions.empty())
      return fail("rank {0} has no action", rank);
    for (const auto &[position, action] : llvm::enumerate(actions)) {
      if (action.stage >= schedule.getNumStages() || action.microbatch >= schedule.microbatches)
        return fail("rank {0} has {1}, but there are {2} stages and {3} microbatches", rank,
                    printAction(action), schedule.getNumStages(), schedule.microbatches);
      const Key key{action.stage, action.microbatch, action.kind};
      if (schedule.rankOfStage[action.stage] != static_cast<int64_t>(rank))
        return fail("rank {0} has {1}, but rank {2} has stage {3}; a stage is on one rank", rank,
                    printAction(action), schedule.rankOfStage[action.stage], action.stage);
      if (const auto [other, isNew] = positions.insert({key, position}); !isNew)
        return fail("rank {0} has {1} twice, as its actions {2} and {3}; once is legal", rank,
                    printAction(action), other->second + 1, position + 1);
    }
  }
  return llvm::Error::success();
}

llvm::Error Positions::checkBackward(const PipelineSchedule &schedule, int64_t stage,
                                     int64_t microbatch) const {
  using enum ActionKind;
  const int64_t rank = schedule.rankOfStage[stage];
  const auto print = [&](ActionKind kind) { return printAction({kind, stage, microbatch}); };
  const auto whole = find(stage, microbatch, backward);
  const auto input = find(stage, microbatch, backwardInput);
  const auto weight = find(stage, microbatch, backwardWeight);
  if (whole && (input || weight))
    return fail("rank {0} has {1} and {2}; a backward is B, or I and W", rank, print(backward),
                print(input ? backwardInput : backwardWeight));
  if (!whole && !input && !weight)
    return fail("rank {0} lacks {1}, or {2} and {3}; each stage has F and B, or F, I and W, of "
                "each of {4} microbatches",
                rank, print(backward), print(backwardInput), print(backwardWeight),
                schedule.microbatches);
  if (!whole && !(input && weight))
    return fail("rank {0} has {1}, but lacks {2}; a backward is B, or I and W", rank,
                print(input ? backwardInput : backwardWeight),
                print(input ? backwardWeight : backwardInput));
  const size_t begin = *find(stage, microbatch, forward);
  if ((whole ? *whole : *input) < begin)
    return fail("rank {0} has {1} before {2}; a backward needs what its forward keeps", rank,
                print(whole ? backward : backwardInput), print(forward));
  if (!whole && *weight < *input)
    return fail("rank {0} has {1} before {2}; W needs the cotangents of I", rank,
                print(backwardWeight), print(backwardInput));
  return llvm::Error::success();
}

llvm::Error Positions::check(const PipelineSchedule &schedule, bool isEvaluation) const {
  for (int64_t stage = 0; stage < schedule.getNumStages(); ++stage)
    for (int64_t microbatch = 0; microbatch < schedule.microbatches; ++microbatch) {
      if (!find(stage, microbatch, ActionKind::forward))
        return fail("rank {0} lacks {1}; each stage has a forward of each of {2} microbatches",
                    schedule.rankOfStage[stage],
                    printAction({ActionKind::forward, stage, microbatch}), schedule.microbatches);
      if (isEvaluation)
        continue;
      if (llvm::Error error = checkBackward(schedule, stage, microbatch))
        return error;
    }
  return llvm::Error::success();
}

llvm::Error checkComplete(const PipelineSchedule &schedule, bool isEvaluation) {
  Positions positions;
  if (llvm::Error error = positions.read(schedule))
    return error;
  return positions.check(schedule, isEvaluation);
}

//===--- In flight
//-----------------------------------------------------------------------------===//

namespace {
/// What is in flight while a rank executes its actions in order.
class InFlight {
public:
  InFlight(const PipelineSchedule &schedule, const SimulationOptions &options)
      : options(options), isSplit(splitsBackward(schedule)), now(schedule.getNumStages()),
        most(schedule.getNumStages()) {}

  void begin(const PipelineAction &action);
  void end(const PipelineAction &action);
  int64_t getBytes() const { return bytes; }
  int64_t getMicrobatches() const { return microbatches; }
  const std::vector<PerClass<int64_t>> &getMost() const { return most; }

private:
  void change(int64_t stage, ResidualClass residuals, int64_t by) {
    const size_t index = static_cast<size_t>(residuals);
    now[stage][index] += by;
    most[stage][index] = std::max(most[stage][index], now[stage][index]);
    if (!options.residualBytes.empty())
      bytes += by * options.residualBytes[stage][index];
  }

  const SimulationOptions &options;
  bool isSplit;
  std::vector<PerClass<int64_t>> now, most; ///< per stage
  int64_t bytes = 0;
  int64_t microbatches = 0;
};
} // namespace

void InFlight::begin(const PipelineAction &action) {
  using enum ResidualClass;
  if (action.kind == ActionKind::forward) {
    ++microbatches;
    for (ResidualClass residuals : {forwardToBackward, forwardToInput, forwardToWeight})
      if ((residuals == forwardToBackward) != isSplit)
        change(action.stage, residuals, 1);
  } else if (isSplit && action.kind != ActionKind::backwardWeight) {
    change(action.stage, inputToWeight, 1);
  }
}

void InFlight::end(const PipelineAction &action) {
  using enum ResidualClass;
  if (action.kind == ActionKind::forward)
    return;
  const bool endsInput = action.kind != ActionKind::backwardWeight;
  const bool endsWeight = action.kind != ActionKind::backwardInput;
  microbatches -= endsWeight;
  if (!isSplit)
    return change(action.stage, forwardToBackward, -1);
  if (endsInput)
    change(action.stage, forwardToInput, -1);
  if (endsWeight) {
    change(action.stage, forwardToWeight, -1);
    change(action.stage, inputToWeight, -1);
  }
}

//===--- Time
//----------------------------------------------------------------------------------===//

namespace {
/// What one stage sends another on another rank: activations, or cotangents.
struct Channel {
  int64_t slots = 1;
  std::vector<size_t> place; ///< of a microbatch among what is sent
  /// Until when the receiver waits for a free slot: the k-th entry frees one for the (k + slots)-th
  /// receive.
  std::vector<double> freed;
};

class Execution {
public:
  Execution(const PipelineSchedule &schedule, const SimulationOptions &options,
            Simulation &simulation);
  llvm::Error run();

private:
  /// When the inputs of an action are there; nothing, if that is not known yet.
  std::optional<double> findReady(const PipelineAction &action) const;
  /// Executes the next action of a rank if its inputs are known.
  bool advance(size_t rank);
  void recordFreed(const PipelineAction &action, double end);
  llvm::Error failDeadlock() const;

  /// The stage whose result an action of a stage takes; none for the ends of the chain and for W.
  std::optional<int64_t> findSource(const PipelineAction &action) const;
  bool isLocal(int64_t stage, int64_t other) const {
    return schedule.rankOfStage[stage] == schedule.rankOfStage[other];
  }
  static bool isForward(const PipelineAction &action) { return action.kind == ActionKind::forward; }

  const PipelineSchedule &schedule;
  const SimulationOptions &options;
  Simulation &simulation;
  bool isSplit, isEvaluation;
  /// By forward or not, then by receiving stage.
  std::array<std::vector<Channel>, 2> channels;
  /// When the result of a stage for a microbatch is there, for the stage after and before; negative
  /// before that.
  std::array<std::vector<std::vector<double>>, 2> done;
};
} // namespace

Execution::Execution(const PipelineSchedule &schedule, const SimulationOptions &options,
                     Simulation &simulation)
    : schedule(schedule), options(options), simulation(simulation),
      isSplit(splitsBackward(schedule)), isEvaluation(true) {
  const int64_t stages = schedule.getNumStages();
  for (size_t forward : {0, 1}) {
    channels[forward].resize(stages);
    done[forward].assign(stages, std::vector<double>(schedule.microbatches, -1));
  }
  std::array<std::vector<size_t>, 2> sent{std::vector<size_t>(stages), std::vector<size_t>(stages)};
  for (const auto &actions : schedule.actions)
    for (const PipelineAction &action : actions) {
      isEvaluation &= isForward(action);
      const int64_t target = isForward(action) ? action.stage + 1 : action.stage - 1;
      if (action.kind == ActionKind::backwardWeight || target < 0 || target >= stages)
        continue;
      auto &place = channels[isForward(action)][target].place;
      place.resize(schedule.microbatches);
      place[action.microbatch] = sent[isForward(action)][target]++;
    }
  for (int64_t stage = 0; stage < stages; ++stage) {
    const auto count = [&](ResidualClass residuals) {
      return std::max<int64_t>(1, simulation.inFlight[stage][static_cast<size_t>(residuals)]);
    };
    channels[0][stage].slots = count(ResidualClass::inputToWeight);
    channels[1][stage].slots = isEvaluation ? 1
                               : isSplit    ? count(ResidualClass::forwardToWeight)
                                            : count(ResidualClass::forwardToBackward);
  }
}

std::optional<int64_t> Execution::findSource(const PipelineAction &action) const {
  if (action.kind == ActionKind::backwardWeight)
    return std::nullopt;
  const int64_t source = isForward(action) ? action.stage - 1 : action.stage + 1;
  return source < 0 || source >= schedule.getNumStages() ? std::nullopt : std::optional(source);
}

std::optional<double> Execution::findReady(const PipelineAction &action) const {
  const std::optional<int64_t> source = findSource(action);
  if (!source)
    return 0;
  const double sent = done[isForward(action)][*source][action.microbatch];
  if (sent < 0)
    return std::nullopt;
  if (isLocal(*source, action.stage))
    return sent;
  const Channel &channel = channels[isForward(action)][action.stage];
  const size_t place = channel.place[action.microbatch];
  const size_t slots = channel.slots;
  if (place < slots)
    return sent + options.transfer;
  if (place - slots >= channel.freed.size())
    return std::nullopt;
  return std::max(sent, channel.freed[place - slots]) + options.transfer;
}

void Execution::recordFreed(const PipelineAction &action, double end) {
  if (isForward(action) ? isEvaluation : action.kind != ActionKind::backwardInput)
    channels[1][action.stage].freed.push_back(end);
  if (!isForward(action) && action.kind != ActionKind::backwardInput)
    channels[0][action.stage].freed.push_back(end);
}

bool Execution::advance(size_t rank) {
  RankSimulation &result = simulation.ranks[rank];
  if (result.actions.size() == schedule.actions[rank].size())
    return false;
  const PipelineAction &action = schedule.actions[rank][result.actions.size()];
  const std::optional<double> ready = findReady(action);
  if (!ready)
    return false;
  const ActionCosts costs = options.costs.empty()       ? ActionCosts()
                            : options.costs.size() == 1 ? options.costs.front()
                                                        : options.costs[action.stage];
  const double begin = std::max(*ready, result.actions.empty() ? 0 : result.actions.back().end);
  const double end = begin + costs.get(action.kind);
  result.actions.push_back({action, begin, end});
  result.busy += end - begin;
  simulation.makespan = std::max(simulation.makespan, end);
  if (action.kind != ActionKind::backwardWeight)
    done[isForward(action)][action.stage][action.microbatch] = end;
  recordFreed(action, end);
  return true;
}

llvm::Error Execution::failDeadlock() const {
  std::string text;
  for (const auto &[rank, result] : llvm::enumerate(simulation.ranks)) {
    if (result.actions.size() == schedule.actions[rank].size())
      continue;
    const PipelineAction &action = schedule.actions[rank][result.actions.size()];
    const int64_t source = *findSource(action);
    const bool isSent = done[isForward(action)][source][action.microbatch] >= 0;
    text += llvm::formatv(
                "{0}rank {1} waits in {2} for the {3} of stage {4} on rank {5}{6}",
                text.empty() ? "" : "; ", rank, printAction(action),
                isForward(action) ? "forward" : "backward", source, schedule.rankOfStage[source],
                isSent ? llvm::formatv(", which is sent after more than the {0} that it has room "
                                       "for",
                                       channels[isForward(action)][action.stage].slots)
                             .str()
                       : "")
                .str();
  }
  return fail("deadlock: {0}", text);
}

llvm::Error Execution::run() {
  for (bool progress = true; progress;) {
    progress = false;
    for (size_t rank = 0; rank < simulation.ranks.size(); ++rank)
      while (advance(rank))
        progress = true;
  }
  for (size_t rank = 0; rank < simulation.ranks.size(); ++rank)
    if (simulation.ranks[rank].actions.size() < schedule.actions[rank].size())
      return failDeadlock();
  return llvm::Error::success();
}

llvm::Expected<Simulation> simulate(const PipelineSchedule &schedule,
                                    const SimulationOptions &options) {
  const size_t stages = schedule.getNumStages();
  assert((options.costs.size() <= 1 || options.costs.size() == stages) && "costs of each stage");
  assert((options.residualBytes.empty() || options.residualBytes.size() == stages) &&
         "bytes of each stage");
  Simulation simulation;
  simulation.ranks.resize(schedule.getNumRanks());
  simulation.inFlight.resize(stages);
  for (const auto &[rank, result] : llvm::enumerate(simulation.ranks)) {
    InFlight inFlight(schedule, options);
    const int64_t resident = options.residentBytes.empty() ? 0 : options.residentBytes[rank];
    for (const PipelineAction &action : schedule.actions[rank]) {
      inFlight.begin(action);
      result.inFlight = std::max(result.inFlight, inFlight.getMicrobatches());
      result.bytes.push_back(resident + inFlight.getBytes());
      inFlight.end(action);
    }
    result.peakBytes = result.bytes.empty() ? resident : *llvm::max_element(result.bytes);
    for (size_t stage = 0; stage < stages; ++stage)
      if (schedule.rankOfStage[stage] == static_cast<int64_t>(rank))
        simulation.inFlight[stage] = inFlight.getMost()[stage];
  }
  if (llvm::Error error = Execution(schedule, options, simulation).run())
    return std::move(error);
  return simulation;
}

} // namespace titan
