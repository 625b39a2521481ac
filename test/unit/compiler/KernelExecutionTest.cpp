// Machine code of kernels against what the ops mean, in double precision.
#include "test/unit/compiler/KernelRunner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

using namespace titan;
using namespace titan::testing;

namespace {

using Tensor = std::vector<double>;

Tensor randomTensor(int64_t size, unsigned seed, double low = -2, double high = 2) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(static_cast<float>(low), static_cast<float>(high));
  Tensor values(size);
  for (double &value : values)
    value = uniform(generator);
  return values;
}

Tensor randomLabels(int64_t rows, int64_t classes, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_int_distribution<int64_t> uniform(0, classes - 1);
  Tensor labels(rows);
  for (int64_t row = 0; row < rows; ++row)
    labels[row] = row % 5 == 3 ? -100 : static_cast<double>(uniform(generator));
  return labels;
}

/// `tolerance` is relative to the largest expected magnitude.
void expectClose(const Tensor &found, const Tensor &expected, double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  double scale = 1e-30;
  for (double value : expected)
    if (std::isfinite(value))
      scale = std::max(scale, std::abs(value));
  for (size_t index = 0; index < expected.size(); ++index) {
    if (!std::isfinite(expected[index])) {
      EXPECT_EQ(std::isnan(found[index]), std::isnan(expected[index])) << "element " << index;
      continue;
    }
    ASSERT_NEAR(found[index], expected[index], tolerance * scale) << "element " << index;
  }
}

/// Runs the function in every way that must give the same bits, and compares with `expected`.
void check(const std::string &source, const std::vector<Tensor> &arguments,
           const std::vector<Tensor> &expected, double tolerance = 1e-5,
           std::optional<size_t> kernels = std::nullopt) {
  KernelRunner runner(source);
  ASSERT_TRUE(runner.ok());
  if (kernels)
    EXPECT_EQ(runner.countKernels(), *kernels);
  auto results = runner.run(arguments);
  ASSERT_EQ(results.size(), expected.size());
  for (size_t index = 0; index < results.size(); ++index) {
    SCOPED_TRACE("result " + std::to_string(index));
    expectClose(results[index], expected[index], tolerance);
  }
  for (bool tie : {false, true}) {
    SCOPED_TRACE(tie ? "GPU form, tied" : "GPU form");
    KernelRunner gpu(source, {.tie = tie, .gpu = true});
    ASSERT_TRUE(gpu.ok());
    auto emulated = gpu.run(arguments);
    ASSERT_EQ(gpu.failure(), "");
    for (size_t index = 0; index < results.size(); ++index) {
      SCOPED_TRACE("result " + std::to_string(index));
      expectClose(emulated[index], expected[index], tolerance);
    }
  }
  for (bool tie : {false, true}) {
    KernelRunner other(source, {tie, /*splitBlocks=*/true, "host"});
    ASSERT_TRUE(other.ok());
    auto again = other.run(arguments);
    for (size_t index = 0; index < results.size(); ++index)
      for (size_t element = 0; element < results[index].size(); ++element)
        ASSERT_TRUE(results[index][element] == again[index][element] ||
                    std::isnan(results[index][element]))
            << (tie ? "tied" : "split") << ", result " << index << ", element " << element;
  }
}

std::string replaceAll(std::string text, const std::string &from, const std::string &to) {
  for (size_t place = 0; (place = text.find(from, place)) != std::string::npos; place += to.size())
    text.replace(place, from.size(), to);
  return text;
}

std::string shape(std::initializer_list<int64_t> sizes, const std::string &element) {
  std::string text = "tensor<";
  for (int64_t size : sizes)
    text += std::to_string(size) + "x";
  return text + element + ">";
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

} // namespace

