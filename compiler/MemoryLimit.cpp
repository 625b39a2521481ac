#include "compiler/MemoryLimit.h"

#include "compiler/KernelImage.h"
#include "compiler/LimitSearch.h"
#include "compiler/report/Report.h"
#include "dialects/exec/Exec.h"
#include "dialects/titan/Sharding.h"
#include "passes/memory/RematRank.h"
#include "runtime/base/ByteSize.h"

#include <spdlog/fmt/fmt.h>

using namespace mlir;

namespace titan {
namespace {

/// What a limit is and how a user sets another one.
struct Limit {
  int64_t bytes = 0;
  std::string place; ///< the option, with its value
  bool isKey = false;
};

class MemoryFitter {
public:
  MemoryFitter(ModuleOp device, const CompileOptions &options, const JobConfig &job,
               DiagnosticCollector &diagnostics, Logger &logger)
      : device(device), options(options), job(job), diagnostics(diagnostics), logger(logger) {}

  StatusOr<std::vector<int64_t>> run();

private:
  StatusOr<Limit> readLimit() const;
  Status tryOnce();
  StatusOr<std::vector<int64_t>> measure(std::vector<int64_t> residualBytes);
  Status refuse(const Limit &limit) const;
  std::vector<int64_t> getAllowed() const;

  ModuleOp device;
  const CompileOptions &options;
  const JobConfig &job;
  DiagnosticCollector &diagnostics;
  Logger &logger;
  std::vector<RematRank> ranks;
  std::vector<LimitSearch> searches; ///< by rank
};

} // namespace

StatusOr<Limit> MemoryFitter::readLimit() const {
  const ActivationCheckpointSection &section = job.activationCheckpoint;
  if (section.mode == "memory_limit") {
    TITAN_ASSIGN_OR_RETURN(const int64_t bytes, parseByteSize(section.memoryLimit));
    return Limit{bytes, "activation_checkpoint.memory_limit = \"" + section.memoryLimit + "\"",
                 true};
  }
  if (options.deviceMemory > 0)
    return Limit{options.deviceMemory, "--device-memory " + humanBytes(options.deviceMemory)};
  if (isGpuTarget(options.target))
    return invalidArgument("activation_checkpoint.mode = \"auto\" needs --device-memory with "
                           "--target " +
                           options.target + ", such as --device-memory 80GiB");
  const int64_t numRanks = MeshShape::get(device).getNumRanks();
  return Limit{physicalMemory() / numRanks,
               fmt::format("this machine's memory over its {} ranks, {}", numRanks,
                           humanBytes(physicalMemory() / numRanks))};
}

/// The bytes of the segments that each rank has.
StatusOr<std::vector<int64_t>> MemoryFitter::measure(std::vector<int64_t> residualBytes) {
  OwningOpRef<ModuleOp> copy = device.clone();
  PassManager passes(copy->getContext(), ModuleOp::getOperationName());
#ifdef NDEBUG
  passes.enableVerifier(false); // the phases verify
#endif
  const PhaseTarget target{getComputeCapability(options.target), std::move(residualBytes)};
  for (const Phase *phase = findPhase("device") + 1; phase <= findPhase("exec"); ++phase)
    addPhase(passes, *phase, job, target);
  if (failed(passes.run(*copy)))
    return diagnostics.failure();
  std::vector<int64_t> totals;
  for (const RematRank &rank : ranks) {
    int64_t &total = totals.emplace_back();
    for (auto segment : (*copy).getOps<exec::SegmentOp>())
      if (segment.isOnRank(rank.getRank()))
        total += segment.getSize();
  }
  return totals;
}

std::vector<int64_t> MemoryFitter::getAllowed() const {
  std::vector<int64_t> allowed;
  for (const LimitSearch &search : searches)
    allowed.push_back(search.next().value_or(search.getAllowed()));
  return allowed;
}

/// One trial of all ranks whose search goes on: none depends on another.
Status MemoryFitter::tryOnce() {
  TITAN_ASSIGN_OR_RETURN(const std::vector<int64_t> totals, measure(getAllowed()));
  for (auto [search, total] : llvm::zip_equal(searches, totals))
    if (search.next())
      search.report(total);
  return okStatus();
}

Status MemoryFitter::refuse(const Limit &limit) const {
  size_t most = 0;
  for (size_t i = 1; i < searches.size(); ++i)
    if (searches[i].getTotal() > searches[most].getTotal())
      most = i;
  constexpr int64_t kMebibyte = 1 << 20;
  const int64_t bytes = searches[most].getTotal();
  const std::string legal = fmt::format("{}MiB", (bytes + kMebibyte - 1) / kMebibyte);
  return invalidArgument(fmt::format(
      "{} is too little: {} needs at least {} bytes, {}, whatever is recomputed; legal is {} or "
      "more",
      limit.place,
      ranks[most].getRank() ? fmt::format("pipeline rank {}", *ranks[most].getRank()) : "a rank",
      withSeparators(bytes), humanBytes(bytes),
      limit.isKey ? '"' + legal + '"' : "--device-memory " + legal));
}

StatusOr<std::vector<int64_t>> MemoryFitter::run() {
  TITAN_ASSIGN_OR_RETURN(const Limit limit, readLimit());
  auto collected = collectRematRanks(device, MachineBalance());
  if (failed(collected))
    return diagnostics.failure();
  ranks = std::move(*collected);
  for (const RematRank &rank : ranks)
    searches.emplace_back(
        limit.bytes, rank.getLeastBytes(), rank.getMostBytes(), [&rank](int64_t bytes) {
          const auto plans = rank.choosePlans({.mode = RematMode::limit, .bytes = bytes});
          return plans ? addUp(*plans).bytes : bytes;
        });
  int64_t trials = 0;
  for (; llvm::any_of(searches, [](const LimitSearch &search) { return search.next(); }); ++trials)
    TITAN_RETURN_IF_ERROR(tryOnce());
  int64_t total = 0;
  for (const LimitSearch &search : searches) {
    if (!search.fits())
      return refuse(limit);
    total = std::max(total, search.getTotal());
  }
  logger.info("{}: a rank takes {}, found by {} trials", limit.place, humanBytes(total), trials);
  return getAllowed();
}

StatusOr<std::vector<int64_t>> fitMemory(ModuleOp device, const CompileOptions &options,
                                         const JobConfig &job, DiagnosticCollector &diagnostics,
                                         Logger &logger) {
  return MemoryFitter(device, options, job, diagnostics, logger).run();
}

} // namespace titan
