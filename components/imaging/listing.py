"""Lists a study's RTSTRUCTs and their structures by name and number, for the user to choose from."""

import dataclasses

from components.common.errors import TumourError
from components.common.store.base import Source
from components.imaging.attributes import text
from components.imaging.elements import Header
from components.imaging.plan import read_folder
from components.imaging.rtstruct import RoiLabel, structure_labels


@dataclasses.dataclass(frozen=True, slots=True)
class RtstructListing:
    """The labels of one RTSTRUCT; ``problem`` is the reason why it cannot be read, or "".

    It holds identity (UIDs, dates, free text), so it may be shown on screen but never put into an error or a log.
    """

    sop_instance_uid: str
    date: str = ""
    label: str = ""
    structures: tuple[RoiLabel, ...] = ()
    problem: str = ""


def list_rtstructs(source: Source, prefix: str, rtstruct_uid: str = "") -> list[RtstructListing]:
    """All RTSTRUCTs below ``prefix``, or only the one named by its UID if present; raises as ``read_folder``."""
    listings = [_listing(uid, rtstruct) for uid, rtstruct in read_folder(source, prefix).rtstructs]
    return [one for one in listings if one.sop_instance_uid == rtstruct_uid] or listings


def _listing(uid: str, rtstruct: Header | TumourError) -> RtstructListing:
    try:
        if isinstance(rtstruct, TumourError):
            raise rtstruct
        date = text(rtstruct, "StructureSetDate") or text(rtstruct, "SeriesDate") or text(rtstruct, "StudyDate")
        return RtstructListing(uid, date, text(rtstruct, "StructureSetLabel"), tuple(structure_labels(rtstruct)))
    except TumourError as error:
        return RtstructListing(uid, problem=error.safe_message)
