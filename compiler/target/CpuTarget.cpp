#include "compiler/target/CpuTarget.h"

#include "compiler/lowering/MathApproximation.h"
#include "compiler/target/Linker.h"
#include "compiler/target/LlvmCode.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/Analysis/ValueTracking.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicsX86.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/Transforms/Utils/Cloning.h"

using namespace mlir;

namespace titan {

//===----------------------------------------------------------------------===//
// The machine
//===----------------------------------------------------------------------===//

namespace {
struct CpuLevel {
  llvm::StringRef name;
  llvm::StringRef vectorWidth; // in bits; LLVM would not use zmm registers by itself
  llvm::StringRef features;    // as /proc/cpuinfo names them
};
} // namespace

static constexpr CpuLevel kLevels[] = {
    {"x86-64-v2", "128", "popcnt,sse4_1,sse4_2,ssse3"},
    {"x86-64-v3", "256", "abm,avx,avx2,bmi1,bmi2,f16c,fma,movbe,popcnt,sse4_1,sse4_2,ssse3"},
    {"x86-64-v4", "512",
     "abm,avx,avx2,avx512bw,avx512cd,avx512dq,avx512f,avx512vl,bmi1,bmi2,f16c,fma,movbe,popcnt,"
     "sse4_1,sse4_2,ssse3"}};

static const CpuLevel *findHostLevel() {
  const llvm::StringMap<bool> host = llvm::sys::getHostCPUFeatures();
  auto has = [&](llvm::ArrayRef<llvm::StringRef> names) {
    return llvm::all_of(names, [&](llvm::StringRef name) { return host.lookup(name); });
  };
  if (!has({"sse4.2", "popcnt", "ssse3"}))
    return nullptr;
  if (!has({"avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe"}))
    return &kLevels[0];
  return has({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}) ? &kLevels[2]
                                                                          : &kLevels[1];
}

static const CpuLevel *findLevel(llvm::StringRef cpu) {
  if (cpu == "host")
    return findHostLevel();
  const auto *found =
      llvm::find_if(kLevels, [&](const CpuLevel &level) { return level.name == cpu; });
  return found == std::end(kLevels) ? nullptr : found;
}

static std::unique_ptr<llvm::TargetMachine> createMachine(const CpuLevel &level) {
  const std::lock_guard lock(targetListMutex());
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86AsmPrinter();
  std::string error;
  const llvm::Triple triple("x86_64-unknown-linux-gnu");
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!target)
    return nullptr;
  return std::unique_ptr<llvm::TargetMachine>(
      target->createTargetMachine(triple, level.name, "", llvm::TargetOptions(), llvm::Reloc::PIC_,
                                  std::nullopt, llvm::CodeGenOptLevel::Aggressive));
}

//===----------------------------------------------------------------------===//
// Loops to LLVM IR
//===----------------------------------------------------------------------===//

static void loadDialects(MLIRContext *context) {
  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  context->appendDialectRegistry(registry);
  context->loadDialect<arith::ArithDialect, cf::ControlFlowDialect, func::FuncDialect,
                       LLVM::LLVMDialect, math::MathDialect, memref::MemRefDialect, scf::SCFDialect,
                       vector::VectorDialect>();
}

static void addLowering(PassManager &passes) {
  passes.enableVerifier(false);
  passes.addNestedPass<func::FuncOp>(createApproximateMathPass());
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  passes.addPass(createSCFToControlFlowPass());
  passes.addPass(createConvertMathToLLVMPass());
  passes.addPass(createFinalizeMemRefToLLVMConversionPass());
  passes.addPass(createArithToLLVMConversionPass());
  ConvertFuncToLLVMPassOptions functions;
  functions.useBarePtrCallConv = true;
  passes.addPass(createConvertFuncToLLVMPass(functions));
  passes.addPass(createConvertControlFlowToLLVMPass());
  passes.addPass(createReconcileUnrealizedCastsPass());
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
}

//===----------------------------------------------------------------------===//
// LLVM IR to an object
//===----------------------------------------------------------------------===//

/// Marks parameters of a function whose stores bypass the caches.
static constexpr llvm::StringLiteral kStreamed = "titan-streamed";
static constexpr uint64_t kLineBytes = 64;

