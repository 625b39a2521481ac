#include "runtime/base/File.h"
#include "test/unit/TestFolder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace titan;
using titan::test::TestFolder;

static size_t countEntries(const std::filesystem::path &folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder),
                                           std::filesystem::directory_iterator()));
}

TEST(File, MapsWhatWasWritten) {
  TestFolder folder;
  const std::string text("some\0bytes", 10);
  ASSERT_TRUE(writeFileAtomically(folder / "deep/er/file", text).ok());
  auto map = MappedFile::open(folder / "deep/er/file");
  ASSERT_TRUE(map.ok()) << map.status().message();
  EXPECT_EQ(map->bytes().size(), text.size());
  EXPECT_EQ(*readFile(folder / "deep/er/file"), text);
}

TEST(File, MapsAnEmptyFile) {
  TestFolder folder;
  auto map = MappedFile::open(folder.write("empty", ""));
  ASSERT_TRUE(map.ok());
  EXPECT_TRUE(map->bytes().empty());
}

TEST(File, NamesWhatItCannotRead) {
  TestFolder folder;
  auto missing = readFile(folder / "missing");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.status().code(), StatusCode::notFound);
  EXPECT_NE(missing.status().message().find("missing': no such file or directory"),
            std::string::npos);
  auto directory = readFile(folder.path);
  ASSERT_FALSE(directory.ok());
  EXPECT_NE(directory.status().message().find("not a regular file"), std::string::npos);
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_FALSE(readFile(folder / "fifo").ok());
}

TEST(File, UncommittedFilesLeaveNothing) {
  TestFolder folder;
  folder.write("file", "old");
  {
    auto file = AtomicFile::create(folder / "file");
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->append("new contents").ok());
    EXPECT_EQ(*readFile(folder / "file"), "old");
  }
  EXPECT_EQ(*readFile(folder / "file"), "old");
  EXPECT_EQ(countEntries(folder.path), 1u);
}

TEST(File, CommitReplacesAndOverwritesInPlace) {
  TestFolder folder;
  folder.write("file", "old");
  auto file = AtomicFile::create(folder / "file");
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->append("....-tail").ok());
  ASSERT_TRUE(file->overwrite(0, std::as_bytes(std::span("head", 4))).ok());
  ASSERT_TRUE(file->append("!").ok());
  ASSERT_TRUE(file->commit().ok());
  EXPECT_EQ(*readFile(folder / "file"), "head-tail!");
  EXPECT_EQ(countEntries(folder.path), 1u);
}

TEST(File, WritesIntoAPipeAndLeavesItOne) {
  TestFolder folder;
  const std::filesystem::path path = folder / "pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  const Status status = writeFileAtomically(path, "words");
  char text[16] = "";
  EXPECT_EQ(::read(reader, text, sizeof text - 1), 5);
  ::close(reader);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_STREQ(text, "words");
  EXPECT_TRUE(std::filesystem::is_fifo(path));
  EXPECT_EQ(countEntries(folder.path), 1u);
}

TEST(File, WritesIntoADevice) {
  // Through a link, so that a failure of this test does not replace the device itself.
  TestFolder folder;
  std::filesystem::create_symlink("/dev/null", folder / "null");
  EXPECT_TRUE(writeFileAtomically(folder / "null", "words").ok());
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "null"));
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

TEST(File, CannotCreateBelowAFile) {
  TestFolder folder;
  folder.write("file", "");
  EXPECT_FALSE(writeFileAtomically(folder / "file/below", "x").ok());
}
