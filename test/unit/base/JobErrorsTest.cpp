// Every error that a job file or an option can cause, word by word.
#include "runtime/base/JobConfig.h"

#include <gtest/gtest.h>

using namespace titan;
using Strings = std::vector<std::string>;

static std::string errorOf(std::string_view text, Strings overrides = {}) {
  overrides.push_back("training.mixed_precision_param=float32");
  return parseJob(text, "job.toml", overrides).status().message();
}

TEST(JobErrors, BrokenToml) {
  EXPECT_EQ(errorOf("[training]\nsteps = \n").substr(0, 30), "job.toml:2: broken TOML at col");
  // The sanitizers see when the parser trusts the character behind the bracket.
  EXPECT_EQ(errorOf("[=x]\n"), "job.toml:1: broken TOML at column 2: error while parsing key: "
                               "expected bare key starting character or string delimiter, saw '='");
  EXPECT_NE(errorOf("[training\n"), "");
  EXPECT_NE(errorOf("[training]\nsteps = 1\nsteps = 2\n"), "");
  EXPECT_NE(errorOf("\xff\xfe"), "");
  EXPECT_NE(errorOf("a = " + std::string(100000, '[')), "");
  EXPECT_NE(errorOf(std::string_view("[tr\0aining]", 11)), "");
}

TEST(JobErrors, DeepTables) {
  std::string deep = "a";
  for (int i = 0; i < 100000; ++i)
    deep += ".a";
  const std::string error = "broken TOML: more than 64 dots, expected at most 2 in a key, such as "
                            "training.dataloader.num_workers";
  EXPECT_EQ(errorOf("[job]\n" + deep + " = 1\n"), "job.toml:2: " + error);
  EXPECT_EQ(errorOf("[" + deep + "]\n"), "job.toml:1: " + error);
  EXPECT_EQ(errorOf("x = \"\\\"\" # '\n\"\\\"\"." + deep + " = 1\n"), "job.toml:2: " + error);
  // Dots elsewhere are nobody's business.
  const std::string dots(100, '.');
  EXPECT_EQ(errorOf("# " + dots + "\n[job]\ndescription = \"it's " + dots + "\" # " + dots), "");
}

TEST(JobErrors, UnknownKeys) {
  EXPECT_EQ(errorOf("[training]\nseq_length = 3\n"),
            "job.toml:2: unknown key 'training.seq_length', did you mean 'training.seq_len'?");
  EXPECT_EQ(errorOf("[trainning]\nsteps = 3\n"),
            "job.toml:2: unknown key 'trainning.steps', did you mean 'training.steps'?");
  EXPECT_EQ(errorOf("[optimizer]\nseq_len = 3\n"),
            "job.toml:2: unknown key 'optimizer.seq_len', did you mean 'training.seq_len'?");
  EXPECT_EQ(errorOf("weight_decay = 3\n"),
            "job.toml:1: unknown key 'weight_decay', did you mean 'optimizer.weight_decay'?");
  EXPECT_EQ(errorOf("[zzzzzzzzzzzz]\nqqqqqqqqqq = 3\n"),
            "job.toml:2: unknown key 'zzzzzzzzzzzz.qqqqqqqqqq'");
  EXPECT_EQ(errorOf("", {"training.sed=3"}),
            "unknown option --training.sed, did you mean 'training.steps'?");
}

TEST(JobErrors, WrongTypes) {
  EXPECT_EQ(errorOf("[training]\n\nseq_len = \"many\"\n"),
            "job.toml:3: training.seq_len: found \"many\", expected an integer");
  EXPECT_EQ(errorOf("[training]\nseq_len = 2.5\n"),
            "job.toml:2: training.seq_len: found 2.5, expected an integer");
  EXPECT_EQ(errorOf("[training]\nseq_len = true\n"),
            "job.toml:2: training.seq_len: found true, expected an integer");
  EXPECT_EQ(errorOf("[optimizer]\nlr = \"1e-3\"\n"),
            "job.toml:2: optimizer.lr: found \"1e-3\", expected a number");
  EXPECT_EQ(errorOf("[validation]\nenable = 1\n"),
            "job.toml:2: validation.enable: found 1, expected a boolean (true or false)");
  EXPECT_EQ(errorOf("[model]\nflavor = 8\n"),
            "job.toml:2: model.flavor: found 8, expected a string");
  EXPECT_EQ(errorOf("[model]\nconverters = [1]\n"),
            "job.toml:2: model.converters: found an array, expected a list of strings");
  EXPECT_EQ(errorOf("[model]\nflavor = 2024-01-01\n"),
            "job.toml:2: model.flavor: found a date or time, expected a string");
  EXPECT_EQ(errorOf("training = 3\n").substr(0, 35), "job.toml:1: unknown key 'training'");
  EXPECT_EQ(errorOf("[training.steps]\nx = 1\n").substr(0, 43),
            "job.toml:2: unknown key 'training.steps.x',");
  EXPECT_EQ(errorOf("[[training]]\nsteps = 1\n").substr(0, 34),
            "job.toml:1: unknown key 'training'");
}

