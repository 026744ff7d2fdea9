"""Writes docs/errors.md from the code: every code, what it says and what to do. ``make docs`` runs it.

Messages and hints are read where errors are made, so the page says what users see; ``‹...›`` stands for what a message
fills in.
"""

import ast
import dataclasses
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from components.common import errors
from components.imaging.reasons import REFUSALS, WARNINGS
from components.preprocess.exclusions import REASONS
from serving import reply
from serving.dicom import ANSWERED_WITH_WARNING
from serving.errors import CODES, REMEDIES
from serving.rest import UNROUTED
from tests.docs.reaching import Place, calls

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"
_CODE = re.compile(r"[A-Z][A-Z0-9_]+")
_MAKERS = re.compile(r"(?:\w+Error|Refused|GateRefused)(?:\.collected)?")
#: Functions of the package model that make an error of one code; their first argument is the message.
_SHORTHANDS = {"damaged": "BUNDLE_DAMAGED", "_damaged": "BUNDLE_DAMAGED"}
_PACKAGE_OF_SHORTHANDS = "components/model/"
#: Codes that are chosen at run time, with what they say.
CHOSEN = {
    "COHORT_UNREADABLE": "the cohort table cannot be read as text, ‹why›",
    "KFP_CONFLICT": "KFP already has something of this name",
    "METHOD_NOT_ALLOWED": UNROUTED[405][1],
    "MLFLOW_EXISTS": "MLflow already has what was to be made",
    "MLFLOW_NOT_FOUND": "MLflow does not have what was requested",
    "NOT_FOUND": UNROUTED[404][1],
}


@dataclasses.dataclass(frozen=True, order=True)
class Made:
    """An error as one place in the code makes it."""

    code: str
    kind: str
    message: str
    hint: str
    module: str


def made_errors() -> list[Made]:
    """Every place that makes an error of a code that stands there."""
    files = [path for package in ("components", "pipelines", "serving") for path in (ROOT / package).rglob("*.py")]
    return sorted({made for path in files for made in errors_of(path.read_text(), path.relative_to(ROOT).as_posix())})


def errors_of(source: str, module: str) -> Iterator[Made]:
    """The errors that a module's source makes."""
    for call, place in calls(ast.parse(source)):
        maker = ast.unparse(call.func)
        keywords = {one.arg: _text(one.value, place) for one in call.keywords}
        if maker in _SHORTHANDS and call.args and module.startswith(_PACKAGE_OF_SHORTHANDS):
            yield Made(_SHORTHANDS[maker], "BundleError", _text(call.args[0], place), "", module)
        elif maker == "Refusal":
            for code in {keywords["invalid"], keywords["unknown"]}:
                yield Made(code, "InputError", f"{_text(call.args[0], place)} ‹problems›", keywords["hint"], module)
        elif _MAKERS.fullmatch(maker) and call.args and isinstance(call.args[0], ast.Constant):
            code = str(call.args[0].value)
            if _CODE.fullmatch(code):
                texts = [_text(one, place) for one in call.args[1:]] + [""] * 3
                hint = keywords.get("hint", texts[2 if maker.endswith(".collected") else 1])
                yield Made(code, maker.partition(".")[0], texts[0], hint, module)


def _text(node: ast.expr, place: Place) -> str:
    """What an expression says: its own words, and ``‹name›`` for what it fills in."""
    if isinstance(node, ast.Constant):
        return str(node.value or "")
    if isinstance(node, ast.JoinedStr):
        parts = (
            _text(one.value, place) if isinstance(one, ast.FormattedValue) else str(one.value)
            for one in node.values
            if isinstance(one, ast.FormattedValue | ast.Constant)
        )
        return "".join(parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left, place) + _text(node.right, place)
    if isinstance(node, ast.IfExp):
        return f"{_text(node.body, place)} / {_text(node.orelse, place)}"
    if isinstance(node, ast.Name):
        known = [
            _text(value, where)
            for value, where in place.values(node.id)
            if isinstance(value, ast.Constant | ast.JoinedStr | ast.BinOp | ast.IfExp | ast.Name)
        ]
        if known:
            return " / ".join(dict.fromkeys(known))
    filled = node.func if isinstance(node, ast.Call) else node
    words = re.findall(r"[a-z][a-z_]+", ast.unparse(filled))
    return f"‹{words[-1].strip('_').replace('_', ' ') if words else '...'}›"


def documented_codes(page: str) -> set[str]:
    """The codes that a page has a row for."""
    return set(re.findall(r"^\| `([A-Z0-9_]+)` \|", page, re.MULTILINE))


