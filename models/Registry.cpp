#include "models/Registry.h"

#include "models/llama3/Llama3.h"

#include "llvm/ADT/StringExtras.h"

#include <spdlog/fmt/fmt.h>

namespace titan {

llvm::ArrayRef<const ModelDefinition *> allModels() {
  static constexpr const ModelDefinition *models[] = {&kLlama3};
  return models;
}

StatusOr<const ModelDefinition *> findModel(llvm::StringRef name) {
  for (const ModelDefinition *model : allModels())
    if (model->name == name)
      return model;
  auto names = llvm::map_range(allModels(), [](const ModelDefinition *m) { return m->name; });
  return invalidArgument(fmt::format("model.name = \"{}\" is no model; there are {}", name.str(),
                                     llvm::join(names, ", ")));
}

} // namespace titan
