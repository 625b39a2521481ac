// A program as plain data: what the program file holds, one struct per op of the exec dialect.
//
// A Program may hold anything; verifyProgram (Verify.h) says whether it is sound. Indices refer to
// the vectors of the same Program or, for buffers and instructions, of the same Function.
#pragma once

#include "runtime/base/DType.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace titan::format {

/// An index that refers to nothing.
inline constexpr uint32_t kNone = 0xffffffff;
inline constexpr int kMaxRank = 6;
/// The mesh axis whose coordinates have memory and timelines of their own.
inline constexpr std::string_view kPipelineAxis = "pp";
/// Channels of one group: a pipeline's activations go through one and its cotangents through
/// another.
inline constexpr int64_t kMaxChannels = 2;
/// Alignment of segments' contents and of the file's data sections, in bytes.
inline constexpr int64_t kAlignment = 64;

// The values of the enumerations are part of the format: append, never renumber.
enum class Space : uint8_t { device, pinned, host };
enum class Role : uint8_t { parameter, optimizerState, gradient, derived, counter, input, output };
enum class Access : uint8_t { read, write, readWrite };
enum class Distribution : uint8_t {
  constant,
  normal,
  truncatedNormal,
  ropeCosine,
  ropeSine,
  axisIndex
};
enum class Collective : uint8_t {
  allGather,
  reduceScatter,
  allReduce,
  allToAll,
  broadcast,
  send,
  receive
};
enum class Reduction : uint8_t { none, sum, max };
/// The letters P U F B I W R G S V O.
enum class Letter : uint8_t {
  prologue,
  unshard,
  forward,
  backward,
  inputBackward,
  weightBackward,
  reshard,
  reduceGradients,
  send,
  receive,
  update
};
enum class Mode : uint8_t { run, start, await };

std::string_view toString(Space value);
std::string_view toString(Role value);
std::string_view toString(Access value);
std::string_view toString(Distribution value);
std::string_view toString(Collective value);
std::string_view toString(Reduction value);
std::string_view toString(Letter value);
std::string_view toString(Mode value);

struct Axis {
  std::string name;
  int64_t size = 1;
};

struct Segment {
  std::string name;
  int64_t size = 0; ///< bytes
  Space space = Space::device;
  int64_t pipelineRank = -1; ///< the only coordinate in kPipelineAxis that has it; -1: all have
};

/// Slot i is bytes [offset + i * bytes, offset + (i + 1) * bytes) of the segment.
struct ResidualClass {
  std::string name;
  uint32_t segment = 0;
  int64_t offset = 0;
  int64_t slots = 1;
  int64_t bytes = 0;
};

/// A byte offset in a segment or, unless residualClass is kNone, in the bound slot of that class
/// (then segment is the class's).
struct Place {
  uint32_t segment = 0;
  uint32_t residualClass = kNone;
  int64_t offset = 0;
};

/// Static extents and strides in elements. Example: the left half of the columns of a dense 4x8 is
/// shape {4, 4} with strides {8, 1}.
struct View {
  DType type = DType::f32;
  uint8_t rank = 0;
  std::array<int64_t, kMaxRank> shape{};
  std::array<int64_t, kMaxRank> strides{};

  /// Elements, and elements from the first to the last. Only of verified views: no overflow check.
  int64_t numElements() const;
  int64_t span() const;
  bool isContiguous() const;
  bool operator==(const View &) const = default;
};

/// A dense, row-major view.
View denseView(DType type, std::initializer_list<int64_t> shape);
View denseView(DType type, const int64_t *shape, int rank);

/// How many numbers an initializer of that distribution has: constant: value; normal: mean, std;
/// truncatedNormal: mean, std, and absolute lower and upper bound; ropeCosine and ropeSine: theta,
/// factor, low and high frequency factor, original length; axisIndex: scale.
int numNumbers(Distribution distribution);

struct Initializer {
  Distribution distribution = Distribution::constant;
  std::vector<double> numbers;
  /// Of axisIndex alone: the value is the rank's coordinate in these mesh axes, the first one
  /// outermost, times the scale.
  std::vector<std::string> axes = {};
};

