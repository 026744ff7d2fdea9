"""How a CT slice was scanned: contrast agent, tube voltage, slice thickness and class of the reconstruction kernel.

Texts in a header may identify a patient, so only words of closed vocabularies and numbers within a range are passed
on. A fact that is absent, unreadable or out of range is None; it is never an error.
"""

import dataclasses
from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from components.common.errors import TumourError
from components.imaging.attributes import group_items, numbers, text
from components.imaging.contrast_agent import contrast_word
from components.imaging.ct import is_multi_frame
from components.imaging.kernels import kernel_class
from components.imaging.pydicom_errors import dicom_errors

#: Ranges of KVP, kV, and of SliceThickness, mm, wide enough for any CT in use. Writers fill in 0 for an unknown value.
KVP_RANGE, THICKNESS_RANGE_MM = (20.0, 200.0), (0.05, 20.0)
#: Amounts of the agent, mL (PS3.3 C.7.6.4). De-identification empties the agent, but not these. 0 is no amount.
AMOUNTS, AMOUNT_RANGE_ML = ("ContrastBolusVolume", "ContrastBolusTotalDose"), (0.1, 1000.0)
#: Decimals of numbers: DS values are decimal texts, in which writers leave the noise of floats (3.26999999999998).
DECIMALS = 3
#: Functional groups in which converters store the attributes for which Enhanced CT has no other place.
UNASSIGNED = ("UnassignedPerFrameConvertedAttributesSequence", "UnassignedSharedConvertedAttributesSequence")


@dataclasses.dataclass(frozen=True, slots=True)
class ScanFacts:
    """Facts about one slice, None where unknown.

    Parameters
    ----------
    contrast_agent
        ``yes`` or ``no``.
    kvp
        Tube voltage, kV.
    slice_thickness_mm
        Nominal thickness, which may differ from the distance of the slices.
    kernel
        One of ``KERNEL_CLASSES``.
    """

    contrast_agent: str | None = None
    kvp: float | None = None
    slice_thickness_mm: float | None = None
    kernel: str | None = None


def scan_facts(image: Dataset, frame: int) -> ScanFacts:
    """The facts of one frame of a CT image (0 in a single-frame object)."""
    details, measures, reconstruction = (
        _places(image, frame, group)
        for group in ("CTXRayDetailsSequence", "PixelMeasuresSequence", "CTReconstructionSequence")
    )
    return ScanFacts(
        contrast_agent=_contrast(image, frame),
        kvp=_number(details, "KVP", KVP_RANGE),
        slice_thickness_mm=_number(measures, "SliceThickness", THICKNESS_RANGE_MM),
        kernel=kernel_class(_text(reconstruction, "ConvolutionKernel")),
    )


def _contrast(image: Dataset, frame: int) -> str | None:
    """Whether an agent was given: by what an Enhanced CT says of the frame, else by the agent, its codes or amounts."""
    places = _places(image, frame)
    usages = _items(image, frame, "ContrastBolusUsageSequence")
    administered = {_text([usage], "ContrastBolusAgentAdministered").upper() for usage in usages}
    if administered & {"YES", "NO"}:
        return "yes" if "YES" in administered else "no"
    if word := contrast_word(_text(places, "ContrastBolusAgent")):
        return word
    has_amount = any(_number(places, keyword, AMOUNT_RANGE_ML) for keyword in AMOUNTS)
    return "yes" if has_amount or any(map(_has_agent_codes, places)) else None


def _places(image: Dataset, frame: int, group: str = "") -> list[Dataset]:
    """The data sets that may hold an attribute: functional groups of a multi-frame object, then the object itself."""
    groups = [*filter(None, [group]), *UNASSIGNED]
    return [*(item for name in groups for item in _items(image, frame, name)[:1]), image]


def _items(image: Dataset, frame: int, group: str) -> Sequence[Dataset]:
    try:
        return group_items(image, frame, group) if is_multi_frame(image) else ()
    except TumourError:
        return ()


def _has_agent_codes(place: Dataset) -> bool:
    try:
        with dicom_errors():
            codes = place.get("ContrastBolusAgentSequence")
    except TumourError:
        return False
    return isinstance(codes, Items) and len(codes) > 0


def _text(places: Sequence[Dataset], keyword: str) -> str:
    """The first text that is not empty."""
    for place in places:
        try:
            if found := text(place, keyword):
                return found
        except TumourError:
            continue
    return ""


def _number(places: Sequence[Dataset], keyword: str, within: tuple[float, float]) -> float | None:
    """The first number that is in the range."""
    for place in places:
        try:
            return round(numbers(place, keyword, 1, within)[0], DECIMALS)
        except TumourError:
            continue
    return None
