// Timelines of pipeline ranks: slots belong to one microbatch at a time, transfers meet, and awaits
// of sends wait for nobody.
#include "passes/pipeline/RankTimeline.h"

#include "passes/pipeline/ScheduleCsv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

using namespace titan;

namespace {

using Kind = TimelineEntry::Kind;

PipelineSchedule makeSchedule(const char *name, PipelineShape shape) {
  return llvm::cantFail(buildSchedule(*llvm::cantFail(findScheduleAlgorithm(name)), shape));
}

/// `weightsRead`: the second halves of backwards read all that stages get.
PipelineTimelines plan(const PipelineSchedule &schedule, bool weightsRead = false) {
  const std::vector<StageTraffic> traffic(schedule.getNumStages(),
                                          {true, true, weightsRead, weightsRead});
  return llvm::cantFail(planTimelines(schedule, traffic));
}

/// From, to, and whether forwards.
using Wire = std::tuple<int64_t, int64_t, bool>;
/// The stage that receives, and the microbatch.
using Message = std::pair<int64_t, int64_t>;

Message messageOf(const TimelineEntry &entry) {
  const bool forward = entry.action.kind == ActionKind::forward;
  const bool sends = entry.kind == Kind::startSend || entry.kind == Kind::awaitSend;
  return {entry.action.stage + (sends ? (forward ? 1 : -1) : 0), entry.action.microbatch};
}

Wire wireOf(int64_t rank, const TimelineEntry &entry) {
  const bool sends = entry.kind == Kind::startSend || entry.kind == Kind::awaitSend;
  return {sends ? rank : entry.peer, sends ? entry.peer : rank,
          entry.action.kind == ActionKind::forward};
}

/// Executes the lists: an await of a receive waits for the send, one of a send for the await of its
/// receive, and a computation for nothing but its place. True if all end, however late ranks are:
/// the lowest rank that can go on does.
class Execution {
public:
  explicit Execution(const PipelineTimelines &timelines)
      : timelines(timelines), next(timelines.ranks.size(), 0) {}

  bool run() {
    for (bool goesOn = true; goesOn;) {
      goesOn = false;
      for (size_t rank = 0; rank < next.size(); ++rank)
        while (step(static_cast<int64_t>(rank)))
          goesOn = true;
    }
    for (size_t rank = 0; rank < next.size(); ++rank)
      if (next[rank] != timelines.ranks[rank].entries.size())
        return false;
    return true;
  }

private:
  bool step(int64_t rank) {
    const auto &entries = timelines.ranks[static_cast<size_t>(rank)].entries;
    size_t &at = next[static_cast<size_t>(rank)];
    if (at == entries.size())
      return false;
    const TimelineEntry &entry = entries[at];
    const std::pair key{wireOf(rank, entry), messageOf(entry)};
    if (entry.kind == Kind::startSend)
      sent.insert(key);
    if (entry.kind == Kind::awaitReceive) {
      if (!sent.contains(key))
        return false;
      taken.insert(key);
    }
    if (entry.kind == Kind::awaitSend && !taken.contains(key)) {
      EXPECT_TRUE(std::all_of(entries.begin() + static_cast<std::ptrdiff_t>(at), entries.end(),
                              [](const auto &later) { return later.kind == Kind::awaitSend; }))
          << "a computation waits for a send";
      return false;
    }
    ++at;
    return true;
  }

