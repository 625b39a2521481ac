// Random numbers by the block: the same bits on every machine, whatever its vectors.
#pragma once

#include <array>
#include <cstdint>

namespace titan {

/// Philox4x32-10: 128 random bits from a 128-bit counter and a 64-bit key (J. K. Salmon et al.,
/// "Parallel random numbers: as easy as 1, 2, 3", 2011).
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// 52 bits of two words as a number between 0 and 1, half a step away from either.
double toUniform(uint32_t high, uint32_t low);

/// Two independent standard normal values (G. E. P. Box and M. E. Muller, "A note on the generation
/// of random normal deviates", 1958) for each counter {pair, attempt} with pair in [first, first +
/// count): writes 2 * count numbers. Built of additions, multiplications, divisions and square
/// roots that are rounded one by one, so that the results do not depend on the instruction set or
/// the C library; they are within 1e-14 of the exact transform of their bits.
void normalPairs(uint64_t first, int64_t count, uint32_t attempt, std::array<uint32_t, 2> key,
                 double *to);

} // namespace titan
