#include "runtime/world/Launcher.h"

#include "runtime/base/Hash.h"
#include "runtime/world/Socket.h"

#include <spdlog/fmt/fmt.h>

#include <charconv>
#include <cstdlib>
#include <unistd.h>

namespace titan {

namespace {

constexpr const char *kRendezvousVariable = "TITAN_RENDEZVOUS";
/// Ports are computed within [20000, 30000): below Linux's range of ports that it hands out itself.
constexpr uint16_t kFirstPort = 20000;
constexpr uint16_t kPorts = 10000;
constexpr int kMaxRanks = 1 << 20;

uint16_t computedPort(const std::string &job) {
  return static_cast<uint16_t>(kFirstPort + hash64(job) % kPorts);
}

std::optional<int> parseNumber(std::string_view text) {
  int number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return number;
}

/// One launcher's environment: its variables, and whose they are for the errors.
class Variables {
public:
  Variables(Environment environment, LauncherKind kind) : environment(environment), kind(kind) {}

  std::optional<std::string> find(const std::string &name) const { return environment(name); }
  bool has(const std::string &name) const { return environment(name).has_value(); }

  StatusOr<std::string> text(const std::string &name, std::string_view example) const {
    std::optional<std::string> value = environment(name);
    if (!value || value->empty())
      return invalidArgument(fmt::format("{} is not set, but the process was started by {}, which "
                                         "sets it, for example to {}",
                                         name, toString(kind), example));
    return *std::move(value);
  }

  /// A number from `low` to `high`; `rule` says where the bounds come from.
  StatusOr<int> number(const std::string &name, int low, int high, std::string_view rule) const {
    TITAN_ASSIGN_OR_RETURN(std::string value, text(name, std::to_string(low)));
    std::optional<int> parsed = parseNumber(value);
    if (parsed && *parsed >= low && *parsed <= high)
      return *parsed;
    return invalidArgument(
        fmt::format("{} is '{}'; it must be {}, so {} to {}", name, value, rule, low, high));
  }

private:
  Environment environment;
  LauncherKind kind;
};

/// The names under which a launcher gives its numbers.
struct NumberNames {
  const char *rank;
  const char *size;
  const char *localRank;
};

Status readNumbers(const Variables &variables, const NumberNames &names, LaunchInfo &info) {
  TITAN_ASSIGN_OR_RETURN(info.worldSize,
                         variables.number(names.size, 1, kMaxRanks, "the number of processes"));
  const std::string below = fmt::format("a rank below {} = {}", names.size, info.worldSize);
  TITAN_ASSIGN_OR_RETURN(info.rank, variables.number(names.rank, 0, info.worldSize - 1, below));
  TITAN_ASSIGN_OR_RETURN(info.localRank,
                         variables.number(names.localRank, 0, info.worldSize - 1, below));
  return okStatus();
}

/// It decides about threads alone: what makes no sense counts as not said.
void setLocalSize(std::optional<int> found, LaunchInfo &info) {
  info.localSize = found && *found >= 1 && *found <= info.worldSize ? *found : info.worldSize;
}

/// The entry of a node in Slurm's list of numbers: 4 of "8(x2),4" for node 2. Nothing where the
/// text is no such list, or has none.
std::optional<int> findInCounts(std::string_view list, int node) {
  while (!list.empty()) {
    const std::string_view entry = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), entry.size() + 1));
    const size_t mark = entry.find("(x");
    const std::optional<int> count = parseNumber(entry.substr(0, mark));
    std::optional<int> times = 1;
    if (mark != std::string_view::npos)
      times = entry.back() == ')' ? parseNumber(entry.substr(mark + 2, entry.size() - mark - 3))
                                  : std::nullopt;
    if (!count || !times || *times < 1)
      return std::nullopt;
    if (node < *times)
      return count;
    node -= *times;
  }
  return std::nullopt;
}