// A second version of a stage's loops for streamed results that begin on a cache line. Null if
// there are none.
static llvm::Function *addStreamingBody(llvm::Function *body, const EmittedStage &stage) {
  if (llvm::none_of(stage.pointers, [](auto &pointer) { return pointer.isStreamed; }))
    return nullptr;
  llvm::ValueToValueMapTy values;
  llvm::Function *streaming = llvm::CloneFunction(body, values);
  streaming->setName(stage.function + ".streaming");
  llvm::LLVMContext &context = body->getContext();
  for (auto [index, pointer] : llvm::enumerate(stage.pointers)) {
    if (!pointer.isStreamed)
      continue;
    streaming->addParamAttr(index,
                            llvm::Attribute::getWithAlignment(context, llvm::Align(kLineBytes)));
    streaming->addParamAttr(index, llvm::Attribute::get(context, kStreamed));
  }
  return streaming;
}

// Marks the vector stores to streamed memory, after vectorization, which would refuse them while it
// does not know their alignment. A store that may straddle its alignment stays as it is.
static void streamStores(llvm::Function &function) {
  auto *one = llvm::ConstantAsMetadata::get(
      llvm::ConstantInt::get(llvm::Type::getInt32Ty(function.getContext()), 1));
  const llvm::DataLayout &layout = function.getParent()->getDataLayout();
  for (llvm::Instruction &instruction : llvm::instructions(function)) {
    auto *store = llvm::dyn_cast<llvm::StoreInst>(&instruction);
    if (!store || !store->getValueOperand()->getType()->isVectorTy())
      continue;
    auto *argument = llvm::dyn_cast<llvm::Argument>(
        llvm::getUnderlyingObject(store->getPointerOperand(), /*MaxLookup=*/0));
    const llvm::TypeSize size = layout.getTypeStoreSize(store->getValueOperand()->getType());
    if (argument && argument->hasAttribute(kStreamed) && store->getAlign().value() >= size)
      store->setMetadata(llvm::LLVMContext::MD_nontemporal,
                         llvm::MDNode::get(function.getContext(), one));
  }
}

// Calls the streaming version if all its results begin on a cache line. Its stores are not ordered
// with others: the fence comes before the caller says that the blocks are done.
static void addDispatch(llvm::IRBuilder<> &builder, llvm::Function *streaming,
                        const EmittedStage &stage, llvm::ArrayRef<llvm::Value *> arguments) {
  llvm::Function *entry = builder.GetInsertBlock()->getParent();
  llvm::Value *bits = builder.getInt64(0);
  for (auto [pointer, argument] : llvm::zip(stage.pointers, arguments))
    if (pointer.isStreamed)
      bits = builder.CreateOr(bits, builder.CreatePtrToInt(argument, builder.getInt64Ty()));
  llvm::Value *isAligned = builder.CreateICmpEQ(
      builder.CreateAnd(bits, builder.getInt64(kLineBytes - 1)), builder.getInt64(0));
  auto *stream = llvm::BasicBlock::Create(builder.getContext(), "", entry);
  auto *plain = llvm::BasicBlock::Create(builder.getContext(), "", entry);
  builder.CreateCondBr(isAligned, stream, plain);
  builder.SetInsertPoint(stream);
  builder.CreateCall(streaming, arguments);
  builder.CreateIntrinsic(llvm::Intrinsic::x86_sse_sfence, {});
  builder.CreateRetVoid();
  builder.SetInsertPoint(plain);
}

// The exported function of a stage: unpacks the arguments and calls the loops. Those stay a
// function of their own, whose parameters say that nothing aliases.
static void addEntryPoint(llvm::Module &module, const EmittedStage &stage) {
  llvm::LLVMContext &context = module.getContext();
  llvm::Function *body = module.getFunction(stage.function);
  body->setName(stage.function + ".body");
  body->setLinkage(llvm::GlobalValue::InternalLinkage);
  body->addFnAttr(llvm::Attribute::NoInline);
  llvm::Type *pointer = llvm::PointerType::get(context, 0);
  llvm::Type *i64 = llvm::Type::getInt64Ty(context);
  auto *type = llvm::FunctionType::get(llvm::Type::getVoidTy(context), {pointer, i64, i64}, false);
  auto *entry =
      llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage, stage.function, module);
  llvm::IRBuilder<> builder(llvm::BasicBlock::Create(context, "", entry));
  llvm::SmallVector<llvm::Value *> arguments;
  for (const EmittedStage::Pointer &source : stage.pointers) {
    llvm::Value *place = builder.CreateConstGEP1_64(pointer, entry->getArg(0), source.argument);
    llvm::Value *buffer = builder.CreateLoad(pointer, place);
    if (source.byteOffset != 0)
      buffer = builder.CreateConstGEP1_64(builder.getInt8Ty(), buffer, source.byteOffset);
    arguments.push_back(buffer);
  }
  arguments.push_back(entry->getArg(1));
  arguments.push_back(entry->getArg(2));
  if (llvm::Function *streaming = addStreamingBody(body, stage))
    addDispatch(builder, streaming, stage, arguments);
  builder.CreateCall(body, arguments);
  builder.CreateRetVoid();
}

