#include "passes/pipeline/StagePlan.h"

#include "passes/pipeline/ChainPartition.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

namespace titan {

template <typename... Args> static llvm::Error fail(const char *format, Args &&...args) {
  return llvm::createStringError("parallelism." +
                                 llvm::formatv(format, std::forward<Args>(args)...).str());
}

/// "1, 2, 4 to 7" of ascending numbers.
static std::string printRanges(llvm::ArrayRef<int64_t> values) {
  std::string text;
  while (!values.empty()) {
    size_t size = 1;
    while (size < values.size() && values[size] == values[size - 1] + 1)
      ++size;
    text += (text.empty() ? "" : ", ") + std::to_string(values.front());
    if (size > 1)
      text += (size == 2 ? ", " : " to ") + std::to_string(values[size - 1]);
    values = values.drop_front(size);
  }
  return text;
}

/// Whether a schedule may have so many stages, and if not why: a clause after "... stages, ".
static std::string findStageRule(const StageOptions &options, int64_t stages) {
  const ScheduleAlgorithm &schedule = *options.schedule;
  const auto rule = [&](const char *needed) {
    return llvm::formatv("{0} per rank on {1} ranks; {2} has {3}",
                         llvm::format("%.4g", double(stages) / options.degree), options.degree,
                         schedule.name, needed)
        .str();
  };
  if (stages % options.degree)
    return llvm::formatv("not a multiple of pipeline_parallel_degree = {0}", options.degree).str();
  const int64_t perRank = stages / options.degree;
  if (schedule.isSingleStage && perRank != 1)
    return rule("1");
  if (schedule.placement == StagePlacement::v && perRank != 2)
    return rule("2");
  if (!schedule.isSingleStage && perRank < 2)
    return rule("at least 2");
  return "";
}

//===--- By names
//------------------------------------------------------------------------------===//

static llvm::Error failUnknownModule(llvm::StringRef name, int64_t stage,
                                     llvm::ArrayRef<StageModule> modules) {
  const StageModule *nearest = &modules.front();
  for (const StageModule &module : modules)
    if (name.edit_distance(module.name) < name.edit_distance(nearest->name))
      nearest = &module;
  return fail("module_fqns_per_model_part: stage {0} has '{1}', which the model has not; its "
              "modules are {2:$[, ]}; did you mean '{3}'?",
              stage, name, llvm::map_range(modules, [](const StageModule &m) { return m.name; }),
              nearest->name);
}

static llvm::Expected<std::vector<int64_t>> planByNames(const StageOptions &options,
                                                        llvm::ArrayRef<StageModule> modules) {
  constexpr int64_t kNone = -1;
  std::vector<int64_t> stageOfModule(modules.size(), kNone);
  for (const auto &[stage, names] : llvm::enumerate(options.modulesPerStage)) {
    if (names.empty())
      return fail("module_fqns_per_model_part: stage {0} has no module; each needs at least 1",
                  stage);
    for (const std::string &name : names) {
      const auto *module = llvm::find_if(modules, [&](const auto &m) { return m.name == name; });
      if (module == modules.end())
        return failUnknownModule(name, stage, modules);
      int64_t &place = stageOfModule[module - modules.begin()];
      if (place != kNone)
        return fail("module_fqns_per_model_part: '{0}' is in stage {1} and in stage {2}; each "
                    "module is in one",
                    name, place, stage);
      place = stage;
    }
  }
  for (size_t module = 0; module < modules.size(); ++module) {
    const int64_t stage = stageOfModule[module];
    if (stage == kNone)
      return fail("module_fqns_per_model_part: '{0}' is in no stage; each module is in one",
                  modules[module].name);
    if (module > 0 && stage < stageOfModule[module - 1])
      return fail("module_fqns_per_model_part: '{0}' is in stage {1}, but '{2}' before it is in "
                  "stage {3}; stages follow the model's order",
                  modules[module].name, stage, modules[module - 1].name, stageOfModule[module - 1]);
  }
  return stageOfModule;
}

//===--- By layers
//-----------------------------------------------------------------------------===//

namespace {
/// The layers of a model, and as how many the modules before and after them count.
struct CountedLayers {
  int64_t layers;
  int64_t first;
  int64_t last;
  int64_t total() const { return layers + first + last; }
  std::string print() const {
    return llvm::formatv("{0} layers + {1} for the first stage + {2} for the last = {3}", layers,
                         first, last, total())
        .str();
  }
};
} // namespace

static CountedLayers countLayers(const StageOptions &options, llvm::ArrayRef<StageModule> modules) {
  return {llvm::count_if(modules, [](const StageModule &m) { return m.isLayer; }),
          options.firstStageLessLayers.value_or(1), options.lastStageLessLayers.value_or(1)};
}

static llvm::Expected<int64_t> countStages(const StageOptions &options,
                                           const CountedLayers &counted) {
  if (!options.layersPerStage)
    return options.degree * (options.schedule->isSingleStage ? 1 : 2);
  const auto stagesOf = [&](int64_t layers) { return llvm::divideCeil(counted.total(), layers); };
  const int64_t stages = stagesOf(*options.layersPerStage);
  const std::string rule = findStageRule(options, stages);
  if (rule.empty())
    return stages;
  std::vector<int64_t> legal;
  for (int64_t layers = 1; layers <= counted.total(); ++layers)
    if (findStageRule(options, stagesOf(layers)).empty())
      legal.push_back(layers);
  return fail("pipeline_parallel_layers_per_stage: {0} cuts {1} into {2} stages, {3}; {4}",
              *options.layersPerStage, counted.print(), stages, rule,
              legal.empty() ? "no value is legal" : "legal are " + printRanges(legal));
}

static llvm::Error checkCounted(const CountedLayers &counted, int64_t stages,
                                const StageOptions &options) {
  if (stages > counted.total())
    return fail("pipeline_parallel_degree: {0} ranks have {1} stages, more than {2}; at most {3} "
                "stages are legal",
                options.degree, stages, counted.print(), counted.total());
  const int64_t least = counted.total() / stages;
  for (const auto &[count, name] : {std::pair(counted.first, "first_stage_less_layers"),
                                    std::pair(counted.last, "last_stage_less_layers")})
    if (count > least)
      return fail("pipeline_parallel_{0}: {1} is more than the {2} layers that each of {3} stages "
                  "has at least ({4}); legal are 0 to {2}",
                  name, count, least, stages, counted.print());
  return llvm::Error::success();
}

static std::vector<int64_t> planByLayers(const CountedLayers &counted, int64_t stages,
                                         llvm::ArrayRef<StageModule> modules) {
  // Layers of stages 0 to s together; the first stages have one more.
  std::vector<int64_t> ends;
  for (int64_t stage = 0, sum = -counted.first; stage < stages; ++stage) {
    sum += counted.total() / stages + (stage < counted.total() % stages);
    ends.push_back(sum);
  }
  std::vector<int64_t> stageOfModule;
  int64_t layer = 0;
  for (const StageModule &module : modules) {
    if (!module.isLayer) {
      stageOfModule.push_back(layer == 0 ? 0 : stages - 1);
      continue;
    }
    const auto end = llvm::upper_bound(ends, layer++);
    stageOfModule.push_back(std::min<int64_t>(end - ends.begin(), stages - 1));
  }
  return stageOfModule;
}

//===--- All
//-----------------------------------------------------------------------------------===//

static llvm::Expected<std::vector<int64_t>> planByCost(const StageOptions &options, int64_t stages,
                                                       llvm::ArrayRef<StageModule> modules) {
  if (stages > static_cast<int64_t>(modules.size()))
    return fail("pipeline_parallel_degree: {0} ranks have {1} stages, more than the model's {2} "
                "modules; at most {2} stages are legal",
                options.degree, stages, modules.size());
  return partitionChain(llvm::map_to_vector(modules, [](const auto &m) { return m.cost; }), stages);
}

static llvm::Expected<std::vector<int64_t>> planModules(const StageOptions &options,
                                                        llvm::ArrayRef<StageModule> modules) {
  if (!options.modulesPerStage.empty())
    return planByNames(options, modules);
  const CountedLayers counted = countLayers(options, modules);
  auto stages = countStages(options, counted);
  if (!stages)
    return stages.takeError();
  if (!options.layersPerStage && !options.firstStageLessLayers && !options.lastStageLessLayers)
    return planByCost(options, *stages, modules);
  if (llvm::Error error = checkCounted(counted, *stages, options))
    return std::move(error);
  return planByLayers(counted, *stages, modules);
}

static llvm::Error checkOptions(const StageOptions &options) {
  constexpr int64_t kMost = 1'000'000; // layers and stages beyond any model; sums stay small
  for (const auto &[value, least, name] :
       {std::tuple(options.degree, 1, "degree"),
        std::tuple(options.layersPerStage.value_or(1), 1, "layers_per_stage"),
        std::tuple(options.firstStageLessLayers.value_or(1), 0, "first_stage_less_layers"),
        std::tuple(options.lastStageLessLayers.value_or(1), 0, "last_stage_less_layers")}) {
    if (value < least)
      return fail("pipeline_parallel_{0}: {1}; at least {2} is needed", name, value, least);
    if (value > kMost)
      return fail("pipeline_parallel_{0}: {1} is too large; legal are {2} to {3}", name, value,
                  least, kMost);
  }
  const int64_t stages = options.modulesPerStage.size();
  if (const std::string rule = stages ? findStageRule(options, stages) : ""; !rule.empty())
    return fail("module_fqns_per_model_part: {0} stages, {1}", stages, rule);
  return llvm::Error::success();
}

llvm::Expected<StagePlan> planStages(const StageOptions &options,
                                     llvm::ArrayRef<StageModule> modules) {
  if (llvm::Error error = checkOptions(options))
    return std::move(error);
  auto stageOfModule = planModules(options, modules);
  if (!stageOfModule)
    return stageOfModule.takeError();
  const int64_t stages = stageOfModule->back() + 1;
  StagePlan plan{std::move(*stageOfModule), {}, stages / options.degree};
  for (int64_t stage = 0; stage < stages; ++stage)
    plan.rankOfStage.push_back(getRankOfStage(options.schedule->placement, stage, options.degree));
  return plan;
}

} // namespace titan