/// How a rank's view of a variable is cut from a global tensor. Mesh axes split dimensions, the
/// first one of a list outermost; no axis stands twice. What they leave to a rank is its view or,
/// with flat axes, is laid out row by row, padded and cut into one slice per coordinate of those, a
/// multiple of `granule` elements long. The global value is the sum over the partial axes'
/// coordinates of what ranks hold.
///
/// Example, over dp_shard 3 and tp 2: shape {5, 4}, dimensions {{}, {"tp"}}, flat {"dp_shard"},
/// granule 4 leaves 5 x 2 elements to a coordinate of tp and slices of 4 of them to a rank; the
/// last slice has 2 elements and padding.
struct Sharding {
  std::vector<int64_t> shape;
  std::vector<std::vector<std::string>> dimensions;
  std::vector<std::string> partial, flat;
  int64_t granule = 1;
  /// Rows, in the first dimension, at the end of the tensor: zero, and not part of what users know.
  int64_t padding = 0;
};

struct Variable {
  std::string name;
  View view; ///< dense, row-major
  Role role = Role::parameter;
  Place place;
  std::optional<Initializer> initializer;
  std::optional<Sharding> sharding = {}; ///< none: the view is the global tensor
};

/// Machine code of kernels; the bytes stand in the file's data section.
struct Image {
  std::string name;
  std::string target;
  std::vector<std::string> features;
  std::string_view contents; ///< owned by the file, or by whoever builds the program
};

struct Cost {
  int64_t flops = 0;
  int64_t bytes = 0;
};

struct Stage {
  std::string symbol;
  int64_t blocks = 1;
  int64_t threads = 0; ///< of a block on a GPU, a power of two from 32 to 1024; else 0
};

struct Argument {
  Access access = Access::read;
  View view;
};

struct Kernel {
  std::string name;
  std::vector<Argument> arguments;
  std::vector<Stage> stages;
  std::optional<Cost> cost;
  uint32_t image = kNone;
};

/// Moves a buffer by ((coordinate + shift) mod size) * stride bytes, where `coordinate` is the
/// rank's in the mesh axes, the first one outermost, and `size` the product of their sizes.
struct Rotation {
  std::vector<std::string> axes;
  int64_t stride = 0;
  int64_t shift = 0; ///< at least 0 and below size
};

struct Buffer {
  Place place; ///< of coordinate -shift, if rotated
  View view;
  std::optional<Rotation> rotation = {};
};

// Instructions: the exec dialect's documentation says what each does. Fields of type uint32_t are
// buffers unless said otherwise; those that default to kNone are optional.

struct Launch {
  uint32_t kernel = 0; ///< index of the kernel
  std::vector<uint32_t> buffers;
};
struct Gemm {
  uint32_t a = 0, b = 0, c = 0, workspace = kNone;
  bool transA = false, transB = false, accumulate = false;
  int64_t m = 1, n = 1, k = 1, lda = 1, ldb = 1, ldc = 1;
  int64_t batch = 1, strideA = 0, strideB = 0, strideC = 0;
};
struct Attention {
  uint32_t q = 0, k = 0, v = 0;
  uint32_t queryPositions = kNone, keyPositions = kNone; ///< both or none
  uint32_t out = 0, lse = 0, scratch = kNone;
  float scale = 1;
  bool causal = false;
};
struct AttentionGrad {
  uint32_t q = 0, k = 0, v = 0;
  uint32_t queryPositions = kNone, keyPositions = kNone; ///< both or none
  uint32_t out = 0, lse = 0;
  uint32_t dout = 0, dq = 0, dk = 0, dv = 0, scratch = kNone;
  float scale = 1;
  bool causal = false;
};
/// firstRow: a buffer that holds the number, int32, at which the table begins within a longer one.
struct Embedding {
  uint32_t tokens = 0, table = 0, out = 0, firstRow = kNone;
};
struct EmbeddingGrad {
  uint32_t dout = 0, tokens = 0, dtable = 0, scratch = kNone, firstRow = kNone;
};
struct Fill {
  uint32_t buffer = 0;
  double value = 0;
};
struct Copy {
  uint32_t source = 0, destination = 0;
};
struct CheckFinite {
  std::vector<uint32_t> values;
  uint32_t flag = 0;
};
struct Start {
  Collective collective = Collective::allReduce;
  Reduction reduction = Reduction::none;
  std::vector<std::string> axes;
  int64_t peer = -1; ///< -1: none
  std::vector<uint32_t> sources, destinations;
  int64_t channel = 0; ///< what meets in an order of its own
};
struct Await {
  uint32_t start = 0; ///< index of the instruction
};

