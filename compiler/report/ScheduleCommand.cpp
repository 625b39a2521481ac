#include "compiler/report/ScheduleCommand.h"

#include "compiler/report/Timetable.h"
#include "passes/pipeline/ScheduleCsv.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"

namespace titan {

static constexpr llvm::StringLiteral kUsage =
    R"(titan-schedule NAME | FILE.csv OPTIONS: print a pipeline schedule and its simulation

NAME is a value of parallelism.pipeline_parallel_schedule, FILE.csv one of _schedule_csv
  --ranks R             pipeline ranks (with NAME)
  --microbatches M      microbatches of a step (with NAME)
  --stages-per-rank L   default: 1, or 2 for a schedule with several stages per rank
  --cost F=1,B=2,...    what F, B, I and W cost; default F=1,B=2,I=1,W=1; F=1:2:1:3 of each stage
  --transfer T          from the end of an action to when another rank has its result; default 0
  --format FORMAT       table (default), csv, svg or json
)";

namespace {
/// One number for all stages, or one for each.
using Costs = std::vector<double>;
struct CostOptions {
  Costs forward{1}, backward{2}, backwardInput{1}, backwardWeight{1};
};

struct ScheduleOptions {
  std::string source;
  int64_t ranks = 0;
  int64_t microbatches = 0;
  int64_t stagesPerRank = 0;
  CostOptions costs;
  double transfer = 0;
  std::string format = "table";
  bool help = false;
};
} // namespace

static Status parseCount(llvm::StringRef option, llvm::StringRef value, int64_t &count) {
  constexpr int64_t kMost = 4096;
  if (value.getAsInteger(10, count) || count < 1 || count > kMost)
    return invalidArgument(
        llvm::formatv("{0}: expects a number from 1 to {1}, found '{2}'", option, kMost, value));
  return okStatus();
}

/// Numbers above 0 separated by colons, or nothing.
static std::optional<Costs> parseNumbers(llvm::StringRef text) {
  Costs numbers;
  llvm::SmallVector<llvm::StringRef> parts;
  text.split(parts, ':');
  for (llvm::StringRef part : parts) {
    double number = 0;
    if (part.getAsDouble(number) || !(number > 0 && number < 1e9))
      return std::nullopt;
    numbers.push_back(number);
  }
  return numbers;
}

static Status parseCosts(llvm::StringRef value, CostOptions &costs) {
  llvm::SmallVector<llvm::StringRef> parts;
  value.split(parts, ',');
  for (llvm::StringRef part : parts) {
    const auto [kind, text] = part.split('=');
    Costs *cost = llvm::StringSwitch<Costs *>(kind)
                      .Case("F", &costs.forward)
                      .Case("B", &costs.backward)
                      .Case("I", &costs.backwardInput)
                      .Case("W", &costs.backwardWeight)
                      .Default(nullptr);
    std::optional<Costs> found = parseNumbers(text);
    if (!cost || !found)
      return invalidArgument(
          llvm::formatv("--cost: expects F, B, I or W with a number above 0 and below "
                        "1e9, such as F=1,B=2, found '{0}'",
                        part));
    *cost = std::move(*found);
  }
  return okStatus();
}

static Status parseTransfer(llvm::StringRef value, double &transfer) {
  if (value.getAsDouble(transfer) || !(transfer >= 0 && transfer < 1e9))
    return invalidArgument(llvm::formatv(
        "--transfer: expects a number from 0 to below 1e9, such as 0.1, found '{0}'", value));
  return okStatus();
}

/// The costs of each stage.
static StatusOr<std::vector<ActionCosts>> expandCosts(const CostOptions &options, int64_t stages) {
  std::vector<ActionCosts> costs(stages);
  const auto expand = [&](const char *kind, const Costs &from, double ActionCosts::*to) -> Status {
    if (from.size() > 1 && static_cast<int64_t>(from.size()) != stages)
      return invalidArgument(llvm::formatv("--cost: {0} has {1} numbers, but the schedule has {2} "
                                           "stages; legal are 1 and {2}",
                                           kind, from.size(), stages));
    for (int64_t stage = 0; stage < stages; ++stage)
      costs[stage].*to = from[from.size() > 1 ? stage : 0];
    return okStatus();
  };
  TITAN_RETURN_IF_ERROR(expand("F", options.forward, &ActionCosts::forward));
  TITAN_RETURN_IF_ERROR(expand("B", options.backward, &ActionCosts::backward));
  TITAN_RETURN_IF_ERROR(expand("I", options.backwardInput, &ActionCosts::backwardInput));
  TITAN_RETURN_IF_ERROR(expand("W", options.backwardWeight, &ActionCosts::backwardWeight));
  return costs;
}

