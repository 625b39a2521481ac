#include "runtime/train/Metrics.h"

#include "runtime/base/File.h"

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>

#include <cerrno>
#include <cmath>
#include <iterator>

namespace titan {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

struct Peak {
  std::string_view name;
  double flops;
};

/// More specific names first.
constexpr Peak kPeaks[] = {
    {"A100", 312e12},    {"A6000", 154.85e12}, {"H100 NVL", 835e12}, {"H100 PCIe", 756e12},
    {"H100", 989e12},    {"H200", 989e12},     {"H20", 148e12},      {"GB200", 2.5e15},
    {"GB300", 2.5e15},   {"B200", 2.25e15},    {"B300", 2.25e15},    {"MI250X", 191.5e12},
    {"MI300X", 1300e12}, {"MI325X", 1300e12},  {"MI355X", 2500e12},  {"L40S", 362e12},
};

/// 1234567 as "1,234,567".
std::string groupThousands(std::string digits) {
  size_t end = digits.find('.');
  if (end == std::string::npos)
    end = digits.size();
  const size_t begin = digits[0] == '-' ? 1 : 0;
  while (end > begin + 3) {
    end -= 3;
    digits.insert(end, ",");
  }
  return digits;
}

std::string grouped(double value, int decimals) {
  if (!std::isfinite(value))
    return fmt::format("{}", value);
  return groupThousands(fmt::format("{:.{}f}", value, decimals));
}

/// ANSI colors in torchtitan's order, or nothing.
struct Colors {
  std::string_view red, green, orange, turquoise, blue, cyan, magenta, yellow, reset;
};

Colors colorsFor(bool on) {
  if (!on)
    return {};
  return {.red = "\033[31m",
          .green = "\033[32m",
          .orange = "\033[38;2;180;60;0m",
          .turquoise = "\033[38;2;54;234;195m",
          .blue = "\033[34m",
          .cyan = "\033[36m",
          .magenta = "\033[35m",
          .yellow = "\033[33m",
          .reset = "\033[39m"};
}

} // namespace

double flopsPerToken(const ModelSize &size) {
  return 6.0 * static_cast<double>(size.parameters - size.embedding) +
         12.0 * static_cast<double>(size.layers) * static_cast<double>(size.heads) *
             static_cast<double>(size.headDim) * static_cast<double>(size.seqLen);
}

std::optional<double> peakFlops(std::string_view deviceName) {
  for (const Peak &peak : kPeaks)
    if (deviceName.find(peak.name) != std::string_view::npos)
      return peak.flops;
  return std::nullopt;
}

StepMetrics computeMetrics(const MetricsContext &context, const StepRecord &record) {
  StepMetrics metrics;
  const double seconds = record.secondsSinceLog;
  const auto steps = static_cast<double>(record.stepsSinceLog);
  metrics.tps = static_cast<double>(record.tokensSinceLog) /
                (seconds * static_cast<double>(context.nonDataParallelSize));
  metrics.tflops = context.flopsPerToken * metrics.tps / 1e12;
  if (context.peakFlops)
    metrics.mfu = 100 * context.flopsPerToken * metrics.tps / *context.peakFlops;
  metrics.secondsPerStep = seconds / steps;
  metrics.dataSecondsPerStep = record.dataSecondsSinceLog / steps;
  metrics.dataPercent = 100 * record.dataSecondsSinceLog / seconds;
  metrics.memoryGiB = static_cast<double>(record.memory) / kGiB;
  if (context.memoryCapacity)
    metrics.memoryPercent =
        100 * static_cast<double>(record.memory) / static_cast<double>(context.memoryCapacity);
  return metrics;
}

