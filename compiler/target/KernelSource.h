// What a target compiles.
#pragma once

#include "compiler/lowering/KernelEmitter.h"

#include <string>

namespace titan {

/// One kernel to compile. Its stages become functions named after the symbol, so that symbols must
/// differ.
struct KernelSource {
  KernelOp op;
  KernelTies ties;
  std::string symbol;
};

} // namespace titan
