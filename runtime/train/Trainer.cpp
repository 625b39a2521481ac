#include "runtime/train/Trainer.h"

#include "runtime/base/ByteSize.h"
#include "runtime/exec/NonFiniteSearch.h"
#include "runtime/train/Dumps.h"
#include "runtime/train/LrSchedule.h"

#include <cmath>

namespace titan {
namespace {

/// Between two lines that say how far a long set-up is.
constexpr double kProgressSeconds = 5;
constexpr std::string_view kEmbedding = "tok_embeddings.weight";

double secondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

} // namespace

StatusOr<std::unique_ptr<Trainer>> Trainer::create(const format::Program &program, Device &device,
                                                   const JobConfig &job, Logger &logger,
                                                   const TrainerOptions &options) {
  std::unique_ptr<Trainer> trainer(new Trainer(job, logger, options));
  TITAN_RETURN_IF_ERROR(trainer->prepare(program, device));
  return trainer;
}

//===----------------------------------------------------------------------===//
// Preparation
//===----------------------------------------------------------------------===//

Status Trainer::prepare(const format::Program &program, Device &device) {
  const auto start = Clock::now();
  TITAN_ASSIGN_OR_RETURN(
      ranks, RankGroup::create(options.executor.plane, device,
                               {.timeout = options.executor.collectiveTimeout, .parallelFor = {}}));
  TITAN_ASSIGN_OR_RETURN(executor, Executor::load(program, device, options.executor));
  TITAN_ASSIGN_OR_RETURN(trainTimeline, executor->findTimeline("train"));
  TITAN_RETURN_IF_ERROR(bindScalars());
  TITAN_ASSIGN_OR_RETURN(inputs, bindInputs(""));
  if (job.validation.enable) {
    auto timeline = executor->findTimeline("evaluation");
    if (!timeline.ok())
      return invalidArgument("validation.enable is true, but the program was compiled without "
                             "evaluation; compile the job with validation.enable = true");
    evalTimeline = *timeline;
    TITAN_ASSIGN_OR_RETURN(evalInputs, bindInputs("eval_"));
  }
  if (job.training.globalBatchSize < 0)
    job.training.globalBatchSize = inputs.rows;
  TITAN_RETURN_IF_ERROR(checkBatches());
  TITAN_RETURN_IF_ERROR(initialize());
  const uint32_t embedding = format::findByName(program.variables, kEmbedding);
  if (embedding == format::kNone)
    return notFound("the program has no variable '" + std::string(kEmbedding) + "'");
  const VariableLayout table(program.variables[embedding], program.mesh, ranks->rank());
  TITAN_ASSIGN_OR_RETURN(data, openJobData(job, table.global().shape[0], evalInputs.rows, logger));
  if (job.metrics.jsonl && ranks->isFirst()) {
    TITAN_ASSIGN_OR_RETURN(JsonlWriter writer, JsonlWriter::create(*job.metrics.jsonl));
    jsonl.emplace(std::move(writer));
  }
  profiler.emplace(job, ranks->rank(), countEntries());
  metrics.flopsPerToken = static_cast<double>(program.flopsPerToken);
  metrics.peakFlops = peakFlops(device.describe());
  metrics.memoryCapacity = static_cast<uint64_t>(device.memoryCapacity());
  metrics.nonDataParallelSize = ranks->size() * inputs.localTokens() / (inputs.rows * inputs.seq);
  logMemory();
  line.reserve(kLineCapacity);
  metrics.color = !job.metrics.disableColorPrinting && isatty(STDERR_FILENO);
  TITAN_RETURN_IF_ERROR(ranks->meet(options.initTimeout).withContext("start"));
  logger.info("{}, ready after {:.2f} s", device.describe(), secondsSince(start));
  return okStatus();
}

Status Trainer::bindScalars() {
  auto bind = [&](const char *name, VariableRef &scalar) -> Status {
    TITAN_ASSIGN_OR_RETURN(scalar, executor->find(name));
    if (scalar.variable->view.type != DType::f32 || scalar.variable->view.rank != 0)
      return invalidArgument("the program's variable '" + std::string(name) + "' is no f32 scalar");
    return okStatus();
  };
  TITAN_RETURN_IF_ERROR(bind("lr", scalars.lr));
  TITAN_RETURN_IF_ERROR(bind("bias_correction1", scalars.biasCorrection1));
  TITAN_RETURN_IF_ERROR(bind("bias_correction2", scalars.biasCorrection2));
  TITAN_RETURN_IF_ERROR(bind("one_minus_beta1", scalars.oneMinusBeta1));
  TITAN_RETURN_IF_ERROR(bind("one_minus_beta2", scalars.oneMinusBeta2));
  TITAN_RETURN_IF_ERROR(bind("epsilon", scalars.epsilon));
  TITAN_RETURN_IF_ERROR(bind("weight_decay", scalars.weightDecay));
  TITAN_RETURN_IF_ERROR(bind("max_norm", scalars.maxNorm));
  TITAN_RETURN_IF_ERROR(bind("loss_sum", scalars.lossSum));
  TITAN_RETURN_IF_ERROR(bind("valid_tokens", scalars.validTokens));
  TITAN_RETURN_IF_ERROR(bind("grad_norm", scalars.gradNorm));
  return bind("finite", scalars.finite);
}

Status Trainer::writeScalar(const VariableRef &variable, double value) {
  const float single = static_cast<float>(value);
  return executor->write(variable, std::as_bytes(std::span(&single, 1)));
}

/// What the job says of the optimizer for all steps.
Status Trainer::writeConstants() {
  const OptimizerSection &optimizer = job.optimizer;
  TITAN_RETURN_IF_ERROR(writeScalar(scalars.oneMinusBeta1, 1 - optimizer.beta1));
  TITAN_RETURN_IF_ERROR(writeScalar(scalars.oneMinusBeta2, 1 - optimizer.beta2));
  TITAN_RETURN_IF_ERROR(writeScalar(scalars.epsilon, optimizer.eps));
  TITAN_RETURN_IF_ERROR(writeScalar(scalars.weightDecay, optimizer.weightDecay));
  return writeScalar(scalars.maxNorm, job.training.maxNorm);
}

/// What the optimizer needs to know of the step under way.
Status Trainer::writeStepScalars(double lr) {
  const auto exponent = static_cast<double>(step);
  TITAN_RETURN_IF_ERROR(writeScalar(scalars.lr, lr));
  TITAN_RETURN_IF_ERROR(
      writeScalar(scalars.biasCorrection1, 1 - std::pow(job.optimizer.beta1, exponent)));
  return writeScalar(scalars.biasCorrection2, 1 - std::pow(job.optimizer.beta2, exponent));
}

StatusOr<double> Trainer::readScalar(const VariableRef &variable) const {
  float single = 0;
  TITAN_RETURN_IF_ERROR(executor->read(variable, std::as_writable_bytes(std::span(&single, 1))));
  return static_cast<double>(single);
}

StatusOr<Trainer::StepResult> Trainer::readResult() const {
  StepResult result;
  TITAN_ASSIGN_OR_RETURN(result.lossSum, readScalar(scalars.lossSum));
  TITAN_ASSIGN_OR_RETURN(result.validTokens, readScalar(scalars.validTokens));
  TITAN_ASSIGN_OR_RETURN(result.gradNorm, readScalar(scalars.gradNorm));
  TITAN_ASSIGN_OR_RETURN(const double finite, readScalar(scalars.finite));
  result.finite = finite == 1;
  return result;
}

StatusOr<Trainer::Inputs> Trainer::bindInputs(const std::string &prefix) const {
  Inputs result;
  const format::Program &program = executor->program();
  TITAN_ASSIGN_OR_RETURN(const VariableRef tokens, executor->find(prefix + "tokens"));
  TITAN_ASSIGN_OR_RETURN(const VariableRef labels, executor->find(prefix + "labels"));
  const format::View &part = tokens.variable->view;
  result.layout.emplace(*tokens.variable, program.mesh, ranks->rank());
  const format::View &view = result.layout->global();
  const uint32_t slotted = tokens.variable->place.residualClass;
  if (view.type != DType::i32 || view.rank != 2 || !(part == labels.variable->view) ||
      slotted == format::kNone || slotted != labels.variable->place.residualClass)
    return invalidArgument("the program's inputs '" + prefix + "tokens' and '" + prefix +
                           "labels' are not both i32 [rows, seq] of one residual class");
  for (int64_t slot = 0; slot < program.residualClasses[slotted].slots; ++slot) {
    TITAN_ASSIGN_OR_RETURN(result.tokens.emplace_back(), executor->find(prefix + "tokens", slot));
    TITAN_ASSIGN_OR_RETURN(result.labels.emplace_back(), executor->find(prefix + "labels", slot));
  }
  const auto slots = static_cast<int64_t>(result.tokens.size());
  result.rows = slots * view.shape[0];
  result.seq = view.shape[1];
  result.tokenBatch.resize(static_cast<size_t>(slots * view.numElements()));
  result.labelBatch.resize(static_cast<size_t>(slots * view.numElements()));
  if (part.numElements() < view.numElements())
    result.part.resize(static_cast<size_t>(part.numElements()));
  return result;
}

/// Gives the program what this rank takes of a batch.
Status Trainer::writePart(Inputs &batch, const VariableRef &variable,
                          std::span<const int32_t> values) {
  if (batch.part.empty())
    return executor->write(variable, std::as_bytes(values));
  batch.layout->forEachRun([&](int64_t local, int64_t global, int64_t count) {
    std::copy_n(values.begin() + global, count, batch.part.begin() + local);
  });
  return executor->write(variable, std::as_bytes(std::span(batch.part)));
}

/// Gives the program the next rows of a source.
Status Trainer::fill(Inputs &batch, BatchSource &source) {
  TITAN_RETURN_IF_ERROR(
      source.next(batch.rows, batch.seq, batch.tokenBatch.data(), batch.labelBatch.data()));
  const size_t size = batch.tokenBatch.size() / batch.tokens.size();
  for (size_t slot = 0; slot < batch.tokens.size(); ++slot) {
    const auto of = [&](const std::vector<int32_t> &values) {
      return std::span(values).subspan(slot * size, size);
    };
    TITAN_RETURN_IF_ERROR(writePart(batch, batch.tokens[slot], of(batch.tokenBatch)));
    TITAN_RETURN_IF_ERROR(writePart(batch, batch.labels[slot], of(batch.labelBatch)));
  }
  return okStatus();
}

Status Trainer::initialize() {
  const uint64_t seed =
      job.debug.seed ? static_cast<uint64_t>(*job.debug.seed) : options.randomSeed;
  if (!job.debug.seed && !job.checkpoint.initialLoadPath)
    logger.info("seed {} (set debug.seed to repeat the run)", seed);
  auto lastReport = Clock::now();
  TITAN_RETURN_IF_ERROR(executor->initialize(seed, [&](double share) {
    if (secondsSince(lastReport) < kProgressSeconds)
      return;
    lastReport = Clock::now();
    logger.info("initializing parameters: {:.0f} %", 100 * share);
  }));
  if (job.checkpoint.initialLoadPath) {
    TITAN_RETURN_IF_ERROR(loadParameters(*executor, *job.checkpoint.initialLoadPath));
    logger.info("parameters loaded from {}", *job.checkpoint.initialLoadPath);
  }
  return writeConstants();
}

Status Trainer::checkBatches() {
  const int64_t rows = job.globalRows();
  if (rows < inputs.rows || rows % inputs.rows)
    return invalidArgument("training.global_batch_size = " + std::to_string(rows) +
                           " must be a multiple of the " + std::to_string(inputs.rows) +
                           " rows that the program's ranks take at once, such as " +
                           std::to_string(inputs.rows));
  microbatches = rows / inputs.rows;
  return okStatus();
}

/// What the run will hold in memory: the arena as it was planned, the workspace that the device's
/// kernels share, and what the host needs. Beside it there is only the code.
void Trainer::logMemory() {
  std::vector<MemoryItem> items = executor->memory();
  const auto batchBytes = [](const Inputs &batch) {
    return static_cast<int64_t>(
        (batch.tokenBatch.size() + batch.labelBatch.size() + batch.part.size()) * sizeof(int32_t));
  };
  items.push_back({"host batches", batchBytes(inputs) + batchBytes(evalInputs)});
  items.push_back({"mapped data", data.training->mappedBytes()});
  if (job.validation.datasetPath && data.validation)
    items.back().bytes += data.validation->mappedBytes();
  std::string line;
  int64_t total = 0;
  for (const MemoryItem &item : items) {
    line += item.name + " " + std::to_string(item.bytes) + ", ";
    total += item.bytes;
  }
  logger.info("memory in bytes: {}total {}", line, total);
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

Status Trainer::train() {
  const LrSchedule schedule(job.lrScheduler, job.optimizer.lr, job.training.steps);
  for (const std::string &warning : schedule.warnings())
    logger.warning("{}", warning);
  lastLog = Clock::now();
  while (step < job.training.steps && !stopped) {
    const double lr = schedule.rate(step + 1);
    TITAN_ASSIGN_OR_RETURN(bool ran, runStep(lr));
    if (!ran)
      break;
    TITAN_RETURN_IF_ERROR(finishStep(lr));
    TITAN_RETURN_IF_ERROR(agreeToStop());
  }
  return finish();
}

/// Ends training on all ranks after the same step.
Status Trainer::agreeToStop() {
  TITAN_ASSIGN_OR_RETURN(stopped,
                         ranks->any(options.stopRequested && options.stopRequested->load()));
  return okStatus();
}

/// Runs one step; false, with nothing done, if the data does not suffice for one.
StatusOr<bool> Trainer::runStep(double lr) {
  const auto left = data.training->remainingRows(inputs.seq);
  if (left && *left < microbatches * inputs.rows) {
    logger.warning("the data ended after step {}; training.steps is {}", step, job.training.steps);
    return false;
  }
  const int64_t epoch = data.training->epoch();
  ++step;
  if (options.beginStep)
    options.beginStep(step);
  executor->setTrace(profiler->beginStep(step));
  TITAN_RETURN_IF_ERROR(runTimeline(lr));
  executor->setTrace(nullptr);
  TITAN_RETURN_IF_ERROR(profiler->endStep(step, executor->program()));
  if (const int64_t now = data.training->epoch(); now != epoch)
    logger.warning("step {}: the data has been read to its end, epoch {} begins", step, now + 1);
  return true;
}

Status Trainer::runTimeline(double lr) {
  TITAN_RETURN_IF_ERROR(writeStepScalars(lr));
  TITAN_RETURN_IF_ERROR(executor->run(trainTimeline, Section::prologue));
  for (int64_t i = 0; i < microbatches; ++i) {
    const auto start = Clock::now();
    TITAN_RETURN_IF_ERROR(fill(inputs, *data.training));
    dataSeconds += secondsSince(start);
    TITAN_RETURN_IF_ERROR(executor->run(trainTimeline, Section::body));
  }
  return executor->run(trainTimeline, Section::epilogue);
}

/// How many timeline entries a step runs.
size_t Trainer::countEntries() const {
  const format::Timeline &timeline = executor->program().timelines[trainTimeline];
  return timeline.prologue.size() + static_cast<size_t>(microbatches) * timeline.body.size() +
         timeline.epilogue.size();
}

/// Runs the step that is not finite again, on the same rows, and names the first bad tensor. The
/// step changed neither parameters nor the optimizer's state, and its scalars still stand.
StatusOr<std::string> Trainer::findNonFinite() {
  data.training->goBack(microbatches * inputs.rows, inputs.seq);
  NonFiniteSearch search(*executor, "finite", /*toTheEnd=*/ranks->size() > 1);
  TITAN_ASSIGN_OR_RETURN(bool goOn, search.run(trainTimeline, Section::prologue));
  int64_t i = 0;
  for (; goOn && i < microbatches; ++i) {
    TITAN_RETURN_IF_ERROR(fill(inputs, *data.training));
    TITAN_ASSIGN_OR_RETURN(goOn, search.run(trainTimeline, Section::body));
  }
  const std::string place = goOn || i == 0 ? ""
                                           : ", in microbatch " + std::to_string(i) + " of " +
                                                 std::to_string(microbatches);
  if (goOn) {
    TITAN_ASSIGN_OR_RETURN(goOn, search.run(trainTimeline, Section::epilogue));
  }
  if (search.found().empty() && ranks->size() > 1)
    return std::string("the first bad tensor is on another rank");
  if (search.found().empty())
    return std::string("run once more, the step is finite: the fault is not in the numbers");
  return "the first bad tensor: " + search.found() + place;
}

Status Trainer::finishStep(double lr) {
  TITAN_ASSIGN_OR_RETURN(const StepResult result, readResult());
  if (!result.finite) {
    logger.warning("step {} is not finite; running it again to see where that begins", step);
    TITAN_ASSIGN_OR_RETURN(const std::string cause, findNonFinite());
    return internalError("step " + std::to_string(step) + ": loss " +
                         std::to_string(result.loss()) + ", gradient norm " +
                         std::to_string(result.gradNorm) + "; " + cause +
                         "; the parameters are those before the step");
  }
  tokensSeen += microbatches * inputs.rows * inputs.seq;
  tokens += microbatches * inputs.localTokens();
  ++steps;
  if (step == 1 || step % job.metrics.logFreq == 0 || step == job.training.steps)
    TITAN_RETURN_IF_ERROR(log(result, lr));
  return validateIfDue();
}

Status Trainer::log(const StepResult &result, double lr) {
  StepRecord record;
  record.step = step;
  record.loss = result.loss();
  record.gradNorm = result.gradNorm;
  record.lr = lr;
  record.tokensSeen = tokensSeen;
  record.tokensSinceLog = tokens;
  record.stepsSinceLog = steps;
  record.secondsSinceLog = secondsSince(lastLog);
  record.dataSecondsSinceLog = dataSeconds;
  record.memory = static_cast<uint64_t>(executor->device().memoryUsed());
  writeConsoleLine(metrics, record, line);
  logger.log(LogLevel::info, line);
  steps = tokens = 0;
  dataSeconds = 0;
  lastLog = Clock::now();
  if (!jsonl)
    return okStatus();
  writeJsonLine(metrics, record, line);
  return jsonl->write(line);
}

//===----------------------------------------------------------------------===//
// Evaluation and the end
//===----------------------------------------------------------------------===//

Status Trainer::validateIfDue() {
  if (!job.validation.enable || (step != 1 && step % job.validation.freq))
    return okStatus();
  const auto start = Clock::now();
  TITAN_ASSIGN_OR_RETURN(lastHeldOutLoss, evaluate(step));
  lastValidation = step;
  // The time of an evaluation is not the time of steps.
  lastLog += Clock::now() - start;
  return okStatus();
}

StatusOr<double> Trainer::evaluate(int64_t atStep) {
  if (!data.validation)
    return invalidArgument("an evaluation needs validation.enable = true");
  TITAN_ASSIGN_OR_RETURN(const VariableRef lossSum, executor->find("eval_loss_sum"));
  TITAN_ASSIGN_OR_RETURN(const VariableRef validTokens, executor->find("eval_valid_tokens"));
  const auto start = Clock::now();
  data.validation->rewind();
  double loss = 0, count = 0;
  int64_t batches = 0;
  for (; job.validation.steps < 0 || batches < job.validation.steps; ++batches) {
    if (auto left = data.validation->remainingRows(evalInputs.seq); left && *left <= 0)
      break;
    TITAN_RETURN_IF_ERROR(fill(evalInputs, *data.validation));
    TITAN_RETURN_IF_ERROR(executor->run(evalTimeline, Section::prologue));
    TITAN_RETURN_IF_ERROR(executor->run(evalTimeline, Section::body));
    TITAN_RETURN_IF_ERROR(executor->run(evalTimeline, Section::epilogue));
    TITAN_ASSIGN_OR_RETURN(const double batchLoss, readScalar(lossSum));
    TITAN_ASSIGN_OR_RETURN(const double batchCount, readScalar(validTokens));
    loss += batchLoss;
    count += batchCount;
  }
  if (count == 0)
    return invalidArgument("the held-out data has no window of " + std::to_string(evalInputs.seq) +
                           " tokens");
  StepRecord record;
  record.step = atStep;
  record.loss = loss / count;
  record.tokensSinceLog = batches * evalInputs.localTokens();
  record.secondsSinceLog = secondsSince(start);
  record.memory = static_cast<uint64_t>(executor->device().memoryUsed());
  logger.info("{}", validationLine(metrics, record));
  if (jsonl)
    TITAN_RETURN_IF_ERROR(jsonl->write(validationJsonLine(metrics, record)));
  return record.loss;
}

Status Trainer::finish() {
  if (stopped)
    logger.info("stopped after step {} of {}", step, job.training.steps);
  if (job.debug.dumpGradients && step > 0) {
    TITAN_ASSIGN_OR_RETURN(const StepResult result, readResult());
    TITAN_RETURN_IF_ERROR(
        dumpGradients(*executor, *ranks, result.validTokens, *job.debug.dumpGradients));
  }
  if (job.debug.dumpParameters)
    TITAN_RETURN_IF_ERROR(dumpParameters(*executor, *ranks, *job.debug.dumpParameters));
  if (!job.validation.enable || stopped)
    return okStatus();
  if (lastValidation != step) {
    TITAN_ASSIGN_OR_RETURN(lastHeldOutLoss, evaluate(step));
  }
  if (data.unigramEntropy)
    logger.info("held-out loss {:.4f}, unigram entropy {:.4f} (nats per token)", lastHeldOutLoss,
                *data.unigramEntropy);
  else
    logger.info("held-out loss {:.4f} (nats per token)", lastHeldOutLoss);
  return okStatus();
}

} // namespace titan
