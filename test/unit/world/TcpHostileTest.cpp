// What strangers may send to rank 0's port: nothing of it ends the server or disturbs the ranks.
#include "TestWorlds.h"

#include "runtime/world/Protocol.h"
#include "runtime/world/Socket.h"

#include <atomic>
#include <poll.h>
#include <random>
#include <sys/socket.h>

using namespace titan;
using namespace titan::control;
using namespace titan::test;

namespace {

/// A connection that says what it likes.
class Stranger {
public:
  explicit Stranger(uint16_t port) {
    StatusOr<Descriptor> connected = connectTo("127.0.0.1", port, Clock::now() + kLong);
    EXPECT_TRUE(connected.ok()) << connected.status().message();
    if (connected.ok())
      socket = *std::move(connected);
  }

  void sendRaw(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count > 0)
        bytes.remove_prefix(count);
      else if (errno != EAGAIN || !ready(POLLOUT))
        return; // closed by the server, which is its right
    }
  }
  void sendFrame(std::string_view payload) {
    const auto length = static_cast<uint32_t>(payload.size());
    std::string frame;
    for (int i = 0; i < 4; ++i)
      frame.push_back(static_cast<char>(length >> (8 * i)));
    sendRaw(frame + std::string(payload));
  }
  /// All that the server sends until it closes the connection.
  std::string receiveAll() {
    std::string all;
    char bytes[4096];
    while (ready(POLLIN)) {
      const ssize_t count = recv(socket.get(), bytes, sizeof bytes, 0);
      if (count <= 0)
        return all;
      all.append(bytes, count);
    }
    ADD_FAILURE() << "the server keeps the connection";
    return all;
  }
  bool ready(short events) {
    pollfd entry{socket.get(), events, 0};
    return poll(&entry, 1, static_cast<int>(kLong.count())) == 1;
  }

  Descriptor socket;
};

/// A job of three ranks that work until finish() is called.
class BusyJob {
public:
  explicit BusyJob(const TcpWorldOptions &options = testOptions()) : backend(3, options) {
    thread = std::thread([this] {
      runRanks(backend, 3, [this](std::unique_ptr<World> &world) {
        for (int64_t round = 1; world->aborted().ok() && !isOver(*world, round); ++round)
          ++rounds;
        reason(world->aborted());
      });
    });
    while (rounds < 3)
      std::this_thread::yield();
  }
  ~BusyJob() { finish(); }

  uint16_t port() const { return backend.address.port; }
  /// Several more rounds are made.
  void expectProgress() {
    const int64_t before = rounds;
    const auto end = Clock::now() + kLong;
    while (rounds < before + 6 && Clock::now() < end)
      std::this_thread::sleep_for(milliseconds(1));
    EXPECT_GE(rounds, before + 6);
  }
  void finish() {
    over = true;
    if (thread.joinable())
      thread.join();
  }
  std::string reasons() {
    finish();
    return text;
  }

private:
  /// One round of work, after which all ranks agree whether it was the last.
  bool isOver(World &world, int64_t round) {
    const std::string key = fmt::format("over/{}", round);
    if (world.rank() == 0)
      (void)world.set(key, over ? "yes" : "no");
    (void)world.add("work", 1);
    const bool last = world.get(key, kLong).ok() && *world.get(key, kLong) == "yes";
    (void)world.barrier("round", kLong);
    return last;
  }
  void reason(const Status &why) {
    std::lock_guard lock(mutex);
    text += why.ok() ? "" : why.message() + "\n";
  }

  TcpBackend backend;
  std::atomic<int64_t> rounds = 0;
  std::atomic<bool> over = false;
  std::mutex mutex;
  std::string text;
  std::thread thread;
};

} // namespace

TEST(TcpHostile, RandomBytes) {
  BusyJob job;
  std::mt19937 random(7);
  for (int i = 0; i < 60; ++i) {
    Stranger stranger(job.port());
    std::string bytes(random() % 3000, '\0');
    for (char &byte : bytes)
      byte = static_cast<char>(random());
    stranger.sendRaw(bytes);
  }
  job.expectProgress();
}

TEST(TcpHostile, MessagesThatAreNoHello) {
  BusyJob job;
  const std::string hello = encode(Hello{kProtocolVersion, 1, 3, "host", "test"});
  std::string wrongMagic = hello;
  wrongMagic[3] ^= 0x20;
  const std::string illegal[] = {wrongMagic,
                                 encode(Ping()),
                                 encode(Abort{unavailable("a stranger's wish")}),
                                 encode(RequestMessage{1, {RequestKind::set, "over/1", "yes"}}),
                                 encode(Joined()),
                                 hello.substr(0, hello.size() - 1),
                                 hello + "x",
                                 "GET / HTTP/1.1"};
  for (const std::string &payload : illegal) {
    Stranger stranger(job.port());
    stranger.sendFrame(payload);
    EXPECT_EQ(stranger.receiveAll(), "");
  }
  job.expectProgress();
}

TEST(TcpHostile, LengthsThatAreNotLegal) {
  BusyJob job;
  for (std::string_view length :
       {std::string_view("\0\0\0\0", 4), std::string_view("\xff\xff\xff\xff", 4),
        std::string_view("\x01\x10\0\0", 4)}) {
    Stranger stranger(job.port());
    stranger.sendRaw(length);
    EXPECT_EQ(stranger.receiveAll(), "");
  }
  job.expectProgress();
}

