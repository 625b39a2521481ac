#include "runtime/data/Documents.h"

#include "test/unit/data/DataTestUtils.h"

using namespace titan;
using titan::test::compress;
using titan::test::TestFolder;
using Strings = std::vector<std::string>;

namespace {

StatusOr<Strings> readAll(const std::string &path, std::optional<std::string> separator = {}) {
  TITAN_ASSIGN_OR_RETURN(auto files, findInputs(path));
  DocumentReader reader(std::move(files), std::move(separator));
  Strings documents;
  std::string document;
  for (;;) {
    TITAN_ASSIGN_OR_RETURN(const bool found, reader.next(document));
    if (!found)
      return documents;
    documents.push_back(document);
  }
}

std::string errorOf(const std::string &path) { return readAll(path).status().message(); }

} // namespace

TEST(Documents, AFileIsADocument) {
  TestFolder folder;
  const std::string big(3 << 20, 'x'); // more than a buffer
  folder.write("b.txt", "two\nlines\n");
  folder.write("a.txt", "one");
  folder.write("c.txt.gz", compress(big));
  EXPECT_EQ(*readAll(folder.path), (Strings{"one", "two\nlines\n", big}));
}

TEST(Documents, SeparatorsCutText) {
  TestFolder folder;
  folder.write("fortunes", "first\n%\nsecond\nhas two lines %\n%\n\n%\n%%\n%\nlast");
  EXPECT_EQ(*readAll(folder / "fortunes", "%"),
            (Strings{"first\n", "second\nhas two lines %\n", "%%\n", "last\n"}));
}

TEST(Documents, JsonLines) {
  TestFolder folder;
  const std::string lines =
      "{\"text\": \"one\", \"url\": \"x\"}\n\n{\"text\": \"t\\u00e9 \\\"q\\\"\"}";
  folder.write("1.jsonl", lines);
  folder.write("2.json.gz", compress("{\"text\": \"\"}\n"));
  // Concatenated members are one file, as gzip says.
  folder.write("3.jsonl.gz", compress("{\"text\": \"a\"}\n") + compress("{\"text\": \"b\"}\n"));
  EXPECT_EQ(*readAll(folder.path), (Strings{"one", "t\u00e9 \"q\"", "", "a", "b"}));
}

TEST(Documents, LinesMayBeLongerThanABuffer) {
  TestFolder folder;
  const std::string big(5 << 19, 'y');
  folder.write("a.jsonl", "{\"text\": \"" + big + "\"}\n{\"text\": \"z\"}\n");
  EXPECT_EQ(*readAll(folder.path), (Strings{big, "z"}));
}

TEST(Documents, FindsFilesOfFoldersAndGlobs) {
  TestFolder folder;
  for (const char *name : {"b/art", "b/art.dat", "b/.hidden", "a.txt", "c.md", "d.py", "e.json.gz",
                           "f.jsonl", "g.gz", "h.bin.gz"})
    folder.write(name, "");
  std::filesystem::create_symlink(folder / "a.txt", folder / "link.txt");
  std::filesystem::create_symlink(folder / "nowhere", folder / "dangling.txt");
  const auto names = [&](const std::string &path) {
    auto files = findInputs(path);
    EXPECT_TRUE(files.ok()) << files.status().message();
    Strings result;
    for (const auto &file : *files)
      result.push_back(file.lexically_relative(folder.path));
    return result;
  };
  EXPECT_EQ(names(folder.path),
            (Strings{"a.txt", "b/art", "c.md", "e.json.gz", "f.jsonl", "g.gz", "link.txt"}));
  EXPECT_FALSE(findInputs(folder / "*.txt").ok()); // names the dangling link
  std::filesystem::remove(folder / "dangling.txt");
  EXPECT_EQ(names(folder / "*.txt"), (Strings{"a.txt", "link.txt"}));
  EXPECT_EQ(names(folder / "[cd].*"), (Strings{"c.md", "d.py"}));
  EXPECT_EQ(names(folder / "d.py"), Strings{"d.py"}); // named outright, any name will do
}

