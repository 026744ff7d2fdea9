"""Extracts the values of a page or figure (HTML, SVG) other than the fixed markup of preprocessing's pages.

The fixed markup is taken from an example page by the same parser, so that no list of harmless words is needed.
"""

import functools
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import NamedTuple

from components.preprocess.kinds import FACT_KINDS, is_figure_line
from components.preprocess.summary import example_page
from components.preprocess.values import Value, free_text

#: Coordinates and sizes of a figure.
_NUMBERS = re.compile(r"-?\d{1,5}(?:\.\d{1,3})?(?: -?\d{1,5}(?:\.\d{1,3})?)*", re.ASCII)

#: Text in an end tag after its name, which the parser ignores.
_END_TAGS = re.compile(r"</\s*[a-zA-Z0-9]+([^>]*)>")


class _Page(HTMLParser):
    """The tags, attributes and texts of a page; each text with the tag before it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.others: list[str] = [text for text in _END_TAGS.findall(page) if text.strip()]
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.tags[-1] if self.tags else "", data.strip()))

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_decl(self, decl: str) -> None:
        self.others.append(decl)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)


class _Markup(NamedTuple):
    """The markup of an example page, without its values."""

    tags: frozenset[str]
    attributes: frozenset[tuple[str, str, str]]
    numeric: frozenset[tuple[str, str]]
    texts: frozenset[tuple[str, str]]
    others: frozenset[str]


@functools.cache
def _our_markup() -> _Markup:
    page = _Page(example_page())
    return _Markup(
        frozenset(page.tags),
        frozenset(page.attributes),
        frozenset((tag, name) for tag, name, value in page.attributes if _NUMBERS.fullmatch(value)),
        frozenset((tag, text) for tag, text in page.texts if tag not in ("td", "text")),
        frozenset(page.others),
    )


def values_of_page(text: str) -> Iterator[Value]:
    """The texts, tags, attributes and comments that are not fixed markup or expected facts, as free texts."""
    page, own = _Page(text), _our_markup()
    yield from (free_text("a tag", tag) for tag in page.tags if tag not in own.tags)
    yield from (free_text("a comment", other) for other in page.others if other not in own.others)
    for tag, name, value in page.attributes:
        if (tag, name, value) not in own.attributes and not ((tag, name) in own.numeric and _NUMBERS.fullmatch(value)):
            yield from (free_text("an attribute's name", name), free_text("an attribute", value))
    fact, free = "", []
    for tag, shown in page.texts:
        fits = (tag, shown) in own.texts or (tag == "text" and is_figure_line(shown))
        fits = fits or (tag == "td" and fact in FACT_KINDS and FACT_KINDS[fact](shown))
        fact = shown if tag == "th" else fact
        free += [] if fits else [shown]
    yield from (free_text("the page's text", shown) for shown in dict.fromkeys([*free, "".join(free)]) if shown)
