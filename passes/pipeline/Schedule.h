// Pipeline schedules: which rank computes what in which order.
//
// A model is cut into stages, and a batch into microbatches. A rank owns one or more stages and has
// one list of actions, which it executes in order; an action waits for what other ranks send. A
// schedule is that list for each rank, and nothing else: when an action begins follows from the
// order and from what actions cost (Simulator.h).
#pragma once

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>
#include <vector>

namespace titan {

enum class ActionKind : uint8_t {
  forward,        ///< F: a stage's forward of a microbatch
  backward,       ///< B: its whole backward, I followed by W
  backwardInput,  ///< I: the cotangents of the stage's inputs, which the stage before waits for
  backwardWeight, ///< W: the gradients of its weights, which only the optimizer waits for
};
/// "F", "B", "I" or "W".
llvm::StringRef toString(ActionKind kind);

struct PipelineAction {
  ActionKind kind = ActionKind::forward;
  int64_t stage = 0;
  int64_t microbatch = 0;
  /// A forward that may run together with the next action of its rank, a backward of another
  /// microbatch (DualPipe): neither of the pair needs the other. One after the other is as correct.
  bool overlapsNext = false;

  bool operator==(const PipelineAction &) const = default;
};

/// Which rank owns stage s, of R ranks.
enum class StagePlacement : uint8_t {
  loop, ///< rank s mod R: stages go round the ranks
  v, ///< two stages a rank: s for s < R, 2R - 1 - s from there; rank 0 has the first and the last
};
int64_t getRankOfStage(StagePlacement placement, int64_t stage, int64_t ranks);
/// The stages of a rank, ascending.
std::vector<int64_t> getStagesOfRank(StagePlacement placement, int64_t rank, int64_t ranks,
                                     int64_t stagesPerRank);

struct PipelineSchedule {
  std::string name;
  int64_t microbatches = 0;
  std::vector<int64_t> rankOfStage;                 ///< one per stage
  std::vector<std::vector<PipelineAction>> actions; ///< one list per rank

  int64_t getNumRanks() const { return static_cast<int64_t>(actions.size()); }
  int64_t getNumStages() const { return static_cast<int64_t>(rankOfStage.size()); }
};

/// Whether a schedule has I and W.
bool splitsBackward(const PipelineSchedule &schedule);
/// Makes each B an I followed by its W.
void splitBackwards(PipelineSchedule &schedule);
/// Its forwards alone, in their order: the schedule of an evaluation.
PipelineSchedule getForwardOnly(PipelineSchedule schedule);

/// The size of a schedule; each at least 1.
struct PipelineShape {
  int64_t ranks = 1;
  int64_t stagesPerRank = 1;
  int64_t microbatches = 1;
};

/// A schedule as an algorithm.
struct ScheduleAlgorithm {
  llvm::StringRef name; ///< torch.distributed.pipelining's, which torchtitan's option takes
  StagePlacement placement = StagePlacement::loop;
  /// Has one stage a rank. All others may have several, two in a placement v, and have two unless
  /// more are asked for.
  bool isSingleStage = false;
  bool splitsBackward = false;
  /// The actions of every rank, for a shape that `checkShape` accepts; null for the two names that
  /// only go with a CSV file.
  std::vector<std::vector<PipelineAction>> (*build)(const PipelineShape &) = nullptr;
  /// The nearest number of microbatches that the schedule can take; null if it takes any.
  int64_t (*nearestMicrobatches)(const PipelineShape &) = nullptr;
  llvm::StringRef microbatchRule = {}; ///< "a multiple of the number of ..."; empty if it takes any
};

/// All of them, in the order of torch.distributed.pipelining.
llvm::ArrayRef<ScheduleAlgorithm> getScheduleAlgorithms();

/// The algorithm of a name, whatever its case. The error names those that there are.
llvm::Expected<const ScheduleAlgorithm *> findScheduleAlgorithm(llvm::StringRef name);

/// Whether an algorithm can take a shape; the error names the count, the rule, and the nearest
/// legal value.
llvm::Error checkShape(const ScheduleAlgorithm &algorithm, const PipelineShape &shape);

/// The schedule of a shape, or the error of checkShape.
llvm::Expected<PipelineSchedule> buildSchedule(const ScheduleAlgorithm &algorithm,
                                               const PipelineShape &shape);

} // namespace titan
