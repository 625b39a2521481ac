#include "runtime/collectives/local/LocalGroup.h"

#include <algorithm>
#include <utility>

namespace titan::local {

namespace {

constexpr int kTagBits = 32;
constexpr uint64_t kIndexMask = (uint64_t(1) << kTagBits) - 1;

uint64_t tagOf(uint64_t sequence) { return sequence << kTagBits; }

/// Takes the next chunk of a lane; false when it is exhausted, or serves another operation by now.
bool claim(std::atomic<uint64_t> &next, uint64_t tag, uint32_t end, uint32_t &chunk) {
  uint64_t current = next.load(std::memory_order_acquire);
  do {
    if ((current & ~kIndexMask) != tag || (current & kIndexMask) >= end)
      return false;
  } while (!next.compare_exchange_weak(current, current + 1, std::memory_order_acq_rel));
  chunk = static_cast<uint32_t>(current & kIndexMask);
  return true;
}

std::vector<int> iota(int count) {
  std::vector<int> all(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i)
    all[static_cast<size_t>(i)] = i;
  return all;
}

} // namespace

Channel::Channel(std::vector<int> participants, int depth) : participants(std::move(participants)) {
  for (int i = 0; i < depth; ++i)
    meetings.push_back(std::make_unique<Meeting>(static_cast<int>(this->participants.size())));
}

LocalGroup::LocalGroup(CommunicatorGroup group, int depth)
    : members(std::move(group)), description(describeGroup(members)), meetingsPerChannel(depth),
      all(std::make_unique<Channel>(iota(size()), depth)), left(members.ranks.size()) {}

Channel &LocalGroup::between(int from, int to) {
  const std::lock_guard lock(mutex);
  std::unique_ptr<Channel> &channel = pairs[{from, to}];
  if (!channel)
    channel = std::make_unique<Channel>(std::vector<int>{from, to}, meetingsPerChannel);
  return *channel;
}

void LocalGroup::leave(int rank, bool inFlight) {
  left[static_cast<size_t>(rank)].store(true);
  anyLeft.store(true);
  if (!inFlight)
    return;
  silenced.store(true);
  awaitQuiet();
}

bool LocalGroup::beginWork() {
  // Sequentially consistent, as awaitQuiet(): either this sees the flag, or that sees the count.
  working.fetch_add(1);
  if (!failed.load() && !silenced.load())
    return true;
  endWork();
  return false;
}

void LocalGroup::endWork() {
  if (working.fetch_sub(1) == 1 && (failed.load() || silenced.load()))
    quiet.notify();
}

void LocalGroup::awaitQuiet() {
  for (;;) {
    const uint32_t seen = quiet.current();
    if (working.load() == 0)
      return;
    quiet.wait(seen, EventCount::Clock::now() + std::chrono::seconds(1));
  }
}

Status LocalGroup::compare(const Channel &channel, const Meeting &meeting,
                           uint64_t sequence) const {
  auto describe = [&](size_t i) {
    const Contribution &it = meeting.contributions[i];
    return "rank " + std::to_string(members.ranks[static_cast<size_t>(channel.participants[i])]) +
           " started " + std::string(toString(it.collective)) + " of " + std::to_string(it.bytes) +
           " bytes";
  };
  for (size_t i = 1; i < meeting.contributions.size(); ++i)
    if (meeting.contributions[i].signature != meeting.contributions[0].signature)
      return invalidArgument("the ranks disagree on sequence number " + std::to_string(sequence) +
                             " over " + description + ": " + describe(0) + ", " + describe(i) +
                             "; collective, reduction, types, counts and root must be equal");
  return okStatus();
}

void LocalGroup::open(Channel &channel, Meeting &meeting, uint64_t sequence, const WorkPlan &plan) {
  if (Status status = compare(channel, meeting, sequence); !status.ok())
    return fail(std::move(status));
  meeting.remaining.store(plan.chunks());
  for (int lane = 0; lane < plan.lanes(); ++lane)
    meeting.lanes[static_cast<size_t>(lane)].next.store(tagOf(sequence) | plan.laneBegin(lane),
                                                        std::memory_order_release);
  meeting.opened.store(sequence);
  if (plan.chunks() == 0)
    meeting.completed.store(sequence);
  meeting.changed.notify();
}

void LocalGroup::arrive(Channel &channel, int participant, uint64_t sequence,
                        const Contribution &mine, const WorkPlan &plan) {
  Meeting &meeting = channel.meeting(sequence);
  meeting.contributions[static_cast<size_t>(participant)] = mine;
  meeting.arrived[static_cast<size_t>(participant)].store(sequence);
  const uint64_t participants = channel.participants.size();
  const uint64_t lastArrival = ((sequence - 1) / channel.meetings.size() + 1) * participants;
  if (meeting.arrivals.fetch_add(1) + 1 == lastArrival)
    open(channel, meeting, sequence, plan);
}

void LocalGroup::work(Channel &channel, int participant, uint64_t sequence, const WorkPlan &plan,
                      WorkScratch &scratch) {
  if (!beginWork())
    return;
  Meeting &meeting = channel.meeting(sequence);
  uint32_t done = 0;
  bool stopped = false;
  for (int i = 0; i < plan.lanes() && !stopped; ++i) {
    const int lane = (participant + i) % plan.lanes();
    uint32_t chunk = 0;
    while (!stopped && claim(meeting.lanes[static_cast<size_t>(lane)].next, tagOf(sequence),
                             plan.laneBegin(lane + 1), chunk)) {
      // Only now is it sure that the meeting still serves this sequence number: it cannot end
      // before the chunk is done.
      if (done++ == 0)
        std::transform(meeting.contributions.begin(), meeting.contributions.end(),
                       scratch.pairs.begin(), [](const Contribution &it) { return it.pairs; });
      plan.run(chunk, scratch.pairs, scratch.addresses);
      // Whoever fails or leaves waits for this thread.
      stopped = failed.load() || silenced.load();
    }
  }
  if (done > 0 && meeting.remaining.fetch_sub(done) == done) {
    meeting.completed.store(sequence);
    meeting.changed.notify();
  }
  endWork();
}

std::vector<int> LocalGroup::awaited(Channel &channel, uint64_t sequence) const {
  const Meeting &meeting = channel.meeting(sequence);
  std::vector<int> missing;
  for (size_t i = 0; i < channel.participants.size(); ++i) {
    const int rank = channel.participants[i];
    if (meeting.arrived[i].load() < sequence || left[static_cast<size_t>(rank)].load())
      missing.push_back(rank);
  }
  return missing;
}

void LocalGroup::fail(Status status) {
  const std::lock_guard lock(mutex);
  if (failed.load())
    return;
  reason = std::move(status);
  failed.store(true);
  for (auto &meeting : all->meetings)
    meeting->changed.notify();
  for (auto &[ranks, channel] : pairs)
    for (auto &meeting : channel->meetings)
      meeting->changed.notify();
}

Status LocalGroup::failure() const {
  const std::lock_guard lock(mutex);
  return reason;
}

std::vector<int> LocalGroup::jobRanks(std::span<const int> groupRanks) const {
  std::vector<int> ranks;
  for (int rank : groupRanks)
    ranks.push_back(members.ranks[static_cast<size_t>(rank)]);
  return ranks;
}

} // namespace titan::local
