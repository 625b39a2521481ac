// titan-compile --report=html: the report as one page.
#pragma once

#include "compiler/report/Report.h"

#include <string_view>

namespace titan {

/// A page that needs no network: memory over the step, traffic by axis, the largest buffers and
/// collectives, and the tables of the text report. `job` names what was compiled.
std::string renderHtmlReport(const Report &report, std::string_view job);

} // namespace titan
