// The modes of titan-rematerialize; Passes.td describes them.
#pragma once

namespace titan {

/// How titan-rematerialize chooses.
enum class RematMode {
  none,      ///< only pointwise functions run again
  full,      ///< every layer keeps its input alone
  selective, ///< every N-th layer keeps its input alone, the others as with `none`
  perOp,     ///< the ops say what is kept (CostOpInterface)
  budget,    ///< the least work within a share of the bytes
  limit,     ///< the least work within a number of bytes of a rank
};

} // namespace titan
