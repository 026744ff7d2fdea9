"""What a study offers to choose from, for its owner's eyes: RTSTRUCTs and their structures, by name and number."""

import dataclasses

from components.common.errors import TumourError
from components.common.store.base import Source
from components.imaging.dicom_io import text
from components.imaging.elements import Header
from components.imaging.plan import read_folder
from components.imaging.rtstruct import RoiLabel, structure_labels


@dataclasses.dataclass(frozen=True, slots=True)
class RtstructListing:
    """An RTSTRUCT in its owner's words; ``problem`` says why it cannot be read, or "".

    It holds identity (UIDs, dates, free text), so it goes to a screen, never into an error or a log.
    """

    sop_instance_uid: str
    date: str = ""
    label: str = ""
    structures: tuple[RoiLabel, ...] = ()
    problem: str = ""


def list_rtstructs(source: Source, prefix: str, rtstruct_uid: str = "") -> list[RtstructListing]:
    """All RTSTRUCTs below ``prefix``, or the named one where it is there; raises as ``read_folder``."""
    found = [_listing(uid, one) for uid, one in read_folder(source, prefix).rtstructs]
    return [one for one in found if one.sop_instance_uid == rtstruct_uid] or found


def _listing(uid: str, found: Header | TumourError) -> RtstructListing:
    try:
        if isinstance(found, TumourError):
            raise found
        date = text(found, "StructureSetDate") or text(found, "SeriesDate") or text(found, "StudyDate")
        return RtstructListing(uid, date, text(found, "StructureSetLabel"), tuple(structure_labels(found)))
    except TumourError as error:
        return RtstructListing(uid, problem=error.safe_message)
