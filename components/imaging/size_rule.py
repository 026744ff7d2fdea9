"""Refuses GTVs by their size (STUDY 1)."""

from components.common.errors import TumourError
from components.common.settings import PreprocessSettings
from components.imaging.candidate import Candidate
from components.imaging.crop import ImageDefinition


def check_size(
    candidate: Candidate,
    settings: PreprocessSettings,
    definition: ImageDefinition,
    diameter_mm: float | None = None,
) -> Candidate:
    """Refuses a GTV by the size rule (STUDY 1), then one that is wider than its crop.

    Parameters
    ----------
    candidate, settings, definition
        The measurements, the limits, and the size of the crop.
    diameter_mm
        Longest diameter from the cohort table; None takes the measured one.
    """
    diameter = candidate.longest_diameter_mm if diameter_mm is None else diameter_mm
    if diameter is None or candidate.width_mm is None or candidate.height_mm is None:
        return candidate
    error = size_refusal(diameter, settings)
    if error is None and max(candidate.width_mm, candidate.height_mm) > definition.size_mm:
        hint = "The model was made for smaller lesions; name each GTV by roi if this structure holds several."
        error = TumourError("WIDER_THAN_CROP", "the GTV is wider than the crop", hint)
    return candidate if error is None else candidate.refused(error)


def size_refusal(diameter_mm: float, settings: PreprocessSettings) -> TumourError | None:
    """``TOO_LARGE`` or ``TOO_SMALL`` where the longest diameter is outside the limits of the settings."""
    if diameter_mm > settings.max_diameter_mm:
        return TumourError("TOO_LARGE", f"longest diameter above {settings.max_diameter_mm:g} mm")
    if diameter_mm < settings.min_diameter_mm:
        return TumourError("TOO_SMALL", f"longest diameter below {settings.min_diameter_mm:g} mm")
    return None
