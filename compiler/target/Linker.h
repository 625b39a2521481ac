// Relocatable objects to a shared object, without touching the file system.
#pragma once

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace titan {

/// Runs lld on objects in memory. `linker` is the program; empty: it is searched. Undefined symbols
/// are errors.
llvm::Expected<std::vector<char>>
linkSharedObject(llvm::ArrayRef<llvm::SmallVector<char, 0>> objects, llvm::StringRef linker);

} // namespace titan
