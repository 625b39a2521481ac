#include "runtime/data/Documents.h"

#include "runtime/base/File.h"
#include "runtime/base/Hash.h"

#include <nlohmann/json.hpp>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <glob.h>

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kBufferBytes = 1 << 20;

bool isCompressed(const fs::path &path) { return path.extension() == ".gz"; }

/// The extension without .gz.
std::string formatExtension(const fs::path &path) {
  return isCompressed(path) ? path.stem().extension().string() : path.extension().string();
}

bool isJsonLines(const fs::path &path) {
  const std::string extension = formatExtension(path);
  return extension == ".json" || extension == ".jsonl";
}

/// Whether a file found in a folder is data.
bool isDataName(const fs::path &path) {
  static constexpr std::array<std::string_view, 6> kExtensions = {"",    ".txt",  ".text",
                                                                  ".md", ".json", ".jsonl"};
  const std::string extension = formatExtension(path);
  return path.filename().string()[0] != '.' &&
         std::ranges::find(kExtensions, extension) != kExtensions.end();
}

Status cannotRead(const fs::path &path, const std::error_code &error) {
  std::string message = "cannot read '" + path.string() + "': " + describeErrno(error.value());
  return error == std::errc::no_such_file_or_directory ? notFound(std::move(message))
                                                       : invalidArgument(std::move(message));
}

Status listFolder(const fs::path &folder, std::vector<fs::path> &files) {
  std::error_code error;
  fs::recursive_directory_iterator entries(folder, error);
  for (; !error && entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    std::error_code ignored; // of a dangling link, which is no file
    if (entries->is_regular_file(ignored) && isDataName(entries->path()))
      files.push_back(entries->path());
  }
  return error ? cannotRead(folder, error) : okStatus();
}

/// A path that exists: a file stands for itself, a folder for its files.
Status addPath(const fs::path &path, std::vector<fs::path> &files) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_directory(status))
    return listFolder(path, files);
  if (fs::is_regular_file(status)) {
    files.push_back(path);
    return okStatus();
  }
  if (!fs::exists(status))
    return cannotRead(path, std::make_error_code(std::errc::no_such_file_or_directory));
  return invalidArgument("cannot read '" + path.string() + "': neither a file nor a folder");
}

Status addGlob(const std::string &pattern, std::vector<fs::path> &files) {
  glob_t found = {};
  const int code = ::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found);
  std::vector<std::string> paths(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  if (code != 0)
    return notFound("no file matches '" + pattern + "'");
  for (const std::string &path : paths)
    TITAN_RETURN_IF_ERROR(addPath(path, files));
  return okStatus();
}

} // namespace

