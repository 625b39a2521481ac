// The training loop of one rank: batches in, steps, metrics and evaluations out. Every rank of a
// job has a trainer; all do the same, and the first one logs and writes files.
#pragma once

#include "runtime/base/JobConfig.h"
#include "runtime/base/Logger.h"
#include "runtime/data/JobData.h"
#include "runtime/exec/Executor.h"
#include "runtime/exec/VariableLayout.h"
#include "runtime/train/Metrics.h"
#include "runtime/train/Profiler.h"
#include "runtime/train/RankGroup.h"

#include <atomic>
#include <chrono>
#include <functional>

namespace titan {

struct TrainerOptions {
  /// Set, from a signal handler or another thread, to end training after the step under way.
  const std::atomic<bool> *stopRequested = nullptr;
  /// With the data plane, if there are several ranks.
  ExecutorOptions executor;
  /// How long the ranks wait for each other before the first step.
  std::chrono::milliseconds initTimeout{std::chrono::minutes(5)};
  /// Of the initial parameters where the job gives no debug.seed; equal on all ranks.
  uint64_t randomSeed = 0;
  /// Beside which a GPU's measurements are kept; empty: nowhere.
  std::filesystem::path programFile = {};
  /// Told the number of each step before it begins.
  std::function<void(int64_t step)> beginStep = {};
};

class Trainer {
public:
  /// Prepares the program on the device, initializes or loads its parameters and opens the data.
  /// The program, the device and the logger must outlive the trainer.
  static StatusOr<std::unique_ptr<Trainer>> create(const format::Program &program, Device &device,
                                                   const JobConfig &job, Logger &logger,
                                                   const TrainerOptions &options = {});

  /// Trains for training.steps steps or until the data ends. A loss or gradient norm that is not
  /// finite is an error that names the step and the first bad tensor; the parameters then are those
  /// before that step.
  Status train();

  /// Mean loss per valid token over the held-out windows.
  StatusOr<double> evaluate(int64_t step);

  int64_t getStep() const { return step; }
  Executor &getExecutor() { return *executor; }

private:
  using Clock = std::chrono::steady_clock;

  /// The scalars that the host writes before a step and reads after it.
  struct Scalars {
    VariableRef lr, biasCorrection1, biasCorrection2;
    VariableRef oneMinusBeta1, oneMinusBeta2, epsilon, weightDecay, maxNorm;
    VariableRef lossSum, validTokens, gradNorm, finite;
  };
  /// The tensors that the host fills before a body, two for each microbatch of a pipeline,
  /// otherwise two: a batch of all ranks, `rows` of `seq` tokens, of which each takes its own part.
  struct Inputs {
    std::vector<VariableRef> tokens, labels; ///< by microbatch
    std::optional<VariableLayout> layout;    ///< of a microbatch
    int64_t rows = 0, seq = 0;
    std::vector<int32_t> tokenBatch, labelBatch; ///< of all ranks
    std::vector<int32_t> part;                   ///< of this one; empty where it takes all

    int64_t localTokens() const {
      return static_cast<int64_t>(tokens.size()) * tokens.front().variable->view.numElements();
    }
  };
  /// What a step leaves for the host.
  struct StepResult {
    double lossSum = 0, validTokens = 0, gradNorm = 0;
    bool finite = true;
    double loss() const { return lossSum / validTokens; }
  };

  Trainer(const JobConfig &job, Logger &logger, const TrainerOptions &options)
      : job(job), logger(logger), options(options) {}

  Status prepare(const format::Program &program, Device &device);
  Status initialize();
  Status bindScalars();
  Status writeScalar(const VariableRef &variable, double value);
  Status writeConstants();
  Status writeStepScalars(double lr);
  StatusOr<double> readScalar(const VariableRef &variable) const;
  Status fill(Inputs &batch, BatchSource &source);
  Status writePart(Inputs &batch, const VariableRef &variable, std::span<const int32_t> values);
  StatusOr<StepResult> readResult() const;
  StatusOr<Inputs> bindInputs(const std::string &prefix) const;
  Status checkBatches();
  void logMemory();
  StatusOr<bool> runStep(double lr);
  Status runTimeline(double lr);
  size_t countEntries() const;
  StatusOr<std::string> findNonFinite();
  Status finishStep(double lr);
  Status log(const StepResult &result, double lr);
  Status validateIfDue();
  Status finish();
  Status agreeToStop();

  JobConfig job;
  Logger &logger;
  TrainerOptions options;
  std::unique_ptr<RankGroup> ranks;
  std::unique_ptr<Executor> executor;
  JobData data;
  Scalars scalars{};
  Inputs inputs, evalInputs;
  uint32_t trainTimeline = format::kNone, evalTimeline = format::kNone;
  MetricsContext metrics;
  std::optional<JsonlWriter> jsonl;
  std::optional<Profiler> profiler;
  std::string line; ///< of the log or the metrics; allocated once

  bool stopped = false; ///< on all ranks
  int64_t step = 0;
  int64_t microbatches = 1; ///< per step
  int64_t tokensSeen = 0;
  int64_t lastValidation = -1;
  double lastHeldOutLoss = 0;
  // Since the last logged step:
  int64_t steps = 0, tokens = 0;
  double dataSeconds = 0;
  Clock::time_point lastLog;
};

} // namespace titan
