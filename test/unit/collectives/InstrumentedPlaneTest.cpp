// The flight recorder and the fault injector, alone and around the local data plane.
#include "runtime/collectives/InstrumentedPlane.h"
#include "runtime/base/File.h"
#include "runtime/collectives/local/LocalPlane.h"
#include "test/unit/TestFolder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cmath>
#include <sstream>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace titan;
using namespace titan::test;
using format::Collective;
using format::Reduction;
using testing::AllOf;
using testing::HasSubstr;

namespace {

std::vector<nlohmann::json> parsed(const std::string &text) {
  std::vector<nlohmann::json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);)
    lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST(FlightRecorder, WritesOneLinePerCollective) {
  FlightRecorder recorder(3);
  const int gather = recorder.addOperation("all_gather", "dp_shard of ranks 1 and 3", 1024);
  const int reduce = recorder.addOperation("all_reduce", "the \"tp\"", 4);
  recorder.setStep(7);
  const uint64_t first = recorder.started(gather, 4), second = recorder.started(reduce, 9);
  recorder.awaited(first);
  EXPECT_TRUE(recorder.isWaiting());
  recorder.finished(first, true);
  EXPECT_FALSE(recorder.isWaiting());
  recorder.awaited(second);
  recorder.started(reduce, 10);

  TestFolder folder;
  ASSERT_TRUE(recorder.dump(folder / "records" / "rank_3").ok());
  const auto text = readFile(folder / "records" / "rank_3");
  ASSERT_TRUE(text.ok());
  const auto lines = parsed(*text);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0]["rank"], 3);
  EXPECT_EQ(lines[0]["number"], 1);
  EXPECT_EQ(lines[0]["step"], 7);
  EXPECT_EQ(lines[0]["collective"], "all_gather");
  EXPECT_EQ(lines[0]["group"], "dp_shard of ranks 1 and 3");
  EXPECT_EQ(lines[0]["sequence"], 4);
  EXPECT_EQ(lines[0]["bytes"], 1024);
  EXPECT_EQ(lines[0]["state"], "done");
  EXPECT_LE(lines[0]["started"].get<double>(), lines[0]["awaited"].get<double>());
  EXPECT_LE(lines[0]["awaited"].get<double>(), lines[0]["ended"].get<double>());
  EXPECT_NEAR(lines[0]["started"].get<double>(), double(std::time(nullptr)), 100);
  EXPECT_EQ(lines[1]["state"], "awaited");
  EXPECT_EQ(lines[1]["group"], "the \"tp\"");
  EXPECT_FALSE(lines[1].contains("ended"));
  EXPECT_EQ(lines[2]["state"], "started");
  EXPECT_FALSE(lines[2].contains("awaited"));
}

TEST(FlightRecorder, KeepsTheLatest) {
  FlightRecorder recorder(0, 4);
  const int operation = recorder.addOperation("all_reduce", "tp", 4);
  const uint64_t old = recorder.started(operation, 1);
  for (uint64_t i = 2; i <= 10; ++i)
    recorder.finished(recorder.started(operation, i), i != 9);
  recorder.finished(old, false); // its place belongs to another by now
  const auto lines = parsed(recorder.toJsonLines());
  ASSERT_EQ(lines.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(lines[i]["sequence"], i + 7);
    EXPECT_EQ(lines[i]["state"], i == 2 ? "failed" : "done");
  }
}

TEST(FlightRecorder, IsReadWhileItIsWritten) {
  FlightRecorder recorder(0, 3);
  const int operation = recorder.addOperation("all_reduce", "tp", 4);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (uint64_t i = 1; !stop.load(); ++i) {
      const uint64_t number = recorder.started(operation, i);
      recorder.awaited(number);
      recorder.finished(number, true);
    }
  });
  for (int i = 0; i < 300; ++i)
    for (const auto &line : parsed(recorder.toJsonLines()))
      EXPECT_EQ(line["number"], line["sequence"]);
  stop = true;
  writer.join();
}

TEST(Fault, Parses) {
  const auto fault = parseFault("rank:3,step:7,collective:12,hang");
  ASSERT_TRUE(fault.ok());
  EXPECT_EQ(fault->rank, 3);
  EXPECT_EQ(fault->step, 7);
  EXPECT_EQ(fault->collective, 12);
  EXPECT_EQ(fault->kind, FaultKind::hang);
  EXPECT_EQ(parseFault("kill,collective:1,rank:0,step:1")->kind, FaultKind::kill);
  EXPECT_EQ(parseFault("rank:0,step:1,collective:1,slow")->kind, FaultKind::slow);
  EXPECT_EQ(parseFault("rank:0,step:1,collective:1,nan")->kind, FaultKind::nan);
}

