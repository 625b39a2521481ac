#include "compiler/report/RematChart.h"

#include "compiler/report/Report.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>

namespace titan {
namespace {

constexpr double kWidth = 960, kHeight = 300, kLeft = 84, kTop = 12, kRight = 24, kBottom = 44;
constexpr size_t kColors = 8; ///< --s0 to --s7 of the page's style

class Chart {
public:
  explicit Chart(const RematFacts &facts) : facts(facts) {
    for (const RematFacts::Rank &rank : facts.ranks) {
      for (const RematFrontier::Point &point : rank.range)
        include(rank, point);
      include(rank, rank.chosen);
    }
  }

  std::string draw() const {
    std::string svg = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"bytes kept "
                                  "for the backward over time spent again\">\n",
                                  kWidth, kHeight);
    svg += grid();
    for (size_t i = 0; i < facts.ranks.size(); ++i)
      svg += line(i);
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">time of what runs again, of "
                       "forward and backward</text></svg>\n",
                       (kLeft + kWidth - kRight) / 2, kHeight - 6);
    return svg + legend();
  }

private:
  void include(const RematFacts::Rank &rank, const RematFrontier::Point &point) {
    mostBytes = std::max(mostBytes, static_cast<double>(point.bytes));
    mostTime = std::max(mostTime, rank.slowDown(point));
  }
  double x(double time) const { return kLeft + (kWidth - kLeft - kRight) * time / mostTime; }
  double y(double bytes) const {
    return kHeight - kBottom - (kHeight - kTop - kBottom) * bytes / mostBytes;
  }

  std::string grid() const {
    std::string svg;
    for (int i = 0; i <= 4; ++i) {
      const double bytes = mostBytes * i / 4, time = mostTime * i / 4;
      svg += fmt::format("<path class=\"grid\" d=\"M{} {:.1f}H{}\"/><text x=\"{}\" y=\"{:.1f}\" "
                         "text-anchor=\"end\">{}</text><text x=\"{:.1f}\" y=\"{}\" "
                         "text-anchor=\"middle\">{:.1f} %</text>\n",
                         kLeft, y(bytes), kWidth - kRight, kLeft - 8, y(bytes) + 4,
                         humanBytes(static_cast<int64_t>(bytes)), x(time), kHeight - kBottom + 16,
                         100 * time);
    }
    return svg;
  }

  std::string line(size_t index) const {
    const RematFacts::Rank &rank = facts.ranks[index];
    std::vector<std::string> points;
    auto place = [&](const RematFrontier::Point &point) {
      return fmt::format("{:.1f} {:.1f}", x(rank.slowDown(point)),
                         y(static_cast<double>(point.bytes)));
    };
    for (const RematFrontier::Point &point : rank.range)
      if (std::string next = place(point); points.empty() || points.back() != next)
        points.push_back(std::move(next));
    const size_t color = index % kColors;
    return fmt::format(
        "<path fill=\"none\" stroke=\"var(--s{0})\" stroke-width=\"2\" d=\"M{1}\"/><circle "
        "cx=\"{2:.1f}\" cy=\"{3:.1f}\" r=\"5\" fill=\"var(--s{0})\"><title>chosen: {4}, {5:.1f} "
        "%</title></circle>\n",
        color, fmt::join(points, "L"), x(rank.slowDown(rank.chosen)),
        y(static_cast<double>(rank.chosen.bytes)), humanBytes(rank.chosen.bytes),
        100 * rank.slowDown(rank.chosen));
  }

  std::string legend() const {
    std::string html = "<ul class=\"legend\">";
    for (size_t i = 0; i < facts.ranks.size(); ++i)
      html +=
          fmt::format("<li><i style=\"background:var(--s{})\"></i>{}</li>", i % kColors,
                      facts.ranks[i].rank ? fmt::format("pipeline rank {}", *facts.ranks[i].rank)
                                          : std::string("plans; the dot is the chosen one"));
    return html + "</ul>\n";
  }

  const RematFacts &facts;
  double mostBytes = 1, mostTime = 1e-9;
};

} // namespace

std::string drawRematRange(const RematFacts &facts) {
  return facts.isEmpty() ? "" : Chart(facts).draw();
}

} // namespace titan
