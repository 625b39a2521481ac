#include "runtime/world/TcpWorld.h"

#include "runtime/world/LocalWorld.h"
#include "runtime/world/RendezvousFile.h"
#include "runtime/world/TcpClient.h"
#include "runtime/world/TcpServer.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <poll.h>
#include <thread>

namespace titan {

namespace control {
namespace {

using Clock = std::chrono::steady_clock;

class TcpWorld : public World {
public:
  TcpWorld(int rank, int size, std::string host) : World(rank, size, std::move(host)) {}

  /// Rank 0's server outlives its client.
  std::unique_ptr<TcpServer> server;
  std::unique_ptr<TcpClient> client;

  using World::abortState;

protected:
  Reply call(Request request) override { return client->call(std::move(request)); }
  void announceAbort(const Status &reason) override { client->announceAbort(reason); }
};

/// What one try to join came to: a welcomed stream, or why not.
struct Attempt {
  std::optional<FrameStream> stream;
  bool final = false; ///< another try is of no use
  Status failure;
};

Attempt failed(Status failure, bool final = false) {
  return {std::nullopt, final, std::move(failure)};
}

/// Waits for the answer to Hello.
StatusOr<Message> awaitAnswer(FrameStream &stream, TimePoint deadline) {
  for (;;) {
    const TimePoint now = Clock::now();
    if (now >= deadline)
      return unavailable("it does not answer");
    const short output = stream.hasOutput() ? POLLOUT : 0;
    pollfd entry{stream.fd(), static_cast<short>(POLLIN | output), 0};
    poll(&entry, 1, pollTimeout(now, deadline));
    const bool open = stream.flush() && stream.receive();
    TITAN_ASSIGN_OR_RETURN(std::optional<std::string> frame, stream.next());
    if (frame)
      return decode(*frame);
    if (!open)
      return unavailable(stream.ending());
  }
}

Attempt greet(Descriptor socket, const Hello &hello, TimePoint deadline) {
  // The server has this long to answer; one that is no server of ours may stay silent for good.
  constexpr auto kPatience = std::chrono::seconds(10);
  FrameStream stream(std::move(socket), kMaxFrameBytes);
  stream.send(encode(hello));
  StatusOr<Message> answer = awaitAnswer(stream, std::min(deadline, Clock::now() + kPatience));
  if (!answer.ok())
    return failed(answer.status());
  if (auto *refused = std::get_if<Refused>(&*answer))
    return failed(refused->reason.withContext("rank 0 refuses this rank"), !refused->mayPass);
  if (!std::holds_alternative<Welcome>(*answer))
    return failed(unavailable("it is no rendezvous of titan-run"));
  return {std::move(stream), false, okStatus()};
}

Attempt tryToJoin(const Rendezvous &rendezvous, const Hello &hello, TimePoint deadline) {
  std::string host = rendezvous.host;
  uint16_t port = rendezvous.port;
  if (!rendezvous.file.empty()) {
    StatusOr<uint16_t> published = readPublishedPort(rendezvous.file);
    if (!published.ok())
      return failed(published.status());
    host = "127.0.0.1";
    port = *published;
  }
  StatusOr<Descriptor> socket = connectTo(host, port, deadline);
  if (!socket.ok())
    return failed(socket.status());
  return greet(*std::move(socket), hello, deadline);
}

StatusOr<FrameStream> findServer(const Rendezvous &rendezvous, const Hello &hello,
                                 Duration initTimeout) {
  constexpr Duration kLongestPause(500);
  const TimePoint deadline = Clock::now() + initTimeout;
  Duration pause(10);
  Status cause;
  for (;;) {
    Attempt attempt = tryToJoin(rendezvous, hello, deadline);
    if (attempt.stream)
      return *std::move(attempt.stream);
    if (attempt.final)
      return attempt.failure.withContext(rendezvous.describe());
    const auto left = deadline - Clock::now();
    // A try that the deadline cut short tells less than the one before.
    if (left > Duration(0) || cause.ok())
      cause = attempt.failure;
    if (left <= Duration(0))
      return Status(StatusCode::deadlineExceeded,
                    fmt::format("rank {} of {} on host {} did not find rank 0 at {} within {}: {}",
                                hello.rank, hello.size, hello.host, rendezvous.describe(),
                                describeSeconds(initTimeout), cause.message()));
    std::this_thread::sleep_for(std::min<Clock::duration>(pause, left));
    pause = std::min(2 * pause, kLongestPause);
  }
}

/// Removes rank 0's rendezvous file when the ranks have met, or failed to.
struct PublishedFile {
  std::string path;
  ~PublishedFile() {
    std::error_code ignored;
    if (!path.empty())
      std::filesystem::remove(path, ignored);
  }
};

StatusOr<Descriptor> openListener(const Rendezvous &rendezvous, PublishedFile &published) {
  if (rendezvous.file.empty()) {
    StatusOr<Descriptor> socket = listenAt(rendezvous.host, rendezvous.port);
    if (!socket.ok())
      return unavailable(socket.status().message() +
                         "; set TITAN_RENDEZVOUS to an address of rank 0's host with a free port");
    return socket;
  }
  TITAN_ASSIGN_OR_RETURN(Descriptor socket, listenAt("127.0.0.1", 0));
  TITAN_ASSIGN_OR_RETURN(uint16_t port, localPort(socket));
  TITAN_RETURN_IF_ERROR(publishPort(rendezvous.file, port));
  published.path = rendezvous.file;
  return socket;
}

/// Starts rank 0's server and returns rank 0's own, welcomed connection to it.
StatusOr<FrameStream> startServer(TcpWorld &world, const LaunchInfo &launch, const Hello &hello,
                                  const TcpWorldOptions &options, Descriptor listener) {
  ServerOptions serverOptions{launch.worldSize, options, launch.job, launch.rendezvous.describe(),
                              options.helloTimeout};
  TITAN_ASSIGN_OR_RETURN(world.server,
                         TcpServer::start(std::move(listener), std::move(serverOptions)));
  TITAN_ASSIGN_OR_RETURN(auto ends, socketPair());
  world.server->adopt(std::move(ends.first));
  Attempt own = greet(std::move(ends.second), hello, Clock::now() + options.initTimeout);
  if (!own.stream)
    return own.failure;
  return *std::move(own.stream);
}

Status checkOptions(const LaunchInfo &launch, const WorldOptions &options) {
  if (launch.rank < 0 || launch.rank >= launch.worldSize)
    return invalidArgument(fmt::format("rank {} does not exist in a world of {}; ranks are 0 to {}",
                                       launch.rank, launch.worldSize, launch.worldSize - 1));
  return checkWorldOptions(options);
}

StatusOr<std::unique_ptr<World>> join(const LaunchInfo &launch, const TcpWorldOptions &options,
                                      Descriptor listener) {
  auto world = std::make_unique<TcpWorld>(launch.rank, launch.worldSize,
                                          options.host.empty() ? hostName() : options.host);
  const Hello hello{kProtocolVersion, static_cast<uint32_t>(launch.rank),
                    static_cast<uint32_t>(launch.worldSize),
                    options.host.empty() ? hostName() : options.host, launch.job};
  PublishedFile published;
  std::optional<FrameStream> stream;
  if (launch.rank == 0) {
    if (!listener) {
      TITAN_ASSIGN_OR_RETURN(listener, openListener(launch.rendezvous, published));
    }
    TITAN_ASSIGN_OR_RETURN(stream,
                           startServer(*world, launch, hello, options, std::move(listener)));
  } else {
    TITAN_ASSIGN_OR_RETURN(stream, findServer(launch.rendezvous, hello, options.initTimeout));
  }
  TITAN_ASSIGN_OR_RETURN(world->client,
                         TcpClient::start(*std::move(stream), options,
                                          "rank 0 at " + launch.rendezvous.describe(),
                                          world->abortState()));
  TITAN_RETURN_IF_ERROR(world->client->waitUntilJoined());
  return std::unique_ptr<World>(std::move(world));
}

} // namespace
} // namespace control

StatusOr<Listener> Listener::open(const std::string &host, uint16_t port) {
  TITAN_ASSIGN_OR_RETURN(control::Descriptor socket, control::listenAt(host, port));
  TITAN_ASSIGN_OR_RETURN(uint16_t bound, control::localPort(socket));
  return Listener(socket.release(), bound);
}

Listener::Listener(Listener &&other) noexcept
    : socket(other.release()), boundPort(other.boundPort) {}

Listener::~Listener() { control::Descriptor closes(socket); }

int Listener::release() { return std::exchange(socket, -1); }

StatusOr<std::unique_ptr<World>> joinTcpWorld(const LaunchInfo &launch,
                                              const TcpWorldOptions &options,
                                              std::unique_ptr<Listener> listener) {
  TITAN_RETURN_IF_ERROR(control::checkOptions(launch, options));
  if (launch.worldSize == 1) {
    TITAN_ASSIGN_OR_RETURN(std::shared_ptr<LocalGroup> group, LocalGroup::create(1, options));
    return group->join(0);
  }
  return control::join(launch, options, control::Descriptor(listener ? listener->release() : -1));
}

} // namespace titan
