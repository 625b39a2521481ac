#include "test/stubs/PtxArithmetic.h"

#include "runtime/base/DType.h"

#include <cmath>
#include <limits>

namespace titan::stub {
namespace {

/// The value of a number's bits.
double decode(uint64_t bits, PtxType type) {
  switch (type) {
  case PtxType::f32:
    return static_cast<double>(asFloat(bits));
  case PtxType::f64:
    return std::bit_cast<double>(bits);
  case PtxType::bf16:
    return static_cast<double>(fromBFloat16(static_cast<uint16_t>(bits)));
  case PtxType::f16:
    return static_cast<double>(fromHalf(static_cast<uint16_t>(bits)));
  default:
    return isSigned(type) ? static_cast<double>(signExtend(bits, type))
                          : static_cast<double>(truncate(bits, type));
  }
}

/// As cvt.rn does: every NaN becomes the one with all bits of the fraction.
uint16_t roundToBFloat16(float value) { return std::isnan(value) ? 0x7fff : toBFloat16(value); }

uint64_t encodeFloat(double value, PtxType type) {
  switch (type) {
  case PtxType::f64:
    return std::bit_cast<uint64_t>(value);
  case PtxType::bf16:
    return roundToBFloat16(static_cast<float>(value));
  case PtxType::f16:
    return std::bit_cast<uint16_t>(static_cast<_Float16>(value));
  default:
    return bitsOf(static_cast<float>(value));
  }
}

uint64_t toInteger(double value, PtxType type) {
  if (std::isnan(value))
    return 0;
  const int bits = 8 * bytesOf(type);
  const double low = isSigned(type) ? -std::ldexp(1.0, bits - 1) : 0;
  const double high = std::ldexp(1.0, isSigned(type) ? bits - 1 : bits);
  if (value <= low)
    return truncate(static_cast<uint64_t>(static_cast<int64_t>(low)), type);
  if (value >= high)
    return isSigned(type) ? (uint64_t{1} << (bits - 1)) - 1 : truncate(~uint64_t{0}, type);
  return truncate(isSigned(type) ? static_cast<uint64_t>(static_cast<int64_t>(value))
                                 : static_cast<uint64_t>(value),
                  type);
}

bool compare(const PtxInstruction &it, uint64_t a, uint64_t b) {
  auto test = [&](auto x, auto y) {
    switch (it.compare) {
    case PtxCompare::eq:
      return x == y;
    case PtxCompare::ne:
      return x != y;
    case PtxCompare::lt:
      return x < y;
    case PtxCompare::le:
      return x <= y;
    case PtxCompare::gt:
      return x > y;
    default:
      return x >= y;
    }
  };
  if (isFloat(it.type)) {
    const double x = decode(a, it.type), y = decode(b, it.type);
    if (std::isnan(x) || std::isnan(y))
      return it.unordered || it.compare == PtxCompare::nan;
    if (it.compare == PtxCompare::nan || it.compare == PtxCompare::num)
      return it.compare == PtxCompare::num;
    return test(x, y);
  }
  return isSigned(it.type) ? test(signExtend(a, it.type), signExtend(b, it.type))
                           : test(truncate(a, it.type), truncate(b, it.type));
}

uint64_t convert(const PtxInstruction &it, uint64_t a, uint64_t b) {
  if (it.type == PtxType::bf16x2)
    return uint64_t{roundToBFloat16(asFloat(a))} << 16 | roundToBFloat16(asFloat(b));
  if (!isFloat(it.type) && !isFloat(it.from))
    return truncate(isSigned(it.from) ? static_cast<uint64_t>(signExtend(a, it.from))
                                      : truncate(a, it.from),
                    it.type);
  double value = decode(a, it.from);
  if (it.toInteger)
    value = it.towardsZero ? std::trunc(value) : std::nearbyint(value);
  return isFloat(it.type) ? encodeFloat(value, it.type) : toInteger(value, it.type);
}

uint64_t floatArithmetic(const PtxInstruction &it, const uint64_t *in) {
  if (it.type == PtxType::f64)
    fail(it, "no arithmetic in float64");
  const float a = static_cast<float>(decode(in[0], it.type)),
              b = static_cast<float>(decode(in[1], it.type)),
              c = static_cast<float>(decode(in[2], it.type));
  const auto wide = static_cast<double>(a);
  double result = 0;
  if (it.keepsNan && (std::isnan(a) || std::isnan(b)))
    return encodeFloat(std::numeric_limits<double>::quiet_NaN(), it.type);
  switch (it.op) {
  case PtxOp::add:
    result = static_cast<double>(a + b);
    break;
  case PtxOp::sub:
    result = static_cast<double>(a - b);
    break;
  case PtxOp::mul:
    result = static_cast<double>(a * b);
    break;
  case PtxOp::fma:
    result = static_cast<double>(std::fma(a, b, c));
    break;
  case PtxOp::div:
    result = static_cast<double>(a / b);
    break;
  case PtxOp::min:
    result = static_cast<double>(std::fmin(a, b));
    break;
  case PtxOp::max:
    result = static_cast<double>(std::fmax(a, b));
    break;
  case PtxOp::rcp:
    result = 1 / wide;
    break;
  case PtxOp::sqrt:
    result = std::sqrt(wide);
    break;
  case PtxOp::rsqrt:
    result = 1 / std::sqrt(wide);
    break;
  case PtxOp::ex2:
    result = std::exp2(wide);
    break;
  case PtxOp::lg2:
    result = std::log2(wide);
    break;
  default:
    fail(it, "no such instruction for floating point");
  }
  return encodeFloat(result, it.type);
}

uint64_t integerArithmetic(const PtxInstruction &it, const uint64_t *in) {
  const PtxType type = it.type;
  const bool negative = isSigned(type);
  const uint64_t a =
      negative ? static_cast<uint64_t>(signExtend(in[0], type)) : truncate(in[0], type);
  const uint64_t b =
      negative ? static_cast<uint64_t>(signExtend(in[1], type)) : truncate(in[1], type);
  const auto x = static_cast<int64_t>(a), y = static_cast<int64_t>(b);
  switch (it.op) {
  case PtxOp::add:
    return a + b;
  case PtxOp::sub:
    return a - b;
  case PtxOp::mul:
  case PtxOp::mulWide:
    return a * b;
  case PtxOp::mulHigh: {
    const int bits = 8 * bytesOf(type);
    return negative ? static_cast<uint64_t>((static_cast<__int128>(x) * y) >> bits)
                    : static_cast<uint64_t>((static_cast<unsigned __int128>(a) * b) >> bits);
  }
  case PtxOp::mad:
  case PtxOp::madWide:
    return a * b + in[2];
  case PtxOp::div:
  case PtxOp::rem:
    if (b == 0)
      fail(it, "a division by zero");
    if (it.op == PtxOp::div)
      return negative ? static_cast<uint64_t>(x / y) : a / b;
    return negative ? static_cast<uint64_t>(x % y) : a % b;
  case PtxOp::min:
    return negative ? static_cast<uint64_t>(std::min(x, y)) : std::min(a, b);
  case PtxOp::max:
    return negative ? static_cast<uint64_t>(std::max(x, y)) : std::max(a, b);
  case PtxOp::neg:
    return -a;
  case PtxOp::abs:
    return static_cast<uint64_t>(std::abs(x));
  default:
    fail(it, "no such instruction for integers");
  }
}

} // namespace

uint64_t arithmetic(const PtxInstruction &it, const uint64_t *in) {
  const auto amount = static_cast<uint32_t>(in[1]);
  const auto bits = static_cast<uint32_t>(8 * bytesOf(it.type));
  switch (it.op) {
  case PtxOp::mov:
    return in[0];
  case PtxOp::bitAnd:
    return in[0] & in[1];
  case PtxOp::bitOr:
    return in[0] | in[1];
  case PtxOp::bitXor:
    return in[0] ^ in[1];
  case PtxOp::bitNot:
    return it.type == PtxType::pred ? !in[0] : ~in[0];
  case PtxOp::shl:
    return amount >= bits ? 0 : in[0] << amount;
  case PtxOp::shr:
    if (isSigned(it.type))
      return static_cast<uint64_t>(signExtend(in[0], it.type) >> std::min(amount, bits - 1));
    return amount >= bits ? 0 : truncate(in[0], it.type) >> amount;
  case PtxOp::extract:
    if (isSigned(it.type) || in[1] + in[2] > bits)
      fail(it, "a bit field of signed numbers, or one that is too long");
    return truncate(in[0], it.type) >> in[1] & ((uint64_t{1} << in[2]) - 1);
  case PtxOp::selp:
    return in[2] ? in[0] : in[1];
  case PtxOp::setp:
    return compare(it, in[0], in[1]);
  case PtxOp::convert:
    return convert(it, in[0], in[1]);
  case PtxOp::prmt: {
    const uint64_t both = (in[0] & 0xffffffff) | in[1] << 32;
    uint64_t result = 0;
    for (int i = 0; i < 4; ++i) {
      const uint64_t selector = in[2] >> (4 * i) & 0xf;
      uint64_t byte = both >> (8 * (selector & 7)) & 0xff;
      if (selector & 8)
        byte = byte & 0x80 ? 0xff : 0;
      result |= byte << (8 * i);
    }
    return result;
  }
  case PtxOp::neg:
    if (isFloat(it.type))
      return in[0] ^ (uint64_t{1} << (bits - 1));
    break;
  case PtxOp::abs:
    if (isFloat(it.type))
      return in[0] & ~(uint64_t{1} << (bits - 1));
    break;
  default:
    break;
  }
  return isFloat(it.type) ? floatArithmetic(it, in) : integerArithmetic(it, in);
}

} // namespace titan::stub
