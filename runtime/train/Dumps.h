// Variables to and from safetensors files, by name.
#pragma once

#include "runtime/exec/Executor.h"

#include <filesystem>

namespace titan {

/// Reads every parameter from the file's tensor of its name, float32 of the parameter's shape.
/// A missing tensor, another shape or type, or a tensor that is no parameter is an error, and then
/// no parameter has changed.
Status loadParameters(Executor &executor, const std::filesystem::path &path);

/// Writes every parameter under its name.
Status dumpParameters(const Executor &executor, const std::filesystem::path &path);

/// Writes every parameter's gradient under the parameter's name, divided by `validTokens`.
Status dumpGradients(const Executor &executor, double validTokens,
                     const std::filesystem::path &path);

} // namespace titan
