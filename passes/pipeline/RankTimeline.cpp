#include "passes/pipeline/RankTimeline.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"

#include <algorithm>
#include <map>
#include <optional>

namespace titan {
namespace {

/// How many actions before its use a receive starts.
constexpr int64_t kReceiveAhead = 1;

/// An action's place: the rank and the number in its list.
struct Place {
  int64_t rank = 0;
  int64_t index = 0;
};

/// Bytes on their way from one rank to another.
struct Transfer {
  bool isActivation = true;
  int64_t stage = 0; ///< that makes them
  int64_t microbatch = 0;
  Place made, used;
  int64_t freed = 0;   ///< the maker's action before which its memory is free again
  int64_t started = 0; ///< the user's action before which its receive starts

  int64_t getUser() const { return isActivation ? stage + 1 : stage - 1; }
};

/// A slot's occupant: actions `begin` to `end` of a rank.
struct Interval {
  int64_t begin = 0, end = 0;
  int64_t microbatch = 0;
};

class TimelinePlanner {
public:
  TimelinePlanner(const PipelineSchedule &schedule, llvm::ArrayRef<StageTraffic> traffic)
      : schedule(schedule), traffic(traffic), isSplit(splitsBackward(schedule)),
        known(schedule.actions.size()) {}

  llvm::Expected<PipelineTimelines> run();

private:
  using Clock = std::vector<int64_t>; ///< per rank, how many of its actions are known to be done
  using Key = std::pair<int64_t, int64_t>; ///< stage, microbatch

  void indexActions();
  llvm::Error orderActions();
  bool tryToStart(int64_t rank);
  std::optional<Clock> getDependency(const std::map<Key, Place> &places, int64_t stage,
                                     int64_t microbatch) const;
  void findTransfers();
  void timeTransfers();
  void assignSlots();
  bool isReadByWeights(SlotClass slotClass, int64_t stage) const;
  void occupy(SlotClass slotClass, int64_t stage, Interval interval);
  void occupyUntilUsed(SlotClass slotClass, int64_t stage, int64_t begin, int64_t microbatch);
  void assignClass(size_t slotClass, int64_t stage);
  SlotUse getSlot(SlotClass slotClass, int64_t stage, int64_t microbatch) const;
  void addComputation(RankTimeline &timeline, const PipelineAction &action) const;
  void addTransfer(RankTimeline &timeline, TimelineEntry::Kind kind,
                   const Transfer &transfer) const;
  RankTimeline buildRank(int64_t rank) const;

  bool crosses(int64_t from, int64_t to) const {
    return schedule.rankOfStage[from] != schedule.rankOfStage[to];
  }
  bool hasActivations(int64_t from) const {
    return from >= 0 && from + 1 < schedule.getNumStages() && traffic[from].hasActivations;
  }
  bool hasCotangents(int64_t from) const {
    return from >= 0 && from + 1 < schedule.getNumStages() && traffic[from].hasCotangents;
  }

