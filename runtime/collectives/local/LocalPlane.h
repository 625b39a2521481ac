// The data plane of ranks that are threads of one process: collectives through shared memory.
//
// A start publishes addresses; an await moves data, its own rank's and that of ranks that are
// not there yet, once all have started. So an operation completes as soon as every rank has started
// it and any rank is in its await.
#pragma once

#include "runtime/collectives/Communicator.h"

#include <memory>
#include <vector>

namespace titan::local {

/// The planes of all ranks of a job, by rank; each is for one thread at a time. A failure or an
/// abort in a communicator ends it for all its ranks; abort() of any plane ends everything.
///
/// A rank that leaves, by destroying communicators, tells nobody: the others run into their
/// timeout, and their message names it.
///
/// `size` is at least 1.
std::vector<std::unique_ptr<DataPlane>> createLocalPlanes(int size);

} // namespace titan::local
