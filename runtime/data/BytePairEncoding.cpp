#include "runtime/data/BytePairEncoding.h"

#include "runtime/base/Utf8.h"

#include <spdlog/fmt/fmt.h>

namespace titan {
namespace {

constexpr size_t kCachedPieceBytes = 64;
constexpr size_t kCachedPieces = 1 << 16;

uint64_t pairKey(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

/// Bytes for a message.
std::string printable(const std::string &bytes) {
  std::string text;
  for (char c : bytes)
    text += c > 0x20 && c < 0x7F ? std::string(1, c)
                                 : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return text;
}

} // namespace

StatusOr<BytePairEncoding>
BytePairEncoding::create(const std::vector<BytePairToken> &vocabulary,
                         const std::vector<std::pair<std::string, std::string>> &merges,
                         bool wholePieces) {
  BytePairEncoding model;
  StringMap<int32_t> ids;
  ids.reserve(vocabulary.size());
  for (const BytePairToken &token : vocabulary)
    ids.emplace(token.bytes, token.id);
  for (int byte = 0; byte < 256; ++byte) {
    const auto found = ids.find(std::string(1, static_cast<char>(byte)));
    if (found == ids.end())
      return invalidArgument(fmt::format("model.vocab has no token for the byte {:#04x}", byte));
    model.byteIds[static_cast<size_t>(byte)] = found->second;
  }
  model.merges.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto &[left, right] = merges[rank];
    const std::string whole = left + right;
    for (const std::string *part : {&left, &right, &whole})
      if (!ids.contains(*part))
        return invalidArgument(
            fmt::format("model.merges[{}]: '{}' is not in model.vocab", rank, printable(*part)));
    model.merges[pairKey(ids.find(left)->second, ids.find(right)->second)] = {
        static_cast<uint32_t>(rank), ids.find(whole)->second};
  }
  if (wholePieces)
    model.wholeIds = std::move(ids);
  return model;
}

const BytePairEncoding::Merge *BytePairEncoding::findMerge(int32_t left, int32_t right) const {
  const auto found = merges.find(pairKey(left, right));
  return found == merges.end() ? nullptr : &found->second;
}

/// Puts the pair that begins at `position` on the heap, if it is one.
void BytePairEncoding::push(int32_t position) {
  if (position < 0)
    return;
  const Symbol &left = symbols[static_cast<size_t>(position)];
  if (left.next < 0)
    return;
  const int32_t rightId = symbols[static_cast<size_t>(left.next)].id;
  if (const Merge *merge = findMerge(left.id, rightId))
    heap.push({merge->rank, position, left.id, rightId});
}

void BytePairEncoding::mergeSymbols(std::string_view piece, std::vector<int32_t> &ids) {
  const auto count = static_cast<int32_t>(piece.size());
  symbols.clear();
  for (int32_t i = 0; i < count; ++i)
    symbols.push_back({byteIds[static_cast<unsigned char>(piece[static_cast<size_t>(i)])], i - 1,
                       i + 1 < count ? i + 1 : -1});
  for (int32_t i = 0; i + 1 < count; ++i)
    push(i);
  while (!heap.empty()) {
    const Candidate best = heap.top();
    heap.pop();
    Symbol &left = symbols[static_cast<size_t>(best.position)];
    if (left.id != best.left || left.next < 0)
      continue;
    Symbol &right = symbols[static_cast<size_t>(left.next)];
    if (right.id != best.right)
      continue;
    left.id = findMerge(best.left, best.right)->id;
    right.id = -1;
    left.next = right.next;
    if (left.next >= 0)
      symbols[static_cast<size_t>(left.next)].previous = best.position;
    push(left.previous);
    push(best.position);
  }
  for (int32_t i = 0; i >= 0; i = symbols[static_cast<size_t>(i)].next)
    ids.push_back(symbols[static_cast<size_t>(i)].id);
}

void BytePairEncoding::encode(std::string_view piece, std::vector<int32_t> &ids) {
  if (piece.empty())
    return;
  if (const auto whole = wholeIds.find(piece); whole != wholeIds.end()) {
    ids.push_back(whole->second);
    return;
  }
  if (piece.size() > kCachedPieceBytes)
    return mergeSymbols(piece, ids);
  if (const auto cached = cache.find(piece); cached != cache.end()) {
    ids.insert(ids.end(), cached->second.begin(), cached->second.end());
    return;
  }
  const size_t begin = ids.size();
  mergeSymbols(piece, ids);
  if (cache.size() >= kCachedPieces)
    cache.clear();
  cache.emplace(piece, std::vector(ids.begin() + static_cast<ptrdiff_t>(begin), ids.end()));
}

} // namespace titan
