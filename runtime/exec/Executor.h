// Runs a program on a device.
//
// Loading does everything that takes thought: it allocates the segments, loads the kernels, binds
// each function to the slots its timeline entries name, prepares each instruction for those
// addresses, gives all of them one workspace and, on a device that gains from it, makes one plan of
// those between collectives. Running a section of a timeline then submits plans in order: no
// allocation, no look-up, no arithmetic on shapes, and no waiting.
#pragma once

#include "runtime/base/FunctionRef.h"
#include "runtime/base/Status.h"
#include "runtime/device/Device.h"
#include "runtime/exec/CollectiveTable.h"
#include "runtime/format/Program.h"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace titan {

struct ExecutorOptions {
  /// Fills with NaN (all bits set): the scratch segment before a function, what an instruction
  /// leaves dead after it, a residual slot when its last entry is done, and padding between
  /// variables when the program is loaded. A plan that reads memory it should not turns the result
  /// into NaN. Slow; for tests.
  bool poison = false;
  /// The rank among those of the program's mesh, and how it reaches the others; null for a program
  /// of one rank. Outlives the executor.
  DataPlane *plane = nullptr;
  /// How long a collective waits for other ranks.
  std::chrono::milliseconds collectiveTimeout{std::chrono::minutes(10)};

  int rank() const { return plane ? plane->rank() : 0; }
};

enum class Section { prologue, body, epilogue };

/// A variable at its place, in one slot of its residual class if it has one.
struct VariableRef {
  const format::Variable *variable = nullptr;
  std::byte *data = nullptr;
  int64_t bytes = 0;
};

/// An amount of memory and what it is for.
struct MemoryItem {
  std::string name;
  int64_t bytes;
};

/// Nanoseconds of the steady clock.
int64_t readClock();

/// When a timeline entry ran, by readClock().
struct TracedEntry {
  const format::Action *action;
  int64_t begin, end;
};

/// An instruction that has just run, with all buffers of its function at their addresses.
struct ExecutedInstruction {
  const format::Function &function;
  size_t index = 0; ///< of the instruction
  std::span<const Operand> operands;
};

class Executor {
public:
  /// Loads a verified program, which must outlive the executor like the device. Errors name the
  /// function and instruction.
  static StatusOr<std::unique_ptr<Executor>> load(const format::Program &program, Device &device,
                                                  const ExecutorOptions &options = {});
  ~Executor();

  /// Gives every variable outside residual classes its initial value. `progress`, if any, is told
  /// the share of the elements that are done, from 0 to 1.
  Status initialize(uint64_t seed, const std::function<void(double)> &progress = {});

  /// Computes what the program keeps of its parameters beside them, such as copies in bfloat16:
  /// after parameters have been written. initialize() ends with it.
  Status refresh();

  /// Index of a timeline, or of a pipeline's timeline of that name for this rank, or not found.
  StatusOr<uint32_t> findTimeline(std::string_view name) const;

  /// Submits one section; what reads or writes a variable then waits for it. An error names the
  /// function and instruction; of one that a device finds later, runObserved() tells.
  Status run(uint32_t timeline, Section section);

  /// As run(), waiting for each instruction and calling `after` when it is done; ends early, with
  /// success, when `after` returns false. Slow: for diagnosis.
  Status runObserved(uint32_t timeline, Section section,
                     FunctionRef<StatusOr<bool>(const ExecutedInstruction &)> after);

  /// From here on run() adds its entries to the trace, each when the device is done with it; null
  /// ends that. The trace's capacity bounds what is added without an allocation.
  void setTrace(std::vector<TracedEntry> *entries) { trace = entries; }

  /// Whether this rank has the memory of a variable: in a pipeline others may have it.
  bool has(const format::Variable &variable) const;

  /// A variable by name that this rank has; `slot` counts for those in a residual class.
  StatusOr<VariableRef> find(std::string_view name, int64_t slot = 0) const;

