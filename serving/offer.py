"""What a study offers to a caller who has to choose: its RTSTRUCTs and structures, as the options name them."""

from collections.abc import Iterator, Mapping
from typing import Any

from components.common.errors import SrsError
from components.common.limits import MAX_OFFERED, MAX_OFFERED_STRUCTURES, MAX_OFFERED_TEXT
from components.common.objects import Source
from components.imaging.dicom_io import damage_in_words, text
from components.imaging.elements import Header
from components.imaging.plan import read_folder

#: Refusals after which a choice by ``roi`` or ``rtstruct_uid`` helps.
CHOICES = ("NO_GTV", "ROI_MISSING", "ROI_AMBIGUOUS", "NO_RTSTRUCT", "RTSTRUCT_AMBIGUOUS")


def offer_of(source: Source) -> list[dict[str, Any]]:
    """The RTSTRUCTs of a study and their structures: the caller's own names, for the reply and never for a log."""
    try:
        found = read_folder(source, "").rtstructs[:MAX_OFFERED]
    except SrsError:
        return []
    places = iter(range(MAX_OFFERED_STRUCTURES))  # of all RTSTRUCTs together
    return [{"rtstruct_uid": uid[:MAX_OFFERED_TEXT], **_described(one, places)} for uid, one in found]


def _described(found: Any, places: Iterator[int]) -> Mapping[str, Any]:
    if not isinstance(found, Header):
        return {"structures": []}
    try:
        with damage_in_words():
            listed = [one for one, _ in zip(found.items("StructureSetROISequence"), places, strict=False)]
            names = [{"roi": _short(one, "ROIName"), "number": _short(one, "ROINumber")} for one in listed]
            return {name: _short(found, keyword) for name, keyword in _SAID.items()} | {"structures": names}
    except SrsError:
        return {"structures": []}


def _short(element: Any, keyword: str) -> str:
    """As much of a text as DICOM allows a name; more is none, and would make the reply as large as the study."""
    return text(element, keyword)[:MAX_OFFERED_TEXT]


_SAID = {"label": "StructureSetLabel", "date": "StructureSetDate"}