  const PipelineTimelines &timelines;
  std::vector<size_t> next;
  std::set<std::pair<Wire, Message>> sent, taken;
};

/// Each slot is one microbatch's from its first to its last entry, and exists.
void checkSlots(const PipelineTimelines &timelines) {
  for (const RankTimeline &rank : timelines.ranks) {
    using Owner = std::tuple<SlotClass, int64_t, int64_t>; // class, stage, microbatch
    std::map<Owner, size_t> last;
    for (size_t i = 0; i < rank.entries.size(); ++i)
      for (const SlotUse &slot : rank.entries[i].slots)
        last[{slot.slotClass, slot.stage, rank.entries[i].action.microbatch}] = i;
    std::map<Owner, int64_t> owners; // by class, stage, index
    for (size_t i = 0; i < rank.entries.size(); ++i)
      for (const SlotUse &slot : rank.entries[i].slots) {
        const int64_t microbatch = rank.entries[i].action.microbatch;
        ASSERT_LT(slot.index, timelines.slots[slot.stage][static_cast<size_t>(slot.slotClass)]);
        const Owner place{slot.slotClass, slot.stage, slot.index};
        const auto [owner, isNew] = owners.try_emplace(place, microbatch);
        ASSERT_EQ(owner->second, microbatch) << "entry " << i;
        if (last[{slot.slotClass, slot.stage, microbatch}] == i)
          owners.erase(place);
      }
  }
}

/// Receives start in the order of the sends of their wire.
void checkOrder(const PipelineTimelines &timelines) {
  std::map<Wire, std::vector<Message>> sends, receives;
  for (size_t rank = 0; rank < timelines.ranks.size(); ++rank)
    for (const TimelineEntry &entry : timelines.ranks[rank].entries) {
      const Wire wire = wireOf(static_cast<int64_t>(rank), entry);
      if (entry.kind == Kind::startSend)
        sends[wire].push_back(messageOf(entry));
      if (entry.kind == Kind::startReceive)
        receives[wire].push_back(messageOf(entry));
    }
  EXPECT_EQ(sends, receives);
}

TEST(RankTimeline, EveryScheduleAndShape) {
  for (const ScheduleAlgorithm &algorithm : getScheduleAlgorithms())
    for (int64_t ranks : {1, 2, 3, 4})
      for (int64_t stages : {1, 2, 3})
        for (int64_t microbatches : {1, 2, 3, 4, 8, 9}) {
          const PipelineShape shape{ranks, stages, microbatches};
          auto schedule = buildSchedule(algorithm, shape);
          if (!schedule) {
            llvm::consumeError(schedule.takeError());
            continue;
          }
          SCOPED_TRACE(algorithm.name.str() + " " + std::to_string(ranks) + " " +
                       std::to_string(stages) + " " + std::to_string(microbatches));
          if (splitsBackward(*schedule))
            splitBackwards(*schedule);
          for (bool weightsRead : {false, true}) {
            const PipelineTimelines timelines = plan(*schedule, weightsRead);
            checkSlots(timelines);
            checkOrder(timelines);
            EXPECT_TRUE(Execution(timelines).run());
          }
        }
}

TEST(RankTimeline, SlotsOf1F1B) {
  const PipelineTimelines timelines = plan(makeSchedule("1F1B", {4, 1, 8}));
  for (int64_t stage = 0; stage < 4; ++stage)
    EXPECT_EQ(timelines.slots[stage][static_cast<size_t>(SlotClass::residuals)], 4 - stage);
  // The last stage takes one microbatch at a time, and its next one is on its way meanwhile.
  EXPECT_EQ(timelines.slots[3][static_cast<size_t>(SlotClass::activations)], 2);
  EXPECT_EQ(timelines.slots[0][static_cast<size_t>(SlotClass::activations)], 0);
  EXPECT_EQ(timelines.slots[3][static_cast<size_t>(SlotClass::sentActivations)], 0);
}

TEST(RankTimeline, SlotsOfHalves) {
  PipelineSchedule schedule =
      llvm::cantFail(parseScheduleCsv("0F0,0F1,0B0,0I1,0W1\n1F0,1I0,1F1,1I1,1W0,1W1\n", "halves"));
  splitBackwards(schedule);
  EXPECT_EQ(printScheduleCsv(schedule), "0F0,0F1,0I0,0W0,0I1,0W1\n1F0,1I0,1F1,1I1,1W0,1W1\n");
  for (bool weightsRead : {false, true}) {
    const PipelineTimelines timelines = plan(schedule, weightsRead);
    const auto &[first, last] = std::pair(timelines.slots[0], timelines.slots[1]);
    auto count = [](const auto &slots, SlotClass it) { return slots[static_cast<size_t>(it)]; };
    // What I alone reads is free when the next microbatch comes.
    EXPECT_EQ(count(last, SlotClass::residuals), 1);
    EXPECT_EQ(count(last, SlotClass::residualsToWeight), 2);
    EXPECT_EQ(count(last, SlotClass::inputToWeight), 2);
    EXPECT_EQ(count(first, SlotClass::inputToWeight), 1);
    EXPECT_EQ(count(last, SlotClass::activations), 2);
    EXPECT_EQ(count(first, SlotClass::cotangents), weightsRead ? 2 : 1);
  }
}

TEST(RankTimeline, NeighboursOnOneRankShareMemory) {
  const PipelineSchedule schedule{"two",
                                  1,
                                  {0, 0},
                                  {{{ActionKind::forward, 0, 0},
                                    {ActionKind::forward, 1, 0},
                                    {ActionKind::backward, 1, 0},
                                    {ActionKind::backward, 0, 0}}}};
  const PipelineTimelines timelines = plan(schedule);
  ASSERT_EQ(timelines.ranks[0].entries.size(), 4u);
  const SlotUse handed{SlotClass::activations, 1, 0};
  EXPECT_NE(llvm::find(timelines.ranks[0].entries[0].slots, handed),
            timelines.ranks[0].entries[0].slots.end());
  EXPECT_NE(llvm::find(timelines.ranks[0].entries[1].slots, handed),
            timelines.ranks[0].entries[1].slots.end());
}

TEST(RankTimeline, RingOfWaits) {
  const PipelineSchedule schedule{"ring",
                                  2,
                                  {0, 1},
                                  {{{ActionKind::forward, 0, 0},
                                    {ActionKind::backward, 0, 0},
                                    {ActionKind::forward, 0, 1},
                                    {ActionKind::backward, 0, 1}},
                                   {{ActionKind::forward, 1, 1},
                                    {ActionKind::backward, 1, 1},
                                    {ActionKind::forward, 1, 0},
                                    {ActionKind::backward, 1, 0}}}};
  auto timelines = planTimelines(schedule, {{true, true}, {}});
  ASSERT_FALSE(timelines);
  EXPECT_EQ(llvm::toString(timelines.takeError()),
            "schedule ring: rank 0 can never begin B of stage 0 microbatch 0: ranks wait for each "
            "other");
}

} // namespace
