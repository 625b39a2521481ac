// Fill, copy and check_finite: loops over strided memory.
#include "runtime/device/ElementBits.h"
#include "runtime/device/cpu/CpuPlans.h"
#include "runtime/device/cpu/ThreadPool.h"

#include <atomic>
#include <bit>
#include <cstring>

namespace titan::cpu {
namespace {

/// Elements that a task handles: enough to pay for handing it out.
constexpr int64_t kBlock = 1 << 16;

/// A view as equal runs of adjacent elements: run r starts at runOffset(view, r).
struct Runs {
  int64_t length = 1; ///< elements
  int64_t count = 1;
  int outerRank = 0; ///< dimensions that number the runs
};

/// The longest runs that are contiguous in all of the views, which have one shape.
Runs contiguousRuns(std::initializer_list<const format::View *> views) {
  const format::View &first = **views.begin();
  Runs runs;
  int rank = first.rank;
  for (; rank > 0; --rank) {
    bool adjacent = true;
    for (const format::View *view : views)
      adjacent &= view->shape[rank - 1] == 1 || view->strides[rank - 1] == runs.length;
    if (!adjacent)
      break;
    runs.length *= first.shape[rank - 1];
  }
  runs.outerRank = rank;
  for (int i = 0; i < rank; ++i)
    runs.count *= first.shape[i];
  return runs;
}

int64_t runOffset(const format::View &view, int outerRank, int64_t run) {
  int64_t offset = 0;
  for (int i = outerRank - 1; i >= 0; --i) {
    offset += run % view.shape[i] * view.strides[i];
    run /= view.shape[i];
  }
  return offset;
}

/// Calls body(run, begin, end) for pieces of runs.
template <typename F> void forEachPiece(ThreadPool &pool, const Runs &runs, F body) {
  const int64_t pieces = (runs.length + kBlock - 1) / kBlock;
  const int64_t runsPerBlock = std::max<int64_t>(1, kBlock / runs.length);
  if (pieces > 1) {
    pool.parallelFor(runs.count * pieces, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i)
        body(i / pieces, i % pieces * kBlock, std::min(runs.length, (i % pieces + 1) * kBlock));
    });
    return;
  }
  const int64_t blocks = (runs.count + runsPerBlock - 1) / runsPerBlock;
  pool.parallelFor(blocks, [&](int64_t begin, int64_t end, int) {
    for (int64_t run = begin * runsPerBlock; run < std::min(runs.count, end * runsPerBlock); ++run)
      body(run, int64_t{0}, runs.length);
  });
}

class FillPlan final : public CpuPlan {
public:
  FillPlan(ThreadPool &pool, const Operand &operand, uint64_t pattern)
      : pool(pool), operand(operand), runs(contiguousRuns({operand.view})), pattern(pattern),
        bytes(byteSize(operand.view->type)) {}

  Status run() override {
    switch (bytes) {
    case 1:
      return fill<uint8_t>();
    case 2:
      return fill<uint16_t>();
    case 4:
      return fill<uint32_t>();
    default:
      return fill<uint64_t>();
    }
  }

private:
  template <typename T> Status fill() {
    T *data = reinterpret_cast<T *>(operand.data);
    forEachPiece(pool, runs, [&](int64_t run, int64_t begin, int64_t end) {
      T *from = data + runOffset(*operand.view, runs.outerRank, run);
      std::fill(from + begin, from + end, static_cast<T>(pattern));
    });
    return okStatus();
  }

  ThreadPool &pool;
  Operand operand;
  Runs runs;
  uint64_t pattern;
  int64_t bytes;
};

class CopyPlan final : public CpuPlan {
public:
  CopyPlan(ThreadPool &pool, const Operand &source, const Operand &destination)
      : pool(pool), source(source), destination(destination),
        runs(contiguousRuns({source.view, destination.view})), bytes(byteSize(source.view->type)) {}

