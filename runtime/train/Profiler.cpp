#include "runtime/train/Profiler.h"

#include "runtime/base/File.h"

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>

#include <iterator>

namespace titan {
namespace {

/// As in schedules, "2F5" for stage 2's forward of microbatch 5; what else there is by its
/// function.
std::string nameOf(const format::Action &action, const std::string &function) {
  switch (action.letter) {
  case format::Letter::forward:
  case format::Letter::backward:
  case format::Letter::inputBackward:
  case format::Letter::weightBackward:
    return fmt::format("{}{}{}", action.stage, toString(action.letter), action.microbatch);
  default:
    return action.mode == format::Mode::run ? function
                                            : fmt::format("{} {}", toString(action.mode), function);
  }
}

/// In quotes: a program's names may hold anything.
std::string quote(const std::string &name) {
  using Json = nlohmann::json;
  return Json(name).dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// A complete event; its name is quoted.
std::string event(std::string_view name, std::string_view category, int64_t begin, int64_t end,
                  int rank, const std::string &arguments) {
  constexpr double kMicrosecond = 1000;
  return fmt::format(",\n{{\"name\":{},\"cat\":\"{}\",\"ph\":\"X\",\"ts\":{:.3f},\"dur\":{:.3f}"
                     ",\"pid\":{},\"tid\":0,\"args\":{{{}}}}}",
                     name, category, static_cast<double>(begin) / kMicrosecond,
                     static_cast<double>(end - begin) / kMicrosecond, rank, arguments);
}

} // namespace

Profiler::Profiler(const JobConfig &job, int rank, size_t entriesPerStep)
    : section(job.profiling),
      folder(std::filesystem::path(job.job.dumpFolder) / section.saveTracesFolder), rank(rank) {
  if (!section.enableProfiling)
    return;
  constexpr int64_t kReservedSteps = 64; // of more, memory grows as they come
  const auto reserved = static_cast<size_t>(std::min(section.profilerActive, kReservedSteps));
  steps.reserve(reserved);
  entries.reserve(reserved * entriesPerStep);
}

std::vector<TracedEntry> *Profiler::beginStep(int64_t step) {
  if (!isActive(step))
    return nullptr;
  steps.push_back({.number = step, .begin = readClock(), .firstEntry = entries.size()});
  return &entries;
}

Status Profiler::endStep(int64_t step, const format::Program &program) {
  if (!isActive(step))
    return okStatus();
  steps.back().end = readClock();
  if (step % section.profileFreq != 0)
    return okStatus();
  const Status status = write(step, program);
  steps.clear();
  entries.clear();
  return status.withContext("profiling.save_traces_folder");
}

Status Profiler::write(int64_t last, const format::Program &program) const {
  std::string text =
      fmt::format("{{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n{{\"name\":\"process_name\","
                  "\"ph\":\"M\",\"pid\":{0},\"args\":{{\"name\":\"rank {0}\"}}}}",
                  rank);
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step &step = steps[i];
    text += event(quote(fmt::format("step {}", step.number)), "step", step.begin, step.end, rank,
                  fmt::format("\"step\":{}", step.number));
    const size_t end = i + 1 < steps.size() ? steps[i + 1].firstEntry : entries.size();
    for (size_t j = step.firstEntry; j < end; ++j) {
      const auto &[action, begin, finish] = entries[j];
      const std::string &function = program.functions[action->function].name;
      text += event(quote(nameOf(*action, function)), toString(action->letter), begin, finish, rank,
                    fmt::format("\"step\":{},\"function\":{},\"stage\":{},\"microbatch\":{}",
                                step.number, quote(function), action->stage, action->microbatch));
    }
  }
  text += "\n]}\n";
  return writeFileAtomically(
      folder / fmt::format("iteration_{}", last) / fmt::format("rank{}_trace.json", rank), text);
}

} // namespace titan
