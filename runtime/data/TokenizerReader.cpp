// Reading and checking tokenizer.json.
#include "runtime/base/File.h"
#include "runtime/base/Hash.h"
#include "runtime/base/Utf8.h"
#include "runtime/data/HuggingFaceTokenizer.h"

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>

#include <algorithm>

namespace titan {
namespace {

using nlohmann::json;

/// More is a damaged file, and would cost memory for nothing.
constexpr int64_t kMaxVocabulary = int64_t{1} << 24;

/// What ByteLevel does when its use_regex is set: GPT-2's expression.
constexpr const char *kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// A member of an object, or a null value when it is absent.
const json &member(const json &object, const char *key, const json &absent) {
  if (!object.is_object())
    return absent;
  const auto found = object.find(key);
  return found == object.end() ? absent : *found;
}
const json &member(const json &, const char *, json &&) = delete; // would end before its use

/// GPT-2's printable alphabet: the character that stands for each byte in the vocabulary. Printable
/// Latin-1 bytes stand for themselves, the others get code points from 256 on, in order.
std::array<char32_t, 256> byteAlphabet() {
  std::array<char32_t, 256> alphabet;
  char32_t next = 256;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    alphabet[byte] = printable ? byte : next++;
  }
  return alphabet;
}

} // namespace

/// Builds one tokenizer from one JSON document.
class TokenizerReader {
public:
  explicit TokenizerReader(const json &root) : root(root) {
    const std::array<char32_t, 256> alphabet = byteAlphabet();
    for (size_t byte = 0; byte < 256; ++byte)
      bytesOfCharacters.emplace(alphabet[byte], static_cast<char>(byte));
  }

  StatusOr<std::unique_ptr<HuggingFaceTokenizer>> read() {
    TITAN_RETURN_IF_ERROR(checkUnsupported());
    TITAN_RETURN_IF_ERROR(readVocabulary());
    TITAN_RETURN_IF_ERROR(readMerges());
    const bool wholePieces = get(get(root, "model"), "ignore_merges") == json(true);
    TITAN_ASSIGN_OR_RETURN(BytePairEncoding model,
                           BytePairEncoding::create(vocabulary, merges, wholePieces));
    tokenizer.reset(new HuggingFaceTokenizer(std::move(model)));
    TITAN_RETURN_IF_ERROR(readPreTokenizer());
    for (BytePairToken &token : vocabulary)
      store(token.id, std::move(token.bytes));
    TITAN_RETURN_IF_ERROR(readAddedTokens());
    return std::move(tokenizer);
  }

private:
  const json &get(const json &object, const char *key) const { return member(object, key, absent); }

  static Status unsupported(const std::string &what, const std::string &legal) {
    return invalidArgument(what + " is not supported; legal is " + legal);
  }

