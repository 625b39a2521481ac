#include "runtime/base/JobConfig.h"
#include "runtime/base/JobKeys.h"
#include "test/unit/TestFolder.h"

#include <set>

using namespace titan;
using titan::test::TestFolder;
using Strings = std::vector<std::string>;

namespace {

/// The one key that every job must set for now.
constexpr const char *kFloat32 = "training.mixed_precision_param=float32";

LoadedJob parseOrFail(std::string_view text, Strings overrides = {}) {
  overrides.push_back(kFloat32);
  auto job = parseJob(text, "job.toml", overrides);
  EXPECT_TRUE(job.ok()) << job.status().message();
  return job.ok() ? *std::move(job) : LoadedJob();
}

} // namespace

TEST(JobConfig, DefaultsAreTorchtitans) {
  const LoadedJob job = parseOrFail("");
  EXPECT_TRUE(job.notes.empty());
  EXPECT_EQ(job.config.training.seqLen, 2048);
  EXPECT_EQ(job.config.training.localBatchSize, 8);
  EXPECT_EQ(job.config.globalRows(), 8);
  EXPECT_EQ(job.config.training.steps, 10000);
  EXPECT_EQ(job.config.optimizer.lr, 8e-4);
  EXPECT_EQ(job.config.optimizer.beta2, 0.95);
  EXPECT_EQ(job.config.lrScheduler.warmupSteps, 200);
  EXPECT_FALSE(job.config.lrScheduler.totalSteps);
  EXPECT_EQ(job.config.metrics.logFreq, 10);
  EXPECT_EQ(job.config.validation.steps, -1);
  EXPECT_FALSE(job.config.training.lossChunks);
  EXPECT_FALSE(job.config.debug.seed);
}

TEST(JobConfig, ReadsEveryTypeOfValue) {
  const LoadedJob job = parseOrFail(R"(
[model]
flavor = "8B"
dim = 128
tied_embeddings = true
rope_theta = 10000        # an integer where a number is meant
[training]
max_norm = 0.5
dataset_path = "a \"quoted\" path"
[validation]
enable = true
)");
  EXPECT_EQ(job.config.model.flavor, "8B");
  EXPECT_EQ(job.config.model.dim, 128);
  EXPECT_EQ(job.config.model.tiedEmbeddings, true);
  EXPECT_EQ(job.config.model.ropeTheta, 10000.0);
  EXPECT_FALSE(job.config.model.nLayers);
  EXPECT_EQ(job.config.training.maxNorm, 0.5);
  EXPECT_EQ(job.config.training.datasetPath, "a \"quoted\" path");
  EXPECT_TRUE(job.config.validation.enable);
}

TEST(JobConfig, LaterOverridesWin) {
  const LoadedJob job =
      parseOrFail("[training]\nsteps = 5\n", {"training.steps=6", "training.steps=7"});
  EXPECT_EQ(job.config.training.steps, 7);
}

TEST(JobConfig, NoneUnsetsOptionalKeys) {
  EXPECT_FALSE(parseOrFail("[debug]\nseed = 3", {"debug.seed=none"}).config.debug.seed.has_value());
}

TEST(JobConfig, SplitsArguments) {
  const Strings arguments = {"job.toml",
                             "-o",
                             "model.tbin",
                             "--training.seq-len",
                             "256",
                             "--optimizer.lr=1e-3",
                             "--validation.enable",
                             "--metrics.no_disable_color_printing",
                             "--model.tied_embeddings",
                             "false",
                             "--training.global_batch_size",
                             "-1",
                             "--report",
                             "--target=cpu",
                             "--model.converters",
                             "a,b"};
  auto split = splitArguments(arguments);
  ASSERT_TRUE(split.ok()) << split.status().message();
  const Strings overrides = {"training.seq_len=256",        "optimizer.lr=1e-3",
                             "validation.enable=true",      "metrics.disable_color_printing=false",
                             "model.tied_embeddings=false", "training.global_batch_size=-1",
                             "model.converters=a,b"};
  EXPECT_EQ(split->overrides, overrides);
  const Strings rest = {"job.toml", "-o", "model.tbin", "--report", "--target=cpu"};
  EXPECT_EQ(split->rest, rest);
}

