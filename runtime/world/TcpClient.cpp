#include "runtime/world/TcpClient.h"

#include "runtime/world/BackgroundThread.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <poll.h>

namespace titan::control {

using Clock = std::chrono::steady_clock;

StatusOr<std::unique_ptr<TcpClient>> TcpClient::start(FrameStream stream,
                                                      const WorldOptions &options,
                                                      std::string server, AbortState &abortState) {
  TITAN_ASSIGN_OR_RETURN(WakeEvent wake, WakeEvent::create());
  stream.setMaxFrame(kMaxFrameBytes);
  std::unique_ptr<TcpClient> client(
      new TcpClient(std::move(stream), std::move(wake), options, std::move(server), abortState));
  client->thread = startBackgroundThread([raw = client.get()] { raw->run(); });
  return client;
}

TcpClient::TcpClient(FrameStream stream, WakeEvent wake, const WorldOptions &options,
                     std::string server, AbortState &abortState)
    : stream(std::move(stream)), lastHeard(Clock::now()), nextPing(lastHeard),
      wake(std::move(wake)), options(options), server(std::move(server)), abortState(abortState) {
  abortCallback = abortState.add([this](const Status &) {
    // The empty section orders the abort before a caller's wait or after its check.
    {
      std::lock_guard lock(mutex);
    }
    changed.notify_all();
  });
}

TcpClient::~TcpClient() {
  {
    std::lock_guard lock(mutex);
    stopping = true;
  }
  wake.signal();
  thread.join();
  abortState.remove(abortCallback);
}

bool TcpClient::isStopping() {
  std::lock_guard lock(mutex);
  return stopping;
}

void TcpClient::queue(const Message &message) {
  outbox.push_back(encode(message));
  wake.signal();
}

Status TcpClient::waitUntilJoined() {
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return joined || abortState.isTripped(); });
  return joined ? okStatus() : abortState.reason();
}

Reply TcpClient::call(Request request) {
  const bool leaving = request.kind == RequestKind::leave;
  std::unique_lock lock(mutex);
  if (abortState.isTripped())
    return {.status = abortState.reason()};
  if (left)
    return {.status = invalidArgument("this rank has left the job")};
  const uint64_t id = ++lastId;
  if (leaving)
    leaveId = id;
  queue(RequestMessage{id, std::move(request)});
  auto entry = pending.emplace(id, std::nullopt).first;
  changed.wait(lock, [&] { return entry->second.has_value() || abortState.isTripped(); });
  Reply reply = entry->second ? *std::move(entry->second) : Reply{.status = abortState.reason()};
  pending.erase(entry);
  return reply;
}

void TcpClient::announceAbort(const Status &reason) {
  std::lock_guard lock(mutex);
  queue(Abort{reason});
}

void TcpClient::takeOutbox() {
  std::lock_guard lock(mutex);
  for (const std::string &payload : outbox)
    stream.send(payload);
  outbox.clear();
}

void TcpClient::run() {
  // More than the welcome may have arrived already.
  bool open = readAll();
  while (open && !isStopping())
    open = serve();
  takeOutbox();
  closeGently();
}

void TcpClient::closeGently() {
  // A socket that is closed with unread input resets the connection, and the server may lose what
  // was sent to it. So the output ends first, and the input is read to its end.
  const TimePoint end = Clock::now() + std::chrono::seconds(1);
  while (stream.flush() && Clock::now() < end) {
    if (!stream.hasOutput())
      stream.finishOutput();
    const short output = stream.hasOutput() ? POLLOUT : 0;
    pollfd entry{stream.fd(), static_cast<short>(POLLIN | output), 0};
    poll(&entry, 1, pollTimeout(Clock::now(), end));
    if (!stream.receive())
      break;
    stream.discardInput();
  }
  stream.close();
}

bool TcpClient::serve() {
  takeOutbox();
  TimePoint now = Clock::now();
  if (now >= nextPing) {
    stream.send(encode(Ping()));
    nextPing = now + options.heartbeatInterval;
  }
  if (!stream.flush()) {
    const std::string how = stream.ending();
    // The server may have said why before it went.
    readAll();
    lost(how);
    return false;
  }
  const short output = stream.hasOutput() ? POLLOUT : 0;
  pollfd entries[] = {{stream.fd(), static_cast<short>(POLLIN | output), 0},
                      {wake.fd(), POLLIN, 0}};
  poll(entries, 2, pollTimeout(now, std::min(nextPing, lastHeard + options.heartbeatTimeout)));
  wake.drain();
  const TimePoint woken = Clock::now();
  // This process stood still if it wakes so late; the pause is not the server's.
  if (woken - nextPing > options.heartbeatTimeout / 2)
    lastHeard = std::min(woken, lastHeard + (woken - now));
  if (!readAll())
    return false;
  if (woken - lastHeard > options.heartbeatTimeout) {
    lost(fmt::format("it is silent, the limit is {}", describeSeconds(options.heartbeatTimeout)));
    return false;
  }
  return true;
}

bool TcpClient::readAll() {
  const bool open = stream.receive();
  for (;;) {
    StatusOr<std::optional<std::string>> frame = stream.next();
    if (frame.ok() && !*frame)
      break;
    StatusOr<Message> message = frame.ok() ? decode(**frame) : StatusOr<Message>(frame.status());
    if (!message.ok()) {
      lost("it sent " + message.status().message());
      return false;
    }
    lastHeard = Clock::now();
    handle(*std::move(message));
  }
  if (!open)
    lost(stream.ending());
  return open;
}

void TcpClient::handle(Message message) {
  if (auto *abort = std::get_if<Abort>(&message))
    return abortState.trip(abort->reason);
  {
    std::lock_guard lock(mutex);
    if (std::holds_alternative<Joined>(message))
      joined = true;
    if (auto *reply = std::get_if<ReplyMessage>(&message)) {
      if (reply->id == leaveId && reply->reply.status.ok())
        left = true;
      if (auto found = pending.find(reply->id); found != pending.end())
        found->second = std::move(reply->reply);
    }
  }
  changed.notify_all();
}

void TcpClient::lost(const std::string &how) {
  {
    std::lock_guard lock(mutex);
    if (left || stopping)
      return;
  }
  abortState.trip(unavailable(fmt::format("{} is gone: {}; last heard of {} ago", server, how,
                                          describeSeconds(Clock::now() - lastHeard))));
}

} // namespace titan::control