  Status checkUnsupported() const {
    for (const char *key : {"normalizer", "truncation", "padding"})
      if (!get(root, key).is_null())
        return unsupported(std::string(key) + " (not null)", "null");
    const json &model = get(root, "model");
    if (!model.is_object())
      return invalidArgument("model is not an object");
    const json &type = get(model, "type");
    if (!type.is_null() && type != "BPE")
      return unsupported("model.type = " + print(type), "\"BPE\"");
    if (get(model, "byte_fallback") == json(true))
      return unsupported("model.byte_fallback = true", "false");
    if (const json &dropout = get(model, "dropout"); !dropout.is_null() && dropout != 0)
      return unsupported("model.dropout = " + print(dropout), "null");
    for (const char *key : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (const json &affix = get(model, key); !affix.is_null() && affix != "")
        return unsupported(std::string("model.") + key + " = " + print(affix), "null");
    return okStatus();
  }

  /// A value for a message: short, and without throwing on bytes that are not UTF-8.
  static std::string print(const json &value) {
    std::string text = value.is_structured()
                           ? value.type_name()
                           : value.dump(-1, ' ', false, json::error_handler_t::replace);
    return text.size() > 80 ? text.substr(0, 80) + "..." : text;
  }

  /// A vocabulary entry's bytes. Characters outside of the alphabet stand for themselves: such a
  /// token can be decoded, but no text is encoded with it.
  std::string toBytes(const std::string &token) const {
    std::string bytes;
    for (std::string_view rest = token; !rest.empty();) {
      const char32_t character = *takeCodePoint(rest); // JSON strings are valid UTF-8
      const auto found = bytesOfCharacters.find(character);
      if (found == bytesOfCharacters.end())
        return token;
      bytes += found->second;
    }
    return bytes;
  }

  StatusOr<int32_t> readId(const json &value, const std::string &place) const {
    if (!value.is_number_unsigned() || value.get<uint64_t>() >= uint64_t{kMaxVocabulary})
      return invalidArgument(place + ": the id " + print(value) + " is not an integer from 0 to " +
                             std::to_string(kMaxVocabulary - 1));
    return value.get<int32_t>();
  }

  Status readVocabulary() {
    const json &vocab = get(get(root, "model"), "vocab");
    if (!vocab.is_object())
      return invalidArgument("model.vocab is not an object");
    for (const auto &[token, id] : vocab.items()) {
      if (token.empty())
        return invalidArgument("model.vocab has an empty token");
      TITAN_ASSIGN_OR_RETURN(const int32_t number, readId(id, "model.vocab['" + token + "']"));
      vocabulary.push_back({toBytes(token), number});
    }
    return okStatus();
  }

  /// Merges are "left right", or newer [left, right].
  Status readMerges() {
    const json &list = get(get(root, "model"), "merges");
    if (!list.is_array())
      return invalidArgument("model.merges is not a list");
    for (size_t i = 0; i < list.size(); ++i) {
      const json &entry = list[i];
      std::string left, right;
      if (entry.is_string()) {
        const auto &text = entry.get_ref<const std::string &>();
        const size_t space = text.find(' ');
        left = text.substr(0, space);
        right = space == std::string::npos ? "" : text.substr(space + 1);
      } else if (entry.is_array() && entry.size() == 2 && entry[0].is_string() &&
                 entry[1].is_string()) {
        left = entry[0].get<std::string>();
        right = entry[1].get<std::string>();
      }
      if (left.empty() || right.empty() || right.find(' ') != std::string::npos)
        return invalidArgument(
            fmt::format("model.merges[{}] = {} is neither \"left right\" nor [\"left\", \"right\"]",
                        i, print(entry)));
      merges.emplace_back(toBytes(left), toBytes(right));
    }
    return okStatus();
  }

  Status readPreTokenizer() {
    const json &whole = get(root, "pre_tokenizer");
    std::vector<const json *> steps = {&whole};
    if (get(whole, "type") == "Sequence") {
      steps.clear();
      const json &list = get(whole, "pretokenizers");
      if (!list.is_array())
        return invalidArgument("pre_tokenizer.pretokenizers is not a list");
      for (const json &step : list)
        steps.push_back(&step);
    }
    if (steps.empty() || get(*steps.back(), "type") != "ByteLevel")
      return unsupported("a pre_tokenizer that does not end with ByteLevel",
                         "ByteLevel, or a Sequence of Split and a final ByteLevel");
    for (const json *step : steps) {
      const json &type = get(*step, "type");
      const Status status = type == "Split" ? readSplit(*step)
                            : type == "ByteLevel" && step == steps.back()
                                ? readByteLevel(*step)
                                : unsupported("pre_tokenizer " + print(type) + " at this place",
                                              "\"Split\", and \"ByteLevel\" at the end");
      TITAN_RETURN_IF_ERROR(status);
    }
    return okStatus();
  }

  Status addSplitter(const std::string &pattern) {
    auto splitter = Splitter::create(pattern);
    if (!splitter.ok())
      return splitter.status().withContext("pre_tokenizer");
    tokenizer->splitters.push_back(*std::move(splitter));
    return okStatus();
  }

  Status readSplit(const json &step) {
    const json &pattern = get(get(step, "pattern"), "Regex");
    if (!pattern.is_string())
      return unsupported("pre_tokenizer Split without pattern.Regex", "a regular expression");
    if (get(step, "behavior") != "Isolated")
      return unsupported("pre_tokenizer Split with behavior = " + print(get(step, "behavior")),
                         "\"Isolated\"");
    if (get(step, "invert") == json(true))
      return unsupported("pre_tokenizer Split with invert = true", "false");
    return addSplitter(pattern.get<std::string>());
  }

  Status readByteLevel(const json &step) {
    // Both default to true where they are absent.
    if (get(step, "add_prefix_space") != json(false))
      return unsupported("pre_tokenizer ByteLevel with add_prefix_space = true", "false");
    return get(step, "use_regex") == json(false) ? okStatus() : addSplitter(kGpt2Pattern);
  }

  /// Remembers an id's bytes.
  void store(int32_t id, std::string bytes) {
    std::vector<std::string> &table = tokenizer->idBytes;
    if (static_cast<size_t>(id) >= table.size())
      table.resize(static_cast<size_t>(id) + 1);
    table[static_cast<size_t>(id)] = std::move(bytes);
  }

  /// Hugging Face's library numbers added tokens itself: as in the vocabulary, or counting on after
  /// it. A file with other ids would mean other tokens there than here.
  Status checkAddedId(const std::string &place, const std::string &content, int32_t id) {
    const json &vocab = get(get(root, "model"), "vocab");
    const auto known = vocab.find(content);
    if (known == vocab.end())
      nextAddedId = std::max(nextAddedId, static_cast<int32_t>(vocab.size()));
    const int32_t expected = known == vocab.end() ? nextAddedId : known->get<int32_t>();
    if (id != expected)
      return invalidArgument(fmt::format("{}: the id {} of '{}' must be {}, the next after the "
                                         "vocabulary and the added tokens before it",
                                         place, id, content, expected));
    nextAddedId = std::max(nextAddedId, id + 1);
    return okStatus();
  }

  Status readAddedTokens() {
    const json &list = get(root, "added_tokens");
    if (!list.is_null() && !list.is_array())
      return invalidArgument("added_tokens is not a list");
    for (size_t i = 0; i < list.size(); ++i) {
      const json &entry = list[i];
      const std::string place = fmt::format("added_tokens[{}]", i);
      const json &content = get(entry, "content");
      if (!content.is_string() || content.get_ref<const std::string &>().empty())
        return invalidArgument(place + ": content is not a text");
      TITAN_ASSIGN_OR_RETURN(const int32_t id, readId(get(entry, "id"), place));
      TITAN_RETURN_IF_ERROR(checkAddedId(place, content.get<std::string>(), id));
      for (const char *flag : {"lstrip", "rstrip", "single_word"})
        if (get(entry, flag) == json(true))
          return unsupported(place + ": " + flag + " = true", "false");
      store(id, content.get<std::string>());
      // Tokens that a normalizer would not touch are looked for before the others.
      const size_t set = get(entry, "normalized") == json(true) ? 1 : 0;
      tokenizer->addedTokens[set].insert({content.get<std::string>(), id});
    }
    for (AddedTokenSet &set : tokenizer->addedTokens)
      set.finish();
    return okStatus();
  }

  const json absent;
  const json &root;
  std::unordered_map<char32_t, char> bytesOfCharacters;
  std::vector<BytePairToken> vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;
  std::unique_ptr<HuggingFaceTokenizer> tokenizer;
  int32_t nextAddedId = 0;
};

namespace {

/// The name of a special token in tokenizer_config.json: a string or an object with `content`.
std::optional<std::string> tokenName(const json &config, const char *key) {
  const json absent;
  const json &value = member(config, key, absent);
  const json &name = value.is_object() ? member(value, "content", absent) : value;
  return name.is_string() ? std::optional(name.get<std::string>()) : std::nullopt;
}

/// The id of a token by its bytes.
std::optional<int32_t> findToken(const std::vector<std::string> &idBytes, const std::string &name) {
  const auto found = std::find(idBytes.begin(), idBytes.end(), name);
  return found == idBytes.end() ? std::nullopt
                                : std::optional(static_cast<int32_t>(found - idBytes.begin()));
}

/// The id of the token that begins or ends a text.
StatusOr<std::optional<int32_t>> findEdge(const std::vector<std::string> &idBytes,
                                          const json &config, const char *key,
                                          const char *fallback) {
  if (!config.is_object())
    return findToken(idBytes, fallback);
  const std::optional<std::string> name = tokenName(config, key);
  if (!name)
    return std::optional<int32_t>();
  const std::optional<int32_t> id = findToken(idBytes, *name);
  if (!id)
    return invalidArgument("tokenizer_config.json: " + std::string(key) + " '" + *name +
                           "' is not a token of tokenizer.json");
  return id;
}

} // namespace

StatusOr<std::unique_ptr<HuggingFaceTokenizer>>
HuggingFaceTokenizer::parse(std::string_view text, std::string_view configText,
                            const std::string &name) {
  const json root = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object())
    return invalidArgument(name + ": not a JSON object");
  json config;
  if (!configText.empty()) {
    config = json::parse(configText, nullptr, /*allow_exceptions=*/false);
    if (!config.is_object())
      return invalidArgument(name + ": tokenizer_config.json is not a JSON object");
  }
  auto tokenizer = TokenizerReader(root).read();
  if (!tokenizer.ok())
    return tokenizer.status().withContext(name);
  HuggingFaceTokenizer &result = **tokenizer;
  auto begin = findEdge(result.idBytes, config, "bos_token", "<|begin_of_text|>");
  auto end = findEdge(result.idBytes, config, "eos_token", "<|end_of_text|>");
  for (const Status &status : {begin.status(), end.status()})
    TITAN_RETURN_IF_ERROR(status.withContext(name));
  result.begin = *begin;
  result.end = *end;
  result.fileName = name;
  Hasher hasher;
  hasher.update(text);
  hasher.update(static_cast<uint64_t>(result.begin.value_or(-1)));
  hasher.update(static_cast<uint64_t>(result.end.value_or(-1)));
  result.contentHash = hasher.digest();
  return tokenizer;
}

StatusOr<std::unique_ptr<HuggingFaceTokenizer>>
HuggingFaceTokenizer::open(const std::filesystem::path &path) {
  std::error_code error;
  const bool isFolder = std::filesystem::is_directory(path, error);
  const std::filesystem::path file = isFolder ? path / "tokenizer.json" : path;
  TITAN_ASSIGN_OR_RETURN(const std::string text, readFile(file));
  const std::filesystem::path configFile = file.parent_path() / "tokenizer_config.json";
  std::string configText;
  if (std::filesystem::exists(configFile, error)) {
    TITAN_ASSIGN_OR_RETURN(configText, readFile(configFile));
    if (configText.empty())
      return invalidArgument(configFile.string() + " is empty");
  }
  return parse(text, configText, file.string());
}

} // namespace titan
