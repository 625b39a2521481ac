#include "runtime/base/JobKeys.h"

#include <type_traits>

namespace titan {
namespace {

template <typename T> struct IsOptional : std::false_type {};
template <typename T> struct IsOptional<std::optional<T>> : std::true_type {};

template <typename T> constexpr KeyType keyTypeOf() {
  if constexpr (IsOptional<T>::value)
    return keyTypeOf<typename T::value_type>();
  else if constexpr (std::is_same_v<T, bool>)
    return KeyType::boolean;
  else if constexpr (std::is_same_v<T, int64_t>)
    return KeyType::integer;
  else if constexpr (std::is_same_v<T, double>)
    return KeyType::number;
  else if constexpr (std::is_same_v<T, std::vector<std::string>>)
    return KeyType::stringList;
  else
    return KeyType::string;
}

template <auto Section, auto Member> JobValue getMember(const JobConfig &config) {
  const auto &member = config.*Section.*Member;
  if constexpr (IsOptional<std::decay_t<decltype(member)>>::value)
    return member ? JobValue(*member) : JobValue();
  else
    return member;
}

template <auto Section, auto Member> void setMember(JobConfig &config, const JobValue &value) {
  auto &member = config.*Section.*Member;
  using T = std::decay_t<decltype(member)>;
  if constexpr (IsOptional<T>::value) {
    member.reset();
    if (auto *set = std::get_if<typename T::value_type>(&value))
      member = *set;
  } else if (auto *set = std::get_if<T>(&value)) {
    member = *set;
  }
}

const KeyRange kPositive{.low = 1};
const KeyRange kNotNegative{.low = 0};
const KeyRange kPositiveOrAuto{.low = 1, .also = -1};
// Above this a float32 overflows soon.
const double kLargest = 1e30;
const KeyRange kAboveZero{.low = 0, .high = kLargest, .lowOpen = true};
const KeyRange kFinite{.low = 0, .high = kLargest};
const KeyRange kShare{.low = 0, .high = 1};
const KeyRange kBeta{.low = 0, .high = 1, .highOpen = true};

constexpr auto kCompile = KeyPhase::compileTime;
constexpr auto kRun = KeyPhase::runTime;

/// Rows are added section by section; each call returns the row so that details can be set on it.
class TableBuilder {
public:
  void section(std::string name) { current = std::move(name); }

  /// A key that Titan uses. Type and default are those of the struct's member.
  template <auto Section, auto Member>
  JobKey &used(const char *name, KeyPhase phase, const char *doc) {
    using T = std::decay_t<decltype(std::declval<JobConfig>().*Section.*Member)>;
    JobKey &key = add(name, doc);
    key.type = keyTypeOf<T>();
    key.optional = IsOptional<T>::value;
    key.get = getMember<Section, Member>;
    key.set = setMember<Section, Member>;
    key.defaultValue = key.get(JobConfig());
    key.phase = phase;
    return key;
  }

  JobKey &ignored(const char *name, JobValue defaultValue, const char *doc) {
    return unused(name, std::move(defaultValue), KeySupport::ignored, doc);
  }
  JobKey &inert(const char *name, JobValue defaultValue, const char *doc) {
    return unused(name, std::move(defaultValue), KeySupport::inert, doc);
  }
  /// A key that must keep its default.
  JobKey &refused(const char *name, JobValue defaultValue, const char *doc, const char *reason) {
    JobKey &key = unused(name, std::move(defaultValue), KeySupport::refused, doc);
    key.accepted = {render(key.defaultValue)};
    key.reason = reason;
    return key;
  }

  std::vector<JobKey> take() { return std::move(keys); }

private:
  JobKey &add(const char *name, const char *doc) {
    JobKey &key = keys.emplace_back();
    key.section = current;
    key.name = name;
    key.doc = doc;
    return key;
  }

  JobKey &unused(const char *name, JobValue defaultValue, KeySupport support, const char *doc) {
    JobKey &key = add(name, doc);
    key.support = support;
    switch (defaultValue.index()) {
    case 1:
      key.type = KeyType::boolean;
      break;
    case 2:
      key.type = KeyType::integer;
      break;
    case 3:
      key.type = KeyType::number;
      break;
    case 5:
      key.type = KeyType::stringList;
      break;
    default:
      key.type = KeyType::string;
      key.optional = std::holds_alternative<std::monostate>(defaultValue);
    }
    key.defaultValue = std::move(defaultValue);
    return key;
  }

