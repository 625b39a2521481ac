#include "compiler/PipelinePlan.h"

#include "dialects/titan/Sharding.h"
#include "passes/Functions.h"
#include "passes/OpWork.h"
#include "passes/pipeline/ScheduleAttribute.h"
#include "passes/pipeline/ScheduleCsv.h"
#include "passes/pipeline/Simulator.h"
#include "passes/pipeline/StagePlan.h"
#include "runtime/base/File.h"

#include <spdlog/fmt/fmt.h>

using namespace mlir;

namespace titan {
namespace {

Status toStatus(llvm::Error error) { return invalidArgument(llvm::toString(std::move(error))); }

class PipelinePlanner {
public:
  PipelinePlanner(ModuleOp graph, const JobConfig &job)
      : graph(graph), job(job), keys(job.parallelism), builder(graph.getContext()) {}

  Status run();

private:
  Status readModules();
  void addCosts();
  Status checkKeys() const;
  Status readSchedule();
  Status planStageRanks();
  Status buildNamedSchedule();
  Status checkCsv() const;
  Status checkTiedWeights();
  void setStages();
  PipelineSchedule buildEvaluation() const;
  std::optional<size_t> findModule(StringRef name) const;
  int64_t countMicrobatches(int64_t rows) const {
    return rows / keys.pipelineParallelMicrobatchSize;
  }

