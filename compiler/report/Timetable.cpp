#include "compiler/report/Timetable.h"

#include "compiler/report/HtmlPage.h"
#include "compiler/report/Report.h"
#include "passes/pipeline/ScheduleCsv.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/JSON.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cmath>

namespace titan {

/// Lines that tell a simulation's figures.
static std::string printFigures(const PipelineSchedule &schedule, const Simulation &simulation) {
  std::vector<int64_t> inFlight;
  for (const RankSimulation &rank : simulation.ranks)
    inFlight.push_back(rank.inFlight);
  return fmt::format("{}: {} stages, {} microbatches\n"
                     "time {:g}, idle {:.1f} %, most in flight on a rank {}\n",
                     schedule.name, schedule.getNumStages(), schedule.microbatches,
                     simulation.makespan, 100 * simulation.getIdleShare(),
                     fmt::join(inFlight, ", "));
}

//===--- Text
//----------------------------------------------------------------------------------===//

/// The borders of the table's columns: whole numbers, if all times are, else the times at which an
/// action of any rank begins or ends.
static std::vector<double> collectTimes(const Simulation &simulation) {
  constexpr double kMostColumns = 1e5;
  std::vector<double> times{0};
  for (const RankSimulation &rank : simulation.ranks)
    for (const TimedAction &timed : rank.actions)
      times.insert(times.end(), {timed.begin, timed.end});
  if (simulation.makespan < kMostColumns &&
      llvm::all_of(times, [](double time) { return time == std::floor(time); }))
    for (int time = 0; time < simulation.makespan; ++time)
      times.push_back(time);
  llvm::sort(times);
  times.erase(std::unique(times.begin(), times.end()), times.end());
  return times;
}

std::string printTimetable(const PipelineSchedule &schedule, const Simulation &simulation) {
  const std::vector<double> times = collectTimes(simulation);
  std::vector<std::vector<std::string>> cells(simulation.ranks.size(),
                                              std::vector<std::string>(times.size() - 1, "."));
  size_t width = 1;
  const auto columnOf = [&](double time) { return llvm::lower_bound(times, time) - times.begin(); };
  for (const auto &[rank, result] : llvm::enumerate(simulation.ranks))
    for (const TimedAction &timed : result.actions) {
      const std::string name = printAction(timed.action);
      width = std::max(width, name.size());
      for (auto column = columnOf(timed.begin); column < columnOf(timed.end); ++column)
        cells[rank][column] = column == columnOf(timed.begin) ? name : "=";
    }
  std::string text;
  for (const auto &[rank, row] : llvm::enumerate(cells)) {
    std::string line = fmt::format("rank {:<2}", rank);
    for (const std::string &cell : row)
      line += fmt::format(" {:<{}}", cell, width);
    text += llvm::StringRef(line).rtrim().str() + "\n";
  }
  return text + printFigures(schedule, simulation);
}

//===--- JSON
//----------------------------------------------------------------------------------===//

std::string printTimetableJson(const PipelineSchedule &schedule, const Simulation &simulation) {
  using llvm::json::Array;
  using llvm::json::Object;
  Array inFlight, idle, slots, ranks;
  for (const RankSimulation &rank : simulation.ranks) {
    inFlight.push_back(rank.inFlight);
    idle.push_back(simulation.makespan - rank.busy);
    Array actions;
    for (const TimedAction &timed : rank.actions)
      actions.push_back(Object{
          {"action", printAction(timed.action)}, {"begin", timed.begin}, {"end", timed.end}});
    ranks.push_back(std::move(actions));
  }
  for (const PerClass<int64_t> &stage : simulation.inFlight)
    slots.push_back(Object{
        {"F_to_B", stage[0]}, {"F_to_I", stage[1]}, {"F_to_W", stage[2]}, {"I_to_W", stage[3]}});
  Object object{{"schedule", schedule.name},
                {"stages", schedule.getNumStages()},
                {"microbatches", schedule.microbatches},
                {"makespan", simulation.makespan},
                {"idle_share", simulation.getIdleShare()},
                {"most_in_flight", std::move(inFlight)},
                {"idle", std::move(idle)},
                {"slots", std::move(slots)},
                {"ranks", std::move(ranks)}};
  std::string text;
  llvm::raw_string_ostream(text) << llvm::json::Value(std::move(object)) << "\n";
  return text;
}

//===--- Drawing
//-------------------------------------------------------------------------------===//

namespace {

constexpr double kLeast = 960, kMost = 4800, kLeft = 80, kRight = 8, kTop = 8;
/// The width of a box that has room for its number.
constexpr double kRoom = 11;
constexpr double kRow = 24, kGap = 4, kMemory = 36, kAxis = 24, kLegend = 22;

/// Dark letters are readable on all of them (after Okabe and Ito).
llvm::StringRef getColor(ActionKind kind) {
  switch (kind) {
  case ActionKind::forward:
    return "#56b4e9";
  case ActionKind::backward:
    return "#e69f00";
  case ActionKind::backwardInput:
    return "#f0d35c";
  case ActionKind::backwardWeight:
    return "#3fbf95";
  }
  llvm_unreachable("all kinds have a color");
}

class Drawing {
public:
  Drawing(const PipelineSchedule &schedule, const Simulation &simulation, llvm::StringRef unit)
      : schedule(schedule), simulation(simulation), unit(unit) {
    for (const RankSimulation &rank : simulation.ranks)
      mostBytes = std::max(mostBytes, rank.peakBytes);
    width = std::clamp(kLeft + kRight + kRoom * simulation.makespan / shortest(), kLeast, kMost);
    rowHeight = kRow + kGap + (mostBytes > 0 ? kMemory : 0);
    bottom = kTop + rowHeight * static_cast<double>(simulation.ranks.size());
  }

