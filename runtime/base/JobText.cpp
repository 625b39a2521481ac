// Reading a job's TOML text.
#include "runtime/base/JobKeys.h"

#include <spdlog/fmt/fmt.h>

#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/impl/preprocessor.h>
// The library promises the compiler that a table's name starts as names do, then checks it.
#undef TOML_ASSERT_ASSUME
#define TOML_ASSERT_ASSUME(condition) static_assert(true)
#include <toml++/toml.h>

#include <algorithm>

namespace titan {
namespace {

/// What the user wrote, for messages about a value of the wrong type.
const char *describeNode(const toml::node &node) {
  switch (node.type()) {
  case toml::node_type::table:
    return "a table";
  case toml::node_type::array:
    return "an array";
  case toml::node_type::date:
  case toml::node_type::time:
  case toml::node_type::date_time:
    return "a date or time";
  default:
    return "a value";
  }
}

/// Appends the strings of an array to `list`, those of an array in it as one string with commas.
bool flatten(const toml::array &array, std::vector<std::string> &list) {
  for (const toml::node &element : array) {
    if (const toml::array *inner = element.as_array()) {
      std::vector<std::string> parts;
      if (!flatten(*inner, parts))
        return false;
      std::string &joined = list.emplace_back();
      for (const std::string &part : parts)
        joined += (joined.empty() ? "" : ",") + part;
    } else if (const auto *text = element.as_string()) {
      list.push_back(text->get());
    } else {
      return false;
    }
  }
  return true;
}

std::optional<JobValue> toValue(const toml::node &node) {
  if (const auto *boolean = node.as_boolean())
    return boolean->get();
  if (const auto *integer = node.as_integer())
    return integer->get();
  if (const auto *number = node.as_floating_point())
    return number->get();
  if (const auto *text = node.as_string())
    return text->get();
  if (const toml::array *array = node.as_array()) {
    std::vector<std::string> list;
    if (flatten(*array, list))
      return list;
  }
  return std::nullopt;
}

/// Tables that one line may nest by dotted keys. The parser bounds the depth of arrays and inline
/// tables, but not this one, and walks and frees tables by recursion.
constexpr int kMostDots = 64;

/// The number of the first line with too many dots outside of quotes and comments, or 0.
int findDeepLine(std::string_view text) {
  int line = 1, dots = 0;
  char quote = 0; // or '#' up to the end of the line
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') {
      ++line;
      dots = 0;
      quote = 0;
    } else if (quote == '"' && c == '\\') {
      i += i + 1 < text.size() && text[i + 1] != '\n';
    } else if (quote) {
      quote = c == quote && quote != '#' ? char(0) : quote;
    } else if (c == '"' || c == '\'' || c == '#') {
      quote = c;
    } else if (c == '.' && ++dots > kMostDots) {
      return line;
    }
  }
  return 0;
}

/// Walks the tables of one file.
class Reader {
public:
  Reader(std::span<const JobKey> keys, const std::string &name) : keys(keys), name(name) {}

  Status read(const toml::table &table, const std::string &prefix) {
    // toml++ sorts by key; a reader wants errors in the file's order.
    std::vector<std::pair<std::string, const toml::node *>> entries;
    for (const auto &[key, node] : table)
      entries.emplace_back(prefix + std::string(key.str()), &node);
    std::sort(entries.begin(), entries.end(), [](const auto &a, const auto &b) {
      return a.second->source().begin < b.second->source().begin;
    });
    for (const auto &[fullName, node] : entries) {
      const toml::table *inner = node->as_table();
      const Status status = inner ? read(*inner, fullName + ".") : readEntry(fullName, *node);
      TITAN_RETURN_IF_ERROR(status);
    }
    return okStatus();
  }

  std::vector<JobSetting> take() { return std::move(settings); }

private:
  Status readEntry(const std::string &fullName, const toml::node &node) {
    const std::string place = fmt::format("{}:{}", name, node.source().begin.line);
    const JobKey *key = findKey(keys, fullName);
    if (!key)
      return invalidArgument(place + ": unknown key '" + fullName + "'" +
                             suggestion(keys, fullName));
    const std::optional<JobValue> value = toValue(node);
    if (!value)
      return invalidArgument(place + ": " + fullName + ": found " + describeNode(node) +
                             ", expected " + describeType(*key));
    auto conformed = conform(*key, *value);
    if (!conformed.ok())
      return conformed.status().withContext(place + ": " + fullName);
    settings.push_back({key, *std::move(conformed), place});
    return okStatus();
  }

  std::span<const JobKey> keys;
  const std::string &name;
  std::vector<JobSetting> settings;
};

} // namespace

StatusOr<std::vector<JobSetting>> readJobText(std::span<const JobKey> keys, std::string_view text,
                                              const std::string &name) {
  if (const int line = findDeepLine(text))
    return invalidArgument(fmt::format("{}:{}: broken TOML: more than {} dots, expected at most 2 "
                                       "in a key, such as training.dataloader.num_workers",
                                       name, line, kMostDots));
  const toml::parse_result parsed = toml::parse(text, name);
  if (!parsed) {
    const toml::parse_error &error = parsed.error();
    std::string reason(error.description());
    if (!reason.empty() && reason[0] >= 'A' && reason[0] <= 'Z')
      reason[0] = static_cast<char>(reason[0] - 'A' + 'a');
    return invalidArgument(fmt::format("{}:{}: broken TOML at column {}: {}", name,
                                       error.source().begin.line, error.source().begin.column,
                                       reason));
  }
  Reader reader(keys, name);
  TITAN_RETURN_IF_ERROR(reader.read(parsed.table(), ""));
  return reader.take();
}

} // namespace titan
