// PTX on the CPU: what the stub of NVIDIA's driver runs kernels with, in place of a GPU.
//
// The threads of a block run one after another, each up to the next barrier or exchange within its
// warp. Every access is checked: it must lie within memory that the launch may use, and be aligned
// to its size, as a GPU demands. Shared memory starts as NaN. Approximate instructions are computed
// exactly and rounded to float32. Instructions that LLVM does not generate for Titan's kernels are
// unknown, and loading them fails.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace titan::stub {

enum class PtxType : uint8_t {
  b8,
  b16,
  b32,
  b64,
  u8,
  u16,
  u32,
  u64,
  s8,
  s16,
  s32,
  s64,
  f16,
  bf16,
  bf16x2,
  f32,
  f64,
  pred
};

int bytesOf(PtxType type);

enum class PtxOp : uint8_t {
  mov,
  pack,
  unpack,
  load,
  store,
  add,
  sub,
  mul,
  mulHigh,
  mulWide,
  mad,
  madWide,
  fma,
  div,
  rem,
  min,
  max,
  neg,
  abs,
  rcp,
  sqrt,
  rsqrt,
  ex2,
  lg2,
  setp,
  selp,
  bitAnd,
  bitOr,
  bitXor,
  bitNot,
  shl,
  shr,
  extract,
  prmt,
  convert,
  branch,
  branchIndexed,
  exit,
  barrier,
  warpSync,
  shuffleXor,
  shuffleIndex,
  loadMatrix,
  mma
};

enum class PtxCompare : uint8_t { eq, ne, lt, le, gt, ge, nan, num };
enum class PtxSpace : uint8_t { param, global, shared, local };

struct PtxOperand {
  enum class Kind : uint8_t { none, reg, immediate, special } kind = Kind::none;
  uint32_t reg = 0;       ///< or the number of the special register
  uint64_t immediate = 0; ///< also what is added to the register of an address
};

struct PtxInstruction {
  PtxOp op = PtxOp::exit;
  PtxType type = PtxType::b32, from = PtxType::b32; ///< of a conversion, or of what setp compares
  PtxCompare compare = PtxCompare::eq;
  bool unordered = false; ///< a NaN compares as true
  bool keepsNan = false;  ///< min and max: a NaN wins
  bool toInteger = false, towardsZero = false, transposed = false;
  PtxSpace space = PtxSpace::global;
  int32_t predicate = -1;
  bool predicateNegated = false;
  uint32_t target = 0; ///< of a branch
  uint8_t lanes = 1;   ///< of a vector
  std::vector<PtxOperand> to, operands;
  std::vector<uint32_t> targets; ///< of an indexed branch
  uint32_t line = 0;
};

struct PtxFunction {
  struct Parameter {
    uint32_t offset, bytes;
  };
  std::vector<Parameter> parameters;
  std::vector<PtxInstruction> code;
  uint32_t registers = 0, parameterBytes = 0, sharedBytes = 0, localBytes = 0;
};

using PtxModule = std::map<std::string, PtxFunction>;

/// Throws std::runtime_error with the line that it does not know.
PtxModule parsePtx(const std::string &text);

struct PtxLaunch {
  uint32_t grid[3], block[3];
  std::vector<std::byte> parameters;
  uint32_t dynamicShared = 0;
  /// The memory that an address lies in, which a kernel may use: begin and end; equal if none.
  std::function<std::pair<uint64_t, uint64_t>(uint64_t address)> find;
};

/// Runs all blocks. Throws std::runtime_error where a GPU would report an error.
void runPtx(const PtxFunction &function, const PtxLaunch &launch);

} // namespace titan::stub
