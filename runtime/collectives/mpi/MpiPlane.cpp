// What the plugin exports: the plane of this process.
#include "runtime/collectives/mpi/MpiPlane.h"

#include "runtime/collectives/mpi/MpiCommunicator.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace titan::mpi {

namespace {

/// Tags have 22 bits: MpiCommunicator::tag().
constexpr int kLargestTag = (1 << 22) - 1;

class MpiPlane final : public DataPlane {
public:
  explicit MpiPlane(std::shared_ptr<MpiContext> context) : context(std::move(context)) {}
  ~MpiPlane() override {
    if (context->anyFailed.load() && !context->options.finalizeAfterFailure)
      return;
    MPI_Comm_free(&context->comm);
    MPI_Finalize();
  }

  int rank() const override { return context->rank; }
  int size() const override { return context->size; }
  std::string describe() const override {
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;
    MPI_Get_library_version(text, &length);
    const std::string version(text, static_cast<size_t>(length));
    return "mpi, " + std::to_string(size()) + (size() == 1 ? " rank, " : " ranks, ") +
           version.substr(0, version.find_first_of(",\n"));
  }

  StatusOr<std::unique_ptr<Communicator>>
  createCommunicator(const CommunicatorGroup &group, const CommunicatorOptions &options) override {
    TITAN_ASSIGN_OR_RETURN(const int member, checkGroup(group, options, rank(), size()));
    {
      const std::lock_guard lock(context->mutex);
      TITAN_RETURN_IF_ERROR(claimId(context->ids, group, rank()));
    }
    return std::unique_ptr<Communicator>(
        std::make_unique<MpiCommunicator>(context, group, member, options));
  }

  void abort(const std::string &reason) override {
    const std::lock_guard lock(context->mutex);
    context->anyFailed = true;
    if (context->aborted.ok())
      context->aborted = unavailable(reason);
    for (MpiCommunicator *communicator : context->communicators)
      communicator->fail(context->aborted);
  }

private:
  std::shared_ptr<MpiContext> context;
};

Status connect(const MpiOptions &options, std::unique_ptr<DataPlane> &plane) {
  if (options.maxMessageBytes < 1 || options.maxMessageBytes > std::numeric_limits<int>::max())
    return invalidArgument("mpi: a message has from 1 to 2147483647 bytes, found " +
                           std::to_string(options.maxMessageBytes));
  int running = 0;
  TITAN_RETURN_IF_ERROR(checkMpi(MPI_Initialized(&running), "MPI_Initialized"));
  if (running)
    return unavailable("mpi: this process is connected already, and can be only once");
  int provided = 0;
  TITAN_RETURN_IF_ERROR(checkMpi(
      MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread"));
  if (provided < MPI_THREAD_SERIALIZED)
    return unavailable("mpi: the library cannot be called from more than one thread");
  auto context = std::make_shared<MpiContext>();
  context->options = options;
  TITAN_RETURN_IF_ERROR(checkMpi(MPI_Comm_dup(MPI_COMM_WORLD, &context->comm), "MPI_Comm_dup"));
  TITAN_RETURN_IF_ERROR(checkMpi(MPI_Comm_set_errhandler(context->comm, MPI_ERRORS_RETURN),
                                 "MPI_Comm_set_errhandler"));
  MPI_Comm_rank(context->comm, &context->rank);
  MPI_Comm_size(context->comm, &context->size);
  void *value = nullptr;
  int found = 0;
  TITAN_RETURN_IF_ERROR(
      checkMpi(MPI_Comm_get_attr(context->comm, MPI_TAG_UB, static_cast<void *>(&value), &found),
               "MPI_Comm_get_attr"));
  if (found && *static_cast<int *>(value) < kLargestTag)
    return unavailable("mpi: the library has tags up to " +
                       std::to_string(*static_cast<int *>(value)) + ", and " +
                       std::to_string(kLargestTag) + " are needed");
  plane = std::make_unique<MpiPlane>(std::move(context));
  return okStatus();
}

} // namespace

} // namespace titan::mpi

extern "C" __attribute__((visibility("default"))) int titanMpiVersion() {
  return titan::kMpiInterfaceVersion;
}

extern "C" __attribute__((visibility("default"))) void
titanMpiConnect(const titan::MpiOptions &options, titan::Status &status,
                std::unique_ptr<titan::DataPlane> &plane) {
  status = titan::mpi::connect(options, plane);
}
