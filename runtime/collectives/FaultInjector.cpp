#include "runtime/collectives/FaultInjector.h"

#include <array>
#include <charconv>
#include <csignal>
#include <cstring>
#include <limits>
#include <string>
#include <unistd.h>

namespace titan {

namespace {

constexpr const char *kOption = "debug.inject";
constexpr const char *kExample = "; for example rank:3,step:7,collective:12,kill";
constexpr std::array<std::string_view, 4> kKinds = {"kill", "hang", "slow", "nan"};

Status wrong(const std::string &message) {
  return invalidArgument(std::string(kOption) + ": " + message + kExample);
}

struct Field {
  std::string_view name;
  int64_t least, most;
  std::optional<int64_t> value;
};

Status setNumber(Field &field, std::string_view text) {
  const std::string name(field.name);
  if (field.value)
    return wrong(name + " is given twice");
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < field.least ||
      value > field.most)
    return wrong(name + " is a number from " + std::to_string(field.least) + ", found '" +
                 std::string(text) + "'");
  field.value = value;
  return okStatus();
}

bool isFloat(DType type) {
  return type != DType::i32 && type != DType::i64 && type != DType::i8 && type != DType::u8 &&
         type != DType::boolean;
}

} // namespace

StatusOr<Fault> parseFault(std::string_view text) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  Field fields[] = {{"rank", 0, std::numeric_limits<int>::max(), {}},
                    {"step", 1, kMost, {}},
                    {"collective", 1, kMost, {}}};
  std::optional<FaultKind> kind;
  for (bool more = true; more;) {
    const size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    more = comma != std::string_view::npos;
    text.remove_prefix(more ? comma + 1 : text.size());
    const size_t colon = item.find(':');
    bool known = false;
    for (Field &field : fields) {
      if (colon == std::string_view::npos || item.substr(0, colon) != field.name)
        continue;
      TITAN_RETURN_IF_ERROR(setNumber(field, item.substr(colon + 1)));
      known = true;
    }
    for (size_t i = 0; i < kKinds.size(); ++i) {
      if (item != kKinds[i])
        continue;
      if (kind)
        return wrong("there is one fault, found '" + std::string(item) + "' after another");
      kind = static_cast<FaultKind>(i);
      known = true;
    }
    if (!known)
      return wrong("'" + std::string(item) +
                   "' is none of rank:N, step:N, collective:N, kill, hang, slow and nan");
  }
  for (const Field &field : fields)
    if (!field.value)
      return wrong(std::string(field.name) + ":N is missing");
  if (!kind)
    return wrong("the fault is missing: kill, hang, slow or nan");
  return Fault{static_cast<int>(*fields[0].value), *fields[1].value, *fields[2].value, *kind};
}

FaultInjector::FaultInjector(int rank, const std::optional<Fault> &given, Kill kill) : kill(kill) {
  if (given && given->rank == rank)
    fault = given;
}

void FaultInjector::setStep(int64_t now) {
  step = now;
  starts = 0;
}

void FaultInjector::sleep(std::chrono::nanoseconds time) {
  const auto deadline = EventCount::Clock::now() + time;
  for (;;) {
    const uint32_t seen = changed.current();
    if (released.load() || EventCount::Clock::now() >= deadline)
      return;
    changed.wait(seen, deadline);
  }
}

void FaultInjector::release() {
  released.store(true);
  changed.notify();
}

Status FaultInjector::poison(const CollectiveOperation &operation,
                             std::span<std::byte *const> bases, DataPlane &plane) const {
  for (const BufferPair &pair : operation.pairs) {
    if (!isFloat(pair.type) || pair.sourceCount == 0)
      continue;
    // All bits set are a NaN in every floating point type.
    return plane.fill(pair.source.resolve(bases), byteSize(pair.type), 0xff);
  }
  return invalidArgument(
      std::string(kOption) + ": collective " + std::to_string(fault->collective) + " of step " +
      std::to_string(fault->step) + " (" + std::string(toString(operation.collective)) +
      ") has no floating point source to put a NaN into");
}

Status FaultInjector::beforeStart(const CollectiveOperation &operation,
                                  std::span<std::byte *const> bases, DataPlane &plane) {
  ++starts;
  if (!fault || fault->step != step || fault->collective != starts)
    return okStatus();
  const std::string place = std::string(kOption) + ": rank " + std::to_string(fault->rank) +
                            ", step " + std::to_string(step) + ", collective " +
                            std::to_string(starts);
  switch (fault->kind) {
  case FaultKind::kill:
    if (kill == Kill::process)
      ::kill(::getpid(), SIGKILL);
    return Status(StatusCode::killed, place + ": killed");
  case FaultKind::hang:
    sleep(std::chrono::hours(24 * 365));
    return unavailable(place + ": hung until the job was aborted");
  case FaultKind::slow:
    sleep(std::chrono::seconds(1));
    return okStatus();
  case FaultKind::nan:
    return poison(operation, bases, plane);
  }
  return okStatus();
}

} // namespace titan
