#include "compiler/target/CudaTarget.h"

#include "compiler/target/LlvmCode.h"

#include "compiler/lowering/MathApproximation.h"

#include "mlir/Conversion/ArithCommon/AttrToLLVMConverter.h"
#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/MemRefToLLVM/MemRefToLLVM.h"
#include "mlir/Conversion/NVVMToLLVM/NVVMToLLVM.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVM.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"

using namespace mlir;

namespace titan {

/// Below this many elements in every tensor 32-bit offsets do, with room for a loop's last step.
static constexpr int64_t kSmallElements = int64_t{1} << 30;

llvm::ArrayRef<CudaArchitecture> cudaArchitectures() {
  // 8.1 is the first version with more than 4 KB of parameters: a clip factor's kernel takes a
  // pointer for each parameter of the model.
  static constexpr CudaArchitecture architectures[] = {
      {"sm_80", "ptx81"}, {"sm_90", "ptx81"}, {"sm_100", "ptx86"}, {"sm_120", "ptx87"}};
  return architectures;
}

const CudaArchitecture *findCudaArchitecture(llvm::StringRef name) {
  const auto *found = llvm::find_if(cudaArchitectures(),
                                    [&](const CudaArchitecture &it) { return it.name == name; });
  return found == cudaArchitectures().end() ? nullptr : found;
}

static std::unique_ptr<llvm::TargetMachine> createMachine(const CudaArchitecture &architecture) {
  const std::lock_guard lock(targetListMutex());
  LLVMInitializeNVPTXTargetInfo();
  LLVMInitializeNVPTXTarget();
  LLVMInitializeNVPTXTargetMC();
  LLVMInitializeNVPTXAsmPrinter();
  std::string error;
  const llvm::Triple triple("nvptx64-nvidia-cuda");
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!target)
    return nullptr;
  // Without the PTX version LLVM takes one that does not know the processor, and ends the process.
  const std::string features = ("+" + architecture.ptxVersion).str();
  return std::unique_ptr<llvm::TargetMachine>(
      target->createTargetMachine(triple, architecture.name, features, llvm::TargetOptions(),
                                  std::nullopt, std::nullopt, llvm::CodeGenOptLevel::Aggressive));
}

//===----------------------------------------------------------------------===//
// GPU functions to PTX
//===----------------------------------------------------------------------===//

static void loadDialects(MLIRContext *context) {
  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerGPUDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerNVVMDialectTranslation(registry);
  arith::registerConvertArithToLLVMInterface(registry);
  cf::registerConvertControlFlowToLLVMInterface(registry);
  registerConvertMathToLLVMInterface(registry);
  registerConvertMemRefToLLVMInterface(registry);
  registerConvertNVVMToLLVMInterface(registry);
  vector::registerConvertVectorToLLVMInterface(registry);
  context->appendDialectRegistry(registry);
  context->loadDialect<arith::ArithDialect, cf::ControlFlowDialect, gpu::GPUDialect,
                       LLVM::LLVMDialect, math::MathDialect, memref::MemRefDialect,
                       NVVM::NVVMDialect, scf::SCFDialect, vector::VectorDialect>();
}

namespace {
/// A function of floats that is an instruction, as a call of LLVM's intrinsic.
template <typename Op> struct ToIntrinsic : OpRewritePattern<Op> {
  ToIntrinsic(MLIRContext *context, StringRef intrinsic)
      : OpRewritePattern<Op>(context), intrinsic(intrinsic) {}

  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const override {
    auto call = LLVM::CallIntrinsicOp::create(rewriter, op.getLoc(), op.getType(),
                                              rewriter.getStringAttr(intrinsic), op->getOperands());
    call.setFastmathFlags(arith::convertArithFastMathFlagsToLLVM(op.getFastmath()));
    rewriter.replaceOp(op, call.getResults());
    return success();
  }

  StringRef intrinsic;
};

/// The conversion to NVVM would call libdevice, a part of the CUDA toolkit.
struct UseIntrinsics : PassWrapper<UseIntrinsics, OperationPass<gpu::GPUFuncOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(UseIntrinsics)

