// Collectives among threads against memcpy.
//
//   CollectiveBench [--ranks=2] [--threads=1] [--megabytes=64] [--rounds=15] [--quantile=0.5]
//
// Each rank has a result of so many megabytes, in place. The ratio is the result's bytes over the
// time, against memcpy of as many bytes by as many threads as there are ranks. All run once per
// round, one after another; the table has medians over the rounds (or another quantile).

#include "runtime/collectives/local/LocalPlane.h"
#include "test/bench/BenchSupport.h"

#include <barrier>
#include <cstdio>
#include <functional>
#include <thread>

using namespace titan;
using format::Collective;
using format::Reduction;

namespace {

struct Setting {
  int ranks, threads;
  int64_t bytes;
};

/// One rank: its memory, and what it does in a round, by name.
struct Rank {
  Rank(const Setting &setting, DataPlane &plane, int rank)
      : pool(setting.threads), result(setting.bytes / 4), other(setting.bytes / 4) {
    CommunicatorGroup group{"all", {}, 1};
    for (int i = 0; i < setting.ranks; ++i)
      group.ranks.push_back(i);
    CommunicatorOptions options;
    options.threads = setting.threads;
    options.parallelFor = [this](int64_t blocks, FunctionRef<void(int64_t, int64_t)> body) {
      pool.parallelFor(blocks, [&](int64_t begin, int64_t end, int) { body(begin, end); }, 1);
    };
    communicator = *plane.createCommunicator(group, options);
    const int64_t count = setting.bytes / 4, part = count / setting.ranks;
    const auto at = [&](const cpu::BenchArray &array, int64_t element) {
      return BufferAddress::fixed(reinterpret_cast<std::byte *>(array.data() + element));
    };
    const BufferAddress whole = at(result, 0), own = at(result, rank * part);
    auto prepare = [&](Collective collective, Reduction reduction, BufferPair pair) {
      operations.push_back(*communicator->prepare({collective, reduction, -1, {pair}}));
    };
    prepare(Collective::allGather, Reduction::none,
            {DType::f32, own, whole, part, part * setting.ranks});
    prepare(Collective::reduceScatter, Reduction::sum,
            {DType::f32, whole, own, part * setting.ranks, part});
    prepare(Collective::allReduce, Reduction::sum, {DType::f32, whole, whole, count, count});
    prepare(Collective::allReduce, Reduction::sum,
            {DType::bf16, whole, whole, 2 * count, 2 * count});
    prepare(Collective::allReduce, Reduction::sum, {DType::f32, whole, whole, 1, 1});
  }

  void collective(size_t i) {
    (void)communicator->start(operations[i]);
    (void)communicator->await(operations[i]);
  }

  cpu::ThreadPool pool;
  cpu::BenchArray result, other;
  std::unique_ptr<Communicator> communicator;
  std::vector<OperationId> operations;
};

constexpr const char *kNames[] = {"memcpy",         "all_gather f32",  "reduce_scatter f32",
                                  "all_reduce f32", "all_reduce bf16", "all_reduce of one number"};

} // namespace

int main(int argc, char **argv) {
  const Setting setting{std::stoi(cpu::option(argc, argv, "ranks", "2")),
                        std::stoi(cpu::option(argc, argv, "threads", "1")),
                        std::stoll(cpu::option(argc, argv, "megabytes", "64")) << 20};
  const int rounds = std::stoi(cpu::option(argc, argv, "rounds", "15"));
  const double q = std::stod(cpu::option(argc, argv, "quantile", "0.5"));
  const cpu::BenchClock clock;
  const auto planes = local::createLocalPlanes(setting.ranks);
  std::barrier barrier(setting.ranks);
  std::vector<std::vector<double>> seconds(std::size(kNames));
  auto rankMain = [&](int index) {
    Rank rank(setting, *planes[size_t(index)], index);
    const int64_t share = setting.bytes / setting.ranks;
    for (int round = -2; round < rounds; ++round)
      for (size_t i = 0; i < std::size(kNames); ++i) {
        barrier.arrive_and_wait();
        const double begin = clock.now();
        if (i == 0)
          std::memcpy(rank.other.data(), rank.result.data(), size_t(share));
        else
          rank.collective(i - 1);
        barrier.arrive_and_wait();
        if (index == 0 && round >= 0)
          seconds[i].push_back(clock.now() - begin);
      }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < setting.ranks; ++i)
    threads.emplace_back(rankMain, i);
  for (std::thread &thread : threads)
    thread.join();

  std::printf("%d ranks of %d threads, %ld MB\n%-26s %9s %7s %7s\n", setting.ranks, setting.threads,
              long(setting.bytes >> 20), "", "ms", "GB/s", "ratio");
  const double copy = cpu::quantile(seconds[0], q);
  for (size_t i = 0; i < std::size(kNames); ++i) {
    const double time = cpu::quantile(seconds[i], q);
    if (i + 1 < std::size(kNames))
      std::printf("%-26s %9.3f %7.2f %7.2f\n", kNames[i], time * 1e3,
                  double(setting.bytes) / time * 1e-9, copy / time);
    else
      std::printf("%-26s %9.3f\n", kNames[i], time * 1e3);
  }
}
