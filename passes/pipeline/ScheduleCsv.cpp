#include "passes/pipeline/ScheduleCsv.h"

#include "passes/pipeline/Simulator.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/FormatVariadic.h"

#include <algorithm>

namespace titan {

static constexpr llvm::StringRef kOverlap = "OVERLAP_F_B";
/// Far beyond any use; a table has an entry per stage.
static constexpr int64_t kLargestIndex = 999'999;

std::string printAction(const PipelineAction &action) {
  return std::to_string(action.stage) + toString(action.kind).str() +
         std::to_string(action.microbatch);
}

std::string printCell(const PipelineAction &first, const PipelineAction *overlapped) {
  if (!overlapped)
    return printAction(first);
  return "(" + printAction(first) + ";" + printAction(*overlapped) + ")" + kOverlap.str();
}

std::string printScheduleCsv(const PipelineSchedule &schedule) {
  std::string text;
  for (const auto &actions : schedule.actions) {
    for (size_t i = 0; i < actions.size(); ++i) {
      text += i > 0 ? "," : "";
      const PipelineAction &first = actions[i];
      text += printCell(first, first.overlapsNext ? &actions[++i] : nullptr);
    }
    text += "\n";
  }
  return text;
}

static llvm::Expected<PipelineAction> parseAction(llvm::StringRef text) {
  llvm::StringRef rest = text.trim();
  PipelineAction action;
  const auto kind = [&] {
    return llvm::StringSwitch<std::optional<ActionKind>>(rest.take_front(1))
        .Case("F", ActionKind::forward)
        .Case("B", ActionKind::backward)
        .Case("I", ActionKind::backwardInput)
        .Case("W", ActionKind::backwardWeight)
        .Default(std::nullopt);
  };
  const bool hasStage = !rest.consumeInteger(10, action.stage) && action.stage >= 0;
  const std::optional<ActionKind> found = kind();
  rest = rest.drop_front(found.has_value());
  if (!hasStage || !found || rest.empty() || !llvm::isDigit(rest.front()) ||
      rest.getAsInteger(10, action.microbatch))
    return llvm::createStringError("'" + text.str() +
                                   "' is no action; one is the stage, F, B, I or W, and the "
                                   "microbatch, such as 2F0");
  if (std::max(action.stage, action.microbatch) > kLargestIndex)
    return llvm::createStringError(
        llvm::formatv("'{0}' has an index above {1}", text, kLargestIndex).str());
  action.kind = *found;
  return action;
}

/// Appends the one or two actions of a cell; none, if it waits.
static llvm::Error parseCell(llvm::StringRef cell, std::vector<PipelineAction> &actions) {
  cell = cell.trim();
  if (cell.empty())
    return llvm::Error::success();
  llvm::StringRef text = cell;
  const bool isPair = text.consume_front("(");
  if (!isPair) {
    auto action = parseAction(text);
    if (action)
      actions.push_back(*action);
    return action.takeError();
  }
  const auto fail = [&] {
    return llvm::createStringError("'" + cell.str() +
                                   "' is no pair; one is a forward and a backward of another "
                                   "microbatch or stage, such as (2F1;0B0)OVERLAP_F_B");
  };
  const auto [inner, suffix] = text.split(')');
  const auto [first, second] = inner.split(';');
  if (suffix.trim() != kOverlap)
    return fail();
  auto forward = parseAction(first);
  if (!forward)
    return forward.takeError();
  auto backward = parseAction(second);
  if (!backward)
    return backward.takeError();
  const bool sameData =
      forward->stage == backward->stage && forward->microbatch == backward->microbatch;
  if (forward->kind != ActionKind::forward || backward->kind != ActionKind::backward || sameData)
    return fail();
  forward->overlapsNext = true;
  actions.insert(actions.end(), {*forward, *backward});
  return llvm::Error::success();
}

/// Finds the numbers of stages and microbatches, and the rank of each stage.
static llvm::Error findShape(PipelineSchedule &schedule, bool isEvaluation) {
  constexpr int64_t kNone = -1;
  for (const auto &[rank, actions] : llvm::enumerate(schedule.actions))
    for (const PipelineAction &action : actions) {
      schedule.microbatches = std::max(schedule.microbatches, action.microbatch + 1);
      if (action.stage >= schedule.getNumStages())
        schedule.rankOfStage.resize(action.stage + 1, kNone);
      int64_t &owner = schedule.rankOfStage[action.stage];
      owner = owner == kNone ? rank : owner;
    }
  if (const auto missing = llvm::find(schedule.rankOfStage, kNone);
      missing != schedule.rankOfStage.end())
    return llvm::createStringError(
        llvm::formatv("stage {0} has no action, but stage {1} has; stages count from 0",
                      missing - schedule.rankOfStage.begin(), schedule.getNumStages() - 1)
            .str());
  return checkComplete(schedule, isEvaluation);
}

llvm::Expected<PipelineSchedule> parseScheduleCsv(llvm::StringRef text, llvm::StringRef name,
                                                  bool isEvaluation) {
  PipelineSchedule schedule;
  schedule.name = name.str();
  text = text.rtrim();
  while (!text.empty()) {
    llvm::StringRef line;
    std::tie(line, text) = text.split('\n');
    auto &actions = schedule.actions.emplace_back();
    while (!line.empty()) {
      llvm::StringRef cell;
      std::tie(cell, line) = line.split(',');
      if (llvm::Error error = parseCell(cell, actions))
        return llvm::createStringError(llvm::formatv("{0}:{1}: {2}", name, schedule.actions.size(),
                                                     llvm::toString(std::move(error)))
                                           .str());
    }
  }
  if (schedule.actions.empty())
    return llvm::createStringError(name.str() + ": empty; a schedule has one line per rank");
  if (llvm::Error error = findShape(schedule, isEvaluation))
    return llvm::createStringError(name.str() + ": " + llvm::toString(std::move(error)));
  return schedule;
}

} // namespace titan
