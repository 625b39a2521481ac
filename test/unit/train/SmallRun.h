// A trainer of the small program, on text of its own.
#pragma once

#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/format/ProgramFile.h"
#include "runtime/train/Trainer.h"
#include "test/unit/TestFolder.h"

namespace titan::test {

/// What Trainer::create needs, alive as long as the trainer.
class SmallRun {
public:
  /// Overrides are as on the command line, such as "training.steps=3".
  SmallRun(const std::vector<std::string> &overrides, Logger &logger,
           const char *program = TITAN_PROGRAM)
      : device(2) {
    std::string text;
    for (int i = 0; i < 2000; ++i)
      text += "line " + std::to_string(i * i) + "\n";
    auto opened = format::ProgramFile::open(program);
    EXPECT_TRUE(opened.ok()) << opened.status().message();
    file.emplace(*std::move(opened));
    std::vector<std::string> all = {"training.dataset_path=" +
                                        folder.write("text.txt", text).string(),
                                    "job.dump_folder=" + folder.path.string(), "debug.seed=1"};
    all.insert(all.end(), overrides.begin(), overrides.end());
    auto compiled = parseJob(file->program().job, "the program's job");
    EXPECT_TRUE(compiled.ok()) << compiled.status().message();
    auto loaded = overrideCompiledJob((*compiled).config, all);
    EXPECT_TRUE(loaded.ok()) << loaded.status().message();
    job = (*loaded).config;
    auto created = Trainer::create(file->program(), device, job, logger);
    EXPECT_TRUE(created.ok()) << created.status().message();
    trainer = *std::move(created);
  }

  TestFolder folder;
  std::optional<format::ProgramFile> file;
  cpu::CpuDevice device;
  JobConfig job;
  std::unique_ptr<Trainer> trainer;
};

} // namespace titan::test