Status readSlurm(const Variables &variables, LaunchInfo &info) {
  TITAN_RETURN_IF_ERROR(
      readNumbers(variables, {"SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"}, info));
  const std::optional<int> node = parseNumber(variables.find("SLURM_NODEID").value_or(""));
  setLocalSize(node && *node >= 0
                   ? findInCounts(variables.find("SLURM_STEP_TASKS_PER_NODE").value_or(""), *node)
                   : std::nullopt,
               info);
  TITAN_ASSIGN_OR_RETURN(std::string jobId, variables.text("SLURM_JOB_ID", "4711"));
  info.job = fmt::format("slurm/{}/{}", jobId, variables.find("SLURM_STEP_ID").value_or("0"));
  const char *listName =
      variables.has("SLURM_STEP_NODELIST") ? "SLURM_STEP_NODELIST" : "SLURM_JOB_NODELIST";
  TITAN_ASSIGN_OR_RETURN(std::string list, variables.text(listName, "node[1-4]"));
  StatusOr<std::string> host = firstSlurmHost(list);
  TITAN_RETURN_IF_ERROR(host.status().withContext(listName));
  info.rendezvous = {*std::move(host), computedPort(info.job), {}};
  return okStatus();
}

Status readTorchrun(const Variables &variables, LaunchInfo &info) {
  TITAN_RETURN_IF_ERROR(readNumbers(variables, {"RANK", "WORLD_SIZE", "LOCAL_RANK"}, info));
  setLocalSize(parseNumber(variables.find("LOCAL_WORLD_SIZE").value_or("")), info);
  TITAN_ASSIGN_OR_RETURN(std::string host, variables.text("MASTER_ADDR", "node1"));
  TITAN_ASSIGN_OR_RETURN(int agentPort, variables.number("MASTER_PORT", 1, 65535, "a port"));
  info.job = fmt::format("torchrun/{}/{}", control::formatAddress(host, agentPort),
                         variables.find("TORCHELASTIC_RUN_ID").value_or("none"));
  uint16_t port = computedPort(info.job);
  if (port == agentPort)
    port = port + 1 < kFirstPort + kPorts ? port + 1 : kFirstPort;
  info.rendezvous = {std::move(host), port, {}};
  return okStatus();
}

/// A folder for the user's rendezvous files.
std::string rendezvousFolder(const Variables &variables) {
  return fmt::format("{}/titan-{}", variables.find("TMPDIR").value_or("/tmp"), geteuid());
}

std::string asFileName(std::string text) {
  for (char &letter : text)
    if (!std::isalnum(static_cast<unsigned char>(letter)) && letter != '-' && letter != '.')
      letter = '_';
  return text;
}

/// `overridden`: the place to meet is given, so that none has to be found.
Status readOpenMpi(const Variables &variables, bool overridden, LaunchInfo &info) {
  TITAN_RETURN_IF_ERROR(readNumbers(
      variables, {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},
      info));
  setLocalSize(parseNumber(variables.find("OMPI_COMM_WORLD_LOCAL_SIZE").value_or("")), info);
  std::optional<std::string> name = variables.find("PMIX_NAMESPACE");
  if (!name)
    name = variables.find("OMPI_MCA_ess_base_jobid");
  info.job = fmt::format("openmpi/{}", name.value_or("unnamed"));
  if (overridden || info.worldSize == 1)
    return okStatus();
  TITAN_ASSIGN_OR_RETURN(int local, variables.number("OMPI_COMM_WORLD_LOCAL_SIZE", 1,
                                                     info.worldSize, "the processes of this host"));
  if (local < info.worldSize)
    return invalidArgument(fmt::format(
        "{} is not set, but mpirun started {} of {} processes on this host: ranks on several hosts "
        "need an address of rank 0's host, for example mpirun -x {}=node1:29600",
        kRendezvousVariable, local, info.worldSize, kRendezvousVariable));
  if (!name)
    return invalidArgument(fmt::format("neither PMIX_NAMESPACE nor OMPI_MCA_ess_base_jobid is set, "
                                       "so the job has no name to meet under; set {} to a free "
                                       "address, for example 127.0.0.1:29600",
                                       kRendezvousVariable));
  info.rendezvous.file =
      fmt::format("{}/rendezvous-{}", rendezvousFolder(variables), asFileName(*std::move(name)));
  return okStatus();
}

LauncherKind kindOf(Environment environment) {
  auto has = [&](const char *name) { return environment(name).has_value(); };
  if (has("RANK") || has("WORLD_SIZE"))
    return LauncherKind::torchrun;
  if (has("OMPI_COMM_WORLD_RANK") || has("OMPI_COMM_WORLD_SIZE"))
    return LauncherKind::openMpi;
  // Slurm sets SLURM_PROCID for a batch script too; only srun names a step.
  if (has("SLURM_PROCID") && (has("SLURM_STEP_ID") || has("SLURM_STEP_NODELIST")))
    return LauncherKind::slurm;
  return LauncherKind::none;
}