  std::string draw() const {
    std::string svg =
        fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1}\" "
                    "style=\"min-width:{0:.0f}px\" role=\"img\" "
                    "aria-label=\"timetable of {2}\" font-family=\"system-ui, sans-serif\">\n"
                    "<style>.pp text{{fill:#808890;font-size:12px}}"
                    ".pp .a text{{fill:#14181c;font-size:10px;text-anchor:middle}}"
                    ".pp .a rect{{stroke:#14181c;stroke-width:.5}}",
                    width, bottom + kAxis + kLegend, escapeHtml(schedule.name));
    for (ActionKind kind : kKinds)
      svg += fmt::format(".pp .{}{{fill:{}}}", toString(kind), getColor(kind));
    svg += "</style>\n<g class=\"pp\">\n";
    for (size_t rank = 0; rank < simulation.ranks.size(); ++rank)
      svg += row(rank);
    return svg + axis() + legend() + "</g>\n</svg>\n";
  }

private:
  static constexpr ActionKind kKinds[] = {ActionKind::forward, ActionKind::backward,
                                          ActionKind::backwardInput, ActionKind::backwardWeight};

  /// The time of the shortest action, so that a number fits into each box if the drawing may be as
  /// wide.
  double shortest() const {
    double least = std::max(simulation.makespan, 1e-300);
    for (const RankSimulation &rank : simulation.ranks)
      for (const TimedAction &timed : rank.actions)
        if (timed.end > timed.begin)
          least = std::min(least, timed.end - timed.begin);
    return least;
  }

  double x(double time) const {
    return kLeft + (width - kLeft - kRight) * time / std::max(simulation.makespan, 1e-300);
  }
  double y(size_t rank) const { return kTop + rowHeight * static_cast<double>(rank); }