TEST(KernelExecution, ElementwiseOps) {
  using Function = std::function<double(double, double)>;
  const std::vector<std::pair<std::string, Function>> ops = {
      {"add %a, %b", [](double a, double b) { return a + b; }},
      {"sub %a, %b", [](double a, double b) { return a - b; }},
      {"mul %a, %b", [](double a, double b) { return a * b; }},
      {"div %a, %b", [](double a, double b) { return a / b; }},
      {"minimum %a, %b", [](double a, double b) { return std::min(a, b); }},
      {"silu_grad %a, %b",
       [](double a, double b) {
         const double s = sigmoid(a);
         return b * s * (1 + a * (1 - s));
       }},
      {"neg %a", [](double a, double) { return -a; }},
      {"exp %a", [](double a, double) { return std::exp(a); }},
      {"log %a", [](double a, double) { return std::log(a); }},
      {"sqrt %a", [](double a, double) { return std::sqrt(a); }},
      {"rsqrt %a", [](double a, double) { return 1 / std::sqrt(a); }},
      {"silu %a", [](double a, double) { return a * sigmoid(a); }},
      {"is_finite %a", [](double a, double) { return std::isfinite(a) ? 1.0 : 0.0; }},
  };
  for (auto [rows, columns] : {std::pair<int64_t, int64_t>(3, 7), {129, 263}}) {
    const std::string type = shape({rows, columns}, "f32");
    const Tensor a = randomTensor(rows * columns, 1, 0.1, 3);
    const Tensor b = randomTensor(rows * columns, 2, 0.1, 3);
    for (const auto &[op, function] : ops) {
      SCOPED_TRACE(op);
      Tensor expected(a.size());
      for (size_t index = 0; index < a.size(); ++index)
        expected[index] = function(a[index], b[index]);
      check(replaceAll("func.func @f(%a: T, %b: T) -> T {\n  %r = titan." + op +
                           " : T\n  return %r : T\n}\n",
                       "T", type),
            {a, b}, {expected}, 1e-6, 1);
    }
  }
}

TEST(KernelExecution, ExtremeValues) {
  const double infinity = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Tensor x = {-200, -90, 0, 90, 200, infinity, -infinity, nan};
  KernelRunner runner(R"(
    func.func @f(%x: tensor<8xf32>) -> (tensor<8xf32>, tensor<8xf32>, tensor<8xf32>) {
      %s = titan.silu %x : tensor<8xf32>
      %e = titan.exp %x : tensor<8xf32>
      %i = titan.is_finite %x : tensor<8xf32>
      return %s, %e, %i : tensor<8xf32>, tensor<8xf32>, tensor<8xf32>
    })");
  ASSERT_TRUE(runner.ok());
  auto results = runner.run({x});
  EXPECT_EQ(results[0][0], 0);
  EXPECT_EQ(results[0][2], 0);
  EXPECT_EQ(results[0][3], 90);
  EXPECT_EQ(results[0][4], 200);
  EXPECT_EQ(results[0][5], infinity);
  EXPECT_TRUE(std::isnan(results[0][7]));
  EXPECT_EQ(results[1][0], 0);
  EXPECT_EQ(results[1][2], 1);
  EXPECT_EQ(results[1][4], infinity);
  EXPECT_EQ(results[1][6], 0);
  EXPECT_TRUE(std::isnan(results[1][7]));
  EXPECT_EQ(results[2], (Tensor{1, 1, 1, 1, 1, 0, 0, 0}));
}

