// The device that the tests of this folder run on: the stub, or a real GPU where TITAN_TEST_GPU is
// set, so that tools/gpu-check.sh runs the same binary.
#pragma once

#include "runtime/device/cuda/CudaDevice.h"
#include "test/stubs/StubDriver.h"

#include <cstdlib>
#include <gtest/gtest.h>

namespace titan::cuda {

inline bool onRealGpu() { return std::getenv("TITAN_TEST_GPU") != nullptr; }

inline CudaOptions testOptions() {
  CudaOptions options;
  options.threads = 1;
  if (!onRealGpu()) {
    options.driver = std::string(TITAN_STUBS) + "/libcuda.so.1";
    options.blasLt = std::string(TITAN_STUBS) + "/libcublasLt.so.13";
    options.cudnn = std::string(TITAN_STUBS) + "/libcudnn.so.9";
    options.nccl = std::string(TITAN_STUBS) + "/libnccl.so.2";
  }
  return options;
}

/// Tests that ask the stubs.
class StubTest : public testing::Test {
protected:
  void SetUp() override {
    if (onRealGpu())
      GTEST_SKIP() << "asks the stubs";
  }
};

/// A stub's own functions.
class StubLibrary {
protected:
  explicit StubLibrary(const std::string &path) {
    auto opened = DynamicLibrary::open(path);
    EXPECT_TRUE(opened.ok()) << opened.status().message();
    library = *std::move(opened);
  }
  template <typename F> F *call(const char *name) const {
    auto function = library.function<F>(name);
    EXPECT_TRUE(function.ok());
    return *function;
  }

private:
  DynamicLibrary library;
};

/// Those of the driver.
class StubControl : StubLibrary {
public:
  static StubControl open() { return StubControl(); }
  long calls(const char *function) const {
    return call<decltype(titanStubCalls)>("titanStubCalls")(function);
  }
  void fail(const char *function, long nth, int result) const {
    call<decltype(titanStubFail)>("titanStubFail")(function, nth, result);
  }
  bool canAccess(int gpu, const std::byte *data) const {
    return call<decltype(titanStubIsValid)>("titanStubIsValid")(
        static_cast<uint64_t>(reinterpret_cast<uintptr_t>(data)), 1, gpu);
  }
  long objects() const { return call<decltype(titanStubObjects)>("titanStubObjects")(); }

private:
  StubControl() : StubLibrary(testOptions().driver) {}
};

} // namespace titan::cuda
