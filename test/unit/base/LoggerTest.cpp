#include "runtime/base/Logger.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

using namespace titan;

TEST(Logger, HandsMessagesToItsSink) {
  std::vector<std::pair<LogLevel, std::string>> seen;
  Logger logger = Logger::toFunction(
      [&](LogLevel level, std::string_view message) { seen.emplace_back(level, message); },
      LogLevel::info);
  logger.debug("dropped");
  logger.info("step {}", 3);
  logger.warning("{{}} stays");
  logger.error("bad");
  const std::vector<std::pair<LogLevel, std::string>> expected = {
      {LogLevel::info, "step 3"}, {LogLevel::warning, "{} stays"}, {LogLevel::error, "bad"}};
  EXPECT_EQ(seen, expected);
}

TEST(Logger, LoggersAreIndependent) {
  int first = 0, second = 0;
  Logger a = Logger::toFunction([&](LogLevel, std::string_view) { ++first; });
  Logger b = Logger::toFunction([&](LogLevel, std::string_view) { ++second; });
  Logger::silent().error("nobody hears this");
  a.info("x");
  a.info("y");
  b.info("z");
  EXPECT_EQ(first, 2);
  EXPECT_EQ(second, 1);
}
