// A job: the options of one training run, from a TOML file and `--section.key value` overrides.
//
// Sections, keys, defaults and meanings are torchtitan v0.2.2's wherever Titan has the thing; keys
// of Titan's own are marked "(Titan)". The structs here hold what Titan uses; JobKeys.h has the
// table of all keys, including those that are accepted and ignored, or refused.
//
//     [model]                                Logger logger = Logger::console();
//     flavor = "debugmodel"                  auto job = loadJob("job.toml", overrides);
//     [training]                             if (!job.ok()) ...
//     dataset_path = "corpus/*.txt"          for (const std::string &note : job->notes)
//     mixed_precision_param = "float32"        logger.info("{}", note);
#pragma once

#include "runtime/base/Status.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace titan {

struct JobSection {
  std::string dumpFolder = "./outputs";
  std::string description = "default job";
  bool printConfig = false;
};

struct ProfilingSection {
  bool enableProfiling = false;
  std::string saveTracesFolder = "profile_traces"; ///< in job.dump_folder
  int64_t profileFreq = 10;                        ///< steps
  int64_t profilerActive = 1;                      ///< of them, the last so many are recorded
};

struct MetricsSection {
  int64_t logFreq = 10;
  bool disableColorPrinting = false;
  std::optional<std::string> jsonl;
};

/// The dimensions override those of the flavor.
struct ModelSection {
  std::string name = "llama3";
  std::string flavor = "debugmodel";
  std::string hfAssetsPath; ///< folder of tokenizer.json; empty means the byte tokenizer
  std::optional<int64_t> dim;
  std::optional<int64_t> nLayers;
  std::optional<int64_t> nHeads;
  std::optional<int64_t> nKvHeads;
  std::optional<int64_t> ffnHiddenDim;
  std::optional<int64_t> vocabSize;
  std::optional<bool> tiedEmbeddings;
  std::optional<double> normEps;
  std::optional<double> ropeTheta;
};

struct OptimizerSection {
  std::string name = "AdamW"; ///< or "Adam"
  double lr = 8e-4;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weightDecay = 0.1;
};

struct LrSchedulerSection {
  int64_t warmupSteps = 200;
  std::optional<int64_t> totalSteps = std::nullopt; ///< training.steps when absent
  std::optional<double> decayRatio =
      std::nullopt;                 ///< decay begins right after the warmup when absent
  std::string decayType = "linear"; ///< or "sqrt", "cosine"
  double minLrFactor = 0.0;
};

struct TrainingSection {
  std::string dataset = "c4_test";
  std::optional<std::string> datasetPath;
  std::optional<std::string> textSeparator;
  int64_t localBatchSize = 8;   ///< rows of one forward and backward
  int64_t globalBatchSize = -1; ///< rows of one step; -1 means no accumulation
  int64_t seqLen = 2048;        ///< tokens per row
  double maxNorm = 1.0;
  int64_t steps = 10000;
  std::optional<int64_t> lossChunks = std::nullopt; ///< none: as the target likes it
  std::string dtype = "float32";
  std::string mixedPrecisionParam = "bfloat16";
  std::string mixedPrecisionReduce = "float32";
};

struct ParallelismSection {
  int64_t dataParallelReplicateDegree = 1;
  int64_t dataParallelShardDegree = -1; ///< -1 takes what the others leave
  std::string fsdpReshardAfterForward = "default";
  int64_t tensorParallelDegree = 1;
  bool enableSequenceParallel = true;
  bool disableLossParallel = false;
  std::string gradientReduction = "per_microbatch";
  int64_t pipelineParallelDegree = 1;
  /// The modules of each stage of a pipeline, with commas between them.
  std::vector<std::string> moduleFqnsPerModelPart;
  std::optional<int64_t> pipelineParallelFirstStageLessLayers;
  std::optional<int64_t> pipelineParallelLastStageLessLayers;
  std::optional<int64_t> pipelineParallelLayersPerStage;
  std::string pipelineParallelSchedule = "1F1B";
  std::optional<std::string> pipelineParallelScheduleCsv = "";
  int64_t pipelineParallelMicrobatchSize = 1; ///< rows; without a pipeline it does not count
  int64_t contextParallelDegree = 1;
};