  ModuleOp graph;
  const JobConfig &job;
  const ParallelismSection &keys;
  Builder builder;
  std::vector<StageModule> modules;
  const ScheduleAlgorithm *algorithm = nullptr;
  StagePlan plan;
  PipelineSchedule schedule;
};

} // namespace

/// The module that a name stands for or lies in.
std::optional<size_t> PipelinePlanner::findModule(StringRef name) const {
  for (; !name.empty(); name = name.contains('.') ? name.rsplit('.').first : StringRef())
    for (auto [index, module] : llvm::enumerate(modules))
      if (name == module.name)
        return index;
  return std::nullopt;
}

/// What the model's author named, with what it costs.
Status PipelinePlanner::readModules() {
  auto names = graph->getAttrOfType<ArrayAttr>(kModules);
  if (!names)
    return internalError("the graph does not say what the model's modules are");
  for (StringAttr name : names.getAsRange<StringAttr>()) {
    int64_t number = 0;
    const bool isLayer = !name.getValue().rsplit('.').second.getAsInteger(10, number);
    modules.push_back({name.str(), isLayer, 0});
  }
  graph->removeAttr(kModules);
  addCosts();
  return okStatus();
}

void PipelinePlanner::addCosts() {
  auto loss = graph.lookupSymbol<func::FuncOp>(names::kLoss);
  for (Operation &op : loss.getOps()) {
    auto named = dyn_cast<NameLoc>(op.getLoc());
    if (!named)
      continue;
    // Of a forward and a backward.
    if (auto module = findModule(named.getName().getValue()))
      modules[*module].cost += 3 * static_cast<double>(estimateWork(&op));
  }
}

Status PipelinePlanner::checkKeys() const {
  const int64_t size = keys.pipelineParallelMicrobatchSize;
  auto check = [&](const char *section, int64_t rows) -> Status {
    if (rows % size == 0)
      return okStatus();
    return invalidArgument(
        fmt::format("{0}.local_batch_size = {1} must be a multiple of "
                    "parallelism.pipeline_parallel_microbatch_size = {2}, such as {3}",
                    section, rows, size, (rows / size + 1) * size));
  };
  TITAN_RETURN_IF_ERROR(check("training", job.training.localBatchSize));
  if (job.validation.enable)
    TITAN_RETURN_IF_ERROR(check("validation", job.validation.localBatchSize));
  return okStatus();
}

Status PipelinePlanner::readSchedule() {
  auto found = findScheduleAlgorithm(keys.pipelineParallelSchedule);
  if (!found)
    return toStatus(found.takeError())
        .withContext("parallelism.pipeline_parallel_schedule = \"" + keys.pipelineParallelSchedule +
                     "\"");
  algorithm = *found;
  const std::string path = keys.pipelineParallelScheduleCsv.value_or("");
  if (path.empty())
    return okStatus();
  TITAN_ASSIGN_OR_RETURN(const std::string text, readFile(path));
  auto parsed = parseScheduleCsv(text, path);
  if (!parsed)
    return toStatus(parsed.takeError()).withContext("parallelism.pipeline_parallel_schedule_csv");
  schedule = std::move(*parsed);
  if (auto simulated = simulate(schedule); !simulated)
    return toStatus(simulated.takeError())
        .withContext("parallelism.pipeline_parallel_schedule_csv: " + path);
  return okStatus();
}

Status PipelinePlanner::planStageRanks() {
  StageOptions options;
  options.degree = keys.pipelineParallelDegree;
  options.schedule = algorithm;
  options.layersPerStage = keys.pipelineParallelLayersPerStage;
  options.firstStageLessLayers = keys.pipelineParallelFirstStageLessLayers;
  options.lastStageLessLayers = keys.pipelineParallelLastStageLessLayers;
  for (const std::string &list : keys.moduleFqnsPerModelPart) {
    SmallVector<StringRef> names;
    StringRef(list).split(names, ',', -1, /*KeepEmpty=*/false);
    auto &stage = options.modulesPerStage.emplace_back();
    for (StringRef name : names)
      stage.push_back(name.trim().str());
  }
  auto planned = planStages(options, modules);
  if (!planned)
    return toStatus(planned.takeError());
  plan = std::move(*planned);
  return okStatus();
}

/// A table that was read fits the job.
Status PipelinePlanner::checkCsv() const {
  const std::string name = "parallelism.pipeline_parallel_schedule_csv = \"" + schedule.name + "\"";
  auto check = [&](const char *what, int64_t found, int64_t wanted, const char *reason) -> Status {
    if (found == wanted)
      return okStatus();
    return invalidArgument(
        fmt::format("{} has {} {}, the job {}: {}", name, found, what, wanted, reason));
  };
  TITAN_RETURN_IF_ERROR(check("ranks", schedule.getNumRanks(), keys.pipelineParallelDegree,
                              "parallelism.pipeline_parallel_degree"));
  TITAN_RETURN_IF_ERROR(
      check("stages", schedule.getNumStages(), static_cast<int64_t>(plan.rankOfStage.size()),
            "parallelism.pipeline_parallel_layers_per_stage or module_fqns_per_model_part say how "
            "many"));
  return check("microbatches", schedule.microbatches,
               countMicrobatches(job.training.localBatchSize),
               "training.local_batch_size over parallelism.pipeline_parallel_microbatch_size");
}

Status PipelinePlanner::buildNamedSchedule() {
  auto built = buildSchedule(*algorithm, {keys.pipelineParallelDegree, plan.stagesPerRank,
                                          countMicrobatches(job.training.localBatchSize)});
  if (!built)
    return toStatus(built.takeError()).withContext("parallelism.pipeline_parallel_schedule");
  schedule = std::move(*built);
  return okStatus();
}

/// A parameter that stages of two ranks use.
Status PipelinePlanner::checkTiedWeights() {
  llvm::StringMap<int64_t> ranks;
  auto loss = graph.lookupSymbol<func::FuncOp>(names::kLoss);
  for (auto load : loss.getOps<LoadOp>())
    for (Operation *user : load->getUsers()) {
      auto named = dyn_cast<NameLoc>(user->getLoc());
      auto module = named ? findModule(named.getName().getValue()) : std::nullopt;
      auto variable = graph.lookupSymbol<VariableOp>(load.getVariable());
      if (!module || !variable || variable.getRole() != Role::parameter)
        continue;
      const int64_t rank = schedule.rankOfStage[plan.stageOfModule[*module]];
      const int64_t first = ranks.try_emplace(load.getVariable(), rank).first->second;
      if (first != rank)
        return invalidArgument(fmt::format(
            "{} is shared by stages of the pipeline ranks {} and {}; with "
            "parallelism.pipeline_parallel_degree above 1 set model.tied_embeddings = false, or "
            "take a schedule that puts both stages on one rank, such as ZBVZeroBubble",
            load.getVariable().str(), std::min(first, rank), std::max(first, rank)));
    }
  return okStatus();
}

/// Each rank's stages one after another, each on all microbatches.
PipelineSchedule PipelinePlanner::buildEvaluation() const {
  PipelineSchedule evaluation{
      "evaluation", countMicrobatches(job.validation.localBatchSize), schedule.rankOfStage, {}};
  evaluation.actions.resize(schedule.actions.size());
  for (auto [stage, rank] : llvm::enumerate(evaluation.rankOfStage))
    for (int64_t microbatch = 0; microbatch < evaluation.microbatches; ++microbatch)
      evaluation.actions[rank].push_back(
          {ActionKind::forward, static_cast<int64_t>(stage), microbatch});
  return evaluation;
}

void PipelinePlanner::setStages() {
  std::vector<SmallVector<Attribute>> names(plan.rankOfStage.size());
  for (auto [module, stage] : llvm::zip_equal(modules, plan.stageOfModule))
    names[stage].push_back(builder.getStringAttr(module.name));
  SmallVector<Attribute> lists;
  for (const auto &list : names)
    lists.push_back(builder.getArrayAttr(list));
  graph->setAttr(kStages, builder.getArrayAttr(lists));
  graph->setAttr(kStageRanks, builder.getDenseI64ArrayAttr(schedule.rankOfStage));
}

Status PipelinePlanner::run() {
  TITAN_RETURN_IF_ERROR(readModules());
  TITAN_RETURN_IF_ERROR(checkKeys());
  TITAN_RETURN_IF_ERROR(readSchedule());
  TITAN_RETURN_IF_ERROR(planStageRanks());
  TITAN_RETURN_IF_ERROR(schedule.actions.empty() ? buildNamedSchedule() : checkCsv());
  TITAN_RETURN_IF_ERROR(checkTiedWeights());
  setStages();
  writeSchedule(graph, kSchedule, schedule);
  if (job.validation.enable)
    writeSchedule(graph, kEvalSchedule, buildEvaluation());
  return okStatus();
}

Status planPipeline(ModuleOp graph, const JobConfig &job) {
  if (job.parallelism.pipelineParallelDegree == 1)
    return okStatus();
  return PipelinePlanner(graph, job).run();
}

} // namespace titan
