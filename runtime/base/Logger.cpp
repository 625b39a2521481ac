#include "runtime/base/Logger.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <mutex>

namespace titan {
namespace {

spdlog::level::level_enum toSpdlog(LogLevel level) {
  switch (level) {
  case LogLevel::debug:
    return spdlog::level::debug;
  case LogLevel::info:
    return spdlog::level::info;
  case LogLevel::warning:
    return spdlog::level::warn;
  case LogLevel::error:
    return spdlog::level::err;
  }
  return spdlog::level::info;
}

LogLevel fromSpdlog(spdlog::level::level_enum level) {
  if (level >= spdlog::level::err)
    return LogLevel::error;
  if (level == spdlog::level::warn)
    return LogLevel::warning;
  return level == spdlog::level::info ? LogLevel::info : LogLevel::debug;
}

class FunctionSink final : public spdlog::sinks::base_sink<std::mutex> {
public:
  explicit FunctionSink(std::function<void(LogLevel, std::string_view)> function)
      : function(std::move(function)) {}

private:
  void sink_it_(const spdlog::details::log_msg &message) override {
    function(fromSpdlog(message.level), {message.payload.data(), message.payload.size()});
  }
  void flush_() override {}

  std::function<void(LogLevel, std::string_view)> function;
};

std::unique_ptr<spdlog::logger> makeLogger(spdlog::sink_ptr sink, LogLevel least) {
  auto logger = std::make_unique<spdlog::logger>("titan", std::move(sink));
  logger->set_level(toSpdlog(least));
  logger->flush_on(spdlog::level::info);
  return logger;
}

} // namespace

Logger::Logger(std::unique_ptr<spdlog::logger> implementation)
    : implementation(std::move(implementation)) {}
Logger::Logger(Logger &&) noexcept = default;
Logger &Logger::operator=(Logger &&) noexcept = default;
Logger::~Logger() = default;

Logger Logger::console(LogLevel least) {
  auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  sink->set_pattern("[%n] %Y-%m-%d %H:%M:%S,%e - %^%l%$ - %v");
  return Logger(makeLogger(std::move(sink), least));
}

Logger Logger::toFunction(std::function<void(LogLevel, std::string_view)> sink, LogLevel least) {
  return Logger(makeLogger(std::make_shared<FunctionSink>(std::move(sink)), least));
}

Logger Logger::silent() {
  return Logger(makeLogger(std::make_shared<spdlog::sinks::null_sink_mt>(), LogLevel::error));
}

void Logger::log(LogLevel level, std::string_view message) {
  implementation->log(toSpdlog(level), spdlog::string_view_t(message.data(), message.size()));
}

} // namespace titan
