#include "TestWorlds.h"

#include "runtime/world/Protocol.h"

#include <random>

using namespace titan;
using namespace titan::control;
using namespace titan::test;

namespace {

std::vector<Message> samples() {
  return {Hello{kProtocolVersion, 3, 8, "node3", "slurm/1/0"},
          Welcome(),
          Refused{true, unavailable("come later")},
          Joined(),
          Ping(),
          Pong(),
          RequestMessage{7, {RequestKind::add, "key", "", -5, Duration(0)}},
          RequestMessage{UINT64_MAX, {RequestKind::barrier, "b", "", 0, Duration::max()}},
          RequestMessage{1, {RequestKind::set, std::string("\0k", 2), std::string(5000, 'v')}},
          ReplyMessage{9, {okStatus(), "value", INT64_MIN}},
          ReplyMessage{9, {Status(StatusCode::deadlineExceeded, "late"), "", 0}},
          Abort{invalidArgument("why")}};
}

} // namespace

TEST(Protocol, EveryMessageSurvives) {
  std::set<size_t> types;
  for (const Message &message : samples()) {
    const std::string bytes = encode(message);
    StatusOr<Message> again = decode(bytes);
    ASSERT_TRUE(again.ok()) << again.status().message();
    EXPECT_EQ(again->index(), message.index());
    EXPECT_EQ(encode(*again), bytes);
    types.insert(message.index());
  }
  EXPECT_EQ(types.size(), std::variant_size_v<Message>);
  auto request = std::get<RequestMessage>(*decode(encode(samples()[6])));
  EXPECT_EQ(request.id, 7u);
  EXPECT_EQ(request.request.key, "key");
  EXPECT_EQ(request.request.amount, -5);
  auto abort = std::get<Abort>(*decode(encode(samples().back())));
  EXPECT_EQ(abort.reason.code(), StatusCode::invalidArgument);
  EXPECT_EQ(abort.reason.message(), "why");
}

TEST(Protocol, TheLongestSetFitsAFrame) {
  const Request longest{RequestKind::set, std::string(kMaxKeyBytes, 'k'),
                        std::string(kMaxValueBytes, 'v')};
  EXPECT_LE(encode(RequestMessage{1, longest}).size(), kMaxFrameBytes);
}

TEST(Protocol, CutOrLongerMessagesAreRefused) {
  for (const Message &message : samples()) {
    const std::string bytes = encode(message);
    for (size_t length = 0; length < std::min<size_t>(bytes.size(), 200); ++length)
      EXPECT_FALSE(decode(std::string_view(bytes).substr(0, length)).ok());
    EXPECT_FALSE(decode(bytes + "x").ok());
  }
}

TEST(Protocol, WrongFieldsAreRefused) {
  std::string hello = encode(samples()[0]);
  hello[1] ^= 1;
  EXPECT_FALSE(decode(hello).ok()) << "the magic";
  std::string request = encode(samples()[6]);
  request[9] = static_cast<char>(kRequestKinds);
  EXPECT_FALSE(decode(request).ok()) << "the kind";
  std::string abort = encode(samples().back());
  abort[1] = 100;
  EXPECT_FALSE(decode(abort).ok()) << "the code";
  EXPECT_FALSE(decode(std::string(1, static_cast<char>(std::variant_size_v<Message>))).ok());
}

TEST(Protocol, AnotherVersionIsToldApartWhateverFollows) {
  std::string hello = encode(Hello{kProtocolVersion + 1, 3, 8, "h", "j"}).substr(0, 13);
  StatusOr<Message> decoded = decode(hello + "anything");
  ASSERT_TRUE(decoded.ok()) << decoded.status().message();
  EXPECT_EQ(std::get<Hello>(*decoded).version, kProtocolVersion + 1);
}

TEST(Protocol, RandomBytesNeverCrash) {
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = i % 2 == 0 ? std::string(random() % 64, '\0')
                                   : encode(samples()[random() % samples().size()]);
    for (int change = 0; change < 4 && !bytes.empty(); ++change)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    // What is accepted has to be writable again.
    if (StatusOr<Message> message = decode(bytes); message.ok())
      EXPECT_FALSE(encode(*message).empty());
  }
}
