// Where the time of a training step on a GPU goes.
//
// Instructions run one at a time, with a wait after each: a host clock measures them, less the
// time of a wait for nothing. Their sum is more than the step, whose graphs have no gaps.
//
// A floor is the larger of bytes over the measured rate of copies and flops over the measured rate
// of a large product in bfloat16. Kernels name their bytes and flops; products and attention are
// counted by their shapes.
#include "runtime/exec/Executor.h"
#include "runtime/exec/Liveness.h"
#include "test/gpu/Alone.h"
#include "test/gpu/GpuTools.h"
#include "test/gpu/RandomNumbers.h"

#include <algorithm>
#include <cstdio>

namespace titan::gpu {
namespace {

/// Bytes and flops per second.
struct Rates {
  double copy = 0, product = 0;
};

struct Work {
  double bytes = 0, flops = 0;

  double floor(const Rates &rates) const {
    return std::max(bytes / rates.copy, flops / rates.product);
  }
};

struct Row {
  int64_t count = 0;
  double seconds = 0, floor = 0;
};

StatusOr<Rates> measureRates(Device &device) {
  // A stub of a GPU has less memory than any that is measured.
  const bool isLarge = device.memoryCapacity() > (int64_t{16} << 30);
  const int64_t elements = int64_t{1} << (isLarge ? 28 : 18), side = isLarge ? 8192 : 64;
  Rates rates;
  Alone copy(device), product(device);
  format::Copy moved;
  moved.source = 0, moved.destination = 1;
  const format::View vector = format::denseView(DType::f32, {elements});
  TITAN_RETURN_IF_ERROR(copy.prepare(moved, {vector, vector}));
  TITAN_ASSIGN_OR_RETURN(const double copySeconds, copy.time(isLarge ? 10 : 1));
  rates.copy = 2.0 * 4 * static_cast<double>(elements) / copySeconds;
  format::Gemm gemm;
  gemm.a = 0, gemm.b = 1, gemm.c = 2;
  gemm.transB = true;
  gemm.m = gemm.n = gemm.k = gemm.lda = gemm.ldb = gemm.ldc = side;
  const format::View square = format::denseView(DType::bf16, {side, side});
  TITAN_RETURN_IF_ERROR(product.prepare(gemm, {square, square, square}));
  // Zeros take less power than numbers do, and so are multiplied at a higher clock.
  for (const size_t matrix : {0, 1})
    TITAN_RETURN_IF_ERROR(product.fillRandom(matrix, matrix));
  TITAN_ASSIGN_OR_RETURN(const double productSeconds, product.time(isLarge ? 10 : 1));
  rates.product = 2.0 * static_cast<double>(side * side * side) / productSeconds;
  std::printf("rates: copies %.0f GB/s, products in bfloat16 %.0f TFLOP/s\n", rates.copy * 1e-9,
              rates.product * 1e-12);
  return rates;
}

/// A matrix of which only the rows of some tokens are touched, and these tokens.
struct Lookup {
  uint32_t table = format::kNone, tokens = format::kNone;
};

Lookup lookupOf(const format::Instruction &instruction) {
  if (const auto *op = std::get_if<format::Embedding>(&instruction))
    return {op->table, op->tokens};
  if (const auto *op = std::get_if<format::EmbeddingGrad>(&instruction))
    return {op->dtable, op->tokens};
  return {};
}

Work workOf(const format::Program &program, const format::Function &function,
            const format::Instruction &instruction) {
  Work work;
  if (const auto *launch = std::get_if<format::Launch>(&instruction)) {
    if (const auto &cost = program.kernels[launch->kernel].cost)
      work.bytes = static_cast<double>(cost->bytes);
    return work;
  }
  const auto viewOf = [&](uint32_t buffer) -> const format::View & {
    return function.buffers[buffer].view;
  };
  const Lookup lookup = lookupOf(instruction);
  for (const Touch &touch : touchesOf(program, instruction)) {
    const format::View &view = viewOf(touch.buffer);
    if (touch.scratch)
      continue;
    int64_t elements = view.numElements();
    if (touch.buffer == lookup.table)
      elements = std::min(elements, viewOf(lookup.tokens).numElements() * view.shape[1]);
    work.bytes += static_cast<double>(elements * byteSize(view.type)) *
                  (touch.access == format::Access::readWrite ? 2 : 1);
  }
  if (const auto *gemm = std::get_if<format::Gemm>(&instruction))
    work.flops = 2.0 * static_cast<double>(gemm->batch) * static_cast<double>(gemm->m) *
                 static_cast<double>(gemm->n) * static_cast<double>(gemm->k);
  else if (const auto *op = std::get_if<format::Attention>(&instruction))
    work.flops = attentionFlops(*op, viewOf(op->q), viewOf(op->k), 2);
  else if (const auto *grad = std::get_if<format::AttentionGrad>(&instruction))
    work.flops = attentionFlops(*grad, viewOf(grad->q), viewOf(grad->k), 5);
  return work;
}

/// Random tokens below `limit` in all slots of the inputs.
Status writeTokens(Executor &executor, int32_t limit) {
  const format::Program &program = executor.program();
  for (const char *name : {"tokens", "labels"}) {
    TITAN_ASSIGN_OR_RETURN(const VariableRef first, executor.find(name));
    const auto &place = first.variable->place;
    const int64_t slots = place.residualClass == format::kNone
                              ? 1
                              : program.residualClasses[place.residualClass].slots;
    for (int64_t slot = 0; slot < slots; ++slot) {
      TITAN_ASSIGN_OR_RETURN(const VariableRef place, executor.find(name, slot));
      std::vector<int32_t> tokens(static_cast<size_t>(place.bytes / 4));
      for (size_t i = 0; i < tokens.size(); ++i)
        tokens[i] = static_cast<int32_t>(randomBits(static_cast<uint64_t>(slot), i) %
                                         static_cast<uint64_t>(limit));
      TITAN_RETURN_IF_ERROR(executor.write(place, std::as_bytes(std::span(tokens))));
    }
  }
  return okStatus();
}

/// What the optimizer reads of the host in the first step, by usual settings.
Status writeScalars(Executor &executor) {
  constexpr std::pair<const char *, float> kScalars[] = {{"lr", 3e-4f},
                                                         {"bias_correction1", 0.1f},
                                                         {"bias_correction2", 0.05f},
                                                         {"one_minus_beta1", 0.1f},
                                                         {"one_minus_beta2", 0.05f},
                                                         {"epsilon", 1e-8f},
                                                         {"weight_decay", 0.1f},
                                                         {"max_norm", 1}};
  for (const auto &[name, value] : kScalars) {
    TITAN_ASSIGN_OR_RETURN(const VariableRef place, executor.find(name));
    TITAN_RETURN_IF_ERROR(executor.write(place, std::as_bytes(std::span(&value, 1))));
  }
  return okStatus();
}

/// Fails where a step has met what is no number: its time then says little.
Status checkFinite(const Executor &executor) {
  float finite = 0;
  TITAN_ASSIGN_OR_RETURN(const VariableRef place, executor.find("finite"));
  TITAN_RETURN_IF_ERROR(executor.read(place, std::as_writable_bytes(std::span(&finite, 1))));
  return finite == 1 ? okStatus() : internalError("the gradients of a timed step are not finite");
}

constexpr Section kSections[] = {Section::prologue, Section::body, Section::epilogue};

/// A step by graphs, the shortest of some, of which the first captures the graphs.
StatusOr<double> timeStep(Executor &executor, uint32_t timeline, Queue &queue) {
  double least = 1e30;
  for (int round = 0; round < 5; ++round) {
    const auto begin = Clock::now();
    for (const Section section : kSections)
      TITAN_RETURN_IF_ERROR(executor.run(timeline, section));
    TITAN_RETURN_IF_ERROR(queue.synchronize());
    least = std::min(least, secondsSince(begin));
  }
  return least;
}

/// The time of a wait for nothing.
StatusOr<double> timeWait(Queue &queue) {
  const auto begin = Clock::now();
  for (int i = 0; i < 100; ++i)
    TITAN_RETURN_IF_ERROR(queue.synchronize());
  return secondsSince(begin) / 100;
}

void print(const std::string &name, const Row &row, double total) {
  std::printf("%-16s %6lld %10.3f ms %5.1f %% %10.3f ms %6.2f\n", name.c_str(),
              static_cast<long long>(row.count), 1e3 * row.seconds, 100 * row.seconds / total,
              1e3 * row.floor, row.floor / row.seconds);
}

} // namespace

Status timeClasses(const format::Program &program, Device &device) {
  TITAN_ASSIGN_OR_RETURN(const Rates rates, measureRates(device));
  TITAN_ASSIGN_OR_RETURN(const auto executor, Executor::load(program, device));
  TITAN_ASSIGN_OR_RETURN(const uint32_t timeline, executor->findTimeline("train"));
  TITAN_ASSIGN_OR_RETURN(const auto queue, device.createQueue(QueueKind::compute, 0));
  TITAN_RETURN_IF_ERROR(executor->initialize(1));
  const uint32_t table = format::findByName(program.variables, "tok_embeddings.weight");
  if (table == format::kNone)
    return notFound("the program has no variable 'tok_embeddings.weight'");
  TITAN_RETURN_IF_ERROR(
      writeTokens(*executor, static_cast<int32_t>(program.variables[table].view.shape[0])));
  TITAN_RETURN_IF_ERROR(writeScalars(*executor));
  TITAN_ASSIGN_OR_RETURN(const double step, timeStep(*executor, timeline, *queue));
  TITAN_ASSIGN_OR_RETURN(const double wait, timeWait(*queue));
  std::map<std::string, Row> classes, kernels;
  Row all;
  auto last = Clock::now();
  for (const Section section : kSections)
    TITAN_RETURN_IF_ERROR(executor->runObserved(
        timeline, section, [&](const ExecutedInstruction &done) -> StatusOr<bool> {
          const format::Instruction &instruction = done.function.instructions[done.index];
          const double seconds = std::max(1e-9, secondsSince(last) - wait);
          const double floor = workOf(program, done.function, instruction).floor(rates);
          std::vector<Row *> rows = {&all, &classes[std::string(format::mnemonic(instruction))]};
          if (const auto *launch = std::get_if<format::Launch>(&instruction))
            rows.push_back(&kernels[program.kernels[launch->kernel].name]);
          for (Row *row : rows) {
            ++row->count;
            row->seconds += seconds;
            row->floor += floor;
          }
          last = Clock::now();
          return true;
        }));
  TITAN_RETURN_IF_ERROR(checkFinite(*executor));
  std::printf(
      "step: %.3f ms by graphs, %.3f ms one instruction at a time, %.3f ms at least: %.2f\n",
      1e3 * step, 1e3 * all.seconds, 1e3 * all.floor, all.floor / step);
  std::printf("classes, floor over time (share of time):");
  for (const auto &[name, row] : classes)
    if (row.seconds > 0.01 * all.seconds)
      std::printf(" %s %.2f (%.0f %%)", name.c_str(), row.floor / row.seconds,
                  100 * row.seconds / all.seconds);
  std::printf("\n%-16s %6s %13s %7s %13s %6s\n", "class", "count", "time", "share", "floor",
              "ratio");
  for (const auto &[name, row] : classes)
    print(name, row, all.seconds);
  for (const auto &[name, row] : kernels)
    if (row.seconds > 0.01 * all.seconds)
      print("  " + name, row, all.seconds);
  return okStatus();
}

} // namespace titan::gpu