TEST(KernelExecution, ResidualAndNorm) {
  for (auto [batch, seq, dim] : {std::tuple<int64_t, int64_t, int64_t>(2, 5, 37), {3, 50, 256}}) {
    const int64_t rows = batch * seq;
    std::string source = replaceAll(replaceAll(replaceAll(R"(
      func.func @f(%x: X, %f: X, %w: W) -> (X, X, R) {
        %h = titan.add %x, %f : X
        %y, %rstd = titan.rms_norm %h, %w epsilon 1.0e-5 : X, W -> X, R
        return %h, %y, %rstd : X, X, R
      })",
                                                          "X", shape({batch, seq, dim}, "f32")),
                                               "W", shape({dim}, "f32")),
                                    "R", shape({batch, seq}, "f32"));
    const Tensor x = randomTensor(rows * dim, 1), f = randomTensor(rows * dim, 2);
    const Tensor w = randomTensor(dim, 3);
    Tensor h(rows * dim), y(rows * dim), rstd(rows);
    for (int64_t row = 0; row < rows; ++row) {
      double sum = 0;
      for (int64_t column = 0; column < dim; ++column) {
        const int64_t at = row * dim + column;
        h[at] = x[at] + f[at];
        sum += h[at] * h[at];
      }
      rstd[row] = 1 / std::sqrt(sum / static_cast<double>(dim) + 1e-5);
      for (int64_t column = 0; column < dim; ++column)
        y[row * dim + column] = h[row * dim + column] * rstd[row] * w[column];
    }
    check(source, {x, f, w}, {h, y, rstd}, 1e-5, 1);
  }
}

TEST(KernelExecution, NormGradientAddsToTheWeightsGradient) {
  for (auto [batch, seq, dim] : {std::tuple<int64_t, int64_t, int64_t>(1, 3, 5), {2, 301, 131}}) {
    const int64_t rows = batch * seq;
    std::string source = replaceAll(replaceAll(replaceAll(R"(
      func.func @f(%dy: X, %x: X, %w: W, %rstd: R, %res: X, %acc: W) -> (X, W) {
        %dx, %dw = titan.rms_norm_grad %dy, %x, %w, %rstd : X, X, W, R -> X, W
        %sum = titan.add %dx, %res : X
        %total = titan.add %acc, %dw : W
        return %sum, %total : X, W
      })",
                                                          "X", shape({batch, seq, dim}, "f32")),
                                               "W", shape({dim}, "f32")),
                                    "R", shape({batch, seq}, "f32"));
    const Tensor dy = randomTensor(rows * dim, 1), x = randomTensor(rows * dim, 2);
    const Tensor w = randomTensor(dim, 3), rstd = randomTensor(rows, 4, 0.5, 1.5);
    const Tensor residual = randomTensor(rows * dim, 5), accumulator = randomTensor(dim, 6);
    Tensor dx(rows * dim), dw = accumulator;
    for (int64_t row = 0; row < rows; ++row) {
      double dot = 0;
      const double r = rstd[row];
      for (int64_t column = 0; column < dim; ++column) {
        const int64_t at = row * dim + column;
        dot += dy[at] * w[column] * x[at];
        dw[column] += dy[at] * x[at] * r;
      }
      for (int64_t column = 0; column < dim; ++column) {
        const int64_t at = row * dim + column;
        dx[at] = residual[at] + r * dy[at] * w[column] -
                 x[at] * r * r * r * dot / static_cast<double>(dim);
      }
    }
    check(source, {dy, x, w, rstd, residual, accumulator}, {dx, dw}, 1e-5, 1);
  }
}

TEST(KernelExecution, SwigluForwardAndBackward) {
  const int64_t rows = 41, columns = 173;
  const std::string type = shape({rows, columns}, "f32");
  const Tensor a = randomTensor(rows * columns, 1, -6, 6), b = randomTensor(rows * columns, 2);
  const Tensor dy = randomTensor(rows * columns, 3);
  Tensor y(a.size()), da(a.size()), db(a.size());
  for (size_t at = 0; at < a.size(); ++at) {
    const double s = sigmoid(a[at]);
    y[at] = a[at] * s * b[at];
    da[at] = dy[at] * b[at] * s * (1 + a[at] * (1 - s));
    db[at] = dy[at] * a[at] * s;
  }
  check(replaceAll(R"(
    func.func @f(%dy: T, %a: T, %b: T) -> (T, T, T) {
      %s = titan.silu %a : T
      %y = titan.mul %s, %b : T
      %ds = titan.mul %dy, %b : T
      %da = titan.silu_grad %a, %ds : T
      %db = titan.mul %dy, %s : T
      return %y, %da, %db : T, T, T
    })",
                   "T", type),
        {dy, a, b}, {y, da, db}, 1e-5, 1);
}

