// Ranks as processes: those that are killed or stopped are named, and the others end.
#include "TestWorlds.h"

#include "runtime/world/Protocol.h"
#include "runtime/world/Socket.h"

#include <csignal>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace titan;
using namespace titan::test;

namespace {

/// A forked rank, which writes lines to its parent.
class Process {
public:
  using Say = std::function<void(const std::string &)>;

  explicit Process(const std::function<void(const Say &)> &body) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
      close(ends[0]);
      body([&](const std::string &line) {
        const std::string text = line + "\n";
        (void)!write(ends[1], text.data(), text.size());
      });
      // The parent's tests and buffers are not this process's to finish.
      _exit(0);
    }
    close(ends[1]);
    output = ends[0];
  }
  Process(Process &&other) noexcept
      : pid(std::exchange(other.pid, -1)), output(std::exchange(other.output, -1)),
        buffer(std::move(other.buffer)) {}
  ~Process() {
    if (pid > 0) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
    if (output >= 0)
      close(output);
  }

  /// The next line, or "(end)" when the process has closed its output.
  std::string line() {
    size_t end;
    while ((end = buffer.find('\n')) == std::string::npos) {
      pollfd entry{output, POLLIN, 0};
      char bytes[512];
      if (poll(&entry, 1, static_cast<int>(kLong.count())) != 1)
        return "(nothing)";
      const ssize_t count = read(output, bytes, sizeof bytes);
      if (count <= 0)
        return "(end)";
      buffer.append(bytes, count);
    }
    std::string first = buffer.substr(0, end);
    buffer.erase(0, end + 1);
    return first;
  }
  void signal(int number) const { kill(pid, number); }

private:
  pid_t pid = -1;
  int output = -1;
  std::string buffer;
};

/// Forks the ranks of a job. Each says "ready", runs `body`, says what that returned, and says
/// "left" after its goodbye, if that went well.
std::vector<Process> forkRanks(int size, const TcpWorldOptions &options,
                               const std::function<Status(World &)> &body) {
  TcpBackend backend(size, options);
  std::vector<Process> ranks;
  for (int rank = 0; rank < size; ++rank)
    ranks.emplace_back([&](const Process::Say &say) {
      if (rank != 0)
        backend.listener.reset();
      StatusOr<std::unique_ptr<World>> world = backend.join(rank);
      if (!world.ok())
        return say("cannot join: " + world.status().message());
      say("ready");
      Status status = body(**world);
      say(status.ok() ? "done" : std::string(toString(status.code())) + ": " + status.message());
      if (status.ok() && (*world)->leave(kLong).ok())
        say("left");
    });
  for (Process &rank : ranks)
    EXPECT_EQ(rank.line(), "ready");
  return ranks;
}

Status waitForever(World &world) { return world.get("never", seconds(3600)).status(); }

/// What all but the victim say.
std::vector<std::string> lastWords(std::vector<Process> &ranks, int victim) {
  std::vector<std::string> words;
  for (int rank = 0; rank < static_cast<int>(ranks.size()); ++rank) {
    if (rank == victim)
      continue;
    words.push_back(ranks[rank].line());
    EXPECT_EQ(ranks[rank].line(), "(end)") << "rank " << rank << " does not end";
  }
  return words;
}

void expectWords(const std::string &words, const std::vector<std::string> &parts) {
  for (const std::string &part : parts)
    EXPECT_NE(words.find(part), std::string::npos) << "'" << words << "' lacks '" << part << "'";
}

} // namespace

TEST(TcpProcess, RanksMeetWorkAndLeave) {
  auto body = [](World &world) -> Status {
    for (int round = 0; round < 10; ++round) {
      TITAN_RETURN_IF_ERROR(world.add("sum", world.rank()).status());
      TITAN_RETURN_IF_ERROR(world.barrier("round", kLong));
    }
    TITAN_ASSIGN_OR_RETURN(std::string sum, world.get("sum", kLong));
    return sum == "100" ? okStatus() : internalError("the sum is " + sum);
  };
  std::vector<Process> ranks = forkRanks(5, testOptions(), body);
  for (Process &rank : ranks) {
    EXPECT_EQ(rank.line(), "done");
    EXPECT_EQ(rank.line(), "left");
    EXPECT_EQ(rank.line(), "(end)");
  }
}

