// Messages to the user. A program's main creates one Logger and hands references down; there is no
// global one, and libraries that can fail return a Status instead of logging it.
#pragma once

#include <spdlog/fmt/fmt.h>

#include <functional>
#include <memory>
#include <string_view>

namespace spdlog {
class logger;
}

namespace titan {

enum class LogLevel { debug, info, warning, error };

/// Thread-safe; lines of several threads do not mix.
class Logger {
public:
  /// Lines "[titan] DATE TIME - LEVEL - MESSAGE" on standard error, colored when that is a
  /// terminal.
  static Logger console(LogLevel least = LogLevel::info);
  /// Calls `sink` with each message, one at a time: for tests and embedders.
  static Logger toFunction(std::function<void(LogLevel, std::string_view)> sink,
                           LogLevel least = LogLevel::debug);
  /// Drops everything.
  static Logger silent();

  Logger(Logger &&) noexcept;
  Logger &operator=(Logger &&) noexcept;
  ~Logger();

  void log(LogLevel level, std::string_view message);

  template <typename... Args> void debug(fmt::format_string<Args...> format, Args &&...args) {
    log(LogLevel::debug, fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args> void info(fmt::format_string<Args...> format, Args &&...args) {
    log(LogLevel::info, fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args> void warning(fmt::format_string<Args...> format, Args &&...args) {
    log(LogLevel::warning, fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args> void error(fmt::format_string<Args...> format, Args &&...args) {
    log(LogLevel::error, fmt::format(format, std::forward<Args>(args)...));
  }

private:
  explicit Logger(std::unique_ptr<spdlog::logger> implementation);

  std::unique_ptr<spdlog::logger> implementation;
};

} // namespace titan
