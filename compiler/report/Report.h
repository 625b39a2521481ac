// titan-compile --report: what a job will need, before it gets a machine.
#pragma once

#include "compiler/report/MemoryFacts.h"
#include "compiler/report/ModelFacts.h"
#include "compiler/report/PipelineFacts.h"
#include "compiler/report/RematFacts.h"
#include "compiler/report/StepMemory.h"
#include "compiler/report/TrafficFacts.h"

#include <string>

namespace titan {

struct Report {
  ModelFacts model;
  /// sumEinsumFlops of the phase `local`: of a microbatch on one rank, what runs again included.
  std::vector<int64_t> einsumFlops;
  RematFacts remat;
  PipelineFacts pipeline;
  MemoryFacts memory;
  TrafficFacts traffic;
  int64_t localBatches = 1; ///< of a step: training.global_batch_size over the rows of one
  StepMemory step;          ///< only for the page

  /// Of a local batch.
  int64_t countMicrobatches() const {
    return pipeline.isEmpty() ? 1 : pipeline.schedule.microbatches;
  }
};

/// How bytes of collectives are counted, in a sentence.
inline constexpr llvm::StringLiteral kRingConvention =
    "bytes that each rank sends, and receives as many, over a ring of n ranks: (n-1)/n of the "
    "larger side of an all-gather or reduce-scatter, 2 (n-1)/n of an all-reduce";

/// At most `most` plans of a range, evenly by bytes, the first and the last among them.
std::vector<RematFrontier::Point> samplePlans(llvm::ArrayRef<RematFrontier::Point> range,
                                              size_t most);

/// Which ranks have the memory that the report itemizes.
std::string describeRanks(const MemoryFacts &memory);

/// Plain text: parameters, flops, the mesh and its traffic, memory by kind, largest buffers.
std::string renderReport(const Report &report);

/// "1,234,567"
std::string withSeparators(int64_t number);

/// "1.21 GiB"; below one KiB "17 B".
std::string humanBytes(int64_t bytes);

} // namespace titan
