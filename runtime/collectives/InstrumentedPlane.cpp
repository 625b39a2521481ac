#include "runtime/collectives/InstrumentedPlane.h"

#include <string>
#include <utility>
#include <vector>

namespace titan {

namespace {

class InstrumentedCommunicator final : public Communicator {
public:
  InstrumentedCommunicator(std::unique_ptr<Communicator> inner, DataPlane &plane,
                           FlightRecorder &recorder, FaultInjector &injector)
      : inner(std::move(inner)), plane(plane), recorder(recorder), injector(injector) {}

  int size() const override { return inner->size(); }
  int rank() const override { return inner->rank(); }
  const std::string &describe() const override { return inner->describe(); }
  uint64_t sequence(OperationId id) const override { return inner->sequence(id); }
  Status poll() const override { return inner->poll(); }

  StatusOr<OperationId> prepare(const CollectiveOperation &operation) override {
    TITAN_ASSIGN_OR_RETURN(const OperationId id, inner->prepare(operation));
    const int handle = recorder.addOperation(std::string(toString(operation.collective)),
                                             describe(), bytesOf(operation));
    operations.push_back({operation, handle, 0});
    return id;
  }

  Status start(OperationId id, std::span<std::byte *const> bases) override {
    if (!isKnown(id))
      return inner->start(id, bases);
    Known &known = operations[static_cast<size_t>(id)];
    TITAN_RETURN_IF_ERROR(injector.beforeStart(known.operation, bases, plane));
    TITAN_RETURN_IF_ERROR(inner->start(id, bases));
    known.number = recorder.started(known.handle, inner->sequence(id));
    return okStatus();
  }

  Status await(OperationId id) override {
    if (!isKnown(id) || operations[static_cast<size_t>(id)].number == 0)
      return inner->await(id);
    const uint64_t number = std::exchange(operations[static_cast<size_t>(id)].number, 0);
    recorder.awaited(number);
    Status status = inner->await(id);
    recorder.finished(number, status.ok());
    return status;
  }

  void abort(const std::string &reason) override {
    inner->abort(reason);
    injector.release();
  }

private:
  struct Known {
    CollectiveOperation operation;
    int handle;      ///< in the recorder
    uint64_t number; ///< of the start in flight, or 0
  };

  bool isKnown(OperationId id) const {
    return id >= 0 && static_cast<size_t>(id) < operations.size();
  }

  std::unique_ptr<Communicator> inner;
  DataPlane &plane;
  FlightRecorder &recorder;
  FaultInjector &injector;
  std::vector<Known> operations; ///< by id
};

class InstrumentedPlane final : public DataPlane {
public:
  InstrumentedPlane(std::unique_ptr<DataPlane> inner, FlightRecorder &recorder,
                    FaultInjector &injector)
      : inner(std::move(inner)), recorder(recorder), injector(injector) {}

  int rank() const override { return inner->rank(); }
  int size() const override { return inner->size(); }
  std::string describe() const override { return inner->describe(); }
  Status connect(std::chrono::milliseconds timeout) override { return inner->connect(timeout); }
  Status poll() const override { return inner->poll(); }
  Status fill(std::byte *data, int64_t bytes, uint8_t value) override {
    return inner->fill(data, bytes, value);
  }

  StatusOr<std::unique_ptr<Communicator>>
  createCommunicator(const CommunicatorGroup &group, const CommunicatorOptions &options) override {
    TITAN_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> communicator,
                           inner->createCommunicator(group, options));
    return std::unique_ptr<Communicator>(std::make_unique<InstrumentedCommunicator>(
        std::move(communicator), *inner, recorder, injector));
  }

  void abort(const std::string &reason) override {
    inner->abort(reason);
    injector.release();
  }

private:
  std::unique_ptr<DataPlane> inner;
  FlightRecorder &recorder;
  FaultInjector &injector;
};

} // namespace

std::unique_ptr<DataPlane> instrument(std::unique_ptr<DataPlane> plane, FlightRecorder &recorder,
                                      FaultInjector &injector) {
  return std::make_unique<InstrumentedPlane>(std::move(plane), recorder, injector);
}

} // namespace titan
