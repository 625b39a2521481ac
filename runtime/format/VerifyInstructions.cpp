#include "runtime/format/Verify.h"

#include <unordered_map>

namespace titan::format {
namespace {

std::string number(int64_t value) { return std::to_string(value); }

std::string shapeText(const View &view) {
  std::string text = "[";
  for (int i = 0; i < view.rank; ++i)
    text += (i ? ", " : "") + number(view.shape[i]);
  return text + "]";
}

bool isFloat(DType type) {
  return type != DType::i32 && type != DType::i64 && type != DType::i8 && type != DType::u8 &&
         type != DType::boolean;
}

/// sum of products a * b + ..., or nothing on overflow.
class Checked {
public:
  explicit Checked(int64_t value) : value(value) {}
  Checked &add(int64_t a, int64_t b) {
    int64_t product = 0;
    overflow |= __builtin_mul_overflow(a, b, &product);
    overflow |= __builtin_add_overflow(value, product, &value);
    return *this;
  }
  bool exceeds(int64_t limit) const { return overflow || value > limit; }
  std::string text() const { return overflow ? "more than 2^63" : number(value); }

private:
  int64_t value;
  bool overflow = false;
};

/// Checks the instructions of one function.
class FunctionVerifier {
public:
  FunctionVerifier(const Program &program, const Function &function)
      : program(program), function(function) {}

  Status verify() {
    for (size_t i = 0; i < function.buffers.size(); ++i)
      TITAN_RETURN_IF_ERROR(verifyBuffer(function.buffers[i])
                                .withContext("buffer " + number(static_cast<int64_t>(i))));
    for (size_t i = 0; i < function.instructions.size(); ++i) {
      index = static_cast<uint32_t>(i);
      const Instruction &instruction = function.instructions[i];
      TITAN_RETURN_IF_ERROR(std::visit([&](const auto &op) { return check(op); }, instruction)
                                .withContext("instruction " + number(index) + " (" +
                                             std::string(mnemonic(instruction)) + ")"));
    }
    TITAN_RETURN_IF_ERROR(verifyTokens());
    for (size_t i = 0; i < function.predicates.size(); ++i)
      TITAN_RETURN_IF_ERROR(
          verifyPredicate(i).withContext("predicate " + number(static_cast<int64_t>(i))));
    return verifySources();
  }

private:
  Status verifySources() const {
    if (!function.sources.empty() && function.sources.size() != function.instructions.size())
      return dataLoss("has a source for each of its " + number(function.instructions.size()) +
                      " instructions, or none, found " + number(function.sources.size()));
    for (const uint32_t source : function.sources)
      if (source != kNone && source >= program.sources.size())
        return dataLoss("source " + number(source) +
                        " of an instruction does not exist: there are " +
                        number(program.sources.size()));
    return okStatus();
  }
  Status verifyBuffer(const Buffer &buffer) const;
  Status verifyPredicate(size_t at) const;
  Status exists(const char *name, uint32_t buffer) const {
    if (buffer < function.buffers.size())
      return okStatus();
    return dataLoss(std::string(name) + ": buffer " + number(buffer) +
                    " does not exist: there are " +
                    number(static_cast<int64_t>(function.buffers.size())));
  }
  Status existsIfAny(const char *name, uint32_t buffer) const {
    return buffer == kNone ? okStatus() : exists(name, buffer);
  }
  const View &view(uint32_t buffer) const { return function.buffers[buffer].view; }

  Status hasType(const char *name, uint32_t buffer, DType type) const {
    if (view(buffer).type == type)
      return okStatus();
    return dataLoss(std::string(name) + " has element type " +
                    std::string(toString(view(buffer).type)) + ", expected " +
                    std::string(toString(type)));
  }
  /// The buffer exists, and has shape and element type.
  Status has(const char *name, uint32_t buffer, const View &expected) const {
    TITAN_RETURN_IF_ERROR(exists(name, buffer));
    if (view(buffer).rank != expected.rank || view(buffer).shape != expected.shape)
      return dataLoss(std::string(name) + " has shape " + shapeText(view(buffer)) + ", expected " +
                      shapeText(expected));
    return hasType(name, buffer, expected.type);
  }

