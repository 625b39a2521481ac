// The semantic verifier: every rule, broken once.
#include "test/unit/format/TestProgram.h"

#include "runtime/format/Verify.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

using namespace titan;
using namespace titan::format;

namespace {

struct Case {
  const char *name;
  std::function<void(Program &)> damage;
  const char *message; ///< part of the error
};

/// The instruction of type T in the compute function.
template <typename T> T &op(Program &p) {
  for (Instruction &instruction : p.functions[0].instructions)
    if (T *found = std::get_if<T>(&instruction))
      return *found;
  throw std::runtime_error("the test program lacks the instruction");
}

const std::vector<Case> &memoryCases() {
  static const std::vector<Case> cases = {
      {"target", [](Program &p) { p.target.clear(); }, "the program names no target"},
      {"sourceTwice", [](Program &p) { p.sources.push_back("job.toml"); },
       "sources have names, each once, found 'job.toml'"},
      {"sourceEmpty", [](Program &p) { p.sources.push_back(""); },
       "sources have names, each once, found ''"},
      {"flops", [](Program &p) { p.flopsPerToken = -1; }, "flops per token are at least 0"},
      {"axisSize", [](Program &p) { p.mesh[0].size = 0; }, "mesh axis 'pp': size is at least 1"},
      {"axisTwice", [](Program &p) { p.mesh[0].name = "tp"; }, "the name 'tp' is taken"},
      {"noName", [](Program &p) { p.variables[1].name = ""; }, "variable 1 has no name"},
      {"nameTaken", [](Program &p) { p.kernels[0].name = "w"; }, "the name 'w' is taken"},
      {"segmentSize", [](Program &p) { p.segments[0].size = -1; },
       "segment 'parameters': size is at least 0, found -1"},
      {"segmentRank", [](Program &p) { p.segments[1].pipelineRank = 2; },
       "segment 'scratch': the pipeline rank is -1 or below the 2 of axis 'pp', found 2"},
      {"classSegment", [](Program &p) { p.residualClasses[0].segment = 3; },
       "segment 3 does not exist"},
      {"classOffset", [](Program &p) { p.residualClasses[0].offset = 8; },
       "offset is a multiple of 64, found 8"},
      {"classSlots", [](Program &p) { p.residualClasses[0].slots = 0; }, "slots are at least 1"},
      {"classTooLarge", [](Program &p) { p.residualClasses[1].slots = INT64_MAX; },
       "residual class 'fwd_to_bwd': 9223372036854775807 slots of 256 bytes"},
      {"classesOverlap", [](Program &p) { p.residualClasses[0].bytes = 192; },
       "residual class 'fwd_to_bwd' overlaps residual class 'batch'"},
      {"variablesOverlap", [](Program &p) { p.variables[1].place.offset = 960; },
       "variable 'norm' overlaps variable 'w'"},
      {"variableOffset", [](Program &p) { p.variables[1].place.offset = 1026; },
       "offset is a multiple of 64, found 1026"},
      {"variablePlace", [](Program &p) { p.variables[1].place.offset = 2048; },
       "32 bytes at offset 2048 exceed 'parameters' of 2048 bytes"},
      {"variableHuge", [](Program &p) { p.variables[0].view.shape[0] = INT64_MAX; },
       "the bytes below 2^62"},
      {"variableStrided", [](Program &p) { p.variables[0].view.strides[0] = 17; },
       "a variable is dense"},
      {"noInitializer", [](Program &p) { p.variables[0].initializer.reset(); },
       "a parameter needs an initializer"},
      {"initializerNan", [](Program &p) { p.variables[0].initializer->numbers[0] = NAN; },
       "are finite"},
      {"initializerStd", [](Program &p) { p.variables[0].initializer->numbers[1] = -1; },
       "at least 0"},
      {"initializerBounds", [](Program &p) { p.variables[0].initializer->numbers[2] = 1; },
       "lower < upper"},
      {"initializerCount", [](Program &p) { p.variables[0].initializer->numbers.pop_back(); },
       "truncated_normal takes 4 numbers, found 3"},
      {"ropeNumbers",
       [](Program &p) {
         p.variables[0].initializer = Initializer{Distribution::ropeSine, {1e4, 8, 1, 4, 0}};
       },
       "finite and positive, found 0"},
      {"ropeRank",
       [](Program &p) {
         p.variables[1].initializer = Initializer{Distribution::ropeSine, {1e4, 8, 1, 4, 8192}};
       },
       "a rotary table has rank 2, found 1"},
      {"kernelView", [](Program &p) { p.kernels[0].arguments[0].view.shape[0] = 0; },
       "kernel 'scale': argument 0"},
      {"noStage", [](Program &p) { p.kernels[0].stages.clear(); }, "at least 1 stage"},
      {"noBlocks", [](Program &p) { p.kernels[0].stages[0].blocks = 0; }, "at least 1 block"},
      {"threads", [](Program &p) { p.kernels[0].stages[0].threads = 48; },
       "from 32 to 1024, found 48"},
      {"noImage", [](Program &p) { p.kernels[0].image = kNone; }, "image 4294967295 does not"},
  };
  return cases;
}

/// The sharding of the variable "slice".
Sharding &sharding(Program &p) { return *p.variables[3].sharding; }
Initializer &axisIndex(Program &p) { return *p.variables[5].initializer; }

const std::vector<Case> &shardingCases() {
  static const std::vector<Case> cases = {
      {"axis", [](Program &p) { sharding(p).flat = {"dp"}; },
       "variable 'slice': sharding: its axes are the mesh's, each once"},
      {"axisTwice", [](Program &p) { sharding(p).partial = {"pp"}; }, "each once"},
      {"axisTwiceInOne", [](Program &p) { sharding(p).dimensions[1] = {"tp", "tp"}; }, "each once"},
      {"rank", [](Program &p) { sharding(p).dimensions.pop_back(); },
       "a list of axes per dimension, found 2 and 1"},
      {"rankTooHigh",
       [](Program &p) {
         sharding(p).shape.resize(7, 1);
         sharding(p).dimensions.resize(7);
       },
       "the global rank is at most 6"},
      {"shape", [](Program &p) { sharding(p).shape[0] = 0; },
       "positive and their bytes below 2^62"},
      {"huge", [](Program &p) { sharding(p).shape[0] = INT64_MAX; }, "their bytes below 2^62"},
      {"divide", [](Program &p) { p.variables[4].sharding->shape[0] = 7; },
       "dimension 0 of size 7 does not divide by 2"},
      {"local", [](Program &p) { p.variables[4].sharding->shape[0] = 8; },
       "leaves [4] to a rank, found [3]"},
      {"slice", [](Program &p) { sharding(p).granule = 32; }, "leaves [32] to a rank, found [16]"},
      {"granule", [](Program &p) { sharding(p).granule = 0; }, "between 1 and 2^31, found 0"},
      {"granuleHuge", [](Program &p) { sharding(p).granule = INT64_MAX; }, "between 1 and 2^31"},
      {"padding", [](Program &p) { sharding(p).padding = -1; },
       "the padding is 0 to 5 rows, found -1"},
      {"paddingAll", [](Program &p) { sharding(p).padding = 6; },
       "the padding is 0 to 5 rows, found 6"},
      {"indexAxis", [](Program &p) { axisIndex(p).axes = {"dp"}; },
       "the axes of an axis_index are the mesh's"},
      {"indexType", [](Program &p) { p.variables[5].view.type = DType::f32; },
       "an axis_index is one i32, found rank 0 of f32"},
      {"indexScale", [](Program &p) { axisIndex(p).numbers[0] = 0.5; }, "is an integer"},
      {"indexRange", [](Program &p) { axisIndex(p).numbers[0] = 2e9; }, "values are below 2^31"},
      {"otherAxes", [](Program &p) { p.variables[0].initializer->axes = {"tp"}; },
       "truncated_normal depends on no mesh axes, found 'tp'"},
  };
  return cases;
}

Rotation &rotation(Program &p) { return *p.functions[2].buffers[0].rotation; }
Predicate &predicate(Program &p) { return p.functions[2].predicates[0]; }

const std::vector<Case> &coordinateCases() {
  static const std::vector<Case> cases = {
      {"axis", [](Program &p) { rotation(p).axes = {"pp", "pp"}; },
       "function 'update': buffer 0: the axes of a rotation are the mesh's, each once"},
      {"stride", [](Program &p) { rotation(p).stride = 0; }, "at least 1, found 0"},
      {"shift", [](Program &p) { rotation(p).shift = 2; }, "below its 2 coordinates, found 2"},
      {"shiftNegative", [](Program &p) { rotation(p).shift = -1; }, "found -1"},
      {"range", [](Program &p) { rotation(p).stride = 1540; },
       "rotated: 512 bytes at offset 1540 exceed 'parameters' of 2048 bytes"},
      {"overflow", [](Program &p) { rotation(p).stride = INT64_MAX; }, "rotated: "},
      {"alignment", [](Program &p) { rotation(p).stride = 6; },
       "rotated: offset is a multiple of the element's 4 bytes, found 6"},
      {"predicateAxis", [](Program &p) { predicate(p).axes = {"dp"}; },
       "predicate 0: the axes of a predicate are the mesh's"},
      {"predicateNoAxis", [](Program &p) { predicate(p).axes.clear(); },
       "at least 1 and each once"},
      {"predicateValue", [](Program &p) { predicate(p).value = 2; },
       "the value is below the 2 coordinates, found 2"},
      {"predicateInstruction", [](Program &p) { predicate(p).instruction = 1; },
       "instruction 1 does not exist: there are 1"},
      {"predicateTwice",
       [](Program &p) { p.functions[2].predicates.push_back(p.functions[2].predicates[0]); },
       "predicate 1: predicates stand in the order of their instructions, found 0 after 0"},
      {"predicateStart", [](Program &p) { p.functions[0].predicates = {{9, {"pp"}, 0}}; },
       "every rank executes instruction 9, which is start"},
      {"predicateAwait", [](Program &p) { p.functions[0].predicates = {{10, {"pp"}, 0}}; },
       "every rank executes instruction 10, which is await"},
  };
  return cases;
}

const std::vector<Case> &instructionCases() {
  static const std::vector<Case> cases = {
      {"bufferClass", [](Program &p) { p.functions[0].buffers[6].place.residualClass = 2; },
       "function 'fwd': buffer 6: residual class 2 does not exist"},
      {"bufferClassSegment", [](Program &p) { p.functions[0].buffers[6].place.segment = 1; },
       "is in segment 2, found 1"},
      {"bufferOffset", [](Program &p) { p.functions[0].buffers[1].place.offset = 2; },
       "offset is a multiple of the element's 4 bytes, found 2"},
      {"bufferNegative", [](Program &p) { p.functions[0].buffers[1].place.offset = -4; },
       "found -4"},
      {"bufferSlot", [](Program &p) { p.functions[0].buffers[6].place.offset = 100; },
       "32 bytes at offset 100 exceed 'batch' of 128 bytes"},
      {"launchKernel", [](Program &p) { op<Launch>(p).kernel = 1; },
       "instruction 0 (launch): kernel 1 does not exist"},
      {"launchCount", [](Program &p) { op<Launch>(p).buffers.pop_back(); },
       "passes 1 buffers, kernel 'scale' takes 2"},
      {"launchBuffer", [](Program &p) { op<Launch>(p).buffers[0] = 10; },
       "buffer 10 does not exist: there are 10"},
      {"launchType", [](Program &p) { op<Launch>(p).buffers[0] = 0; },
       "buffer 0 is not of the type of argument 0 of kernel 'scale'"},
      {"gemmSize", [](Program &p) { op<Gemm>(p).m = 0; }, "m, n, k and batch are at least 1"},
      {"gemmRows", [](Program &p) { op<Gemm>(p).m = 5; }, "a needs 80 elements, its buffer spans"},
      {"gemmLeading", [](Program &p) { op<Gemm>(p).ldb = 8; }, "ldb is at least the 16"},
      {"gemmOverflow", [](Program &p) { op<Gemm>(p).ldc = INT64_MAX; }, "more than 2^63"},
      {"gemmStride", [](Program &p) { op<Gemm>(p).strideA = -1; }, "stride of a is at least 0"},
      {"gemmItems",
       [](Program &p) {
         op<Gemm>(p).m = 1;
         op<Gemm>(p).batch = 2;
         op<Gemm>(p).strideC = 8;
       },
       "items of c overlap: stride of c is at least 16, found 8"},
      {"gemmWorkspace", [](Program &p) { op<Gemm>(p).workspace = 77; }, "workspace: buffer 77"},
      {"attentionRank", [](Program &p) { op<Attention>(p).q = 5; }, "rank 4, found 3 and 4"},
      {"attentionHeads",
       [](Program &p) { p.functions[0].buffers[4].view = denseView(DType::f32, {2, 4, 3, 8}); },
       "heads are a multiple of kv heads"},
      {"attentionOut", [](Program &p) { op<Attention>(p).out = 4; }, "out has shape [2, 4, 2, 8]"},
      {"attentionStride",
       [](Program &p) {
         p.functions[0].buffers[3].view = denseView(DType::f32, {2, 4, 4, 8});
         p.functions[0].buffers[3].view.strides = {256, 64, 16, 2};
       },
       "the elements of a head are adjacent, found stride 2"},
      {"attentionLse", [](Program &p) { op<Attention>(p).lse = 1; }, "lse has shape [4, 16]"},
      {"attentionLseType", [](Program &p) { p.functions[0].buffers[5].view.type = DType::bf16; },
       "lse has element type bf16, expected f32"},
      {"queryPositions", [](Program &p) { op<Attention>(p).queryPositions = 5; },
       "query positions has shape [2, 4, 4], expected [2, 4]"},
      {"keyPositions", [](Program &p) { op<Attention>(p).keyPositions = 5; },
       "key positions has shape [2, 4, 4], expected [2, 4]"},
      {"keyPositionsBuffer", [](Program &p) { op<Attention>(p).keyPositions = 10; },
       "key positions: buffer 10"},
      {"keyPositionsType",
       [](Program &p) {
         p.functions[0].buffers.push_back(buffer(1, 0, denseView(DType::f32, {2, 4})));
         op<Attention>(p).keyPositions = 10;
       },
       "key positions has element type f32, expected i32"},
      {"keyPositionsStride",
       [](Program &p) {
         p.functions[0].buffers.push_back(buffer(1, 0, denseView(DType::i32, {2, 4})));
         p.functions[0].buffers[10].view.strides[0] = 8;
         op<Attention>(p).keyPositions = 10;
       },
       "key positions are contiguous"},
      {"oneKindOfPositions", [](Program &p) { op<Attention>(p).keyPositions = kNone; },
       "has query and key positions together"},
      {"gradPositions", [](Program &p) { op<AttentionGrad>(p).queryPositions = 6; },
       "has query and key positions together"},
      {"attentionScratch", [](Program &p) { op<Attention>(p).scratch = 10; }, "scratch: buffer 10"},
      {"gradScratch",
       [](Program &p) {
         p.functions[0].buffers.push_back(buffer(1, 0, denseView(DType::i8, {2, 4})));
         p.functions[0].buffers[10].view.strides[0] = 8;
         op<AttentionGrad>(p).scratch = 10;
       },
       "scratch is contiguous"},
      {"gradScratchPlace",
       [](Program &p) {
         p.functions[0].buffers.push_back(buffer(1, 32, denseView(DType::i8, {8})));
         op<AttentionGrad>(p).scratch = 10;
       },
       "at one multiple of 64, found offset 32"},
      {"gradShape", [](Program &p) { op<AttentionGrad>(p).dk = 3; }, "dk has shape [2, 4, 4, 8]"},
      {"gradBuffer", [](Program &p) { op<AttentionGrad>(p).dv = 99; }, "dv: buffer 99"},
      {"embeddingTable", [](Program &p) { op<Embedding>(p).table = 7; }, "table has rank 2"},
      {"embeddingOut", [](Program &p) { op<Embedding>(p).out = 1; }, "out has shape [4, 16]"},
      {"embeddingTokens",
       [](Program &p) {
         op<Attention>(p).queryPositions = op<Attention>(p).keyPositions = kNone;
         p.functions[0].buffers[6].view.type = DType::u8;
       },
       "tokens has element type u8, expected i32"},
      {"embeddingRows", [](Program &p) { p.functions[0].buffers[7].view.strides = {128, 16, 1}; },
       "out has rows a fixed distance apart"},
      {"embeddingFirstRow", [](Program &p) { op<Embedding>(p).firstRow = 6; },
       "first_row is one number, found shape"},
      {"embeddingGradFirstRow", [](Program &p) { op<EmbeddingGrad>(p).firstRow = 99; },
       "first_row: buffer 99"},
      {"embeddingGrad", [](Program &p) { op<EmbeddingGrad>(p).dtable = 10; }, "dtable: buffer 10"},
      {"sourcesCount", [](Program &p) { p.functions[0].sources = {0}; },
       "a source for each of its 11 instructions, or none, found 1"},
      {"sourceBeyond", [](Program &p) { p.functions[1].sources = {1}; },
       "source 1 of an instruction does not exist: there are 1"},
      {"fill", [](Program &p) { op<Fill>(p).buffer = kNone; }, "buffer 4294967295 does not exist"},
      {"copy", [](Program &p) { op<Copy>(p).destination = 0; }, "destination has shape [16, 16]"},
      {"finiteNone", [](Program &p) { op<CheckFinite>(p).values.clear(); }, "at least 1 buffer"},
      {"finiteType", [](Program &p) { op<CheckFinite>(p).values[0] = 6; },
       "buffer 6 holds floating point values, found i32"},
      {"finiteFlag", [](Program &p) { op<CheckFinite>(p).flag = 1; }, "flag is one element"},
      {"startReduction", [](Program &p) { op<Start>(p).reduction = Reduction::none; },
       "all_reduce needs a reduction, found none"},
      {"startAxis", [](Program &p) { op<Start>(p).axes[0] = "dp"; }, "the mesh has no axis 'dp'"},
      {"startPeer", [](Program &p) { op<Start>(p).peer = 0; }, "has no peer, found 0"},
      {"startPairs", [](Program &p) { op<Start>(p).sources.clear(); },
       "as many sources as destinations, found 0 and 1"},
      {"startSize", [](Program &p) { op<Start>(p).destinations[0] = 0; },
       "pair 0 does not fit: [4, 16] and [16, 16] over 1 ranks"},
      {"receivePeer", [](Program &p) { std::get<Start>(p.functions[1].instructions[0]).peer = 2; },
       "peer is below the 2 ranks of the group, found 2"},
      {"receiveSource",
       [](Program &p) { std::get<Start>(p.functions[1].instructions[0]).sources = {0}; },
       "receive has only destinations"},
      {"awaitOther", [](Program &p) { op<Await>(p).start = 0; }, "0 is no earlier start"},
      {"awaitLater", [](Program &p) { op<Await>(p).start = 11; }, "11 is no earlier start"},
      {"awaitTwice", [](Program &p) { p.functions[0].instructions.push_back(Await{9}); },
       "instruction 9 is awaited twice"},
      {"awaitNever", [](Program &p) { p.functions[0].instructions.pop_back(); },
       "instruction 9 (start) is never awaited"},
      {"channel", [](Program &p) { std::get<Start>(p.functions[1].instructions[0]).channel = 2; },
       "channel is at least 0 and below 2, found 2"},
      {"asyncAwait", [](Program &p) { p.functions[1].instructions.push_back(Await{0}); },
       "stands in an async function"},
      {"asyncNoStart", [](Program &p) { p.functions[1].instructions.clear(); },
       "is async and starts no collective"},
  };
  return cases;
}

const std::vector<Case> &timelineCases() {
  static const std::vector<Case> cases = {
      {"stage", [](Program &p) { p.timelines[0].body[1].stage = -1; }, "at least 0, found -1"},
      {"function", [](Program &p) { p.timelines[0].body[1].function = 3; },
       "timeline 'train': body: entry 1: function 3 does not exist"},
      {"mode", [](Program &p) { p.timelines[0].body[1].mode = Mode::start; },
       "function 'fwd' is not async, but the entry says start"},
      {"class", [](Program &p) { p.timelines[0].body[1].slots[0].residualClass = 2; },
       "residual class 2 does not exist"},
      {"slot", [](Program &p) { p.timelines[0].body[1].slots[0].index = 2; },
       "slot 2 of residual class 'batch' does not exist: it has 2"},
      {"twice", [](Program &p) { p.timelines[0].body[1].slots[1] = {0, 1}; },
       "binds residual class 'batch' twice"},
      {"unbound", [](Program &p) { p.timelines[0].body[1].slots.clear(); },
       "binds no slot of residual class 'batch', which 'fwd' uses"},
      {"prologue", [](Program &p) { p.timelines[0].prologue[0].letter = Letter::forward; },
       "F stands in the body"},
      {"body", [](Program &p) { p.timelines[0].body[4].letter = Letter::update; },
       "O stands in the prologue or epilogue"},
      {"order", [](Program &p) { std::swap(p.timelines[0].body[1], p.timelines[0].body[4]); },
       "B of stage 0 microbatch 0 needs an earlier F"},
      {"weights", [](Program &p) { p.timelines[0].body[4].letter = Letter::weightBackward; },
       "W of stage 0 microbatch 0 needs an earlier I"},
      {"again", [](Program &p) { p.timelines[0].body[4].letter = Letter::forward; },
       "F of stage 0 microbatch 0 stands twice"},
      {"startTwice", [](Program &p) { p.timelines[0].body[2] = p.timelines[0].body[0]; },
       "starts again before it is awaited"},
      {"awaitFirst", [](Program &p) { std::swap(p.timelines[0].body[0], p.timelines[0].body[2]); },
       "awaits what was not started in this section"},
      {"awaitSlots", [](Program &p) { p.timelines[0].body[2].slots[0].index = 0; },
       "binds other slots than its start"},
      {"awaitNever", [](Program &p) { p.timelines[0].body.resize(2); },
       "entry 0 is never awaited in its section"},
      {"rank", [](Program &p) { p.timelines[0].pipelineRank = -2; },
       "timeline 'train': the pipeline rank is -1 or below the 2 of axis 'pp', found -2"},
      {"otherRank", [](Program &p) { p.segments[2].pipelineRank = 1; },
       "runs 'receive', which uses segment 'residuals' of rank 1"},
      {"received", [](Program &p) { std::swap(p.timelines[0].body[2], p.timelines[0].body[3]); },
       "uses slot 1 of residual class 'fwd_to_bwd', which a receive fills"},
      {"slotTaken",
       [](Program &p) {
         for (int i : {3, 5})
           p.timelines[0].body[static_cast<size_t>(i)].slots[0].index = 0;
       },
       "slot 0 of residual class 'batch' still belongs to microbatch 0"},
  };
  return cases;
}

class VerifyTest : public testing::TestWithParam<Case> {};

} // namespace

TEST_P(VerifyTest, RefusesWithTheReason) {
  Program program = testProgram();
  ASSERT_TRUE(verifyProgram(program).ok()) << verifyProgram(program).message();
  GetParam().damage(program);
  const Status status = verifyProgram(program);
  EXPECT_EQ(status.code(), StatusCode::dataLoss);
  EXPECT_NE(status.message().find(GetParam().message), std::string::npos) << status.message();
}

static std::string nameOf(const testing::TestParamInfo<Case> &info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Memory, VerifyTest, testing::ValuesIn(memoryCases()), nameOf);
INSTANTIATE_TEST_SUITE_P(Shardings, VerifyTest, testing::ValuesIn(shardingCases()), nameOf);
INSTANTIATE_TEST_SUITE_P(Coordinates, VerifyTest, testing::ValuesIn(coordinateCases()), nameOf);
INSTANTIATE_TEST_SUITE_P(Instructions, VerifyTest, testing::ValuesIn(instructionCases()), nameOf);
INSTANTIATE_TEST_SUITE_P(Timelines, VerifyTest, testing::ValuesIn(timelineCases()), nameOf);