TEST(Fault, ErrorsNameWhatIsWrong) {
  const auto message = [](std::string_view text) {
    const auto fault = parseFault(text);
    EXPECT_EQ(fault.status().code(), StatusCode::invalidArgument);
    return fault.status().message();
  };
  EXPECT_EQ(message("rank:x,step:7,collective:12,kill"),
            "debug.inject: rank is a number from 0, found 'x'; for example "
            "rank:3,step:7,collective:12,kill");
  EXPECT_THAT(message("rank:-1,step:7,collective:12,kill"), HasSubstr("found '-1'"));
  EXPECT_THAT(message("rank:3,step:0,collective:12,kill"),
              HasSubstr("step is a number from 1, found '0'"));
  EXPECT_THAT(message("rank:3,step:7 ,collective:12,kill"), HasSubstr("found '7 '"));
  EXPECT_THAT(message("rank:99999999999,step:7,collective:12,kill"),
              HasSubstr("found '99999999999'"));
  EXPECT_THAT(message("rank:3,rank:3,step:7,collective:12,kill"), HasSubstr("rank is given twice"));
  EXPECT_THAT(message("rank:3,step:7,kill"), HasSubstr("collective:N is missing"));
  EXPECT_THAT(message("rank:3,step:7,collective:12"), HasSubstr("the fault is missing"));
  EXPECT_THAT(message("rank:3,step:7,collective:12,kill,hang"), HasSubstr("there is one fault"));
  EXPECT_THAT(
      message("rank:3,step:7,collective:12,explode"),
      HasSubstr("'explode' is none of rank:N, step:N, collective:N, kill, hang, slow and nan"));
  EXPECT_THAT(message(""), HasSubstr("'' is none of"));
  EXPECT_THAT(message("rank:3,step:7,collective:12,kill,"), HasSubstr("'' is none of"));
}

/// Two ranks that all-reduce a number three times in each of three steps.
struct Job {
  struct Outcome {
    Status status;
    int64_t step = 0, collective = 0; ///< where it ended
    float value = 0;
  };

  explicit Job(const std::string &text) {
    const auto fault = parseFault(text);
    EXPECT_TRUE(fault.ok());
    auto planes = local::createLocalPlanes(2);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < 2; ++rank) {
      recorders.push_back(std::make_unique<FlightRecorder>(rank));
      injectors.push_back(
          std::make_unique<FaultInjector>(rank, *fault, FaultInjector::Kill::thread));
      planes[size_t(rank)] =
          instrument(std::move(planes[size_t(rank)]), *recorders.back(), *injectors.back());
    }
    for (int rank = 0; rank < 2; ++rank)
      threads.emplace_back([&, rank] { outcomes[rank] = run(*planes[size_t(rank)], rank); });
    for (std::thread &thread : threads)
      thread.join();
  }

  Outcome run(DataPlane &plane, int rank) {
    Outcome outcome;
    outcome.status = steps(plane, rank, outcome);
    // A killed rank tells nobody; any other failure ends the job, hanging ranks included.
    if (!outcome.status.ok() && outcome.status.code() != StatusCode::killed)
      for (auto &injector : injectors)
        injector->release();
    return outcome;
  }

  Status steps(DataPlane &plane, int rank, Outcome &outcome) {
    CommunicatorOptions options;
    options.timeout = std::chrono::seconds(1);
    TITAN_ASSIGN_OR_RETURN(const auto communicator,
                           plane.createCommunicator({"tp", {0, 1}, 1}, options));
    std::byte *place = reinterpret_cast<std::byte *>(&outcome.value);
    const BufferAddress here = BufferAddress::relative(0, 0);
    TITAN_ASSIGN_OR_RETURN(
        const OperationId id,
        communicator->prepare(
            {Collective::allReduce, Reduction::sum, -1, {{DType::f32, here, here, 1, 1}}}));
    for (outcome.step = 1; outcome.step <= 3; ++outcome.step) {
      recorders[size_t(rank)]->setStep(outcome.step);
      injectors[size_t(rank)]->setStep(outcome.step);
      for (outcome.collective = 1; outcome.collective <= 3; ++outcome.collective) {
        outcome.value = 1;
        TITAN_RETURN_IF_ERROR(communicator->start(id, {&place, 1}));
        TITAN_RETURN_IF_ERROR(communicator->await(id));
      }
    }
    return okStatus();
  }

  std::vector<std::unique_ptr<FlightRecorder>> recorders;
  std::vector<std::unique_ptr<FaultInjector>> injectors;
  Outcome outcomes[2];
};

