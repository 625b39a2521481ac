// Rank 0's side of TcpWorld: one thread that serves all ranks by poll(2).
#pragma once

#include "runtime/world/Coordinator.h"
#include "runtime/world/Protocol.h"
#include "runtime/world/Socket.h"

#include <mutex>
#include <thread>

namespace titan::control {

struct ServerOptions {
  int size = 1;
  WorldOptions world;
  std::string job;   ///< peers of another job are refused
  std::string place; ///< where it listens, for messages
  /// A connection that has not said Hello within this time is closed.
  Duration helloTimeout = std::chrono::seconds(10);
};

class TcpServer {
public:
  static StatusOr<std::unique_ptr<TcpServer>> start(Descriptor listener, ServerOptions options);
  TcpServer(const TcpServer &) = delete;
  /// Sends what is still to be sent, for a second at most, and closes all connections.
  ~TcpServer();

  /// Serves a connection that did not come through the listener: rank 0's own.
  void adopt(Descriptor socket);

private:
  struct Connection {
    Connection(Descriptor socket, TimePoint now)
        : stream(std::move(socket), kMaxHelloBytes), since(now) {}
    FrameStream stream;
    TimePoint since;
    int rank = -1;       ///< -1 until its Hello is accepted
    bool ready = false;  ///< poll(2) says that there is something to read
    bool closed = false; ///< to be removed; nothing more is read or written
    bool refused = false;
    bool trusted = false; ///< rank 0's own; kept whatever strangers do
  };

  TcpServer(Descriptor listener, WakeEvent wake, ServerOptions options);

  void run();
  void wait();
  void acceptAll(TimePoint now);
  void makeRoomForStranger();
  void takeAdopted(TimePoint now);
  void read(Connection &connection, TimePoint now);
  void handle(Connection &connection, Message message, TimePoint now);
  void greet(Connection &connection, const Hello &hello, TimePoint now);
  void refuse(Connection &connection, const Hello &hello, bool mayPass, const Status &why);
  void drop(Connection &connection, const std::string &how, TimePoint now);
  void deliver();
  void broadcast(const Message &message);
  void flushAll(TimePoint now);
  void closeLateStrangers(TimePoint now);
  void removeClosed();
  void shutDown();
  bool isStopping();
  TimePoint nextDeadline() const;

  ServerOptions options;
  Descriptor listener;
  TimePoint acceptAgain; ///< the listener rests until then
  WakeEvent wake;
  Coordinator coordinator;
  std::vector<std::unique_ptr<Connection>> connections; ///< oldest first
  std::vector<Connection *> byRank;
  size_t strangers = 0; ///< connections without a rank
  bool announcedJoin = false;
  bool announcedAbort = false;

  std::mutex mutex; ///< guards the two below
  std::vector<Descriptor> adopted;
  bool stopping = false;

  std::thread thread;
};

} // namespace titan::control