static void checkRope(bool inverse, bool perRow) {
  const int64_t batch = 2, seq = 9, heads = 3, pairs = 10;
  std::string source =
      replaceAll(replaceAll(R"(
    func.func @f(%x: X, %c: C, %s: C) -> X {
      %r = titan.rope INV %x, %c, %s : X, C, C -> X
      return %r : X
    })",
                            "X", shape({batch, seq, heads, 2 * pairs}, "f32")),
                 "C", perRow ? shape({batch, seq, pairs}, "f32") : shape({seq, pairs}, "f32"));
  source = replaceAll(source, "INV", inverse ? "inverse" : "");
  const Tensor x = randomTensor(batch * seq * heads * 2 * pairs, 1);
  const int64_t angles = (perRow ? batch : 1) * seq * pairs;
  const Tensor cosine = randomTensor(angles, 2, -1, 1), sine = randomTensor(angles, 3, -1, 1);
  Tensor expected(x.size());
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t s = 0; s < seq; ++s)
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t p = 0; p < pairs; ++p) {
          const int64_t at = ((b * seq + s) * heads + h) * 2 * pairs + 2 * p;
          const int64_t angle = ((perRow ? b : 0) * seq + s) * pairs + p;
          const double c = cosine[angle], n = inverse ? -sine[angle] : sine[angle];
          expected[at] = x[at] * c - x[at + 1] * n;
          expected[at + 1] = x[at + 1] * c + x[at] * n;
        }
  check(source, {x, cosine, sine}, {expected}, 1e-6, 1);
}

TEST(KernelExecution, Rope) {
  checkRope(false, false);
  checkRope(true, false);
  checkRope(false, true);
}

/// The logits have `columns`, of which those from `classes` on are padding.
static void checkCrossEntropy(int64_t rows, int64_t classes, int64_t columns,
                              const std::string &element, double tolerance) {
  std::string source = replaceAll(replaceAll(R"(
    func.func @f(%l: L, %t: I, %d: tensor<f32>, %acc: tensor<f32>)
        -> (tensor<f32>, tensor<f32>, L, tensor<f32>, tensor<f32>) {
      %loss, %valid, %dl = titan.cross_entropy_grad %l, %t, %d {num_classes = N}
          : (L, I, tensor<f32>) -> (tensor<f32>, tensor<f32>, L)
      %sum = titan.add %acc, %loss : tensor<f32>
      %loss2, %valid2 = titan.cross_entropy %l, %t {num_classes = N} : (L, I) -> (tensor<f32>, tensor<f32>)
      return %sum, %valid, %dl, %loss2, %valid2
          : tensor<f32>, tensor<f32>, L, tensor<f32>, tensor<f32>
    })",
                                             "L", shape({rows, columns}, element)),
                                  "I", shape({rows}, "i32"));
  source = replaceAll(source, " {num_classes = N}",
                      columns > classes ? " {num_classes = " + std::to_string(classes) + "}" : "");
  Tensor logits = randomTensor(rows * columns, 1, -8, 8);
  if (element == "bf16")
    for (double &value : logits)
      value = std::round(value * 8) / 8;
  const Tensor labels = randomLabels(rows, classes, 2);
  Tensor gradient(logits.size());
  double loss = 0, valid = 0;
  for (int64_t row = 0; row < rows; ++row) {
    double sum = 0;
    for (int64_t c = 0; c < classes; ++c)
      sum += std::exp(logits[row * columns + c]);
    if (labels[row] < 0)
      continue;
    const auto label = static_cast<int64_t>(labels[row]);
    loss += std::log(sum) - logits[row * columns + label];
    valid += 1;
    for (int64_t c = 0; c < classes; ++c)
      gradient[row * columns + c] =
          0.5 * (std::exp(logits[row * columns + c]) / sum - (c == label ? 1 : 0));
  }
  check(source, {logits, labels, {0.5}, {10}}, {{loss + 10}, {valid}, gradient, {loss}, {valid}},
        tolerance, 1);
}

