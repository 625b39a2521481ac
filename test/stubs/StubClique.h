// The ranks of a communicator of the stub of NCCL: threads of this process, or processes of this
// host.
#pragma once

#include "runtime/device/cuda/Nccl.h"

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

namespace titan::cuda::stubs {

enum class CallKind : int { allGather, reduceScatter, allReduce, broadcast, send, receive };

struct Call {
  CallKind kind;
  std::byte *source, *destination;
  size_t count; ///< of the source; of the destination for reduceScatter and receive
  int type, reduction, peer;
};

/// What a rank shows the others. Its processes share this memory, which begins with zeros.
struct Member {
  std::atomic<int> process; ///< its number; 0: the rank has not come
  std::atomic<int> gpu;     ///< among those of this host
  std::atomic<int> ordinal; ///< among those that its process sees
  std::atomic<bool> isFinalized;
  /// The number, counted from 1, of the latest group of calls that the rank has issued, that the
  /// others may read, and for which it has read what the others gave.
  std::atomic<uint64_t> issued, published, consumed;
};

/// A rank publishes the calls of a group and what they send; when all have, each finds its results
/// by itself. Not safe for threads, but for members().
///
/// The memory is a file without a name, which the others open through the process that made it:
/// it ends with the last process that has it. The members come first, then each rank's calls.
class Clique {
public:
  /// Makes the memory, and an id that leads to it as long as the result lives.
  static std::shared_ptr<Clique> create(NcclId &id);
  /// Null where the process that made the id is gone.
  static std::shared_ptr<Clique> open(const NcclId &id, int size);
  ~Clique();
  Clique(const Clique &) = delete;

  static constexpr int kMaxRanks = 32;

  int size() const { return ranks; }
  Member &member(int rank) const { return members[rank]; }
  /// Whether something holds for all ranks.
  template <typename Holds> bool all(Holds holds) const {
    for (int rank = 0; rank < ranks; ++rank)
      if (!holds(members[rank]))
        return false;
    return true;
  }

  void publish(int rank, const std::vector<Call> &calls);
  /// The results of a rank's calls, once all have published theirs. Throws runtime_error where
  /// those do not go together.
  void receive(int rank, const std::vector<Call> &calls);

private:
  struct Published;

  Clique(int file, int ranks);
  std::vector<Published> readAll() const;

  int file;
  int ranks;
  Member *members = nullptr;
};

} // namespace titan::cuda::stubs
