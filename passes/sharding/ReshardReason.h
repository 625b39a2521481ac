// Why a reshard is there, for people who read the IR.
#pragma once

#include "passes/sharding/NodeSplits.h"

namespace titan::sharding {

/// `operand 0 of 'einsum' needs dimension 1 whole: 'tp' splits dimension 0 of operand 1`.
std::string explainOperand(const PropagationGraph &graph, unsigned node, unsigned operand,
                           const NodeSplits &splits, const Sharding &from, const Sharding &to);

/// `result 0 of 'embedding' is fixed as [{dp}, {tp}, {}]`.
std::string explainResult(const PropagationGraph &graph, unsigned node, unsigned result,
                          const Sharding &to);

/// `'gradient.norm.weight' is kept as [{}] flat {dp_shard}`.
std::string explainSink(const PropagationGraph &graph, const Sink &sink, const Sharding &to);

} // namespace titan::sharding
