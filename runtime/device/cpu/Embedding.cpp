#include "runtime/device/cpu/Embedding.h"
#include "runtime/device/cpu/ThreadPool.h"
#include "runtime/device/cpu/Workspace.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

namespace titan::cpu {

namespace {

/// A position with its token's row, as the radix sort moves them.
struct Entry {
  uint32_t row;
  uint32_t position;
};

constexpr int kDigitBits = 11;
constexpr int64_t kColumnsPerBlock = 256;
constexpr int64_t kEntriesPerBlock = 64;

Status checkShape(const EmbeddingShape &shape) {
  if (shape.tokens < 0 || shape.vocabulary < 0 || shape.dim < 0)
    return invalidArgument("embedding: tokens, vocabulary and dim are " +
                           std::to_string(shape.tokens) + ", " + std::to_string(shape.vocabulary) +
                           " and " + std::to_string(shape.dim) + ", which must not be negative");
  if (std::max(shape.tokens, shape.vocabulary) > INT32_MAX)
    return invalidArgument("embedding: " + std::to_string(shape.tokens) +
                           " tokens of a vocabulary of " + std::to_string(shape.vocabulary) +
                           " do not fit int32");
  if (shape.tableStride < shape.dim || shape.outputStride < shape.dim)
    return invalidArgument("embedding: the strides " + std::to_string(shape.tableStride) +
                           " of the table and " + std::to_string(shape.outputStride) +
                           " of the output must be at least dim, " + std::to_string(shape.dim));
  return okStatus();
}

Status checkTokens(const EmbeddingShape &shape, const int32_t *tokens) {
  // One unsigned maximum finds both kinds of bad token, and the loop vectorizes.
  uint32_t largest = 0;
  for (int64_t i = 0; i < shape.tokens; ++i)
    largest = std::max(largest, static_cast<uint32_t>(tokens[i]));
  if (shape.tokens == 0 || largest < shape.vocabulary)
    return okStatus();
  int64_t position = 0;
  while (static_cast<uint32_t>(tokens[position]) < shape.vocabulary)
    ++position;
  return invalidArgument("embedding: token " + std::to_string(tokens[position]) + " at position " +
                         std::to_string(position) + " is outside the vocabulary [0, " +
                         std::to_string(shape.vocabulary) + ")");
}

/// The row of a token in the part of the table that begins at `first`; at least the vocabulary if
/// the row is in another part.
uint32_t rowOf(int32_t token, uint32_t first) { return static_cast<uint32_t>(token) - first; }

/// Room for the entries twice: the sort moves them back and forth.
std::pair<Entry *, Entry *> takeEntries(Workspace &space, const EmbeddingShape &shape) {
  Entry *first = space.take<Entry>(shape.tokens);
  return {first, space.take<Entry>(shape.tokens)};
}

/// Sorts the positions of tokens that have a row by that row, equal ones by position (least
/// significant digit first); returns the sorted entries: in `entries` or `other`.
std::span<const Entry> sortByRow(const EmbeddingShape &shape, const int32_t *tokens, uint32_t first,
                                 Entry *entries, Entry *other) {
  int64_t count = 0;
  for (int64_t i = 0; i < shape.tokens; ++i) {
    entries[count] = {rowOf(tokens[i], first), static_cast<uint32_t>(i)};
    count += entries[count].row < shape.vocabulary;
  }
  int tokenBits = std::bit_width(static_cast<uint64_t>(shape.vocabulary));
  for (int shift = 0; shift < tokenBits; shift += kDigitBits) {
    std::array<uint32_t, 1 << kDigitBits> offsets{};
    auto digit = [&](const Entry &entry) { return entry.row >> shift & (offsets.size() - 1); };
    for (int64_t i = 0; i < count; ++i)
      ++offsets[digit(entries[i])];
    uint32_t sum = 0;
    for (uint32_t &offset : offsets)
      sum += std::exchange(offset, sum);
    for (int64_t i = 0; i < count; ++i)
      other[offsets[digit(entries[i])]++] = entries[i];
    std::swap(entries, other);
  }
  return {entries, static_cast<size_t>(count)};
}

template <typename T>
Status gatherRows(ThreadPool &pool, const EmbeddingShape &shape, const int32_t *tokens,
                  const T *table, T *output, const int32_t *firstRow) {
  TITAN_RETURN_IF_ERROR(checkShape(shape));
  if (!firstRow)
    TITAN_RETURN_IF_ERROR(checkTokens(shape, tokens));
  const auto first = static_cast<uint32_t>(firstRow ? *firstRow : 0);
  if (shape.dim == 0)
    return okStatus();
  constexpr int64_t positionsPerBlock = 16;
  int64_t blocks = (shape.tokens + positionsPerBlock - 1) / positionsPerBlock;
  pool.parallelFor(blocks, [&](int64_t begin, int64_t end, int) {
    int64_t last = std::min(end * positionsPerBlock, shape.tokens);
    for (int64_t i = begin * positionsPerBlock; i < last; ++i) {
      const uint32_t row = rowOf(tokens[i], first);
      T *target = output + i * shape.outputStride;
      if (row < shape.vocabulary)
        std::memcpy(target, table + row * shape.tableStride, shape.dim * sizeof(T));
      else
        std::memset(target, 0, shape.dim * sizeof(T));
    }
  });
  return okStatus();
}

float toFloat(float value) { return value; }
float toFloat(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

template <typename T>
Status addRows(ThreadPool &pool, const EmbeddingShape &shape, const int32_t *tokens,
               const T *outputGrad, float *tableGrad, std::span<std::byte> workspace,
               const int32_t *firstRow) {
  TITAN_RETURN_IF_ERROR(checkShape(shape));
  if (!firstRow)
    TITAN_RETURN_IF_ERROR(checkTokens(shape, tokens));
  Workspace space(workspace);
  TITAN_RETURN_IF_ERROR(space.check("embedding gradient", embeddingGradWorkspaceBytes(shape)));
  if (shape.tokens == 0)
    return okStatus();
  auto [entries, other] = takeEntries(space, shape);
  const std::span<const Entry> sorted =
      sortByRow(shape, tokens, static_cast<uint32_t>(firstRow ? *firstRow : 0), entries, other);
  const auto count = static_cast<int64_t>(sorted.size());

  // A task adds the runs of equal rows that begin among its entries, within its columns; a run
  // is never shared, so every element of the table is summed by one task in the positions' order.
  int64_t columnBlocks = (shape.dim + kColumnsPerBlock - 1) / kColumnsPerBlock;
  int64_t entryBlocks = (count + kEntriesPerBlock - 1) / kEntriesPerBlock;
  pool.parallelFor(columnBlocks * entryBlocks, [&](int64_t begin, int64_t end, int) {
    for (int64_t block = begin; block < end; ++block) {
      int64_t column = block / entryBlocks * kColumnsPerBlock;
      int64_t columns = std::min(kColumnsPerBlock, shape.dim - column);
      int64_t i = block % entryBlocks * kEntriesPerBlock;
      int64_t last = std::min(i + kEntriesPerBlock, count);
      while (i > 0 && i < last && sorted[i].row == sorted[i - 1].row)
        ++i;
      if (i == last)
        continue; // all of a run that began earlier
      for (; i < count; ++i) {
        if (i >= last && sorted[i].row != sorted[i - 1].row)
          break;
        float *__restrict target = tableGrad + sorted[i].row * shape.tableStride + column;
        const T *source = outputGrad + sorted[i].position * shape.outputStride + column;
        for (int64_t j = 0; j < columns; ++j)
          target[j] += toFloat(source[j]);
      }
    }
  });
  return okStatus();
}

} // namespace

Status embedding(ThreadPool &pool, const EmbeddingShape &shape, const int32_t *tokens,
                 const float *table, float *output, const int32_t *firstRow) {
  return gatherRows(pool, shape, tokens, table, output, firstRow);
}

Status embedding(ThreadPool &pool, const EmbeddingShape &shape, const int32_t *tokens,
                 const uint16_t *table, uint16_t *output, const int32_t *firstRow) {
  return gatherRows(pool, shape, tokens, table, output, firstRow);
}

int64_t embeddingGradWorkspaceBytes(const EmbeddingShape &shape) {
  Workspace measured;
  takeEntries(measured, shape);
  return measured.usedBytes();
}

Status embeddingGrad(ThreadPool &pool, const EmbeddingShape &shape, const int32_t *tokens,
                     const float *outputGrad, float *tableGrad, std::span<std::byte> workspace,
                     const int32_t *firstRow) {
  return addRows(pool, shape, tokens, outputGrad, tableGrad, workspace, firstRow);
}

Status embeddingGrad(ThreadPool &pool, const EmbeddingShape &shape, const int32_t *tokens,
                     const uint16_t *outputGrad, float *tableGrad, std::span<std::byte> workspace,
                     const int32_t *firstRow) {
  return addRows(pool, shape, tokens, outputGrad, tableGrad, workspace, firstRow);
}

} // namespace titan::cpu
