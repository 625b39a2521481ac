"""Checks a page of titan-compile --report=html: well-formed, without links to a network."""
import html.parser
import re
import sys

VOID = {"meta", "link", "br", "hr", "img", "input", "col"}


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.counts = [], {}

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        for name, value in attributes:
            if name in ("src", "href") and not (value or "").startswith("#"):
                sys.exit(f"<{tag} {name}={value!r}> leaves the page")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            sys.exit(f"</{tag}> closes nothing at line {self.getpos()[0]}")


text = open(sys.argv[1], encoding="utf-8").read()
links = [link for link in re.findall(r"https?://[^\s\"'<>]*", text) if "www.w3.org" not in link]
if links:
    sys.exit(f"the page names {links[0]}")
page = Page()
page.feed(text)
page.close()
if page.open:
    sys.exit(f"<{page.open[-1]}> is never closed")
for name in ("layers.0", "dp_shard", "reduce_scatter"):
    if name not in text:
        sys.exit(f"the page lacks {name}")
print(f"well-formed, {page.counts.get('table', 0)} tables, {page.counts.get('svg', 0)} charts")
