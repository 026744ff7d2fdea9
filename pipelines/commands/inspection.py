"""What ``srs inspect`` shows on the terminal: the tumours found, or the structures that can be chosen."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Column, Table
from rich.text import Text

from pipelines.commands.terminal import errors, screen

if TYPE_CHECKING:
    from components.common.store.base import Source
    from components.imaging.candidate import Candidate

#: Errors after which the user can choose an RTSTRUCT or a structure.
CHOICES = ("NO_GTV", "ROI_MISSING", "ROI_AMBIGUOUS", "ROI_PATTERN", "NO_RTSTRUCT", "RTSTRUCT_AMBIGUOUS")


def show_candidates(candidates: "Sequence[Candidate]") -> None:
    """A table of the tumours, then each tumour's message and hint."""
    names = ("no.", "status", "planes", "z mm", "longest\nmm", "tied\nby")
    no, status, planes, z, longest, tied = (Column(name, no_wrap=True) for name in names)
    gtv, size, density = Column("GTV", overflow="fold"), Column("width x\nheight"), Column("HU mean\n± SD")
    # narrow enough for a terminal of 80 columns
    table = Table(no, gtv, status, planes, z, size, longest, density, tied, box=None, padding=(0, 1, 0, 0))
    for one in candidates:
        extent = f"{_number(one.width_mm)} x {_number(one.height_mm)}"
        hu = f"{_number(one.hu_mean)} ± {_number(one.hu_sd)}"
        cells = (_number(one.z_mm), extent, _number(one.longest_diameter_mm), hu, one.match_level or "-")
        table.add_row(one.roi_number or "-", Text(one.roi_name), _status(one), str(one.planes or "-"), *cells)
    screen.print(table)
    for one in candidates:
        if one.message:
            line = f"{one.roi_name} (no. {one.roi_number or '-'}): {one.message}. {one.hint}"
            screen.print(Text(line.rstrip()), soft_wrap=True)


def show_choices(source: "Source", rtstruct_uid: str) -> None:
    """The RTSTRUCTs of a study and their structures, with the names and numbers that the options take."""
    from components.common.errors import SrsError
    from components.imaging.listing import list_rtstructs

    try:
        rtstructs = list_rtstructs(source, "", rtstruct_uid)
    except SrsError:
        return  # the error that led here says what is wrong with the folder
    for one in rtstructs:
        description = one.problem or "structures: " + ", ".join(
            f"{each.number or '-'} {each.name}{' (typed GTV)' if each.interpreted_type == 'GTV' else ''}"
            for each in one.structures
        )
        head = " ".join(filter(None, ("rtstruct_uid", one.sop_instance_uid, one.date, one.label)))
        errors.print(Text(f"{head}: {description}"), soft_wrap=True)


def _status(candidate: "Candidate") -> Text:
    if candidate.status != "ok":
        return Text(candidate.code, "red")
    return Text("ok, with a warning", "yellow") if candidate.warnings else Text("ok", "green")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