TEST(InstrumentedPlane, RecordsWhatARankDid) {
  Job job("rank:9,step:1,collective:1,kill"); // of a rank that is not there
  EXPECT_TRUE(job.outcomes[0].status.ok() && job.outcomes[1].status.ok());
  EXPECT_EQ(job.outcomes[1].value, 2.0f);
  const auto lines = parsed(job.recorders[1]->toJsonLines());
  ASSERT_EQ(lines.size(), 9u);
  EXPECT_EQ(lines[8]["step"], 3);
  EXPECT_EQ(lines[8]["sequence"], 9);
  EXPECT_EQ(lines[8]["group"], "tp of ranks 0 and 1");
  EXPECT_EQ(lines[8]["bytes"], 4);
  EXPECT_EQ(lines[8]["state"], "done");
}

TEST(InstrumentedPlane, AKilledRankLeavesWithoutAWordAndTheOtherNamesIt) {
  Job job("rank:1,step:2,collective:3,kill");
  EXPECT_EQ(job.outcomes[1].status.code(), StatusCode::killed);
  EXPECT_EQ(job.outcomes[1].status.message(), "debug.inject: rank 1, step 2, collective 3: killed");
  EXPECT_EQ(job.outcomes[0].status.code(), StatusCode::deadlineExceeded);
  EXPECT_EQ(job.outcomes[0].status.message(),
            "rank 0, all_reduce over tp of ranks 0 and 1, sequence number 6: waited 1000 ms for "
            "rank 1");
  EXPECT_EQ(job.outcomes[0].step, 2);
  EXPECT_EQ(job.outcomes[0].collective, 3);
  // The recorders agree: the last that rank 0 waits in is the first that rank 1 never started.
  const auto waiting = parsed(job.recorders[0]->toJsonLines()).back();
  EXPECT_EQ(waiting["sequence"], 6);
  EXPECT_EQ(waiting["state"], "failed");
  EXPECT_EQ(parsed(job.recorders[1]->toJsonLines()).back()["sequence"], 5);
}

TEST(InstrumentedPlane, AHangingRankIsNamedAndReleasedByTheAbort) {
  Job job("rank:0,step:1,collective:2,hang");
  EXPECT_THAT(job.outcomes[1].status.message(), HasSubstr("waited 1000 ms for rank 0"));
  EXPECT_EQ(job.outcomes[0].status.code(), StatusCode::unavailable);
  EXPECT_EQ(job.outcomes[0].status.message(),
            "debug.inject: rank 0, step 1, collective 2: hung until the job was aborted");
}

TEST(InstrumentedPlane, AbortReleasesAHang) {
  FlightRecorder recorder(0);
  FaultInjector injector(0, *parseFault("rank:0,step:1,collective:1,hang"),
                         FaultInjector::Kill::thread);
  auto plane = instrument(std::move(local::createLocalPlanes(1)[0]), recorder, injector);
  auto communicator = *plane->createCommunicator({"tp", {0}, 1}, {});
  injector.setStep(1);
  const OperationId id = *communicator->prepare({Collective::allReduce, Reduction::sum, -1, {}});
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    plane->abort("stop");
  });
  EXPECT_EQ(communicator->start(id).code(), StatusCode::unavailable);
  other.join();
  EXPECT_THAT(communicator->poll().message(), HasSubstr("stop"));
}

std::unique_ptr<DataPlane> anyPlane() { return std::move(local::createLocalPlanes(1)[0]); }

TEST(InstrumentedPlane, ASlowRankIsLateAndNothingMore) {
  FaultInjector injector(0, *parseFault("rank:0,step:1,collective:1,slow"),
                         FaultInjector::Kill::thread);
  injector.setStep(1);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(injector.beforeStart({}, {}, *anyPlane()).ok());
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
  EXPECT_TRUE(injector.beforeStart({}, {}, *anyPlane()).ok());
}

TEST(InstrumentedPlane, ANaNSpreads) {
  Job job("rank:1,step:3,collective:3,nan");
  for (const Job::Outcome &outcome : job.outcomes) {
    EXPECT_TRUE(outcome.status.ok());
    EXPECT_TRUE(std::isnan(outcome.value));
  }
}

TEST(InstrumentedPlane, ANaNNeedsAFloatingPointSource) {
  FaultInjector injector(0, *parseFault("rank:0,step:1,collective:1,nan"),
                         FaultInjector::Kill::thread);
  injector.setStep(1);
  std::byte data[8];
  const BufferAddress here = BufferAddress::fixed(data);
  const Status status = injector.beforeStart(
      {Collective::allReduce, Reduction::sum, -1, {{DType::i32, here, here, 1, 1}}}, {},
      *anyPlane());
  EXPECT_EQ(status.message(), "debug.inject: collective 1 of step 1 (all_reduce) has no floating "
                              "point source to put a NaN into");
}

TEST(InstrumentedPlane, AProcessIsKilledByASignal) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    FaultInjector injector(2, *parseFault("rank:2,step:1,collective:1,kill"),
                           FaultInjector::Kill::process);
    injector.setStep(1);
    (void)injector.beforeStart({}, {}, *anyPlane());
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

} // namespace
