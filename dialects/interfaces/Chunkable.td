#ifndef TITAN_INTERFACES_CHUNKABLE_TD
#define TITAN_INTERFACES_CHUNKABLE_TD

include "mlir/IR/OpBase.td"

def Titan_ChunkableOpInterface : OpInterface<"ChunkableOpInterface"> {
  let cppNamespace = "::titan";
  let description = [{
    An op with a large intermediate value that can be computed in chunks of its tokens, such as the
    logits inside the head and cross entropy. titan-chunk-loss asks it to unroll itself.
  }];
  let methods = [
    InterfaceMethod<"The number of tokens that can be divided into chunks.",
      "int64_t", "getNumTokens">,
    InterfaceMethod<[{
        Builds the op over consecutive chunks of at most ceil(tokens / chunks) tokens at the
        insertion point, each chunk's large intermediate dead before the next one's begins; returns
        one value per result.
      }],
      "::llvm::SmallVector<::mlir::Value>", "unrollChunks",
      (ins "::mlir::OpBuilder &":$builder, "int64_t":$chunks)>,
  ];
}

#endif
