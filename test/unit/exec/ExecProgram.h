// A program that the CPU runs: y = sum(2 x w^T) through a residual, one slot per microbatch.
#pragma once

#include "runtime/format/Program.h"
#include "runtime/format/Verify.h"

#include <fstream>
#include <iterator>

namespace titan {

inline std::string readTestKernels() {
  std::ifstream file(TITAN_TEST_KERNELS, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Timeline "train": prologue zeroes `total`; body, for microbatches 0 and 1: fwd writes
/// h = 2 x w^T into its slot, bwd adds sum(h) to `total`.
inline format::Program execProgram(const std::string &image) {
  using namespace format;
  const View x = denseView(DType::f32, {4, 8}), scalar = denseView(DType::f32, {});
  Program p;
  p.target = "cpu";
  p.segments = {{"parameters", 1024, Space::device},
                {"io", 64, Space::device},
                {"residuals", 2048, Space::device},
                {"scratch", 4096, Space::device}};
  p.residualClasses = {{"batch", 2, 0, 2, 128}, {"fwd_to_bwd", 2, 256, 2, 128}};
  p.variables = {{"w",
                  denseView(DType::f32, {8, 8}),
                  Role::parameter,
                  {0, kNone, 0},
                  Initializer{Distribution::constant, {1}}},
                 {"total", scalar, Role::output, {1, kNone, 0}, std::nullopt},
                 {"x", x, Role::input, {2, 0, 0}, std::nullopt}};
  p.images = {{"image", "x86-64", {}, image}};
  p.kernels = {{"double", {{Access::read, x}, {Access::write, x}}, {{"double_rows", 4}}, {}, 0},
               {"sum",
                {{Access::read, x},
                 {Access::write, scalar},
                 {Access::readWrite, denseView(DType::f32, {4})}},
                {{"sum_rows", 4}, {"sum_partials", 1}},
                {},
                0}};
  const View one = denseView(DType::f32, {1});
  p.functions = {
      {"prologue", false, {}, {{{1, kNone, 0}, scalar}}, {Fill{0, 0}}},
      {"fwd",
       false,
       {},
       {{{2, 0, 0}, x}, {{0, kNone, 0}, p.variables[0].view}, {{3, kNone, 0}, x}, {{2, 1, 0}, x}},
       {Gemm{0, 1, 2, kNone, false, true, false, 4, 8, 8, 8, 8, 8}, Launch{0, {2, 3}}}},
      {"bwd",
       false,
       {},
       {{{2, 1, 0}, x},
        {{3, kNone, 0}, scalar},
        {{3, kNone, 64}, denseView(DType::f32, {4})},
        {{3, kNone, 0}, one},
        {{3, kNone, 128}, one},
        {{1, kNone, 0}, one}},
       // total += 1 * sum
       {Launch{1, {0, 1, 2}}, Fill{4, 1},
        Gemm{4, 3, 5, kNone, false, false, true, 1, 1, 1, 1, 1, 1}}}};
  p.timelines = {{"train",
                  {{Mode::run, Letter::prologue, 0, 0, 0, {}}},
                  {{Mode::run, Letter::forward, 1, 0, 0, {{0, 0}, {1, 0}}},
                   {Mode::run, Letter::forward, 1, 0, 1, {{0, 1}, {1, 1}}},
                   {Mode::run, Letter::backward, 2, 0, 0, {{1, 0}}},
                   {Mode::run, Letter::backward, 2, 0, 1, {{1, 1}}}},
                  {}}};
  return p;
}

} // namespace titan
