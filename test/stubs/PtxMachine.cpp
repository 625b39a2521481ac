#include "test/stubs/BFloat16.h"
#include "test/stubs/Ptx.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <tuple>

namespace titan::stub {
namespace {

constexpr uint32_t kWarp = 32;

bool isSigned(PtxType type) { return type >= PtxType::s8 && type <= PtxType::s64; }
bool isFloat(PtxType type) { return type >= PtxType::f16 && type <= PtxType::f64; }

uint64_t truncate(uint64_t value, PtxType type) {
  const int bits = 8 * bytesOf(type);
  return bits == 64 ? value : value & ((uint64_t{1} << bits) - 1);
}

int64_t signExtend(uint64_t value, PtxType type) {
  const int bits = 8 * bytesOf(type);
  return bits == 64 ? static_cast<int64_t>(value)
                    : static_cast<int64_t>(value << (64 - bits)) >> (64 - bits);
}

float asFloat(uint64_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits)); }
uint64_t bitsOf(float value) { return std::bit_cast<uint32_t>(value); }

float fromHalf(uint16_t bits) { return static_cast<float>(std::bit_cast<_Float16>(bits)); }

/// The value of a number's bits.
double decode(uint64_t bits, PtxType type) {
  switch (type) {
  case PtxType::f32:
    return static_cast<double>(asFloat(bits));
  case PtxType::f64:
    return std::bit_cast<double>(bits);
  case PtxType::bf16:
    return static_cast<double>(fromBFloat16(static_cast<uint16_t>(bits)));
  case PtxType::f16:
    return static_cast<double>(fromHalf(static_cast<uint16_t>(bits)));
  default:
    return isSigned(type) ? static_cast<double>(signExtend(bits, type))
                          : static_cast<double>(truncate(bits, type));
  }
}

uint64_t encodeFloat(double value, PtxType type) {
  switch (type) {
  case PtxType::f64:
    return std::bit_cast<uint64_t>(value);
  case PtxType::bf16:
    return toBFloat16(static_cast<float>(value));
  case PtxType::f16:
    return std::bit_cast<uint16_t>(static_cast<_Float16>(value));
  default:
    return bitsOf(static_cast<float>(value));
  }
}

uint64_t toInteger(double value, PtxType type) {
  if (std::isnan(value))
    return 0;
  const int bits = 8 * bytesOf(type);
  const double low = isSigned(type) ? -std::ldexp(1.0, bits - 1) : 0;
  const double high = std::ldexp(1.0, isSigned(type) ? bits - 1 : bits);
  if (value <= low)
    return truncate(static_cast<uint64_t>(static_cast<int64_t>(low)), type);
  if (value >= high)
    return isSigned(type) ? (uint64_t{1} << (bits - 1)) - 1 : truncate(~uint64_t{0}, type);
  return truncate(isSigned(type) ? static_cast<uint64_t>(static_cast<int64_t>(value))
                                 : static_cast<uint64_t>(value),
                  type);
}

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
  [[noreturn]] void fail(const PtxInstruction &it, const std::string &why) const {
    throw std::runtime_error("line " + std::to_string(it.line) + ": " + why);
  }
  void runWarp(size_t first, size_t last);
  void runThread(Thread &thread);
  void step(Thread &thread, const PtxInstruction &it);
  void exchange(size_t first, size_t last);
  void shuffle(const PtxInstruction &it, size_t first, size_t last);
  void loadMatrix(const PtxInstruction &it, size_t first, size_t last);
  void multiplyMatrices(const PtxInstruction &it, size_t first, size_t last);
  std::byte *memory(Thread &thread, const PtxInstruction &it, uint64_t address, uint64_t bytes);
  uint64_t convert(const PtxInstruction &it, uint64_t a, uint64_t b) const;
  uint64_t arithmetic(const PtxInstruction &it, const uint64_t *in) const;
  uint64_t floatArithmetic(const PtxInstruction &it, const uint64_t *in) const;
  uint64_t integerArithmetic(const PtxInstruction &it, const uint64_t *in) const;
  bool compare(const PtxInstruction &it, uint64_t a, uint64_t b) const;

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

