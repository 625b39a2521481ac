#include "runtime/world/Socket.h"

#include "runtime/base/File.h"

#include <spdlog/fmt/fmt.h>

#include <arpa/inet.h>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace titan::control {

namespace {

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

StatusOr<AddressList> resolve(const std::string &host, uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo *found = nullptr;
  const int error = getaddrinfo(host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(),
                                &hints, &found);
  if (error == 0)
    return AddressList(found, freeaddrinfo);
  return unavailable(fmt::format("cannot resolve host '{}': {}", host,
                                 error == EAI_SYSTEM ? describeErrno(errno) : gai_strerror(error)));
}

bool isLoopback(const std::string &host) {
  if (host == "localhost" || host == "::1")
    return true;
  in_addr address{};
  return inet_pton(AF_INET, host.c_str(), &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

uint16_t portOf(const sockaddr_storage &address) {
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6 &>(address).sin6_port
                   : reinterpret_cast<const sockaddr_in &>(address).sin_port);
}

Descriptor makeSocket(int family) {
  return Descriptor(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/// Small messages leave at once: each is waited for.
void disableNagle(const Descriptor &socket) {
  const int on = 1;
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Status errnoStatus(const std::string &what) {
  return unavailable(fmt::format("{}: {}", what, describeErrno(errno)));
}

/// `taken` is set when the failure is that another socket has the port.
StatusOr<Descriptor> listenAtAddress(const addrinfo &address, const std::string &place,
                                     bool &taken) {
  Descriptor socket = makeSocket(address.ai_family);
  if (!socket)
    return errnoStatus(place);
  const int on = 1;
  const int off = 0;
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.ai_family == AF_INET6)
    setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (bind(socket.get(), address.ai_addr, address.ai_addrlen) != 0 ||
      listen(socket.get(), SOMAXCONN) != 0) {
    const int error = errno;
    taken = error == EADDRINUSE;
    return unavailable(fmt::format("cannot listen at {}: {}", place, describeErrno(error)));
  }
  return socket;
}

StatusOr<Descriptor> connectToAddress(const addrinfo &address,
                                      std::chrono::steady_clock::time_point deadline) {
  Descriptor socket = makeSocket(address.ai_family);
  if (!socket)
    return errnoStatus("cannot make a socket");
  if (connect(socket.get(), address.ai_addr, address.ai_addrlen) != 0 && errno != EINPROGRESS)
    return errnoStatus("cannot connect");
  pollfd entry{socket.get(), POLLOUT, 0};
  int ready = 0;
  do {
    ready = poll(&entry, 1, pollTimeout(std::chrono::steady_clock::now(), deadline));
  } while (ready < 0 && errno == EINTR);
  int error = ready == 0 ? ETIMEDOUT : 0;
  socklen_t length = sizeof error;
  if (ready > 0)
    getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &length);
  if (ready < 0 || error != 0)
    return unavailable(
        fmt::format("cannot connect: {}", describeErrno(error != 0 ? error : errno)));
  disableNagle(socket);
  return socket;
}

} // namespace

Descriptor::~Descriptor() {
  if (number >= 0)
    close(number);
}

StatusOr<Descriptor> listenAt(const std::string &host, uint16_t port) {
  const bool loopback = isLoopback(host);
  const std::string place = formatAddress(loopback ? host : "*", port);
  TITAN_ASSIGN_OR_RETURN(AddressList list,
                         resolve(loopback ? host : std::string(), port, AI_PASSIVE));
  // The IPv6 wildcard takes IPv4 as well, so it is tried first.
  Status failure = unavailable("cannot listen at " + place);
  for (int family : {AF_INET6, AF_INET}) {
    for (const addrinfo *entry = list.get(); entry != nullptr; entry = entry->ai_next) {
      if (entry->ai_family != family)
        continue;
      bool taken = false;
      StatusOr<Descriptor> socket = listenAtAddress(*entry, place, taken);
      // Where IPv6 has the port taken, IPv4 alone would leave half of the peers to a stranger.
      if (socket.ok() || taken)
        return socket;
      failure = socket.status();
    }
  }
  return failure;
}

StatusOr<uint16_t> localPort(const Descriptor &socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getsockname(socket.get(), reinterpret_cast<sockaddr *>(&address), &length) != 0)
    return errnoStatus("cannot tell a socket's port");
  return portOf(address);
}

StatusOr<std::optional<Descriptor>> acceptFrom(const Descriptor &listener) {
  Descriptor socket(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket) {
    disableNagle(socket);
    return std::optional<Descriptor>(std::move(socket));
  }
  if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
    return errnoStatus("cannot accept a connection");
  return std::optional<Descriptor>();
}

std::string peerName(const Descriptor &socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  char host[NI_MAXHOST] = "";
  auto *generic = reinterpret_cast<sockaddr *>(&address);
  if (getpeername(socket.get(), generic, &length) != 0 || address.ss_family == AF_UNIX ||
      getnameinfo(generic, length, host, sizeof host, nullptr, 0, NI_NUMERICHOST) != 0)
    return "this process";
  return formatAddress(host, portOf(address));
}

StatusOr<Descriptor> connectTo(const std::string &host, uint16_t port,
                               std::chrono::steady_clock::time_point deadline) {
  TITAN_ASSIGN_OR_RETURN(AddressList list, resolve(host, port, 0));
  Status failure = unavailable(fmt::format("host '{}' has no address", host));
  for (const addrinfo *entry = list.get(); entry != nullptr; entry = entry->ai_next) {
    StatusOr<Descriptor> socket = connectToAddress(*entry, deadline);
    if (socket.ok())
      return socket;
    failure = socket.status();
  }
  return failure;
}

StatusOr<std::pair<Descriptor, Descriptor>> socketPair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
    return errnoStatus("cannot make a pair of sockets");
  return std::pair(Descriptor(ends[0]), Descriptor(ends[1]));
}

