// Each byte of a slot is read as the entry of its microbatch left it: by hand, and for the planned
// timelines of every schedule, in which every wrong slot is found.
#include "passes/memory/SlotHistory.h"

#include "passes/pipeline/RankTimeline.h"

#include <gtest/gtest.h>

#include <map>

using namespace titan;

namespace {

using Kind = SlotConflict::Kind;
constexpr SlotEntry::Kind kRun = SlotEntry::Kind::run, kStart = SlotEntry::Kind::start,
                          kAwait = SlotEntry::Kind::await;

/// "KIND entry begin-end microbatch other", or "".
std::string check(const std::vector<SlotEntry> &entries,
                  const std::vector<SlotInput> &inputs = {}) {
  const auto conflict = findSlotConflict(entries, inputs);
  if (!conflict)
    return "";
  const char *names[] = {"unwritten", "foreign", "overwritten", "under way"};
  return std::string(names[static_cast<int>(conflict->kind)]) + " " +
         std::to_string(conflict->entry) + " " + std::to_string(conflict->range.begin) + "-" +
         std::to_string(conflict->range.end) + " " + std::to_string(conflict->microbatch) + " " +
         (conflict->other ? std::to_string(*conflict->other) : "none");
}

SlotEntry run(int64_t microbatch, std::vector<ByteRange> reads, std::vector<ByteRange> writes) {
  return {kRun, microbatch, 0, std::move(reads), std::move(writes)};
}

} // namespace

TEST(SlotHistory, ReadsWhatItsMicrobatchWrote) {
  EXPECT_EQ(check({run(0, {}, {{0, 0, 64}}), run(1, {}, {{0, 64, 128}}), run(0, {{0, 0, 64}}, {}),
                   run(1, {{0, 64, 128}}, {})}),
            "");
  // Two writers of two parts, and a reader of both and of an input.
  EXPECT_EQ(check({run(0, {}, {{0, 0, 32}}), run(0, {}, {{0, 32, 64}}),
                   run(0, {{0, 0, 64}, {1, 0, 8}}, {})},
                  {{{1, 0, 8}, 0}}),
            "");
}

TEST(SlotHistory, FindsBytesThatNothingWrote) {
  EXPECT_EQ(check({run(0, {}, {{0, 0, 32}}), run(0, {{0, 16, 64}}, {})}),
            "unwritten 1 32-64 0 none");
  EXPECT_EQ(check({run(0, {{1, 0, 8}}, {})}), "unwritten 0 0-8 0 none");
}

TEST(SlotHistory, FindsBytesOfAnotherMicrobatch) {
  EXPECT_EQ(check({run(0, {}, {{0, 0, 64}}), run(1, {}, {{0, 32, 48}}), run(0, {{0, 0, 64}}, {})}),
            "foreign 2 32-48 1 1");
  EXPECT_EQ(check({run(1, {{1, 0, 8}}, {})}, {{{1, 0, 8}, 0}}), "foreign 0 0-8 0 none");
}

TEST(SlotHistory, FindsBytesThatWereWrittenAgain) {
  // I takes over what W still reads.
  EXPECT_EQ(check({run(0, {}, {{0, 0, 64}}), run(0, {{0, 0, 64}}, {{0, 8, 16}}),
                   run(0, {{0, 0, 64}}, {})}),
            "overwritten 2 8-16 0 1");
  // What nobody reads any more may be taken over, and the next microbatch begins anew.
  EXPECT_EQ(check({run(0, {}, {{0, 0, 64}}), run(0, {{0, 0, 64}}, {{0, 8, 16}}),
                   run(1, {}, {{0, 0, 64}}), run(1, {{0, 0, 64}}, {})}),
            "");
}

TEST(SlotHistory, FindsWhatDisturbsATransfer) {
  const SlotEntry made = run(0, {}, {{0, 0, 64}});
  const SlotEntry send{kStart, 0, 0, {{0, 0, 64}}, {}};
  const SlotEntry receive{kStart, 0, 0, {}, {{0, 0, 64}}};
  EXPECT_EQ(check({made, send, run(0, {{0, 0, 8}}, {}), {kAwait, 0, 1, {}, {}}}), "");
  EXPECT_EQ(check({made, send, run(1, {}, {{0, 0, 8}}), {kAwait, 0, 1, {}, {}}}),
            "under way 2 0-8 0 1");
  EXPECT_EQ(check({made, send, {kAwait, 0, 1, {}, {}}, run(1, {}, {{0, 0, 8}})}), "");
  EXPECT_EQ(check({receive, {kAwait, 0, 0, {}, {}}, run(0, {{0, 0, 64}}, {})}), "");
  EXPECT_EQ(check({receive, run(0, {{0, 0, 64}}, {}), {kAwait, 0, 0, {}, {}}}),
            "under way 1 0-64 0 0");
  EXPECT_EQ(check({made, receive, {kAwait, 0, 1, {}, {}}, run(0, {{0, 0, 64}}, {})}),
            "overwritten 3 0-64 0 1");
}