TEST(JobErrors, WrongOptionValues) {
  EXPECT_EQ(errorOf("", {"training.seq_len=12x"}),
            "option --training.seq_len: found '12x', expected an integer");
  EXPECT_EQ(errorOf("", {"training.seq_len=99999999999999999999"}),
            "option --training.seq_len: found '99999999999999999999', expected an integer");
  EXPECT_EQ(errorOf("", {"training.seq_len=none"}),
            "option --training.seq_len: found 'none', expected an integer");
  EXPECT_EQ(errorOf("", {"validation.enable=yes"}),
            "option --validation.enable: found 'yes', expected a boolean (true or false)");
  EXPECT_EQ(errorOf("", {"model.flavor=\xff"}),
            "option --model.flavor: the value is not valid UTF-8");
  EXPECT_EQ(errorOf("", {"model.flavor"}),
            "option --model.flavor: the value is missing, expected a string");
}

TEST(JobErrors, OutOfRange) {
  EXPECT_EQ(errorOf("[training]\nseq_len = 0\n"),
            "job.toml:2: training.seq_len: found 0: must be at least 1");
  EXPECT_EQ(errorOf("[training]\nglobal_batch_size = 0\n"),
            "job.toml:2: training.global_batch_size: found 0: must be at least 1, or -1");
  EXPECT_EQ(errorOf("[optimizer]\nbeta1 = 1\n"),
            "job.toml:2: optimizer.beta1: found 1: must be at least 0 and below 1");
  EXPECT_EQ(errorOf("[optimizer]\nlr = nan\n"),
            "job.toml:2: optimizer.lr: found nan: must be at least 0 and at most 1e+30");
  EXPECT_EQ(errorOf("[training]\nmax_norm = 0.0\n"),
            "job.toml:2: training.max_norm: found 0.0: must be above 0");
  EXPECT_EQ(errorOf("[lr_scheduler]\ndecay_type = \"exp\"\n"),
            "job.toml:2: lr_scheduler.decay_type: found \"exp\": must be one of \"linear\", "
            "\"sqrt\", \"cosine\"");
  EXPECT_EQ(errorOf("[optimizer]\nname = \"Muon\"\n"),
            "job.toml:2: optimizer.name: found \"Muon\": must be one of \"AdamW\", \"Adam\"");
  EXPECT_EQ(errorOf("[profiling]\nprofile_freq = 4\nprofiler_active = 5\n"),
            "profiling.profiler_active = 5 is more than profiling.profile_freq = 4; at most 4 is "
            "legal");
}

TEST(JobErrors, Unsupported) {
  EXPECT_EQ(errorOf("", {"parallelism.context_parallel_degree=8"}),
            "option --parallelism.context_parallel_degree: parallelism.context_parallel_degree = 8 "
            "is not supported: this axis of the mesh is not supported yet; legal is 1");
  EXPECT_EQ(
      errorOf("[model]\nconverters = [\"quantize.linear.float8\"]\n"),
      "job.toml:2: model.converters = [\"quantize.linear.float8\"] is not supported: float8 is "
      "not supported yet; legal is []");
  EXPECT_EQ(errorOf("[model]\ntokenizer_path = \"x\"\n"),
            "job.toml:2: model.tokenizer_path = \"x\" is not supported: it was renamed: set "
            "model.hf_assets_path; legal is nothing");
  EXPECT_NE(errorOf("[training]\ndtype = \"bfloat16\"\n"), "");
  EXPECT_NE(errorOf("[checkpoint]\nenable = true\n"), "");
  EXPECT_NE(errorOf("[fault_tolerance]\nenable = true\n"), "");
  EXPECT_NE(errorOf("[experimental]\ncustom_import = \"x\"\n"), "");
  for (const char *axis : {"context_parallel", "expert_parallel", "expert_tensor_parallel"})
    EXPECT_NE(errorOf("", {std::string("parallelism.") + axis + "_degree=2"}), "") << axis;
}
