#include "runtime/world/Launcher.h"

#include <gtest/gtest.h>

#include <map>

using namespace titan;

namespace {

using Variables = std::map<std::string, std::string>;

StatusOr<LaunchInfo> detect(const Variables &variables) {
  return detectLaunch([&](const std::string &name) -> std::optional<std::string> {
    auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
}

Variables slurm() {
  return {{"SLURM_PROCID", "5"},
          {"SLURM_NTASKS", "16"},
          {"SLURM_LOCALID", "1"},
          {"SLURM_JOB_ID", "4711"},
          {"SLURM_STEP_ID", "0"},
          {"SLURM_STEP_NODELIST", "node[007-010]"},
          {"SLURM_JOB_NODELIST", "node[001-010]"}};
}

Variables torchrun() {
  return {{"RANK", "3"},
          {"WORLD_SIZE", "8"},
          {"LOCAL_RANK", "3"},
          {"MASTER_ADDR", "node1"},
          {"MASTER_PORT", "29500"},
          {"TORCHELASTIC_RUN_ID", "run"}};
}

Variables openMpi() {
  return {{"OMPI_COMM_WORLD_RANK", "1"},       {"OMPI_COMM_WORLD_SIZE", "2"},
          {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
          {"PMIX_NAMESPACE", "956628993"},     {"TMPDIR", "/scratch"}};
}

Variables with(Variables variables, const Variables &changes) {
  for (const auto &[name, value] : changes)
    variables[name] = value;
  return variables;
}

Variables without(Variables variables, const std::string &name) {
  variables.erase(name);
  return variables;
}

void expectError(const Variables &variables, const std::string &part) {
  StatusOr<LaunchInfo> info = detect(variables);
  ASSERT_FALSE(info.ok()) << "expected: " << part;
  EXPECT_EQ(info.status().code(), StatusCode::invalidArgument);
  EXPECT_NE(info.status().message().find(part), std::string::npos)
      << "'" << info.status().message() << "' lacks '" << part << "'";
}

} // namespace

TEST(Launcher, WithoutOneTheProcessIsAlone) {
  for (const Variables &variables :
       {Variables{}, Variables{{"TITAN_RENDEZVOUS", "node1:1"}}, Variables{{"LOCAL_RANK", "2"}}}) {
    StatusOr<LaunchInfo> info = detect(variables);
    ASSERT_TRUE(info.ok()) << info.status().message();
    EXPECT_EQ(info->kind, LauncherKind::none);
    EXPECT_EQ(info->rank, 0);
    EXPECT_EQ(info->worldSize, 1);
    EXPECT_EQ(info->localRank, 0);
  }
}

TEST(Launcher, Slurm) {
  StatusOr<LaunchInfo> info = detect(slurm());
  ASSERT_TRUE(info.ok()) << info.status().message();
  EXPECT_EQ(info->kind, LauncherKind::slurm);
  EXPECT_EQ(info->rank, 5);
  EXPECT_EQ(info->worldSize, 16);
  EXPECT_EQ(info->localRank, 1);
  EXPECT_EQ(info->rendezvous.host, "node007");
  EXPECT_GE(info->rendezvous.port, 20000);
  EXPECT_LT(info->rendezvous.port, 30000);
  EXPECT_EQ(info->job, "slurm/4711/0");
  // The same place for another rank, another for another step.
  EXPECT_EQ(detect(with(slurm(), {{"SLURM_PROCID", "0"}}))->rendezvous.port, info->rendezvous.port);
  EXPECT_NE(detect(with(slurm(), {{"SLURM_STEP_ID", "1"}}))->rendezvous.port,
            info->rendezvous.port);
}

TEST(Launcher, SlurmsJobListStandsInForTheStepsList) {
  StatusOr<LaunchInfo> info = detect(without(slurm(), "SLURM_STEP_NODELIST"));
  ASSERT_TRUE(info.ok()) << info.status().message();
  EXPECT_EQ(info->rendezvous.host, "node001");
  expectError(with(without(slurm(), "SLURM_STEP_NODELIST"), {{"SLURM_JOB_NODELIST", ""}}),
              "SLURM_JOB_NODELIST is not set, but the process was started by Slurm");
}

TEST(Launcher, SlurmSaysHowManyShareTheHost) {
  const std::tuple<const char *, const char *, int> cases[] = {
      {"0", "8(x2)", 8},     {"1", "8(x2)", 8},   {"1", "4,12", 12}, {"2", "4(x2),8", 8},
      {"3", "2(x3),10", 10}, {"2", "8(x2)", 16},  {"0", "", 16},     {"0", "x", 16},
      {"0", "8(x", 16},      {"0", "8(x2", 16},   {"0", "17", 16},   {"", "8(x2)", 16},
      {"-1", "8(x2)", 16},   {"0", "8(x-2)", 16}, {"1", "0,16", 16}};
  for (auto [node, tasks, wanted] : cases) {
    StatusOr<LaunchInfo> info =
        detect(with(slurm(), {{"SLURM_NODEID", node}, {"SLURM_STEP_TASKS_PER_NODE", tasks}}));
    ASSERT_TRUE(info.ok());
    EXPECT_EQ(info->localSize, wanted) << node << " of " << tasks;
  }
  EXPECT_EQ(detect(slurm())->localSize, 16);
}

TEST(Launcher, ABatchScriptIsNoStep) {
  Variables batch = without(without(slurm(), "SLURM_STEP_ID"), "SLURM_STEP_NODELIST");
  EXPECT_EQ(detect(batch)->kind, LauncherKind::none);
}

TEST(Launcher, SlurmErrors) {
  expectError(without(slurm(), "SLURM_NTASKS"),
              "SLURM_NTASKS is not set, but the process was started by Slurm, which sets it");
  expectError(without(slurm(), "SLURM_LOCALID"), "SLURM_LOCALID is not set");
  expectError(without(slurm(), "SLURM_JOB_ID"), "SLURM_JOB_ID is not set");
  expectError(with(slurm(), {{"SLURM_PROCID", "16"}}),
              "SLURM_PROCID is '16'; it must be a rank below SLURM_NTASKS = 16, so 0 to 15");
  expectError(with(slurm(), {{"SLURM_STEP_NODELIST", "node[1-"}}),
              "SLURM_STEP_NODELIST: 'node[1-' is no list of hosts: '[' is not closed");
}

TEST(Launcher, FirstSlurmHost) {
  const std::pair<const char *, const char *> legal[] = {
      {"node7", "node7"},
      {"node7,node8", "node7"},
      {"node[07-09,12],gpu1", "node07"},
      {"node[12,07-09]", "node12"},
      {"node[5]", "node5"},
      {"rack[0-3]node[00-15]", "rack0node00"},
      {"rack[2-3]-ib.cluster_1,x", "rack2-ib.cluster_1"},
      {"[0-3]", "0"},
  };
  for (auto [list, host] : legal) {
    StatusOr<std::string> first = firstSlurmHost(list);
    ASSERT_TRUE(first.ok()) << first.status().message();
    EXPECT_EQ(*first, host);
  }
  const std::pair<const char *, const char *> illegal[] = {
      {"", "it starts with no name"},
      {",node1", "it starts with no name"},
      {"node[1-3", "'[' is not closed"},
      {"node[]", "'[]' starts with no number"},
      {"node[-3]", "'[-3]' starts with no number"},
      {"node[a-c]", "'[a-c]' holds something other than numbers"},
      {"node]1", "']' stands in a name"},
      {"node 1", "' ' stands in a name"},
  };
  for (auto [list, why] : illegal) {
    StatusOr<std::string> first = firstSlurmHost(list);
    ASSERT_FALSE(first.ok()) << list;
    EXPECT_NE(first.status().message().find(why), std::string::npos) << first.status().message();
  }
}

TEST(Launcher, Torchrun) {
  StatusOr<LaunchInfo> info = detect(torchrun());
  ASSERT_TRUE(info.ok()) << info.status().message();
  EXPECT_EQ(info->kind, LauncherKind::torchrun);
  EXPECT_EQ(info->rank, 3);
  EXPECT_EQ(info->worldSize, 8);
  EXPECT_EQ(info->localRank, 3);
  EXPECT_EQ(info->rendezvous.host, "node1");
  EXPECT_EQ(info->job, "torchrun/node1:29500/run");
  const int port = info->rendezvous.port;
  EXPECT_EQ(detect(with(torchrun(), {{"RANK", "0"}}))->rendezvous.port, port);
}

TEST(Launcher, TorchrunsOwnPortIsNeverTaken) {
  Variables variables = torchrun();
  for (int agent = 20000; agent < 30000; ++agent) {
    variables["MASTER_PORT"] = std::to_string(agent);
    StatusOr<LaunchInfo> info = detect(variables);
    ASSERT_TRUE(info.ok());
    ASSERT_NE(info->rendezvous.port, agent);
    ASSERT_TRUE(info->rendezvous.port >= 20000 && info->rendezvous.port < 30000);
  }
}

TEST(Launcher, TorchrunErrors) {
  for (const char *name : {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"})
    expectError(without(torchrun(), name),
                std::string(name) + " is not set, but the process was started by torchrun");
  for (const char *value : {"", " 3", "3 ", "0x3", "-1", "8", "99999999999999999999", "three"})
    expectError(with(torchrun(), {{"RANK", value}}), "RANK is ");
  expectError(with(torchrun(), {{"WORLD_SIZE", "0"}}),
              "WORLD_SIZE is '0'; it must be the number of processes, so 1 to 1048576");
  expectError(with(torchrun(), {{"LOCAL_RANK", "8"}}),
              "LOCAL_RANK is '8'; it must be a rank below WORLD_SIZE = 8, so 0 to 7");
  expectError(with(torchrun(), {{"MASTER_PORT", "65536"}}),
              "MASTER_PORT is '65536'; it must be a port, so 1 to 65535");
}

TEST(Launcher, OpenMpiOfOneHostMeetsThroughAFile) {
  StatusOr<LaunchInfo> info = detect(openMpi());
  ASSERT_TRUE(info.ok()) << info.status().message();
  EXPECT_EQ(info->kind, LauncherKind::openMpi);
  EXPECT_EQ(info->rank, 1);
  EXPECT_EQ(info->worldSize, 2);
  EXPECT_EQ(info->localRank, 1);
  EXPECT_EQ(info->job, "openmpi/956628993");
  const std::string file = info->rendezvous.file;
  EXPECT_EQ(file.find("/scratch/titan-"), 0u) << file;
  EXPECT_NE(file.find("/rendezvous-956628993"), std::string::npos) << file;
  EXPECT_EQ(info->rendezvous.describe(), "the file " + file);
  // Open MPI 5's names hold letters that a file's name should not.
  const std::string odd =
      detect(with(openMpi(), {{"PMIX_NAMESPACE", "prterun-h-12@1/../x"}}))->rendezvous.file;
  EXPECT_NE(odd.find("/rendezvous-prterun-h-12_1_.._x"), std::string::npos) << odd;
}

TEST(Launcher, OpenMpisJobIdStandsInForTheNamespace) {
  Variables old = without(openMpi(), "PMIX_NAMESPACE");
  expectError(old, "neither PMIX_NAMESPACE nor OMPI_MCA_ess_base_jobid is set");
  old["OMPI_MCA_ess_base_jobid"] = "77";
  EXPECT_EQ(detect(old)->job, "openmpi/77");
}

TEST(Launcher, OpenMpiOfSeveralHostsNeedsAnAddress) {
  const Variables several = with(openMpi(), {{"OMPI_COMM_WORLD_LOCAL_SIZE", "1"}});
  expectError(several, "TITAN_RENDEZVOUS is not set, but mpirun started 1 of 2 processes on this "
                       "host: ranks on several hosts need an address");
  StatusOr<LaunchInfo> info = detect(with(several, {{"TITAN_RENDEZVOUS", "node1:29600"}}));
  ASSERT_TRUE(info.ok()) << info.status().message();
  EXPECT_EQ(info->rendezvous.describe(), "node1:29600");
  EXPECT_EQ(info->rendezvous.file, "");
}

TEST(Launcher, OpenMpiErrors) {
  expectError(without(openMpi(), "OMPI_COMM_WORLD_RANK"), "OMPI_COMM_WORLD_RANK is not set");
  expectError(without(openMpi(), "OMPI_COMM_WORLD_SIZE"), "OMPI_COMM_WORLD_SIZE is not set");
  expectError(without(openMpi(), "OMPI_COMM_WORLD_LOCAL_RANK"),
              "OMPI_COMM_WORLD_LOCAL_RANK is not set");
  expectError(without(openMpi(), "OMPI_COMM_WORLD_LOCAL_SIZE"),
              "OMPI_COMM_WORLD_LOCAL_SIZE is not set");
  expectError(with(openMpi(), {{"OMPI_COMM_WORLD_LOCAL_SIZE", "3"}}),
              "OMPI_COMM_WORLD_LOCAL_SIZE is '3'; it must be the processes of this host");
  expectError(with(openMpi(), {{"OMPI_COMM_WORLD_RANK", "2"}}),
              "OMPI_COMM_WORLD_RANK is '2'; it must be a rank below OMPI_COMM_WORLD_SIZE = 2");
}

TEST(Launcher, TheInnermostLauncherCounts) {
  Variables all = slurm();
  all.merge(openMpi());
  EXPECT_EQ(detect(all)->kind, LauncherKind::openMpi);
  all.merge(torchrun());
  EXPECT_EQ(detect(all)->kind, LauncherKind::torchrun);
}

TEST(Launcher, TheRendezvousCanBeOverridden) {
  struct {
    const char *value, *host;
    int port;
  } const legal[] = {{"other:1", "other", 1},
                     {"192.0.2.7:65535", "192.0.2.7", 65535},
                     {"[2001:db8::7]:29600", "2001:db8::7", 29600},
                     {":29600", "node007", 29600}};
  for (const auto &row : legal) {
    StatusOr<LaunchInfo> info = detect(with(slurm(), {{"TITAN_RENDEZVOUS", row.value}}));
    ASSERT_TRUE(info.ok()) << info.status().message();
    EXPECT_EQ(info->rendezvous.host, row.host);
    EXPECT_EQ(info->rendezvous.port, row.port);
    EXPECT_EQ(info->job, "slurm/4711/0");
  }
  for (const char *value : {"", "host", "host:", "host:0", "host:65536", "host:port", "2001::1:5"})
    expectError(with(slurm(), {{"TITAN_RENDEZVOUS", value}}),
                std::string("TITAN_RENDEZVOUS is '") + value + "'; ");
  expectError(with(openMpi(), {{"TITAN_RENDEZVOUS", ":29600"}}),
              "Open MPI gives no host, so it must be HOST:PORT");
}

TEST(Launcher, ReadsTheProcessEnvironment) {
  // The tests' own environment may be a launcher's, but it is a legal one.
  StatusOr<LaunchInfo> info = detectLaunch();
  EXPECT_TRUE(info.ok()) << info.status().message();
}
