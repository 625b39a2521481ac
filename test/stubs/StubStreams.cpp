// The stub of the driver: streams, events and graphs.
#include "test/stubs/StubState.h"

#include <stdexcept>

namespace titan::cuda::stubs {

Result cuStreamCreateWithPriority(Stream *stream, unsigned flags, int) {
  TITAN_ENTER(true);
  if (flags != kNonBlocking)
    return kInvalidValue;
  create(it.streams, stream);
  (*stream)->context = currentContext();
  return kSuccess;
}

Result cuStreamDestroy(Stream stream) {
  TITAN_ENTER(false);
  if (it.streams.contains(stream))
    it.wait(lock, *stream, stream->enqueued);
  for (EventObject *event : it.events)
    if (event->stream == stream)
      event->stream = nullptr;
  return destroy(it.streams, stream);
}

Result cuStreamSynchronize(Stream stream) {
  TITAN_ENTER(true);
  if (!it.streams.contains(stream))
    return kInvalidHandle;
  if (stream->capturing)
    return kCaptureUnsupported;
  it.wait(lock, *stream, stream->enqueued);
  return it.sticky;
}

Result cuStreamWaitEvent(Stream stream, EventHandle event, unsigned) {
  TITAN_ENTER(true);
  if (!it.streams.contains(stream) || !it.events.contains(event))
    return kInvalidHandle;
  StreamObject *const source = event->stream;
  const uint64_t position = event->position;
  if (!source)
    return kSuccess;
  return it.enqueue(stream, [source, position] {
    // A stream that has ended has done its work.
    return !stub().streams.contains(source) || stub().drain(*source, position);
  });
}

Result cuStreamBeginCapture(Stream stream, int) {
  TITAN_ENTER(true);
  if (!it.streams.contains(stream) || stream->capturing)
    return kInvalidHandle;
  return create(it.graphs, &stream->capturing);
}

Result cuStreamEndCapture(Stream stream, Graph *graph) {
  TITAN_ENTER(true);
  if (!it.streams.contains(stream) || !stream->capturing)
    return kInvalidHandle;
  *graph = std::exchange(stream->capturing, nullptr);
  return kSuccess;
}

Result cuEventCreate(EventHandle *event, unsigned flags) {
  TITAN_ENTER(true);
  create(it.events, event);
  (*event)->isTimed = !(flags & kDisableTiming);
  return kSuccess;
}

Result cuEventDestroy(EventHandle event) {
  TITAN_ENTER(false);
  return destroy(it.events, event);
}

Result cuEventRecord(EventHandle event, Stream stream) {
  TITAN_ENTER(true);
  if (!it.streams.contains(stream) || !it.events.contains(event))
    return kInvalidHandle;
  if (stream->capturing)
    return kCaptureUnsupported;
  event->stream = stream;
  event->position = stream->enqueued;
  event->milliseconds = stream->milliseconds;
  event->recorder = std::this_thread::get_id();
  return kSuccess;
}

Result cuEventQuery(EventHandle event) {
  TITAN_ENTER(true);
  if (!it.events.contains(event))
    return kInvalidHandle;
  if (!event->stream || event->stream->done >= event->position)
    return kSuccess;
  // Who put work into a stream and asks again for its end waits for it; a watchdog looks on.
  if (event->recorder == std::this_thread::get_id())
    it.drain(*event->stream, event->position);
  return kNotReady;
}

Result cuEventSynchronize(EventHandle event) {
  TITAN_ENTER(true);
  if (!it.events.contains(event))
    return kInvalidHandle;
  if (event->stream)
    it.wait(lock, *event->stream, event->position);
  return it.sticky;
}

Result cuEventElapsedTime(float *milliseconds, EventHandle begin, EventHandle end) {
  TITAN_ENTER(true);
  if (!it.events.contains(begin) || !it.events.contains(end) || !begin->isTimed || !end->isTimed)
    return kInvalidHandle;
  *milliseconds = static_cast<float>(end->milliseconds - begin->milliseconds);
  return kSuccess;
}

Result cuGraphInstantiateWithFlags(ExecutableGraph *executable, Graph graph, unsigned long long) {
  TITAN_ENTER(true);
  if (!it.graphs.contains(graph))
    return kInvalidHandle;
  create(it.executables, executable);
  (*executable)->work = graph->work;
  return kSuccess;
}

Result cuGraphLaunch(ExecutableGraph executable, Stream stream) {
  TITAN_ENTER(true);
  if (!it.executables.contains(executable))
    return kInvalidHandle;
  return it.enqueue(stream, [executable] {
    for (const StubWork &work : executable->work)
      if (!work())
        throw std::runtime_error("a graph waits for what is not in it");
  });
}

Result cuGraphExecDestroy(ExecutableGraph executable) {
  TITAN_ENTER(true);
  it.waitForAll(lock); // those that are under way end first
  return destroy(it.executables, executable);
}

Result cuGraphDestroy(Graph graph) {
  TITAN_ENTER(true);
  return destroy(it.graphs, graph);
}

} // namespace titan::cuda::stubs
