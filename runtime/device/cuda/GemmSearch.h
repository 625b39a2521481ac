// Which algorithm of cuBLASLt a matrix product uses.
//
// cuBLASLt's heuristic ranks its algorithms without running them. The search runs the first of them
// on random data and takes the fastest, once for each problem: one rank searches and tells the
// others, so that all add in the same order, and keeps what it found in a folder, a file for each
// problem. A file holds for one GPU and one version of the library; one that is damaged, or that
// the library refuses, is ignored.
#pragma once

#include "runtime/device/cuda/BlasLt.h"

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace titan::cuda {

class CudaDevice;

/// The matrices of a product, at the addresses that it will use.
struct GemmOperands {
  std::byte *first = nullptr, *second = nullptr, *result = nullptr;
};

/// The text of a file, and back; nothing if the text is damaged or for another key. Keys have one
/// line.
std::string writeGemmChoice(const std::string &key, const LtChoice &choice);
std::optional<LtChoice> readGemmChoice(std::string_view text, const std::string &key);

class GemmSearch {
public:
  /// The device outlives the search, and is as far as its library.
  explicit GemmSearch(CudaDevice &device) : device(device) {}

  /// The fastest plan. Without GpuOptions::searchesGemms that which the heuristic names first;
  /// with it, the operands are written, and zero afterwards.
  StatusOr<std::unique_ptr<LtPlan>> plan(const LtProblem &problem, const GemmOperands &operands);

private:
  StatusOr<LtChoice> find(const LtProblem &problem, const GemmOperands &operands,
                          const std::string &key);
  StatusOr<LtChoice> readOrMeasure(const LtProblem &problem, const GemmOperands &operands,
                                   const std::string &key);
  StatusOr<LtChoice> measure(const LtProblem &problem, const GemmOperands &operands);
  std::string keyOf(const LtProblem &problem) const;
  std::filesystem::path fileOf(const std::string &key) const;
  void note(const std::string &text) const;

  CudaDevice &device;
  std::map<std::string, LtChoice> known; ///< by key
  int measured = 0;
};

} // namespace titan::cuda