TEST(JobConfig, SplitArgumentsNamesMistakes) {
  const auto message = [](const Strings &arguments) {
    return splitArguments(arguments).status().message();
  };
  EXPECT_EQ(message({"--training.seqlen", "3"}),
            "unknown option --training.seqlen, did you mean 'training.seq_len'?");
  EXPECT_EQ(message({"--training.seq_len"}),
            "option --training.seq_len: the value is missing, expected an integer");
  EXPECT_EQ(message({"--training.seq_len", "--training.steps"}),
            "option --training.seq_len: the value is missing, expected an integer");
  EXPECT_EQ(message({"--validation.no_enable=true"}),
            "option --validation.no_enable: takes no value");
  EXPECT_EQ(message({"--training.no_steps"}).substr(0, 34), "unknown option --training.no_steps");
}

TEST(JobConfig, IgnoredKeysGetOneNote) {
  const LoadedJob job = parseOrFail(R"(
[compile]
enable = true
[training]
gc_freq = 10
gc_debug = false           # the default: not worth a note
[parallelism]
enable_async_tensor_parallel = true
)");
  ASSERT_EQ(job.notes.size(), 1u);
  EXPECT_EQ(job.notes[0],
            "ignored, since they change no result here: training.gc_freq (there is no "
            "garbage collector), compile.enable (Titan always compiles)");
}

TEST(JobConfig, MemoryLimitIsAnAmountWhereItCounts) {
  auto parse = [](const char *mode, const char *limit) {
    return parseJob(std::string("[activation_checkpoint]\nmode = \"") + mode +
                        "\"\nmemory_limit = \"" + limit + "\"\n",
                    "job.toml", Strings{kFloat32});
  };
  EXPECT_TRUE(parse("memory_limit", "40GiB").ok());
  EXPECT_TRUE(parse("auto", "").ok());
  EXPECT_TRUE(parse("full", "much").ok());
  EXPECT_EQ(parse("memory_limit", "much").status().message(),
            "activation_checkpoint.memory_limit: \"much\" is no amount of memory: a positive "
            "number and KiB, MiB, GiB, TiB, KB, MB, GB or TB, such as \"40GiB\"");
}

TEST(JobConfig, RecomputationByLayersOrByOps) {
  for (const char *option : {"op", "1", "126"}) {
    const LoadedJob job =
        parseOrFail(std::string("[activation_checkpoint]\nselective_ac_option = \"") + option +
                    "\"\nearly_stop = true\n");
    EXPECT_EQ(job.config.activationCheckpoint.selectiveAcOption, option);
    EXPECT_TRUE(job.notes.empty());
  }
  for (const char *option : {"", "0", "-1", "2x", "ops", "1.5"})
    EXPECT_EQ(
        parseJob(std::string("[activation_checkpoint]\nselective_ac_option = \"") + option + "\"\n",
                 "job.toml", Strings{kFloat32})
            .status()
            .message(),
        std::string("activation_checkpoint.selective_ac_option = \"") + option +
            "\" must be \"op\" or a positive number of layers, such as \"2\"");
}

TEST(JobConfig, PrintsTheConfiguration) {
  const LoadedJob job = parseOrFail("[job]\nprint_config = true\n");
  ASSERT_EQ(job.notes.size(), 1u);
  EXPECT_NE(job.notes[0].find("[training]\ndataset = \"c4_test\"\n"), std::string::npos);
}

