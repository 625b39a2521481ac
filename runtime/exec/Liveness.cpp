#include "runtime/exec/Liveness.h"

#include "runtime/base/DType.h"
#include "runtime/exec/VariableLayout.h"

#include <algorithm>
#include <array>

namespace titan {

using format::Access;
using format::kNone;

void ByteSet::add(int64_t begin, int64_t end) {
  if (begin >= end)
    return;
  auto next = ranges.upper_bound(begin);
  if (next != ranges.begin())
    if (auto previous = std::prev(next); previous->second >= begin) {
      begin = previous->first;
      end = std::max(end, previous->second);
      ranges.erase(previous);
    }
  while (next != ranges.end() && next->first <= end) {
    end = std::max(end, next->second);
    next = ranges.erase(next);
  }
  ranges.emplace(begin, end);
}

void ByteSet::remove(int64_t begin, int64_t end) {
  auto it = ranges.upper_bound(begin);
  if (it != ranges.begin())
    --it;
  while (it != ranges.end() && it->first < end) {
    const auto [from, to] = *it;
    if (to <= begin) {
      ++it;
      continue;
    }
    it = ranges.erase(it);
    if (from < begin)
      ranges.emplace(from, begin);
    if (to > end)
      ranges.emplace(end, to);
  }
}

void ByteSet::remove(const ByteSet &other) {
  for (const auto &[begin, end] : other.ranges)
    remove(begin, end);
}

bool ByteSet::contains(int64_t begin, int64_t end) const {
  auto it = ranges.upper_bound(begin);
  return it != ranges.begin() && std::prev(it)->second >= end;
}

namespace {

/// Lists the touches of each kind of instruction.
struct TouchLister {
  const format::Program &program;
  std::vector<Touch> touches;

  void read(uint32_t buffer) { add(buffer, Access::read); }
  void write(uint32_t buffer) { add(buffer, Access::write); }
  void add(uint32_t buffer, Access access) {
    if (buffer != kNone)
      touches.push_back({buffer, access});
  }
  void scratch(uint32_t buffer) {
    if (buffer != kNone)
      touches.push_back({buffer, Access::write, true});
  }

  void operator()(const format::Launch &op) {
    const auto &arguments = program.kernels[op.kernel].arguments;
    for (size_t i = 0; i < op.buffers.size(); ++i)
      add(op.buffers[i], arguments[i].access);
  }
  void operator()(const format::Gemm &op) {
    read(op.a);
    read(op.b);
    add(op.c, op.accumulate ? Access::readWrite : Access::write);
    scratch(op.workspace);
  }
  void operator()(const format::Attention &op) {
    for (uint32_t buffer : {op.q, op.k, op.v, op.queryPositions, op.keyPositions})
      read(buffer);
    write(op.out);
    write(op.lse);
    scratch(op.scratch);
  }
  void operator()(const format::AttentionGrad &op) {
    for (uint32_t buffer :
         {op.q, op.k, op.v, op.queryPositions, op.keyPositions, op.out, op.lse, op.dout})
      read(buffer);
    for (uint32_t buffer : {op.dq, op.dk, op.dv})
      write(buffer);
    scratch(op.scratch);
  }
  void operator()(const format::Embedding &op) {
    read(op.tokens);
    read(op.table);
    read(op.firstRow);
    write(op.out);
  }
  void operator()(const format::EmbeddingGrad &op) {
    read(op.dout);
    read(op.tokens);
    read(op.firstRow);
    add(op.dtable, Access::readWrite);
    scratch(op.scratch);
  }
  void operator()(const format::Fill &op) { write(op.buffer); }
  void operator()(const format::Copy &op) {
    read(op.source);
    write(op.destination);
  }
  void operator()(const format::CheckFinite &op) {
    for (uint32_t buffer : op.values)
      read(buffer);
    write(op.flag);
  }
  void operator()(const format::Start &op) {
    for (uint32_t buffer : op.sources)
      read(buffer);
    for (uint32_t buffer : op.destinations)
      write(buffer);
  }
  void operator()(const format::Await &) {}
};

} // namespace

std::vector<Touch> touchesOf(const format::Program &program,
                             const format::Instruction &instruction) {
  TouchLister lister{program, {}};
  std::visit(lister, instruction);
  return std::move(lister.touches);
}

// Runs of adjacent elements, numbered by the outer dimensions.
void addBytes(ByteSet &set, int64_t offset, const format::View &view) {
  const int64_t element = byteSize(view.type);
  int64_t run = 1;
  int outer = view.rank;
  for (; outer > 0 && (view.shape[outer - 1] == 1 || view.strides[outer - 1] == run); --outer)
    run *= view.shape[outer - 1];
  std::array<int64_t, format::kMaxRank> index{};
  for (;;) {
    int64_t at = 0;
    for (int i = 0; i < outer; ++i)
      at += index[i] * view.strides[i];
    set.add(offset + at * element, offset + (at + run) * element);
    int dimension = outer - 1;
    for (; dimension >= 0 && ++index[dimension] == view.shape[dimension]; --dimension)
      index[dimension] = 0;
    if (dimension < 0)
      return;
  }
}

std::vector<ByteSet> deadAfterEach(const format::Program &program, const format::Function &function,
                                   uint32_t segment, int rank) {
  std::vector<ByteSet> dead(function.instructions.size());
  ByteSet live;
  for (size_t i = function.instructions.size(); i-- > 0;) {
    ByteSet reads, writes, touched;
    // Until it is awaited a collective reads its sources and writes its destinations.
    const auto *await = std::get_if<format::Await>(&function.instructions[i]);
    const size_t touching = await ? await->start : i;
    for (const Touch &touch : touchesOf(program, function.instructions[touching])) {
      const format::Buffer &buffer = function.buffers[touch.buffer];
      if (buffer.place.segment != segment || buffer.place.residualClass != kNone)
        continue;
      const int64_t offset = buffer.place.offset + rotationOffset(buffer, program.mesh, rank);
      addBytes(touched, offset, buffer.view);
      if (await || touch.access != Access::write)
        addBytes(reads, offset, buffer.view);
      if (!await && touch.access != Access::read)
        addBytes(writes, offset, buffer.view);
    }
    dead[i] = touched;
    dead[i].remove(live);
    live.remove(writes);
    for (const auto &[begin, end] : reads.all())
      live.add(begin, end);
  }
  return dead;
}

} // namespace titan
