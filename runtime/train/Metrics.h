// What a run reports: torchtitan's numbers, formulas and console line, and a file of JSON lines.
#pragma once

#include "runtime/base/Status.h"

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace titan {

/// Floating point operations of forward and backward per token:
/// 6 (parameters - embedding) + 12 layers heads headDim seqLen. Attention counts the full square,
/// as in the PaLM paper (https://arxiv.org/abs/2204.02311, appendix B).
struct ModelSize {
  int64_t parameters = 0;
  int64_t embedding = 0; ///< parameters of the input embedding; 0 when the head shares them
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t headDim = 0;
  int64_t seqLen = 0;
};
double flopsPerToken(const ModelSize &size);

/// Peak dense bfloat16 FLOP/s of a device by (part of) its name; nothing for CPUs and devices that
/// are not in the table.
std::optional<double> peakFlops(std::string_view deviceName);

/// What is measured once per run.
struct MetricsContext {
  double flopsPerToken = 0;
  std::optional<double> peakFlops = std::nullopt; ///< without it, mfu is n/a
  int64_t nonDataParallelSize = 1;                ///< cp x tp x pp: tps is per device
  uint64_t memoryCapacity = 0;                    ///< bytes
  bool color = false;
};

/// What the trainer counts between two logged steps.
struct StepRecord {
  int64_t step = 0; ///< from 1
  double loss = 0;  ///< mean over the step's valid tokens
  double gradNorm = 0;
  double lr = 0;
  int64_t tokensSeen = 0;     ///< since the start of training
  int64_t tokensSinceLog = 0; ///< since the last logged step
  int64_t stepsSinceLog = 1;
  double secondsSinceLog = 0;
  double dataSecondsSinceLog = 0; ///< of them, waiting for batches
  uint64_t memory = 0;            ///< bytes, peak
};

struct StepMetrics {
  double tps = 0; ///< tokens per second and device
  double tflops = 0;
  std::optional<double> mfu = std::nullopt; ///< percent
  double secondsPerStep = 0;
  double dataSecondsPerStep = 0;
  double dataPercent = 0;
  double memoryGiB = 0;
  double memoryPercent = 0;
};

StepMetrics computeMetrics(const MetricsContext &context, const StepRecord &record);

/// torchtitan's line, with the flops per token beside the mfu that they enter:
/// "step:  1  loss:  8.1326  grad_norm:  1.5371  memory:  0.42GiB(0.66%)  tps: 12,345  tflops: 0.88
///  mfu: n/a  flops/token: 7.158e+07"
std::string consoleLine(const MetricsContext &context, const StepRecord &record);
/// The same, in place of what `line` held: within its capacity, nothing is allocated.
void writeConsoleLine(const MetricsContext &context, const StepRecord &record, std::string &line);

/// "validate step: 10  loss:  2.1234  memory: ...  tps: ..."; of the record, step, loss, memory,
/// tokensSinceLog and secondsSinceLog are used.
std::string validationLine(const MetricsContext &context, const StepRecord &record);

/// One object, no line break: step, loss, grad_norm, lr, tokens, tps, tflops, mfu, memory_gib,
/// memory_percent, seconds_per_step, data_seconds_per_step. A number that is not finite, or an
/// unknown mfu, is null.
std::string jsonLine(const MetricsContext &context, const StepRecord &record);
/// The same, in place of what `line` held: within its capacity, nothing is allocated.
void writeJsonLine(const MetricsContext &context, const StepRecord &record, std::string &line);
/// More than either line takes.
inline constexpr size_t kLineCapacity = 1024;
/// {"validation_step": .., "validation_loss": .., "tps": ..}
std::string validationJsonLine(const MetricsContext &context, const StepRecord &record);

/// A file of lines, complete on the disk's side after each.
class JsonlWriter {
public:
  /// Replaces an existing file.
  static StatusOr<JsonlWriter> create(const std::filesystem::path &path);
  Status write(std::string_view line);

private:
  struct Close {
    void operator()(std::FILE *file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> file;
  std::filesystem::path path;
};

} // namespace titan
