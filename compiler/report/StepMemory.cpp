#include "compiler/report/StepMemory.h"

#include "compiler/report/LiveBytes.h"
#include "dialects/exec/Accesses.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringMap.h"

#include <map>

using namespace mlir;

namespace titan {
namespace {

constexpr llvm::StringLiteral kScratch = "scratch", kGathered = "gathered weights",
                              kResiduals = "residuals";

bool gathersWeights(Operation *instruction) {
  auto start = dyn_cast<exec::StartOp>(instruction);
  return start && start.getCollective() == exec::Collective::AllGather &&
         llvm::all_of(start.getSources(), [](Value source) {
           auto buffer = source.getDefiningOp<exec::BufferOp>();
           return buffer && llvm::is_contained({"parameters", "derived"}, buffer.getBase());
         });
}

/// Of a buffer that are counted one by one.
constexpr int64_t kMostStretches = 4096;

/// One function as a timeline entry runs it.
struct Run {
  exec::FuncOp function;
  llvm::StringMap<int64_t> slots;
  std::vector<Operation *> instructions;
  size_t begin = 0;
};

class Collector {
public:
  Collector(ModuleOp module, StepMemory &memory) : module(module), memory(memory) {}

  void collect() {
    for (auto timeline : module.getOps<exec::TimelineOp>())
      if (timeline.getSymName() == "train")
        for (Region *section :
             {&timeline.getPrologue(), &timeline.getBodyRegion(), &timeline.getEpilogue()})
          addRuns(*section);
    addLasting();
    for (llvm::StringLiteral kind : {kResiduals, kGathered, kScratch})
      counts.try_emplace(kind, length);
    for (Run &run : llvm::reverse(runs))
      visit(run);
    for (auto &[place, live] : residuals)
      live.finish(firstBound[place], counts.at(kResiduals));
    for (llvm::StringLiteral kind : {kResiduals, kGathered, kScratch})
      memory.kinds.push_back({kind.str(), counts.at(kind).take()});
  }

private:
  void addRuns(Region &section) {
    for (auto action : section.getOps<exec::ActionOp>()) {
      auto function = module.lookupSymbol<exec::FuncOp>(action.getFunction());
      if (action.getMode() == exec::Mode::Await || !function)
        continue;
      Run run{function, {}, {}, length};
      for (auto slot : action.getSlots().getAsRange<exec::SlotAttr>()) {
        StringRef residualClass = slot.getResidualClass().getValue();
        run.slots[residualClass] = slot.getIndex();
        firstBound.try_emplace({residualClass.str(), slot.getIndex()}, length);
      }
      for (Operation &op : *function.getBody())
        if (!isa<exec::BufferOp>(op))
          run.instructions.push_back(&op);
      length += run.instructions.size();
      memory.stretches.push_back({function.getSymName().str(), run.begin, length});
      runs.push_back(std::move(run));
    }
  }

  void addLasting() {
    for (auto segment : module.getOps<exec::SegmentOp>())
      if (segment.getSymName() != kScratch && segment.getSymName() != kResiduals)
        memory.kinds.push_back(
            {segment.getSymName().str(), std::vector<int64_t>(length, segment.getSize())});
  }

  /// Backwards: what an instruction writes is in use from there, what it reads is until there.
  void visit(Run &run) {
    LiveBytes scratch;
    for (size_t i = run.instructions.size(); i-- > 0;) {
      const size_t at = run.begin + i;
      const exec::Accesses accesses = exec::getAccesses(run.instructions[i], symbols);
      LiveCount &counted = counts.at(gathersWeights(run.instructions[i]) ? kGathered : kScratch);
      for (Value buffer : accesses.writes)
        withLive(run, buffer, scratch, [&](LiveBytes &live, ByteSpan range) {
          live.write(range, at, &live == &scratch ? counted : counts.at(kResiduals));
        });
      for (const auto &buffers : {ArrayRef(accesses.reads), ArrayRef(accesses.updates)})
        for (Value buffer : buffers)
          withLive(run, buffer, scratch,
                   [&](LiveBytes &live, ByteSpan range) { live.read(range, at); });
    }
    scratch.finish(run.begin, counts.at(kScratch));
  }

  void withLive(Run &run, Value value, LiveBytes &scratch,
                llvm::function_ref<void(LiveBytes &, ByteSpan)> apply) {
    auto buffer = value.getDefiningOp<exec::BufferOp>();
    if (!buffer)
      return;
    LiveBytes *live = nullptr;
    if (buffer.getBase() == kScratch)
      live = &scratch;
    else if (auto slot = run.slots.find(buffer.getBase()); slot != run.slots.end())
      live = &residuals[{buffer.getBase().str(), slot->second}];
    if (live)
      exec::forEachStretch(buffer.getOffset(), cast<MemRefType>(value.getType()), kMostStretches,
                           [&](int64_t begin, int64_t end) { apply(*live, ByteSpan{begin, end}); });
  }

  ModuleOp module;
  SymbolTableCollection symbols;
  StepMemory &memory;
  size_t length = 0;
  std::vector<Run> runs;
  std::map<std::pair<std::string, int64_t>, LiveBytes> residuals;
  std::map<std::pair<std::string, int64_t>, size_t> firstBound;
  std::map<llvm::StringRef, LiveCount> counts;
};

} // namespace

int64_t StepMemory::totalBytes(size_t instruction) const {
  int64_t total = 0;
  for (const Kind &kind : kinds)
    total += kind.bytes[instruction];
  return total;
}

size_t StepMemory::peak() const {
  size_t peak = 0;
  for (size_t i = 1; i < numInstructions(); ++i)
    if (totalBytes(i) > totalBytes(peak))
      peak = i;
  return peak;
}

StepMemory collectStepMemory(ModuleOp exec) {
  StepMemory memory;
  Collector(exec, memory).collect();
  return memory;
}

} // namespace titan
