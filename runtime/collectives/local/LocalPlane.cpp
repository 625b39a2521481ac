#include "runtime/collectives/local/LocalPlane.h"

#include "runtime/collectives/local/LocalCommunicator.h"

#include <mutex>
#include <set>
#include <string>
#include <utility>

namespace titan::local {

namespace {

/// What all planes share.
class LocalWorld {
public:
  explicit LocalWorld(int size) : ranks(size) {}

  int size() const { return ranks; }

  /// The group that the members of `group` meet in.
  StatusOr<std::shared_ptr<LocalGroup>> find(const CommunicatorGroup &group, int depth) {
    const std::lock_guard lock(mutex);
    std::erase_if(groups, [](const std::weak_ptr<LocalGroup> &it) { return it.expired(); });
    for (const std::weak_ptr<LocalGroup> &candidate : groups) {
      std::shared_ptr<LocalGroup> it = candidate.lock();
      // One that a rank has left is of the past, for whoever comes anew.
      if (!it || it->group().id != group.id || it->group().ranks != group.ranks || it->wasLeft())
        continue;
      if (it->depth() != depth)
        return invalidArgument("group '" + group.name + "': another rank allows " +
                               std::to_string(it->depth()) + " operations in flight, this one " +
                               std::to_string(depth));
      return it;
    }
    auto created = std::make_shared<LocalGroup>(group, depth);
    if (!reason.ok())
      created->fail(reason);
    groups.push_back(created);
    return created;
  }

  void abort(const std::string &text) {
    const std::lock_guard lock(mutex);
    if (reason.ok())
      reason = unavailable(text);
    for (const std::weak_ptr<LocalGroup> &group : groups)
      if (const std::shared_ptr<LocalGroup> it = group.lock())
        it->fail(reason);
  }

private:
  const int ranks;
  std::mutex mutex;
  std::vector<std::weak_ptr<LocalGroup>> groups;
  Status reason; ///< of the abort, if there was one
};

class LocalPlane final : public DataPlane {
public:
  LocalPlane(std::shared_ptr<LocalWorld> world, int rank) : world(std::move(world)), index(rank) {}

  int rank() const override { return index; }
  int size() const override { return world->size(); }
  std::string describe() const override {
    return "local, " + std::to_string(size()) + (size() == 1 ? " rank" : " ranks");
  }

  StatusOr<std::unique_ptr<Communicator>>
  createCommunicator(const CommunicatorGroup &group, const CommunicatorOptions &options) override {
    TITAN_ASSIGN_OR_RETURN(const int member, checkGroup(group, options, index, size()));
    {
      const std::lock_guard lock(usedIds->mutex);
      TITAN_RETURN_IF_ERROR(claimId(usedIds->ids, group, index));
    }
    auto release = [used = usedIds, id = group.id] {
      const std::lock_guard lock(used->mutex);
      used->ids.erase(id);
    };
    auto joined = world->find(group, options.maxInFlight);
    if (!joined.ok()) {
      release();
      return joined.status();
    }
    return std::unique_ptr<Communicator>(std::make_unique<LocalCommunicator>(
        *std::move(joined), member, options, std::move(release)));
  }

  void abort(const std::string &reason) override { world->abort(reason); }

private:
  struct UsedIds {
    std::mutex mutex;
    std::set<int> ids;
  };

  std::shared_ptr<LocalWorld> world;
  const int index;
  std::shared_ptr<UsedIds> usedIds = std::make_shared<UsedIds>();
};

} // namespace

std::vector<std::unique_ptr<DataPlane>> createLocalPlanes(int size) {
  auto world = std::make_shared<LocalWorld>(size);
  std::vector<std::unique_ptr<DataPlane>> planes;
  for (int rank = 0; rank < size; ++rank)
    planes.push_back(std::make_unique<LocalPlane>(world, rank));
  return planes;
}

} // namespace titan::local