void writeConsoleLine(const MetricsContext &context, const StepRecord &record, std::string &line) {
  const StepMetrics metrics = computeMetrics(context, record);
  const Colors color = colorsFor(context.color);
  // Short enough to live in the strings themselves.
  const std::string mfu = metrics.mfu ? fmt::format("{:.2f}%", *metrics.mfu) : "n/a";
  line.clear();
  fmt::format_to(std::back_inserter(line),
                 "{}step: {:2}  {}loss: {:7.4f}  {}grad_norm: {:7.4f}  "
                 "{}memory: {:5.2f}GiB({:.2f}%)  {}tps: {}  {}tflops: {}  "
                 "{}mfu: {}  flops/token: {:.3e}{}",
                 color.red, record.step, color.green, record.loss, color.orange, record.gradNorm,
                 color.turquoise, metrics.memoryGiB, metrics.memoryPercent, color.blue,
                 grouped(metrics.tps, 0), color.cyan, grouped(metrics.tflops, 2), color.magenta,
                 mfu, context.flopsPerToken, color.reset);
}

std::string consoleLine(const MetricsContext &context, const StepRecord &record) {
  std::string line;
  writeConsoleLine(context, record, line);
  return line;
}

std::string validationLine(const MetricsContext &context, const StepRecord &record) {
  const StepMetrics metrics = computeMetrics(context, record);
  const Colors color = colorsFor(context.color);
  return fmt::format("{}validate step: {:2}  {}loss: {:7.4f}  {}memory: {:5.2f}GiB({:.2f}%)  "
                     "{}tps: {}{}",
                     color.yellow, record.step, color.green, record.loss, color.turquoise,
                     metrics.memoryGiB, metrics.memoryPercent, color.blue, grouped(metrics.tps, 0),
                     color.reset);
}

namespace {

/// A number of JSON, which knows none that is not finite.
void addNumber(std::string &line, std::string_view key, std::optional<double> value) {
  const auto end = std::back_inserter(line);
  if (value && std::isfinite(*value))
    fmt::format_to(end, ",\"{}\":{}", key, *value);
  else
    fmt::format_to(end, ",\"{}\":null", key);
}

} // namespace

void writeJsonLine(const MetricsContext &context, const StepRecord &record, std::string &line) {
  const StepMetrics metrics = computeMetrics(context, record);
  line.clear();
  fmt::format_to(std::back_inserter(line), "{{\"step\":{}", record.step);
  addNumber(line, "loss", record.loss);
  addNumber(line, "grad_norm", record.gradNorm);
  addNumber(line, "lr", record.lr);
  fmt::format_to(std::back_inserter(line), ",\"tokens\":{}", record.tokensSeen);
  addNumber(line, "tps", metrics.tps);
  addNumber(line, "tflops", metrics.tflops);
  addNumber(line, "mfu", metrics.mfu);
  addNumber(line, "memory_gib", metrics.memoryGiB);
  addNumber(line, "memory_percent", metrics.memoryPercent);
  addNumber(line, "seconds_per_step", metrics.secondsPerStep);
  addNumber(line, "data_seconds_per_step", metrics.dataSecondsPerStep);
  line += '}';
}

std::string jsonLine(const MetricsContext &context, const StepRecord &record) {
  std::string line;
  writeJsonLine(context, record, line);
  return line;
}

std::string validationJsonLine(const MetricsContext &context, const StepRecord &record) {
  const StepMetrics metrics = computeMetrics(context, record);
  return nlohmann::ordered_json({{"validation_step", record.step},
                                 {"validation_loss", record.loss},
                                 {"tps", metrics.tps}})
      .dump();
}

StatusOr<JsonlWriter> JsonlWriter::create(const std::filesystem::path &path) {
  if (path.has_parent_path()) {
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    if (error)
      return invalidArgument("cannot create folder '" + path.parent_path().string() +
                             "': " + describeErrno(error.value()));
  }
  JsonlWriter writer;
  writer.path = path;
  writer.file.reset(std::fopen(path.c_str(), "we"));
  if (!writer.file)
    return invalidArgument("cannot create '" + path.string() + "': " + describeErrno(errno));
  return writer;
}

Status JsonlWriter::write(std::string_view line) {
  const bool written = std::fwrite(line.data(), 1, line.size(), file.get()) == line.size() &&
                       std::fputc('\n', file.get()) != EOF && std::fflush(file.get()) == 0;
  if (!written)
    return invalidArgument("cannot write '" + path.string() + "': " + describeErrno(errno));
  return okStatus();
}

} // namespace titan
