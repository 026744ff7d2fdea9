"""Settings of preprocessing: which tumours are included, and how their images and contours are found."""

from typing import Literal, Self

import pydantic

from components.common.checked import Conflicts, checked, setting
from components.common.field_types import Integer, Number, Truth
from components.common.network_settings import SETTINGS, Settings
from components.common.setting_types import SHAREABLE, Pattern, SharedAttributes, names_in

IMAGE_SIZE_MM = 40.0


@checked(SETTINGS)
class PreprocessSettings(Settings):
    """From planning CT to crops in HU (STUDY 1 and 2)."""

    slice_rule: Literal["centre", "largest"] = setting(
        "centre",
        "axial slice that is cut out: the one nearest to the centroid of the GTV's volume (centre), or the one with "
        "the largest area of GTV (largest)",
    )
    roi_pattern: Pattern = setting(
        "",
        "regular expression for the names of the structures that are GTVs; empty: names by TG-263 (GTV, GTVp1, GTV_02) "
        "and structures whose type is GTV",
    )
    follow_up_window_days: Integer = setting(
        92, "longest time from SRS to the follow-up imaging that decides the response, days", 1, 3650
    )
    min_diameter_mm: Number = setting(10.0, "smallest lesion included (longest diameter, mm)", 0, IMAGE_SIZE_MM)
    max_diameter_mm: Number = setting(35.0, "largest lesion included (longest diameter, mm)", 1, IMAGE_SIZE_MM)
    max_metastases: Integer = setting(5, "largest number of brain metastases that an included patient has", 1, 1000)
    lowest_match_level: Literal["uid", "plane"] = setting(
        "plane",
        "weakest accepted match of a contour to its CT slice: the slice's SOPInstanceUID (uid), or else the position "
        "of its plane (plane)",
        names=("lowest_match_level", "lowest_rung"),
    )
    strict: Truth = setting(
        False, "whether the run stops at the first tumour that cannot be read; otherwise that tumour is excluded"
    )
    one_patient: Literal["refuse", "merge"] = setting(
        "refuse",
        "what happens where different patient_ids have the DICOM identifiers or images of one patient: the cohort is "
        "refused (refuse), or they are treated as one patient (merge)",
    )
    shared_attributes: SharedAttributes = setting(
        "",
        "what different patients of this cohort have in common and so does not identify one, separated by commas: the "
        f"PatientID of an anonymised export, or the pixels of a phantom; any of {', '.join(SHAREABLE)}",
    )

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Self:
        if self.min_diameter_mm > self.max_diameter_mm:
            raise Conflicts("min_diameter_mm is above max_diameter_mm")
        return self

    @property
    def shared(self) -> tuple[str, ...]:
        """The attributes that do not distinguish patients of this cohort."""
        return names_in(self.shared_attributes)
