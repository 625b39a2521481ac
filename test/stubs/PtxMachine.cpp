#include "runtime/base/DType.h"
#include "test/stubs/PtxArithmetic.h"

#include <cmath>
#include <cstring>
#include <tuple>

namespace titan::stub {
namespace {

constexpr uint32_t kWarp = 32;

enum class State : uint8_t { running, atWarp, atBarrier, done };

struct Thread {
  std::vector<uint64_t> registers;
  std::vector<std::byte> local;
  uint32_t special[13];
  uint32_t next = 0;
  State state = State::running;
};

class Block {
public:
  Block(const PtxFunction &function, const PtxLaunch &launch)
      : function(function), launch(launch), shared(function.sharedBytes + launch.dynamicShared),
        found(function.code.size()),
        threads(static_cast<size_t>(launch.block[0]) * launch.block[1] * launch.block[2]) {
    for (Thread &thread : threads) {
      thread.registers.resize(function.registers);
      thread.local.resize(function.localBytes);
    }
  }

  void run(const uint32_t *block);

private:
  void runWarp(size_t first, size_t last);
  void runThread(Thread &thread);
  void step(Thread &thread, const PtxInstruction &it);
  void exchange(size_t first, size_t last);
  void shuffle(const PtxInstruction &it, size_t first, size_t last);
  void loadMatrix(const PtxInstruction &it, size_t first, size_t last);
  void multiplyMatrices(const PtxInstruction &it, size_t first, size_t last);
  std::byte *memory(Thread &thread, const PtxInstruction &it, uint64_t address, uint64_t bytes);

  static uint64_t get(const Thread &thread, const PtxOperand &operand) {
    switch (operand.kind) {
    case PtxOperand::Kind::reg:
      return thread.registers[operand.reg];
    case PtxOperand::Kind::special:
      return thread.special[operand.reg];
    default:
      return operand.immediate;
    }
  }
  static uint64_t addressOf(const Thread &thread, const PtxOperand &operand) {
    return (operand.kind == PtxOperand::Kind::reg ? thread.registers[operand.reg] : 0) +
           operand.immediate;
  }

