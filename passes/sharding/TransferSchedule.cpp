#include "passes/sharding/TransferSchedule.h"

#include <algorithm>
#include <map>

namespace titan {

std::vector<TransferPlan> planTransfers(const std::vector<Transfer> &transfers, int64_t distance,
                                        int64_t end) {
  std::vector<TransferPlan> plans(transfers.size());
  std::map<int64_t, std::vector<size_t>> early, late;
  for (size_t i = 0; i < transfers.size(); ++i) {
    const Transfer &transfer = transfers[i];
    plans[i] = {transfer.position, transfer.firstUse};
    if (transfer.early)
      early[transfer.key].push_back(i);
    else if (transfer.late)
      late[transfer.key].push_back(i);
  }
  const auto step = static_cast<size_t>(distance);
  for (auto &[key, list] : early) {
    std::stable_sort(list.begin(), list.end(), [&](size_t a, size_t b) {
      return transfers[a].firstUse < transfers[b].firstUse;
    });
    for (size_t i = 0; i < list.size(); ++i)
      plans[list[i]].start = i < step ? 0 : plans[list[i - step]].await;
  }
  for (const auto &[key, list] : late)
    for (size_t i = 0; i < list.size(); ++i)
      plans[list[i]].await = i + step < list.size() ? plans[list[i + step]].start : end;
  // Results are needed no earlier than they are started.
  for (TransferPlan &plan : plans)
    plan.await = std::max(plan.await, plan.start);
  return plans;
}

} // namespace titan