  std::string row(size_t rank) const {
    const double top = y(rank);
    std::string svg =
        fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">rank {}</text>\n<g class=\"a\">\n",
                    kLeft - 8, top + kRow / 2 + 4, rank);
    for (const TimedAction &timed : simulation.ranks[rank].actions)
      svg += box(timed, top);
    return svg + "</g>\n" + (mostBytes > 0 ? memory(rank) : "");
  }

  std::string box(const TimedAction &timed, double top) const {
    const double begin = x(timed.begin), length = x(timed.end) - begin;
    const PipelineAction &action = timed.action;
    std::string svg = fmt::format(
        "<rect class=\"{}\" x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\"{}><title>{}: "
        "{:.6g} to {:.6g}{}</title></rect>",
        toString(action.kind), begin, top, length, kRow, shade(action), printAction(action),
        timed.begin, timed.end, unit);
    // As in the width of the whole, but for what rounding may take.
    if (length >= kRoom * 0.999)
      svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\">{}</text>", begin + length / 2,
                         top + kRow / 2 + 3.5, action.microbatch);
    return svg + "\n";
  }

  bool occurs(ActionKind kind) const {
    return llvm::any_of(schedule.actions, [&](const std::vector<PipelineAction> &actions) {
      return llvm::any_of(actions, [&](const PipelineAction &a) { return a.kind == kind; });
    });
  }

  /// Later stages of a rank are paler.
  std::string shade(const PipelineAction &action) const {
    const auto before =
        std::count(schedule.rankOfStage.begin(), schedule.rankOfStage.begin() + action.stage,
                   schedule.rankOfStage[action.stage]);
    return before == 0 ? ""
                       : fmt::format(" fill-opacity=\"{:.2f}\"",
                                     std::max(0.25, std::pow(0.55, double(before))));
  }

  /// The rank's bytes as steps under its row, all ranks on one scale.
  std::string memory(size_t rank) const {
    const RankSimulation &result = simulation.ranks[rank];
    const double floor = y(rank) + kRow + kMemory;
    const auto level = [&](int64_t bytes) {
      return floor - (kMemory - 4) * static_cast<double>(bytes) / static_cast<double>(mostBytes);
    };
    std::string path = fmt::format("M{:.1f} {:.1f}", x(0), floor);
    for (size_t i = 0; i < result.actions.size(); ++i)
      path += fmt::format(
          "V{:.1f}H{:.1f}", level(result.bytes[i]),
          x(i + 1 < result.actions.size() ? result.actions[i + 1].begin : result.actions[i].end));
    return fmt::format("<path fill=\"#808890\" fill-opacity=\".45\" d=\"{}V{:.1f}Z\"><title>bytes "
                       "of rank {}</title></path><text x=\"{}\" y=\"{:.1f}\" "
                       "text-anchor=\"end\">{}</text>\n",
                       path, floor, rank, kLeft - 8, floor - 8, humanBytes(result.peakBytes));
  }

  std::string axis() const {
    const double step = std::pow(10, std::floor(std::log10(std::max(simulation.makespan, 1e-9))));
    double tick = step;
    for (double factor : {0.1, 0.2, 0.5, 1.0}) {
      tick = factor * step;
      if (simulation.makespan / tick <= 12)
        break;
    }
    std::string svg;
    for (int i = 0; i * tick <= simulation.makespan * (1 + 1e-9); ++i)
      svg += fmt::format("<path stroke=\"#808890\" d=\"M{0:.1f} {1}v4\"/><text x=\"{0:.1f}\" "
                         "y=\"{2}\" text-anchor=\"middle\">{3:g}{4}</text>\n",
                         x(i * tick), bottom, bottom + 16, i * tick, i == 0 ? "" : unit.str());
    return svg;
  }

  std::string legend() const {
    std::string svg;
    double left = kLeft;
    const double top = bottom + kAxis + 4;
    for (ActionKind kind : kKinds) {
      if (!occurs(kind))
        continue;
      svg +=
          fmt::format("<rect class=\"{0}\" x=\"{1}\" y=\"{2}\" width=\"12\" height=\"12\"/><text "
                      "x=\"{3}\" y=\"{4}\">{0}</text>\n",
                      toString(kind), left, top, left + 17, top + 11);
      left += 48;
    }
    return svg + fmt::format("<text x=\"{}\" y=\"{}\">idle {:.1f} %</text>\n", left, top + 11,
                             100 * simulation.getIdleShare());
  }

  const PipelineSchedule &schedule;
  const Simulation &simulation;
  llvm::StringRef unit;
  int64_t mostBytes = 0;
  double width = 0, rowHeight = 0, bottom = 0;
};

} // namespace

std::string drawTimetable(const PipelineSchedule &schedule, const Simulation &simulation,
                          llvm::StringRef unit) {
  return Drawing(schedule, simulation, unit.empty() ? "" : " " + unit.str()).draw();
}

} // namespace titan
