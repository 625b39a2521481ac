#include "test/conformance/Cases.h"

#include "runtime/collectives/Reduce.h"
#include "test/conformance/Harness.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace titan::test {

using format::Collective;
using format::Reduction;

namespace {

constexpr int64_t kGuardBytes = 64;
constexpr std::byte kGuard{0xa5};

uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// Numbers whose sums are not exact in any of the types.
double randomNumber(uint64_t hash) { return (double(hash % 65536) - 32768) / 3333.3; }

/// The bits of an element of rank's source.
uint64_t sourceBits(DType type, int rank, size_t pair, int64_t element, uint64_t seed) {
  const uint64_t hash = mix(mix(seed * 1000 + uint64_t(rank) * 32 + pair) + uint64_t(element));
  const double number = randomNumber(hash);
  switch (type) {
  case DType::f32:
    return std::bit_cast<uint32_t>(float(number));
  case DType::f64:
    return std::bit_cast<uint64_t>(number);
  case DType::bf16:
    return toBFloat16(float(number));
  case DType::f16:
    return toFloat16(float(number));
  case DType::boolean:
    return hash & 1;
  default:
    return byteSize(type) == 8 ? hash : hash & ((uint64_t(1) << (8 * byteSize(type))) - 1);
  }
}

double numberOf(DType type, uint64_t bits) {
  switch (type) {
  case DType::f32:
    return std::bit_cast<float>(uint32_t(bits));
  case DType::bf16:
    return fromBFloat16(uint16_t(bits));
  case DType::f16:
    return fromFloat16(uint16_t(bits));
  default:
    return std::bit_cast<double>(bits);
  }
}

uint64_t bitsOf(DType type, double number) {
  switch (type) {
  case DType::f32:
    return std::bit_cast<uint32_t>(float(number));
  case DType::bf16:
    return toBFloat16(float(number));
  case DType::f16:
    return toFloat16(float(number));
  default:
    return std::bit_cast<uint64_t>(number);
  }
}

uint64_t combineIntegers(DType type, Reduction reduction, uint64_t a, uint64_t b) {
  if (reduction == Reduction::sum)
    return type == DType::i32 ? uint32_t(a + b) : a + b;
  if (type == DType::i32)
    return int32_t(a) > int32_t(b) ? a : b;
  return int64_t(a) > int64_t(b) ? a : b;
}

double combineFloats(DType type, Reduction reduction, double a, double b) {
  if (reduction == Reduction::max)
    return std::max(a, b);
  return type == DType::f64 ? a + b : double(float(a) + float(b));
}

} // namespace

bool canBeInPlace(Collective collective) {
  return collective == Collective::allGather || collective == Collective::reduceScatter ||
         collective == Collective::allReduce || collective == Collective::broadcast;
}

std::string Case::describe() const {
  std::string text(toString(collective));
  text += hasReduction() ? " " + std::string(toString(reduction)) : "";
  text += peer >= 0 ? " peer " + std::to_string(peer) : "";
  text += inPlace ? " in place" : "";
  text += bound ? " bound" : "";
  for (const CasePair &pair : pairs)
    text += ", " + std::to_string(pair.count) + " " + std::string(toString(pair.type));
  return text;
}

int64_t CaseMemory::addRange(int64_t bytes) {
  const int64_t offset = size;
  size += (bytes + 63) / 64 * 64 + kGuardBytes;
  return offset;
}

CaseMemory::CaseMemory(const Case &given, int ranks, int rank)
    : given(given), ranks(ranks), rank(rank) {
  const Collective kind = given.collective;
  const bool manyFrom = kind == Collective::reduceScatter || kind == Collective::allToAll;
  const bool manyTo = kind == Collective::allGather || kind == Collective::allToAll;
  addRange(0); // a guard in front
  for (const CasePair &pair : given.pairs) {
    Range from{-1, kind == Collective::receive ? 0 : pair.count * (manyFrom ? ranks : 1)};
    Range to{-1, kind == Collective::send ? 0 : pair.count * (manyTo ? ranks : 1)};
    const int64_t element = byteSize(pair.type);
    if (!given.inPlace) {
      from.offset = addRange(from.count * element);
      to.offset = addRange(to.count * element);
    } else if (kind == Collective::reduceScatter) {
      from.offset = addRange(from.count * element);
      to.offset = from.offset + rank * pair.count * element;
    } else {
      to.offset = addRange(to.count * element);
      from.offset = to.offset + (manyTo ? rank * pair.count * element : 0);
    }
    sources.push_back(from);
    destinations.push_back(to);
  }
  memory = allocateMemory(static_cast<size_t>(size));
  collective = {kind, given.reduction, given.peer, {}};
  auto address = [&](const Range &range) {
    return given.bound ? BufferAddress::relative(0, range.offset)
                       : BufferAddress::fixed(memory.get() + range.offset);
  };
  for (size_t i = 0; i < given.pairs.size(); ++i)
    collective.pairs.push_back({given.pairs[i].type, address(sources[i]), address(destinations[i]),
                                sources[i].count, destinations[i].count});
}