#: Sections of the page: title, what leads to it, and the folders whose errors stand there, by the first that fits.
SECTIONS = (
    (
        "Reading and cutting a study",
        "A tumour with such an error is excluded and counted in the flow; the predictor replies with the status.",
        ("components/imaging/",),
    ),
    ("Cohort table, exclusions and identity", "Raised by preprocessing.", ("components/preprocess/",)),
    ("Settings, files and stores", "Raised by any step or command.", ("components/common/",)),
    (
        "Splitting, training and evaluation",
        "",
        ("components/split/", "components/train/", "components/evaluate/", "components/validate/", "components/stats/"),
    ),
    ("Bundles, registry and deployment", "", ("components/model/", "components/promote/", "components/deploy/")),
    ("Predictor", "Over gRPC, the details of the status are the same JSON.", ("serving/",)),
    ("Commands, local runs and clusters", "", ("pipelines/", "components/phantom/")),
)  # fmt: skip


def page() -> str:
    """The whole page."""
    by_code: dict[str, list[Made]] = defaultdict(list)
    for made in made_errors():
        by_code[made.code].append(made)
    for code, message in CHOSEN.items():
        package = {"K": "pipelines/"}.get(code[0], "components/common/")
        kind, package = ("Refused", "serving/") if code in CODES[404] + CODES[405] else ("SrsError", package)
        by_code[code].append(Made(code, kind, message, "", package))
    for code in (code for codes in CODES.values() for code in codes if code not in by_code):
        package, message = ("components/imaging/", "") if code in REFUSALS else ("serving/", "")
        by_code[code].append(Made(code, "TumourError" if code in REFUSALS else "Refused", message, "", package))
    lines = [_HEAD]
    left = dict(by_code)
    for title, lead, folders in SECTIONS:
        codes = sorted(code for code, all_made in left.items() if any(m.module.startswith(folders) for m in all_made))
        lines += [f"\n## {title}\n"] + ([f"{lead}\n"] if lead else [])
        lines += ["| code | status or exit code | message | hint |", "|---|---|---|---|"]
        lines += [_row(code, left.pop(code)) for code in codes]
    lines += ["\n## Exclusions by the study's rules\n", "| code | meaning |", "|---|---|"]
    lines += [f"| `{code}` | {REASONS[code]} |" for code in REASONS if code not in REFUSALS and code not in by_code]
    lines += ["\n## Warnings about a tumour that is used nevertheless\n", "| code | meaning |", "|---|---|"]
    answered = {code: f"{REASONS[code]}; the predictor answers nevertheless" for code in ANSWERED_WITH_WARNING}
    warnings = {**WARNINGS, **reply.WARNINGS, **answered}
    lines += [f"| `{code}` | {means} |" for code, means in sorted(warnings.items())]
    lines += ["\n## HTTP statuses of the predictor\n", "| status | what to do |", "|---|---|"]
    lines += [f"| {status} | {REMEDIES[status]} |" for status in sorted(REMEDIES)]
    return "\n".join(lines) + "\n"


def _row(code: str, all_made: list[Made]) -> str:
    http = next((status for status, codes in CODES.items() if code in codes), None)
    exits = {getattr(errors, made.kind, errors.SrsError).exit_code for made in all_made if made.kind != "Refused"}
    status = ", ".join([*([f"HTTP {http}"] if http else []), *(f"exit {number}" for number in sorted(exits))])
    says = _joined([made.message for made in all_made])
    if code in {**REFUSALS, **WARNINGS}:
        says = _joined([{**REFUSALS, **WARNINGS}[code], *([says] if says else [])])
    return f"| `{code}` | {status} | {says} | {_joined([made.hint for made in all_made])} |"


def _joined(texts: list[str], most: int = 3) -> str:
    """Distinct texts, each on a line of its own; the longest lists are cut."""
    shown = [textwrap.shorten(one, 260, placeholder=" ...") for one in dict.fromkeys(texts) if one]
    more = [f"... and {len(shown) - most} more"] if len(shown) > most + 1 else []
    return "<br>".join((shown[:most] + more) if more else shown).replace("|", "\\|")


_HEAD = """# Errors

`make docs` generates this page from the code. An error has a code that never changes, a message that identifies no
patient, and a hint that says what to do. `srs` prints all three and ends with the exit code; a step of a run prints
them in its log; the predictor replies with the HTTP status and `{"error": MESSAGE, "code": CODE, "hint": HINT}`.

A message or hint has several lines if the code is raised in several places. `‹...›` stands for a value that is filled
in, and ` / ` separates alternatives. An empty hint means that the message says it all."""


if __name__ == "__main__":
    PAGE.write_text(page())
