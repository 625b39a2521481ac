#include "runtime/world/Protocol.h"

#include <spdlog/fmt/fmt.h>

namespace titan::control {

namespace {

class Writer {
public:
  template <typename T> Writer &number(T value) {
    auto bits = static_cast<std::make_unsigned_t<T>>(value);
    for (size_t i = 0; i < sizeof(T); ++i)
      bytes.push_back(static_cast<char>(bits >> (8 * i) & 0xff));
    return *this;
  }
  Writer &text(std::string_view value) {
    number<uint32_t>(static_cast<uint32_t>(value.size()));
    bytes.append(value);
    return *this;
  }
  Writer &raw(std::string_view value) {
    bytes.append(value);
    return *this;
  }
  Writer &status(const Status &value) {
    number<uint8_t>(static_cast<uint8_t>(value.code()));
    return text(value.ok() ? std::string_view() : value.message());
  }

  std::string bytes;
};

/// After a failed read every further one yields zero, and done() is false.
class Reader {
public:
  explicit Reader(std::string_view bytes) : rest(bytes) {}

  template <typename T> T number() {
    std::string_view piece = take(sizeof(T));
    std::make_unsigned_t<T> bits = 0;
    for (size_t i = 0; i < piece.size(); ++i)
      bits |= static_cast<std::make_unsigned_t<T>>(static_cast<unsigned char>(piece[i])) << (8 * i);
    return static_cast<T>(bits);
  }
  std::string text() { return std::string(take(number<uint32_t>())); }
  std::string_view take(size_t count) {
    if (count > rest.size()) {
      intact = false;
      rest = {};
      return {};
    }
    std::string_view piece = rest.substr(0, count);
    rest.remove_prefix(count);
    return piece;
  }
  Status status() {
    const auto code = number<uint8_t>();
    std::string message = text();
    if (code > static_cast<uint8_t>(StatusCode::internal))
      intact = false;
    if (code == 0 || !intact)
      return okStatus();
    return Status(static_cast<StatusCode>(code), std::move(message));
  }
  void fail() { intact = false; }
  bool isIntact() const { return intact; }
  /// Everything was there and nothing is left over.
  bool done() const { return intact && rest.empty(); }

private:
  std::string_view rest;
  bool intact = true;
};

void write(Writer &out, const Hello &hello) {
  out.raw(kMagic).number(hello.version).number(hello.rank).number(hello.size);
  out.text(hello.host).text(hello.job);
}
void write(Writer &, const Welcome &) {}
void write(Writer &out, const Refused &refused) {
  out.number<uint8_t>(refused.mayPass).status(refused.reason);
}
void write(Writer &, const Joined &) {}
void write(Writer &, const Ping &) {}
void write(Writer &, const Pong &) {}
void write(Writer &out, const RequestMessage &message) {
  const Request &request = message.request;
  out.number(message.id).number(static_cast<uint8_t>(request.kind));
  out.text(request.key).text(request.value).number(request.amount);
  out.number<int64_t>(request.timeout.count());
}
void write(Writer &out, const ReplyMessage &message) {
  out.number(message.id).status(message.reply.status);
  out.text(message.reply.value).number(message.reply.sum);
}
void write(Writer &out, const Abort &abort) { out.status(abort.reason); }

void read(Reader &in, Hello &hello) {
  if (in.take(kMagic.size()) != kMagic)
    return in.fail();
  hello.version = in.number<uint32_t>();
  if (hello.version != kProtocolVersion && in.isIntact()) {
    // What follows is unknown; the version is all that is needed to refuse.
    in = Reader({});
    return;
  }
  hello.rank = in.number<uint32_t>();
  hello.size = in.number<uint32_t>();
  hello.host = in.text();
  hello.job = in.text();
}
void read(Reader &, Welcome &) {}
void read(Reader &in, Refused &refused) {
  refused.mayPass = in.number<uint8_t>() != 0;
  refused.reason = in.status();
}
void read(Reader &, Joined &) {}
void read(Reader &, Ping &) {}
void read(Reader &, Pong &) {}
void read(Reader &in, RequestMessage &message) {
  message.id = in.number<uint64_t>();
  const auto kind = in.number<uint8_t>();
  if (kind >= kRequestKinds)
    return in.fail();
  message.request.kind = static_cast<RequestKind>(kind);
  message.request.key = in.text();
  message.request.value = in.text();
  message.request.amount = in.number<int64_t>();
  message.request.timeout = Duration(in.number<int64_t>());
}
void read(Reader &in, ReplyMessage &message) {
  message.id = in.number<uint64_t>();
  message.reply.status = in.status();
  message.reply.value = in.text();
  message.reply.sum = in.number<int64_t>();
}
void read(Reader &in, Abort &abort) {
  abort.reason = in.status();
  if (abort.reason.ok())
    in.fail();
}

/// The message whose place in the variant is `type`.
template <size_t... Types>
std::optional<Message> emptyMessage(size_t type, std::index_sequence<Types...>) {
  std::optional<Message> message;
  ((type == Types ? (message.emplace(std::in_place_index<Types>), 0) : 0), ...);
  return message;
}

} // namespace

std::string encode(const Message &message) {
  Writer out;
  out.number<uint8_t>(static_cast<uint8_t>(message.index()));
  std::visit([&](const auto &alternative) { write(out, alternative); }, message);
  return std::move(out.bytes);
}

StatusOr<Message> decode(std::string_view payload) {
  Reader in(payload);
  const auto type = in.number<uint8_t>();
  constexpr auto kTypes = std::make_index_sequence<std::variant_size_v<Message>>();
  std::optional<Message> message = payload.empty() ? std::nullopt : emptyMessage(type, kTypes);
  if (message)
    std::visit([&](auto &alternative) { read(in, alternative); }, *message);
  if (!message || !in.done())
    return dataLoss(fmt::format("a malformed message of {} bytes and type {}", payload.size(),
                                static_cast<int>(type)));
  return *std::move(message);
}

} // namespace titan::control