  Status check(const Launch &op) const;
  Status checkMatrix(const Gemm &op, char name, uint32_t buffer, int64_t rows, int64_t columns,
                     int64_t leading, int64_t stride) const;
  Status check(const Gemm &op) const;
  Status checkHeads(std::initializer_list<uint32_t> buffers) const;
  Status checkPositions(const char *name, uint32_t positions, const View &tensor) const;
  template <typename Op> Status checkAttention(const Op &op) const;
  Status check(const Attention &op) const { return checkAttention(op); }
  Status check(const AttentionGrad &op) const;
  Status checkEmbedding(uint32_t tokens, const char *tableName, uint32_t table,
                        const char *rowsName, uint32_t rows, uint32_t firstRow) const;
  Status check(const Embedding &op) const;
  Status check(const EmbeddingGrad &op) const;
  Status check(const Fill &op) const { return exists("buffer", op.buffer); }
  Status check(const Copy &op) const;
  Status check(const CheckFinite &op) const;
  Status checkPeer(const Start &op) const;
  Status checkPairs(const Start &op) const;
  Status check(const Start &op) const;
  Status check(const Await &op);
  Status verifyTokens() const;

  const Program &program;
  const Function &function;
  uint32_t index = 0;
  /// Awaits of a start, by the start's index.
  std::unordered_map<uint32_t, int> awaits;
};

/// A rotated buffer lies in its segment or slot for every coordinate.
Status FunctionVerifier::verifyBuffer(const Buffer &buffer) const {
  TITAN_RETURN_IF_ERROR(verifyPlace(program, buffer.place, buffer.view));
  if (!buffer.rotation)
    return okStatus();
  const Rotation &rotation = *buffer.rotation;
  const auto size = numCoordinates(program.mesh, rotation.axes);
  if (!size)
    return dataLoss("the axes of a rotation are the mesh's, each once");
  if (rotation.stride < 1)
    return dataLoss("the stride of a rotation is at least 1, found " + number(rotation.stride));
  if (rotation.shift < 0 || rotation.shift >= *size)
    return dataLoss("the shift of a rotation is below its " + number(*size) +
                    " coordinates, found " + number(rotation.shift));
  Place last = buffer.place;
  int64_t distance = 0;
  if (__builtin_mul_overflow(*size - 1, rotation.stride, &distance) ||
      __builtin_add_overflow(last.offset, distance, &last.offset))
    return dataLoss("a rotation's last place is below 2^63");
  // One step tells whether all places are aligned, the last whether they are in range.
  Place second = buffer.place;
  second.offset += *size > 1 ? rotation.stride : 0;
  for (const Place &place : {second, last})
    TITAN_RETURN_IF_ERROR(verifyPlace(program, place, buffer.view).withContext("rotated"));
  return okStatus();
}

Status FunctionVerifier::verifyPredicate(size_t at) const {
  const Predicate &predicate = function.predicates[at];
  if (at && predicate.instruction <= function.predicates[at - 1].instruction)
    return dataLoss("predicates stand in the order of their instructions, found " +
                    number(predicate.instruction) + " after " +
                    number(function.predicates[at - 1].instruction));
  if (predicate.instruction >= function.instructions.size())
    return dataLoss("instruction " + number(predicate.instruction) + " does not exist: there are " +
                    number(static_cast<int64_t>(function.instructions.size())));
  const Instruction &instruction = function.instructions[predicate.instruction];
  if (std::holds_alternative<Start>(instruction) || std::holds_alternative<Await>(instruction))
    return dataLoss("every rank executes instruction " + number(predicate.instruction) +
                    ", which is " + std::string(mnemonic(instruction)));
  const auto size = numCoordinates(program.mesh, predicate.axes);
  if (!size || predicate.axes.empty())
    return dataLoss("the axes of a predicate are the mesh's, at least 1 and each once");
  if (predicate.value < 0 || predicate.value >= *size)
    return dataLoss("the value is below the " + number(*size) + " coordinates, found " +
                    number(predicate.value));
  return okStatus();
}

Status FunctionVerifier::check(const Launch &op) const {
  if (op.kernel >= program.kernels.size())
    return dataLoss("kernel " + number(op.kernel) + " does not exist: there are " +
                    number(static_cast<int64_t>(program.kernels.size())));
  const Kernel &kernel = program.kernels[op.kernel];
  if (op.buffers.size() != kernel.arguments.size())
    return dataLoss("passes " + number(static_cast<int64_t>(op.buffers.size())) +
                    " buffers, kernel '" + kernel.name + "' takes " +
                    number(static_cast<int64_t>(kernel.arguments.size())));
  for (size_t i = 0; i < op.buffers.size(); ++i) {
    TITAN_RETURN_IF_ERROR(exists("argument", op.buffers[i]));
    if (view(op.buffers[i]) != kernel.arguments[i].view)
      return dataLoss("buffer " + number(op.buffers[i]) + " is not of the type of argument " +
                      number(static_cast<int64_t>(i)) + " of kernel '" + kernel.name + "'");
  }
  return okStatus();
}

Status FunctionVerifier::checkMatrix(const Gemm &op, char name, uint32_t buffer, int64_t rows,
                                     int64_t columns, int64_t leading, int64_t stride) const {
  const std::string letter(1, name);
  TITAN_RETURN_IF_ERROR(exists(letter.c_str(), buffer));
  if (leading < columns)
    return dataLoss("ld" + letter + " is at least the " + number(columns) +
                    " stored columns, found " + number(leading));
  if (stride < 0)
    return dataLoss("stride of " + letter + " is at least 0, found " + number(stride));
  const Checked need = Checked(columns).add(op.batch - 1, stride).add(rows - 1, leading);
  if (need.exceeds(view(buffer).span()))
    return dataLoss(letter + " needs " + need.text() + " elements, its buffer spans " +
                    number(view(buffer).span()));
  return okStatus();
}

Status FunctionVerifier::check(const Gemm &op) const {
  if (op.m < 1 || op.n < 1 || op.k < 1 || op.batch < 1)
    return dataLoss("m, n, k and batch are at least 1, found " + number(op.m) + ", " +
                    number(op.n) + ", " + number(op.k) + " and " + number(op.batch));
  TITAN_RETURN_IF_ERROR(checkMatrix(op, 'a', op.a, op.transA ? op.k : op.m, op.transA ? op.m : op.k,
                                    op.lda, op.strideA));
  TITAN_RETURN_IF_ERROR(checkMatrix(op, 'b', op.b, op.transB ? op.n : op.k, op.transB ? op.k : op.n,
                                    op.ldb, op.strideB));
  TITAN_RETURN_IF_ERROR(checkMatrix(op, 'c', op.c, op.m, op.n, op.ldc, op.strideC));
  if (op.batch > 1 && op.strideC < (op.m - 1) * op.ldc + op.n)
    return dataLoss("items of c overlap: stride of c is at least " +
                    number((op.m - 1) * op.ldc + op.n) + ", found " + number(op.strideC));
  return existsIfAny("workspace", op.workspace);
}

Status FunctionVerifier::checkHeads(std::initializer_list<uint32_t> buffers) const {
  for (uint32_t buffer : buffers)
    if (view(buffer).strides[3] != 1)
      return dataLoss("buffer " + number(buffer) +
                      ": the elements of a head are adjacent, found stride " +
                      number(view(buffer).strides[3]));
  return okStatus();
}

/// Positions, if any, are one i32 per row of `tensor`, in one piece.
Status FunctionVerifier::checkPositions(const char *name, uint32_t positions,
                                        const View &tensor) const {
  if (positions == kNone)
    return okStatus();
  TITAN_RETURN_IF_ERROR(
      has(name, positions, denseView(DType::i32, {tensor.shape[0], tensor.shape[1]})));
  if (!view(positions).isContiguous())
    return dataLoss(std::string(name) + " are contiguous");
  return okStatus();
}

template <typename Op> Status FunctionVerifier::checkAttention(const Op &op) const {
  TITAN_RETURN_IF_ERROR(exists("q", op.q));
  TITAN_RETURN_IF_ERROR(exists("k", op.k));
  const View &q = view(op.q), &k = view(op.k);
  if (q.rank != 4 || k.rank != 4)
    return dataLoss("q and k have rank 4, found " + number(q.rank) + " and " + number(k.rank));
  if (k.shape[0] != q.shape[0] || k.shape[3] != q.shape[3] || q.shape[2] % k.shape[2])
    return dataLoss("q and k agree in batch and dim, and heads are a multiple of kv heads, found " +
                    shapeText(q) + " and " + shapeText(k));
  View expected = k;
  expected.type = q.type;
  TITAN_RETURN_IF_ERROR(has("k", op.k, expected));
  TITAN_RETURN_IF_ERROR(has("v", op.v, expected));
  TITAN_RETURN_IF_ERROR(has("out", op.out, q));
  TITAN_RETURN_IF_ERROR(checkHeads({op.q, op.k, op.v, op.out}));
  TITAN_RETURN_IF_ERROR(
      has("lse", op.lse, denseView(DType::f32, {q.shape[0], q.shape[2], q.shape[1]})));
  if (!view(op.lse).isContiguous())
    return dataLoss("lse is contiguous");
  if ((op.queryPositions == kNone) != (op.keyPositions == kNone))
    return dataLoss("has query and key positions together");
  TITAN_RETURN_IF_ERROR(checkPositions("query positions", op.queryPositions, q));
  TITAN_RETURN_IF_ERROR(checkPositions("key positions", op.keyPositions, k));
  TITAN_RETURN_IF_ERROR(existsIfAny("scratch", op.scratch));
  if (op.scratch == kNone)
    return okStatus();
  const Buffer &scratch = function.buffers[op.scratch];
  if (!scratch.view.isContiguous() || scratch.rotation || scratch.place.offset % kAlignment)
    return dataLoss("scratch is contiguous, on all ranks at one multiple of " + number(kAlignment) +
                    ", found offset " + number(scratch.place.offset));
  return okStatus();
}

Status FunctionVerifier::check(const AttentionGrad &op) const {
  TITAN_RETURN_IF_ERROR(checkAttention(op));
  TITAN_RETURN_IF_ERROR(has("dout", op.dout, view(op.q)));
  TITAN_RETURN_IF_ERROR(has("dq", op.dq, view(op.q)));
  TITAN_RETURN_IF_ERROR(has("dk", op.dk, view(op.k)));
  TITAN_RETURN_IF_ERROR(has("dv", op.dv, view(op.k)));
  return checkHeads({op.dout, op.dq, op.dk, op.dv});
}

Status FunctionVerifier::checkEmbedding(uint32_t tokens, const char *tableName, uint32_t table,
                                        const char *rowsName, uint32_t rows,
                                        uint32_t firstRow) const {
  TITAN_RETURN_IF_ERROR(existsIfAny("first_row", firstRow));
  if (firstRow != kNone) {
    if (view(firstRow).rank != 0)
      return dataLoss("first_row is one number, found shape " + shapeText(view(firstRow)));
    TITAN_RETURN_IF_ERROR(hasType("first_row", firstRow, DType::i32));
  }
  TITAN_RETURN_IF_ERROR(exists("tokens", tokens));
  TITAN_RETURN_IF_ERROR(exists(tableName, table));
  TITAN_RETURN_IF_ERROR(exists(rowsName, rows));
  if (view(table).rank != 2 || view(table).strides[1] != 1)
    return dataLoss(std::string(tableName) + " has rank 2 and adjacent columns, found shape " +
                    shapeText(view(table)));
  const View &ids = view(tokens);
  if (ids.rank + 1 > kMaxRank || !ids.isContiguous())
    return dataLoss("tokens are contiguous and of rank at most " + number(kMaxRank - 1));
  View expected = ids;
  expected.shape[expected.rank++] = view(table).shape[1];
  expected.type = view(rows).type;
  TITAN_RETURN_IF_ERROR(has(rowsName, rows, expected));
  // Positions form one list of rows a fixed distance apart.
  const View &out = view(rows);
  for (int i = 0; i + 2 < out.rank; ++i)
    if (out.strides[i] != out.strides[i + 1] * out.shape[i + 1])
      return dataLoss(std::string(rowsName) + " has rows a fixed distance apart");
  if (out.strides[out.rank - 1] != 1)
    return dataLoss(std::string(rowsName) + " has adjacent columns");
  return hasType("tokens", tokens, DType::i32);
}

Status FunctionVerifier::check(const Embedding &op) const {
  TITAN_RETURN_IF_ERROR(checkEmbedding(op.tokens, "table", op.table, "out", op.out, op.firstRow));
  return hasType("out", op.out, view(op.table).type);
}

Status FunctionVerifier::check(const EmbeddingGrad &op) const {
  TITAN_RETURN_IF_ERROR(
      checkEmbedding(op.tokens, "dtable", op.dtable, "dout", op.dout, op.firstRow));
  return existsIfAny("scratch", op.scratch);
}

Status FunctionVerifier::check(const Copy &op) const {
  TITAN_RETURN_IF_ERROR(exists("source", op.source));
  return has("destination", op.destination, view(op.source));
}

Status FunctionVerifier::check(const CheckFinite &op) const {
  if (op.values.empty())
    return dataLoss("needs at least 1 buffer to check");
  for (uint32_t value : op.values) {
    TITAN_RETURN_IF_ERROR(exists("value", value));
    if (!isFloat(view(value).type))
      return dataLoss("buffer " + number(value) + " holds floating point values, found " +
                      std::string(toString(view(value).type)));
  }
  TITAN_RETURN_IF_ERROR(exists("flag", op.flag));
  if (view(op.flag).numElements() != 1)
    return dataLoss("flag is one element, found shape " + shapeText(view(op.flag)));
  return hasType("flag", op.flag, DType::f32);
}

Status FunctionVerifier::checkPeer(const Start &op) const {
  const bool toOne = op.collective == Collective::send || op.collective == Collective::receive ||
                     op.collective == Collective::broadcast;
  int64_t ranks = 1;
  if (op.axes.empty())
    return dataLoss("needs at least 1 mesh axis");
  for (const std::string &axis : op.axes) {
    const uint32_t found = findByName(program.mesh, axis);
    if (found == kNone)
      return dataLoss("the mesh has no axis '" + axis + "'");
    if (__builtin_mul_overflow(ranks, program.mesh[found].size, &ranks))
      return dataLoss("the group has too many ranks");
  }
  if (!toOne && op.peer != -1)
    return dataLoss("has no peer, found " + number(op.peer));
  if (toOne && (op.peer < 0 || op.peer >= ranks))
    return dataLoss("peer is below the " + number(ranks) + " ranks of the group, found " +
                    number(op.peer));
  return okStatus();
}

Status FunctionVerifier::checkPairs(const Start &op) const {
  if (op.sources.size() != op.destinations.size())
    return dataLoss("has as many sources as destinations, found " +
                    number(static_cast<int64_t>(op.sources.size())) + " and " +
                    number(static_cast<int64_t>(op.destinations.size())));
  for (size_t i = 0; i < op.sources.size(); ++i) {
    const View &from = view(op.sources[i]), &to = view(op.destinations[i]);
    int64_t ranks = 1;
    for (const std::string &axis : op.axes)
      ranks *= program.mesh[findByName(program.mesh, axis)].size;
    const bool grows = op.collective == Collective::allGather;
    const bool shrinks = op.collective == Collective::reduceScatter;
    const int64_t small = (shrinks ? to : from).numElements();
    const int64_t large = (shrinks ? from : to).numElements();
    const int64_t factor = grows || shrinks ? ranks : 1;
    if (from.type != to.type || large % factor || large / factor != small)
      return dataLoss("pair " + number(static_cast<int64_t>(i)) +
                      " does not fit: " + shapeText(from) + " and " + shapeText(to) + " over " +
                      number(ranks) + " ranks");
  }
  return okStatus();
}

Status FunctionVerifier::check(const Start &op) const {
  const bool reduces =
      op.collective == Collective::allReduce || op.collective == Collective::reduceScatter;
  if (reduces != (op.reduction != Reduction::none))
    return dataLoss(std::string(toString(op.collective)) +
                    (reduces ? " needs a reduction" : " has no reduction") + ", found " +
                    std::string(toString(op.reduction)));
  TITAN_RETURN_IF_ERROR(checkPeer(op));
  if (op.channel < 0 || op.channel >= kMaxChannels)
    return dataLoss("channel is at least 0 and below " + number(kMaxChannels) + ", found " +
                    number(op.channel));
  for (const auto *list : {&op.sources, &op.destinations})
    for (uint32_t buffer : *list) {
      TITAN_RETURN_IF_ERROR(exists("operand", buffer));
      if (!view(buffer).isContiguous())
        return dataLoss("buffer " + number(buffer) + " is not contiguous");
    }
  const bool sends = op.collective == Collective::send;
  if (!sends && op.collective != Collective::receive)
    return checkPairs(op);
  if (op.sources.empty() == sends || op.destinations.empty() != sends)
    return dataLoss(std::string(toString(op.collective)) + " has only " +
                    (sends ? "sources" : "destinations"));
  return okStatus();
}

Status FunctionVerifier::check(const Await &op) {
  if (function.isAsync)
    return dataLoss("stands in an async function, whose starts timelines await");
  if (op.start >= index || !std::holds_alternative<Start>(function.instructions[op.start]))
    return dataLoss("instruction " + number(op.start) + " is no earlier start");
  if (++awaits[op.start] > 1)
    return dataLoss("instruction " + number(op.start) + " is awaited twice");
  return okStatus();
}

Status FunctionVerifier::verifyTokens() const {
  bool anyStart = false;
  for (size_t i = 0; i < function.instructions.size(); ++i) {
    if (!std::holds_alternative<Start>(function.instructions[i]))
      continue;
    anyStart = true;
    if (!function.isAsync && !awaits.contains(static_cast<uint32_t>(i)))
      return dataLoss("instruction " + number(static_cast<int64_t>(i)) +
                      " (start) is never awaited");
  }
  if (function.isAsync && !anyStart)
    return dataLoss("is async and starts no collective");
  return okStatus();
}

} // namespace

Status verifyFunction(const Program &program, const Function &function) {
  return FunctionVerifier(program, function).verify();
}

} // namespace titan::format
