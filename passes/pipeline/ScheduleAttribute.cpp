#include "passes/pipeline/ScheduleAttribute.h"

#include "passes/Functions.h"
#include "passes/pipeline/ScheduleCsv.h"

using namespace mlir;

namespace titan {

void writeSchedule(ModuleOp module, StringRef attribute, const PipelineSchedule &schedule) {
  Builder builder(module.getContext());
  SmallVector<Attribute> lines;
  for (const auto &actions : schedule.actions) {
    std::string line;
    for (const PipelineAction &action : actions)
      line += (line.empty() ? "" : ",") + printAction(action);
    lines.push_back(builder.getStringAttr(line));
  }
  module->setAttr(attribute, builder.getArrayAttr(lines));
}

FailureOr<PipelineSchedule> readSchedule(ModuleOp module, StringRef attribute, bool isEvaluation) {
  auto lines = module->getAttrOfType<ArrayAttr>(attribute);
  const int64_t numRanks = getNumPipelineRanks(module).value_or(1);
  if (!lines || static_cast<int64_t>(lines.size()) != numRanks)
    return module.emitError() << "expects " << attribute << " to have a line for each of the "
                              << numRanks << " pipeline ranks";
  std::string text;
  for (Attribute line : lines)
    text += (isa<StringAttr>(line) ? cast<StringAttr>(line).str() : "?") + "\n";
  llvm::Expected<PipelineSchedule> schedule = parseScheduleCsv(text, attribute, isEvaluation);
  if (!schedule)
    return module.emitError() << llvm::toString(schedule.takeError());
  return std::move(*schedule);
}

} // namespace titan
