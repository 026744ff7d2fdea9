"""The RTSTRUCTs and structures among which a caller has to choose, as ``rtstruct_uid`` and ``roi`` name them."""

from collections.abc import Iterator, Mapping
from typing import Any

from components.common.errors import SrsError
from components.common.limits import MAX_OFFERED_NAME, MAX_OFFERED_RTSTRUCTS, MAX_OFFERED_STRUCTURES
from components.common.store.base import Source
from components.imaging.attributes import text
from components.imaging.elements import Header
from components.imaging.plan import read_folder
from components.imaging.pydicom_errors import dicom_errors

#: Codes of refusals that a choice by ``roi`` or ``rtstruct_uid`` can resolve.
CHOICE_HELPS = ("NO_GTV", "ROI_MISSING", "ROI_AMBIGUOUS", "NO_RTSTRUCT", "RTSTRUCT_AMBIGUOUS")


def choices_of(source: Source) -> list[dict[str, Any]]:
    """The RTSTRUCTs of a study and their structures: a reply's ``offer``. These are the caller's names: never log them.

    At most ``MAX_OFFERED_RTSTRUCTS`` RTSTRUCTs, and ``MAX_OFFERED_STRUCTURES`` structures of all of them together.
    """
    try:
        rtstructs = read_folder(source, "").rtstructs[:MAX_OFFERED_RTSTRUCTS]
    except SrsError:
        return []
    budget = iter(range(MAX_OFFERED_STRUCTURES))
    return [{"rtstruct_uid": uid[:MAX_OFFERED_NAME], **_described(one, budget)} for uid, one in rtstructs]


def _described(header: Any, budget: Iterator[int]) -> Mapping[str, Any]:
    if not isinstance(header, Header):
        return {"structures": []}
    try:
        with dicom_errors():
            listed = [one for one, _ in zip(header.items("StructureSetROISequence"), budget, strict=False)]
            names = [{"roi": _short(one, "ROIName"), "number": _short(one, "ROINumber")} for one in listed]
            return {name: _short(header, keyword) for name, keyword in _DESCRIPTION.items()} | {"structures": names}
    except SrsError:
        return {"structures": []}


def _short(element: Any, keyword: str) -> str:
    """The first ``MAX_OFFERED_NAME`` characters: DICOM allows names no longer, and a reply must stay small."""
    return text(element, keyword)[:MAX_OFFERED_NAME]


_DESCRIPTION = {"label": "StructureSetLabel", "date": "StructureSetDate"}