using Instruction = std::variant<Launch, Gemm, Attention, AttentionGrad, Embedding, EmbeddingGrad,
                                 Fill, Copy, CheckFinite, Start, Await>;

/// "launch", "gemm", ...: the exec dialect's mnemonic.
std::string_view mnemonic(const Instruction &instruction);

/// Only the ranks whose coordinate in the mesh axes, the first one outermost, is `value` execute
/// the instruction; never a start or await.
struct Predicate {
  uint32_t instruction = 0; ///< index of the instruction
  std::vector<std::string> axes;
  int64_t value = 0;
};

struct Function {
  std::string name;
  bool isAsync = false; ///< its starts are awaited by timeline entries
  std::optional<Cost> cost;
  std::vector<Buffer> buffers;
  std::vector<Instruction> instructions;
  std::vector<Predicate> predicates = {}; ///< by ascending instruction; most have none
  /// Of each instruction, which of the program's sources it comes from, or kNone; empty if none
  /// says so.
  std::vector<uint32_t> sources = {};
};

struct SlotBinding {
  uint32_t residualClass = 0;
  int64_t index = 0;
  bool operator==(const SlotBinding &) const = default;
};

struct Action {
  Mode mode = Mode::run;
  Letter letter = Letter::forward;
  uint32_t function = 0;
  int64_t stage = 0;
  int64_t microbatch = 0;
  std::vector<SlotBinding> slots;
};

/// The timeline, of a prologue alone, that computes what is kept of parameters beside them, if the
/// program has such variables. It runs when parameters have been written from outside.
inline constexpr std::string_view kRefreshTimeline = "refresh";

struct Timeline {
  std::string name;
  std::vector<Action> prologue, body, epilogue;
  int64_t pipelineRank = -1; ///< the only coordinate in kPipelineAxis that runs it; -1: all do
};

/// The coordinates that mesh axes have together: the product of their sizes, or nothing if one is
/// not the mesh's, stands twice, or the product exceeds 2^31.
std::optional<int64_t> numCoordinates(const std::vector<Axis> &mesh,
                                      const std::vector<std::string> &axes);

/// How many coordinates kPipelineAxis has; 1 on a mesh without it.
int64_t numPipelineRanks(const std::vector<Axis> &mesh);

struct Program {
  std::string target;
  std::vector<Axis> mesh;
  int64_t flopsPerToken = 0;
  std::string job; ///< TOML text
  /// Names for messages and profilers: the job's file, modules ("layers.0.attention.wq").
  std::vector<std::string> sources;
  std::vector<Segment> segments;
  std::vector<ResidualClass> residualClasses;
  std::vector<Variable> variables;
  std::vector<Image> images;
  std::vector<Kernel> kernels;
  std::vector<Function> functions;
  std::vector<Timeline> timelines;
};

/// "gemm of layers.0.attention.wq", "launch of kernel 'kernel4', layers.0, layers.0.ffn_norm".
std::string describeInstruction(const Program &program, const Function &function, size_t index);

/// Index of the element called `name`, or kNone.
template <typename T> uint32_t findByName(const std::vector<T> &list, std::string_view name) {
  for (size_t i = 0; i < list.size(); ++i)
    if (list[i].name == name)
      return static_cast<uint32_t>(i);
  return kNone;
}

} // namespace titan::format
