// KernelNumbers EXEC.mlir SEED OUT.safetensors: what the kernels of a program give, by the
// reference interpreter, for GpuCheck to compare on a machine without MLIR.
//
// EXEC.mlir is what titan-compile prints after the phase exec. Each kernel's body is evaluated on
// random numbers (RandomNumbers.h) in typed mode: every op in double precision, rounded to the type
// of its result. The kernels of a batch are evaluated one by one. Those that are too large for this
// are left out, and named in the file's metadata and here.
#include "compiler/emit/Emit.h"
#include "compiler/reference/Interpreter.h"
#include "dialects/exec/Exec.h"
#include "passes/kernels/KernelBatch.h"
#include "runtime/base/Safetensors.h"
#include "test/gpu/RandomNumbers.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Parser/Parser.h"

using namespace mlir;

namespace titan::gpu {
namespace {

/// Of the operands and results of one body; a double and several temporaries for each.
constexpr int64_t kMostElements = int64_t{1} << 27;

/// What is evaluated at once: a kernel, or one of a batch.
struct Part {
  Block *body;
  SmallVector<unsigned> operands, results; ///< of the whole kernel
};

std::vector<Part> partsOf(Block &body) {
  auto upTo = [](unsigned first, unsigned count) {
    return llvm::to_vector(llvm::seq<unsigned>(first, first + count));
  };
  std::vector<Part> parts;
  for (const BatchPart &part : getBatch(body))
    parts.push_back({&part.kernel->getRegion(0).front(), part.operands,
                     upTo(part.firstResult, part.kernel->getNumResults())});
  if (parts.empty())
    parts.push_back(
        {&body, upTo(0, body.getNumArguments()), upTo(0, body.getTerminator()->getNumOperands())});
  return parts;
}

/// A function that is the body, in a module of its own.
OwningOpRef<ModuleOp> toFunction(Block &body) {
  OpBuilder builder(body.getParentOp()->getContext());
  const Location location = body.getParentOp()->getLoc();
  OwningOpRef<ModuleOp> module = ModuleOp::create(location);
  builder.setInsertionPointToEnd(module->getBody());
  Operation *end = body.getTerminator();
  auto function = func::FuncOp::create(
      builder, location, "kernel",
      builder.getFunctionType(body.getArgumentTypes(), end->getOperandTypes()));
  builder.setInsertionPointToStart(function.addEntryBlock());
  IRMapping mapping;
  mapping.map(body.getArguments(), function.getArguments());
  for (Operation &op : body.without_terminator())
    builder.clone(op, mapping);
  SmallVector<Value> results;
  for (Value value : end->getOperands())
    results.push_back(mapping.lookup(value));
  func::ReturnOp::create(builder, location, results);
  return module;
}

class Numbers {
public:
  explicit Numbers(uint64_t seed) : seed(seed) {}

  /// Adds what a kernel gives.
  LogicalResult add(exec::KernelOp kernel) {
    Block &body = kernel.getBody().front();
    const StringRef name = kernel.getSymName();
    const std::vector<Part> parts = partsOf(body);
    int64_t most = 0;
    for (const Part &part : parts)
      most = std::max(most, sizeOf(*part.body));
    if (most > kMostElements) {
      left += (left.empty() ? "" : " ") + name.str();
      return success();
    }
    const auto ties = kernel->getAttrOfType<DenseI64ArrayAttr>("ties").asArrayRef();
    std::vector<std::byte> bytes;
    for (const int64_t tie : ties)
      append(bytes, static_cast<int32_t>(tie));
    tensors.push_back({(name + "/ties").str(), DType::i32, std::move(bytes)});
    const size_t results = ties.size();
    for (const Part &part : parts)
      for (const bool signs : kSigns)
        if (failed(evaluate(name, part, results, signs)))
          return failure();
    ++added;
    return success();
  }

  Status write(const std::string &path) const {
    std::vector<TensorView> views;
    for (const Tensor &it : tensors)
      views.push_back({it.name,
                       it.type,
                       {static_cast<int64_t>(it.bytes.size()) / byteSize(it.type)},
                       it.bytes});
    return writeSafetensors(path, views, {{"seed", std::to_string(seed)}, {"left", left}});
  }

  const uint64_t seed;
  std::string left; ///< names of kernels
  int added = 0;

private:
  struct Tensor {
    std::string name;
    DType type;
    std::vector<std::byte> bytes;
  };

  template <typename T> static void append(std::vector<std::byte> &bytes, T value) {
    const auto *begin = reinterpret_cast<const std::byte *>(&value);
    bytes.insert(bytes.end(), begin, begin + sizeof(value));
  }

  static int64_t sizeOf(Block &body) {
    int64_t elements = 0;
    for (Type type : body.getArgumentTypes())
      elements += cast<RankedTensorType>(type).getNumElements();
    for (Type type : body.getTerminator()->getOperandTypes())
      elements += cast<RankedTensorType>(type).getNumElements();
    return elements;
  }

  LogicalResult evaluate(StringRef kernel, const Part &part, size_t results, bool signs) {
    const OwningOpRef<ModuleOp> module = toFunction(*part.body);
    std::vector<HostTensor> operands;
    for (auto [number, argument] : llvm::zip_equal(part.operands, part.body->getArguments())) {
      HostTensor &tensor = operands.emplace_back(tensorType(argument));
      const RandomOperand random(seed, kernel, number, getDType(tensor.type.getElementType()),
                                 signs);
      for (int64_t i = 0; i < tensor.size(); ++i)
        tensor.values[static_cast<size_t>(i)] = random.at(i);
    }
    Interpreter interpreter(*module, {Precision::typed});
    const auto values = interpreter.call("kernel", operands);
    if (failed(values))
      return failure();
    for (auto [number, tensor] : llvm::zip_equal(part.results, *values)) {
      const Samples samples(seed, tensor.size(), results);
      std::vector<std::byte> bytes;
      for (int64_t i = 0; i < samples.count(); ++i)
        append(bytes, static_cast<float>(tensor.values[static_cast<size_t>(samples.at(i))]));
      tensors.push_back({samplesName(kernel, number, signs), DType::f32, std::move(bytes)});
    }
    return success();
  }

  std::vector<Tensor> tensors;
};

} // namespace
} // namespace titan::gpu

int main(int argc, char **argv) {
  if (argc != 4) {
    llvm::errs() << "usage: KernelNumbers EXEC.mlir SEED OUT.safetensors\n";
    return 1;
  }
  MLIRContext context;
  context.loadDialect<titan::TitanDialect, titan::exec::ExecDialect, arith::ArithDialect,
                      func::FuncDialect, math::MathDialect>();
  OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(argv[1], &context);
  if (!module)
    return 1;
  titan::gpu::Numbers numbers(std::strtoull(argv[2], nullptr, 10));
  for (auto kernel : module->getOps<titan::exec::KernelOp>())
    if (kernel.getBody().empty() || failed(numbers.add(kernel))) {
      kernel.emitError("has no body that can be evaluated");
      return 1;
    }
  if (const titan::Status status = numbers.write(argv[3]); !status.ok()) {
    llvm::errs() << "error: " << status.message() << "\n";
    return 1;
  }
  llvm::outs() << argv[3] << ": " << numbers.added << " kernels"
               << (numbers.left.empty() ? "" : "; too large: " + numbers.left) << "\n";
  return 0;
}
