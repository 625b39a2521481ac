// A folder of its own for each test, removed at the end.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace titan::test {

class TestFolder {
public:
  TestFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "titan-test-XXXXXX").string();
    const char *created = ::mkdtemp(pattern.data());
    EXPECT_NE(created, nullptr);
    path = created;
  }
  TestFolder(const TestFolder &) = delete;
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }

  std::filesystem::path operator/(std::string_view name) const { return path / name; }
  /// Writes a file and returns its path.
  std::filesystem::path write(std::string_view name, std::string_view contents) const {
    const std::filesystem::path file = path / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << contents;
    return file;
  }

  std::filesystem::path path;
};

} // namespace titan::test
