// Variables to and from safetensors files, by name.
#pragma once

#include "runtime/exec/Executor.h"
#include "runtime/train/RankGroup.h"

#include <filesystem>

namespace titan {

/// Reads every parameter from the file's tensor of its name, float32 of the parameter's shape.
/// A missing tensor, another shape or type, or a tensor that is no parameter is an error, and then
/// no parameter has changed. Each rank takes the parts that it holds.
Status loadParameters(Executor &executor, const std::filesystem::path &path);

/// Writes every parameter, whole, under its name. All ranks call it; the first one writes.
Status dumpParameters(const Executor &executor, RankGroup &ranks,
                      const std::filesystem::path &path);

/// Writes every parameter's gradient under the parameter's name, divided by `validTokens`.
Status dumpGradients(const Executor &executor, RankGroup &ranks, double validTokens,
                     const std::filesystem::path &path);

} // namespace titan
