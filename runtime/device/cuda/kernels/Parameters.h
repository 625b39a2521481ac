// The structs that the kernels of this folder are given, for both sides.
#pragma once

namespace titan::gpu {

/// Of strided views: elements, not bytes; dimension 0 is the outermost.
struct StridedShape {
  static constexpr int kRank = 6;
  long count; ///< elements in all
  int rank;
  long shape[kRank];
  long from[kRank]; ///< strides of the source
  long to[kRank];   ///< strides of the destination
};

struct EmbeddingShape {
  long tokens, width; ///< tokens, elements of a row
  long rows;          ///< of the table
  long tableStride, rowStride;
};

/// Of tensors [batch, sequence, heads, dim], whose elements along `dim` are adjacent.
struct AttentionStrides {
  long batch, sequence, head;
};

struct AttentionShape {
  long batch, queries, keys, heads, kvHeads, dim;
  float scale;
  int causal;
  AttentionStrides q, k, v, out, dout, dq, dk, dv;
};

/// The widest head that the kernels of attention take, in elements.
inline constexpr int kMaxHeadDim = 256;

/// Warps of a block of attention without tensor cores, and rows of each, for heads of up to 64, 128
/// or 256 elements: what their rows and a tile leave of 48 KB of shared memory.
inline constexpr int kAttentionWarps = 4;
constexpr int attentionRows(int dim) { return dim <= 64 ? 8 : dim <= 128 ? 4 : 1; }

} // namespace titan::gpu