  const PtxFunction &function;
  const PtxLaunch &launch;
  std::vector<std::byte> shared;
  std::vector<std::pair<uint64_t, uint64_t>> found; ///< by instruction: what it used last
  std::vector<Thread> threads;
};

std::byte *Block::memory(Thread &thread, const PtxInstruction &it, uint64_t address,
                         uint64_t bytes) {
  if (address % bytes != 0)
    fail(it, "an access of " + std::to_string(bytes) + " bytes at an address that is no multiple");
  auto within = [&](auto &data) {
    if (address > data.size() || data.size() - address < bytes)
      fail(it, "an access behind the end of parameters, shared or local memory");
    return const_cast<std::byte *>(reinterpret_cast<const std::byte *>(data.data())) + address;
  };
  switch (it.space) {
  case PtxSpace::param:
    return within(launch.parameters);
  case PtxSpace::shared:
    return within(shared);
  case PtxSpace::local:
    return within(thread.local);
  default:
    // An instruction mostly stays within one allocation.
    auto &[begin, end] = found[static_cast<size_t>(&it - function.code.data())];
    if (address < begin || address >= end)
      std::tie(begin, end) = launch.find(address);
    if (address < begin || end - begin < bytes || address > end - bytes)
      fail(it, "an access of global memory that is not allocated");
    return reinterpret_cast<std::byte *>(address);
  }
}

void Block::step(Thread &thread, const PtxInstruction &it) {
  switch (it.op) {
  case PtxOp::load: {
    const auto element = static_cast<uint64_t>(bytesOf(it.type));
    const std::byte *from =
        memory(thread, it, addressOf(thread, it.operands[0]), element * it.lanes);
    for (size_t i = 0; i < it.to.size(); ++i) {
      uint64_t value = 0;
      std::memcpy(&value, from + i * element, element);
      // Registers may be wider than what is loaded into them.
      if (it.to[i].kind == PtxOperand::Kind::reg)
        thread.registers[it.to[i].reg] =
            isSigned(it.type) ? static_cast<uint64_t>(signExtend(value, it.type)) : value;
    }
    return;
  }
  case PtxOp::store: {
    const auto element = static_cast<uint64_t>(bytesOf(it.type));
    std::byte *to = memory(thread, it, addressOf(thread, it.operands[0]), element * it.lanes);
    for (size_t i = 1; i < it.operands.size(); ++i) {
      const uint64_t value = get(thread, it.operands[i]);
      std::memcpy(to + (i - 1) * element, &value, element);
    }
    return;
  }
  case PtxOp::pack: {
    const uint32_t bits =
        8 * static_cast<uint32_t>(bytesOf(it.type)) / static_cast<uint32_t>(it.operands.size());
    uint64_t value = 0;
    for (size_t i = 0; i < it.operands.size(); ++i)
      value |= (get(thread, it.operands[i]) & ((uint64_t{1} << bits) - 1)) << (bits * i);
    thread.registers[it.to[0].reg] = value;
    return;
  }
  case PtxOp::unpack: {
    const uint32_t bits =
        8 * static_cast<uint32_t>(bytesOf(it.type)) / static_cast<uint32_t>(it.to.size());
    const uint64_t value = get(thread, it.operands[0]);
    for (size_t i = 0; i < it.to.size(); ++i)
      if (it.to[i].kind == PtxOperand::Kind::reg)
        thread.registers[it.to[i].reg] = value >> (bits * i) & ((uint64_t{1} << bits) - 1);
    return;
  }
  default: {
    uint64_t in[3] = {};
    for (size_t i = 0; i < it.operands.size() && i < 3; ++i)
      in[i] = get(thread, it.operands[i]);
    if (it.type == PtxType::f32 && it.op >= PtxOp::add && it.op <= PtxOp::fma) { // most of all
      const float a = asFloat(in[0]), b = asFloat(in[1]);
      thread.registers[it.to[0].reg] =
          bitsOf(it.op == PtxOp::add   ? a + b
                 : it.op == PtxOp::sub ? a - b
                 : it.op == PtxOp::mul ? a * b
                                       : std::fma(a, b, asFloat(in[2])));
      return;
    }
    uint64_t result = arithmetic(it, in);
    const bool isWide = it.op == PtxOp::mulWide || it.op == PtxOp::madWide;
    if (isWide && bytesOf(it.type) == 2)
      result = truncate(result, PtxType::b32);
    else if (!isWide && it.op != PtxOp::setp)
      result = truncate(result, it.type);
    thread.registers[it.to[0].reg] = result;
  }
  }
}

/// Up to the next instruction that needs other threads.
void Block::runThread(Thread &thread) {
  while (true) {
    const PtxInstruction &it = function.code[thread.next];
    if (it.predicate >= 0 &&
        (thread.registers[static_cast<size_t>(it.predicate)] != 0) == it.predicateNegated) {
      ++thread.next;
      continue;
    }
    switch (it.op) {
    case PtxOp::branch:
      thread.next = it.target;
      continue;
    case PtxOp::branchIndexed: {
      const uint64_t index = thread.registers[it.operands[0].reg] & 0xffffffff;
      if (index >= it.targets.size())
        throw std::runtime_error("line " + std::to_string(it.line) + ": no branch target " +
                                 std::to_string(index));
      thread.next = it.targets[index];
      continue;
    }
    case PtxOp::exit:
      thread.state = State::done;
      return;
    case PtxOp::barrier:
      thread.state = State::atBarrier;
      return;
    case PtxOp::warpSync:
    case PtxOp::shuffleXor:
    case PtxOp::shuffleIndex:
    case PtxOp::loadMatrix:
    case PtxOp::mma:
      thread.state = State::atWarp;
      return;
    default:
      step(thread, it);
      ++thread.next;
    }
  }
}

void Block::shuffle(const PtxInstruction &it, size_t first, size_t last) {
  uint64_t values[kWarp];
  for (size_t i = first; i < last; ++i) {
    const auto lane = static_cast<uint32_t>(i - first);
    const auto other = static_cast<uint32_t>(get(threads[i], it.operands[1]));
    const uint32_t from = it.op == PtxOp::shuffleXor ? lane ^ other : other % kWarp;
    if (from >= last - first || threads[first + from].state != State::atWarp)
      fail(it, "a shuffle from a lane that does not take part");
    values[lane] = get(threads[first + from], it.operands[0]);
  }
  for (size_t i = first; i < last; ++i)
    threads[i].registers[it.to[0].reg] = values[i - first];
}

// Lane l of group m gives the address of row l of matrix m; the lane 4 r + c gets elements 2 c and
// 2 c + 1 of row r, or of column r when transposed.
void Block::loadMatrix(const PtxInstruction &it, size_t first, size_t last) {
  if (last - first != kWarp)
    fail(it, "a matrix load in a warp that is not whole");
  for (uint32_t m = 0; m < it.lanes; ++m) {
    uint16_t matrix[8][8];
    for (uint32_t row = 0; row < 8; ++row) {
      Thread &source = threads[first + 8 * m + row];
      std::memcpy(matrix[row], memory(source, it, addressOf(source, it.operands[0]), 16), 16);
    }
    for (uint32_t lane = 0; lane < kWarp; ++lane) {
      const uint32_t r = lane / 4, c = 2 * (lane % 4);
      const uint64_t low = it.transposed ? matrix[c][r] : matrix[r][c];
      const uint64_t high = it.transposed ? matrix[c + 1][r] : matrix[r][c + 1];
      threads[first + lane].registers[it.to[m].reg] = high << 16 | low;
    }
  }
}

// m16n8k16, bf16 in, float32 out: D = A B + C.
void Block::multiplyMatrices(const PtxInstruction &it, size_t first, size_t last) {
  if (last - first != kWarp)
    fail(it, "a matrix product in a warp that is not whole");
  float a[16][16], b[16][8], c[16][8];
  auto half = [&](uint32_t lane, size_t operand, int part) {
    return fromBFloat16(
        static_cast<uint16_t>(get(threads[first + lane], it.operands[operand]) >> (16 * part)));
  };
  for (uint32_t lane = 0; lane < kWarp; ++lane) {
    const uint32_t group = lane / 4, pair = 2 * (lane % 4);
    for (int part = 0; part < 2; ++part) {
      const uint32_t at = pair + static_cast<uint32_t>(part);
      a[group][at] = half(lane, 0, part);
      a[group + 8][at] = half(lane, 1, part);
      a[group][at + 8] = half(lane, 2, part);
      a[group + 8][at + 8] = half(lane, 3, part);
      b[at][group] = half(lane, 4, part);
      b[at + 8][group] = half(lane, 5, part);
      c[group][at] =
          asFloat(get(threads[first + lane], it.operands[6 + static_cast<size_t>(part)]));
      c[group + 8][at] =
          asFloat(get(threads[first + lane], it.operands[8 + static_cast<size_t>(part)]));
    }
  }
  for (uint32_t lane = 0; lane < kWarp; ++lane)
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
      float sum = c[row][column];
      for (int k = 0; k < 16; ++k)
        sum += a[row][k] * b[k][column];
      threads[first + lane].registers[it.to[i].reg] = bitsOf(sum);
    }
}

/// All threads of the warp that are not done have met at one instruction.
void Block::exchange(size_t first, size_t last) {
  size_t leader = first;
  while (threads[leader].state == State::done)
    ++leader;
  const uint32_t at = threads[leader].next;
  const PtxInstruction &it = function.code[at];
  for (size_t i = first; i < last; ++i)
    if (threads[i].state != State::done && threads[i].next != at)
      fail(it, "threads of a warp wait for each other at different instructions");
  if (it.op == PtxOp::shuffleXor || it.op == PtxOp::shuffleIndex)
    shuffle(it, first, last);
  else if (it.op == PtxOp::loadMatrix)
    loadMatrix(it, first, last);
  else if (it.op == PtxOp::mma)
    multiplyMatrices(it, first, last);
  for (size_t i = first; i < last; ++i)
    if (threads[i].state == State::atWarp) {
      threads[i].state = State::running;
      ++threads[i].next;
    }
}

/// Up to the next barrier of the block.
void Block::runWarp(size_t first, size_t last) {
  while (true) {
    size_t waiting = 0, others = 0;
    for (size_t i = first; i < last; ++i) {
      if (threads[i].state == State::running)
        runThread(threads[i]);
      waiting += threads[i].state == State::atWarp;
      others += threads[i].state == State::atBarrier;
    }
    if (waiting == 0)
      return;
    if (others > 0)
      fail(function.code[threads[first].next], "some threads of a warp wait for the block");
    exchange(first, last);
  }
}

void Block::run(const uint32_t *block) {
  std::fill(shared.begin(), shared.end(), std::byte{0xff});
  for (size_t i = 0; i < threads.size(); ++i) {
    Thread &thread = threads[i];
    thread.next = 0;
    thread.state = State::running;
    const auto number = static_cast<uint32_t>(i);
    thread.special[0] = number % launch.block[0];
    thread.special[1] = number / launch.block[0] % launch.block[1];
    thread.special[2] = number / launch.block[0] / launch.block[1];
    for (int d = 0; d < 3; ++d) {
      thread.special[3 + d] = launch.block[d];
      thread.special[6 + d] = block[d];
      thread.special[9 + d] = launch.grid[d];
    }
    thread.special[12] = number % kWarp;
  }
  while (true) {
    for (size_t first = 0; first < threads.size(); first += kWarp)
      runWarp(first, std::min(threads.size(), first + kWarp));
    bool isDone = true;
    for (Thread &thread : threads)
      if (thread.state == State::atBarrier) {
        isDone = false;
        thread.state = State::running;
        ++thread.next;
      }
    if (isDone)
      return;
  }
}

} // namespace

void runPtx(const PtxFunction &function, const PtxLaunch &launch) {
  if (launch.parameters.size() != function.parameterBytes)
    throw std::runtime_error("the kernel's parameters have another size");
  Block block(function, launch);
  for (uint32_t z = 0; z < launch.grid[2]; ++z)
    for (uint32_t y = 0; y < launch.grid[1]; ++y)
      for (uint32_t x = 0; x < launch.grid[0]; ++x) {
        const uint32_t number[] = {x, y, z};
        block.run(number);
      }
}

} // namespace titan::stub
