#include "runtime/world/HashExchange.h"

#include "runtime/world/Coordinator.h"

#include <spdlog/fmt/fmt.h>

#include <map>

namespace titan {

namespace {

constexpr std::string_view kAgreed = "agreed";

/// One line per hash: its name, a space, 16 hexadecimal digits.
std::string describe(std::span<const NamedHash> hashes) {
  std::string text;
  for (const NamedHash &hash : hashes)
    text += fmt::format("{} {:016x}\n", hash.name, hash.value);
  return text;
}

std::string_view takeLine(std::string_view &text) {
  const size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

/// kAgreed, or what differs. Values come with the ranks that have them, rank 0's first.
std::string compare(const std::vector<std::string> &byRank) {
  std::vector<std::string_view> rests(byRank.begin(), byRank.end());
  while (!rests[0].empty()) {
    const std::string_view expected = takeLine(rests[0]);
    std::vector<int> same{0};
    std::map<std::string_view, std::vector<int>> others;
    for (size_t rank = 1; rank < rests.size(); ++rank) {
      const std::string_view found = takeLine(rests[rank]);
      (found == expected ? same : others[found]).push_back(static_cast<int>(rank));
    }
    if (others.empty())
      continue;
    auto holder = [](const std::vector<int> &ranks, std::string_view hash) {
      return fmt::format("{} {} {}", control::describeRanks(ranks),
                         ranks.size() == 1 ? "has" : "have", hash.empty() ? "none" : hash);
    };
    std::string text = "the ranks do not run the same program: " + holder(same, expected);
    constexpr size_t kShown = 4;
    size_t shown = 0;
    for (const auto &[hash, ranks] : others)
      if (++shown <= kShown)
        text += ", " + holder(ranks, hash);
    if (shown > kShown)
      text += fmt::format(" and {} more values", shown - kShown);
    return text + "; start all ranks with one program file";
  }
  return std::string(kAgreed);
}

} // namespace

Status exchangeHashes(World &world, std::span<const NamedHash> hashes, Duration timeout) {
  // The round keeps a later exchange from reading an earlier one's verdict.
  TITAN_ASSIGN_OR_RETURN(const int64_t round,
                         world.add(fmt::format("titan/hashes/rounds/{}", world.rank()), 1));
  auto key = [&](int rank) { return fmt::format("titan/hashes/{}/{}", round, rank); };
  const std::string verdictKey = fmt::format("titan/hashes/{}/verdict", round);
  TITAN_RETURN_IF_ERROR(world.set(key(world.rank()), describe(hashes)));
  TITAN_RETURN_IF_ERROR(world.barrier(fmt::format("exchange of hashes {}", round), timeout));
  if (world.rank() == 0) {
    std::vector<std::string> byRank(world.size());
    for (int rank = 0; rank < world.size(); ++rank) {
      TITAN_ASSIGN_OR_RETURN(byRank[rank], world.get(key(rank), timeout));
    }
    TITAN_RETURN_IF_ERROR(world.set(verdictKey, compare(byRank)));
  }
  TITAN_ASSIGN_OR_RETURN(std::string verdict, world.get(verdictKey, timeout));
  return verdict == kAgreed ? okStatus() : invalidArgument(std::move(verdict));
}

} // namespace titan
