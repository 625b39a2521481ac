// XXH64, the 64-bit hash of https://github.com/Cyan4973/xxHash (doc/xxhash_spec.md): a checksum
// that keeps up with memory. Not for adversaries.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace titan {

/// Hashes bytes given in pieces; equal bytes give equal digests however they are cut.
class Hasher {
public:
  explicit Hasher(uint64_t seed = 0);

  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }
  /// The value's 8 bytes, little endian.
  void update(uint64_t value);
  /// Of all bytes so far; more may follow.
  uint64_t digest() const;

private:
  void consume(const std::byte *stripe);

  uint64_t seed;
  std::array<uint64_t, 4> lanes;
  std::array<std::byte, 32> pending;
  uint64_t total = 0;
};

uint64_t hash64(std::span<const std::byte> bytes, uint64_t seed = 0);
uint64_t hash64(std::string_view text, uint64_t seed = 0);

} // namespace titan
