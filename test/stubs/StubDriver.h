// What the stubs of NVIDIA's other libraries, and tests, share with the stub of the driver.
#pragma once

#include "runtime/device/cuda/DriverApi.h"

#include <functional>

extern "C" {

/// Puts host code into a stream, as the other libraries put kernels. Returns a Result. What it
/// throws (std::runtime_error) becomes the stub's sticky error.
int titanStubEnqueue(titan::cuda::Stream stream, std::function<void()> work);

/// Whether a GPU may access that memory.
bool titanStubIsValid(uint64_t address, uint64_t bytes);

/// How often a function of the driver has been called since the library was loaded.
long titanStubCalls(const char *function);

/// Lets the `nth` call from now on of a function fail with `result`.
void titanStubFail(const char *function, long nth, int result);

/// How many objects (memory, streams, events, graphs, modules) exist.
long titanStubObjects();
}
