#include "runtime/exec/Executor.h"

#include "runtime/exec/Initializers.h"
#include "runtime/exec/Liveness.h"
#include "runtime/exec/VariableLayout.h"

#include <algorithm>
#include <atomic>
#include <map>

namespace titan {

using format::kNone;
using format::SlotBinding;

namespace {

constexpr uint8_t kPoisonByte = 0xff; ///< a NaN in every floating point type
constexpr std::string_view kScratch = "scratch";
/// How many collectives are in flight within functions at most.
constexpr int kMaxInFlight = 64;

/// A pipeline's transfers may all be in flight at once.
int countInFlight(const format::Program &program) {
  size_t most = 0;
  for (const format::Timeline &timeline : program.timelines)
    most = std::max(most,
                    static_cast<size_t>(std::count_if(timeline.body.begin(), timeline.body.end(),
                                                      [](const format::Action &action) {
                                                        return action.mode == format::Mode::start;
                                                      })));
  return kMaxInFlight + static_cast<int>(most);
}

std::string numbered(const format::Program &program, const format::Function &function,
                     size_t instruction) {
  return std::to_string(instruction) + " (" +
         format::describeInstruction(program, function, instruction) + ")";
}

std::string placeOf(const format::Program &program, const format::Function &function,
                    size_t instruction) {
  return "function '" + function.name + "', instruction " +
         numbered(program, function, instruction);
}

std::string placeOf(const format::Program &program, const format::Function &function, size_t first,
                    size_t last) {
  return "function '" + function.name + "', instructions " + numbered(program, function, first) +
         " to " + numbered(program, function, last);
}

/// A range on a profiler's timeline.
class ProfilerRange {
public:
  ProfilerRange(Device &device, const char *name) : device(device) { device.beginRange(name); }
  ~ProfilerRange() { device.endRange(); }

private:
  Device &device;
};

bool isPersistent(const format::Variable &variable) {
  return variable.place.residualClass == kNone;
}

} // namespace

int64_t readClock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Executor::Executor(const format::Program &program, Device &device, const ExecutorOptions &options)
    : contents(program), target(device), options(options),
      ownPipelineRank(coordinateOf(program.mesh, std::vector{std::string(format::kPipelineAxis)},
                                   options.rank())),
      collectives(program, options.plane,
                  {.timeout = options.collectiveTimeout,
                   .parallelFor =
                       [&device](int64_t blocks, FunctionRef<void(int64_t, int64_t)> body) {
                         device.hostParallelFor(blocks, body);
                       },
                   .threads = device.hostThreads(),
                   .maxInFlight = countInFlight(program)}) {}

Executor::~Executor() = default;

StatusOr<std::unique_ptr<Executor>> Executor::load(const format::Program &program, Device &device,
                                                   const ExecutorOptions &options) {
  std::unique_ptr<Executor> executor(new Executor(program, device, options));
  TITAN_ASSIGN_OR_RETURN(executor->queue, device.createQueue(QueueKind::compute, 0));
  TITAN_ASSIGN_OR_RETURN(executor->kernels, device.loadKernels(program));
  TITAN_RETURN_IF_ERROR(executor->loadMemory());
  TITAN_RETURN_IF_ERROR(executor->loadTimelines());
  TITAN_RETURN_IF_ERROR(executor->shareWorkspace());
  if (options.poison) {
    TITAN_RETURN_IF_ERROR(executor->poisonPadding());
    return executor;
  }
  for (const auto &function : executor->bound)
    TITAN_RETURN_IF_ERROR(executor->combine(*function).withContext(
        "function '" + program.functions[function->function].name + "'"));
  return executor;
}

Status Executor::loadMemory() {
  for (const format::Segment &segment : contents.segments) {
    if (!isForThisRank(segment.pipelineRank)) {
      segments.push_back(nullptr);
      continue;
    }
    auto memory = target.allocate(segment.space, segment.size);
    if (!memory.ok())
      return memory.status().withContext("segment '" + segment.name + "'");
    segments.push_back(*std::move(memory));
  }
  return okStatus();
}

std::byte *Executor::addressOf(const format::Place &place,
                               const std::vector<SlotBinding> &slots) const {
  std::byte *base = segments[place.segment]->data() + place.offset;
  if (place.residualClass == kNone)
    return base;
  const format::ResidualClass &residualClass = contents.residualClasses[place.residualClass];
  const auto slot = std::find_if(slots.begin(), slots.end(), [&](const SlotBinding &binding) {
    return binding.residualClass == place.residualClass;
  });
  return base + residualClass.offset + slot->index * residualClass.bytes;
}

Status Executor::loadTimelines() {
  for (const format::Timeline &timeline : contents.timelines) {
    LoadedTimeline &loaded = timelines.emplace_back();
    if (!isForThisRank(timeline.pipelineRank))
      continue;
    const std::vector<format::Action> *sections[] = {&timeline.prologue, &timeline.body,
                                                     &timeline.epilogue};
    for (int i = 0; i < 3; ++i)
      TITAN_RETURN_IF_ERROR(loadSection(*sections[i], loaded.sections[i])
                                .withContext("timeline '" + timeline.name + "'"));
  }
  return okStatus();
}

Status Executor::loadSection(const std::vector<format::Action> &actions,
                             std::vector<Entry> &entries) {
  // Class, slot and microbatch: the stages of a rank share what a microbatch has, such as its
  // tokens.
  using Owner = std::tuple<uint32_t, int64_t, int64_t>;
  std::map<Owner, size_t> lastUses;
  for (size_t i = 0; i < actions.size(); ++i)
    for (const SlotBinding &slot : actions[i].slots)
      lastUses[{slot.residualClass, slot.index, actions[i].microbatch}] = i;
  for (size_t i = 0; i < actions.size(); ++i) {
    const format::Action &action = actions[i];
    TITAN_ASSIGN_OR_RETURN(const BoundFunction *function, bind(action.function, action.slots));
    Entry &entry = entries.emplace_back(Entry{function, &action, {}});
    if (!options.poison)
      continue;
    for (const SlotBinding &slot : action.slots) {
      const format::ResidualClass &it = contents.residualClasses[slot.residualClass];
      if (lastUses[{slot.residualClass, slot.index, action.microbatch}] == i)
        entry.released.push_back(
            {segments[it.segment]->data() + it.offset + slot.index * it.bytes, it.bytes});
    }
  }
  return okStatus();
}

StatusOr<const Executor::BoundFunction *> Executor::bind(uint32_t function,
                                                         std::vector<SlotBinding> slots) {
  for (const auto &existing : bound)
    if (existing->function == function && existing->slots == slots)
      return existing.get();
  auto added = std::make_unique<BoundFunction>();
  added->function = function;
  added->slots = std::move(slots);
  TITAN_RETURN_IF_ERROR(prepare(*added));
  bound.push_back(std::move(added));
  return bound.back().get();
}

std::vector<Operand> Executor::operandsOf(const BoundFunction &bound) const {
  const format::Function &function = contents.functions[bound.function];
  std::vector<Operand> operands;
  operands.reserve(function.buffers.size());
  for (const format::Buffer &buffer : function.buffers) {
    operands.push_back({addressOf(buffer.place, bound.slots) +
                            rotationOffset(buffer, contents.mesh, options.rank()),
                        &buffer.view});
  }
  return operands;
}

Status Executor::prepare(BoundFunction &bound) {
  const format::Function &function = contents.functions[bound.function];
  const std::vector<Operand> operands = operandsOf(bound);
  instructionNames.resize(contents.functions.size());
  std::vector<std::string> &names = instructionNames[bound.function];
  for (size_t i = names.size(); i < function.instructions.size(); ++i)
    names.push_back(format::describeInstruction(contents, function, i));
  bound.instructions.reserve(function.instructions.size());
  for (size_t i = 0; i < function.instructions.size(); ++i) {
    auto loaded = prepareInstruction(bound, i, operands);
    if (!loaded.ok())
      return loaded.status().withContext(placeOf(contents, function, i));
    bound.instructions.push_back(*std::move(loaded));
  }
  if (options.poison)
    findDead(bound);
  return okStatus();
}

bool Executor::isForThisRank(const format::Function &function, size_t index) const {
  return std::all_of(function.predicates.begin(), function.predicates.end(),
                     [&](const format::Predicate &it) {
                       return it.instruction != index ||
                              coordinateOf(contents.mesh, it.axes, options.rank()) == it.value;
                     });
}

StatusOr<Executor::LoadedInstruction>
Executor::prepareInstruction(const BoundFunction &bound, size_t index,
                             std::span<const Operand> operands) {
  const format::Function &function = contents.functions[bound.function];
  const format::Instruction &instruction = function.instructions[index];
  LoadedInstruction loaded;
  if (const auto *start = std::get_if<format::Start>(&instruction)) {
    TITAN_ASSIGN_OR_RETURN(loaded.started, collectives.prepare(*start, operands));
  } else if (const auto *await = std::get_if<format::Await>(&instruction)) {
    loaded.awaited = bound.instructions[await->start].started;
  } else if (isForThisRank(function, index)) {
    TITAN_ASSIGN_OR_RETURN(loaded.plan, target.prepare(instruction, operands, contents, *kernels));
  }
  return loaded;
}

/// On a CPU everything submitted before is done, so a start sees it; on a GPU the data plane makes
/// its own queues wait.
Status Executor::execute(const LoadedInstruction &instruction) {
  if (instruction.plan)
    return queue->submit(*instruction.plan);
  if (instruction.started)
    return instruction.started->start();
  return instruction.awaited ? instruction.awaited->await() : okStatus();
}

void Executor::findDead(BoundFunction &bound) {
  const format::Function &function = contents.functions[bound.function];
  bound.dead.resize(function.instructions.size());
  for (uint32_t segment = 0; segment < contents.segments.size(); ++segment) {
    const std::string_view name = contents.segments[segment].name;
    // A pipeline has one for each rank.
    if (!segments[segment] || (name != kScratch && !name.starts_with(std::string(kScratch) + ".")))
      continue;
    const std::vector<ByteSet> dead = deadAfterEach(contents, function, segment, options.rank());
    for (size_t i = 0; i < dead.size(); ++i)
      for (const auto &[begin, end] : dead[i].all())
        bound.dead[i].push_back({segments[segment]->data() + begin, end - begin});
  }
}

Status Executor::shareWorkspace() {
  int64_t bytes = 0;
  for (const auto &function : bound)
    for (const LoadedInstruction &instruction : function->instructions)
      if (instruction.plan)
        bytes = std::max(bytes, instruction.plan->workspaceBytes());
  auto memory = target.allocate(format::Space::device, bytes);
  if (!memory.ok())
    return memory.status().withContext("workspace of the device's kernels");
  workspace = *std::move(memory);
  for (const auto &function : bound)
    for (const LoadedInstruction &instruction : function->instructions)
      if (instruction.plan && instruction.plan->workspaceBytes() > 0)
        instruction.plan->setWorkspace({workspace->data(), static_cast<size_t>(bytes)});
  return okStatus();
}

/// Runs of two or more neighbors that are the device's.
Status Executor::combine(BoundFunction &function) {
  std::vector<Plan *> plans;
  for (size_t i = 0; i <= function.instructions.size(); ++i) {
    if (i < function.instructions.size() && function.instructions[i].plan) {
      plans.push_back(function.instructions[i].plan.get());
      continue;
    }
    if (plans.size() > 1) {
      const size_t begin = i - plans.size();
      const std::string name =
          placeOf(contents, contents.functions[function.function], begin, i - 1);
      TITAN_ASSIGN_OR_RETURN(std::unique_ptr<Plan> plan, target.combine(plans, name));
      if (plan)
        function.combined.push_back({std::move(plan), name, begin, i});
    }
    plans.clear();
  }
  return okStatus();
}

Status Executor::poisonPadding() {
  std::vector<ByteSet> padding(contents.segments.size());
  for (size_t i = 0; i < padding.size(); ++i)
    padding[i].add(0, contents.segments[i].size);
  for (const format::Variable &variable : contents.variables)
    if (isPersistent(variable))
      padding[variable.place.segment].remove(
          variable.place.offset,
          variable.place.offset + variable.view.numElements() * byteSize(variable.view.type));
  for (size_t i = 0; i < padding.size(); ++i) {
    if (!segments[i])
      continue;
    for (const auto &[begin, end] : padding[i].all())
      TITAN_RETURN_IF_ERROR(
          target.fillBytes(segments[i]->data() + begin, end - begin, kPoisonByte));
  }
  return okStatus();
}

Status Executor::poison(const std::vector<Poison> &ranges) {
  for (const Poison &range : ranges)
    TITAN_RETURN_IF_ERROR(target.fillBytes(range.data, range.bytes, kPoisonByte));
  return okStatus();
}

Status Executor::runFunction(const BoundFunction &function) {
  const format::Function &source = contents.functions[function.function];
  const ProfilerRange whole(target, source.name.c_str());
  auto combined = function.combined.begin();
  for (size_t i = 0; i < function.instructions.size();) {
    const bool isCombined = combined != function.combined.end() && combined->begin == i;
    const ProfilerRange range(target, isCombined ? combined->name.c_str()
                                                 : instructionNames[function.function][i].c_str());
    const Status status =
        isCombined ? queue->submit(*combined->plan) : execute(function.instructions[i]);
    if (!status.ok())
      return status.withContext(placeOf(contents, source, i));
    if (options.poison) {
      // Waits, so that a device's failure is found where it happened.
      if (const Status done = queue->synchronize(); !done.ok())
        return done.withContext(placeOf(contents, source, i));
      TITAN_RETURN_IF_ERROR(poison(function.dead[i]));
    }
    i = isCombined ? (combined++)->end : i + 1;
  }
  return okStatus();
}

/// The operations that a timeline entry has started.
Status Executor::awaitFunction(const BoundFunction &function) {
  for (size_t i = 0; i < function.instructions.size(); ++i)
    if (const auto &started = function.instructions[i].started)
      if (Status status = started->await(); !status.ok())
        return status.withContext(placeOf(contents, contents.functions[function.function], i));
  return okStatus();
}

StatusOr<uint32_t> Executor::findTimeline(std::string_view name) const {
  uint32_t index = format::findByName(contents.timelines, name);
  if (index == kNone)
    index = format::findByName(contents.timelines,
                               std::string(name) + "." + std::to_string(ownPipelineRank));
  if (index == kNone || !isForThisRank(contents.timelines[index].pipelineRank))
    return notFound("the program has no timeline '" + std::string(name) + "'");
  return index;
}

Status Executor::runEntry(const Entry &entry) {
  return entry.action->mode == format::Mode::await ? awaitFunction(*entry.bound)
                                                   : runFunction(*entry.bound);
}

Status Executor::run(uint32_t timeline, Section section) {
  pristine = false;
  for (const Entry &entry : timelines[timeline].sections[static_cast<int>(section)]) {
    const int64_t begin = trace ? readClock() : 0;
    TITAN_RETURN_IF_ERROR(runEntry(entry));
    if (trace) {
      TITAN_RETURN_IF_ERROR(queue->synchronize());
      trace->push_back({entry.action, begin, readClock()});
    }
    if (options.poison)
      TITAN_RETURN_IF_ERROR(poison(entry.released));
  }
  return okStatus();
}

Status Executor::runObserved(uint32_t timeline, Section section,
                             FunctionRef<StatusOr<bool>(const ExecutedInstruction &)> after) {
  pristine = false;
  for (const Entry &entry : timelines[timeline].sections[static_cast<int>(section)]) {
    const BoundFunction &function = *entry.bound;
    if (entry.action->mode == format::Mode::await) {
      TITAN_RETURN_IF_ERROR(awaitFunction(function));
      continue;
    }
    const std::vector<Operand> operands = operandsOf(function);
    for (size_t i = 0; i < function.instructions.size(); ++i) {
      TITAN_RETURN_IF_ERROR(execute(function.instructions[i]));
      TITAN_RETURN_IF_ERROR(queue->synchronize());
      TITAN_ASSIGN_OR_RETURN(const bool goOn,
                             after({contents.functions[function.function], i, operands}));
      if (!goOn)
        return okStatus();
    }
  }
  return okStatus();
}

bool Executor::has(const format::Variable &variable) const {
  return segments[variable.place.segment] != nullptr;
}

StatusOr<VariableRef> Executor::find(std::string_view name, int64_t slot) const {
  const uint32_t index = format::findByName(contents.variables, name);
  if (index == kNone)
    return notFound("the program has no variable '" + std::string(name) + "'");
  const format::Variable &variable = contents.variables[index];
  if (!has(variable))
    return notFound("variable '" + std::string(name) + "' is on another pipeline rank");
  std::vector<SlotBinding> slots;
  if (!isPersistent(variable)) {
    const uint32_t residualClass = variable.place.residualClass;
    if (slot < 0 || slot >= contents.residualClasses[residualClass].slots)
      return invalidArgument("slot " + std::to_string(slot) + " of residual class '" +
                             contents.residualClasses[residualClass].name + "' does not exist");
    slots.push_back({residualClass, slot});
  }
  return VariableRef{&variable, addressOf(variable.place, slots),
                     variable.view.numElements() * byteSize(variable.view.type)};
}

static Status checkSize(const VariableRef &variable, size_t bytes) {
  if (static_cast<int64_t>(bytes) == variable.bytes)
    return okStatus();
  return invalidArgument("variable '" + variable.variable->name + "' has " +
                         std::to_string(variable.bytes) + " bytes, found " + std::to_string(bytes));
}

Status Executor::write(const VariableRef &variable, std::span<const std::byte> host) {
  TITAN_RETURN_IF_ERROR(checkSize(variable, host.size()));
  pristine = false;
  return target.copyToDevice(variable.data, host);
}

Status Executor::read(const VariableRef &variable, std::span<std::byte> host) const {
  TITAN_RETURN_IF_ERROR(checkSize(variable, host.size()));
  TITAN_RETURN_IF_ERROR(target.copyToHost(host, variable.data));
  return options.plane ? options.plane->poll() : okStatus();
}

Status Executor::initializeVariable(const format::Variable &variable, uint64_t seed,
                                    const std::function<void(int64_t)> &done) {
  TITAN_ASSIGN_OR_RETURN(const VariableRef place, find(variable.name));
  if (!variable.initializer)
    return target.fillBytes(place.data, place.bytes, 0);
  if (variable.initializer->distribution == format::Distribution::axisIndex) {
    const auto index = static_cast<int32_t>(
        coordinateOf(contents.mesh, variable.initializer->axes, options.rank()) *
        static_cast<int64_t>(variable.initializer->numbers[0]));
    return target.copyToDevice(place.data, std::as_bytes(std::span(&index, 1)));
  }
  if (!InitialValues::supports(variable.view.type))
    return invalidArgument("variable '" + variable.name + "': initial values of type " +
                           std::string(toString(variable.view.type)) + " are not supported");
  const InitialValues values(variable, seed);
  const VariableLayout layout(variable, contents.mesh, options.rank());
  const int64_t element = byteSize(variable.view.type);
  constexpr int64_t kBlock = int64_t{1} << 14, kStaged = kBlock * 256;
  // Host memory between generator and device; bounded, so that a large variable needs little.
  std::vector<std::byte> staged(
      static_cast<size_t>(std::min(variable.view.numElements(), kStaged) * element));
  // Padding of slices stays as it is, and nobody reads it. Rows of padding are multiplied.
  if (variable.sharding && variable.sharding->padding)
    TITAN_RETURN_IF_ERROR(target.fillBytes(place.data, place.bytes, 0));
  Status status;
  layout.forEachRun([&](int64_t local, int64_t global, int64_t count) {
    for (int64_t begin = 0; begin < count && status.ok(); begin += kStaged) {
      const int64_t size = std::min(kStaged, count - begin);
      target.hostParallelFor((size + kBlock - 1) / kBlock, [&](int64_t first, int64_t last) {
        const int64_t from = first * kBlock, to = std::min(size, last * kBlock);
        values.write(global + begin + from, global + begin + to, staged.data() + from * element);
      });
      status = target.copyToDevice(place.data + (local + begin) * element,
                                   {staged.data(), static_cast<size_t>(size * element)});
      done(size);
    }
  });
  return status;
}

Status Executor::initialize(uint64_t seed, const std::function<void(double)> &progress) {
  int64_t total = 0, ready = 0;
  for (const format::Variable &variable : contents.variables)
    if (has(variable) && isPersistent(variable) && variable.initializer)
      total += variable.view.numElements();
  for (const format::Variable &variable : contents.variables) {
    // Without an initializer it is zero, and so is memory that nobody has touched yet.
    if (!has(variable) || !isPersistent(variable) || (pristine && !variable.initializer))
      continue;
    TITAN_RETURN_IF_ERROR(initializeVariable(variable, seed, [&](int64_t elements) {
      ready += elements;
      if (progress)
        progress(static_cast<double>(ready) / static_cast<double>(total));
    }));
  }
  pristine = false;
  return refresh();
}

Status Executor::refresh() {
  const StatusOr<uint32_t> timeline = findTimeline(format::kRefreshTimeline);
  return timeline.ok() ? run(*timeline, Section::prologue) : okStatus();
}

std::vector<MemoryItem> Executor::memory() const {
  std::vector<MemoryItem> items;
  for (const format::Segment &segment : contents.segments)
    if (isForThisRank(segment.pipelineRank))
      items.push_back({segment.name, segment.size});
  items.push_back({"workspace", workspace->size()});
  return items;
}

} // namespace titan
