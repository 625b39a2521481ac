#include "compiler/report/MemoryChart.h"

#include "compiler/report/HtmlPage.h"
#include "compiler/report/Report.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cmath>

namespace titan {
namespace {

constexpr double kWidth = 960, kHeight = 340, kLeft = 84, kTop = 24, kRight = 8, kBottom = 28;
constexpr size_t kMostColumns = 840;
constexpr size_t kColors = 8; ///< --s0 to --s7 of the page's style

class Chart {
public:
  explicit Chart(const StepMemory &memory)
      : memory(memory), peak(static_cast<double>(memory.totalBytes(memory.peak()))) {
    const size_t length = memory.numInstructions();
    const size_t columns = std::min(length, kMostColumns);
    for (size_t column = 0; column < columns; ++column) {
      size_t shown = column * length / columns;
      for (size_t at = shown; at < (column + 1) * length / columns; ++at)
        if (memory.totalBytes(at) > memory.totalBytes(shown))
          shown = at;
      this->columns.push_back(shown);
    }
  }

  std::string draw() {
    std::string svg = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"bytes in "
                                  "use over the instructions of a step, by kind\">\n",
                                  kWidth, kHeight);
    svg += grid();
    std::vector<int64_t> floor(columns.size());
    for (size_t kind = 0; kind < memory.kinds.size(); ++kind)
      svg += area(kind, floor);
    return svg + functions() + "</svg>\n" + legend();
  }

private:
  double x(double column) const {
    return kLeft + (kWidth - kLeft - kRight) * column / static_cast<double>(columns.size());
  }
  double y(double bytes) const {
    return kHeight - kBottom - (kHeight - kTop - kBottom) * bytes / std::max(peak, 1.0);
  }

  /// Lines at 1, 2 or 5 times a power of two of bytes, at most six.
  std::string grid() const {
    double unit = 1;
    while (unit * 1024 <= peak)
      unit *= 1024;
    double step = unit / 1024;
    for (double factor : {1., 2., 5., 10., 20., 50., 100., 200., 500.}) {
      step = factor * unit;
      if (peak / step <= 6)
        break;
    }
    if (peak / unit < 1.5)
      step = unit / 4;
    std::string svg;
    for (int i = 0; i * step <= peak; ++i) {
      const double bytes = i * step;
      svg += fmt::format("<path class=\"grid\" d=\"M{} {:.1f}H{}\"/><text x=\"{}\" y=\"{:.1f}\" "
                         "text-anchor=\"end\">{}</text>\n",
                         kLeft, y(bytes), kWidth - kRight, kLeft - 8, y(bytes) + 4,
                         humanBytes(static_cast<int64_t>(bytes)));
    }
    return svg;
  }

  /// One kind on top of `floor`, which it raises; equal neighbors make one line.
  std::string area(size_t kind, std::vector<int64_t> &floor) const {
    std::vector<int64_t> top = floor;
    for (size_t i = 0; i < columns.size(); ++i)
      top[i] += memory.kinds[kind].bytes[columns[i]];
    std::string path = "M" + edge(top, false) + "L" + edge(floor, true) + "Z";
    floor = std::move(top);
    return fmt::format("<path fill=\"var(--s{})\" d=\"{}\"><title>{}</title></path>\n",
                       kind % kColors, path, escapeHtml(memory.kinds[kind].name));
  }

  std::string edge(const std::vector<int64_t> &bytes, bool backwards) const {
    std::vector<std::string> points;
    for (size_t i = 0; i < bytes.size();) {
      size_t end = i + 1;
      while (end < bytes.size() && bytes[end] == bytes[i])
        ++end;
      const double height = y(static_cast<double>(bytes[i]));
      points.push_back(fmt::format("{:.1f} {:.1f}", x(static_cast<double>(i)), height));
      points.push_back(fmt::format("{:.1f} {:.1f}", x(static_cast<double>(end)), height));
      i = end;
    }
    if (backwards)
      std::reverse(points.begin(), points.end());
    return fmt::format("{}", fmt::join(points, "L"));
  }

  /// A line where each function begins; its name where there is room.
  std::string functions() const {
    constexpr double kRoom = 64;
    std::string svg;
    const double perInstruction =
        static_cast<double>(columns.size()) / static_cast<double>(memory.numInstructions());
    for (const StepMemory::Stretch &stretch : memory.stretches) {
      const double begin = x(static_cast<double>(stretch.begin) * perInstruction);
      const double end = x(static_cast<double>(stretch.end) * perInstruction);
      svg += fmt::format("<path class=\"mark\" d=\"M{:.1f} {}V{}\"/>", begin, kTop - 4,
                         kHeight - kBottom);
      if (end - begin >= kRoom)
        svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">@{}</text>",
                           (begin + end) / 2, kTop - 8, escapeHtml(stretch.function));
    }
    return svg + fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">instructions of a "
                             "step, in order: {}</text>\n",
                             (kLeft + kWidth) / 2, kHeight - 8,
                             withSeparators(static_cast<int64_t>(memory.numInstructions())));
  }

  std::string legend() const {
    std::string html = "<ul class=\"legend\">";
    for (size_t kind = 0; kind < memory.kinds.size(); ++kind)
      html += fmt::format("<li><i style=\"background:var(--s{})\"></i>{}</li>", kind % kColors,
                          escapeHtml(memory.kinds[kind].name));
    return html + "</ul>\n";
  }

  const StepMemory &memory;
  double peak;
  std::vector<size_t> columns; ///< the instruction that each shows
};

} // namespace

std::string drawStepMemory(const StepMemory &memory) {
  return memory.numInstructions() == 0 ? "" : Chart(memory).draw();
}

} // namespace titan
