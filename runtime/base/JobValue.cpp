// Values of job keys: their text, their types, and the table as a page.
#include "runtime/base/EditDistance.h"
#include "runtime/base/JobKeys.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace titan {
namespace {

std::string renderNumber(double value) {
  char buffer[64];
  const auto result = std::to_chars(buffer, buffer + sizeof(buffer), value);
  std::string text(buffer, result.ptr);
  // TOML tells a float from an integer by its point or exponent.
  if (std::isfinite(value) && text.find_first_of(".e") == std::string::npos)
    text += ".0";
  return text;
}

std::string renderString(const std::string &value) {
  std::string text = "\"";
  for (char c : value) {
    if (c == '"' || c == '\\')
      text += {'\\', c};
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
      text += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
    else
      text += c;
  }
  return text + "\"";
}

std::string renderList(const std::vector<std::string> &list) {
  std::string text = "[";
  for (size_t i = 0; i < list.size(); ++i)
    text += (i ? ", " : "") + renderString(list[i]);
  return text + "]";
}

std::string describeRange(const JobKey &key) {
  const KeyRange &range = key.range;
  auto number = [&](double value) {
    return key.type == KeyType::integer ? std::to_string(static_cast<int64_t>(value))
                                        : fmt::format("{}", value);
  };
  std::string text;
  if (std::isfinite(range.low))
    text = (range.lowOpen ? "above " : "at least ") + number(range.low);
  if (std::isfinite(range.high))
    text += (text.empty() ? "" : " and ") +
            ((range.highOpen ? "below " : "at most ") + number(range.high));
  if (range.also)
    text += ", or " + number(*range.also);
  return text;
}

Status checkRange(const JobKey &key, double value) {
  const KeyRange &range = key.range;
  if (range.also && value == *range.also)
    return okStatus();
  const bool low = range.lowOpen ? value > range.low : value >= range.low;
  const bool high = range.highOpen ? value < range.high : value <= range.high;
  if (low && high) // false for a NaN
    return okStatus();
  const std::string rule = describeRange(key);
  return invalidArgument("must be " + (rule.empty() ? std::string("a number") : rule));
}

std::string describeChoices(const JobKey &key) {
  std::string text;
  for (size_t i = 0; i < key.choices.size(); ++i)
    text += (i ? ", " : "") + renderString(key.choices[i]);
  return text;
}

/// The value in the key's type, or nothing.
std::optional<JobValue> convert(const JobKey &key, const JobValue &value) {
  switch (key.type) {
  case KeyType::boolean:
    return std::holds_alternative<bool>(value) ? std::optional(value) : std::nullopt;
  case KeyType::integer:
    return std::holds_alternative<int64_t>(value) ? std::optional(value) : std::nullopt;
  case KeyType::number:
    if (auto *integer = std::get_if<int64_t>(&value))
      return JobValue(static_cast<double>(*integer));
    return std::holds_alternative<double>(value) ? std::optional(value) : std::nullopt;
  case KeyType::string:
    return std::holds_alternative<std::string>(value) ? std::optional(value) : std::nullopt;
  case KeyType::stringList:
    if (auto *one = std::get_if<std::string>(&value))
      return JobValue(std::vector<std::string>{*one});
    return std::holds_alternative<std::vector<std::string>>(value) ? std::optional(value)
                                                                   : std::nullopt;
  }
  return std::nullopt;
}

const char *typeName(KeyType type) {
  switch (type) {
  case KeyType::boolean:
    return "boolean";
  case KeyType::integer:
    return "integer";
  case KeyType::number:
    return "number";
  case KeyType::string:
    return "string";
  case KeyType::stringList:
    return "strings";
  }
  return "";
}

std::string describeSupport(const JobKey &key) {
  switch (key.support) {
  case KeySupport::used:
    return "used";
  case KeySupport::ignored:
    return "ignored";
  case KeySupport::inert:
    return "no effect";
  case KeySupport::refused: {
    std::string text = "only ";
    for (size_t i = 0; i < key.accepted.size(); ++i)
      text += (i ? " or `" : "`") + key.accepted[i] + "`";
    return text + ": " + key.reason;
  }
  }
  return "";
}

} // namespace

