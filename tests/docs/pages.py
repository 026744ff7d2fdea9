"""The pages that people read, and what each of them refers to."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "infra" / "README.md"], key=lambda page: page.as_posix()
)


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def links(text: str) -> list[str]:
    """Targets of a page's links and pictures, but for those of other hosts."""
    found = re.findall(r"\]\(\s*<?([^)\s>]+)", re.sub(r"`[^`]*`", "", prose(text)))
    return [target for target in found if not re.match(r"[a-z][a-z0-9+.-]*:", target)]


def anchors(text: str) -> set[str]:
    """Names by which GitHub links to a page's headings: a repeated one is numbered."""
    known: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6} +(.+?)(?: +#+)?$", prose(text), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        known[slug] = count = known.get(slug, -1) + 1
        if count:
            known[f"{slug}-{count}"] = 0
    return known.keys() | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))


def quoted(text: str) -> list[str]:
    """What stands in backticks in a page's prose."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))]
