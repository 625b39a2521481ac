// Names and sizes that the parts of the report share.
#pragma once

#include "dialects/exec/Exec.h"

#include <cstdint>
#include <string>

namespace titan {

/// "layers.12.feed_forward.w1" -> "layers.N.feed_forward.w1"
std::string withoutNumbers(llvm::StringRef name);

/// Bytes of a variable on one rank.
int64_t getStoredBytes(exec::VariableOp variable);

/// Bytes of what the axes of a variable's dimensions leave to a rank, before flat axes slice it.
int64_t getWholeBytes(exec::VariableOp variable);

/// Bytes of the tensor that ranks share, without rows of padding.
int64_t getGlobalBytes(exec::VariableOp variable);

/// Into how many parts axes of dimensions and flat axes cut it.
int64_t getNumParts(exec::VariableOp variable);

} // namespace titan
