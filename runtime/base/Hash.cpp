#include "runtime/base/Hash.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace titan {
namespace {

constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87;
constexpr uint64_t kPrime2 = 0xC2B2AE3D27D4EB4F;
constexpr uint64_t kPrime3 = 0x165667B19E3779F9;
constexpr uint64_t kPrime4 = 0x85EBCA77C2B2AE63;
constexpr uint64_t kPrime5 = 0x27D4EB2F165667C5;

static_assert(std::endian::native == std::endian::little, "the hash reads words little endian");

template <typename T> T readWord(const std::byte *bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

uint64_t mixLane(uint64_t lane, uint64_t input) {
  return std::rotl(lane + input * kPrime2, 31) * kPrime1;
}

uint64_t mergeLane(uint64_t hash, uint64_t lane) {
  return (hash ^ mixLane(0, lane)) * kPrime1 + kPrime4;
}

} // namespace

Hasher::Hasher(uint64_t seed)
    : seed(seed), lanes{seed + kPrime1 + kPrime2, seed + kPrime2, seed, seed - kPrime1} {}

void Hasher::consume(const std::byte *stripe) {
  for (size_t i = 0; i < lanes.size(); ++i)
    lanes[i] = mixLane(lanes[i], readWord<uint64_t>(stripe + 8 * i));
}

void Hasher::update(std::span<const std::byte> bytes) {
  const size_t filled = total % pending.size();
  total += bytes.size();
  if (filled) {
    const size_t take = std::min(bytes.size(), pending.size() - filled);
    std::copy_n(bytes.begin(), take, pending.begin() + static_cast<ptrdiff_t>(filled));
    bytes = bytes.subspan(take);
    if (filled + take < pending.size())
      return;
    consume(pending.data());
  }
  for (; bytes.size() >= pending.size(); bytes = bytes.subspan(pending.size()))
    consume(bytes.data());
  std::copy(bytes.begin(), bytes.end(), pending.begin());
}

void Hasher::update(uint64_t value) { update(std::as_bytes(std::span(&value, 1))); }

uint64_t Hasher::digest() const {
  uint64_t hash = seed + kPrime5;
  if (total >= pending.size()) {
    hash = std::rotl(lanes[0], 1) + std::rotl(lanes[1], 7) + std::rotl(lanes[2], 12) +
           std::rotl(lanes[3], 18);
    for (uint64_t lane : lanes)
      hash = mergeLane(hash, lane);
  }
  hash += total;
  std::span<const std::byte> tail(pending.data(), total % pending.size());
  for (; tail.size() >= 8; tail = tail.subspan(8))
    hash = std::rotl(hash ^ mixLane(0, readWord<uint64_t>(tail.data())), 27) * kPrime1 + kPrime4;
  if (tail.size() >= 4) {
    hash = std::rotl(hash ^ (readWord<uint32_t>(tail.data()) * kPrime1), 23) * kPrime2 + kPrime3;
    tail = tail.subspan(4);
  }
  for (std::byte byte : tail)
    hash = std::rotl(hash ^ (static_cast<uint64_t>(byte) * kPrime5), 11) * kPrime1;
  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

uint64_t hash64(std::span<const std::byte> bytes, uint64_t seed) {
  Hasher hasher(seed);
  hasher.update(bytes);
  return hasher.digest();
}

uint64_t hash64(std::string_view text, uint64_t seed) {
  return hash64(std::as_bytes(std::span(text)), seed);
}

} // namespace titan
