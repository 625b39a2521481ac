#include "compiler/report/HtmlPage.h"

#include <spdlog/fmt/fmt.h>

namespace titan {
namespace {

/// Colors of series are readable on both grounds (after Okabe and Ito).
constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --ground: #ffffff; --text: #1c2024; --quiet: #5b6470;
  --line: #d5d9de; --bar: #bcd7ee; --s0: #0072b2; --s1: #56b4e9; --s2: #009e73; --s3: #8c8c8c;
  --s4: #b8a200; --s5: #e69f00; --s6: #cc79a7; --s7: #d55e00; }
@media (prefers-color-scheme: dark) { :root { --ground: #15181c; --text: #e4e7eb; --quiet: #9aa4b0;
  --line: #363c44; --bar: #234a6b; --s4: #d8c84a; } }
body { background: var(--ground); color: var(--text); max-width: 84rem; margin: 2rem auto;
  padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; }
p, caption { color: var(--quiet); } p { margin: .3rem 0 .8rem;
  max-width: 62rem; }
.wide { overflow-x: auto; margin: 0 0 1.2rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; padding: .2rem 0; }
th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem .3rem;
  border-bottom: 1px solid var(--line); }
td { overflow-wrap: anywhere; }
th.n, td.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n { white-space: nowrap; }
td.b { background: linear-gradient(var(--bar), var(--bar)) no-repeat left / var(--w) 100%; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--quiet); font-size: 12px; }
svg .grid { stroke: var(--line); fill: none; } svg .mark { stroke: var(--text); fill: none; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; margin: .4rem 0 .8rem;
  list-style: none; }
.legend i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
)css";

std::string openCell(std::string_view tag, const HtmlCell &cell) {
  std::string names = cell.isNumber ? "n" : "";
  if (cell.bar >= 0)
    names += names.empty() ? "b" : " b";
  std::string text = fmt::format("<{}", tag);
  if (!names.empty())
    text += fmt::format(" class=\"{}\"", names);
  if (cell.bar >= 0)
    text += fmt::format(" style=\"--w:{:.2f}%\"", 100 * cell.bar);
  return text + ">";
}

} // namespace

std::string escapeHtml(std::string_view text) {
  std::string escaped;
  for (char c : text)
    switch (c) {
    case '&':
      escaped += "&amp;";
      break;
    case '<':
      escaped += "&lt;";
      break;
    case '>':
      escaped += "&gt;";
      break;
    case '"':
      escaped += "&quot;";
      break;
    case '\'':
      escaped += "&#39;";
      break;
    default:
      escaped += c;
    }
  return escaped;
}

HtmlPage::HtmlPage(std::string_view title) : title(escapeHtml(title)) {
  body = fmt::format("<h1>{}</h1>\n", this->title);
}

void HtmlPage::heading(std::string_view text) {
  body += fmt::format("<h2>{}</h2>\n", escapeHtml(text));
}

void HtmlPage::paragraph(std::string_view text) {
  body += fmt::format("<p>{}</p>\n", escapeHtml(text));
}

void HtmlPage::table(std::string_view caption, const std::vector<HtmlCell> &columns,
                     const std::vector<std::vector<HtmlCell>> &rows) {
  body += "<div class=\"wide\"><table>\n";
  if (!caption.empty())
    body += fmt::format("<caption>{}</caption>\n", escapeHtml(caption));
  body += "<thead><tr>";
  for (const HtmlCell &cell : columns)
    body += fmt::format("<th scope=\"col\"{}>{}</th>", cell.isNumber ? " class=\"n\"" : "",
                        escapeHtml(cell.text));
  body += "</tr></thead>\n<tbody>\n";
  for (const std::vector<HtmlCell> &row : rows) {
    body += "<tr>";
    for (const HtmlCell &cell : row)
      body += openCell("td", cell) + escapeHtml(cell.text) + "</td>";
    body += "</tr>\n";
  }
  body += "</tbody></table></div>\n";
}

std::string HtmlPage::take() {
  return fmt::format("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
                     title, kStyle, body);
}

} // namespace titan
