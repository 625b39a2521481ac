// One collective with known data: fills the memory of a rank, and checks what came out to the bit.
#pragma once

#include "runtime/collectives/Communicator.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace titan::test {

inline constexpr DType kAllTypes[] = {
    DType::f32, DType::bf16, DType::f16,     DType::f64,      DType::i32,    DType::i64,
    DType::i8,  DType::u8,   DType::boolean, DType::f8E4M3FN, DType::f8E5M2, DType::f8E8M0FNU};
inline constexpr DType kReducedTypes[] = {DType::f32, DType::bf16, DType::f16,
                                          DType::f64, DType::i32,  DType::i64};

struct CasePair {
  DType type;
  /// Elements of a part for collectives with parts, of the whole for the others.
  int64_t count;
};

struct Case {
  format::Collective collective;
  format::Reduction reduction = format::Reduction::none;
  int peer = -1;
  bool inPlace = false;
  bool bound = false; ///< addresses are relative to a base
  std::vector<CasePair> pairs = {};
  uint64_t seed = 0;

  bool hasReduction() const { return reduction != format::Reduction::none; }
  std::string describe() const;
};

/// Whether source and destination may share memory.
bool canBeInPlace(format::Collective collective);

/// The memory of one rank for one case, with guards around each buffer.
class CaseMemory {
public:
  CaseMemory(const Case &given, int ranks, int rank);

  const CollectiveOperation &operation() const { return collective; }
  /// What start() is given: the base, or nothing.
  std::vector<std::byte *> bases() const;
  /// Sources with their data, everything else with a pattern.
  void fill(uint64_t seed);
  /// What is wrong after the collective, with the data of fill(seed) on all ranks; or empty.
  std::string check(uint64_t seed) const;

private:
  struct Range {
    int64_t offset = -1, count = 0;
  };

  int64_t addRange(int64_t bytes);
  int sourceRankOf(size_t pair, int64_t element, int64_t &sourceElement) const;
  uint64_t expected(size_t pair, int64_t element, uint64_t seed) const;

  Case given;
  int ranks, rank;
  CollectiveOperation collective;
  std::vector<Range> sources, destinations;
  int64_t size = 0; ///< of the memory
  std::shared_ptr<std::byte> memory;
};

} // namespace titan::test
