#include "runtime/data/HuggingFaceTokenizer.h"

#include "runtime/base/Utf8.h"

#include <algorithm>
#include <limits>

namespace titan {

void AddedTokenSet::insert(AddedToken token) {
  byFirstByte[static_cast<unsigned char>(token.content[0])].push_back(std::move(token));
}

void AddedTokenSet::finish() {
  for (std::vector<AddedToken> &tokens : byFirstByte)
    std::sort(tokens.begin(), tokens.end(), [](const AddedToken &a, const AddedToken &b) {
      return a.content.size() > b.content.size();
    });
}

std::optional<AddedTokenSet::Match> AddedTokenSet::find(std::string_view text, size_t from) const {
  for (size_t i = from; i < text.size(); ++i)
    for (const AddedToken &token : byFirstByte[static_cast<unsigned char>(text[i])])
      if (text.substr(i).starts_with(token.content))
        return Match{i, &token};
  return std::nullopt;
}

Status HuggingFaceTokenizer::encode(std::string_view text, std::vector<int32_t> &ids) {
  if (text.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()))
    return invalidArgument("a document has " + std::to_string(text.size()) +
                           " bytes, at most 2147483647 are supported");
  return encodeSection(text, 0, ids);
}

StatusOr<std::string> HuggingFaceTokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (int32_t id : ids) {
    if (id < 0 || static_cast<size_t>(id) >= idBytes.size())
      return invalidArgument(fileName + ": id " + std::to_string(id) +
                             " is not in the vocabulary of " + std::to_string(idBytes.size()));
    text += idBytes[static_cast<size_t>(id)];
  }
  return text;
}

/// Looks for the added tokens of the set numbered `addedSet`; what lies between them goes to the
/// next set and in the end to the model.
Status HuggingFaceTokenizer::encodeSection(std::string_view section, size_t addedSet,
                                           std::vector<int32_t> &ids) {
  if (section.empty())
    return okStatus();
  if (addedSet == addedTokens.size())
    return encodePlain(section, ids);
  size_t position = 0;
  while (const auto match = addedTokens[addedSet].find(section, position)) {
    TITAN_RETURN_IF_ERROR(
        encodeSection(section.substr(position, match->begin - position), addedSet + 1, ids));
    ids.push_back(match->token->id);
    position = match->begin + match->token->content.size();
  }
  return encodeSection(section.substr(position), addedSet + 1, ids);
}

/// Regular expressions need valid UTF-8: a run of bytes that are not is a piece of its own.
Status HuggingFaceTokenizer::encodePlain(std::string_view section, std::vector<int32_t> &ids) {
  while (!section.empty()) {
    std::string_view rest = section;
    while (takeCodePoint(rest)) {
    }
    const std::string_view valid = section.substr(0, section.size() - rest.size());
    TITAN_RETURN_IF_ERROR(encodeValid(valid, 0, ids));
    size_t invalid = 0;
    for (std::string_view probe = rest; !probe.empty() && !takeCodePoint(probe);) {
      ++invalid;
      probe.remove_prefix(1);
    }
    model.encode(rest.substr(0, invalid), ids);
    section = rest.substr(invalid);
  }
  return okStatus();
}

Status HuggingFaceTokenizer::encodeValid(std::string_view section, size_t splitter,
                                         std::vector<int32_t> &ids) {
  if (splitter == splitters.size()) {
    model.encode(section, ids);
    return okStatus();
  }
  std::vector<std::string_view> pieces;
  TITAN_RETURN_IF_ERROR(splitters[splitter].split(section, pieces));
  for (std::string_view piece : pieces)
    TITAN_RETURN_IF_ERROR(encodeValid(piece, splitter + 1, ids));
  return okStatus();
}

} // namespace titan
