// cuBLASLt without a GPU: libcublasLt.so.13 for tests. Products are computed on the host in double
// precision. It refuses descriptors that do not fit each other, operands that are not aligned as
// the heuristic was told, and a workspace that is too small.
#include "runtime/device/cuda/BlasLt.h"
#include "test/stubs/StubDriver.h"

#include <atomic>
#include <cstring>
#include <stdexcept>

namespace titan::cuda {

struct LtHandleObject {};

struct LtOperationObject {
  int32_t transpose[2] = {0, 0};
};

struct LtLayoutObject {
  int type;
  int64_t rows, columns, leading;
  int32_t batch = 1;
  int64_t stride = 0;
};

struct LtPreferenceObject {
  uint64_t workspace = 0;
  uint32_t reductions = 7;
  uint32_t alignment[4] = {256, 256, 256, 256};
};

} // namespace titan::cuda

using namespace titan::cuda;

namespace {

/// What the heuristic leaves in an algorithm: all that matmul needs to check, and its number.
constexpr uint64_t kMark = 0x7469746160616c67;
/// By number; the heuristic does not know that the second is the fastest, and that the last does
/// not run.
constexpr double kMilliseconds[] = {2, 1, 3, 0.5};
constexpr int kAlgorithms = 4;
constexpr size_t kWorkspace = 4096;

bool fits(const LtOperationObject &operation, const LtLayoutObject &a, const LtLayoutObject &b,
          const LtLayoutObject &d) {
  const int64_t m = operation.transpose[0] ? a.columns : a.rows;
  const int64_t k = operation.transpose[0] ? a.rows : a.columns;
  const int64_t n = operation.transpose[1] ? b.rows : b.columns;
  const int64_t k2 = operation.transpose[1] ? b.columns : b.rows;
  for (const LtLayoutObject *layout : {&a, &b, &d})
    if (layout->leading < layout->rows || layout->batch != d.batch)
      return false;
  return m == d.rows && n == d.columns && k == k2 && a.type == b.type &&
         (a.type == kLtBFloat16 || d.type == kLtFloat32);
}

double read(const void *data, int type, int64_t index) {
  if (type == kLtFloat32)
    return static_cast<double>(static_cast<const float *>(data)[index]);
  return static_cast<double>(titan::fromBFloat16(static_cast<const uint16_t *>(data)[index]));
}

void write(void *data, int type, int64_t index, double value) {
  const auto single = static_cast<float>(value);
  if (type == kLtFloat32)
    static_cast<float *>(data)[index] = single;
  else
    static_cast<uint16_t *>(data)[index] = titan::toBFloat16(single);
}

void multiply(const LtOperationObject &operation, const LtLayoutObject &a, const void *aData,
              const LtLayoutObject &b, const void *bData, const LtLayoutObject &d, void *dData,
              float alpha, float beta) {
  const int64_t depth = operation.transpose[0] ? a.rows : a.columns;
  for (int64_t item = 0; item < d.batch; ++item)
    for (int64_t column = 0; column < d.columns; ++column)
      for (int64_t row = 0; row < d.rows; ++row) {
        double sum = 0;
        for (int64_t i = 0; i < depth; ++i)
          sum += read(aData, a.type,
                      item * a.stride +
                          (operation.transpose[0] ? i + row * a.leading : row + i * a.leading)) *
                 read(bData, b.type,
                      item * b.stride + (operation.transpose[1] ? column + i * b.leading
                                                                : i + column * b.leading));
        const int64_t to = item * d.stride + row + column * d.leading;
        double value = static_cast<double>(alpha) * sum;
        if (beta != 0)
          value += static_cast<double>(beta) * read(dData, d.type, to);
        write(dData, d.type, to, value);
      }
}

void requireMemory(const LtLayoutObject &layout, const void *data, uint64_t alignment) {
  const int64_t element = layout.type == kLtFloat32 ? 4 : 2;
  const int64_t span =
      (layout.batch - 1) * layout.stride + (layout.columns - 1) * layout.leading + layout.rows;
  const auto address = reinterpret_cast<uint64_t>(data);
  if (address % alignment)
    throw std::runtime_error("a matrix is not aligned as the heuristic was told");
  if (!titanStubIsValid(address, static_cast<uint64_t>(span * element), -1))
    throw std::runtime_error("a matrix is not in memory that is allocated");
}

} // namespace