TEST(KernelExecution, CrossEntropy) {
  checkCrossEntropy(7, 33, 33, "f32", 2e-6);
  checkCrossEntropy(130, 1003, 1003, "f32", 2e-6);
  checkCrossEntropy(13, 77, 77, "bf16", 4e-3);
  checkCrossEntropy(7, 33, 40, "f32", 2e-6);
  checkCrossEntropy(5, 31, 36, "bf16", 4e-3);
}

/// What is rounded does not depend on which ops share a kernel: a sum of bfloat16 is one before it
/// is multiplied, and a cast rounds although nothing is stored between.
TEST(KernelExecution, RoundsWithinAKernel) {
  const std::string source = R"(
    func.func @f(%a: tensor<4xbf16>, %b: tensor<4xbf16>, %w: tensor<4xf32>)
        -> (tensor<4xbf16>, tensor<4xf32>) {
      %s = titan.add %a, %b : tensor<4xbf16>
      %d = titan.sub %s, %a : tensor<4xbf16>
      %n = titan.cast %w : tensor<4xf32> -> tensor<4xbf16>
      %c = titan.cast %n : tensor<4xbf16> -> tensor<4xf32>
      return %d, %c : tensor<4xbf16>, tensor<4xf32>
    })";
  // 256 + 1 is 256 in bfloat16, and 256 + 3 is 260; ties go to even.
  check(source, {{256, 256, 1, -256}, {1, 3, 0.5, -1}, {1.00390625, 1.01171875, -1.005, 3}},
        {{0, 4, 0.5, 0}, {1, 1.015625, -1.0078125, 3}}, 1e-12);
}

// Every scalar op, beside built-in ops in one kernel, over rows.
TEST(KernelExecution, Map) {
  const Tensor a = randomTensor(40 * 96, 1), b = randomTensor(40 * 96, 2), s = {0.75};
  Tensor sums(40, 0.0), y = a;
  for (size_t i = 0; i < a.size(); ++i) {
    const double root = std::sqrt(b[i] * b[i] + 0.5), log = std::log(b[i] * b[i] + 0.5);
    const double low = std::min(std::fabs(a[i]), root), high = std::max(std::erf(b[i]), s[0]);
    const double minus = -(low / std::exp(std::tanh(a[i])));
    y[i] = (high - (a[i] < b[i] ? minus : log)) * s[0] + a[i];
    sums[i / 96] += y[i];
  }
  check(R"(
    func.func @f(%a: tensor<40x96xf32>, %b: tensor<40x96xf32>, %s: tensor<f32>)
        -> (tensor<40x96xf32>, tensor<40xf32>) {
      %m = titan.map (%x = %a, %y = %b, %z = %s)
          : (tensor<40x96xf32>, tensor<40x96xf32>, tensor<f32>) -> tensor<40x96xf32> {
        %half = arith.constant 0.5 : f32
        %square = arith.mulf %y, %y : f32
        %positive = arith.addf %square, %half : f32
        %root = math.sqrt %positive : f32
        %log = math.log %positive : f32
        %tanh = math.tanh %x : f32
        %erf = math.erf %y : f32
        %exp = math.exp %tanh : f32
        %abs = math.absf %x : f32
        %low = arith.minimumf %abs, %root : f32
        %high = arith.maximumf %erf, %z : f32
        %quotient = arith.divf %low, %exp : f32
        %minus = arith.negf %quotient : f32
        %less = arith.cmpf olt, %x, %y : f32
        %either = arith.select %less, %minus, %log : f32
        %difference = arith.subf %high, %either : f32
        %product = arith.mulf %difference, %z : f32
        titan.yield %product : f32
      }
      %r = titan.add %m, %a : tensor<40x96xf32>
      %sum = titan.reduce sum %r [1] : tensor<40x96xf32> -> tensor<40xf32>
      return %r, %sum : tensor<40x96xf32>, tensor<40xf32>
    })",
        {a, b, s}, {y, sums}, 1e-5, 1);
}

