// A small program with every instruction, for tests of the format.
#pragma once

#include "runtime/format/Program.h"

namespace titan::format {

inline Buffer buffer(uint32_t segment, int64_t offset, View view) {
  return {{segment, kNone, offset}, view};
}

inline Function computeFunction() {
  const View q = denseView(DType::f32, {2, 4, 4, 8}), k = denseView(DType::f32, {2, 4, 2, 8});
  Function f{"fwd", false, Cost{1000, 2000}, {}, {}};
  f.buffers = {buffer(0, 0, denseView(DType::f32, {16, 16})),      // 0 weight
               buffer(1, 0, denseView(DType::f32, {4, 16})),       // 1
               buffer(1, 1024, denseView(DType::f32, {4, 16})),    // 2
               buffer(1, 4096, q),                                 // 3
               buffer(1, 8192, k),                                 // 4
               buffer(1, 12288, denseView(DType::f32, {2, 4, 4})), // 5 lse
               {{2, 0, 0}, denseView(DType::i32, {2, 4})},         // 6 tokens, positions
               buffer(1, 16384, denseView(DType::f32, {2, 4, 16})),
               buffer(1, 20480, denseView(DType::f32, {})), // 8 scalar
               buffer(1, 24576, denseView(DType::u8, {4096}))};
  Gemm gemm{1, 0, 2, 9, false, true, false, 4, 16, 16, 16, 16, 16, 1, 0, 0, 0};
  f.instructions = {Launch{0, {1, 2}},
                    gemm,
                    Attention{3, 4, 4, 6, 6, 3, 5, 9, 0.5f, true},
                    AttentionGrad{3, 4, 4, kNone, kNone, 3, 5, 3, 3, 4, 4, kNone, 0.5f, false},
                    Embedding{6, 0, 7},
                    EmbeddingGrad{7, 6, 0, 9},
                    Fill{8, 1.5},
                    Copy{1, 2},
                    CheckFinite{{1, 2}, 8},
                    Start{Collective::allReduce, Reduction::sum, {"tp"}, -1, {1}, {2}},
                    Await{9}};
  return f;
}

inline Program testProgram() {
  Program p;
  p.target = "cpu";
  p.mesh = {{"pp", 2}, {"tp", 1}};
  p.flopsPerToken = 768;
  p.job = "[model]\nname = \"llama3\"\n";
  p.sources = {"job.toml"};
  p.segments = {{"parameters", 2048, Space::device},
                {"scratch", 32768, Space::device},
                {"residuals", 1024, Space::host}};
  p.residualClasses = {{"batch", 2, 0, 2, 128}, {"fwd_to_bwd", 2, 256, 2, 256}};
  p.variables = {{"w",
                  denseView(DType::f32, {16, 16}),
                  Role::parameter,
                  {0, kNone, 0},
                  Initializer{Distribution::truncatedNormal, {0, 0.02, -0.04, 0.04}}},
                 {"norm",
                  denseView(DType::bf16, {16}),
                  Role::parameter,
                  {0, kNone, 1024},
                  Initializer{Distribution::constant, {1}}},
                 {"tokens", denseView(DType::i32, {2, 4}), Role::input, {2, 0, 0}, std::nullopt},
                 {"slice",
                  denseView(DType::f32, {16}),
                  Role::gradient,
                  {0, kNone, 1088},
                  std::nullopt,
                  Sharding{{6, 4}, {{}, {"tp"}}, {}, {"pp"}, 8}},
                 {"addend",
                  denseView(DType::f32, {3}),
                  Role::counter,
                  {0, kNone, 1152},
                  std::nullopt,
                  Sharding{{6}, {{"pp"}}, {"tp"}, {}, 1}},
                 {"first_row",
                  denseView(DType::i32, {}),
                  Role::derived,
                  {0, kNone, 1216},
                  Initializer{Distribution::axisIndex, {512}, {"pp", "tp"}}}};
  p.images = {{"cpu_kernels", "x86-64", {"avx2", "fma"}, "not really machine code"},
              {"empty", "x86-64", {}, ""}};
  p.kernels = {{"scale",
                {{Access::read, denseView(DType::f32, {4, 16})},
                 {Access::write, denseView(DType::f32, {4, 16})}},
                {{"scale_0", 4}, {"scale_1", 1}},
                Cost{64, 512},
                0}};
  Function receive{"receive", true, std::nullopt, {}, {}};
  receive.buffers = {{{2, 1, 64}, denseView(DType::f32, {16})}};
  receive.instructions = {Start{Collective::receive, Reduction::none, {"pp"}, 1, {}, {0}}};
  Function update{"update", false, std::nullopt, {}, {}};
  update.buffers = {{{0, kNone, 0}, denseView(DType::f32, {8, 16}), Rotation{{"pp"}, 512, 1}}};
  update.instructions = {Fill{0, 0}};
  update.predicates = {{0, {"pp", "tp"}, 1}};
  p.functions = {computeFunction(), receive, update};
  p.functions[0].sources.assign(p.functions[0].instructions.size(), 0);
  p.functions[0].sources.back() = kNone;
  p.timelines = {{"train",
                  {{Mode::run, Letter::prologue, 2, 0, 0, {}}},
                  {{Mode::start, Letter::receive, 1, 0, 1, {{1, 1}}},
                   {Mode::run, Letter::forward, 0, 0, 0, {{0, 0}, {1, 0}}},
                   {Mode::await, Letter::receive, 1, 0, 1, {{1, 1}}},
                   {Mode::run, Letter::forward, 0, 0, 1, {{0, 1}, {1, 1}}},
                   {Mode::run, Letter::backward, 0, 0, 0, {{0, 0}, {1, 0}}},
                   {Mode::run, Letter::backward, 0, 0, 1, {{0, 1}, {1, 1}}}},
                  {{Mode::run, Letter::update, 2, 0, 0, {}}}}};
  return p;
}

} // namespace titan::format
