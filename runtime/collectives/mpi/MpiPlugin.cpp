// The side of the MPI data plane that every program has: it opens the plugin.
#include "runtime/base/DynamicLibrary.h"
#include "runtime/collectives/mpi/MpiPlane.h"

#include <utility>

namespace titan {

namespace {

constexpr PluginDescription kPlugin = {
    "libtitan_mpi.so", kMpiVersionSymbol, kMpiInterfaceVersion,
    "; the mpi data plane is a plugin of Titan that needs Open MPI 4: install the packages "
    "libopenmpi-dev and openmpi-bin, configure again and build the target titan_mpi, or run the "
    "ranks in one process with the local data plane"};

/// Keeps the library open while its code is needed.
class PluginPlane final : public DataPlane {
public:
  PluginPlane(DynamicLibrary library, std::unique_ptr<DataPlane> inner)
      : library(std::move(library)), inner(std::move(inner)) {}

  int rank() const override { return inner->rank(); }
  int size() const override { return inner->size(); }
  std::string describe() const override { return inner->describe(); }
  StatusOr<std::unique_ptr<Communicator>>
  createCommunicator(const CommunicatorGroup &group, const CommunicatorOptions &options) override {
    return inner->createCommunicator(group, options);
  }
  void abort(const std::string &reason) override { inner->abort(reason); }

private:
  DynamicLibrary library;
  std::unique_ptr<DataPlane> inner;
};

} // namespace

StatusOr<std::unique_ptr<DataPlane>> openMpiPlane(const MpiOptions &options) {
  TITAN_ASSIGN_OR_RETURN(DynamicLibrary library,
                         DynamicLibrary::openPlugin(kPlugin, options.library));
  TITAN_ASSIGN_OR_RETURN(MpiConnectFunction *const connect,
                         library.function<MpiConnectFunction>(kMpiConnectSymbol));
  Status status;
  std::unique_ptr<DataPlane> plane;
  connect(options, status, plane);
  TITAN_RETURN_IF_ERROR(status);
  return std::unique_ptr<DataPlane>(
      std::make_unique<PluginPlane>(std::move(library), std::move(plane)));
}

} // namespace titan
