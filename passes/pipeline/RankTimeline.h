// From a schedule to what each rank does: computations, transfers, and the slots that they use.
#pragma once

#include "passes/pipeline/Schedule.h"

#include <array>

namespace titan {

/// Memory that a stage has once for each microbatch in flight.
enum class SlotClass : uint8_t {
  residuals,         ///< from a stage's forward to its backward, or the first half of that
  activations,       ///< what a stage gets from the one before
  sentActivations,   ///< what it makes for the next one, if that is of another rank
  cotangents,        ///< what its backward gets from the stage after
  sentCotangents,    ///< what it makes for the stage before, if that is of another rank
  residualsToWeight, ///< from its forward to the second half of its backward
  inputToWeight,     ///< from the first half to the second
};
inline constexpr size_t kNumSlotClasses = 7;

/// A slot of a stage's class; index counts from 0.
struct SlotUse {
  SlotClass slotClass = SlotClass::residuals;
  int64_t stage = 0;
  int64_t index = 0;

  bool operator==(const SlotUse &) const = default;
};

struct TimelineEntry {
  enum class Kind : uint8_t {
    compute,      ///< `action`
    startSend,    ///< of what the stage `action.stage` has made, to `peer`
    awaitSend,    ///< its memory is free after this
    startReceive, ///< of what the stage takes, from `peer`
    awaitReceive, ///< it is there after this
  };
  Kind kind = Kind::compute;
  PipelineAction action;      ///< of a transfer: forward for activations, backward for cotangents
  int64_t peer = 0;           ///< a rank
  std::vector<SlotUse> slots; ///< all that the entry touches
};

struct RankTimeline {
  std::vector<TimelineEntry> entries;
};

struct PipelineTimelines {
  std::vector<RankTimeline> ranks;
  /// How many slots a stage has of each class, on its rank.
  std::vector<std::array<int64_t, kNumSlotClasses>> slots;
};

/// What stages hand to each other, and how long they need it.
struct StageTraffic {
  bool hasActivations = false; ///< from this stage to the next one
  bool hasCotangents = false;  ///< and back
  /// Whether the second half of this stage's backward reads the activations that it got, and the
  /// cotangents.
  bool weightsReadActivations = false;
  bool weightsReadCotangents = false;
};

/// Adds transfers and slots to a schedule, whose backwards are all whole or all in halves;
/// `traffic` has one entry per stage, of which the last hands on nothing.
///
/// A result is sent at once and nothing waits for it: a slot is free for another microbatch only
/// before the first action that follows, by the order of all lists, the one that used the result on
/// the other rank; so no await ever waits. A receive starts one action early and, for one sender,
/// in the order of its sends. Slots are given out greedily in the order of the actions, which takes
/// as few as are in use at a time.
///
/// The error names an action that can never begin: ranks wait for each other.
llvm::Expected<PipelineTimelines> planTimelines(const PipelineSchedule &schedule,
                                                llvm::ArrayRef<StageTraffic> traffic);

} // namespace titan