StatusOr<std::vector<fs::path>> findInputs(const std::string &path) {
  std::vector<fs::path> files;
  std::error_code error;
  const bool isGlob = path.find_first_of("*?[") != std::string::npos && !fs::exists(path, error);
  TITAN_RETURN_IF_ERROR(isGlob ? addGlob(path, files) : addPath(path, files));
  if (files.empty())
    return notFound("'" + path +
                    "' has no data files; those of a folder have no extension or .txt, .text, .md, "
                    ".json, .jsonl, also with .gz");
  std::sort(files.begin(), files.end(),
            [](const fs::path &a, const fs::path &b) { return a.native() < b.native(); });
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

StatusOr<uint64_t> hashInputs(std::span<const fs::path> files,
                              const std::optional<std::string> &separator) {
  Hasher hasher;
  hasher.update(static_cast<uint64_t>(separator.has_value()));
  hasher.update(separator.value_or(""));
  for (const fs::path &file : files) {
    std::error_code error;
    const fs::path absolute = fs::weakly_canonical(file, error);
    const uint64_t size = error ? 0 : fs::file_size(file, error);
    if (error)
      return cannotRead(file, error);
    const auto time = fs::last_write_time(file, error).time_since_epoch().count();
    if (error)
      return cannotRead(file, error);
    hasher.update(static_cast<uint64_t>(absolute.native().size()));
    hasher.update(absolute.native());
    hasher.update(size);
    hasher.update(static_cast<uint64_t>(time));
  }
  return hasher.digest();
}

StatusOr<uint64_t> inputBytes(std::span<const fs::path> files) {
  uint64_t sum = 0;
  for (const fs::path &file : files) {
    std::error_code error;
    sum += fs::file_size(file, error);
    if (error)
      return cannotRead(file, error);
  }
  return sum;
}

/// One open file, compressed or not, read by lines or whole.
class DocumentReader::File {
public:
  static StatusOr<std::unique_ptr<File>> open(const fs::path &path) {
    errno = 0;
    gzFile handle = ::gzopen(path.c_str(), "rb"); // reads plain files too
    if (!handle)
      return cannotRead(path, std::error_code(errno ? errno : ENOMEM, std::generic_category()));
    auto file = std::unique_ptr<File>(new File(path, handle));
    ::gzbuffer(handle, kBufferBytes);
    TITAN_RETURN_IF_ERROR(file->fill());
    if (isCompressed(path) && file->filled > 0 && ::gzdirect(handle))
      return dataLoss("'" + path.string() + "' is not a gzip file, though its name ends with .gz");
    return file;
  }
  ~File() { ::gzclose(handle); }

  /// The next line without its line break; false at the end.
  StatusOr<bool> line(std::string &text) {
    text.clear();
    if (atEnd())
      return false;
    ++lineNumber;
    while (!atEnd()) {
      const char *begin = buffer.data() + position;
      const size_t available = filled - position;
      const void *found = std::memchr(begin, '\n', available);
      const size_t length =
          found ? static_cast<size_t>(static_cast<const char *>(found) - begin) : available;
      text.append(begin, length);
      position += length + (found ? 1 : 0);
      if (position == filled)
        TITAN_RETURN_IF_ERROR(fill());
      if (found)
        break;
    }
    return true;
  }

  Status rest(std::string &text) {
    text.clear();
    while (!atEnd()) {
      text.append(buffer.data() + position, filled - position);
      TITAN_RETURN_IF_ERROR(fill());
    }
    return okStatus();
  }

  bool atEnd() const { return position == filled; }
  uint64_t bytesRead() const {
    const auto offset = ::gzoffset(handle);
    return offset > 0 ? static_cast<uint64_t>(offset) : 0;
  }
  std::string place() const { return path.string() + ":" + std::to_string(lineNumber); }
  const fs::path path;
  bool readOnce = false; ///< a whole-file document has been read

private:
  File(const fs::path &path, gzFile handle)
      : path(path), handle(handle), buffer(kBufferBytes, '\0') {}

  /// Reads the next buffer; empty at the end of the file.
  Status fill() {
    const int count = ::gzread(handle, buffer.data(), kBufferBytes);
    int code = Z_OK;
    const char *reason = ::gzerror(handle, &code);
    if (count < 0 || (code != Z_OK && code != Z_STREAM_END)) {
      const std::string text = code == Z_ERRNO       ? describeErrno(errno)
                               : code == Z_BUF_ERROR ? "the compressed data ends too early"
                                                     : std::string(reason);
      return dataLoss("cannot read '" + path.string() + "': " + text);
    }
    filled = static_cast<size_t>(count);
    position = 0;
    return okStatus();
  }

  gzFile handle;
  std::string buffer;
  size_t position = 0;
  size_t filled = 0;
  int64_t lineNumber = 0;
};

namespace {

/// Takes the document out of a line of JSON.
Status readJsonLine(const std::string &line, std::string &document) {
  nlohmann::json object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object())
    return dataLoss("the line is not a JSON object");
  const auto text = object.find("text");
  if (text == object.end() || !text->is_string())
    return dataLoss("the object has no string under the key \"text\"");
  document = std::move(text->get_ref<std::string &>());
  return okStatus();
}

bool isBlank(const std::string &text) {
  return text.find_first_not_of(" \t\r\n\f\v") == std::string::npos;
}

} // namespace

DocumentReader::DocumentReader(std::vector<fs::path> files, std::optional<std::string> separator)
    : files(std::move(files)), separator(std::move(separator)) {}
DocumentReader::DocumentReader(DocumentReader &&) noexcept = default;
DocumentReader::~DocumentReader() = default;

StatusOr<bool> DocumentReader::next(std::string &document) {
  for (; index < files.size(); ++index, documents = 0, current.reset()) {
    if (!current) {
      TITAN_ASSIGN_OR_RETURN(current, File::open(files[index]));
    }
    TITAN_ASSIGN_OR_RETURN(const bool found, nextOfFile(document));
    documents += found;
    if (found)
      return true;
  }
  return false;
}

Status DocumentReader::skipTo(const ReadPosition &position) {
  index = static_cast<size_t>(position.file);
  std::string document;
  while (documents < position.documents) {
    TITAN_ASSIGN_OR_RETURN(const bool found, next(document));
    if (!found || index != position.file)
      return dataLoss("the files have fewer documents than when they were read before");
  }
  return okStatus();
}

uint64_t DocumentReader::bytesOfFile() const { return current ? current->bytesRead() : 0; }

/// False when the current file has no further document.
StatusOr<bool> DocumentReader::nextOfFile(std::string &document) {
  std::string line;
  if (isJsonLines(current->path)) {
    do {
      TITAN_ASSIGN_OR_RETURN(const bool found, current->line(line));
      if (!found)
        return false;
    } while (isBlank(line));
    TITAN_RETURN_IF_ERROR(readJsonLine(line, document).withContext(current->place()));
    return true;
  }
  if (!separator) {
    if (current->readOnce)
      return false;
    current->readOnce = true;
    TITAN_RETURN_IF_ERROR(current->rest(document));
    return !isBlank(document);
  }
  do {
    document.clear();
    if (current->atEnd())
      return false;
    for (;;) {
      TITAN_ASSIGN_OR_RETURN(const bool found, current->line(line));
      if (!found || line == *separator)
        break;
      document += line;
      document += '\n';
    }
  } while (isBlank(document));
  return true;
}

} // namespace titan
