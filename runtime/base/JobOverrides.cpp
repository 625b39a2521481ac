// Job keys on a command line.
#include "runtime/base/JobKeys.h"
#include "runtime/base/Utf8.h"

#include <algorithm>
#include <charconv>

namespace titan {
namespace {

constexpr std::string_view kDash = "--";

template <typename T> std::optional<JobValue> parseNumber(std::string_view text) {
  T value;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return JobValue(value);
}

/// At semicolons, between which commas separate the elements of inner lists, or at commas.
std::vector<std::string> splitList(std::string_view text) {
  const char separator = text.find(';') == std::string_view::npos ? ',' : ';';
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(separator), text.size());
    parts.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return parts;
}

std::optional<JobValue> parseValue(const JobKey &key, std::string_view text) {
  if (key.optional && (text == "none" || text == "None"))
    return JobValue();
  switch (key.type) {
  case KeyType::boolean:
    if (text == "true" || text == "True")
      return JobValue(true);
    if (text == "false" || text == "False")
      return JobValue(false);
    return std::nullopt;
  case KeyType::integer:
    return parseNumber<int64_t>(text);
  case KeyType::number:
    return parseNumber<double>(text);
  case KeyType::string:
    return JobValue(std::string(text));
  case KeyType::stringList:
    return JobValue(splitList(text));
  }
  return std::nullopt;
}

/// A key that an option names, and whether the name negates it ("no_" before a boolean's name).
struct NamedKey {
  const JobKey *key = nullptr;
  bool negated = false;
};

NamedKey findOption(std::span<const JobKey> keys, const std::string &name) {
  if (const JobKey *key = findKey(keys, name))
    return {key, false};
  const size_t dot = name.rfind('.');
  if (name.compare(dot + 1, 3, "no_") == 0) {
    const JobKey *key = findKey(keys, name.substr(0, dot + 1) + name.substr(dot + 4));
    if (key && key->type == KeyType::boolean)
      return {key, true};
  }
  return {};
}

bool isJobOption(const std::string &argument) {
  if (!argument.starts_with(kDash))
    return false;
  const std::string_view name = std::string_view(argument).substr(0, argument.find('='));
  return name.find('.') != std::string_view::npos;
}

} // namespace

StatusOr<JobSetting> readOverride(std::span<const JobKey> keys, std::string_view text) {
  const std::string name(text.substr(0, text.find('=')));
  const std::string place = "option --" + name;
  const JobKey *key = findKey(keys, name);
  if (!key)
    return invalidArgument("unknown option --" + name + suggestion(keys, name));
  if (name.size() == text.size())
    return invalidArgument(place + ": the value is missing, expected " + describeType(*key));
  const std::string_view valueText = text.substr(name.size() + 1);
  if (!isValidUtf8(valueText))
    return invalidArgument(place + ": the value is not valid UTF-8");
  const std::optional<JobValue> value = parseValue(*key, valueText);
  if (!value)
    return invalidArgument(place + ": found '" + std::string(valueText) + "', expected " +
                           describeType(*key));
  auto conformed = conform(*key, *value);
  if (!conformed.ok())
    return conformed.status().withContext(place);
  return JobSetting{key, *std::move(conformed), place};
}

StatusOr<JobArguments> splitArguments(std::span<const std::string> arguments) {
  const std::vector<JobKey> keys = jobKeys();
  JobArguments result;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string &argument = arguments[i];
    if (!isJobOption(argument)) {
      result.rest.push_back(argument);
      continue;
    }
    const size_t equals = argument.find('=');
    const bool hasValue = equals != std::string::npos;
    std::string name = argument.substr(2, hasValue ? equals - 2 : equals);
    std::ranges::replace(name, '-', '_');
    const NamedKey found = findOption(keys, name);
    if (!found.key)
      return invalidArgument("unknown option --" + name + suggestion(keys, name));
    if (found.negated && hasValue)
      return invalidArgument("option --" + name + ": takes no value");

    std::string value;
    const bool boolean = found.key->type == KeyType::boolean;
    const std::string *next = i + 1 < arguments.size() ? &arguments[i + 1] : nullptr;
    if (hasValue) {
      value = argument.substr(equals + 1);
    } else if (boolean) {
      const bool spelledOut = !found.negated && next && (*next == "true" || *next == "false");
      value = spelledOut ? *next : found.negated ? "false" : "true";
      i += spelledOut;
    } else if (next && !next->starts_with(kDash)) {
      value = *next;
      ++i;
    } else {
      return invalidArgument("option --" + name + ": the value is missing, expected " +
                             describeType(*found.key));
    }
    result.overrides.push_back(found.key->fullName() + "=" + value);
  }
  return result;
}

} // namespace titan
