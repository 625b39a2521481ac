// What Titan supports: errors for values that would change results, notes for those that do not.
#include "runtime/base/ByteSize.h"
#include "runtime/base/JobKeys.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <charconv>

namespace titan {
namespace {

const JobSetting *lastSetting(std::span<const JobSetting> settings, const JobKey &key) {
  const JobSetting *last = nullptr;
  for (const JobSetting &setting : settings)
    if (setting.key == &key)
      last = &setting;
  return last;
}

std::string join(std::span<const std::string> parts, const char *separator) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i)
    text += (i ? separator : "") + parts[i];
  return text;
}

Status checkRefused(const JobKey &key, const JobConfig &config, const JobSetting *setting) {
  const JobValue value = key.get ? key.get(config) : setting ? setting->value : key.defaultValue;
  const std::string found = render(value);
  if (std::ranges::find(key.accepted, found) != key.accepted.end())
    return okStatus();
  const std::string place = setting ? setting->place + ": " : "";
  const std::string origin = setting ? "" : " (the default)";
  std::vector<std::string> legal = key.accepted;
  std::ranges::replace(legal, std::string("none"), std::string("nothing"));
  return invalidArgument(fmt::format("{}{} = {}{} is not supported: {}; legal is {}", place,
                                     key.fullName(), found, origin, key.reason,
                                     join(legal, " or ")));
}

/// Rules that span keys.
Status checkRules(const JobConfig &config) {
  const ProfilingSection &profiling = config.profiling;
  if (profiling.profilerActive > profiling.profileFreq)
    return invalidArgument(fmt::format("profiling.profiler_active = {} is more than "
                                       "profiling.profile_freq = {}; at most {} is legal",
                                       profiling.profilerActive, profiling.profileFreq,
                                       profiling.profileFreq));
  const std::string &option = config.activationCheckpoint.selectiveAcOption;
  int64_t every = 0;
  const auto [end, error] = std::from_chars(option.data(), option.data() + option.size(), every);
  const bool isNumber = error == std::errc() && end == option.data() + option.size();
  if (option != "op" && (!isNumber || every < 1))
    return invalidArgument(fmt::format("activation_checkpoint.selective_ac_option = \"{}\" must be "
                                       "\"op\" or a positive number of layers, such as \"2\"",
                                       option));
  if (config.activationCheckpoint.mode == "memory_limit")
    TITAN_RETURN_IF_ERROR(parseByteSize(config.activationCheckpoint.memoryLimit)
                              .status()
                              .withContext("activation_checkpoint.memory_limit"));
  return okStatus();
}

} // namespace

StatusOr<std::vector<std::string>> checkJob(std::span<const JobKey> keys, const JobConfig &config,
                                            std::span<const JobSetting> settings) {
  std::vector<std::string> ignored;
  for (const JobKey &key : keys) {
    const JobSetting *setting = lastSetting(settings, key);
    if (key.support == KeySupport::refused)
      TITAN_RETURN_IF_ERROR(checkRefused(key, config, setting));
    if (key.support == KeySupport::ignored && setting && setting->value != key.defaultValue)
      ignored.push_back(key.fullName() + " (" + key.doc + ")");
  }
  TITAN_RETURN_IF_ERROR(checkRules(config));

  std::vector<std::string> notes;
  if (!ignored.empty())
    notes.push_back("ignored, since they change no result here: " + join(ignored, ", "));
  if (config.job.printConfig)
    notes.push_back("effective configuration:\n" + toToml(config));
  return notes;
}

} // namespace titan
