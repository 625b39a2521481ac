#include "passes/sharding/CollectiveOrder.h"

#include <algorithm>

namespace titan {
namespace {

class OrderSimulator {
public:
  explicit OrderSimulator(const std::vector<std::vector<IssuedCollective>> &sequences)
      : sequences(sequences), next(sequences.size(), 0) {}

  std::optional<OrderConflict> run() {
    // Parties that may be able to go on.
    std::vector<int64_t> active(sequences.size());
    for (size_t i = 0; i < active.size(); ++i)
      active[i] = static_cast<int64_t>(i);
    while (!active.empty()) {
      const int64_t party = active.back();
      active.pop_back();
      const IssuedCollective *head = headOf(party);
      if (!head || findMissing(*head))
        continue;
      // All stand before it: they pass together.
      for (int64_t other : head->parties) {
        ++next[static_cast<size_t>(other)];
        active.push_back(other);
      }
    }
    for (size_t i = 0; i < sequences.size(); ++i)
      if (const IssuedCollective *head = headOf(static_cast<int64_t>(i)))
        return describe(static_cast<int64_t>(i), *head);
    return std::nullopt;
  }

private:
  /// What a party waits at; null at its end, and for parties that do not exist.
  const IssuedCollective *headOf(int64_t party) const {
    const auto index = static_cast<size_t>(party);
    if (party < 0 || index >= sequences.size() || next[index] == sequences[index].size())
      return nullptr;
    return &sequences[index][next[index]];
  }

  /// A party of the collective that does not stand before it.
  std::optional<int64_t> findMissing(const IssuedCollective &collective) const {
    for (int64_t party : collective.parties) {
      const IssuedCollective *head = headOf(party);
      if (!head || head->what != collective.what || head->parties != collective.parties)
        return party;
    }
    return std::nullopt;
  }

  OrderConflict describe(int64_t party, const IssuedCollective &head) const {
    const int64_t other = findMissing(head).value_or(party);
    OrderConflict conflict{party, next[static_cast<size_t>(party)], other, std::nullopt};
    if (headOf(other))
      conflict.otherIndex = next[static_cast<size_t>(other)];
    return conflict;
  }

  const std::vector<std::vector<IssuedCollective>> &sequences;
  std::vector<size_t> next;
};

} // namespace

std::optional<OrderConflict>
findOrderConflict(const std::vector<std::vector<IssuedCollective>> &sequences) {
  return OrderSimulator(sequences).run();
}

} // namespace titan
