#include "runtime/world/TcpServer.h"

#include "runtime/world/BackgroundThread.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <poll.h>
#include <sys/resource.h>

namespace titan::control {

namespace {

using Clock = std::chrono::steady_clock;

/// Connections without a rank that are kept beside one for every rank.
constexpr size_t kExtraStrangers = 64;
/// A rank that lets this much pile up does not read any more.
constexpr size_t kMaxPendingOutput = size_t(64) << 20;

/// One descriptor per rank is needed, and the usual soft limit is 1024; the hard one is far higher.
Status raiseDescriptorLimit(int size) {
  const rlim_t needed = size + kExtraStrangers + 128;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
    return okStatus();
  if (limit.rlim_max < needed)
    return unavailable(fmt::format("rank 0 needs {} file descriptors for {} ranks, but the hard "
                                   "limit is {}; raise it (ulimit -Hn)",
                                   needed, size, limit.rlim_max));
  limit.rlim_cur = needed;
  setrlimit(RLIMIT_NOFILE, &limit);
  return okStatus();
}

} // namespace

StatusOr<std::unique_ptr<TcpServer>> TcpServer::start(Descriptor listener, ServerOptions options) {
  TITAN_RETURN_IF_ERROR(raiseDescriptorLimit(options.size));
  TITAN_ASSIGN_OR_RETURN(WakeEvent wake, WakeEvent::create());
  std::unique_ptr<TcpServer> server(
      new TcpServer(std::move(listener), std::move(wake), std::move(options)));
  server->thread = startBackgroundThread([raw = server.get()] { raw->run(); });
  return server;
}

TcpServer::TcpServer(Descriptor listener, WakeEvent wake, ServerOptions serverOptions)
    : options(std::move(serverOptions)), listener(std::move(listener)), wake(std::move(wake)),
      coordinator(options.size, options.world, options.place, Clock::now()),
      byRank(options.size, nullptr) {}

TcpServer::~TcpServer() {
  {
    std::lock_guard lock(mutex);
    stopping = true;
  }
  wake.signal();
  thread.join();
}

void TcpServer::adopt(Descriptor socket) {
  {
    std::lock_guard lock(mutex);
    adopted.push_back(std::move(socket));
  }
  wake.signal();
}

bool TcpServer::isStopping() {
  std::lock_guard lock(mutex);
  return stopping;
}

void TcpServer::run() {
  for (;;) {
    wait();
    if (isStopping())
      break;
    const TimePoint now = Clock::now();
    takeAdopted(now);
    acceptAll(now);
    for (size_t i = 0; i < connections.size(); ++i)
      if (connections[i]->ready && !connections[i]->closed)
        read(*connections[i], now);
    coordinator.tick(now);
    closeLateStrangers(now);
    deliver();
    flushAll(now);
    // Flushing may have found a rank gone, which the others are to hear at once.
    deliver();
    flushAll(now);
    removeClosed();
  }
  shutDown();
}

TimePoint TcpServer::nextDeadline() const {
  TimePoint next = coordinator.nextDeadline();
  if (acceptAgain != TimePoint())
    next = std::min(next, acceptAgain);
  if (strangers > 0)
    for (const auto &connection : connections)
      if (connection->rank < 0 && !connection->trusted)
        next = std::min(next, connection->since + options.helloTimeout);
  return next;
}

void TcpServer::wait() {
  std::vector<pollfd> entries;
  entries.reserve(connections.size() + 2);
  entries.push_back({wake.fd(), POLLIN, 0});
  if (acceptAgain == TimePoint())
    entries.push_back({listener.get(), POLLIN, 0});
  for (const auto &connection : connections) {
    const short output = connection->stream.hasOutput() ? POLLOUT : 0;
    entries.push_back({connection->stream.fd(), static_cast<short>(POLLIN | output), 0});
  }
  poll(entries.data(), entries.size(), pollTimeout(Clock::now(), nextDeadline()));
  const size_t first = entries.size() - connections.size();
  for (size_t i = 0; i < connections.size(); ++i)
    connections[i]->ready = (entries[first + i].revents & ~POLLOUT) != 0;
  wake.drain();
}

void TcpServer::acceptAll(TimePoint now) {
  if (now < acceptAgain)
    return;
  acceptAgain = {};
  // Few enough that a rank's Hello is read before newer strangers push the rank out.
  for (size_t i = 0; i < kExtraStrangers / 2; ++i) {
    StatusOr<std::optional<Descriptor>> accepted = acceptFrom(listener);
    if (!accepted.ok()) {
      // No descriptors: the listener would be ready again at once, so it rests for a while.
      acceptAgain = now + std::chrono::milliseconds(100);
      return;
    }
    if (!*accepted)
      return;
    makeRoomForStranger();
    connections.push_back(std::make_unique<Connection>(std::move(**accepted), now));
    ++strangers;
  }
}

void TcpServer::makeRoomForStranger() {
  if (strangers < options.size + kExtraStrangers)
    return;
  for (const auto &connection : connections) {
    if (connection->rank >= 0 || connection->closed || connection->trusted)
      continue;
    connection->closed = true;
    --strangers;
    return;
  }
}

void TcpServer::takeAdopted(TimePoint now) {
  std::lock_guard lock(mutex);
  for (Descriptor &socket : adopted) {
    connections.push_back(std::make_unique<Connection>(std::move(socket), now));
    connections.back()->trusted = true;
    ++strangers;
  }
  adopted.clear();
}

void TcpServer::read(Connection &connection, TimePoint now) {
  const bool open = connection.stream.receive();
  if (connection.refused)
    connection.stream.discardInput();
  // What came before the end of a stream counts, above all a goodbye.
  while (!connection.closed && !connection.refused) {
    StatusOr<std::optional<std::string>> frame = connection.stream.next();
    if (!frame.ok())
      return drop(connection, "it sent " + frame.status().message(), now);
    if (!*frame)
      break;
    StatusOr<Message> message = decode(**frame);
    if (!message.ok())
      return drop(connection, "it sent " + message.status().message(), now);
    handle(connection, *std::move(message), now);
  }
  if (!open && !connection.closed)
    drop(connection, connection.stream.ending(), now);
}

void TcpServer::handle(Connection &connection, Message message, TimePoint now) {
  if (connection.rank < 0) {
    if (auto *hello = std::get_if<Hello>(&message))
      return greet(connection, *hello, now);
    return drop(connection, "", now);
  }
  const int rank = connection.rank;
  coordinator.heard(rank, now);
  if (std::holds_alternative<Ping>(message))
    return connection.stream.send(encode(Pong()));
  if (auto *request = std::get_if<RequestMessage>(&message))
    return coordinator.request(rank, request->id, std::move(request->request), now);
  if (auto *abort = std::get_if<Abort>(&message))
    return coordinator.abortJob(abort->reason);
  drop(connection, "it sent a message that only rank 0 sends", now);
}

void TcpServer::greet(Connection &connection, const Hello &hello, TimePoint now) {
  auto wrong = [](std::string text) { return invalidArgument(std::move(text)); };
  if (hello.version != kProtocolVersion)
    return refuse(connection, hello, false,
                  wrong(fmt::format("it speaks version {} of the protocol, rank 0 speaks {}; run "
                                    "the same build of titan-run on all hosts",
                                    hello.version, kProtocolVersion)));
  if (hello.job != options.job)
    return refuse(
        connection, hello, true,
        wrong(fmt::format("it belongs to job '{}', rank 0 here to '{}'", hello.job, options.job)));
  // When the job runs already, the peer may belong to its successor, which has to wait a little.
  const bool mayPass = coordinator.complete();
  if (hello.size != static_cast<uint32_t>(options.size))
    return refuse(connection, hello, mayPass,
                  wrong(fmt::format("it was started as one of {} ranks, rank 0 as one of {}",
                                    hello.size, options.size)));
  const int rank = hello.rank > INT32_MAX ? -1 : static_cast<int>(hello.rank);
  if (Status joined = coordinator.join(rank, hello.host, now); !joined.ok())
    return refuse(connection, hello, mayPass, joined);
  connection.rank = rank;
  connection.stream.setMaxFrame(kMaxFrameBytes);
  byRank[rank] = &connection;
  --strangers;
  connection.stream.send(encode(Welcome()));
}

void TcpServer::refuse(Connection &connection, const Hello &hello, bool mayPass,
                       const Status &why) {
  // An old version's Hello is not read beyond the version.
  const std::string name =
      hello.version == kProtocolVersion
          ? fmt::format("rank {} on host {}", hello.rank, hello.host)
          : fmt::format("the rank at {}", peerName(connection.stream.descriptor()));
  coordinator.turnedAway(fmt::format("{}: {}", name, why.message()));
  connection.stream.send(encode(Refused{mayPass, why}));
  connection.refused = true;
}

void TcpServer::drop(Connection &connection, const std::string &how, TimePoint now) {
  connection.closed = true;
  if (connection.rank < 0) {
    --strangers;
    return;
  }
  byRank[connection.rank] = nullptr;
  coordinator.dropped(connection.rank, how, now);
}

void TcpServer::broadcast(const Message &message) {
  const std::string payload = encode(message);
  for (Connection *connection : byRank)
    if (connection != nullptr)
      connection->stream.send(payload);
}

void TcpServer::deliver() {
  // The abort goes before replies that speak of it: a rank whose call fails is to know why.
  if (!coordinator.aborted().ok() && !announcedAbort) {
    announcedAbort = true;
    broadcast(Abort{coordinator.aborted()});
  }
  if (coordinator.complete() && !announcedJoin) {
    announcedJoin = true;
    broadcast(Joined());
  }
  for (AddressedReply &reply : coordinator.takeReplies())
    if (Connection *connection = byRank[reply.rank])
      connection->stream.send(encode(ReplyMessage{reply.id, std::move(reply.reply)}));
}

void TcpServer::flushAll(TimePoint now) {
  for (const auto &connection : connections) {
    if (connection->closed || !connection->stream.hasOutput())
      continue;
    if (!connection->stream.flush()) {
      // Its last words may be still to be read: a rank aborts and goes.
      const std::string how = connection->stream.ending();
      read(*connection, now);
      if (!connection->closed)
        drop(*connection, how, now);
    } else if (connection->stream.outputBytes() > kMaxPendingOutput) {
      drop(*connection, "it does not read its messages", now);
    }
  }
}

void TcpServer::closeLateStrangers(TimePoint now) {
  if (strangers == 0)
    return;
  for (const auto &connection : connections)
    if (!connection->closed && connection->rank < 0 && !connection->trusted &&
        now >= connection->since + options.helloTimeout)
      drop(*connection, "", now);
}

void TcpServer::removeClosed() {
  std::erase_if(connections, [](const auto &connection) { return connection->closed; });
}

void TcpServer::shutDown() {
  const TimePoint end = Clock::now() + std::chrono::seconds(1);
  deliver();
  std::erase_if(connections, [](const auto &connection) { return connection->rank < 0; });
  // A socket that is closed with unread input resets the connection, and the other end may lose
  // what was sent to it. So the output ends first, and the input is read to its end.
  while (!connections.empty() && Clock::now() < end) {
    std::vector<pollfd> entries;
    std::erase_if(connections, [&](const auto &connection) {
      if (!connection->stream.flush())
        return true;
      if (!connection->stream.hasOutput())
        connection->stream.finishOutput();
      const short output = connection->stream.hasOutput() ? POLLOUT : 0;
      entries.push_back({connection->stream.fd(), static_cast<short>(POLLIN | output), 0});
      return false;
    });
    poll(entries.data(), entries.size(), pollTimeout(Clock::now(), end));
    std::erase_if(connections,
                  [](const auto &connection) { return !connection->stream.receive(); });
    for (const auto &connection : connections)
      connection->stream.discardInput();
  }
}

} // namespace titan::control
