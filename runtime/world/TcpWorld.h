// World for ranks that are processes: rank 0 hosts a server thread, every rank has one connection.
//
// There is no authentication: a stranger is refused by accident-proof means (magic, version, job
// name), not by secrets. Run it on a network whose members you trust, as launchers of this kind do.
#pragma once

#include "runtime/world/Launcher.h"
#include "runtime/world/World.h"

#include <cstdint>
#include <memory>

namespace titan {

/// A socket that rank 0 listens with, bound before the world is made.
class Listener {
public:
  /// Binds to `host` and `port`; port 0 takes a free one, which port() tells.
  static StatusOr<Listener> open(const std::string &host, uint16_t port);

  Listener(Listener &&other) noexcept;
  Listener &operator=(Listener &&other) = delete;
  ~Listener();

  uint16_t port() const { return boundPort; }
  /// Gives the socket away; the listener is then empty.
  int release();

private:
  Listener(int socket, uint16_t port) : socket(socket), boundPort(port) {}

  int socket = -1;
  uint16_t boundPort = 0;
};

struct TcpWorldOptions : WorldOptions {
  /// Of rank 0 only: a connection that does not say who it is within this time is closed.
  Duration helloTimeout = std::chrono::seconds(10);
  /// The name of this host in messages; empty for the machine's own.
  std::string host;
};

/// Joins the job that `launch` describes: rank 0 starts the server, the others look for it until
/// `initTimeout`. Returns when all ranks are there. At the timeout the error of a rank that found
/// no server names the address; otherwise every rank's names the ranks that are missing.
/// `listener` is for rank 0 alone and takes the place of binding to the rendezvous address.
StatusOr<std::unique_ptr<World>> joinTcpWorld(const LaunchInfo &launch,
                                              const TcpWorldOptions &options,
                                              std::unique_ptr<Listener> listener = nullptr);

} // namespace titan
