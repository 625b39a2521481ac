// The data plane: collectives among the ranks of a group.
//
// A rank gets its communicators from a DataPlane, one per group. Operations are known when a
// program is loaded: prepare() checks one and allocates what it will ever need; start() and await()
// then allocate nothing. Several operations may be in flight, and they may be awaited in any order.
//
// Which starts of different ranks belong together: among the operations of a group that all ranks
// take part in, the n-th start of one rank meets the n-th of every other; a send to a rank meets
// the receive from it, counted per direction and pair of ranks. That number is the sequence number
// in messages; it counts from 1.
//
//   ranks 0 and 1:  id = prepare(all_gather f32, 4 elements at x into 8 at y)
//                   start(id)           x may no longer be written, y not be touched
//                   ...                 other work
//                   await(id)           y is complete, x is free again
#pragma once

#include "runtime/base/FunctionRef.h"
#include "runtime/base/Status.h"
#include "runtime/collectives/MeshGroups.h"
#include "runtime/format/Program.h"

#include <chrono>
#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace titan {

/// Where a buffer begins: at a fixed address, or a number of bytes after a base that start() is
/// given (a slot that is bound when the operation is started).
struct BufferAddress {
  static constexpr int kFixed = -1;

  static BufferAddress fixed(std::byte *address) { return {address, kFixed, 0}; }
  static BufferAddress relative(int base, int64_t offset) { return {nullptr, base, offset}; }

  std::byte *resolve(std::span<std::byte *const> bases) const {
    return base == kFixed ? address : bases[static_cast<size_t>(base)] + offset;
  }

  std::byte *address = nullptr;
  int base = kFixed;
  int64_t offset = 0;
};

/// A source and the destination it belongs to, dense and of one type; counts in elements.
struct BufferPair {
  DType type = DType::f32;
  BufferAddress source{}, destination{};
  int64_t sourceCount = 0, destinationCount = 0;
};

/// A grouped collective: what one exec.start stands for. With n ranks in the group, for each pair:
///
///   all_gather      destination [n][source], in the order of the ranks
///   reduce_scatter  destination = part `rank` of the n equal parts of the reduced source
///   all_reduce      destination = the reduced source, of the same count
///   all_to_all      part j of rank i's source becomes part i of rank j's destination
///   broadcast       destination = rank `peer`'s source; counts are equal on all ranks, and the
///                   sources of the other ranks are not read
///   send, receive   rank `peer`'s destination = the source; a send has no destinations (count 0),
///                   a receive no sources
///
/// Memory of a pair is disjoint from that of all others, and source from destination, except that
/// all_gather's source may be the rank's own part of the destination, reduce_scatter's destination
/// the own part of the source, and all_reduce's and broadcast's source the destination itself.
///
/// Reductions are for f32, f64, bf16, f16, i32 and i64. They go in the order of the ranks, bf16 and
/// f16 in float32 and rounded once, so results are bit-equal on all ranks, in all runs and in all
/// implementations. Integers wrap; the maximum of a NaN and anything is a NaN.
struct CollectiveOperation {
  format::Collective collective = format::Collective::allReduce;
  format::Reduction reduction = format::Reduction::none;
  int64_t peer = -1; ///< rank within the group
  std::vector<BufferPair> pairs = {};
};

inline bool isPointToPoint(format::Collective collective) {
  return collective == format::Collective::send || collective == format::Collective::receive;
}

/// Bytes at the sources and destinations of one rank: what the larger side of all pairs holds.
int64_t bytesOf(const CollectiveOperation &operation);

/// Whether the operation fits a group of `size` ranks seen from rank `rank`: counts, types,
/// reduction and peer. Messages name the pair and the rule.
Status checkOperation(const CollectiveOperation &operation, int size, int rank);

/// What two ranks must agree on for an operation: equal for equal collective, reduction, peer (for
/// broadcast), types and counts. A send has the signature of the receive that it meets.
uint64_t signatureOf(const CollectiveOperation &operation);

/// How many bases the addresses refer to: one more than the largest index.
size_t numBases(const CollectiveOperation &operation);

/// Names an operation of one communicator; ids count from 0 in the order of prepare().
using OperationId = int;

/// A group as one of its ranks sees it. What follows is for planes of host memory; where memory is
/// a device's, start() and await() put work into its queues and wait for nothing: see NcclPlane.
///
/// One thread at a time calls prepare, start and await; poll
/// and abort may be called from any thread at any time.
///
/// The memory of prepared operations outlives the communicator: while one is destroyed, others may
/// still be reading from operations that were started and never awaited.
class Communicator {
public:
  virtual ~Communicator() = default;

  virtual int size() const = 0;
  /// Within the group.
  virtual int rank() const = 0;
  /// For messages, such as "dp_shard of ranks 0, 2".
  virtual const std::string &describe() const = 0;

  /// Only while no operation is in flight. Fails (invalid argument) on an operation that does not
  /// fit the group.
  virtual StatusOr<OperationId> prepare(const CollectiveOperation &operation) = 0;

  /// Starts a prepared operation that is not in flight; returns without waiting for anyone.
  /// `bases` are those that the operation's addresses are relative to.
  virtual Status start(OperationId id, std::span<std::byte *const> bases = {}) = 0;

