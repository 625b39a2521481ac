#include "runtime/format/Verify.h"

#include <map>
#include <set>

namespace titan::format {
namespace {

/// One microbatch on one stage.
using Work = std::pair<int64_t, int64_t>;

std::string describe(Letter letter, Work work) {
  return std::string(toString(letter)) + " of stage " + std::to_string(work.first) +
         " microbatch " + std::to_string(work.second);
}

/// Checks one section of a timeline.
class SectionVerifier {
public:
  SectionVerifier(const Program &program, const Timeline &timeline, bool isBody)
      : program(program), timeline(timeline), isBody(isBody) {}

  Status verify(const std::vector<Action> &section) {
    for (size_t i = 0; i < section.size(); ++i)
      for (const SlotBinding &slot : section[i].slots)
        lastUses[{slot.residualClass, section[i].microbatch}] = i;
    for (size_t i = 0; i < section.size(); ++i)
      TITAN_RETURN_IF_ERROR(verify(section[i], i).withContext("entry " + std::to_string(i)));
    if (!started.empty())
      return dataLoss("entry " + std::to_string(started.begin()->second.first) +
                      " is never awaited in its section");
    return okStatus();
  }

private:
  static Work workOf(const Action &action) { return {action.stage, action.microbatch}; }

  Status verify(const Action &action, size_t index) {
    TITAN_RETURN_IF_ERROR(verifyReferences(action));
    TITAN_RETURN_IF_ERROR(verifyOrder(action));
    TITAN_RETURN_IF_ERROR(verifyMode(action, index));
    return verifySlots(action, index);
  }

  Status verifyReferences(const Action &action) const {
    if (action.stage < 0 || action.microbatch < 0)
      return dataLoss("stage and microbatch are at least 0, found " + std::to_string(action.stage) +
                      " and " + std::to_string(action.microbatch));
    if (action.function >= program.functions.size())
      return dataLoss("function " + std::to_string(action.function) +
                      " does not exist: there are " + std::to_string(program.functions.size()));
    const Function &function = program.functions[action.function];
    if (function.isAsync != (action.mode != Mode::run))
      return dataLoss("function '" + function.name + "' is " + (function.isAsync ? "" : "not ") +
                      "async, but the entry says " + std::string(toString(action.mode)));
    std::set<uint32_t> bound;
    for (const SlotBinding &slot : action.slots) {
      if (slot.residualClass >= program.residualClasses.size())
        return dataLoss("residual class " + std::to_string(slot.residualClass) +
                        " does not exist: there are " +
                        std::to_string(program.residualClasses.size()));
      const ResidualClass &residualClass = program.residualClasses[slot.residualClass];
      if (slot.index < 0 || slot.index >= residualClass.slots)
        return dataLoss("slot " + std::to_string(slot.index) + " of residual class '" +
                        residualClass.name + "' does not exist: it has " +
                        std::to_string(residualClass.slots));
      if (!bound.insert(slot.residualClass).second)
        return dataLoss("binds residual class '" + residualClass.name + "' twice");
    }
    for (const Buffer &buffer : function.buffers) {
      const Segment &segment = program.segments[buffer.place.segment];
      if (segment.pipelineRank >= 0 && segment.pipelineRank != timeline.pipelineRank)
        return dataLoss("runs '" + function.name + "', which uses segment '" + segment.name +
                        "' of rank " + std::to_string(segment.pipelineRank));
      if (buffer.place.residualClass != kNone && !bound.contains(buffer.place.residualClass))
        return dataLoss("binds no slot of residual class '" +
                        program.residualClasses[buffer.place.residualClass].name + "', which '" +
                        function.name + "' uses");
    }
    return okStatus();
  }

  Status verifyOrder(const Action &action) {
    const Letter letter = action.letter;
    const bool backward = letter == Letter::backward || letter == Letter::inputBackward;
    const bool computes = letter == Letter::forward || backward || letter == Letter::weightBackward;
    const bool inBody = computes || letter == Letter::send || letter == Letter::receive;
    const bool outside = letter == Letter::prologue || letter == Letter::update;
    if ((isBody && outside) || (!isBody && inBody))
      return dataLoss(std::string(toString(letter)) + " stands " +
                      (outside ? "in the prologue or epilogue" : "in the body"));
    if (action.mode == Mode::await)
      return okStatus();
    const Work work = workOf(action);
    std::set<Letter> &before = done[work];
    if (backward && !before.contains(Letter::forward))
      return dataLoss(describe(letter, work) + " needs an earlier F");
    if (letter == Letter::weightBackward && !before.contains(Letter::inputBackward))
      return dataLoss(describe(letter, work) + " needs an earlier I");
    if (!before.insert(letter).second && computes)
      return dataLoss(describe(letter, work) + " stands twice");
    return okStatus();
  }

  Status verifyMode(const Action &action, size_t index) {
    const Key key{action.letter, action.function, workOf(action)};
    if (action.mode == Mode::start) {
      if (!started.emplace(key, std::pair(index, action.slots)).second)
        return dataLoss("starts again before it is awaited");
    } else if (action.mode == Mode::await) {
      const auto start = started.find(key);
      if (start == started.end())
        return dataLoss("awaits what was not started in this section");
      if (start->second.second != action.slots)
        return dataLoss("binds other slots than its start");
      started.erase(start);
    }
    return okStatus();
  }

  Status verifySlots(const Action &action, size_t index) {
    const bool receives = action.letter == Letter::receive;
    for (const SlotBinding &slot : action.slots) {
      const std::pair<uint32_t, int64_t> key{slot.residualClass, slot.index};
      const auto describeSlot = [&] {
        return "slot " + std::to_string(slot.index) + " of residual class '" +
               program.residualClasses[slot.residualClass].name + "'";
      };
      const auto [owner, isNew] = owners.emplace(key, action.microbatch);
      if (!isNew && owner->second != action.microbatch)
        return dataLoss(describeSlot() + " still belongs to microbatch " +
                        std::to_string(owner->second));
      if (receives && action.mode == Mode::await)
        receiving.erase(key);
      else if (receiving.contains(key))
        return dataLoss("uses " + describeSlot() + ", which a receive fills");
      else if (receives && action.mode == Mode::start)
        receiving.insert(key);
      if (lastUses[{slot.residualClass, action.microbatch}] == index)
        owners.erase(key);
    }
    return okStatus();
  }

  using Key = std::tuple<Letter, uint32_t, Work>;

  const Program &program;
  const Timeline &timeline;
  bool isBody;
  std::map<Work, std::set<Letter>> done;
  /// Starts under way: index of the entry, and its slots.
  std::map<Key, std::pair<size_t, std::vector<SlotBinding>>> started;
  /// The microbatch that a slot belongs to, and the last entry of one that binds a class.
  std::map<std::pair<uint32_t, int64_t>, int64_t> owners;
  std::map<std::pair<uint32_t, int64_t>, size_t> lastUses;
  std::set<std::pair<uint32_t, int64_t>> receiving; ///< slots that a receive under way fills
};

} // namespace

Status verifyTimeline(const Program &program, const Timeline &timeline) {
  TITAN_RETURN_IF_ERROR(verifyPipelineRank(program, timeline.pipelineRank));
  TITAN_RETURN_IF_ERROR(
      SectionVerifier(program, timeline, false).verify(timeline.prologue).withContext("prologue"));
  TITAN_RETURN_IF_ERROR(
      SectionVerifier(program, timeline, true).verify(timeline.body).withContext("body"));
  return SectionVerifier(program, timeline, false)
      .verify(timeline.epilogue)
      .withContext("epilogue");
}

} // namespace titan::format
