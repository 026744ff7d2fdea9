"""Types of the settings that are texts, each with its own check, and the names that such a text may hold."""

from typing import Annotated

import pydantic

from components.common.field_types import Text, matching, shown
from components.common.limits import MAX_MANIFEST_TEXT
from components.common.network_settings import NETWORKS
from components.common.patterns import pattern_problem

#: DICOM attributes, and properties of images, whose equality shows that two exports are of one patient.
IDENTIFYING = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID")
PIXELS, CROPS = "pixels", "crops"
SHAREABLE = (*IDENTIFYING, PIXELS, CROPS)


def names_in(text: str) -> tuple[str, ...]:
    """The names in a text that separates them by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _are_shareable(text: str) -> str:
    if unknown := set(names_in(text)) - set(SHAREABLE):
        count = f"{len(unknown)} {'name is' if len(unknown) == 1 else 'names are'} not"
        raise ValueError(f"{count} one of {', '.join(SHAREABLE)}, separated by commas")  # the names may be a patient's
    return text


def _is_pattern(text: str) -> str:
    if problem := pattern_problem(text):
        raise ValueError(f"{shown(text)} is not a regular expression: {problem}")
    return text


def _fits_manifest(text: str) -> str:
    if len(text) > MAX_MANIFEST_TEXT:  # otherwise the bundle would be refused, after all members were trained
        raise ValueError(f"longer than {MAX_MANIFEST_TEXT:,} characters")
    return text


ShortText = Annotated[Text, pydantic.AfterValidator(_fits_manifest)]
Pattern = Annotated[ShortText, pydantic.AfterValidator(_is_pattern)]
#: The name of a network: a built-in one, or ``package.module:function``.
NetworkName = Annotated[
    ShortText, matching(rf"{'|'.join(NETWORKS)}|\w+(\.\w+)*:\w+", f"{', '.join(NETWORKS)} or package.module:function")
]
#: The ensemble that is promoted: that of all groups, or of one.
EnsembleName = Annotated[Text, matching(r"study|[A-Z]", "study or the letter of a group, such as A")]
#: What the gate refuses unless it is named: runs split by tumour, and runs of few groups or members.
EXEMPTIONS = ("tumour_splits", "few_members")


def _are_exemptions(text: str) -> str:
    if unknown := [name for name in names_in(text) if name not in EXEMPTIONS]:
        raise ValueError(f"{shown(', '.join(unknown))} is not one of {', '.join(EXEMPTIONS)}, separated by commas")
    return text


Exemptions = Annotated[ShortText, pydantic.AfterValidator(_are_exemptions)]
#: Names of ``SHAREABLE``, separated by commas.
SharedAttributes = Annotated[ShortText, pydantic.AfterValidator(_are_shareable)]
