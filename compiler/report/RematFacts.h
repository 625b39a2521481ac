// What is kept for the backward and what is computed again, and what else could have been chosen.
#pragma once

#include "passes/Passes.h"
#include "passes/memory/RematFrontier.h"

#include "mlir/IR/BuiltinOps.h"

#include <optional>
#include <string>
#include <vector>

namespace titan {

struct RematFacts {
  /// Equal tensors or ops of several layers, whose source names differ in numbers only.
  struct Item {
    std::string name; ///< "layers.N.attention.wq: einsum"
    int64_t count = 0;
    int64_t amount = 0; ///< of all: bytes of one microbatch, or work
  };
  /// The stages of a pipeline rank, or the whole model.
  struct Rank {
    std::optional<int64_t> rank;
    double work = 0; ///< of a microbatch, forward and backward, if nothing ran twice
    RematFrontier::Point none = {}, chosen = {};
    std::vector<RematFrontier::Point> range = {}; ///< from the mode none to the least bytes
    std::vector<Item> kept = {}, rerun = {};      ///< most first
    int64_t einsumFlops = 0;                      ///< of the einsums that run again
    /// What time a plan adds, as a share of `work`.
    double slowDown(const RematFrontier::Point &point) const {
      return work > 0 ? static_cast<double>(point.work) / work : 0;
    }
  };
  /// Bytes are those of all microbatches in flight, work that of one microbatch (OpWork.h).
  std::vector<Rank> ranks;
  bool isEmpty() const { return ranks.empty(); }
};

/// From a module of the phase `device`, and how titan-rematerialize is going to choose in it.
mlir::FailureOr<RematFacts> collectRematFacts(mlir::ModuleOp device,
                                              const RematerializeOptions &options);

} // namespace titan
