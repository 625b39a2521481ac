// The parts that a page of HTML is put together from.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace titan {

/// Text as HTML shows it, in an element or in a quoted attribute.
std::string escapeHtml(std::string_view text);

/// A table cell. Numbers stand at the right.
struct HtmlCell {
  std::string text; ///< not escaped yet
  bool isNumber = false;
  double bar = -1; ///< share of a bar drawn behind the text, 0 to 1; below 0 none
};

/// Puts a page together that needs nothing but itself: no network, no script.
class HtmlPage {
public:
  explicit HtmlPage(std::string_view title);

  void heading(std::string_view text);
  void paragraph(std::string_view text);
  /// `columns` are the titles; one over numbers stands at the right as they do.
  void table(std::string_view caption, const std::vector<HtmlCell> &columns,
             const std::vector<std::vector<HtmlCell>> &rows);
  /// Markup that is escaped already, such as a chart.
  void markup(std::string_view html) { body += html; }

  std::string take();

private:
  std::string title, body;
};

} // namespace titan