TEST(KernelExecution, AdamUpdate) {
  const int64_t size = 70001;
  const double lr = 0.01, scale = 0.25, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, decay = 0.1;
  const double correction1 = 0.271, correction2 = 0.142625;
  for (bool decoupled : {true, false}) {
    for (double finite : {1.0, 0.0}) {
      std::string source = replaceAll(R"(
        func.func @f(%p: T, %g: T, %m: T, %v: T, %lr: S, %s: S, %c1: S, %c2: S, %fin: S, %r1: S,
                       %r2: S, %e: S, %d: S)
            -> (T, T, T) {
          %r:3 = titan.adam_update %p, %g, %m, %v lr %lr scale %s bias_corrections %c1, %c2
              finite %fin one_minus_betas %r1, %r2 epsilon %e weight_decay %d DECOUPLED
              : T, T, T, T, S, S, S, S, S, S, S, S, S
          return %r#0, %r#1, %r#2 : T, T, T
        })",
                                      "DECOUPLED", decoupled ? "{decoupled}" : "");
      source = replaceAll(replaceAll(source, ": S", ": tensor<f32>"), ", S", ", tensor<f32>");
      source = replaceAll(source, "T", shape({size}, "f32"));
      const Tensor p = randomTensor(size, 1), g = randomTensor(size, 2);
      const Tensor m = randomTensor(size, 3), v = randomTensor(size, 4, 0.1, 2);
      Tensor p2 = p, m2 = m, v2 = v;
      for (int64_t at = 0; finite != 0 && at < size; ++at) {
        const double gradient = g[at] * scale + (decoupled ? 0 : decay * p[at]);
        m2[at] = beta1 * m[at] + (1 - beta1) * gradient;
        v2[at] = beta2 * v[at] + (1 - beta2) * gradient * gradient;
        p2[at] = p[at] * (decoupled ? 1 - lr * decay : 1) -
                 lr * (m2[at] / correction1) / (std::sqrt(v2[at] / correction2) + epsilon);
      }
      check(source,
            {p,
             g,
             m,
             v,
             {lr},
             {scale},
             {correction1},
             {correction2},
             {finite},
             {1 - beta1},
             {1 - beta2},
             {epsilon},
             {decay}},
            {p2, m2, v2}, 1e-6, 1);
    }
  }
}

TEST(KernelExecution, SumOfSquaresAndWhatFollows) {
  const Tensor a = randomTensor(40 * 333, 1), b = randomTensor(777, 2);
  double sum = 0;
  for (double value : a)
    sum += value * value;
  for (double value : b)
    sum += value * value;
  const double norm = std::sqrt(sum) / 100;
  check(R"(
    func.func @f(%a: tensor<40x333xf32>, %b: tensor<777xf32>, %n: tensor<f32>)
        -> (tensor<f32>, tensor<f32>, tensor<777xf32>) {
      %s = titan.sum_of_squares %a, %b : tensor<40x333xf32>, tensor<777xf32> -> tensor<f32>
      %r = titan.sqrt %s : tensor<f32>
      %norm = titan.div %r, %n : tensor<f32>
      %finite = titan.is_finite %norm : tensor<f32>
      %wide = titan.broadcast %norm [] : tensor<f32> -> tensor<777xf32>
      %scaled = titan.mul %b, %wide : tensor<777xf32>
      return %norm, %finite, %scaled : tensor<f32>, tensor<f32>, tensor<777xf32>
    })",
        {a, b, {100}},
        {{norm},
         {1},
         [&] {
           Tensor scaled = b;
           for (double &value : scaled)
             value *= norm;
           return scaled;
         }()},
        1e-5, 4);
}

