#include "compiler/report/MemoryFacts.h"

#include "compiler/Diagnostics.h"
#include "dialects/exec/Exec.h"

#include <algorithm>
#include <map>
#include <tuple>

using namespace mlir;

namespace titan {
namespace {

/// One entry per place in memory, the first name that is found for it.
class LargestBuffers {
public:
  void add(StringRef base, int64_t offset, int64_t bytes, llvm::function_ref<std::string()> name) {
    auto [place, isNew] = places.try_emplace({base.str(), offset, bytes});
    if (isNew)
      place->second = name();
  }

  std::vector<MemoryFacts::Buffer> take(size_t most) {
    std::vector<MemoryFacts::Buffer> buffers;
    for (auto &[place, name] : places)
      buffers.push_back({std::get<0>(place), std::move(name), std::get<2>(place)});
    std::ranges::sort(buffers, [](const MemoryFacts::Buffer &a, const MemoryFacts::Buffer &b) {
      return std::tie(b.bytes, a.name) < std::tie(a.bytes, b.name);
    });
    if (buffers.size() > most)
      buffers.resize(most);
    return buffers;
  }

private:
  std::map<std::tuple<std::string, int64_t, int64_t>, std::string> places;
};

/// Function and source name of the first instruction that uses the buffer.
std::string nameOf(exec::BufferOp buffer) {
  Operation *named = buffer;
  for (Operation *user : buffer->getUsers())
    if (named == buffer || user->isBeforeInBlock(named))
      named = user;
  auto function = buffer->getParentOfType<exec::FuncOp>();
  return ("@" + function.getSymName() + ": " + locationName(named->getLoc())).str();
}

} // namespace

int64_t MemoryFacts::totalBytes() const {
  int64_t total = 0;
  for (const Item &segment : segments)
    total += segment.bytes;
  return total;
}

MemoryFacts collectMemoryFacts(ModuleOp exec, size_t mostBuffers) {
  MemoryFacts facts;
  for (auto segment : exec.getOps<exec::SegmentOp>())
    facts.segments.push_back(
        {.name = segment.getSymName().str(), .bytes = static_cast<int64_t>(segment.getSize())});
  for (auto residual : exec.getOps<exec::ResidualClassOp>())
    facts.residualClasses.push_back(
        {.name = residual.getSymName().str(),
         .bytes = static_cast<int64_t>(residual.getSlots() * residual.getBytes()),
         .slots = static_cast<int64_t>(residual.getSlots()),
         .slotBytes = static_cast<int64_t>(residual.getBytes())});

  LargestBuffers largest;
  for (auto variable : exec.getOps<exec::VariableOp>()) {
    RankedTensorType type = variable.getTensorType();
    largest.add(variable.getBase(), variable.getOffset(),
                type.getNumElements() * exec::getElementBytes(type.getElementType()),
                [&] { return variable.getSymName().str(); });
  }
  for (auto function : exec.getOps<exec::FuncOp>())
    for (auto buffer : function.getOps<exec::BufferOp>())
      largest.add(buffer.getBase(), buffer.getOffset(),
                  exec::getSpanBytes(buffer.getResult().getType()), [&] { return nameOf(buffer); });
  facts.largest = largest.take(mostBuffers);
  return facts;
}

} // namespace titan