  /// Copies a whole variable; `host` has its size.
  Status write(const VariableRef &variable, std::span<const std::byte> host);
  Status read(const VariableRef &variable, std::span<std::byte> host) const;

  const format::Program &program() const { return contents; }
  /// This rank among those of the mesh.
  int rank() const { return options.rank(); }
  Device &device() const { return target; }
  /// Segments, then the workspace that the device's kernels share.
  std::vector<MemoryItem> memory() const;

private:
  struct Poison {
    std::byte *data;
    int64_t bytes;
  };
  /// An instruction: the device's plan, or a collective to start or to await, or nothing if it is
  /// for other ranks.
  struct LoadedInstruction {
    std::unique_ptr<Plan> plan = nullptr;
    std::optional<PreparedCollective> started = std::nullopt, awaited = std::nullopt;
  };
  /// Neighbors among the instructions that the device runs as one plan.
  struct CombinedPlan {
    std::unique_ptr<Plan> plan;
    std::string name; ///< "function 'bwd', instructions 3 to 57"
    size_t begin = 0, end = 0;
  };
  /// A function with its buffers at their addresses.
  struct BoundFunction {
    uint32_t function = 0;
    std::vector<format::SlotBinding> slots;
    std::vector<LoadedInstruction> instructions;
    std::vector<CombinedPlan> combined;    ///< by ascending begin; none with poison
    std::vector<std::vector<Poison>> dead; ///< after each plan; empty without poison
  };
  /// A timeline entry.
  struct Entry {
    const BoundFunction *bound;
    const format::Action *action;
    std::vector<Poison> released; ///< slots that nobody uses after it
  };
  struct LoadedTimeline {
    std::vector<Entry> sections[3];
  };

  Executor(const format::Program &program, Device &device, const ExecutorOptions &options);

  bool isForThisRank(int64_t pipelineRank) const {
    return pipelineRank < 0 || pipelineRank == ownPipelineRank;
  }

  Status loadMemory();
  Status loadTimelines();
  Status loadSection(const std::vector<format::Action> &actions, std::vector<Entry> &entries);
  StatusOr<const BoundFunction *> bind(uint32_t function, std::vector<format::SlotBinding> slots);
  Status prepare(BoundFunction &bound);
  StatusOr<LoadedInstruction> prepareInstruction(const BoundFunction &bound, size_t index,
                                                 std::span<const Operand> operands);
  bool isForThisRank(const format::Function &function, size_t index) const;
  Status execute(const LoadedInstruction &instruction);
  void findDead(BoundFunction &bound);
  Status shareWorkspace();
  Status combine(BoundFunction &bound);
  Status poisonPadding();
  Status poison(const std::vector<Poison> &ranges);
  Status runFunction(const BoundFunction &bound);
  Status awaitFunction(const BoundFunction &bound);
  Status runEntry(const Entry &entry);
  Status initializeVariable(const format::Variable &variable, uint64_t seed,
                            const std::function<void(int64_t)> &done);

  std::vector<Operand> operandsOf(const BoundFunction &bound) const;
  std::byte *addressOf(const format::Place &place,
                       const std::vector<format::SlotBinding> &slots) const;

  const format::Program &contents;
  Device &target;
  ExecutorOptions options;
  int64_t ownPipelineRank;
  std::vector<std::unique_ptr<DeviceMemory>> segments; ///< null for those of other ranks
  std::unique_ptr<KernelTable> kernels;
  std::unique_ptr<DeviceMemory> workspace;
  CollectiveTable collectives; ///< ends before the memory that it uses
  std::unique_ptr<Queue> queue;
  std::vector<std::unique_ptr<BoundFunction>> bound;
  /// By function and instruction, of functions that are bound, for profilers: "gemm of
  /// layers.0.attention.wq".
  std::vector<std::vector<std::string>> instructionNames;
  std::vector<LoadedTimeline> timelines;
  std::vector<TracedEntry> *trace = nullptr;
  bool pristine = true; ///< nothing has been written: memory is zero
};

} // namespace titan