static llvm::PipelineTuningOptions getTuning() {
  llvm::PipelineTuningOptions tuning;
  tuning.LoopVectorization = true;
  tuning.SLPVectorization = true;
  tuning.LoopInterleaving = true;
  tuning.LoopUnrolling = false;
  return tuning;
}

static LogicalResult emitObject(ModuleOp module, llvm::ArrayRef<EmittedStage> stages,
                                const CpuLevel &level, llvm::SmallVectorImpl<char> &object) {
  auto machine = createMachine(level);
  if (!machine)
    return emitError(module.getLoc()) << "this LLVM generates no x86-64 code";
  llvm::LLVMContext context;
  auto code = translateModuleToLLVMIR(module, context, "titan");
  if (!code)
    return failure();
  setTarget(*code, *machine);
  for (const EmittedStage &stage : stages)
    addEntryPoint(*code, stage);
  for (llvm::Function &function : *code) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", level.name);
    function.addFnAttr("prefer-vector-width", level.vectorWidth);
    function.addFnAttr("no-builtins"); // no calls of memset: the image stands alone
    function.addFnAttr(llvm::Attribute::NoUnwind);
  }
  optimize(*code, *machine, getTuning());
  for (llvm::Function &function : *code)
    streamStores(function);
  writeCode(*code, *machine, llvm::CodeGenFileType::ObjectFile, object);
  return success();
}

//===----------------------------------------------------------------------===//
// Kernels to an image
//===----------------------------------------------------------------------===//

namespace {
/// Kernels that are compiled together.
struct Part {
  OwningOpRef<ModuleOp> module;
  std::vector<EmittedStage> stages;
  llvm::SmallVector<char, 0> object;
};
} // namespace

llvm::FailureOr<CpuImage> compileForCpu(llvm::ArrayRef<KernelSource> sources,
                                        const CpuTargetOptions &options) {
  CpuImage image;
  if (sources.empty())
    return image;
  MLIRContext *context = sources[0].op->getContext();
  auto unknown = UnknownLoc::get(context);
  const CpuLevel *level = findLevel(options.cpu);
  if (!level) {
    emitError(unknown) << "cpu '" << options.cpu
                       << "' is no target, use x86-64-v2, x86-64-v3, x86-64-v4 or host";
    return failure();
  }
  image.features = level->features.str();
  loadDialects(context);
  std::vector<Part> parts(llvm::divideCeil(sources.size(), kKernelsPerPart));
  for (auto [index, source] : llvm::enumerate(sources)) {
    Part &part = parts[index / kKernelsPerPart];
    if (!part.module)
      part.module = ModuleOp::create(unknown);
    auto stages = emitKernel(source.op, source.ties, source.symbol, *part.module);
    if (failed(stages))
      return failure();
    auto &infos = image.kernels.emplace_back();
    for (EmittedStage &stage : *stages) {
      infos.push_back({stage.function, stage.blocks});
      part.stages.push_back(std::move(stage));
    }
  }
  const auto modules = llvm::map_to_vector(parts, [](Part &part) { return *part.module; });
  auto compiled = lowerInParallel(
      modules, [](PassManager &passes, size_t) { addLowering(passes); },
      [&](size_t index) {
        return emitObject(modules[index], parts[index].stages, *level, parts[index].object);
      });
  if (failed(compiled))
    return failure();
  llvm::SmallVector<llvm::SmallVector<char, 0>> objects;
  for (Part &part : parts)
    objects.push_back(std::move(part.object));
  auto linked = linkSharedObject(objects, options.linker);
  if (!linked) {
    emitError(unknown) << llvm::toString(linked.takeError());
    return failure();
  }
  image.elf = std::move(*linked);
  return image;
}

} // namespace titan
