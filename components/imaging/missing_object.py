"""The error for a missing CT or RTSTRUCT, which lists the kinds of objects that the folder holds instead."""

from collections import Counter
from collections.abc import Iterable, Sequence

from pydicom.uid import UID

from components.common.errors import TumourError
from components.imaging.attributes import text
from components.imaging.dicom_io import DICOMDIR
from components.imaging.elements import Header

#: Modalities that a message may print (PS3.3 C.7.3.1.1.1). Any other value is free text and could be identity.
MODALITIES = frozenset(
    "CT MR PT NM US XA CR DX RTDOSE RTPLAN RTIMAGE RTRECORD RTSTRUCT SEG REG SR PR KO OT SC DOC M3D".split()  # noqa: SIM905
)
RESEARCH = "image or mask of a research format such as NIfTI"
#: Kind of each file that is not DICOM but may hold the missing object, by its ending; the first match counts.
FILE_KINDS = {
    (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"): RESEARCH,
    (".zip",): "zip (not opened)",
    (".tar", ".tar.gz", ".tgz", ".7z", ".rar", ".iso"): "archive (not opened)",
    (".gz", ".bz2", ".xz"): "compressed file (not opened)",
}
UNPACK = "Unpack it first: archives inside a folder or a zip are not read."
ONE_FOLDER = "Give the planning CT and the RTSTRUCT of a patient in one folder."
SEGMENTATION = "Tumours are read from the contours of an RTSTRUCT: export one, or convert the segmentation to it."


def missing_object_error(
    code: str, message: str, headers: Sequence[Header], others: Iterable[str], damaged: int
) -> TumourError:
    """The error for a missing object, with the kinds of objects and files that are there instead.

    Parameters
    ----------
    code, message
        Code and message for the missing object.
    headers
        Headers of all DICOM objects in the folder; copies count once.
    others
        Names of the files that are not DICOM. The message gives only their kind or their number.
    damaged
        Number of DICOM files whose header cannot be read; the missing object may be one of them.
    """
    if damaged:
        return TumourError(
            "DICOM_DAMAGED", f"{message}, and {damaged} DICOM files cannot be read", "Export them again."
        )
    distinct = dict.fromkeys((_kind(header), text(header, "SOPInstanceUID")) for header in headers)
    endings = [_ending(name) for name in others]
    objects, files = Counter(kind for kind, _ in distinct), Counter(filter(None, endings))
    if endings and not objects and not files:
        which = f"none of the {len(endings)} files" if len(endings) > 1 else "the only file"
        not_dicom = "is DICOM" if len(endings) > 1 else "is not DICOM"
        return TumourError(code, f"{message}; {which} in the folder {not_dicom}", "Export the study as DICOM.")
    counts = [*objects.items(), *files.items()]
    contents = ", ".join(f"{count} x {kind}" if count > 1 else kind for kind, count in counts)
    return TumourError(code, f"{message}; the folder holds: {contents}" if contents else message, _hint(objects, files))


def _hint(objects: Counter[str], files: Counter[str]) -> str:
    if set(files) - {RESEARCH}:
        return UNPACK
    if set(objects) == {"DICOMDIR"}:
        return "A DICOMDIR only lists files: give the folders that it refers to as well."
    if any("Segmentation" in kind for kind in objects) or files:
        return SEGMENTATION
    return ONE_FOLDER


def _kind(header: Header) -> str:
    """The standard's name of an object's SOP class, and its modality. No free text of the file is used."""
    if text(header, "MediaStorageSOPClassUID") == DICOMDIR:
        return "DICOMDIR"
    uid, modality = UID(text(header, "SOPClassUID")), text(header, "Modality")
    name = "object of a private kind" if uid.is_private or uid.name == uid else uid.name.removesuffix(" Storage")
    return f"{name} ({modality})" if modality in MODALITIES else name


def ending_of(name: str) -> str:
    """The ending of a file that is not DICOM but may hold the missing object; "" for any other file."""
    matches = [one for endings in FILE_KINDS for one in endings if name.lower().endswith(one)]
    return max(matches, key=len, default="")


def _ending(name: str) -> str:
    return next((word for endings, word in FILE_KINDS.items() if name.lower().endswith(endings)), "")