extern "C" {

/// How many products have been put into streams.
std::atomic<long> titanStubProductCount;
long titanStubProducts() { return titanStubProductCount; }

size_t cublasLtGetVersion() { return 130000; }
const char *cublasLtGetStatusString(int) { return "a status of the stub"; }

int cublasLtCreate(LtHandle *handle) {
  *handle = new LtHandleObject();
  return kLtSuccess;
}
int cublasLtDestroy(LtHandle handle) {
  delete handle;
  return kLtSuccess;
}

int cublasLtMatmulDescCreate(LtOperation *operation, int compute, int scale) {
  if (compute != kLtComputeFloat32 || scale != kLtFloat32)
    return kLtNotSupported;
  *operation = new LtOperationObject();
  return kLtSuccess;
}
int cublasLtMatmulDescDestroy(LtOperation operation) {
  delete operation;
  return kLtSuccess;
}
int cublasLtMatmulDescSetAttribute(LtOperation operation, int attribute, const void *value,
                                   size_t bytes) {
  if (bytes != 4 || (attribute != kLtTransposeA && attribute != kLtTransposeB))
    return kLtInvalidValue;
  std::memcpy(&operation->transpose[attribute - kLtTransposeA], value, 4);
  return kLtSuccess;
}

int cublasLtMatrixLayoutCreate(LtLayout *layout, int type, uint64_t rows, uint64_t columns,
                               int64_t leading) {
  *layout =
      new LtLayoutObject{type, static_cast<int64_t>(rows), static_cast<int64_t>(columns), leading};
  return kLtSuccess;
}
int cublasLtMatrixLayoutDestroy(LtLayout layout) {
  delete layout;
  return kLtSuccess;
}
int cublasLtMatrixLayoutSetAttribute(LtLayout layout, int attribute, const void *value,
                                     size_t bytes) {
  if (attribute == kLtBatchCount && bytes == 4)
    std::memcpy(&layout->batch, value, 4);
  else if (attribute == kLtBatchStride && bytes == 8)
    std::memcpy(&layout->stride, value, 8);
  else
    return kLtInvalidValue;
  return kLtSuccess;
}

int cublasLtMatmulPreferenceCreate(LtPreference *preference) {
  *preference = new LtPreferenceObject();
  return kLtSuccess;
}
int cublasLtMatmulPreferenceDestroy(LtPreference preference) {
  delete preference;
  return kLtSuccess;
}
int cublasLtMatmulPreferenceSetAttribute(LtPreference preference, int attribute, const void *value,
                                         size_t bytes) {
  if (attribute == kLtMaxWorkspace && bytes == 8)
    std::memcpy(&preference->workspace, value, 8);
  else if (attribute == kLtReductionSchemes && bytes == 4)
    std::memcpy(&preference->reductions, value, 4);
  else if (attribute >= kLtAlignmentA && attribute <= kLtAlignmentD && bytes == 4)
    std::memcpy(&preference->alignment[attribute - kLtAlignmentA], value, 4);
  else
    return kLtInvalidValue;
  return kLtSuccess;
}

int cublasLtMatmulAlgoGetHeuristic(LtHandle, LtOperation operation, LtLayout a, LtLayout b,
                                   LtLayout, LtLayout d, LtPreference preference, int requested,
                                   LtChoice *choices, int *found) {
  *found = 0;
  if (requested < 1 || !fits(*operation, *a, *b, *d) || preference->workspace < kWorkspace ||
      (preference->reductions & 4))
    return kLtNotSupported;
  *found = requested < kAlgorithms ? requested : kAlgorithms;
  for (int i = 0; i < *found; ++i) {
    choices[i] = {};
    choices[i].algorithm = {{kMark, preference->alignment[0], preference->alignment[1],
                             preference->alignment[3], static_cast<uint64_t>(i)}};
    choices[i].workspaceBytes = kWorkspace;
    choices[i].state = kLtSuccess;
  }
  return kLtSuccess;
}

int cublasLtMatmulAlgoCheck(LtHandle, LtOperation operation, LtLayout a, LtLayout b, LtLayout,
                            LtLayout d, const LtAlgorithm *algorithm, LtChoice *choice) {
  // The last one does not run.
  if (algorithm->data[0] != kMark || algorithm->data[4] >= kAlgorithms - 1 ||
      !fits(*operation, *a, *b, *d))
    return kLtNotSupported;
  *choice = {};
  choice->workspaceBytes = kWorkspace;
  return kLtSuccess;
}

int cublasLtMatmul(LtHandle, LtOperation operation, const void *alpha, const void *a,
                   LtLayout aLayout, const void *b, LtLayout bLayout, const void *beta,
                   const void *c, LtLayout, void *d, LtLayout dLayout, const LtAlgorithm *algorithm,
                   void *workspace, size_t workspaceBytes, Stream stream) {
  if (algorithm->data[0] != kMark || workspaceBytes < kWorkspace || c != d ||
      !titanStubIsValid(reinterpret_cast<uint64_t>(workspace), workspaceBytes,
                        titanStubCurrentGpu()))
    return kLtInvalidValue;
  ++titanStubProductCount;
  // The descriptors may go away before the work is done, as the documentation says.
  return titanStubEnqueue(
      stream,
      [=, operation = *operation, aLayout = *aLayout, bLayout = *bLayout, dLayout = *dLayout,
       algorithm = *algorithm, alpha = *static_cast<const float *>(alpha),
       beta = *static_cast<const float *>(beta)] {
        requireMemory(aLayout, a, algorithm.data[1]);
        requireMemory(bLayout, b, algorithm.data[2]);
        requireMemory(dLayout, d, algorithm.data[3]);
        multiply(operation, aLayout, a, bLayout, b, dLayout, d, alpha, beta);
      },
      kMilliseconds[algorithm->data[4]]);
}
}
