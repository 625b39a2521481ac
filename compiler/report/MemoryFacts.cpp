#include "compiler/report/MemoryFacts.h"

#include "compiler/Diagnostics.h"
#include "compiler/report/Names.h"
#include "dialects/exec/Exec.h"

#include <map>
#include <set>
#include <tuple>

using namespace mlir;

namespace titan {
namespace {

/// Collects buffers, each place in memory once, by the first name that is found for it.
class LargestBuffers {
public:
  void add(StringRef base, int64_t offset, int64_t bytes, llvm::function_ref<std::string()> name) {
    if (!places.insert({base.str(), offset, bytes}).second)
      return;
    const std::string fullName = name();
    auto [group, isNew] = groups.try_emplace({-bytes, base.str(), withoutNumbers(fullName)});
    if (isNew)
      group->second = {base.str(), fullName, bytes, 1};
    else
      ++group->second.count;
  }

  std::vector<MemoryFacts::Buffer> take(size_t most) {
    std::vector<MemoryFacts::Buffer> buffers;
    for (auto &[key, buffer] : groups) {
      if (buffers.size() == most)
        break;
      if (buffer.count > 1)
        buffer.name = std::get<2>(key);
      buffers.push_back(std::move(buffer));
    }
    return buffers;
  }

private:
  std::set<std::tuple<std::string, int64_t, int64_t>> places;
  std::map<std::tuple<int64_t, std::string, std::string>, MemoryFacts::Buffer> groups;
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

/// By segment, in the order of its first variable that may be padded.
std::vector<MemoryFacts::Padding> collectPadding(ModuleOp exec) {
  std::vector<MemoryFacts::Padding> padding;
  for (auto variable : exec.getOps<exec::VariableOp>()) {
    exec::ShardingAttr sharding = variable.getSharding();
    if (!sharding || (!sharding.getFlat() && !sharding.getPadding()))
      continue;
    const int64_t stored = getNumParts(variable) * getStoredBytes(variable);
    auto place = llvm::find_if(
        padding, [&](const MemoryFacts::Padding &one) { return one.name == variable.getBase(); });
    if (place == padding.end())
      place = padding.insert(place, {.name = variable.getBase().str()});
    place->bytes += stored - getGlobalBytes(variable);
    place->ofBytes += stored;
  }
  return padding;
}

} // namespace

int64_t MemoryFacts::totalBytes() const {
  int64_t shared = 0, most = 0;
  std::map<int64_t, int64_t> own; // by pipeline rank
  for (const Item &segment : segments)
    (segment.rank ? own[*segment.rank] : shared) += segment.bytes;
  for (auto [rank, bytes] : own)
    most = std::max(most, bytes);
  return shared + most;
}

MemoryFacts collectMemoryFacts(ModuleOp exec, size_t mostBuffers) {
  MemoryFacts facts;
  for (auto segment : exec.getOps<exec::SegmentOp>())
    facts.segments.push_back({.name = segment.getSymName().str(),
                              .bytes = static_cast<int64_t>(segment.getSize()),
                              .rank = segment.getPipelineRank()});
  for (auto residual : exec.getOps<exec::ResidualClassOp>())
    facts.residualClasses.push_back(
        {.name = residual.getSymName().str(),
         .bytes = static_cast<int64_t>(residual.getSlots() * residual.getBytes()),
         .slots = static_cast<int64_t>(residual.getSlots()),
         .slotBytes = static_cast<int64_t>(residual.getBytes())});

  LargestBuffers largest;
  for (auto variable : exec.getOps<exec::VariableOp>()) {
    largest.add(variable.getBase(), variable.getOffset(), getStoredBytes(variable),
                [&] { return variable.getSymName().str(); });
  }
  for (auto function : exec.getOps<exec::FuncOp>())
    for (auto buffer : function.getOps<exec::BufferOp>())
      largest.add(buffer.getBase(), buffer.getOffset(),
                  exec::getSpanBytes(buffer.getResult().getType()), [&] { return nameOf(buffer); });
  facts.padding = collectPadding(exec);
  facts.largest = largest.take(mostBuffers);
  return facts;
}

} // namespace titan