  const PipelineSchedule &schedule;
  llvm::ArrayRef<StageTraffic> traffic;
  bool isSplit;                             ///< into I and W
  std::map<Key, Place> forwards, backwards; ///< a backward: B or I
  std::map<Key, int64_t> lastUses;          ///< the index of a microbatch's last action of a stage
  std::map<Key, int64_t> lastInputUses;     ///< the same without W
  std::vector<std::vector<Clock>> known;    ///< when an action starts; by rank and index
  std::vector<Transfer> transfers;          ///< in the order in which a rank makes them
  std::vector<std::array<std::vector<Interval>, kNumSlotClasses>> intervals; ///< by stage
  std::map<std::tuple<size_t, int64_t, int64_t>, int64_t> slots; ///< class, stage, microbatch
  PipelineTimelines result;
};

} // namespace

void TimelinePlanner::indexActions() {
  for (auto [rank, actions] : llvm::enumerate(schedule.actions))
    for (auto [index, action] : llvm::enumerate(actions)) {
      const Key key{action.stage, action.microbatch};
      const Place place{static_cast<int64_t>(rank), static_cast<int64_t>(index)};
      if (action.kind == ActionKind::forward)
        forwards[key] = place;
      else if (action.kind != ActionKind::backwardWeight)
        backwards[key] = place;
      lastUses[key] = place.index;
      if (action.kind != ActionKind::backwardWeight)
        lastInputUses[key] = place.index;
    }
}

/// What is known when an action on another rank is done; nothing if it has not begun.
std::optional<TimelinePlanner::Clock>
TimelinePlanner::getDependency(const std::map<Key, Place> &places, int64_t stage,
                               int64_t microbatch) const {
  const auto found = places.find({stage, microbatch});
  if (found == places.end())
    return std::nullopt;
  const Place place = found->second;
  if (static_cast<int64_t>(known[place.rank].size()) <= place.index)
    return std::nullopt;
  Clock clock = known[place.rank][place.index];
  clock[place.rank] = place.index + 1;
  return clock;
}

/// Starts a rank's next action if what it needs is done.
bool TimelinePlanner::tryToStart(int64_t rank) {
  const auto index = static_cast<int64_t>(known[rank].size());
  if (index == static_cast<int64_t>(schedule.actions[rank].size()))
    return false;
  const PipelineAction &action = schedule.actions[rank][index];
  Clock clock = index ? known[rank].back() : Clock(known.size());
  clock[rank] = index;
  const bool isForward = action.kind == ActionKind::forward;
  const int64_t before = isForward ? action.stage - 1 : action.stage + 1;
  if (action.kind != ActionKind::backwardWeight && before >= 0 &&
      before < schedule.getNumStages()) {
    const auto dependency =
        getDependency(isForward ? forwards : backwards, before, action.microbatch);
    if (!dependency)
      return false;
    for (auto [own, other] : llvm::zip_equal(clock, *dependency))
      own = std::max(own, other);
  }
  known[rank].push_back(std::move(clock));
  return true;
}

llvm::Error TimelinePlanner::orderActions() {
  for (bool goesOn = true; goesOn;) {
    goesOn = false;
    for (int64_t rank = 0; rank < schedule.getNumRanks(); ++rank)
      while (tryToStart(rank))
        goesOn = true;
  }
  for (auto [rank, actions] : llvm::enumerate(schedule.actions))
    if (const size_t index = known[rank].size(); index < actions.size())
      return llvm::createStringError(
          "schedule " + schedule.name + ": rank " + std::to_string(rank) + " can never begin " +
          toString(actions[index].kind).str() + " of stage " +
          std::to_string(actions[index].stage) + " microbatch " +
          std::to_string(actions[index].microbatch) + ": ranks wait for each other");
  return llvm::Error::success();
}

void TimelinePlanner::findTransfers() {
  for (auto [rank, actions] : llvm::enumerate(schedule.actions))
    for (auto [index, action] : llvm::enumerate(actions)) {
      const Place made{static_cast<int64_t>(rank), static_cast<int64_t>(index)};
      const bool isActivation = action.kind == ActionKind::forward;
      const int64_t to = isActivation ? action.stage + 1 : action.stage - 1;
      if (action.kind == ActionKind::backwardWeight ||
          !(isActivation ? hasActivations(action.stage) : hasCotangents(to)) ||
          !crosses(action.stage, to))
        continue;
      const auto &users = isActivation ? forwards : backwards;
      transfers.push_back({isActivation, action.stage, action.microbatch, made,
                           users.at({to, action.microbatch}), 0, 0});
    }
}

void TimelinePlanner::timeTransfers() {
  for (Transfer &transfer : transfers) {
    const std::vector<Clock> &clocks = known[transfer.made.rank];
    transfer.freed = transfer.made.index + 1;
    while (transfer.freed < static_cast<int64_t>(clocks.size()) &&
           clocks[transfer.freed][transfer.used.rank] <= transfer.used.index)
      ++transfer.freed;
  }
  // From the last to the first of one sender to one receiver.
  std::map<std::tuple<int64_t, int64_t, bool>, int64_t> next;
  for (Transfer &transfer : llvm::reverse(transfers)) {
    int64_t &limit =
        next.try_emplace({transfer.made.rank, transfer.used.rank, transfer.isActivation},
                         transfer.used.index)
            .first->second;
    limit = std::max<int64_t>(0, std::min(limit, transfer.used.index - kReceiveAhead));
    transfer.started = limit;
  }
}

void TimelinePlanner::occupy(SlotClass slotClass, int64_t stage, Interval interval) {
  intervals[stage][static_cast<size_t>(slotClass)].push_back(interval);
}

bool TimelinePlanner::isReadByWeights(SlotClass slotClass, int64_t stage) const {
  switch (slotClass) {
  case SlotClass::activations:
    return traffic[stage].weightsReadActivations;
  case SlotClass::cotangents:
    return traffic[stage].weightsReadCotangents;
  case SlotClass::residualsToWeight:
  case SlotClass::inputToWeight:
    return true;
  case SlotClass::residuals:
  case SlotClass::sentActivations:
  case SlotClass::sentCotangents:
    return false;
  }
  llvm_unreachable("every class has a case");
}

/// From an action on to the last of the stage that reads the class.
void TimelinePlanner::occupyUntilUsed(SlotClass slotClass, int64_t stage, int64_t begin,
                                      int64_t microbatch) {
  const auto &uses = isReadByWeights(slotClass, stage) ? lastUses : lastInputUses;
  occupy(slotClass, stage, {begin, uses.at({stage, microbatch}), microbatch});
}

void TimelinePlanner::assignSlots() {
  intervals.resize(schedule.getNumStages());
  result.slots.resize(schedule.getNumStages());
  for (auto [key, made] : forwards) {
    auto [stage, microbatch] = key;
    occupyUntilUsed(SlotClass::residuals, stage, made.index, microbatch);
    if (isSplit)
      occupyUntilUsed(SlotClass::residualsToWeight, stage, made.index, microbatch);
    if (hasActivations(stage) && !crosses(stage, stage + 1))
      occupyUntilUsed(SlotClass::activations, stage + 1, made.index, microbatch);
  }
  for (auto [key, made] : backwards) {
    auto [stage, microbatch] = key;
    if (isSplit)
      occupyUntilUsed(SlotClass::inputToWeight, stage, made.index, microbatch);
    if (hasCotangents(stage - 1) && !crosses(stage, stage - 1))
      occupyUntilUsed(SlotClass::cotangents, stage - 1, made.index, microbatch);
  }
  for (const Transfer &it : transfers) {
    const SlotClass sent = it.isActivation ? SlotClass::sentActivations : SlotClass::sentCotangents;
    const SlotClass received = it.isActivation ? SlotClass::activations : SlotClass::cotangents;
    occupy(sent, it.stage, {it.made.index, it.freed - 1, it.microbatch});
    occupyUntilUsed(received, it.getUser(), it.started, it.microbatch);
  }
  for (int64_t stage = 0; stage < schedule.getNumStages(); ++stage)
    for (size_t slotClass = 0; slotClass < kNumSlotClasses; ++slotClass)
      assignClass(slotClass, stage);
}

void TimelinePlanner::assignClass(size_t slotClass, int64_t stage) {
  std::vector<Interval> &occupants = intervals[stage][slotClass];
  llvm::sort(occupants, [](const Interval &a, const Interval &b) {
    return std::tie(a.begin, a.microbatch) < std::tie(b.begin, b.microbatch);
  });
  std::vector<int64_t> ends; ///< of each slot's latest occupant
  for (const Interval &occupant : occupants) {
    auto slot = llvm::find_if(ends, [&](int64_t end) { return end < occupant.begin; });
    if (slot == ends.end())
      slot = ends.insert(slot, 0);
    *slot = occupant.end;
    slots[{slotClass, stage, occupant.microbatch}] = slot - ends.begin();
  }
  result.slots[stage][slotClass] = static_cast<int64_t>(ends.size());
}

SlotUse TimelinePlanner::getSlot(SlotClass slotClass, int64_t stage, int64_t microbatch) const {
  return {slotClass, stage, slots.at({static_cast<size_t>(slotClass), stage, microbatch})};
}

void TimelinePlanner::addComputation(RankTimeline &timeline, const PipelineAction &action) const {
  TimelineEntry entry{TimelineEntry::Kind::compute, action, 0, {}};
  const int64_t own = action.stage;
  const bool isWeights = action.kind == ActionKind::backwardWeight;
  auto use = [&](SlotClass slotClass, int64_t stage) {
    if (!isWeights || isReadByWeights(slotClass, stage))
      entry.slots.push_back(getSlot(slotClass, stage, action.microbatch));
  };
  use(SlotClass::residuals, own);
  if (isSplit)
    use(SlotClass::residualsToWeight, own);
  if (hasActivations(own - 1))
    use(SlotClass::activations, own);
  if (action.kind == ActionKind::forward) {
    if (hasActivations(own))
      crosses(own, own + 1) ? use(SlotClass::sentActivations, own)
                            : use(SlotClass::activations, own + 1);
  } else {
    if (hasCotangents(own))
      use(SlotClass::cotangents, own);
    if (isSplit)
      use(SlotClass::inputToWeight, own);
    if (!isWeights && hasCotangents(own - 1))
      crosses(own, own - 1) ? use(SlotClass::sentCotangents, own)
                            : use(SlotClass::cotangents, own - 1);
  }
  timeline.entries.push_back(std::move(entry));
}

void TimelinePlanner::addTransfer(RankTimeline &timeline, TimelineEntry::Kind kind,
                                  const Transfer &transfer) const {
  const bool sends =
      kind == TimelineEntry::Kind::startSend || kind == TimelineEntry::Kind::awaitSend;
  const int64_t stage = sends ? transfer.stage : transfer.getUser();
  const SlotClass slotClass = transfer.isActivation
                                  ? (sends ? SlotClass::sentActivations : SlotClass::activations)
                                  : (sends ? SlotClass::sentCotangents : SlotClass::cotangents);
  const ActionKind action = transfer.isActivation ? ActionKind::forward : ActionKind::backward;
  timeline.entries.push_back({kind,
                              {action, stage, transfer.microbatch},
                              sends ? transfer.used.rank : transfer.made.rank,
                              {getSlot(slotClass, stage, transfer.microbatch)}});
}

RankTimeline TimelinePlanner::buildRank(int64_t rank) const {
  using Kind = TimelineEntry::Kind;
  RankTimeline timeline;
  const auto &actions = schedule.actions[rank];
  for (int64_t index = 0; index <= static_cast<int64_t>(actions.size()); ++index) {
    for (const Transfer &it : transfers)
      if (it.used.rank == rank && it.started == index)
        addTransfer(timeline, Kind::startReceive, it);
    for (const Transfer &it : transfers)
      if (it.used.rank == rank && it.used.index == index)
        addTransfer(timeline, Kind::awaitReceive, it);
    for (const Transfer &it : transfers)
      if (it.made.rank == rank && it.freed == index)
        addTransfer(timeline, Kind::awaitSend, it);
    if (index == static_cast<int64_t>(actions.size()))
      break;
    addComputation(timeline, actions[index]);
    for (const Transfer &it : transfers)
      if (it.made.rank == rank && it.made.index == index)
        addTransfer(timeline, Kind::startSend, it);
  }
  return timeline;
}

llvm::Expected<PipelineTimelines> TimelinePlanner::run() {
  indexActions();
  if (llvm::Error error = orderActions())
    return std::move(error);
  findTransfers();
  timeTransfers();
  assignSlots();
  for (int64_t rank = 0; rank < schedule.getNumRanks(); ++rank)
    result.ranks.push_back(buildRank(rank));
  return std::move(result);
}

llvm::Expected<PipelineTimelines> planTimelines(const PipelineSchedule &schedule,
                                                llvm::ArrayRef<StageTraffic> traffic) {
  return TimelinePlanner(schedule, traffic).run();
}

} // namespace titan
