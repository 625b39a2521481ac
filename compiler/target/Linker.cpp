#include "compiler/target/Linker.h"

#include "llvm/Support/Program.h"

#include <sys/mman.h>
#include <unistd.h>

namespace titan {

namespace {

/// A file in memory that a child process opens by the path of its parent's descriptor.
class MemoryFile {
public:
  MemoryFile() : descriptor(memfd_create("titan", MFD_CLOEXEC)) {}
  ~MemoryFile() {
    if (descriptor >= 0)
      ::close(descriptor);
  }
  MemoryFile(const MemoryFile &) = delete;
  MemoryFile &operator=(const MemoryFile &) = delete;

  bool isOpen() const { return descriptor >= 0; }
  std::string path() const {
    return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(descriptor);
  }

  bool write(llvm::ArrayRef<char> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
      if (written <= 0)
        return false;
      bytes = bytes.drop_front(written);
    }
    return true;
  }

  std::vector<char> read() const {
    std::vector<char> bytes;
    const off_t size = ::lseek(descriptor, 0, SEEK_END);
    bytes.resize(size > 0 ? size : 0);
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t count = ::pread(descriptor, bytes.data() + done, bytes.size() - done, done);
      if (count <= 0)
        return {};
      done += count;
    }
    return bytes;
  }

private:
  int descriptor;
};

} // namespace

static llvm::Error failure(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

static llvm::Expected<std::string> findLinker(llvm::StringRef linker) {
  if (!linker.empty())
    return linker.str();
  for (const char *name : {"ld.lld-22", "ld.lld"})
    if (auto found = llvm::sys::findProgramByName(name))
      return *found;
  if (auto found = llvm::sys::findProgramByName("ld.lld", {"/usr/lib/llvm-22/bin"}))
    return *found;
  return failure("no linker: ld.lld-22 and ld.lld are not in PATH (Debian package lld-22)");
}

llvm::Expected<std::vector<char>>
linkSharedObject(llvm::ArrayRef<llvm::SmallVector<char, 0>> objects, llvm::StringRef linker) {
  auto program = findLinker(linker);
  if (!program)
    return program.takeError();
  llvm::SmallVector<std::string> arguments = {*program,      "-shared", "-o",   "-",
                                              "--strip-all", "-z",      "defs", "--build-id=none"};
  std::vector<std::unique_ptr<MemoryFile>> inputs;
  for (llvm::ArrayRef<char> object : objects) {
    inputs.push_back(std::make_unique<MemoryFile>());
    if (!inputs.back()->isOpen() || !inputs.back()->write(object))
      return failure("could not hold an object in memory");
    arguments.push_back(inputs.back()->path());
  }
  MemoryFile output, errors;
  if (!output.isOpen() || !errors.isOpen())
    return failure("could not create a file in memory");
  const std::string outputPath = output.path(), errorPath = errors.path();
  llvm::SmallVector<llvm::StringRef> views(arguments.begin(), arguments.end());
  std::string message;
  const int code = llvm::sys::ExecuteAndWait(
      *program, views, std::nullopt,
      {llvm::StringRef(""), llvm::StringRef(outputPath), llvm::StringRef(errorPath)}, 0, 0,
      &message);
  if (code != 0) {
    std::vector<char> text = errors.read();
    return failure("'" + *program + "' failed with code " + llvm::Twine(code) + ": " + message +
                   llvm::StringRef(text.data(), text.size()));
  }
  std::vector<char> image = output.read();
  if (image.empty())
    return failure("'" + *program + "' wrote nothing");
  return image;
}

} // namespace titan
