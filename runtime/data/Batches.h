// Batches of training and validation: rows of tokens with the labels that they should predict.
#pragma once

#include "runtime/base/Safetensors.h"
#include "runtime/base/Status.h"
#include "runtime/data/TokenIndex.h"

#include <cstdint>
#include <memory>
#include <optional>

namespace titan {

/// Labels with this value do not count.
inline constexpr int32_t kIgnoredLabel = -100;

class BatchSource {
public:
  virtual ~BatchSource() = default;

  /// Fills `tokens` and `labels`, both [rows, seq] row-major, with the next rows.
  virtual Status next(int64_t rows, int64_t seq, int32_t *tokens, int32_t *labels) = 0;
  /// Rows of `seq` tokens that are left; nothing when the source never ends.
  virtual std::optional<int64_t> remainingRows(int64_t seq) const = 0;
  /// Goes back to the first row.
  virtual void rewind() = 0;
  /// Goes back by `rows` rows of `seq` tokens, which were read in a row before.
  virtual void goBack(int64_t rows, int64_t seq) = 0;
  /// How often the source has been read completely.
  virtual int64_t epoch() const = 0;
  /// Of the files that are mapped into memory for it.
  virtual int64_t mappedBytes() const = 0;
};

/// Tokens from `begin` up to `end` of an index.
struct TokenRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

/// The endless stream of a range: epoch after epoch, without a break between them. A row takes the
/// next seq + 1 tokens as a window w: its tokens are w[0..seq), its labels w[1..seq]. Windows do
/// not overlap, so that row r of the step that follows n consumed windows is window n + r, however
/// rows are grouped into batches.
class TokenStream final : public BatchSource {
public:
  /// `consumed` tokens have been read before.
  static StatusOr<std::unique_ptr<TokenStream>> create(std::shared_ptr<const TokenIndex> index,
                                                       TokenRange range, int64_t consumed = 0);

  Status next(int64_t rows, int64_t seq, int32_t *tokens, int32_t *labels) override;
  std::optional<int64_t> remainingRows(int64_t seq) const override { return std::nullopt; }
  void rewind() override { position = 0; }
  void goBack(int64_t rows, int64_t seq) override { position -= rows * (seq + 1); }
  int64_t epoch() const override { return position / range.size(); }
  int64_t mappedBytes() const override { return index->bytes(); }
  int64_t tokensConsumed() const { return position; }

private:
  TokenStream(std::shared_ptr<const TokenIndex> index, TokenRange range, int64_t consumed)
      : index(std::move(index)), range(range), position(consumed) {}

  std::shared_ptr<const TokenIndex> index;
  TokenRange range;
  int64_t position;
  std::vector<int32_t> window;
};

/// The windows of a range, once. Rows after the last whole window are filled with token 0 and
/// ignored labels, so that the last batch may be read like the others.
class HeldOutWindows final : public BatchSource {
public:
  HeldOutWindows(std::shared_ptr<const TokenIndex> index, TokenRange range)
      : index(std::move(index)), range(range) {}

  Status next(int64_t rows, int64_t seq, int32_t *tokens, int32_t *labels) override;
  std::optional<int64_t> remainingRows(int64_t seq) const override;
  void rewind() override { position = 0; }
  void goBack(int64_t rows, int64_t seq) override { position -= rows * (seq + 1); }
  int64_t epoch() const override { return 0; }
  int64_t mappedBytes() const override { return index->bytes(); }

private:
  std::shared_ptr<const TokenIndex> index;
  TokenRange range;
  int64_t position = 0; ///< counts windows of padding as if they had tokens
  std::vector<int32_t> window;
};

/// Batches made elsewhere: `tokens` and `labels`, int32 [steps, rows, seq] in a safetensors file.
/// The labels are used as they are; ignored ones are -100.
class PretokenizedBatches final : public BatchSource {
public:
  /// Fails unless the file's rows and seq are those given and every token, and every label that is
  /// not ignored, is less than `vocabSize`.
  static StatusOr<std::unique_ptr<PretokenizedBatches>>
  open(const std::filesystem::path &path, int64_t rows, int64_t seq, int64_t vocabSize);

  /// Rows are read one after another across steps: accumulation reads a step in parts. Fails after
  /// the last row.
  Status next(int64_t rows, int64_t seq, int32_t *tokens, int32_t *labels) override;
  std::optional<int64_t> remainingRows(int64_t seq) const override { return totalRows - position; }
  void rewind() override { position = 0; }
  void goBack(int64_t rows, int64_t seq) override { position -= rows; }
  int64_t epoch() const override { return 0; }
  int64_t mappedBytes() const override { return totalRows * seqLen * 2 * 4; }
  int64_t steps() const { return totalRows / rowsPerStep; }

private:
  explicit PretokenizedBatches(Safetensors file) : file(std::move(file)) {}

  Safetensors file;
  const std::byte *tokenBytes = nullptr;
  const std::byte *labelBytes = nullptr;
  int64_t rowsPerStep = 0;
  int64_t totalRows = 0;
  int64_t seqLen = 0;
  int64_t position = 0;
};

} // namespace titan