std::vector<std::byte *> CaseMemory::bases() const {
  if (!given.bound)
    return {};
  return {memory.get()};
}

void CaseMemory::fill(uint64_t seed) {
  std::fill_n(memory.get(), size, kGuard);
  for (size_t pair = 0; pair < sources.size(); ++pair) {
    const DType type = given.pairs[pair].type;
    for (int64_t i = 0; i < sources[pair].count; ++i) {
      const uint64_t bits = sourceBits(type, rank, pair, i, seed);
      std::memcpy(memory.get() + sources[pair].offset + i * byteSize(type), &bits,
                  size_t(byteSize(type)));
    }
  }
}

int CaseMemory::sourceRankOf(size_t pair, int64_t element, int64_t &sourceElement) const {
  const int64_t count = std::max<int64_t>(given.pairs[pair].count, 1);
  sourceElement = element;
  switch (given.collective) {
  case Collective::allGather:
    sourceElement = element % count;
    return static_cast<int>(element / count);
  case Collective::allToAll:
    sourceElement = rank * count + element % count;
    return static_cast<int>(element / count);
  default:
    return given.peer;
  }
}

uint64_t CaseMemory::expected(size_t pair, int64_t element, uint64_t seed) const {
  const DType type = given.pairs[pair].type;
  if (!given.hasReduction()) {
    int64_t from = 0;
    const int source = sourceRankOf(pair, element, from);
    return sourceBits(type, source, pair, from, seed);
  }
  if (given.collective == Collective::reduceScatter)
    element += rank * given.pairs[pair].count;
  uint64_t bits = sourceBits(type, 0, pair, element, seed);
  if (type == DType::i32 || type == DType::i64) {
    for (int other = 1; other < ranks; ++other)
      bits = combineIntegers(type, given.reduction, bits,
                             sourceBits(type, other, pair, element, seed));
    return bits;
  }
  double number = numberOf(type, bits);
  for (int other = 1; other < ranks; ++other)
    number = combineFloats(type, given.reduction, number,
                           numberOf(type, sourceBits(type, other, pair, element, seed)));
  return bitsOf(type, number);
}

std::string CaseMemory::check(uint64_t seed) const {
  // Everything starts as its last fill left it; the destinations then become what is expected.
  CaseMemory wanted(given, ranks, rank);
  wanted.fill(seed);
  for (size_t pair = 0; pair < destinations.size(); ++pair) {
    const int64_t element = byteSize(given.pairs[pair].type);
    for (int64_t i = 0; i < destinations[pair].count; ++i) {
      const uint64_t bits = expected(pair, i, seed);
      std::memcpy(wanted.memory.get() + destinations[pair].offset + i * element, &bits,
                  size_t(element));
    }
  }
  const auto wrong = std::mismatch(memory.get(), memory.get() + size, wanted.memory.get()).first;
  if (wrong == memory.get() + size)
    return "";
  const int64_t at = wrong - memory.get();
  std::string place = "byte " + std::to_string(at) + " between buffers";
  for (size_t pair = 0; pair < destinations.size(); ++pair)
    for (const auto *ranges : {&sources, &destinations}) {
      const Range &range = (*ranges)[pair];
      const int64_t element = byteSize(given.pairs[pair].type), i = (at - range.offset) / element;
      if (at >= range.offset && i < range.count)
        place = std::string(ranges == &sources ? "source " : "destination ") +
                std::to_string(pair) + ", element " + std::to_string(i);
    }
  return given.describe() + ": rank " + std::to_string(rank) + " of " + std::to_string(ranks) +
         " has a wrong " + place;
}

} // namespace titan::test
