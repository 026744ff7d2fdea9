"""What else lies in a patient's folder, in words: for messages that say that the CT or the RTSTRUCT is absent."""

from collections import Counter
from collections.abc import Iterable, Sequence

from pydicom.uid import UID

from components.common.errors import TumourError
from components.imaging.dicom_io import DICOMDIR, text
from components.imaging.elements import Header

#: Modalities that may be printed beside an object's kind (PS3.3 C.7.3.1.1.1); other values may hold anything.
MODALITIES = frozenset(
    "CT MR PT NM US XA CR DX RTDOSE RTPLAN RTIMAGE RTRECORD RTSTRUCT SEG REG SR PR KO OT SC DOC M3D".split()  # noqa: SIM905
)
RESEARCH = "image or mask of a research format such as NIfTI"
#: How files end that are no DICOM, but may hold what is looked for; the first that fits counts.
ENDINGS = {
    (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"): RESEARCH,
    (".zip",): "zip (not opened)",
    (".tar", ".tar.gz", ".tgz", ".7z", ".rar", ".iso"): "archive (not opened)",
    (".gz", ".bz2", ".xz"): "compressed file (not opened)",
}
UNPACK = "Unpack it once, beforehand: what is packed inside a folder or a zip is not read."
ONE_FOLDER = "Give the planning CT and the RTSTRUCT of a patient in one folder."
SEGMENTATION = "Tumours are read from the contours of an RTSTRUCT: export one, or convert the segmentation to it."


def absent(code: str, message: str, headers: Sequence[Header], others: Iterable[str], damaged: int) -> TumourError:
    """The error that says what is absent, and what is there instead.

    Parameters
    ----------
    code, message
        Of the object that is absent.
    headers
        Of all DICOM objects that are there; copies count once.
    others
        Names of the files that are no DICOM; only how they end, or how many they are, is told.
    damaged
        DICOM files whose header cannot be read: the object may be among them.
    """
    if damaged:
        return TumourError(
            "DICOM_DAMAGED", f"{message}, and {damaged} DICOM files cannot be read", "Export them again."
        )
    distinct = dict.fromkeys((_kind(header), text(header, "SOPInstanceUID")) for header in headers)
    endings = [_ending(name) for name in others]
    objects, files = Counter(kind for kind, _ in distinct), Counter(filter(None, endings))
    if endings and not objects and not files:
        words = f"{message}; none of the {len(endings)} files there is DICOM"
        return TumourError(code, words, "Export the study as DICOM.")
    found = [*objects.items(), *files.items()]
    there = ", ".join(f"{count} x {kind}" if count > 1 else kind for kind, count in found)
    return TumourError(code, f"{message}; what is there: {there}" if there else message, _hint(objects, files))


def _hint(objects: Counter[str], files: Counter[str]) -> str:
    if set(files) - {RESEARCH}:
        return UNPACK
    if set(objects) == {"DICOMDIR"}:
        return "A DICOMDIR only lists files: give the folders beside it too."
    if any("Segmentation" in kind for kind in objects) or files:
        return SEGMENTATION
    return ONE_FOLDER


def _kind(header: Header) -> str:
    """The standard's name of an object's kind, and its modality: no text of the file's own."""
    if text(header, "MediaStorageSOPClassUID") == DICOMDIR:
        return "DICOMDIR"
    uid, modality = UID(text(header, "SOPClassUID")), text(header, "Modality")
    name = "object of a private kind" if uid.is_private or uid.name == uid else uid.name.removesuffix(" Storage")
    return f"{name} ({modality})" if modality in MODALITIES else name


def ending_of(name: str) -> str:
    """The ending of a file that is no DICOM but may hold what is looked for; "" of any other."""
    found = [one for endings in ENDINGS for one in endings if name.lower().endswith(one)]
    return max(found, key=len, default="")


def _ending(name: str) -> str:
    return next((word for endings, word in ENDINGS.items() if name.lower().endswith(endings)), "")