//===----------------------------------------------------------------------===//
// Planned timelines
//===----------------------------------------------------------------------===//

namespace {

constexpr int64_t kBytes = 64; ///< of a slot

/// What an entry does to the slot: a stage's forward fills what leaves it, and a backward takes
/// over the memory of what only it reads.
struct Use {
  bool reads = false, writes = false;
};

Use useOf(const TimelineEntry &entry, const SlotUse &slot) {
  switch (entry.kind) {
  case TimelineEntry::Kind::startSend:
    return {.reads = true};
  case TimelineEntry::Kind::startReceive:
    return {.writes = true};
  case TimelineEntry::Kind::awaitSend:
  case TimelineEntry::Kind::awaitReceive:
    return {};
  case TimelineEntry::Kind::compute:
    break;
  }
  const bool isForward = entry.action.kind == ActionKind::forward;
  const bool isWeights = entry.action.kind == ActionKind::backwardWeight;
  switch (slot.slotClass) {
  case SlotClass::residuals:
    return {.reads = !isForward, .writes = !isWeights};
  case SlotClass::residualsToWeight:
    return {.reads = !isForward, .writes = isForward};
  case SlotClass::activations:
  case SlotClass::cotangents:
    return {.reads = slot.stage == entry.action.stage, .writes = slot.stage != entry.action.stage};
  case SlotClass::sentActivations:
  case SlotClass::sentCotangents:
    return {.writes = true};
  case SlotClass::inputToWeight:
    return {.reads = isWeights, .writes = !isWeights};
  }
  return {};
}

std::vector<SlotEntry> toEntries(const RankTimeline &timeline) {
  using Key = std::tuple<bool, ActionKind, int64_t, int64_t>;
  std::map<Key, size_t> started;
  std::vector<SlotEntry> entries;
  for (const TimelineEntry &it : timeline.entries) {
    SlotEntry entry{.microbatch = it.action.microbatch};
    const bool sends =
        it.kind == TimelineEntry::Kind::startSend || it.kind == TimelineEntry::Kind::awaitSend;
    const Key key{sends, it.action.kind, it.action.stage, it.action.microbatch};
    if (it.kind == TimelineEntry::Kind::startSend || it.kind == TimelineEntry::Kind::startReceive) {
      entry.kind = kStart;
      started[key] = entries.size();
    } else if (it.kind != TimelineEntry::Kind::compute) {
      entry.kind = kAwait;
      entry.started = started.at(key);
    }
    for (const SlotUse &slot : it.slots) {
      const uint64_t space = static_cast<uint64_t>(slot.slotClass) + kNumSlotClasses * slot.stage;
      const ByteRange range{space, slot.index * kBytes, (slot.index + 1) * kBytes};
      const Use use = useOf(it, slot);
      if (use.reads)
        entry.reads.push_back(range);
      if (use.writes)
        entry.writes.push_back(range);
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

/// Tries every other slot of every entry: the check finds it.
int64_t checkWrongSlots(const PipelineTimelines &timelines, RankTimeline rank) {
  int64_t planted = 0;
  for (TimelineEntry &entry : rank.entries)
    for (SlotUse &slot : entry.slots) {
      const Use use = useOf(entry, slot);
      const int64_t own = slot.index;
      const int64_t count = timelines.slots[slot.stage][static_cast<size_t>(slot.slotClass)];
      for (slot.index = 0; slot.index < count && (use.reads || use.writes); ++slot.index) {
        if (slot.index == own)
          continue;
        ++planted;
        EXPECT_NE(check(toEntries(rank)), "")
            << "class " << static_cast<int>(slot.slotClass) << " slot " << slot.index << " for "
            << own << " in " << toString(entry.action.kind).str() << entry.action.microbatch;
      }
      slot.index = own;
    }
  return planted;
}

} // namespace

TEST(SlotHistory, EveryWrongSlotOfATimelineIsFound) {
  int64_t planted = 0;
  for (const ScheduleAlgorithm &algorithm : getScheduleAlgorithms())
    for (const PipelineShape shape :
         {PipelineShape{2, 1, 4}, PipelineShape{2, 2, 4}, PipelineShape{3, 2, 6}}) {
      auto schedule = buildSchedule(algorithm, shape);
      if (!schedule) {
        llvm::consumeError(schedule.takeError());
        continue;
      }
      SCOPED_TRACE(algorithm.name.str() + " " + std::to_string(shape.ranks));
      if (splitsBackward(*schedule))
        splitBackwards(*schedule);
      for (bool weightsRead : {false, true}) {
        const std::vector<StageTraffic> traffic(schedule->getNumStages(),
                                                {true, true, weightsRead, weightsRead});
        const PipelineTimelines timelines = llvm::cantFail(planTimelines(*schedule, traffic));
        for (const RankTimeline &rank : timelines.ranks) {
          EXPECT_EQ(check(toEntries(rank)), "");
          planted += checkWrongSlots(timelines, rank);
        }
      }
    }
  EXPECT_GT(planted, 1000);
}
