// The little of sockets that the control plane needs; nothing here blocks but name resolution.
#pragma once

#include "runtime/base/Status.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace titan::control {

/// Owns a file descriptor.
class Descriptor {
public:
  Descriptor() = default;
  explicit Descriptor(int number) : number(number) {}
  Descriptor(Descriptor &&other) noexcept : number(std::exchange(other.number, -1)) {}
  Descriptor &operator=(Descriptor &&other) noexcept {
    std::swap(number, other.number);
    return *this;
  }
  ~Descriptor();

  int get() const { return number; }
  /// Gives the descriptor away.
  int release() { return std::exchange(number, -1); }
  explicit operator bool() const { return number >= 0; }

private:
  int number = -1;
};

/// A listening TCP socket. A `host` that is of this machine alone (localhost, 127.x.y.z, ::1) is
/// bound as such; otherwise every interface listens, since a host's own name may resolve to a
/// loopback address on the host itself. Port 0 takes a free one.
StatusOr<Descriptor> listenAt(const std::string &host, uint16_t port);
/// The port that a socket is bound to.
StatusOr<uint16_t> localPort(const Descriptor &socket);
/// The next connection that waits, or nothing. Fails when descriptors have run out.
StatusOr<std::optional<Descriptor>> acceptFrom(const Descriptor &listener);
/// "192.0.2.2:4711" of the other end.
std::string peerName(const Descriptor &socket);
/// Connects to the first address of `host` that answers before `deadline`.
StatusOr<Descriptor> connectTo(const std::string &host, uint16_t port,
                               std::chrono::steady_clock::time_point deadline);
/// Two connected sockets.
StatusOr<std::pair<Descriptor, Descriptor>> socketPair();
/// "HOST:PORT", with brackets around an IPv6 address.
std::string formatAddress(const std::string &host, uint16_t port);
/// This machine's name.
std::string hostName();

/// Wakes a thread that polls fd().
class WakeEvent {
public:
  static StatusOr<WakeEvent> create();

  int fd() const { return event.get(); }
  void signal();
  void drain();

private:
  explicit WakeEvent(Descriptor event) : event(std::move(event)) {}

  Descriptor event;
};

/// Milliseconds for poll() until `deadline`, rounded up; -1 for the end of time.
int pollTimeout(std::chrono::steady_clock::time_point now,
                std::chrono::steady_clock::time_point deadline);

/// A socket that carries frames (Protocol.h). Buffers grow with what has arrived, never by what a
/// length promises.
class FrameStream {
public:
  explicit FrameStream(Descriptor socket, size_t maxFrame)
      : socket(std::move(socket)), maxFrame(maxFrame) {}

  int fd() const { return socket.get(); }
  const Descriptor &descriptor() const { return socket; }
  void setMaxFrame(size_t bytes) { maxFrame = bytes; }

  /// Reads what is there, up to a bound. False once the other end is closed; then ending() says
  /// how.
  bool receive();
  /// Forgets what has arrived and was not asked for.
  void discardInput();
  /// The next whole frame, if it has arrived. Fails if its length is not legal.
  StatusOr<std::optional<std::string>> next();

  /// Queues a frame.
  void send(std::string_view payload);
  /// Writes what can be written now. False once the other end is closed.
  bool flush();
  bool hasOutput() const { return written < output.size(); }
  size_t outputBytes() const { return output.size() - written; }
  /// Nothing more will be sent; the other end sees the end of the stream.
  void finishOutput();
  void close() { socket = Descriptor(); }

  /// How the stream ended, such as "connection reset by peer".
  const std::string &ending() const { return how; }

private:
  Descriptor socket;
  size_t maxFrame;
  std::string input;
  size_t consumed = 0; ///< of input
  std::string output;
  size_t written = 0; ///< of output
  std::string how;
};

} // namespace titan::control
