// The model families that jobs can name.
#pragma once

#include "frontend/JobGraph.h"

namespace titan {

llvm::ArrayRef<const ModelDefinition *> allModels();

/// The definition of model.name, or an error that lists the names.
StatusOr<const ModelDefinition *> findModel(llvm::StringRef name);

} // namespace titan