struct CheckpointSection {
  std::optional<std::string> initialLoadPath; ///< a safetensors file of parameters by name
};

struct ActivationCheckpointSection {
  std::string mode = "selective";
  std::string selectiveAcOption = "2";
  double memoryBudget = 0.5;
  std::string memoryLimit = ""; ///< an amount of memory (ByteSize.h)

  /// Whether a rank's memory decides what is kept.
  bool isLimited() const { return mode == "memory_limit" || mode == "auto"; }
};

struct ValidationSection {
  bool enable = false;
  std::optional<std::string> datasetPath;
  int64_t localBatchSize = 8;
  int64_t seqLen = 2048;
  int64_t freq = 10;
  int64_t steps = -1; ///< batches; -1 means all of the held-out windows
};

struct DebugSection {
  std::optional<int64_t> seed;
  bool deterministic = false; ///< gradients of attention by cuDNN too
  std::optional<std::string> dumpGradients;
  std::optional<std::string> dumpParameters;
  std::optional<std::string> inject; ///< "rank:3,step:7,collective:12,kill"
};

struct CommSection {
  int64_t initTimeoutSeconds = 300;
  int64_t trainTimeoutSeconds = 100;
  int64_t traceBufSize = 20000; ///< collectives; 0 means no traces
  std::string saveTracesFolder = "comm_traces";
  std::string saveTracesFilePrefix = "rank_";
};

struct RuntimeSection {
  int64_t threads = 0; ///< 0 means one per core
  std::string communicator = "auto";
};

struct JobConfig {
  JobSection job;
  ProfilingSection profiling;
  MetricsSection metrics;
  ModelSection model;
  OptimizerSection optimizer;
  LrSchedulerSection lrScheduler;
  TrainingSection training;
  ParallelismSection parallelism;
  CheckpointSection checkpoint;
  ActivationCheckpointSection activationCheckpoint;
  CommSection comm;
  ValidationSection validation;
  DebugSection debug;
  RuntimeSection runtime;

  /// Rows of one step: training.global_batch_size or, when that is -1, one local batch of each of
  /// the ranks that split the batch.
  int64_t globalRows(int64_t batchDegree = 1) const {
    return training.globalBatchSize < 0 ? training.localBatchSize * batchDegree
                                        : training.globalBatchSize;
  }
};

/// A configuration and what the user should be told about it, one line each: keys that are ignored.
struct LoadedJob {
  JobConfig config;
  std::vector<std::string> notes;
};

/// `--training.seq_len 256` and the like, cut out of a program's arguments. The accepted forms are
/// `--section.key value`, `--section.key=value`, and for booleans `--section.key`,
/// `--section.no_key`; '-' may stand for '_' in names; lists are comma separated, lists of lists by
/// semicolons; `none` unsets a key that has no default.
struct JobArguments {
  std::vector<std::string> overrides; ///< normalized to "section.key=value", in order
  std::vector<std::string> rest;      ///< every other argument, in order
};

/// Separates job options (those that begin with "--" and have a '.' in their name) from the others.
/// Fails on an unknown key or a missing value.
StatusOr<JobArguments> splitArguments(std::span<const std::string> arguments);

/// Reads the file and applies the overrides ("section.key=value"), later ones winning, then checks
/// what Titan supports. Errors name file and line, or the option.
StatusOr<LoadedJob> loadJob(const std::filesystem::path &path,
                            std::span<const std::string> overrides = {});
/// The same from text; `name` stands for the file in messages.
StatusOr<LoadedJob> parseJob(std::string_view text, const std::string &name,
                             std::span<const std::string> overrides = {});

/// Applies overrides to the configuration that a compiled program carries. An override that changes
/// a compile-time key is an error which names the key, both values, and that the job has to be
/// compiled again; one that repeats the compiled value is fine.
StatusOr<LoadedJob> overrideCompiledJob(const JobConfig &compiled,
                                        std::span<const std::string> overrides);

/// The names of compile-time keys whose values differ, such as "model.dim".
std::vector<std::string> changedCompileKeys(const JobConfig &a, const JobConfig &b);

/// TOML text that parseJob() turns into the same configuration: every key that Titan uses and that
/// has a value, in the table's order.
std::string toToml(const JobConfig &config);

} // namespace titan
