#include "runtime/device/cuda/BlasLt.h"

#include "runtime/device/cuda/LibrarySearch.h"

#include <algorithm>

namespace titan::cuda {
namespace {

int64_t alignmentOf(DeviceAddress address) {
  int64_t alignment = 256;
  while (address % static_cast<DeviceAddress>(alignment) != 0)
    alignment /= 2;
  return alignment;
}

} // namespace

StatusOr<LtProblem> describeGemm(const format::Gemm &op, DType a, DType b, DType c,
                                 DeviceAddress addressA, DeviceAddress addressB,
                                 DeviceAddress addressC) {
  const auto typeOf = [](DType type) { return type == DType::f32 ? kLtFloat32 : kLtBFloat16; };
  for (const DType type : {a, b, c})
    if (type != DType::f32 && type != DType::bf16)
      return invalidArgument("gemm on a GPU takes f32 and bf16, found " +
                             std::string(toString(type)));
  if (a != b || (a == DType::f32 && c != DType::f32))
    return invalidArgument(
        "gemm on a GPU multiplies two f32 matrices into f32, or two of bf16 into "
        "either, found " +
        std::string(toString(a)) + " and " + std::string(toString(b)) + " into " +
        std::string(toString(c)));
  const bool isBatched = op.batch > 1;
  LtProblem problem{};
  problem.transposeFirst = op.transB;
  problem.transposeSecond = op.transA;
  problem.accumulate = op.accumulate;
  problem.batch = op.batch;
  // The rows of a row-major matrix are the columns of a column-major one.
  problem.first = {typeOf(b), op.transB ? op.k : op.n,    op.transB ? op.n : op.k,
                   op.ldb,    isBatched ? op.strideB : 0, alignmentOf(addressB)};
  problem.second = {typeOf(a), op.transA ? op.m : op.k,    op.transA ? op.k : op.m,
                    op.lda,    isBatched ? op.strideA : 0, alignmentOf(addressA)};
  problem.result = {
      typeOf(c), op.n, op.m, op.ldc, isBatched ? op.strideC : 0, alignmentOf(addressC)};
  return problem;
}

StatusOr<std::unique_ptr<BlasLt>> BlasLt::open(const std::string &name) {
  const std::vector<std::string> names =
      name.empty()
          ? std::vector<std::string>(std::begin(kBlasLtLibraries), std::end(kBlasLtLibraries))
          : std::vector<std::string>{name};
  auto library = openCudaLibrary(names, "cublas");
  if (!library.ok())
    return library.status().withContext(
        "cuBLASLt 12.1 or newer, which multiplies matrices on GPUs, is missing");
  std::unique_ptr<BlasLt> blas(new BlasLt(*std::move(library)));
  TITAN_RETURN_IF_ERROR(blas->resolve());
  TITAN_RETURN_IF_ERROR(checkLibraryVersion("cuBLASLt", blas->cublasLtGetVersion(), kOldestBlasLt));
  TITAN_RETURN_IF_ERROR(blas->check(blas->cublasLtCreate(&blas->handle), "cublasLtCreate"));
  return blas;
}

Status BlasLt::resolve() {
#define TITAN_BLASLT(result, name, parameters)                                                     \
  {                                                                                                \
    TITAN_ASSIGN_OR_RETURN(name, library.function<result parameters>(#name));                      \
  }
#include "runtime/device/cuda/BlasLtFunctions.def"
#undef TITAN_BLASLT
  return okStatus();
}

BlasLt::~BlasLt() {
  if (handle)
    cublasLtDestroy(handle);
}

Status BlasLt::check(int status, const char *what) const {
  if (status == kLtSuccess)
    return okStatus();
  const char *text = cublasLtGetStatusString(status);
  return internalError(std::string(what) + ": " + (text ? text : "unknown status") + " (" +
                       std::to_string(status) + ")");
}

std::string BlasLt::describeVersion() const { return libraryVersion(cublasLtGetVersion()); }

StatusOr<LtLayout> BlasLt::createLayout(const LtProblem::Matrix &matrix, int64_t batch) const {
  LtLayout layout = nullptr;
  TITAN_RETURN_IF_ERROR(
      check(cublasLtMatrixLayoutCreate(&layout, matrix.type, static_cast<uint64_t>(matrix.rows),
                                       static_cast<uint64_t>(matrix.columns), matrix.leading),
            "cublasLtMatrixLayoutCreate"));
  if (batch == 1)
    return layout;
  const auto count = static_cast<int32_t>(batch);
  Status status =
      check(cublasLtMatrixLayoutSetAttribute(layout, kLtBatchCount, &count, sizeof(count)),
            "cublasLtMatrixLayoutSetAttribute");
  if (status.ok())
    status = check(cublasLtMatrixLayoutSetAttribute(layout, kLtBatchStride, &matrix.batchStride,
                                                    sizeof(matrix.batchStride)),
                   "cublasLtMatrixLayoutSetAttribute");
  if (status.ok())
    return layout;
  cublasLtMatrixLayoutDestroy(layout);
  return status;
}

Status BlasLt::describe(const LtProblem &problem, LtPlan &plan) const {
  TITAN_RETURN_IF_ERROR(
      check(cublasLtMatmulDescCreate(&plan.operation, kLtComputeFloat32, kLtFloat32),
            "cublasLtMatmulDescCreate"));
  const int32_t transposes[] = {problem.transposeFirst ? kLtTranspose : kLtNoTranspose,
                                problem.transposeSecond ? kLtTranspose : kLtNoTranspose};
  TITAN_RETURN_IF_ERROR(check(cublasLtMatmulDescSetAttribute(plan.operation, kLtTransposeA,
                                                             &transposes[0], sizeof(int32_t)),
                              "cublasLtMatmulDescSetAttribute"));
  TITAN_RETURN_IF_ERROR(check(cublasLtMatmulDescSetAttribute(plan.operation, kLtTransposeB,
                                                             &transposes[1], sizeof(int32_t)),
                              "cublasLtMatmulDescSetAttribute"));
  TITAN_ASSIGN_OR_RETURN(plan.first, createLayout(problem.first, problem.batch));
  TITAN_ASSIGN_OR_RETURN(plan.second, createLayout(problem.second, problem.batch));
  TITAN_ASSIGN_OR_RETURN(plan.result, createLayout(problem.result, problem.batch));
  return okStatus();
}

StatusOr<std::vector<LtChoice>> BlasLt::choices(const LtProblem &problem, int64_t maxWorkspace,
                                                int most) const {
  LtPlan plan(*this, problem.accumulate);
  TITAN_RETURN_IF_ERROR(describe(problem, plan));
  LtPreference preference = nullptr;
  TITAN_RETURN_IF_ERROR(
      check(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate"));
  Status status;
  auto set = [&](int attribute, auto value) {
    if (status.ok())
      status =
          check(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)),
                "cublasLtMatmulPreferenceSetAttribute");
  };
  set(kLtMaxWorkspace, static_cast<uint64_t>(maxWorkspace));
  // Partial sums meet in float32, not in the type of the result.
  set(kLtReductionSchemes, uint32_t{1 | 2});
  set(kLtAlignmentA, static_cast<uint32_t>(problem.first.alignment));
  set(kLtAlignmentB, static_cast<uint32_t>(problem.second.alignment));
  set(kLtAlignmentC, static_cast<uint32_t>(problem.result.alignment));
  set(kLtAlignmentD, static_cast<uint32_t>(problem.result.alignment));
  std::vector<LtChoice> choices(static_cast<size_t>(most));
  int found = 0, result = kLtSuccess;
  if (status.ok())
    result =
        cublasLtMatmulAlgoGetHeuristic(handle, plan.operation, plan.first, plan.second, plan.result,
                                       plan.result, preference, most, choices.data(), &found);
  cublasLtMatmulPreferenceDestroy(preference);
  TITAN_RETURN_IF_ERROR(status);
  if (result != kLtNotSupported)
    TITAN_RETURN_IF_ERROR(check(result, "cublasLtMatmulAlgoGetHeuristic"));
  choices.resize(static_cast<size_t>(found));
  std::erase_if(choices, [](const LtChoice &it) { return it.state != kLtSuccess; });
  if (choices.empty())
    return invalidArgument("cuBLASLt " + describeVersion() + " has no algorithm for this gemm");
  return choices;
}

StatusOr<std::unique_ptr<LtPlan>> BlasLt::plan(const LtProblem &problem, const LtChoice &choice,
                                               int64_t maxWorkspace) const {
  std::unique_ptr<LtPlan> plan(new LtPlan(*this, problem.accumulate));
  TITAN_RETURN_IF_ERROR(describe(problem, *plan));
  TITAN_RETURN_IF_ERROR(
      check(cublasLtMatmulAlgoCheck(handle, plan->operation, plan->first, plan->second,
                                    plan->result, plan->result, &choice.algorithm, &plan->choice),
            "cublasLtMatmulAlgoCheck"));
  plan->choice.algorithm = choice.algorithm;
  if (plan->choice.workspaceBytes > static_cast<size_t>(maxWorkspace))
    return invalidArgument("the algorithm needs " + std::to_string(plan->choice.workspaceBytes) +
                           " bytes of workspace, more than " + std::to_string(maxWorkspace));
  return plan;
}

LtPlan::~LtPlan() {
  for (LtLayout layout : {first, second, result})
    if (layout)
      library.cublasLtMatrixLayoutDestroy(layout);
  if (operation)
    library.cublasLtMatmulDescDestroy(operation);
}

Status LtPlan::enqueue(const void *firstData, const void *secondData, void *resultData,
                       void *workspace, Stream stream) const {
  return library.check(library.cublasLtMatmul(library.handle, operation, &alpha, firstData, first,
                                              secondData, second, &beta, resultData, result,
                                              resultData, result, &choice.algorithm, workspace,
                                              choice.workspaceBytes, stream),
                       "cublasLtMatmul");
}

} // namespace titan::cuda
