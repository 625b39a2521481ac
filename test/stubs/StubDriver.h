// What the stubs of NVIDIA's other libraries, and tests, share with the stub of the driver.
#pragma once

#include "runtime/device/cuda/DriverApi.h"

#include <functional>
#include <mutex>

extern "C" {

/// Held while a stream's work is done.
std::recursive_mutex *titanStubMutex();
/// Lets streams that wait for others look again.
void titanStubNotify();

/// Puts host code into a stream, as the other libraries put kernels; events count it as taking so
/// long. Returns a Result. What it throws (std::runtime_error) becomes the stub's sticky error.
int titanStubEnqueue(titan::cuda::Stream stream, std::function<void()> work, double milliseconds);

/// Likewise what may have to wait for other streams: it returns whether it is done, and is tried
/// again. `position` becomes its number in the stream, counted from 1.
int titanStubEnqueueShared(titan::cuda::Stream stream, std::function<bool()> work,
                           uint64_t *position);

/// With the mutex: does a stream's work up to that number; false if that has to wait for others.
bool titanStubDrain(titan::cuda::Stream stream, uint64_t position);

/// With the mutex, which it releases meanwhile: waits until something has changed, but not longer.
void titanStubAwaitChange(std::unique_lock<std::recursive_mutex> &lock, double milliseconds);

/// That of the calling thread's context, or -1.
int titanStubCurrentGpu();

/// Which of the host's GPUs one is: CUDA_VISIBLE_DEVICES may show others under its number.
int titanStubNumberOnHost(int gpu);

/// Whether a GPU (-1: any) may access that memory.
bool titanStubIsValid(uint64_t address, uint64_t bytes, int gpu);

/// How often a function of the driver has been called since the library was loaded.
long titanStubCalls(const char *function);

/// Lets the `nth` call from now on of a function fail with `result`.
void titanStubFail(const char *function, long nth, int result);

/// How many objects (memory, streams, events, graphs, modules) exist.
long titanStubObjects();
}
