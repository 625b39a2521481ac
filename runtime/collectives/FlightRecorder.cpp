#include "runtime/collectives/FlightRecorder.h"

#include "runtime/base/File.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

namespace titan {

namespace {

constexpr const char *kStateNames[] = {"started", "awaited", "done", "failed"};

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// `,"name":1712.000102`, or nothing for a time that did not come.
std::string timeField(const char *name, int64_t nanoseconds) {
  if (nanoseconds == 0)
    return "";
  char text[64];
  std::snprintf(text, sizeof text, ",\"%s\":%lld.%06lld", name,
                static_cast<long long>(nanoseconds / 1'000'000'000),
                static_cast<long long>(nanoseconds / 1000 % 1'000'000));
  return text;
}

std::string quoted(const std::string &text) {
  std::string result = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\')
      result += '\\';
    result += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return result + "\"";
}

} // namespace

FlightRecorder::FlightRecorder(int rank, int capacity)
    : rank(rank), ring(static_cast<size_t>(std::max(capacity, 1))) {}

int FlightRecorder::addOperation(std::string collective, std::string group, int64_t bytes) {
  const std::lock_guard lock(mutex);
  operations.push_back({std::move(collective), std::move(group), bytes});
  return static_cast<int>(operations.size()) - 1;
}

uint64_t FlightRecorder::started(int operation, uint64_t sequence) {
  const uint64_t number = latest.load(std::memory_order_relaxed) + 1;
  Entry &entry = entryOf(number);
  // A reader that sees any of what follows sees the 0 too, and drops what it read.
  entry.number.store(0);
  entry.operation.store(operation);
  entry.sequence.store(sequence);
  entry.step.store(currentStep.load(std::memory_order_relaxed));
  entry.state.store(State::started);
  entry.awaitTime.store(0);
  entry.endTime.store(0);
  entry.startTime.store(now());
  entry.number.store(number);
  latest.store(number);
  return number;
}

void FlightRecorder::awaited(uint64_t number) {
  waiting.store(true);
  Entry &entry = entryOf(number);
  if (entry.number.load() != number)
    return; // so long in flight that the ring has gone round
  entry.awaitTime.store(now());
  entry.state.store(State::awaited);
}

void FlightRecorder::finished(uint64_t number, bool ok) {
  waiting.store(!ok);
  Entry &entry = entryOf(number);
  if (entry.number.load() != number)
    return;
  entry.endTime.store(now());
  entry.state.store(ok ? State::done : State::failed);
}

std::string FlightRecorder::line(const Entry &entry, uint64_t number) const {
  const OperationInfo &operation = operations[static_cast<size_t>(entry.operation.load())];
  return "{\"rank\":" + std::to_string(rank) + ",\"number\":" + std::to_string(number) +
         ",\"step\":" + std::to_string(entry.step.load()) +
         ",\"collective\":" + quoted(operation.collective) +
         ",\"group\":" + quoted(operation.group) +
         ",\"sequence\":" + std::to_string(entry.sequence.load()) +
         ",\"bytes\":" + std::to_string(operation.bytes) + ",\"state\":\"" +
         kStateNames[static_cast<size_t>(entry.state.load())] + "\"" +
         timeField("started", entry.startTime.load()) +
         timeField("awaited", entry.awaitTime.load()) + timeField("ended", entry.endTime.load()) +
         "}\n";
}

std::string FlightRecorder::toJsonLines() const {
  const std::lock_guard lock(mutex);
  const uint64_t last = latest.load();
  const uint64_t first = last > ring.size() ? last - ring.size() + 1 : 1;
  std::string text;
  for (uint64_t number = first; number <= last; ++number) {
    const Entry &entry = ring[(number - 1) % ring.size()];
    if (entry.number.load() != number)
      continue;
    const std::string found = line(entry, number);
    if (entry.number.load() == number)
      text += found;
  }
  return text;
}

Status FlightRecorder::dump(const std::filesystem::path &file) const {
  return writeFileAtomically(file, toJsonLines());
}

} // namespace titan