TEST(KernelExecution, ReductionsOverAnyDimensions) {
  const std::array<int64_t, 3> sizes = {6, 11, 20};
  const Tensor x = randomTensor(6 * 11 * 20, 1);
  for (unsigned mask = 1; mask < 8; ++mask) {
    for (bool isMax : {false, true}) {
      std::string list, kept;
      for (int64_t d = 0; d < 3; ++d) {
        if (mask >> d & 1)
          list += (list.empty() ? "" : ", ") + std::to_string(d);
        else
          kept += std::to_string(sizes[d]) + "x";
      }
      SCOPED_TRACE(list + (isMax ? " max" : " sum"));
      const std::string result = "tensor<" + kept + "f32>";
      Tensor expected;
      std::vector<int64_t> strides(3, 0);
      int64_t count = 1;
      for (int64_t d = 2; d >= 0; --d)
        if (!(mask >> d & 1)) {
          strides[d] = count;
          count *= sizes[d];
        }
      expected.assign(count, isMax ? -1e30 : 0);
      for (int64_t i = 0, at = 0; i < 6; ++i)
        for (int64_t j = 0; j < 11; ++j)
          for (int64_t k = 0; k < 20; ++k, ++at) {
            double &place = expected[i * strides[0] + j * strides[1] + k * strides[2]];
            place = isMax ? std::max(place, x[at]) : place + x[at];
          }
      check("func.func @f(%x: tensor<6x11x20xf32>) -> " + result + " {\n  %r = titan.reduce " +
                (isMax ? "max" : "sum") + " %x [" + list + "] : tensor<6x11x20xf32> -> " + result +
                "\n  return %r : " + result + "\n}",
            {x}, {expected}, 1e-5, 1);
    }
  }
}

TEST(KernelExecution, TransposeWithItsProducerAndConsumer) {
  const int64_t a = 5, b = 17, c = 24;
  const Tensor x = randomTensor(a * b * c, 1), bias = randomTensor(a * b * c, 2);
  Tensor expected(x.size());
  for (int64_t i = 0; i < a; ++i)
    for (int64_t j = 0; j < b; ++j)
      for (int64_t k = 0; k < c; ++k)
        expected[(j * a + i) * c + k] =
            std::exp(x[(i * b + j) * c + k]) + bias[(j * a + i) * c + k];
  check(R"(
    func.func @f(%x: tensor<5x17x24xf32>, %bias: tensor<17x5x24xf32>) -> tensor<17x5x24xf32> {
      %e = titan.exp %x : tensor<5x17x24xf32>
      %t = titan.transpose %e [1, 0, 2] : tensor<5x17x24xf32> -> tensor<17x5x24xf32>
      %r = titan.add %t, %bias : tensor<17x5x24xf32>
      return %r : tensor<17x5x24xf32>
    })",
        {x, bias}, {expected}, 1e-5, 1);
}

TEST(KernelExecution, ExponentialIsAccurate) {
  const int64_t size = 1 << 18;
  Tensor x(size);
  for (int64_t at = 0; at < size; ++at)
    x[at] = static_cast<float>(-86.9 + 175.6 * static_cast<double>(at) / static_cast<double>(size));
  KernelRunner runner("func.func @f(%x: tensor<262144xf32>) -> tensor<262144xf32> {\n"
                      "  %e = titan.exp %x : tensor<262144xf32>\n"
                      "  return %e : tensor<262144xf32>\n}");
  ASSERT_TRUE(runner.ok());
  const Tensor found = runner.run({x})[0];
  double worst = 0;
  for (int64_t at = 0; at < size; ++at)
    worst = std::max(worst, std::abs(found[at] / std::exp(x[at]) - 1));
  EXPECT_LT(worst, 1.5e-7);
}