TEST(Documents, PathErrors) {
  TestFolder folder;
  const std::string missing = folder / "missing";
  EXPECT_EQ(errorOf(missing), "cannot read '" + missing + "': no such file or directory");
  EXPECT_EQ(errorOf(missing + "*"), "no file matches '" + missing + "*'");
  EXPECT_NE(errorOf(folder.path).find("has no data files"), std::string::npos);
  EXPECT_EQ(errorOf("/dev/null"), "cannot read '/dev/null': neither a file nor a folder");
  EXPECT_EQ(findInputs(missing).status().code(), StatusCode::notFound);
}

TEST(Documents, JsonErrorsNameTheLine) {
  TestFolder folder;
  const auto error = [&](const std::string &text) {
    const std::string path = folder.write("a.jsonl", text);
    std::string message = errorOf(path);
    EXPECT_EQ(message.substr(0, path.size()), path);
    return message.substr(path.size());
  };
  EXPECT_EQ(error("{\"text\": \"a\"}\n{\"text\": \n"), ":2: the line is not a JSON object");
  EXPECT_EQ(error("[\n"), ":1: the line is not a JSON object");
  EXPECT_EQ(error("\n\n\"text\"\n"), ":3: the line is not a JSON object");
  EXPECT_EQ(error("{\"txt\": \"a\"}"), ":1: the object has no string under the key \"text\"");
  EXPECT_EQ(error("{\"text\": 3}"), ":1: the object has no string under the key \"text\"");
  EXPECT_EQ(error("{\"text\": \"\xff\"}"), ":1: the line is not a JSON object");
  EXPECT_EQ(error(std::string("{\"text\": \"\0\"}", 13)), ":1: the line is not a JSON object");
}

TEST(Documents, GzipErrors) {
  TestFolder folder;
  const std::string name = folder.write("a.txt.gz", "plain text");
  EXPECT_EQ(errorOf(name), "'" + name + "' is not a gzip file, though its name ends with .gz");
  std::string bytes;
  for (int i = 0; i < 2000; ++i)
    bytes += std::to_string(i * 7919);
  const std::string good = compress(bytes);
  folder.write("a.txt.gz", good);
  ASSERT_EQ(*readAll(name), Strings{bytes});
  for (size_t length = 2; length < good.size(); length += 7) {
    folder.write("a.txt.gz", good.substr(0, length));
    EXPECT_FALSE(readAll(name).ok()) << length;
  }
  folder.write("a.txt.gz", good.substr(0, good.size() - 9));
  EXPECT_EQ(errorOf(name), "cannot read '" + name + "': the compressed data ends too early");
  for (size_t i = 2; i < good.size(); i += 5) {
    std::string damaged = good;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x55);
    folder.write("a.txt.gz", damaged);
    auto documents = readAll(name); // header fields such as the time may change unnoticed
    if (documents.ok()) {
      EXPECT_EQ(*documents, Strings{bytes}) << i;
    }
  }
}

TEST(Documents, HashFollowsFilesAndSeparator) {
  TestFolder folder;
  const auto a = folder.write("a", "text");
  const std::vector<std::filesystem::path> files = {a};
  const uint64_t hash = *hashInputs(files, {});
  EXPECT_EQ(*hashInputs(files, {}), hash);
  EXPECT_NE(*hashInputs(files, "%"), hash);
  EXPECT_NE(*hashInputs(files, ""), hash);
  folder.write("a", "texts");
  EXPECT_NE(*hashInputs(files, {}), hash);
  std::filesystem::last_write_time(a, std::filesystem::file_time_type::clock::now() -
                                          std::chrono::hours(1));
  folder.write("b", "text");
  EXPECT_NE(*hashInputs(files, {}), hash);
  EXPECT_EQ(*inputBytes(files), 5u);
  const std::vector<std::filesystem::path> missing = {folder / "missing"};
  EXPECT_FALSE(hashInputs(missing, {}).ok());
  EXPECT_FALSE(inputBytes(missing).ok());
}