  /// Returns when the operation is done: destinations are complete, and nobody reads the sources
  /// any more. Sleeps while it waits. Fails, and with it the communicator for good, with
  ///   deadline exceeded   someone did not come within the timeout,
  ///   unavailable         abort() was called, here or, where ranks share a process, by another,
  ///   invalid argument    another rank started something else at this place in the order,
  ///   internal            the library underneath failed.
  /// The message names this rank, collective, group, sequence number and who was waited for. After
  /// a failure nobody touches this rank's memory, except MPI: see MpiPlane.
  virtual Status await(OperationId id) = 0;

  /// Sequence number of the latest start of `id`; 0 before the first.
  virtual uint64_t sequence(OperationId id) const = 0;

  /// Ok, or the failure that ended the communicator.
  virtual Status poll() const = 0;

  /// Ends the communicator: whoever waits in it returns a failure that gives the reason. The first
  /// reason counts.
  virtual void abort(const std::string &reason) = 0;
};

/// Calls body(begin, end) on ranges of [0, blocks), as Device::hostParallelFor does.
using ParallelFor =
    std::function<void(int64_t blocks, FunctionRef<void(int64_t begin, int64_t end)> body)>;

struct CommunicatorOptions {
  /// How long an await waits for the others.
  std::chrono::milliseconds timeout{std::chrono::minutes(10)};
  /// The rank's worker threads, which then help in start and await; their number.
  ParallelFor parallelFor;
  int threads = 1;
  /// How many operations may be in flight, at least 1; a start beyond fails (invalid argument).
  int maxInFlight = 64;
};

/// A group of ranks of the whole job, and which communicator of it this is.
struct CommunicatorGroup {
  std::string name;       ///< for messages, such as "dp_shard"
  std::vector<int> ranks; ///< of the job, in the order of the group; each once
  /// Tells apart communicators that have two or more ranks in common; all members use the same.
  /// From 0 to 1023. A group of mesh axes uses axesMask(): two such groups of one mask are equal or
  /// disjoint.
  int id = 0;
};

/// What one rank of the job makes its communicators with.
class DataPlane {
public:
  virtual ~DataPlane() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Such as "local, 4 ranks".
  virtual std::string describe() const = 0;

  /// The plane outlives the communicator. Waits for nobody. Fails (invalid argument) on a group
  /// that lacks this rank, names one that does not exist or one twice, or whose id this rank uses
  /// already.
  virtual StatusOr<std::unique_ptr<Communicator>>
  createCommunicator(const CommunicatorGroup &group, const CommunicatorOptions &options) = 0;

  /// Meets the other ranks of all communicators made so far, where that takes more than their first
  /// operations; all ranks call it. Otherwise the first start() of a communicator does.
  virtual Status connect(std::chrono::milliseconds timeout) { return okStatus(); }

  /// Ok, or the failure that ended all communicators of a plane whose await() does not tell.
  virtual Status poll() const { return okStatus(); }

  /// Sets bytes of what the plane's operations move, after all work of the rank's device so far:
  /// memory of the host, unless a plane says otherwise.
  virtual Status fill(std::byte *data, int64_t bytes, uint8_t value) {
    std::memset(data, value, static_cast<size_t>(bytes));
    return okStatus();
  }

  /// Ends all communicators of this plane, also those made later; from any thread. The plane's own
  /// end then waits for nobody.
  virtual void abort(const std::string &reason) = 0;
};

/// Fails as createCommunicator() does, but for ids in use, and otherwise returns the index of
/// `rank` in the group.
StatusOr<int> checkGroup(const CommunicatorGroup &group, const CommunicatorOptions &options,
                         int rank, int size);
/// Adds the group's id to those that a rank uses; fails if it is one of them.
Status claimId(std::set<int> &ids, const CommunicatorGroup &group, int rank);

/// What holds in every implementation. That an id is one of the `prepared` operations of `group`:
Status checkId(OperationId id, size_t prepared, const std::string &group);
/// and that an operation may be started: it is not in flight, and gets the bases that it refers to.
Status checkStart(bool inFlight, size_t basesWanted, size_t basesFound);
/// One that would be more than `most` in flight; named as by describeOperation().
Status tooManyInFlight(const std::string &operation, size_t most);
/// And that one may be awaited: it is in flight.
Status checkAwait(bool inFlight, OperationId id, format::Collective collective,
                  const std::string &group);
/// Which of a rank's operations in a group follow each other: those of one number. A peer that is
/// sent to, -1 - a peer that is received from, or the size of the group for all others.
int sequenceOf(const CollectiveOperation &operation, int size);

/// "dp_shard of ranks 0, 2"; long lists are cut.
std::string describeGroup(const CommunicatorGroup &group);

/// "rank 3, all_gather over dp_shard of ranks 1, 3, sequence number 12"
std::string describeOperation(int rank, format::Collective collective, const std::string &group,
                              uint64_t sequence);

/// "rank 1", "ranks 1, 5 and 7"; long lists are cut.
std::string describeRanks(std::span<const int> ranks);

} // namespace titan
