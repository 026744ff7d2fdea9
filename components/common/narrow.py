"""Tables that a phone shows without a sideways scroll: below 600 px every row is a block of "heading value" pairs.

A style sheet alone cannot do this, since a cell does not know its column's heading: ``labelled`` adds it.
"""

import html
from html.parser import HTMLParser

#: Rules for tables and drawings in boxes of the class ``scroll``, whose cells ``labelled`` has given their headings,
#: and for what only a wide or only a narrow window shows. They must follow a page's other rules.
NARROW_STYLE = """
.narrow-only { display: none; }
@media screen and (max-width: 600px) {
  .scroll { background: none; overflow: visible; }
  .scroll table, .scroll tbody, .scroll tr { display: block; min-width: 0; width: auto; }
  .scroll thead { display: none; }
  .scroll tbody tr { border-bottom: 1px solid #d9dee6; padding: .3rem 0; }
  .scroll tbody td { display: inline-block; border: 0; padding: .05rem .9rem .05rem 0; text-align: left; }
  .scroll tbody td { white-space: normal; overflow-wrap: anywhere; min-width: 0; max-width: 100%; }
  .scroll tbody td:first-child { display: block; position: static; font-weight: 600; white-space: normal; }
  .scroll tbody td:empty { display: none; }
  .scroll td[data-label]::before { content: attr(data-label) ": "; color: #5b6472; font-weight: 400; }
  .scroll svg { min-width: 0 !important; }
  .wide-only { display: none; }
  .narrow-only { display: block; }
}
"""


def labelled(page: str) -> str:
    """A page in which each cell of a table, but the first of its row, has its column's heading as ``data-label``.

    Tables without a head, and columns without a heading, stay as they are.
    """
    reader = _Headings(page)
    reader.feed(page)
    parts, end = [], 0
    for place, label in reader.labels:
        parts += [page[end:place], f' data-label="{html.escape(label)}"']
        end = place
    return "".join([*parts, page[end:]])


class _Headings(HTMLParser):
    """Collects where the tag of a cell may be given an attribute, and its column's heading."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.labels: list[tuple[int, str]] = []
        self._starts = [0]
        for line in page.split("\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)
        self._headings: list[str] = []
        self._column = 0
        self._in_head = False
        self._in_heading = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._headings = []
        elif tag == "thead":
            self._in_head = True
        elif tag == "tr":
            self._column = 0
        elif tag == "th" and self._in_head:
            self._in_heading = True
            self._headings.append("")
        elif tag == "br" and self._in_heading:
            self._headings[-1] += " "
        elif tag == "td" and not self._in_head:
            self._cell(int(dict(attrs).get("colspan") or 1))

    def handle_endtag(self, tag: str) -> None:
        if tag == "thead":
            self._in_head = False
        elif tag == "th":
            self._in_heading = False

    def handle_data(self, data: str) -> None:
        if self._in_heading:
            self._headings[-1] += data

    def _cell(self, columns: int) -> None:
        heading = self._headings[self._column] if self._column < len(self._headings) else ""
        if self._column and columns == 1 and (label := " ".join(heading.split())):
            line, offset = self.getpos()
            self.labels.append((self._starts[line - 1] + offset + len("<td"), label))
        self._column += columns
