// model.tbin: a fixed prefix, the FlatBuffer, and 64-byte aligned data sections.
//
//     offset  bytes  prefix, little endian
//          0      8  magic: 89 'T' 'B' 'I' 'N' 0d 0a 1a
//          8      4  format version
//         12      4  size of the prefix, 64
//         16      8  size of the file
//         24      8  size of the FlatBuffer, which follows the prefix
//         32      8  checksum: hash64 of the whole file with these 8 bytes as zeros
//         40     24  zeros
//
// After the FlatBuffer come the images in the order of its list, each at the next multiple of 64,
// with zeros between. A program file holds machine code: run only programs you trust.
#pragma once

#include "runtime/base/File.h"
#include "runtime/base/Status.h"
#include "runtime/format/Program.h"

#include <filesystem>
#include <string>
#include <string_view>

namespace titan::format {

/// The one version constant: raised by every change of the format.
inline constexpr uint32_t kFormatVersion = 7;
inline constexpr size_t kPrefixSize = 64;

/// The file's bytes. The same program always gives the same bytes. Does not verify it.
std::string writeProgram(const Program &program);

/// Writes the file so that a reader sees the old one or the whole new one.
Status saveProgram(const Program &program, const std::filesystem::path &path);

/// Checks prefix, checksum, FlatBuffer and then the program itself (verifyProgram). The program's
/// images point into `bytes`. A damaged file is an error that names the place.
StatusOr<Program> readProgram(std::string_view bytes);

/// Writes the checksum of `bytes` into their prefix: for tools and tests that edit a file.
void updateChecksum(std::string &bytes);

/// A verified program and the mapped file that its images point into.
class ProgramFile {
public:
  static StatusOr<ProgramFile> open(const std::filesystem::path &path);

  const Program &program() const { return contents; }

private:
  ProgramFile(MappedFile file, Program program)
      : file(std::move(file)), contents(std::move(program)) {}

  MappedFile file;
  Program contents;
};

} // namespace titan::format