bool Block::compare(const PtxInstruction &it, uint64_t a, uint64_t b) const {
  auto test = [&](auto x, auto y) {
    switch (it.compare) {
    case PtxCompare::eq:
      return x == y;
    case PtxCompare::ne:
      return x != y;
    case PtxCompare::lt:
      return x < y;
    case PtxCompare::le:
      return x <= y;
    case PtxCompare::gt:
      return x > y;
    default:
      return x >= y;
    }
  };
  if (isFloat(it.type)) {
    const double x = decode(a, it.type), y = decode(b, it.type);
    if (std::isnan(x) || std::isnan(y))
      return it.unordered || it.compare == PtxCompare::nan;
    if (it.compare == PtxCompare::nan || it.compare == PtxCompare::num)
      return it.compare == PtxCompare::num;
    return test(x, y);
  }
  return isSigned(it.type) ? test(signExtend(a, it.type), signExtend(b, it.type))
                           : test(truncate(a, it.type), truncate(b, it.type));
}

uint64_t Block::convert(const PtxInstruction &it, uint64_t a, uint64_t b) const {
  if (it.type == PtxType::bf16x2)
    return uint64_t{toBFloat16(asFloat(a))} << 16 | toBFloat16(asFloat(b));
  if (!isFloat(it.type) && !isFloat(it.from))
    return truncate(isSigned(it.from) ? static_cast<uint64_t>(signExtend(a, it.from))
                                      : truncate(a, it.from),
                    it.type);
  double value = decode(a, it.from);
  if (it.toInteger)
    value = it.towardsZero ? std::trunc(value) : std::nearbyint(value);
  return isFloat(it.type) ? encodeFloat(value, it.type) : toInteger(value, it.type);
}

uint64_t Block::floatArithmetic(const PtxInstruction &it, const uint64_t *in) const {
  if (it.type == PtxType::f64)
    fail(it, "no arithmetic in float64");
  const float a = static_cast<float>(decode(in[0], it.type)),
              b = static_cast<float>(decode(in[1], it.type)),
              c = static_cast<float>(decode(in[2], it.type));
  const auto wide = static_cast<double>(a);
  double result = 0;
  if (it.keepsNan && (std::isnan(a) || std::isnan(b)))
    return encodeFloat(std::numeric_limits<double>::quiet_NaN(), it.type);
  switch (it.op) {
  case PtxOp::add:
    result = static_cast<double>(a + b);
    break;
  case PtxOp::sub:
    result = static_cast<double>(a - b);
    break;
  case PtxOp::mul:
    result = static_cast<double>(a * b);
    break;
  case PtxOp::fma:
    result = static_cast<double>(std::fma(a, b, c));
    break;
  case PtxOp::div:
    result = static_cast<double>(a / b);
    break;
  case PtxOp::min:
    result = static_cast<double>(std::fmin(a, b));
    break;
  case PtxOp::max:
    result = static_cast<double>(std::fmax(a, b));
    break;
  case PtxOp::rcp:
    result = 1 / wide;
    break;
  case PtxOp::sqrt:
    result = std::sqrt(wide);
    break;
  case PtxOp::rsqrt:
    result = 1 / std::sqrt(wide);
    break;
  case PtxOp::ex2:
    result = std::exp2(wide);
    break;
  case PtxOp::lg2:
    result = std::log2(wide);
    break;
  default:
    fail(it, "no such instruction for floating point");
  }
  return encodeFloat(result, it.type);
}

