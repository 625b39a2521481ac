// "Did you mean": the candidate nearest to what a user wrote.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace titan {

/// Levenshtein distance with transpositions of neighbours counted once (optimal string alignment).
int editDistance(std::string_view a, std::string_view b);

/// The candidate of least distance (the first of equals); empty when there are no candidates.
std::string nearest(std::string_view word, std::span<const std::string> candidates);

} // namespace titan