static Status setOption(llvm::StringRef option, llvm::StringRef value, ScheduleOptions &options) {
  if (option == "--ranks")
    return parseCount(option, value, options.ranks);
  if (option == "--microbatches")
    return parseCount(option, value, options.microbatches);
  if (option == "--stages-per-rank")
    return parseCount(option, value, options.stagesPerRank);
  if (option == "--cost")
    return parseCosts(value, options.costs);
  if (option == "--transfer")
    return parseTransfer(value, options.transfer);
  if (option != "--format")
    return invalidArgument(llvm::formatv("there is no option '{0}'; --help lists them", option));
  if (!llvm::is_contained({"table", "csv", "svg", "json"}, value))
    return invalidArgument(
        llvm::formatv("--format: expects table, csv, svg or json, found '{0}'", value));
  options.format = value;
  return okStatus();
}

static StatusOr<ScheduleOptions> parseOptions(std::span<const std::string> arguments) {
  ScheduleOptions options;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const llvm::StringRef argument = arguments[i];
    const auto [option, value] = argument.split('=');
    if (argument == "--help")
      options.help = true;
    else if (!argument.starts_with("--") && !options.source.empty())
      return invalidArgument(
          llvm::formatv("expects one schedule, found '{0}' and '{1}'", options.source, argument));
    else if (!argument.starts_with("--"))
      options.source = argument;
    else if (option != argument)
      TITAN_RETURN_IF_ERROR(setOption(option, value, options));
    else if (i + 1 == arguments.size())
      return invalidArgument(llvm::formatv("{0}: expects a value", argument));
    else
      TITAN_RETURN_IF_ERROR(setOption(argument, arguments[++i], options));
  }
  return options;
}

template <typename T> static StatusOr<T> toStatus(llvm::Expected<T> value) {
  if (value)
    return std::move(*value);
  return invalidArgument(llvm::toString(value.takeError()));
}

static StatusOr<PipelineSchedule> readSchedule(const ScheduleOptions &options) {
  if (options.ranks || options.microbatches || options.stagesPerRank)
    return invalidArgument(llvm::formatv("{0} says how many ranks, stages and microbatches it has; "
                                         "--ranks, --stages-per-rank and --microbatches go with a "
                                         "schedule's name",
                                         options.source));
  const auto buffer = llvm::MemoryBuffer::getFile(options.source, /*IsText=*/true);
  if (!buffer)
    return notFound(options.source + ": " + buffer.getError().message());
  return toStatus(parseScheduleCsv((*buffer)->getBuffer(), options.source));
}

static StatusOr<PipelineSchedule> makeSchedule(const ScheduleOptions &options) {
  if (options.source.empty())
    return invalidArgument("expects the name of a schedule or a file; --help lists the options");
  if (llvm::StringRef(options.source).ends_with(".csv"))
    return readSchedule(options);
  TITAN_ASSIGN_OR_RETURN(const ScheduleAlgorithm *algorithm,
                         toStatus(findScheduleAlgorithm(options.source)));
  if (!options.ranks || !options.microbatches)
    return invalidArgument(options.source +
                           ": expects --ranks and --microbatches, such as --ranks 4 "
                           "--microbatches 8");
  const int64_t stages =
      options.stagesPerRank ? options.stagesPerRank : (algorithm->isSingleStage ? 1 : 2);
  return toStatus(buildSchedule(*algorithm, {options.ranks, stages, options.microbatches}));
}

StatusOr<std::string> scheduleCommand(std::span<const std::string> arguments) {
  TITAN_ASSIGN_OR_RETURN(const ScheduleOptions options, parseOptions(arguments));
  if (options.help)
    return kUsage.str();
  TITAN_ASSIGN_OR_RETURN(const PipelineSchedule schedule, makeSchedule(options));
  SimulationOptions simulationOptions;
  TITAN_ASSIGN_OR_RETURN(simulationOptions.costs,
                         expandCosts(options.costs, schedule.getNumStages()));
  simulationOptions.transfer = options.transfer;
  auto simulation = simulate(schedule, simulationOptions);
  if (!simulation)
    return invalidArgument(schedule.name + ": " + llvm::toString(simulation.takeError()));
  if (options.format == "csv")
    return printScheduleCsv(schedule);
  if (options.format == "svg")
    return drawTimetable(schedule, *simulation);
  if (options.format == "json")
    return printTimetableJson(schedule, *simulation);
  return printTimetable(schedule, *simulation);
}

} // namespace titan