std::string formatAddress(const std::string &host, uint16_t port) {
  if (host.find(':') != std::string::npos)
    return fmt::format("[{}]:{}", host, port);
  return fmt::format("{}:{}", host, port);
}

std::string hostName() {
  char name[256] = "";
  return gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

StatusOr<WakeEvent> WakeEvent::create() {
  Descriptor event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event)
    return errnoStatus("cannot make an event descriptor");
  return WakeEvent(std::move(event));
}

void WakeEvent::signal() {
  const uint64_t one = 1;
  // It fails only when the counter is full, and then the thread wakes anyway.
  [[maybe_unused]] ssize_t ignored = write(event.get(), &one, sizeof one);
}

void WakeEvent::drain() {
  uint64_t count = 0;
  [[maybe_unused]] ssize_t ignored = read(event.get(), &count, sizeof count);
}

int pollTimeout(std::chrono::steady_clock::time_point now,
                std::chrono::steady_clock::time_point deadline) {
  if (deadline == std::chrono::steady_clock::time_point::max())
    return -1;
  if (deadline <= now)
    return 0;
  auto wait = std::chrono::ceil<std::chrono::milliseconds>(deadline - now);
  return static_cast<int>(std::min<int64_t>(wait.count(), INT_MAX));
}

bool FrameStream::receive() {
  // A bound per call, so that one peer that never stops sending cannot keep the others waiting.
  constexpr size_t kPiece = 65536;
  constexpr int kPieces = 16;
  for (int piece = 0; piece < kPieces; ++piece) {
    char bytes[kPiece];
    const ssize_t count = recv(socket.get(), bytes, sizeof bytes, 0);
    if (count > 0) {
      input.append(bytes, count);
      if (static_cast<size_t>(count) < sizeof bytes)
        return true;
    } else if (count == 0) {
      how = "its connection was closed without a goodbye";
      return false;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return true;
    } else if (errno != EINTR) {
      how = "its connection failed: " + describeErrno(errno);
      return false;
    }
  }
  return true;
}

void FrameStream::discardInput() {
  input.clear();
  consumed = 0;
}

StatusOr<std::optional<std::string>> FrameStream::next() {
  const std::string_view rest = std::string_view(input).substr(consumed);
  if (rest.size() < 4)
    return std::optional<std::string>();
  uint32_t length = 0;
  for (int i = 0; i < 4; ++i)
    length |= static_cast<uint32_t>(static_cast<unsigned char>(rest[i])) << (8 * i);
  if (length == 0 || length > maxFrame)
    return dataLoss(fmt::format("a message of {} bytes; 1 to {} are legal", length, maxFrame));
  if (rest.size() < 4 + size_t(length))
    return std::optional<std::string>();
  std::string payload(rest.substr(4, length));
  consumed += 4 + size_t(length);
  // Moving the rest to the front only now and then keeps the cost of many small frames linear.
  if (consumed == input.size() || consumed > (size_t(1) << 16)) {
    input.erase(0, consumed);
    consumed = 0;
  }
  return std::optional<std::string>(std::move(payload));
}

void FrameStream::send(std::string_view payload) {
  const auto length = static_cast<uint32_t>(payload.size());
  for (int i = 0; i < 4; ++i)
    output.push_back(static_cast<char>(length >> (8 * i) & 0xff));
  output.append(payload);
}

bool FrameStream::flush() {
  while (hasOutput()) {
    const ssize_t count =
        ::send(socket.get(), output.data() + written, output.size() - written, MSG_NOSIGNAL);
    if (count >= 0) {
      written += count;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return true;
    } else if (errno != EINTR) {
      how = "its connection failed: " + describeErrno(errno);
      return false;
    }
  }
  output.clear();
  written = 0;
  return true;
}

void FrameStream::finishOutput() { shutdown(socket.get(), SHUT_WR); }

} // namespace titan::control
