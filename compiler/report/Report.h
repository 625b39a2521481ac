// titan-compile --report: what a job will need, before it gets a machine.
#pragma once

#include "compiler/report/MemoryFacts.h"
#include "compiler/report/ModelFacts.h"

#include <string>

namespace titan {

struct Report {
  ModelFacts model;
  int64_t einsumFlops = 0; ///< sumEinsumFlops of the phase `local`
  MemoryFacts memory;
};

/// Plain text: parameters, flops, memory by kind, largest buffers.
std::string renderReport(const Report &report);

/// "1,234,567"
std::string withSeparators(int64_t number);

/// "1.21 GiB"; below one KiB "17 B".
std::string humanBytes(int64_t bytes);

} // namespace titan