uint64_t Block::integerArithmetic(const PtxInstruction &it, const uint64_t *in) const {
  const PtxType type = it.type;
  const bool negative = isSigned(type);
  const uint64_t a =
      negative ? static_cast<uint64_t>(signExtend(in[0], type)) : truncate(in[0], type);
  const uint64_t b =
      negative ? static_cast<uint64_t>(signExtend(in[1], type)) : truncate(in[1], type);
  const auto x = static_cast<int64_t>(a), y = static_cast<int64_t>(b);
  switch (it.op) {
  case PtxOp::add:
    return a + b;
  case PtxOp::sub:
    return a - b;
  case PtxOp::mul:
  case PtxOp::mulWide:
    return a * b;
  case PtxOp::mulHigh: {
    const int bits = 8 * bytesOf(type);
    return negative ? static_cast<uint64_t>((static_cast<__int128>(x) * y) >> bits)
                    : static_cast<uint64_t>((static_cast<unsigned __int128>(a) * b) >> bits);
  }
  case PtxOp::mad:
  case PtxOp::madWide:
    return a * b + in[2];
  case PtxOp::div:
  case PtxOp::rem:
    if (b == 0)
      fail(it, "a division by zero");
    if (it.op == PtxOp::div)
      return negative ? static_cast<uint64_t>(x / y) : a / b;
    return negative ? static_cast<uint64_t>(x % y) : a % b;
  case PtxOp::min:
    return negative ? static_cast<uint64_t>(std::min(x, y)) : std::min(a, b);
  case PtxOp::max:
    return negative ? static_cast<uint64_t>(std::max(x, y)) : std::max(a, b);
  case PtxOp::neg:
    return -a;
  case PtxOp::abs:
    return static_cast<uint64_t>(std::abs(x));
  default:
    fail(it, "no such instruction for integers");
  }
}

uint64_t Block::arithmetic(const PtxInstruction &it, const uint64_t *in) const {
  const auto amount = static_cast<uint32_t>(in[1]);
  const auto bits = static_cast<uint32_t>(8 * bytesOf(it.type));
  switch (it.op) {
  case PtxOp::mov:
    return in[0];
  case PtxOp::bitAnd:
    return in[0] & in[1];
  case PtxOp::bitOr:
    return in[0] | in[1];
  case PtxOp::bitXor:
    return in[0] ^ in[1];
  case PtxOp::bitNot:
    return it.type == PtxType::pred ? !in[0] : ~in[0];
  case PtxOp::shl:
    return amount >= bits ? 0 : in[0] << amount;
  case PtxOp::shr:
    if (isSigned(it.type))
      return static_cast<uint64_t>(signExtend(in[0], it.type) >> std::min(amount, bits - 1));
    return amount >= bits ? 0 : truncate(in[0], it.type) >> amount;
  case PtxOp::extract:
    if (isSigned(it.type) || in[1] + in[2] > bits)
      fail(it, "a bit field of signed numbers, or one that is too long");
    return truncate(in[0], it.type) >> in[1] & ((uint64_t{1} << in[2]) - 1);
  case PtxOp::selp:
    return in[2] ? in[0] : in[1];
  case PtxOp::setp:
    return compare(it, in[0], in[1]);
  case PtxOp::convert:
    return convert(it, in[0], in[1]);
  case PtxOp::prmt: {
    const uint64_t both = (in[0] & 0xffffffff) | in[1] << 32;
    uint64_t result = 0;
    for (int i = 0; i < 4; ++i) {
      const uint64_t selector = in[2] >> (4 * i) & 0xf;
      uint64_t byte = both >> (8 * (selector & 7)) & 0xff;
      if (selector & 8)
        byte = byte & 0x80 ? 0xff : 0;
      result |= byte << (8 * i);
    }
    return result;
  }
  case PtxOp::neg:
    if (isFloat(it.type))
      return in[0] ^ (uint64_t{1} << (bits - 1));
    break;
  case PtxOp::abs:
    if (isFloat(it.type))
      return in[0] & ~(uint64_t{1} << (bits - 1));
    break;
  default:
    break;
  }
  return isFloat(it.type) ? floatArithmetic(it, in) : integerArithmetic(it, in);
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
  std::memset(shared.data(), 0xff, shared.size());
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
