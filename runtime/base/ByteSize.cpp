#include "runtime/base/ByteSize.h"

#include <spdlog/fmt/fmt.h>

#include <charconv>
#include <limits>
#include <unistd.h>

namespace titan {
namespace {

struct Unit {
  std::string_view name;
  double bytes;
};

constexpr Unit kUnits[] = {
    {"", 1},
    {"B", 1},
    {"KiB", 1024.},
    {"MiB", 1048576.},
    {"GiB", 1073741824.},
    {"TiB", 1099511627776.},
    {"KB", 1e3},
    {"MB", 1e6},
    {"GB", 1e9},
    {"TB", 1e12},
};

} // namespace

StatusOr<int64_t> parseByteSize(std::string_view text) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  std::string_view rest = text.substr(static_cast<size_t>(end - text.data()));
  while (rest.starts_with(' '))
    rest.remove_prefix(1);
  if (error == std::errc())
    for (const Unit &unit : kUnits)
      if (rest == unit.name) {
        const double bytes = number * unit.bytes;
        if (bytes >= 1 && bytes < static_cast<double>(std::numeric_limits<int64_t>::max()))
          return static_cast<int64_t>(bytes);
      }
  return invalidArgument(fmt::format("\"{}\" is no amount of memory: a positive number and KiB, "
                                     "MiB, GiB, TiB, KB, MB, GB or TB, such as \"40GiB\"",
                                     text));
}

int64_t physicalMemory() {
  return static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
}

} // namespace titan