  Status run() override {
    forEachPiece(pool, runs, [&](int64_t run, int64_t begin, int64_t end) {
      const int64_t from = runOffset(*source.view, runs.outerRank, run) + begin;
      const int64_t to = runOffset(*destination.view, runs.outerRank, run) + begin;
      std::memcpy(destination.data + to * bytes, source.data + from * bytes,
                  static_cast<size_t>((end - begin) * bytes));
    });
    return okStatus();
  }

private:
  ThreadPool &pool;
  Operand source, destination;
  Runs runs;
  int64_t bytes;
};

class CheckFinitePlan final : public CpuPlan {
public:
  CheckFinitePlan(ThreadPool &pool, std::vector<Operand> values, float *flag)
      : pool(pool), values(std::move(values)), flag(flag) {
    for (const Operand &value : this->values)
      runs.push_back(contiguousRuns({value.view}));
  }

  Status run() override {
    std::atomic<bool> finite{true};
    for (size_t i = 0; i < values.size(); ++i)
      forEachPiece(pool, runs[i], [&](int64_t run, int64_t begin, int64_t end) {
        const int64_t offset = runOffset(*values[i].view, runs[i].outerRank, run);
        if (!allFinite(values[i], offset + begin, end - begin))
          finite.store(false, std::memory_order_relaxed);
      });
    *flag = finite.load(std::memory_order_relaxed) ? 1.0f : 0.0f;
    return okStatus();
  }

private:
  // A number is finite unless all bits of its exponent are set.
  template <typename T> static bool allFinite(const T *data, int64_t count, T exponent) {
    bool bad = false;
    for (int64_t i = 0; i < count; ++i)
      bad |= (data[i] & exponent) == exponent;
    return !bad;
  }

  static bool allFinite(const Operand &operand, int64_t offset, int64_t count) {
    if (operand.view->type == DType::bf16)
      return allFinite(reinterpret_cast<const uint16_t *>(operand.data) + offset, count,
                       uint16_t{0x7f80});
    return allFinite(reinterpret_cast<const uint32_t *>(operand.data) + offset, count,
                     uint32_t{0x7f800000});
  }

  ThreadPool &pool;
  std::vector<Operand> values;
  std::vector<Runs> runs;
  float *flag;
};

StatusOr<std::unique_ptr<Plan>> prepareCheckFinite(ThreadPool &pool, const format::CheckFinite &op,
                                                   std::span<const Operand> operands) {
  std::vector<Operand> values;
  for (uint32_t value : op.values) {
    const DType type = operands[value].view->type;
    if (type != DType::f32 && type != DType::bf16)
      return invalidArgument("check_finite on the CPU takes f32 and bf16, found " +
                             std::string(toString(type)));
    values.push_back(operands[value]);
  }
  return std::unique_ptr<Plan>(std::make_unique<CheckFinitePlan>(
      pool, std::move(values), reinterpret_cast<float *>(operands[op.flag].data)));
}

} // namespace

StatusOr<std::unique_ptr<Plan>> prepareMemoryOp(ThreadPool &pool,
                                                const format::Instruction &instruction,
                                                std::span<const Operand> operands) {
  if (const auto *op = std::get_if<format::Fill>(&instruction)) {
    const Operand &buffer = operands[op->buffer];
    TITAN_ASSIGN_OR_RETURN(const uint64_t pattern, encodeElement(op->value, buffer.view->type));
    return std::unique_ptr<Plan>(std::make_unique<FillPlan>(pool, buffer, pattern));
  }
  if (const auto *op = std::get_if<format::Copy>(&instruction))
    return std::unique_ptr<Plan>(
        std::make_unique<CopyPlan>(pool, operands[op->source], operands[op->destination]));
  if (const auto *op = std::get_if<format::CheckFinite>(&instruction))
    return prepareCheckFinite(pool, *op, operands);
  return internalError("not an instruction on memory");
}

} // namespace titan::cpu
