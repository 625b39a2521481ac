// The file through which ranks of one host meet (Rendezvous::file).
//
// It lies in a folder of the user's own (mode 0700), since its name can be guessed. It holds one
// line: the port that rank 0 listens at on the loopback interface.
#pragma once

#include "runtime/base/Status.h"

#include <cstdint>
#include <filesystem>

namespace titan::control {

/// Writes the file, replacing one that an earlier job left. Fails if the folder is not the user's
/// alone.
Status publishPort(const std::filesystem::path &file, uint16_t port);
/// Fails, with code notFound, while there is no file.
StatusOr<uint16_t> readPublishedPort(const std::filesystem::path &file);

} // namespace titan::control
