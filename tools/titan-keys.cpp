// titan-keys: prints the table of job keys as Markdown, for docs/generated/job-keys.md.
#include "runtime/base/JobKeys.h"

#include <cstdio>

int main() {
  const std::string page = titan::jobKeysMarkdown();
  return std::fwrite(page.data(), 1, page.size(), stdout) == page.size() ? 0 : 1;
}
