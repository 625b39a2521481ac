// Finds where the first infinite value, or value that is no number, came from.
#pragma once

#include "runtime/exec/Executor.h"

#include <optional>
#include <string>

namespace titan {

/// Runs a step again, instruction by instruction, and looks at all that each one writes. The state
/// must be that before the step, which a step that is not finite leaves as it was. Example of what
/// it finds:
///   parameter 'layers.1.feed_forward.w2.weight' is inf at [0, 0], read by instruction 31 (gemm)
///   of function 'fwd'
///   instruction 12 (launch of kernel 'k3') of function 'fwd' writes nan at [0, 5, 7] of a buffer
///   f32 4x32x96; parameters used last: 'layers.0.feed_forward.w1.weight'
class NonFiniteSearch {
public:
  /// The search ends, without a finding, at the instruction of an epilogue that writes the variable
  /// `flag`, so that nothing that depends on it changes. With `toTheEnd` it ends there only: where
  /// other ranks take part in the step, all have to run the same.
  NonFiniteSearch(Executor &executor, std::string_view flag, bool toTheEnd = false);

  /// Runs one section. Returns whether there is something to run after it: false once the flag is
  /// written or something is found.
  StatusOr<bool> run(uint32_t timeline, Section section);

  /// What was found first; empty if nothing was.
  const std::string &found() const { return finding; }

private:
  struct BadElement {
    std::array<int64_t, format::kMaxRank> index{};
    const std::byte *address = nullptr;
    double value = 0;
  };

  StatusOr<bool> inspect(const ExecutedInstruction &done, Section section);
  StatusOr<std::optional<BadElement>> firstBad(const Operand &operand) const;
  StatusOr<bool> nameInput(const ExecutedInstruction &done);
  const format::Variable *variableAt(const std::byte *address) const;
  void rememberParameters(const ExecutedInstruction &done);

  Executor &executor;
  std::vector<VariableRef> variables; ///< every one, in every slot
  const std::byte *flag = nullptr;
  bool toTheEnd;
  std::string lastParameters; ///< or their copies, those that an instruction read last
  std::string finding;
};

} // namespace titan
