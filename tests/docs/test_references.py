"""Whatever a page refers to is there: pages, headings, files, tests, make targets, commands, sections of the study."""

import ast
import fnmatch
import re
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from pipelines.cluster.compiling import PIPELINES
from pipelines.commands.cli import app
from tests.docs.pages import PAGES, ROOT, anchors, links, name_of, quoted

#: Places in the repository; what `make` or a run writes is not among them.
PLACES = re.compile(r"(?:components|pipelines|serving|infra|tests|docs|\.github)/[\w./*{},-]*(?:::\w+)?")
STUDY = re.compile(r"\bSTUDY (\d+(?:(?:, | and )\d+)*)")
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=name_of)


def tracked() -> list[str]:
    """Files of the repository, also those that are not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:  # a copy without .git
        return [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file()]
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


FILES = tracked()


def broken_links(page: Path, text: str) -> list[str]:
    """The links of a page that lead to no file or heading of the repository."""
    broken = []
    for link in links(text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve()
        there = not path or (target.exists() and target.is_relative_to(ROOT))
        known = anchors(text if not path else target.read_text()) if there and anchor else set()
        if not there or (anchor and anchor not in known):
            broken.append(link)
    return broken


def is_there(place: str) -> bool:
    """Whether a path, folder or pattern names a file of the repository, and one with ``::`` a test in it.

    NAME stands for any name: a recipe says so of a file that its reader is to write.
    """
    path, _, test = place.partition("::")
    if test:
        file = ROOT / path
        return file.is_file() and test in functions(file)
    pattern = path.rstrip("/").replace("NAME", "*")
    return bool(fnmatch.filter(FILES, pattern) or fnmatch.filter(FILES, f"{pattern}/*"))


def functions(file: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}


@EVERY_PAGE
def test_links_lead_somewhere(page):
    assert not broken_links(page, page.read_text())


@EVERY_PAGE
def test_places_that_a_page_names_exist(page):
    named = {span for span in quoted(page.read_text()) if PLACES.fullmatch(span)}
    assert not sorted(place for place in named if not is_there(place))


@EVERY_PAGE
def test_make_targets_that_a_page_names_exist(page):
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for span in quoted(page.read_text()) for word in re.findall(r"^make ([a-z][a-z0-9 -]*)", span)}
    assert {target for words in named for target in words.split()} <= targets


@EVERY_PAGE
def test_commands_and_options_that_a_page_names_exist(page):
    commands, lines = (
        get_command(app).commands,
        [span for span in quoted(page.read_text()) if re.match("srs [a-z]", span)],
    )
    for _, name, *words in (line.split() for line in lines):
        assert name in commands, name
        nested = getattr(commands[name], "commands", {})
        command = nested.get(words[0], commands[name]) if words else commands[name]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options | {"--help"}, name


def test_every_command_is_on_a_page():
    """docs/errors.md does not count: it is generated, and says what a command refuses."""
    text = "\n".join(page.read_text() for page in PAGES if name_of(page) != "docs/errors.md")
    assert [name for name in get_command(app).commands if not re.search(rf"\bsrs {name}\b", text)] == []


def test_whoever_adds_to_pipelines_or_publishes_them_is_told_of_each():
    """The recipes name each definition; the guide for a cluster compiles and publishes each."""
    recipes = (ROOT / "docs" / "how-to.md").read_text()
    for heading in ("A step", "A parameter of a run"):
        recipe = recipes.split(f"\n## {heading}\n")[1].split("\n## ")[0]
        modules = [build.__module__.replace(".", "/").rpartition("/")[2] for build in PIPELINES.values()]
        assert [name for name in modules if f"{name}.py`" not in recipe] == [], heading
    guide = (ROOT / "infra" / "README.md").read_text()
    assert [name for name in PIPELINES if f"srs publish {name}.yaml" not in guide] == []


def test_sections_of_the_study_that_code_cites_exist():
    sections = set(re.findall(r"^## (\d+)\. ", (ROOT / "docs" / "study.md").read_text(), re.MULTILINE))
    cited = {
        number: name
        for name in FILES
        if re.match(r"(components|pipelines|serving|tests|infra)/.*\.py$", name)
        for numbers in STUDY.findall((ROOT / name).read_text())
        for number in re.findall(r"\d+", numbers)
    }
    assert len(cited) > 3
    assert cited.keys() <= sections, cited


def test_the_index_of_decisions_names_each_of_them():
    folder = ROOT / "docs" / "decisions"
    index = links((folder / "README.md").read_text())
    assert sorted(name for name in index if re.match(r"\d", name)) == sorted(
        page.name for page in folder.glob("[0-9]*.md")
    )


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("[gone](gone.md)", "gone.md"),
        ("[no heading](#absent)\n# Present", "#absent"),
        ("[other page](limits.md#absent)", "limits.md#absent"),
        ("[outside](../../elsewhere)", "../../elsewhere"),
        ("![picture](gone.png)", "gone.png"),
    ],
)
def test_a_broken_link_is_noticed(text, link):
    assert broken_links(ROOT / "docs" / "page.md", text) == [link]


def test_good_links_pass():
    text = (
        "[a](#my-own-heading-1) [b](limits.md#limits) [c](../infra/) [d](https://example.org)\n"
        + "# My *own* heading!\n" * 2
    )
    assert not broken_links(ROOT / "docs" / "page.md", text)


@pytest.mark.parametrize(
    ("place", "there"),
    [
        ("components/common/", True),
        ("components/*/step.py", True),
        ("components/NAME/step.py", True),
        ("components/NAME/absent.py", False),
        ("components/common/errors.py", True),
        ("components/common/absent.py", False),
        ("components/comm", False),
        (f"tests/docs/{Path(__file__).name}::test_good_links_pass", True),
        (f"tests/docs/{Path(__file__).name}::test_absent", False),
    ],
)
def test_a_place_that_is_not_there_is_noticed(place, there):
    assert PLACES.fullmatch(place)
    assert is_there(place) is there