const JobKey *findKey(std::span<const JobKey> keys, std::string_view fullName) {
  const size_t dot = fullName.rfind('.');
  if (dot == std::string_view::npos)
    return nullptr;
  for (const JobKey &key : keys)
    if (key.section == fullName.substr(0, dot) && key.name == fullName.substr(dot + 1))
      return &key;
  return nullptr;
}

std::string suggestion(std::span<const JobKey> keys, std::string_view fullName) {
  // The right key in the wrong section, or without any, is nearer than any misspelling.
  const std::string_view name = fullName.substr(fullName.rfind('.') + 1);
  for (const JobKey &key : keys)
    if (key.name == name && key.support == KeySupport::used)
      return ", did you mean '" + key.fullName() + "'?";
  std::vector<std::string> names;
  for (const JobKey &key : keys)
    names.push_back(key.fullName());
  const std::string best = nearest(fullName, names);
  const int limit = std::max<int>(3, static_cast<int>(best.size()) / 3);
  if (best.empty() || editDistance(fullName.substr(0, 256), best) > limit)
    return "";
  return ", did you mean '" + best + "'?";
}

std::string render(const JobValue &value) {
  if (auto *boolean = std::get_if<bool>(&value))
    return *boolean ? "true" : "false";
  if (auto *integer = std::get_if<int64_t>(&value))
    return std::to_string(*integer);
  if (auto *number = std::get_if<double>(&value))
    return renderNumber(*number);
  if (auto *text = std::get_if<std::string>(&value))
    return renderString(*text);
  if (auto *list = std::get_if<std::vector<std::string>>(&value))
    return renderList(*list);
  return "none";
}

std::string describeType(const JobKey &key) {
  switch (key.type) {
  case KeyType::boolean:
    return "a boolean (true or false)";
  case KeyType::integer:
    return "an integer";
  case KeyType::number:
    return "a number";
  case KeyType::string:
    return "a string";
  case KeyType::stringList:
    return "a list of strings";
  }
  return "";
}

StatusOr<JobValue> conform(const JobKey &key, const JobValue &value) {
  if (std::holds_alternative<std::monostate>(value)) {
    if (!key.optional)
      return invalidArgument("found none, expected " + describeType(key));
    return value;
  }
  std::optional<JobValue> converted = convert(key, value);
  if (!converted)
    return invalidArgument("found " + render(value) + ", expected " + describeType(key));
  Status fits;
  if (auto *integer = std::get_if<int64_t>(&*converted))
    fits = checkRange(key, static_cast<double>(*integer));
  else if (auto *number = std::get_if<double>(&*converted))
    fits = checkRange(key, *number);
  else if (auto *text = std::get_if<std::string>(&*converted))
    if (!key.choices.empty() && std::ranges::find(key.choices, *text) == key.choices.end())
      fits = invalidArgument("must be one of " + describeChoices(key));
  if (!fits.ok())
    return fits.withContext("found " + render(value));
  return *std::move(converted);
}

std::string jobKeysMarkdown() {
  std::string page =
      "<!-- generated by titan-keys; do not edit -->\n# Keys of a job file\n\n"
      "Names, defaults and meanings are torchtitan v0.2.2's; keys marked (Titan) are Titan's own.\n"
      "Each key is also an option, `--section.key value`. Keys for *compile* time shape the "
      "program "
      "file; keys for *run* time may be overridden when it is run.\n"
      "A key under *ignored* changes no result and is accepted with a note, one under *no effect* "
      "belongs to something that Titan does not have and is accepted silently.\n";
  std::string section;
  for (const JobKey &key : jobKeys()) {
    if (key.section != section) {
      section = key.section;
      page +=
          "\n## " + section +
          "\n\n| key | type | default | when | support | meaning |\n|---|---|---|---|---|---|\n";
    }
    std::string type = typeName(key.type);
    if (!key.choices.empty())
      type = describeChoices(key);
    else if (const std::string range = describeRange(key); !range.empty())
      type += ", " + range;
    page += fmt::format(
        "| `{}` | {} | `{}` | {} | {} | {} |\n", key.name, type, render(key.defaultValue),
        key.phase == KeyPhase::compileTime ? "compile" : "run", describeSupport(key), key.doc);
  }
  return page;
}

} // namespace titan