TEST(TcpHostile, RefusalsSayWhy) {
  BusyJob job;
  struct {
    Hello hello;
    const char *why;
  } const refused[] = {
      {{kProtocolVersion + 1, 1, 3, "h", "test"}, "it speaks version 2 of the protocol"},
      {{kProtocolVersion, 1, 3, "h", "other"}, "it belongs to job 'other', rank 0 here to 'test'"},
      {{kProtocolVersion, 1, 4, "h", "test"}, "it was started as one of 4 ranks"},
      {{kProtocolVersion, 3, 3, "h", "test"}, "rank 3 does not exist in a world of 3"},
      {{kProtocolVersion, UINT32_MAX, 3, "h", "test"}, "rank -1 does not exist"},
      {{kProtocolVersion, 1, 3, "h", "test"}, "rank 1 is there already, on host node1"}};
  for (const auto &row : refused) {
    Stranger stranger(job.port());
    stranger.sendFrame(encode(row.hello));
    ASSERT_TRUE(stranger.ready(POLLIN));
    FrameStream stream(std::move(stranger.socket), kMaxFrameBytes);
    StatusOr<std::optional<std::string>> frame = std::optional<std::string>();
    while (frame.ok() && !*frame && stream.receive())
      frame = stream.next();
    ASSERT_TRUE(frame.ok() && *frame);
    StatusOr<Message> answer = decode(**frame);
    ASSERT_TRUE(answer.ok() && std::holds_alternative<Refused>(*answer));
    const std::string text = std::get<Refused>(*answer).reason.message();
    EXPECT_NE(text.find(row.why), std::string::npos) << text;
  }
  job.expectProgress();
}

TEST(TcpHostile, SlowAndHalfMessagesAreCutOff) {
  TcpWorldOptions options = testOptions();
  options.helloTimeout = milliseconds(150);
  BusyJob job(options);
  const std::string hello = encode(Hello{kProtocolVersion, 1, 3, "host", "test"});
  Stranger silent(job.port());
  Stranger half(job.port());
  half.sendRaw(std::string("\x40\0\0\0", 4) + hello.substr(0, 20));
  Stranger slow(job.port());
  const auto start = Clock::now();
  for (int i = 0; i < 50 && Clock::now() - start < milliseconds(300); ++i) {
    slow.sendRaw(std::string_view("\x40\0\0\0TITANWLD................................", 44)
                     .substr(i % 44, 1));
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_EQ(silent.receiveAll(), "");
  EXPECT_EQ(half.receiveAll(), "");
  EXPECT_EQ(slow.receiveAll(), "");
  job.expectProgress();
}

TEST(TcpHostile, ManySilentConnectionsDoNotKeepRanksOut) {
  TcpWorldOptions options = testOptions();
  TcpBackend backend(3, options);
  std::vector<std::unique_ptr<Stranger>> crowd;
  auto addStrangers = [&](int count) {
    for (int i = 0; i < count; ++i)
      crowd.push_back(std::make_unique<Stranger>(backend.address.port));
  };
  addStrangers(150);
  runRanks(backend, 3, [&](std::unique_ptr<World> &world) {
    if (world->rank() == 1)
      addStrangers(150);
    expectOk(world->barrier("all", kLong));
  });
}

TEST(TcpHostile, AFloodOfFirstWordsIsNotKept) {
  BusyJob job;
  Stranger stranger(job.port());
  // A refused peer that goes on sending is read and forgotten.
  stranger.sendFrame(encode(Hello{kProtocolVersion, 1, 4, "h", "test"}));
  const std::string piece(100000, 'x');
  for (int i = 0; i < 50; ++i)
    stranger.sendRaw(piece);
  job.expectProgress();
}

TEST(TcpHostile, ARankWhoseBytesAreDamagedEndsTheJobByName) {
  for (const std::string &bytes :
       {std::string("\xff\xff\xff\xff"), std::string("\x01\0\0\0\x63", 5),
        std::string("\x01\0\0\0\x03", 5)}) {
    TcpBackend backend(3);
    std::thread genuine[2];
    for (int rank : {0, 1})
      genuine[rank] = std::thread([&, rank] {
        StatusOr<std::unique_ptr<World>> world = backend.join(rank);
        ASSERT_TRUE(world.ok()) << world.status().message();
        expectFailure((*world)->barrier("all", kLong), StatusCode::unavailable,
                      "rank 2 on host bad is gone: it sent a");
      });
    Stranger bad(backend.address.port);
    bad.sendFrame(encode(Hello{kProtocolVersion, 2, 3, "bad", "test"}));
    // Welcome and Joined, five bytes each.
    std::string answers;
    while (answers.size() < 10 && bad.ready(POLLIN)) {
      char piece[16];
      const ssize_t count = recv(bad.socket.get(), piece, sizeof piece, 0);
      ASSERT_GT(count, 0);
      answers.append(piece, count);
    }
    bad.sendRaw(bytes);
    for (std::thread &thread : genuine)
      thread.join();
  }
}

TEST(TcpHostile, AServerThatSendsGarbageIsNoServer) {
  TcpWorldOptions options = testOptions();
  options.initTimeout = milliseconds(80);
  StatusOr<Descriptor> listener = listenAt("127.0.0.1", 0);
  ASSERT_TRUE(listener.ok());
  const uint16_t port = *localPort(*listener);
  std::atomic<bool> done = false;
  std::thread server([&] {
    while (!done) {
      pollfd entry{listener->get(), POLLIN, 0};
      poll(&entry, 1, 10);
      StatusOr<std::optional<Descriptor>> accepted = acceptFrom(*listener);
      if (accepted.ok() && *accepted)
        (void)!::send((*accepted)->get(), "HTTP/1.1 400 Bad Request\r\n", 26, MSG_NOSIGNAL);
    }
  });
  LaunchInfo info;
  info.rank = 1;
  info.worldSize = 2;
  info.rendezvous = {"127.0.0.1", port, {}};
  expectFailure(joinTcpWorld(info, options).status(), StatusCode::deadlineExceeded,
                "did not find rank 0 at 127.0.0.1:");
  done = true;
  server.join();
}
