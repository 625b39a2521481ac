// Program to FlatBuffer and back. Values are carried, not judged: see Verify.h.
#pragma once

#include "runtime/base/Status.h"
#include "runtime/format/Program.h"

#include <cstdint>
#include <span>
#include <string_view>

namespace titan::format {

/// Where an image's bytes stand in the file.
struct ImageRange {
  uint64_t offset;
  uint64_t size;
};

/// The FlatBuffer of `program`, the same bytes for the same program. `images[i]` is where the
/// bytes of program.images[i] will stand.
std::string serialize(const Program &program, std::span<const ImageRange> images);

/// Verifies the structure of a FlatBuffer and decodes it. `file` is the whole file, which images
/// point into. Errors name the table and the rule; enumerations, ranks and image ranges are checked
/// here, the rest by verifyProgram.
StatusOr<Program> deserialize(std::string_view buffer, std::string_view file);

} // namespace titan::format
