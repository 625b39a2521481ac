// A data plane with a flight recorder and a fault injector in front of it.
#pragma once

#include "runtime/collectives/Communicator.h"
#include "runtime/collectives/FaultInjector.h"
#include "runtime/collectives/FlightRecorder.h"

#include <memory>

namespace titan {

/// The same plane, whose communicators ask the injector before each start and note each start,
/// await and end in the recorder. Both belong to the rank, and outlive the plane and its
/// communicators. abort() also releases a rank that hangs on purpose.
std::unique_ptr<DataPlane> instrument(std::unique_ptr<DataPlane> plane, FlightRecorder &recorder,
                                      FaultInjector &injector);

} // namespace titan
