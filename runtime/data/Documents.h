// Where training text comes from: files, folders and globs, read document by document.
#pragma once

#include "runtime/base/Status.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace titan {

/// What a user names as data. A file is JSON lines when its name ends with .json or .jsonl, else
/// text; each may be compressed (.gz after that).
///   JSON lines: one object per line, the document is the value of its key "text" (C4's layout).
///   Text:       the file is one document, or, with a separator, the lines up to the next line that
///               consists of exactly the separator are one (as in fortune files, with "%"). A
///               document without any character but white space is skipped.
struct InputOptions {
  std::string path; ///< a file, a folder, or a glob of them
  std::optional<std::string> separator;
};

/// The files of `path`, sorted by name. A folder stands for the files in it and in its folders
/// whose name has no extension or one of .txt .text .md .json .jsonl, plain or with .gz, and does
/// not begin with a dot.
StatusOr<std::vector<std::filesystem::path>> findInputs(const std::string &path);

/// Changes when a file of the list is replaced, or its size or time changes, or the separator does.
StatusOr<uint64_t> hashInputs(std::span<const std::filesystem::path> files,
                              const std::optional<std::string> &separator);
/// Sum of the files' sizes on disk.
StatusOr<uint64_t> inputBytes(std::span<const std::filesystem::path> files);

/// How far files have been read: all documents of the first `file` files, and of the next one the
/// first `documents`.
struct ReadPosition {
  uint64_t file = 0;
  uint64_t documents = 0;
};

/// Reads the documents of files in order, one at a time in memory.
class DocumentReader {
public:
  DocumentReader(std::vector<std::filesystem::path> files, std::optional<std::string> separator);
  DocumentReader(DocumentReader &&) noexcept;
  ~DocumentReader();

  /// Replaces `document` by the next one; false at the end. Errors name file and line.
  StatusOr<bool> next(std::string &document);
  ReadPosition position() const { return {index, documents}; }
  /// Goes on at a position that the same files gave; only before the first next().
  Status skipTo(const ReadPosition &position);
  /// Bytes on disk that have been read of the current file.
  uint64_t bytesOfFile() const;

private:
  class File;

  StatusOr<bool> nextOfFile(std::string &document);

  std::vector<std::filesystem::path> files;
  std::optional<std::string> separator;
  size_t index = 0;       ///< of the current file
  uint64_t documents = 0; ///< read of it
  std::unique_ptr<File> current;
};

} // namespace titan
