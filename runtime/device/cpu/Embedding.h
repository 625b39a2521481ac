// The embedding table's gather, and the scatter-add of its gradient.
#pragma once

#include "runtime/base/Status.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace titan::cpu {

class ThreadPool;

struct EmbeddingShape {
  int64_t tokens = 0;     ///< positions, all rows of a batch together
  int64_t vocabulary = 0; ///< rows of the table
  int64_t dim = 0;
  int64_t tableStride = 0;  ///< elements from one row of the table (or its gradient) to the next
  int64_t outputStride = 0; ///< elements from one position's output (or gradient) to the next
};

/// output[i] = table[tokens[i]]. A token outside [0, vocabulary) is an error (invalid argument)
/// that names its position and value; nothing is written then. With `firstRow` the table is a part
/// of a longer one that begins at row *firstRow: output[i] = table[tokens[i] - *firstRow], and
/// zeros for tokens of other parts.
Status embedding(ThreadPool &pool, const EmbeddingShape &shape, const int32_t *tokens,
                 const float *table, float *output, const int32_t *firstRow = nullptr);
/// The same on bfloat16.
Status embedding(ThreadPool &pool, const EmbeddingShape &shape, const int32_t *tokens,
                 const uint16_t *table, uint16_t *output, const int32_t *firstRow = nullptr);

/// Bytes of workspace, aligned to 64, that embeddingGrad() needs.
int64_t embeddingGradWorkspaceBytes(const EmbeddingShape &shape);

/// tableGrad[tokens[i]] += outputGrad[i], each row of the table in the order of the positions, so
/// the bits are those of the plain serial loop for any number of threads. Allocates nothing. With
/// `firstRow` tokens of other parts of the table are skipped.
/// Errors: as embedding(), and a workspace below embeddingGradWorkspaceBytes.
Status embeddingGrad(ThreadPool &pool, const EmbeddingShape &shape, const int32_t *tokens,
                     const float *outputGrad, float *tableGrad, std::span<std::byte> workspace,
                     const int32_t *firstRow = nullptr);
/// The same with a bfloat16 outputGrad.
Status embeddingGrad(ThreadPool &pool, const EmbeddingShape &shape, const int32_t *tokens,
                     const uint16_t *outputGrad, float *tableGrad, std::span<std::byte> workspace,
                     const int32_t *firstRow = nullptr);

} // namespace titan::cpu
