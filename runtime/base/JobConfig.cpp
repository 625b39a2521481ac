#include "runtime/base/JobConfig.h"

#include "runtime/base/File.h"
#include "runtime/base/JobKeys.h"

namespace titan {
namespace {

void applySettings(std::span<const JobSetting> settings, JobConfig &config) {
  for (const JobSetting &setting : settings)
    if (setting.key->set)
      setting.key->set(config, setting.value);
}

Status appendOverrides(std::span<const JobKey> keys, std::span<const std::string> overrides,
                       std::vector<JobSetting> &settings) {
  for (const std::string &text : overrides) {
    TITAN_ASSIGN_OR_RETURN(JobSetting setting, readOverride(keys, text));
    settings.push_back(std::move(setting));
  }
  return okStatus();
}

} // namespace

StatusOr<LoadedJob> parseJob(std::string_view text, const std::string &name,
                             std::span<const std::string> overrides) {
  const std::vector<JobKey> keys = jobKeys();
  TITAN_ASSIGN_OR_RETURN(std::vector<JobSetting> settings, readJobText(keys, text, name));
  TITAN_RETURN_IF_ERROR(appendOverrides(keys, overrides, settings));
  LoadedJob job;
  applySettings(settings, job.config);
  auto notes = checkJob(keys, job.config, settings);
  if (!notes.ok())
    return notes.status();
  job.notes = *std::move(notes);
  return job;
}

StatusOr<LoadedJob> loadJob(const std::filesystem::path &path,
                            std::span<const std::string> overrides) {
  auto text = readFile(path);
  if (!text.ok())
    return text.status().withContext("job file");
  return parseJob(*text, path.string(), overrides);
}

StatusOr<LoadedJob> overrideCompiledJob(const JobConfig &compiled,
                                        std::span<const std::string> overrides) {
  const std::vector<JobKey> keys = jobKeys();
  std::vector<JobSetting> settings;
  TITAN_RETURN_IF_ERROR(appendOverrides(keys, overrides, settings));
  for (const JobSetting &setting : settings) {
    const JobKey &key = *setting.key;
    if (key.phase != KeyPhase::compileTime || !key.get)
      continue;
    const JobValue before = key.get(compiled);
    if (setting.value != before)
      return invalidArgument(setting.place + ": found " + render(setting.value) +
                             ", but the program was compiled with " + render(before) +
                             ", and this key is fixed when a program is compiled; compile the job "
                             "again with this option, or leave it out");
  }
  LoadedJob job{compiled, {}};
  applySettings(settings, job.config);
  auto notes = checkJob(keys, job.config, settings);
  if (!notes.ok())
    return notes.status();
  job.notes = *std::move(notes);
  return job;
}

std::vector<std::string> changedCompileKeys(const JobConfig &a, const JobConfig &b) {
  std::vector<std::string> names;
  for (const JobKey &key : jobKeys())
    if (key.phase == KeyPhase::compileTime && key.get && key.get(a) != key.get(b))
      names.push_back(key.fullName());
  return names;
}

std::string toToml(const JobConfig &config) {
  std::string text;
  std::string section;
  for (const JobKey &key : jobKeys()) {
    if (!key.get)
      continue;
    const JobValue value = key.get(config);
    if (std::holds_alternative<std::monostate>(value))
      continue;
    if (key.section != section) {
      section = key.section;
      text += (text.empty() ? "[" : "\n[") + section + "]\n";
    }
    text += key.name + " = " + render(value) + "\n";
  }
  return text;
}

} // namespace titan