  std::string current;
  std::vector<JobKey> keys;
};

using List = std::vector<std::string>;
const JobValue kUnset;

JobValue text(const char *value) { return std::string(value); }
JobValue integer(int64_t value) { return value; }

constexpr const char *kNoAxisYet = "this axis of the mesh is not supported yet";
constexpr const char *kNoCheckpointsYet = "checkpoints are not supported yet";

void addJobAndMetrics(TableBuilder &t) {
  constexpr auto job = &JobConfig::job;
  t.section("job");
  t.ignored("config_file", kUnset, "the job file is an argument of the command");
  t.used<job, &JobSection::dumpFolder>("dump_folder", kRun, "folder for what a run writes");
  t.used<job, &JobSection::description>("description", kRun, "free text");
  t.used<job, &JobSection::printConfig>("print_config", kRun,
                                        "print the effective values of all keys at the start");
  t.ignored("save_config_file", kUnset, "the program file carries the configuration");
  t.refused("custom_config_module", text(""), "Python module that extends the configuration",
            "Titan runs no Python");

  t.section("profiling");
  using Profiling = ProfilingSection;
  constexpr auto profiling = &JobConfig::profiling;
  t.used<profiling, &Profiling::enableProfiling>(
      "enable_profiling", kRun,
      "each rank writes when the entries of its timeline ran, as iteration_STEP/rankR_trace.json "
      "for Perfetto or chrome://tracing");
  t.used<profiling, &Profiling::saveTracesFolder>("save_traces_folder", kRun,
                                                  "folder of traces, in job.dump_folder");
  t.used<profiling, &Profiling::profileFreq>("profile_freq", kRun, "steps from trace to trace")
      .range = kPositive;
  t.used<profiling, &Profiling::profilerActive>("profiler_active", kRun,
                                                "of them, how many are recorded: the last ones")
      .range = kPositive;
  t.inert("profiler_warmup", integer(3), "PyTorch's profiler");
  t.ignored("enable_memory_snapshot", false, "titan-compile --report shows memory");
  t.inert("save_memory_snapshot_folder", text("memory_snapshot"), "PyTorch's memory snapshot");

  constexpr auto metrics = &JobConfig::metrics;
  t.section("metrics");
  t.used<metrics, &MetricsSection::logFreq>("log_freq", kRun,
                                            "steps between lines; the first step is logged too")
      .range = kPositive;
  t.ignored("enable_tensorboard", false, "metrics.jsonl writes the same numbers");
  t.used<metrics, &MetricsSection::disableColorPrinting>("disable_color_printing", kRun,
                                                         "no colors on the console");
  t.inert("save_tb_folder", text("tb"), "folder of TensorBoard files");
  t.ignored("save_for_all_ranks", false, "metrics are equal on all ranks");
  t.ignored("enable_wandb", false, "metrics.jsonl writes the same numbers");
  t.used<metrics, &MetricsSection::jsonl>("jsonl", kRun,
                                          "(Titan) file that gets one JSON object per logged step");
}

void addModel(TableBuilder &t) {
  constexpr auto model = &JobConfig::model;
  t.section("model");
  t.used<model, &ModelSection::name>("name", kCompile, "model family").choices = {"llama3"};
  t.used<model, &ModelSection::flavor>("flavor", kCompile, "size, which sets all dimensions");
  t.used<model, &ModelSection::hfAssetsPath>("hf_assets_path", kRun,
                                             "folder of tokenizer.json; empty (the default, unlike "
                                             "torchtitan's) means the byte tokenizer");
  t.refused("tokenizer_path", kUnset, "former name of hf_assets_path",
            "it was renamed: set model.hf_assets_path");
  t.refused("converters", List{}, "float8 and other rewrites of the model",
            "float8 is not supported yet");
  t.ignored("print_after_conversion", false, "titan-compile --compile-to prints any phase");
  t.used<model, &ModelSection::dim>("dim", kCompile, "(Titan) model width").range = kPositive;
  t.used<model, &ModelSection::nLayers>("n_layers", kCompile, "(Titan) transformer blocks").range =
      kPositive;
  t.used<model, &ModelSection::nHeads>("n_heads", kCompile, "(Titan) query heads").range =
      kPositive;
  t.used<model, &ModelSection::nKvHeads>("n_kv_heads", kCompile, "(Titan) key and value heads")
      .range = kPositive;
  t.used<model, &ModelSection::ffnHiddenDim>("ffn_hidden_dim", kCompile,
                                             "(Titan) width inside the feed-forward block")
      .range = kPositive;
  t.used<model, &ModelSection::vocabSize>("vocab_size", kCompile,
                                          "(Titan) tokens that the model knows")
      .range = kPositive;
  t.used<model, &ModelSection::tiedEmbeddings>("tied_embeddings", kCompile,
                                               "(Titan) the head uses the embedding's matrix");
  t.used<model, &ModelSection::normEps>("norm_eps", kCompile, "(Titan) epsilon of the RMS norms")
      .range = kAboveZero;
  t.used<model, &ModelSection::ropeTheta>("rope_theta", kCompile,
                                          "(Titan) base of the rotary embedding")
      .range = kAboveZero;
}

void addOptimizer(TableBuilder &t) {
  constexpr auto optimizer = &JobConfig::optimizer;
  t.section("optimizer");
  t.used<optimizer, &OptimizerSection::name>("name", kCompile, "optimizer").choices = {"AdamW",
                                                                                       "Adam"};
  t.used<optimizer, &OptimizerSection::lr>("lr", kRun, "learning rate after the warmup").range =
      kFinite;
  t.used<optimizer, &OptimizerSection::beta1>("beta1", kRun, "decay of the first moment").range =
      kBeta;
  t.used<optimizer, &OptimizerSection::beta2>("beta2", kRun, "decay of the second moment").range =
      kBeta;
  t.used<optimizer, &OptimizerSection::eps>("eps", kRun, "added to the root of the moment").range =
      kFinite;
  t.used<optimizer, &OptimizerSection::weightDecay>("weight_decay", kRun,
                                                    "applies to every parameter")
      .range = kFinite;
  t.ignored("implementation", text("fused"), "kernels are always fused").choices = {
      "for-loop", "foreach", "fused"};
  t.refused("early_step_in_backward", false, "update parameters during the backward",
            "gradients are clipped by their global norm before the update");

  constexpr auto schedule = &JobConfig::lrScheduler;
  t.section("lr_scheduler");
  t.used<schedule, &LrSchedulerSection::warmupSteps>("warmup_steps", kRun, "steps of linear warmup")
      .range = kNotNegative;
  t.used<schedule, &LrSchedulerSection::totalSteps>(
       "total_steps", kRun, "steps that the schedule spans; training.steps when absent")
      .range = kPositive;
  t.used<schedule, &LrSchedulerSection::decayRatio>(
       "decay_ratio", kRun, "share of the steps that decays; all after the warmup when absent")
      .range = kShare;
  t.used<schedule, &LrSchedulerSection::decayType>("decay_type", kRun, "shape of the decay")
      .choices = {"linear", "sqrt", "cosine"};
  t.used<schedule, &LrSchedulerSection::minLrFactor>("min_lr_factor", kRun,
                                                     "where the decay ends, relative to lr")
      .range = kShare;
}

void addDataLoader(TableBuilder &t, const char *section) {
  t.section(section);
  t.ignored("num_workers", integer(0), "tokens are read from a memory map");
  t.ignored("persistent_workers", false, "tokens are read from a memory map");
  t.ignored("pin_memory", false, "tokens are read from a memory map");
  t.ignored("prefetch_factor", kUnset, "tokens are read from a memory map").type = KeyType::integer;
}

void addTraining(TableBuilder &t) {
  constexpr auto training = &JobConfig::training;
  t.section("training");
  t.used<training, &TrainingSection::dataset>(
      "dataset", kRun, "name of a data set; it is never downloaded, so dataset_path must be set");
  t.used<training, &TrainingSection::datasetPath>(
      "dataset_path", kRun,
      "file, folder or glob of text, JSON lines, their .gz, a token file or safetensors batches");
  t.used<training, &TrainingSection::textSeparator>(
      "text_separator", kRun,
      "(Titan) a line of text files that consists of this ends a document; else a file is one");
  t.used<training, &TrainingSection::localBatchSize>("local_batch_size", kCompile,
                                                     "rows of one forward and backward")
      .range = kPositive;
  t.used<training, &TrainingSection::globalBatchSize>(
       "global_batch_size", kRun,
       "rows of one step, a multiple of local_batch_size; -1 means the same")
      .range = kPositiveOrAuto;
  t.used<training, &TrainingSection::seqLen>("seq_len", kCompile, "tokens per row").range =
      kPositive;
  t.used<training, &TrainingSection::maxNorm>(
       "max_norm", kRun, "gradients are clipped to this global norm; inf clips nothing")
      .range = {.low = 0, .lowOpen = true};
  t.used<training, &TrainingSection::steps>("steps", kRun, "steps to train").range = kPositive;
  t.used<training, &TrainingSection::lossChunks>(
       "loss_chunks", kCompile,
       "(Titan) chunks of tokens in which head and loss are computed; when absent 8, or on GPUs as "
       "many as keep each to 4096 tokens")
      .range = {.low = 1, .high = 256};
  t.ignored("enable_cpu_offload", false, "the CPU target keeps everything in host memory");
  JobKey &dtype = t.used<training, &TrainingSection::dtype>("dtype", kCompile,
                                                            "parameters and optimizer state");
  dtype.choices = {"bfloat16", "float32"};
  dtype.support = KeySupport::refused;
  dtype.accepted = {"\"float32\""};
  dtype.reason = "parameters are kept in float32";
  JobKey &compute = t.used<training, &TrainingSection::mixedPrecisionParam>(
      "mixed_precision_param", kCompile, "element type of forward and backward");
  compute.choices = {"bfloat16", "float32"};
  t.used<training, &TrainingSection::mixedPrecisionReduce>("mixed_precision_reduce", kCompile,
                                                           "element type of gradient reductions")
      .choices = {"float32"};
  t.ignored("gc_freq", integer(50), "there is no garbage collector");
  t.ignored("gc_debug", false, "there is no garbage collector");
  addDataLoader(t, "training.dataloader");
}

/// A degree of parallelism that has to be 1.
void refuseDegree(JobKey &key) {
  key.range = kPositive;
  key.support = KeySupport::refused;
  key.accepted = {"1"};
  key.reason = kNoAxisYet;
}

void addParallelism(TableBuilder &t) {
  constexpr auto parallel = &JobConfig::parallelism;
  using P = ParallelismSection;
  t.section("parallelism");
  t.used<parallel, &P::dataParallelReplicateDegree>("data_parallel_replicate_degree", kCompile,
                                                    "copies of the model")
      .range = kPositive;
  t.used<parallel, &P::dataParallelShardDegree>("data_parallel_shard_degree", kCompile,
                                                "ranks that share parameters; -1 takes the rest")
      .range = kPositiveOrAuto;
  t.used<parallel, &P::fsdpReshardAfterForward>(
       "fsdp_reshard_after_forward", kCompile,
       "whether gathered weights are dropped: always after each function that uses them, never "
       "before the "
       "step's end; default as always, but the matrix that embedding and head share stays from "
       "forward to backward, and in a pipeline as never")
      .choices = {"default", "always", "never"};
  t.used<parallel, &P::tensorParallelDegree>("tensor_parallel_degree", kCompile,
                                             "ranks that share each layer")
      .range = kPositive;
  t.used<parallel, &P::enableSequenceParallel>(
      "enable_sequence_parallel", kCompile,
      "(Titan) norms split the sequence over the tensor-parallel ranks");
  t.used<parallel, &P::gradientReduction>("gradient_reduction", kCompile,
                                          "(Titan) when ranks sum their gradients: per_microbatch "
                                          "keeps slices of them, per_step whole "
                                          "ones and communicates once")
      .choices = {"per_microbatch", "per_step"};
  t.used<parallel, &P::disableLossParallel>("disable_loss_parallel", kCompile,
                                            "tensor-parallel ranks exchange whole logits, a chunk "
                                            "at a time, instead of a maximum and two sums a token");
  t.inert("enable_async_tensor_parallel", false, "overlap in tensor parallelism");
  t.used<parallel, &P::pipelineParallelDegree>("pipeline_parallel_degree", kCompile,
                                               "ranks of a pipeline")
      .range = kPositive;
  t.used<parallel, &P::moduleFqnsPerModelPart>(
      "module_fqns_per_model_part", kCompile,
      "the modules of each stage: a list of lists, on the command line a,b;c,d");
  t.used<parallel, &P::pipelineParallelFirstStageLessLayers>(
       "pipeline_parallel_first_stage_less_layers", kCompile,
       "as how many layers the modules before the layers count; 1 with the next two, but if none "
       "of "
       "these keys is given stages are balanced by cost (unlike torchtitan's)")
      .range = kNotNegative;
  t.used<parallel, &P::pipelineParallelLastStageLessLayers>(
       "pipeline_parallel_last_stage_less_layers", kCompile,
       "as how many layers the modules after the layers count")
      .range = kNotNegative;
  t.used<parallel, &P::pipelineParallelLayersPerStage>(
       "pipeline_parallel_layers_per_stage", kCompile,
       "layers of a stage; otherwise a rank has 1 stage or, if the schedule takes several, 2")
      .range = kPositive;
  t.used<parallel, &P::pipelineParallelSchedule>(
      "pipeline_parallel_schedule", kCompile,
      "order of a pipeline's actions: 1F1B, GPipe, Interleaved1F1B, LoopedBFS, ...");
  t.used<parallel, &P::pipelineParallelScheduleCsv>(
      "pipeline_parallel_schedule_csv", kCompile,
      "file of a schedule, one line per rank, which takes the place of the named one");
  t.used<parallel, &P::pipelineParallelMicrobatchSize>("pipeline_parallel_microbatch_size",
                                                       kCompile, "rows of a pipeline microbatch")
      .range = kPositive;
  t.inert("pipeline_parallel_expert_parallel_overlap", true, "experts in a pipeline");
  refuseDegree(t.used<parallel, &P::contextParallelDegree>("context_parallel_degree", kCompile,
                                                           "ranks that share the sequence"));
  t.inert("context_parallel_load_balancer", text("headtail"), "balance of the causal mask")
      .optional = true;
  t.inert("context_parallel_rotate_method", text("allgather"), "exchange of keys and values")
      .choices = {"allgather", "alltoall"};
  t.refused("expert_parallel_degree", integer(1), "experts", "Llama 3 has no experts");
  t.refused("expert_tensor_parallel_degree", integer(1), "experts", "Llama 3 has no experts");
  t.inert("expert_parallel_comm_backend", text("standard"), "experts").choices = {"standard",
                                                                                  "deepep"};
}

void addCheckpoint(TableBuilder &t) {
  t.section("checkpoint");
  t.refused("enable", false, "write checkpoints", kNoCheckpointsYet);
  t.inert("enable_ft_dataloader_checkpoints", true, "fault tolerance");
  t.inert("folder", text("checkpoint"), "folder of the checkpoints");
  t.inert("interval", integer(500), "steps between checkpoints");
  t.used<&JobConfig::checkpoint, &CheckpointSection::initialLoadPath>(
      "initial_load_path", kRun, "safetensors file of parameters by name to start from");
  t.refused("initial_load_model_only", true, "load no optimizer state", kNoCheckpointsYet);
  t.refused("initial_load_in_hf", false, "Hugging Face's names and layout", kNoCheckpointsYet);
  t.refused("initial_load_in_hf_quantized", false, "quantized weights", kNoCheckpointsYet);
  t.inert("last_save_model_only", true, "contents of the last checkpoint");
  t.inert("last_save_in_hf", false, "format of the last checkpoint");
  t.inert("export_dtype", text("float32"), "element type of the last checkpoint").choices = {
      "float16", "bfloat16", "float32"};
  t.inert("async_mode", text("disabled"), "write behind the training").choices = {
      "disabled", "async", "async_with_pinned_mem"};
  t.inert("keep_latest_k", integer(10), "checkpoints to keep");
  t.inert("load_step", integer(-1), "checkpoint to resume from");
  t.inert("exclude_from_loading", List{}, "parts that are not resumed");
  t.inert("enable_first_step_checkpoint", false, "write one after the first step");
  t.refused("create_seed_checkpoint", false, "write a checkpoint and stop",
            "parameters are a function of debug.seed on every mesh, none is needed");
  t.inert("load_only", false, "never write");

  constexpr auto recompute = &JobConfig::activationCheckpoint;
  using A = ActivationCheckpointSection;
  t.section("activation_checkpoint");
  t.used<recompute, &A::mode>("mode", kCompile, "what the backward recomputes").choices = {
      "selective", "full", "memory_budget", "none", "memory_limit", "auto"};
  t.used<recompute, &A::selectiveAcOption>(
      "selective_ac_option", kCompile,
      "mode selective: 'op' for every second matrix product and what is cheap, or N for every "
      "N-th layer");
  t.inert("per_op_sac_force_recompute_mm_shapes_by_fqns", List{"moe.router.gate"},
          "matrix products to recompute");
  t.inert("early_stop", false, "only what the backward needs is recomputed");
  t.used<recompute, &A::memoryBudget>("memory_budget", kCompile,
                                      "mode memory_budget: 0 keeps least, 1 what none keeps")
      .range = kShare;
  t.used<recompute, &A::memoryLimit>(
      "memory_limit", kCompile,
      "(Titan) mode memory_limit: what all memory of a rank may take, such as \"40GiB\"");
  t.inert("visualize_memory_budget_pareto", false, "PyTorch's picture of memory over work");
  t.inert("preserve_rng_state", true, "nothing random is recomputed");
  t.inert("determinism_check", text("default"), "what is recomputed is known to be equal");
  t.inert("debug", false, "PyTorch's recomputation");
}

void addCompileAndQuantize(TableBuilder &t) {
  t.section("compile");
  t.ignored("enable", false, "Titan always compiles");
  t.ignored("components", List{"model", "loss"}, "Titan always compiles");
  t.ignored("backend", text("inductor"), "Titan always compiles");

  // These matter only when model.converters names their converter, which is refused.
  t.section("quantize.linear.float8");
  t.inert("enable_fsdp_float8_all_gather", false, "float8");
  t.inert("precompute_float8_dynamic_scale_for_fsdp", false, "float8");
  t.inert("recipe_name", kUnset, "float8");
  t.inert("filter_fqns", List{}, "float8");
  t.inert("emulate", false, "float8");
  t.section("quantize.linear.mx");
  t.inert("mxfp8_dim1_cast_kernel_choice", text("triton"), "MXFP8");
  t.inert("recipe_name", text("mxfp8_cublas"), "MXFP8");
  t.inert("filter_fqns", List{"output"}, "MXFP8");
  t.section("quantize.grouped_mm.float8");
  t.inert("fqns", List{}, "experts");
  t.section("quantize.grouped_mm.mx");
  t.inert("recipe_name", text("mxfp8"), "experts");
  t.inert("fqns", List{}, "experts");
}

void addServices(TableBuilder &t) {
  constexpr auto comm = &JobConfig::comm;
  const KeyRange seconds{.low = 1, .high = 1e6};
  t.section("comm");
  t.used<comm, &CommSection::initTimeoutSeconds>("init_timeout_seconds", kRun,
                                                 "how long ranks wait for each other at the start")
      .range = seconds;
  t.used<comm, &CommSection::trainTimeoutSeconds>(
       "train_timeout_seconds", kRun, "how long a collective of a step waits for other ranks")
      .range = seconds;
  t.used<comm, &CommSection::traceBufSize>(
       "trace_buf_size", kRun,
       "collectives that each rank remembers for when the run fails; 0 means none")
      .range = {.low = 0, .high = 1e7};
  t.used<comm, &CommSection::saveTracesFolder>("save_traces_folder", kRun,
                                               "where a run that fails leaves the ranks' last "
                                               "collectives, below job.dump_folder");
  t.used<comm, &CommSection::saveTracesFilePrefix>("save_traces_file_prefix", kRun,
                                                   "a rank's file is this and its number");
  t.refused("mode", text("default"), "simulated ranks",
            "titan-compile --report answers what a dry run would")
      .choices = {"default", "fake_backend", "local_tensor"};

  t.section("memory_estimation");
  t.ignored("enable", false, "titan-compile --report shows memory");
  t.inert("disable_fake_mode", false, "PyTorch's estimation");

  t.section("fault_tolerance");
  t.refused("enable", false, "torchft", "torchft is not supported");
  t.inert("process_group", text("gloo"), "torchft");
  t.inert("process_group_timeout_ms", integer(10000), "torchft");
  t.inert("replica_id", integer(0), "torchft");
  t.inert("group_size", integer(0), "torchft");
  t.inert("min_replica_size", integer(1), "torchft");
  t.inert("semi_sync_method", kUnset, "torchft");

  t.section("experimental");
  t.refused("custom_import", text(""), "Python module to import", "Titan runs no Python");
  t.refused("custom_args_module", text(""), "Python module that extends the configuration",
            "Titan runs no Python");
}

void addValidation(TableBuilder &t) {
  constexpr auto validation = &JobConfig::validation;
  using V = ValidationSection;
  t.section("validation");
  t.used<validation, &V::enable>(
      "enable", kRun, "evaluate on held-out windows; a program compiled without it cannot");
  t.ignored("dataset", text("c4_validation"), "validation.dataset_path names the data");
  t.used<validation, &V::datasetPath>(
      "dataset_path", kRun, "held-out data; when absent, the last 5 % of the training documents");
  t.used<validation, &V::localBatchSize>("local_batch_size", kCompile, "rows of one evaluation")
      .range = kPositive;
  t.used<validation, &V::seqLen>("seq_len", kCompile, "tokens per row").range = kPositive;
  t.used<validation, &V::freq>("freq", kRun, "steps between evaluations").range = kPositive;
  t.used<validation, &V::steps>("steps", kRun, "batches per evaluation; -1 means all windows")
      .range = kPositiveOrAuto;
  addDataLoader(t, "validation.dataloader");
}

void addDebugAndRuntime(TableBuilder &t) {
  constexpr auto debug = &JobConfig::debug;
  t.section("debug");
  t.used<debug, &DebugSection::seed>("seed", kRun, "of the initial parameters").range =
      kNotNegative;
  t.used<debug, &DebugSection::deterministic>(
      "deterministic", kRun,
      "cuDNN adds in the same order in every run, and no algorithm of a GPU is chosen by its time");
  t.ignored("deterministic_warn_only", false, "deterministic never fails");
  t.ignored("moe_force_load_balance", false, "Llama 3 has no experts");
  t.used<debug, &DebugSection::dumpGradients>(
      "dump_gradients", kRun,
      "(Titan) safetensors file for the last step's gradients, normalized, before clipping");
  t.used<debug, &DebugSection::dumpParameters>(
      "dump_parameters", kRun, "(Titan) safetensors file for the parameters after the last step");

  t.used<debug, &DebugSection::inject>("inject", kRun,
                                       "(Titan) a fault on purpose, such as "
                                       "rank:3,step:7,collective:12,kill; or hang, slow, nan");

  t.section("runtime");
  t.used<&JobConfig::runtime, &RuntimeSection::threads>(
       "threads", kRun, "(Titan) threads of each rank; 0 means its share of the cores")
      .range = {.low = 0, .high = 4096};
  t.used<&JobConfig::runtime, &RuntimeSection::communicator>(
       "communicator", kRun,
       "(Titan) local: all ranks are threads of this process; mpi: each is a process of mpirun; "
       "auto: mpi if there are several processes")
      .choices = {"auto", "local", "mpi"};
}

} // namespace

std::vector<JobKey> jobKeys() {
  TableBuilder table;
  addJobAndMetrics(table);
  addModel(table);
  addOptimizer(table);
  addTraining(table);
  addParallelism(table);
  addCheckpoint(table);
  addCompileAndQuantize(table);
  addServices(table);
  addValidation(table);
  addDebugAndRuntime(table);
  return table.take();
}

} // namespace titan