TEST(JobConfig, TomlRoundTripsEveryKey) {
  // Give every key a value that is not its default, through the table.
  JobConfig config;
  int number = 3;
  for (const JobKey &key : jobKeys()) {
    if (!key.set || key.support != KeySupport::used)
      continue;
    JobValue value;
    if (key.type == KeyType::boolean)
      value = key.defaultValue != JobValue(true);
    else if (key.type == KeyType::integer)
      value = int64_t{8} * ++number;
    else if (key.type == KeyType::number)
      value = 1.0 / ++number;
    else
      value = key.choices.empty() ? "\"\\\n\x7f \u00e9 " + std::to_string(++number)
                                  : key.choices.back();
    key.set(config, value);
  }
  config.training.globalBatchSize = 2 * config.training.localBatchSize;
  config.training.mixedPrecisionParam = "float32";
  config.profiling.profileFreq = 2 * config.profiling.profilerActive;
  config.activationCheckpoint.selectiveAcOption = "op";
  config.training.lossChunks = 16;
  const std::string text = toToml(config);
  auto job = parseJob(text, "again", {});
  ASSERT_TRUE(job.ok()) << job.status().message() << "\n" << text;
  EXPECT_EQ(toToml(job->config), text);
  for (const JobKey &key : jobKeys())
    if (key.get) {
      EXPECT_EQ(key.get(job->config), key.get(config)) << key.fullName();
    }
}

TEST(JobConfig, CompiledProgramsRefuseCompileTimeChanges) {
  const JobConfig compiled = parseOrFail("[model]\ndim = 256\n").config;
  const auto apply = [&](const Strings &overrides) {
    return overrideCompiledJob(compiled, overrides);
  };
  auto job = apply({"training.steps=20", "model.dim=256", "optimizer.lr=1"});
  ASSERT_TRUE(job.ok()) << job.status().message();
  EXPECT_EQ(job->config.training.steps, 20);
  EXPECT_EQ(job->config.model.dim, 256);
  EXPECT_EQ(apply({"model.dim=512"}).status().message(),
            "option --model.dim: found 512, but the program was compiled with 256, and this key is "
            "fixed when a program is compiled; compile the job again with this option, or leave it "
            "out");
  EXPECT_FALSE(apply({"training.seq_len=16"}).ok());
  EXPECT_FALSE(apply({"model.n_layers=2"}).ok());
}

TEST(JobConfig, NamesChangedCompileKeys) {
  JobConfig a, b;
  b.training.steps = 1;
  EXPECT_TRUE(changedCompileKeys(a, b).empty());
  b.training.seqLen = 1;
  b.model.dim = 3;
  const Strings expected = {"model.dim", "training.seq_len"};
  EXPECT_EQ(changedCompileKeys(a, b), expected);
}

TEST(JobConfig, LoadsAFile) {
  TestFolder folder;
  const auto path = folder.write("job.toml", "[training]\nsteps = 5\n");
  const Strings overrides = {kFloat32};
  auto job = loadJob(path, overrides);
  ASSERT_TRUE(job.ok()) << job.status().message();
  EXPECT_EQ(job->config.training.steps, 5);
  EXPECT_EQ(loadJob(folder / "missing.toml").status().code(), StatusCode::notFound);
}

TEST(JobKeys, TableIsConsistent) {
  std::set<std::string> names;
  for (const JobKey &key : jobKeys()) {
    EXPECT_TRUE(names.insert(key.fullName()).second) << key.fullName() << " appears twice";
    EXPECT_FALSE(key.doc.empty()) << key.fullName();
    EXPECT_EQ(key.get == nullptr, key.set == nullptr) << key.fullName();
    EXPECT_TRUE(conform(key, key.defaultValue).ok()) << key.fullName();
    if (key.support == KeySupport::refused) {
      EXPECT_FALSE(key.accepted.empty() || key.reason.empty()) << key.fullName();
    }
    if (key.support == KeySupport::used) {
      EXPECT_NE(key.get, nullptr) << key.fullName();
    }
  }
  EXPECT_GT(names.size(), 150u);
  const std::string page = jobKeysMarkdown();
  for (const JobKey &key : jobKeys())
    EXPECT_NE(page.find("| `" + key.name + "` |"), std::string::npos) << key.fullName();
}
