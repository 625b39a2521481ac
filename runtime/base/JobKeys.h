// The table of job keys: one row per key of torchtitan v0.2.2 and per key of Titan's own.
#pragma once

#include "runtime/base/JobConfig.h"

#include <limits>
#include <span>
#include <variant>

namespace titan {

/// A key's value. Unset (monostate) is the value of an optional key that is absent. A list of lists
/// is kept as a list of texts, the elements of each inner list with commas between them.
using JobValue =
    std::variant<std::monostate, bool, int64_t, double, std::string, std::vector<std::string>>;

enum class KeyType { boolean, integer, number, string, stringList };
/// Compile-time keys shape the program; run-time keys may be overridden when it is run.
enum class KeyPhase { compileTime, runTime };
enum class KeySupport {
  used,
  ignored, ///< accepted: it changes no result here; one note names it
  inert,   ///< accepted silently: it only matters together with a key that is refused
  refused, ///< an error unless its effective value is among `accepted`
};

/// Legal values of a number: low <= value <= high, ends excluded where said.
struct KeyRange {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool lowOpen = false;
  bool highOpen = false;
  /// One value outside of the range that is legal too, such as -1 for "automatic".
  std::optional<double> also = std::nullopt;
};

struct JobKey {
  std::string section; ///< "training", "quantize.linear.float8"
  std::string name;
  KeyType type = KeyType::string;
  bool optional = false; ///< may be unset
  JobValue defaultValue;
  KeyPhase phase = KeyPhase::runTime;
  KeySupport support = KeySupport::used;
  std::string doc; ///< one line

  KeyRange range;                    ///< of numbers
  std::vector<std::string> choices;  ///< legal strings, if not all are
  std::vector<std::string> accepted; ///< refused keys: values that Titan supports, as render() does
  std::string reason;                ///< why the others are refused, or why a key is ignored

  /// Where the value lives in a JobConfig; null for keys that Titan does not use.
  JobValue (*get)(const JobConfig &) = nullptr;
  void (*set)(JobConfig &, const JobValue &) = nullptr;

  std::string fullName() const { return section + "." + name; }
};

/// All keys by section. Built anew by each call: pass it down rather than calling in a loop.
std::vector<JobKey> jobKeys();

/// Null when there is none.
const JobKey *findKey(std::span<const JobKey> keys, std::string_view fullName);

/// ", did you mean 'training.seq_len'?", or empty when nothing is near.
std::string suggestion(std::span<const JobKey> keys, std::string_view fullName);

/// The value as TOML text: 3, 0.5, true, "text", ["a", "b"]; "none" when unset.
std::string render(const JobValue &value);
/// "an integer", "a boolean (true or false)", ...
std::string describeType(const JobKey &key);

/// Checks type, range and choices, and returns the value in the key's own type (an integer becomes
/// a number where one is wanted). The message lacks the key's name and the place.
StatusOr<JobValue> conform(const JobKey &key, const JobValue &value);

/// The table as a Markdown page, for docs/generated/job-keys.md.
std::string jobKeysMarkdown();

/// One value that a file or an option set, in order of appearance; the last of a key wins.
struct JobSetting {
  const JobKey *key;
  JobValue value;
  std::string place; ///< "job.toml:12" or "command line"
};

/// Reads TOML into settings. Fails on syntax errors, unknown keys and wrong values.
StatusOr<std::vector<JobSetting>> readJobText(std::span<const JobKey> keys, std::string_view text,
                                              const std::string &name);
/// Parses one "section.key=value".
StatusOr<JobSetting> readOverride(std::span<const JobKey> keys, std::string_view text);

/// Checks that Titan supports the effective values of all keys and the rules between keys, and
/// returns the notes for the user.
StatusOr<std::vector<std::string>> checkJob(std::span<const JobKey> keys, const JobConfig &config,
                                            std::span<const JobSetting> settings);

} // namespace titan
