// A rank's connection to rank 0, served by one thread: heartbeats, requests, news of an abort.
#pragma once

#include "runtime/world/AbortState.h"
#include "runtime/world/Coordinator.h"
#include "runtime/world/Protocol.h"
#include "runtime/world/Socket.h"

#include <condition_variable>
#include <mutex>
#include <thread>

namespace titan::control {

class TcpClient {
public:
  /// `stream` has been welcomed. `server` names rank 0 for messages.
  static StatusOr<std::unique_ptr<TcpClient>> start(FrameStream stream, const WorldOptions &options,
                                                    std::string server, AbortState &abortState);
  TcpClient(const TcpClient &) = delete;
  /// Sends what is still to be sent, for a second at most, and closes the connection.
  ~TcpClient();

  /// Waits until all ranks are there.
  Status waitUntilJoined();
  Reply call(Request request);
  void announceAbort(const Status &reason);

private:
  TcpClient(FrameStream stream, WakeEvent wake, const WorldOptions &options, std::string server,
            AbortState &abortState);

  void run();
  /// One round of waiting, reading and writing. False when the connection is of no more use.
  bool serve();
  bool readAll();
  void handle(Message message);
  void queue(const Message &message);
  void takeOutbox();
  /// The server is lost: aborts unless this rank has left.
  void lost(const std::string &how);
  bool isStopping();
  void closeGently();

  FrameStream stream; ///< of the thread alone, as the times below
  TimePoint lastHeard;
  TimePoint nextPing;
  WakeEvent wake;
  WorldOptions options;
  std::string server;
  AbortState &abortState;
  uint64_t abortCallback = 0; ///< wakes the callers

  std::mutex mutex; ///< guards what follows
  std::condition_variable changed;
  std::vector<std::string> outbox;
  std::map<uint64_t, std::optional<Reply>> pending;
  uint64_t lastId = 0;
  uint64_t leaveId = 0; ///< of the pending leave
  bool joined = false;
  bool left = false;
  bool stopping = false;

  std::thread thread;
};

} // namespace titan::control
