// Computation in chunks of tokens: what ChunkableOpInterface answers.
#pragma once

#include "mlir/IR/Builders.h"
#include "mlir/IR/OpDefinition.h"

#include "dialects/interfaces/Chunkable.h.inc"
