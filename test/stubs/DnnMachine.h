// Operation graphs of cuDNN: as text, and run on the host.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace titan::stub {

struct DnnTensorInfo {
  int64_t id = 0, alignment = 0;
  int type = 0;
  std::array<int64_t, 4> shape{}, strides{};
  bool isVirtual = false, isByValue = false;

  bool operator==(const DnnTensorInfo &) const = default;
  /// Elements from the first to the last.
  int64_t span() const;
  int64_t bytes() const;
};

enum class DnnOperationKind { pointwise, matmul, reduce, reshape };

/// `inputs` are X, B and T of a pointwise operation, A and B of a product.
struct DnnOperationInfo {
  DnnOperationKind kind = DnnOperationKind::pointwise;
  int mode = 0, precision = 0;
  int64_t axis = -1;
  std::vector<DnnTensorInfo> inputs;
  DnnTensorInfo output;
};

using DnnGraphInfo = std::vector<DnnOperationInfo>;

/// A line for each operation. Tensors are numbered as they appear, and described where they first
/// do; ids are left out.
std::string describe(const DnnGraphInfo &graph);

/// Why operations do not fit each other; empty if they do.
std::string check(const DnnGraphInfo &graph);

/// Runs it. `memory` has the addresses of tensors that are not virtual, by id.
void run(const DnnGraphInfo &graph, const std::map<int64_t, void *> &memory);

} // namespace titan::stub
