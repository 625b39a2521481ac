#include "test/stubs/StubState.h"

#include <cstdlib>
#include <stdexcept>

namespace titan::cuda::stubs {

int64_t setting(const char *name, int64_t otherwise) {
  const char *value = std::getenv(name);
  return value ? std::atoll(value) : otherwise;
}

/// After a failure every call is refused, also those that free; then the driver's end frees.
/// Otherwise what is left is a leak, which the address sanitizer is to see.
Stub::~Stub() {
  if (sticky == kSuccess)
    return;
  for (void *memory : pinned)
    std::free(memory);
  auto freeAll = [](const auto &objects) {
    for (auto *object : objects)
      delete object;
  };
  freeAll(streams);
  freeAll(events);
  freeAll(graphs);
  freeAll(executables);
  freeAll(modules);
}

Stub &stub() {
  static Stub instance;
  return instance;
}

Context &currentContext() {
  static thread_local Context current = nullptr;
  return current;
}

Result enter(const char *name, bool needsContext) {
  Stub &it = stub();
  ++it.calls[name];
  if (const auto failure = it.failures.find(name);
      failure != it.failures.end() && --failure->second.first <= 0) {
    const Result result = failure->second.second;
    it.failures.erase(failure);
    return result;
  }
  if (!needsContext)
    return kSuccess;
  return currentContext() ? it.sticky : kInvalidContext;
}

std::pair<uint64_t, uint64_t> Stub::find(uint64_t address, DeviceNumber gpu) const {
  auto it = accessible.upper_bound(address);
  if (it == accessible.begin())
    return {0, 0};
  --it;
  const auto &[begin, range] = *it;
  if (gpu >= 0 && !range.gpus.empty() && !range.gpus.contains(gpu))
    return {0, 0};
  return {begin, begin + range.size};
}

bool Stub::isValid(uint64_t address, uint64_t bytes, DeviceNumber gpu) const {
  const auto [begin, end] = find(address, gpu);
  return address >= begin && address + bytes <= end;
}

Result Stub::fail(const std::string &why) {
  sticky = kIllegalAddress;
  reason = why;
  return sticky;
}

bool Stub::drain(StreamObject &stream, uint64_t position) {
  while (stream.done < position && !stream.pending.empty()) {
    if (stream.isBusy)
      return false;
    stream.isBusy = true;
    bool isDone = true;
    try {
      isDone = sticky != kSuccess || stream.pending.front()();
    } catch (const std::exception &error) {
      fail(error.what());
    }
    stream.isBusy = false;
    if (!isDone)
      return false;
    stream.pending.pop_front();
    ++stream.done;
    changed.notify_all();
  }
  return true;
}

void Stub::wait(std::unique_lock<std::recursive_mutex> &lock, StreamObject &stream,
                uint64_t position) {
  while (!drain(stream, position))
    changed.wait(lock);
}

void Stub::waitForAll(std::unique_lock<std::recursive_mutex> &lock) {
  for (StreamObject *stream : std::set(streams))
    if (streams.contains(stream) && stream->context == currentContext())
      wait(lock, *stream, stream->enqueued);
}

Result Stub::enqueue(StreamObject *stream, StubWork work) {
  if (!streams.contains(stream))
    return kInvalidHandle;
  if (stream->context != currentContext())
    return kInvalidContext;
  if (stream->capturing) {
    stream->capturing->work.push_back(std::move(work));
    return sticky;
  }
  stream->pending.push_back(std::move(work));
  ++stream->enqueued;
  changed.notify_all();
  return sticky;
}

} // namespace titan::cuda::stubs
