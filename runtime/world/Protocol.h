// The messages between a rank and rank 0, and their bytes.
//
// A frame is a 4-byte length, then that many bytes: one byte of type and the fields in order.
// Integers are little endian; strings are a 4-byte length and their bytes. A rank opens with Hello
// and is answered Welcome or Refused; Joined follows when all ranks are there. The magic and the
// version come first in Hello and will keep their place, so that another version can be named.
#pragma once

#include "runtime/world/Coordinator.h"

#include <optional>
#include <variant>

namespace titan::control {

inline constexpr std::string_view kMagic = "TITANWLD";
inline constexpr uint32_t kProtocolVersion = 1;
/// The longest frame: a set of the longest key and value.
inline constexpr size_t kMaxFrameBytes = kMaxValueBytes + kMaxKeyBytes + 64;
/// The longest frame of a peer that has not been welcomed.
inline constexpr size_t kMaxHelloBytes = 4096;

struct Hello {
  uint32_t version = kProtocolVersion;
  uint32_t rank = 0;
  uint32_t size = 0;
  std::string host;
  std::string job; ///< LaunchInfo::job
};
struct Welcome {};
struct Refused {
  bool mayPass = false; ///< a later try may succeed
  Status reason;
};
struct Joined {};
struct Ping {};
struct Pong {};
struct RequestMessage {
  uint64_t id = 0;
  Request request;
};
struct ReplyMessage {
  uint64_t id = 0;
  Reply reply;
};
struct Abort {
  Status reason;
};

using Message =
    std::variant<Hello, Welcome, Refused, Joined, Ping, Pong, RequestMessage, ReplyMessage, Abort>;

/// The payload of a frame, without the length.
std::string encode(const Message &message);
/// Fails on anything that encode() does not write, such as text that ends early or goes on.
StatusOr<Message> decode(std::string_view payload);

} // namespace titan::control