  StringRef getArgument() const override { return "titan-use-intrinsics"; }
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<ToIntrinsic<math::SqrtOp>>(&getContext(), "llvm.sqrt.f32");
    patterns.add<ToIntrinsic<math::FmaOp>>(&getContext(), "llvm.fma.f32");
    patterns.add<ToIntrinsic<math::AbsFOp>>(&getContext(), "llvm.fabs.f32");
    patterns.add<ToIntrinsic<math::RoundEvenOp>>(&getContext(), "llvm.roundeven.f32");
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace

static void addLowering(PassManager &passes, unsigned indexBits) {
  passes.enableVerifier(false);
  OpPassManager &kernels = passes.nest<gpu::GPUModuleOp>();
  kernels.addNestedPass<gpu::GPUFuncOp>(createApproximateMathPass());
  kernels.addPass(createCanonicalizerPass());
  kernels.addPass(createCSEPass());
  kernels.addPass(createLoopInvariantCodeMotionPass());
  kernels.addPass(createSCFToControlFlowPass());
  kernels.addNestedPass<gpu::GPUFuncOp>(std::make_unique<UseIntrinsics>());
  ConvertGpuOpsToNVVMOpsOptions options;
  options.indexBitwidth = indexBits;
  options.useBarePtrCallConv = true;
  kernels.addPass(createConvertGpuOpsToNVVMOps(options));
  kernels.addPass(createReconcileUnrealizedCastsPass());
  kernels.addPass(createCanonicalizerPass());
  kernels.addPass(createCSEPass());
}

static LogicalResult emitPtx(gpu::GPUModuleOp kernels, const CudaArchitecture &architecture,
                             llvm::SmallVectorImpl<char> &ptx) {
  auto machine = createMachine(architecture);
  if (!machine)
    return emitError(kernels.getLoc()) << "this LLVM generates no PTX";
  llvm::LLVMContext context;
  auto code = translateModuleToLLVMIR(kernels, context, "titan");
  if (!code)
    return failure();
  setTarget(*code, *machine);
  optimize(*code, *machine);
  writeCode(*code, *machine, llvm::CodeGenFileType::AssemblyFile, ptx);
  return success();
}

//===----------------------------------------------------------------------===//
// Kernels to an image
//===----------------------------------------------------------------------===//

namespace {
/// Kernels that are compiled together.
struct Part {
  OwningOpRef<ModuleOp> module;
  gpu::GPUModuleOp kernels;
  unsigned indexBits;
  llvm::SmallVector<char, 0> ptx;
};
} // namespace

static unsigned chooseIndexBits(KernelOp kernel) {
  auto isLarge = [](Type type) {
    return cast<RankedTensorType>(type).getNumElements() > kSmallElements;
  };
  return llvm::any_of(kernel->getOperandTypes(), isLarge) ||
                 llvm::any_of(kernel->getResultTypes(), isLarge)
             ? 64
             : 32;
}

static Part createPart(MLIRContext *context, unsigned indexBits) {
  OpBuilder builder(context);
  Location loc = builder.getUnknownLoc();
  Part part{ModuleOp::create(loc), {}, indexBits, {}};
  builder.setInsertionPointToEnd(part.module->getBody());
  part.kernels = gpu::GPUModuleOp::create(builder, loc, "kernels");
  return part;
}

/// The part of a module's text behind its header: .version, .target and .address_size come once.
static llvm::StringRef withoutHeader(llvm::StringRef ptx) {
  constexpr llvm::StringLiteral last = ".address_size 64";
  const size_t at = ptx.find(last);
  return at == llvm::StringRef::npos ? ptx : ptx.drop_front(at + last.size());
}

llvm::FailureOr<CudaImage> compileForCuda(llvm::ArrayRef<KernelSource> sources,
                                          const CudaArchitecture &architecture) {
  CudaImage image;
  if (sources.empty())
    return image;
  MLIRContext *context = sources[0].op->getContext();
  loadDialects(context);
  std::vector<Part> parts;
  size_t kernelsInPart = 0;
  for (const KernelSource &source : sources) {
    const unsigned indexBits = chooseIndexBits(source.op);
    if (parts.empty() || kernelsInPart == kKernelsPerPart || parts.back().indexBits != indexBits) {
      parts.push_back(createPart(context, indexBits));
      kernelsInPart = 0;
    }
    auto stages = emitGpuKernel(source.op, source.ties, source.symbol, parts.back().kernels);
    if (failed(stages))
      return failure();
    image.kernels.push_back(std::move(*stages));
    ++kernelsInPart;
  }
  const auto modules = llvm::map_to_vector(parts, [](Part &part) { return *part.module; });
  auto compiled = lowerInParallel(
      modules,
      [&](PassManager &passes, size_t index) { addLowering(passes, parts[index].indexBits); },
      [&](size_t index) { return emitPtx(parts[index].kernels, architecture, parts[index].ptx); });
  if (failed(compiled))
    return failure();
  for (const Part &part : parts) {
    const llvm::StringRef text(part.ptx.data(), part.ptx.size());
    image.ptx += image.ptx.empty() ? text : withoutHeader(text);
  }
  return image;
}

//===----------------------------------------------------------------------===//
// ptxas
//===----------------------------------------------------------------------===//

std::optional<std::string> findPtxas() {
  llvm::SmallVector<std::string> folders;
  for (llvm::StringRef variable : {"CUDA_HOME", "CUDA_PATH"})
    if (auto root = llvm::sys::Process::GetEnv(variable))
      folders.push_back(*root + "/bin");
  llvm::SmallVector<llvm::StringRef> paths(folders.begin(), folders.end());
  if (!paths.empty())
    if (auto found = llvm::sys::findProgramByName("ptxas", paths))
      return *found;
  if (auto found = llvm::sys::findProgramByName("ptxas"))
    return *found;
  if (auto found = llvm::sys::findProgramByName("ptxas", {"/usr/local/cuda/bin"}))
    return *found;
  return std::nullopt;
}

namespace {
/// A file in the temporary folder, removed at the end.
struct TemporaryFile {
  explicit TemporaryFile(llvm::StringRef suffix)
      : error(llvm::sys::fs::createTemporaryFile("titan", suffix, path)) {}
  ~TemporaryFile() {
    if (!error)
      (void)llvm::sys::fs::remove(path);
  }
  llvm::SmallString<128> path;
  std::error_code error;
};
} // namespace

static std::string readText(llvm::StringRef path) {
  auto buffer = llvm::MemoryBuffer::getFile(path);
  return buffer ? (*buffer)->getBuffer().str() : std::string();
}

llvm::Expected<std::vector<char>> assemblePtx(llvm::StringRef ptxas, llvm::StringRef ptx,
                                              const CudaArchitecture &architecture,
                                              std::string *log) {
  TemporaryFile source("ptx"), image("cubin"), output("log");
  for (const TemporaryFile *file : {&source, &image, &output})
    if (file->error)
      return llvm::createStringError(file->error, "no temporary file");
  std::error_code error;
  {
    llvm::raw_fd_ostream stream(source.path, error);
    stream << ptx;
  }
  if (error)
    return llvm::createStringError(error, "cannot write " + source.path.str().str());
  const std::string arch = ("-arch=" + architecture.name).str();
  const llvm::StringRef arguments[] = {ptxas, "-v", "-O3", arch, source.path, "-o", image.path};
  const std::optional<llvm::StringRef> redirects[] = {"", output.path.str(), output.path.str()};
  std::string message;
  const int status = llvm::sys::ExecuteAndWait(ptxas, arguments, std::nullopt, redirects,
                                               /*SecondsToWait=*/0, /*MemoryLimit=*/0, &message);
  const std::string text = readText(output.path);
  if (log)
    *log = text;
  if (status != 0)
    return llvm::createStringError("ptxas failed: " + (message.empty() ? text : message));
  auto bytes = llvm::MemoryBuffer::getFile(image.path, /*IsText=*/false,
                                           /*RequiresNullTerminator=*/false);
  if (!bytes)
    return llvm::createStringError(bytes.getError(), "ptxas left no image");
  return std::vector<char>((*bytes)->getBufferStart(), (*bytes)->getBufferEnd());
}

} // namespace titan