TEST(TcpProcess, AKilledRankIsNamedAtOnce) {
  std::vector<Process> ranks = forkRanks(4, testOptions(), waitForever);
  ranks[2].signal(SIGKILL);
  for (const std::string &words : lastWords(ranks, 2))
    expectWords(words,
                {"unavailable: rank 2 on host node2 is gone: its connection ", "; last heard of "});
}

TEST(TcpProcess, AKilledRankZeroIsNamedAtOnce) {
  std::vector<Process> ranks = forkRanks(4, testOptions(), waitForever);
  ranks[0].signal(SIGKILL);
  for (const std::string &words : lastWords(ranks, 0))
    expectWords(words, {"unavailable: rank 0 at 127.0.0.1:", " is gone: its connection "});
}

TEST(TcpProcess, AStoppedRankIsNamedAtTheTimeout) {
  TcpWorldOptions options = testOptions();
  options.heartbeatTimeout = seconds(1);
  std::vector<Process> ranks = forkRanks(4, options, waitForever);
  ranks[3].signal(SIGSTOP);
  for (const std::string &words : lastWords(ranks, 3))
    expectWords(words, {"unavailable: rank 3 on host node3 is silent: last heard of ",
                        ", the limit is 1 s"});
}

TEST(TcpProcess, AStoppedRankZeroIsNamedAtTheTimeout) {
  TcpWorldOptions options = testOptions();
  options.heartbeatTimeout = seconds(1);
  std::vector<Process> ranks = forkRanks(3, options, waitForever);
  ranks[0].signal(SIGSTOP);
  for (const std::string &words : lastWords(ranks, 0))
    expectWords(words, {"unavailable: rank 0 at 127.0.0.1:", "it is silent, the limit is 1 s"});
}

TEST(TcpProcess, AShortStopIsForgiven) {
  TcpWorldOptions options = testOptions();
  options.heartbeatTimeout = seconds(5);
  std::vector<Process> ranks = forkRanks(3, options, [](World &world) {
    return world.get("go", kLong).ok() ? okStatus() : world.aborted();
  });
  for (int victim : {0, 1}) {
    ranks[victim].signal(SIGSTOP);
    std::this_thread::sleep_for(milliseconds(150));
    ranks[victim].signal(SIGCONT);
  }
  // Still in one piece: the death of one is what ends them.
  ranks[2].signal(SIGKILL);
  for (const std::string &words : lastWords(ranks, 2))
    expectWords(words, {"rank 2 on host node2 is gone"});
}

TEST(TcpProcess, ADeathWhileTheRanksGatherIsNamed) {
  // Rank 2 never comes; rank 1 is killed while it waits for it.
  TcpBackend backend(3);
  Process first([&](const Process::Say &say) { say(backend.join(0).status().message()); });
  backend.listener.reset();
  Process second([&](const Process::Say &say) {
    StatusOr<control::Descriptor> socket =
        control::connectTo("127.0.0.1", backend.address.port, Clock::now() + kLong);
    if (!socket.ok())
      return say(socket.status().message());
    control::FrameStream stream(*std::move(socket), control::kMaxFrameBytes);
    stream.send(control::encode(control::Hello{control::kProtocolVersion, 1, 3, "node1", "test"}));
    stream.flush();
    pollfd entry{stream.fd(), POLLIN, 0};
    say(poll(&entry, 1, static_cast<int>(kLong.count())) == 1 ? "welcome" : "no answer");
    pause();
  });
  EXPECT_EQ(second.line(), "welcome");
  second.signal(SIGKILL);
  expectWords(first.line(), {"rank 1 on host node1 is gone"});
}

TEST(TcpProcess, AnAbortReachesEveryoneEvenIfItsSenderEndsAtOnce) {
  auto body = [](World &world) -> Status {
    if (world.rank() == 1)
      world.abortJob(invalidArgument("the file is damaged"));
    return waitForever(world);
  };
  std::vector<Process> ranks = forkRanks(4, testOptions(), body);
  for (const std::string &words : lastWords(ranks, -1))
    EXPECT_EQ(words, "invalid argument: rank 1 on host node1 aborted: the file is damaged");
}

TEST(TcpProcess, RankZerosAbortReachesEveryone) {
  auto body = [](World &world) -> Status {
    if (world.rank() == 0)
      world.abortJob(unavailable("no space is left on the disk"));
    return waitForever(world);
  };
  std::vector<Process> ranks = forkRanks(4, testOptions(), body);
  for (const std::string &words : lastWords(ranks, -1))
    EXPECT_EQ(words, "unavailable: rank 0 on host node0 aborted: no space is left on the disk");
}
