// Initial values of variables: each element is a function of the seed, the variable's name and the
// element's index, so that every mesh starts from the same values.
#pragma once

#include "runtime/format/Program.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace titan {

/// Writes elements of one variable. Cheap to copy; safe to use from several threads.
class InitialValues {
public:
  InitialValues(const format::Variable &variable, uint64_t seed);

  /// Elements [begin, end) of the row-major tensor to `to`, which holds end - begin elements of the
  /// variable's type: f32, bf16 or f64 (supports() says so). A variable without an initializer is
  /// zero.
  void write(int64_t begin, int64_t end, std::byte *to) const;

  static bool supports(DType type);

private:
  double uniform(uint64_t index) const;
  double truncated(int64_t index, double first) const;
  double invertedTruncated(double probability) const;
  double rope(int64_t index) const;
  void writeNormal(int64_t begin, int64_t end, double *to) const;
  void writeNumbers(int64_t begin, int64_t end, double *to) const;

  format::Initializer initializer;
  DType type;
  int64_t columns; ///< of a rotary table
  std::array<uint32_t, 2> key;
  bool rejects = true;         ///< a truncated normal accepts at least half of the attempts
  double below = 0, above = 1; ///< distribution function at its bounds
};

} // namespace titan