Status malformedRendezvous(const std::string &value, std::string_view rule) {
  return invalidArgument(
      fmt::format("{} is '{}'; {}, for example node1:29600", kRendezvousVariable, value, rule));
}

/// HOST:PORT, [HOST]:PORT, or :PORT, which keeps the host.
Status applyOverride(const std::string &value, LaunchInfo &info) {
  const size_t colon = value.rfind(':');
  if (colon == std::string::npos)
    return malformedRendezvous(value, "it must be HOST:PORT");
  std::string host = value.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string::npos)
    return malformedRendezvous(value, "an IPv6 address stands in brackets");
  std::optional<int> port = parseNumber(std::string_view(value).substr(colon + 1));
  if (!port || *port < 1 || *port > 65535)
    return malformedRendezvous(value, "the port must be 1 to 65535");
  if (host.empty())
    host = info.rendezvous.host;
  if (host.empty())
    return malformedRendezvous(
        value, fmt::format("{} gives no host, so it must be HOST:PORT", toString(info.kind)));
  info.rendezvous = {std::move(host), static_cast<uint16_t>(*port), {}};
  return okStatus();
}

Status malformedList(std::string_view list, std::string_view rule) {
  return invalidArgument(
      fmt::format("'{}' is no list of hosts: {}; a legal one is node[01-04,7],gpu1", list, rule));
}

} // namespace

const char *toString(LauncherKind kind) {
  switch (kind) {
  case LauncherKind::none:
    return "no launcher";
  case LauncherKind::slurm:
    return "Slurm";
  case LauncherKind::torchrun:
    return "torchrun";
  case LauncherKind::openMpi:
    return "Open MPI";
  }
  return "unknown";
}

std::string Rendezvous::describe() const {
  return file.empty() ? control::formatAddress(host, port) : "the file " + file;
}

StatusOr<LaunchInfo> detectLaunch(Environment environment) {
  LaunchInfo info;
  info.kind = kindOf(environment);
  const Variables variables(environment, info.kind);
  const std::optional<std::string> override = environment(kRendezvousVariable);
  switch (info.kind) {
  case LauncherKind::none:
    return info;
  case LauncherKind::slurm:
    TITAN_RETURN_IF_ERROR(readSlurm(variables, info));
    break;
  case LauncherKind::torchrun:
    TITAN_RETURN_IF_ERROR(readTorchrun(variables, info));
    break;
  case LauncherKind::openMpi:
    TITAN_RETURN_IF_ERROR(readOpenMpi(variables, override.has_value(), info));
    break;
  }
  if (override)
    TITAN_RETURN_IF_ERROR(applyOverride(*override, info));
  return info;
}

StatusOr<LaunchInfo> detectLaunch() {
  return detectLaunch([](const std::string &name) -> std::optional<std::string> {
    const char *value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  });
}

StatusOr<std::string> firstSlurmHost(std::string_view list) {
  std::string host;
  size_t at = 0;
  while (at < list.size() && list[at] != ',') {
    const char letter = list[at];
    if (letter != '[') {
      if (!std::isalnum(static_cast<unsigned char>(letter)) && letter != '-' && letter != '.' &&
          letter != '_')
        return malformedList(list, fmt::format("'{}' stands in a name", letter));
      host += letter;
      ++at;
      continue;
    }
    const size_t end = list.find(']', at);
    if (end == std::string_view::npos)
      return malformedList(list, "'[' is not closed");
    const std::string_view range = list.substr(at + 1, end - at - 1);
    if (range.find_first_not_of("0123456789,-") != std::string_view::npos)
      return malformedList(list, fmt::format("'[{}]' holds something other than numbers", range));
    const size_t digits = std::min(range.find_first_of(",-"), range.size());
    if (digits == 0)
      return malformedList(list, fmt::format("'[{}]' starts with no number", range));
    host += range.substr(0, digits);
    at = end + 1;
  }
  if (host.empty())
    return malformedList(list, "it starts with no name");
  return host;
}

} // namespace titan
