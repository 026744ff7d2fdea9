"""Computes a lesion's RECIST 1.1 response from its longest diameters, the study's label, and BED (STUDY 1)."""

from typing import Literal, get_args

Response = Literal["CR", "PR", "SD", "PD"]
RESPONSES: tuple[str, ...] = get_args(Response)

#: Decrease from baseline that defines a partial response, as a fraction (Eisenhauer et al. 2009, section 4.3.1).
PARTIAL_RESPONSE_DECREASE = 0.30
#: Increase over the smallest diameter that defines progression, as a fraction and in mm; both are required.
PROGRESSION_INCREASE, PROGRESSION_MM = 0.20, 5.0
#: Alpha/beta of the tumour, Gy.
ALPHA_BETA_GY = 10.0
_REMEDY = "correct one of them, or leave either the response or the diameters empty"
#: Rounding of diameters given in decimals, mm.
ROUNDING_MM = 1e-9


def response_of(baseline_mm: float, follow_up_mm: float, nadir_mm: float | None = None) -> Response:
    """CR, PR, SD or PD of one lesion.

    Parameters
    ----------
    baseline_mm, follow_up_mm
        Longest diameters before SRS and at follow-up, mm; 0 at follow-up means that the lesion has disappeared.
    nadir_mm
        Smallest diameter before the follow-up; None where that is the baseline.
    """
    smallest = baseline_mm if nadir_mm is None else min(nadir_mm, baseline_mm)
    growth = follow_up_mm - smallest
    if follow_up_mm <= 0:
        return "CR"
    if growth >= PROGRESSION_MM - ROUNDING_MM and growth >= PROGRESSION_INCREASE * smallest - ROUNDING_MM:
        return "PD"
    if baseline_mm - follow_up_mm >= PARTIAL_RESPONSE_DECREASE * baseline_mm - ROUNDING_MM:
        return "PR"
    return "SD"


def contradictions(
    response: str | None, baseline_mm: float | None, follow_up_mm: float | None, nadir_mm: float | None
) -> dict[str, str]:
    """Contradictions between the response and the diameters of one lesion, by the column to which each belongs.

    Parameters
    ----------
    response
        Response in the table; None where it is to be computed.
    baseline_mm, follow_up_mm, nadir_mm
        As for ``response_of``; None where not given.
    """
    wrong = {}
    if baseline_mm is None:
        for column, value in (("follow_up_diameter_mm", follow_up_mm), ("nadir_diameter_mm", nadir_mm)):
            if value is not None:
                wrong[column] = "given without baseline_diameter_mm: give both, or leave both empty"
    elif nadir_mm is not None and nadir_mm > baseline_mm + ROUNDING_MM:
        wrong["nadir_diameter_mm"] = "above baseline_diameter_mm: it is the smallest diameter before the follow-up"
    elif response is not None and follow_up_mm is not None:
        computed = response_of(baseline_mm, follow_up_mm, nadir_mm)
        if computed != response:
            nadir = " and nadir_diameter_mm" if nadir_mm is not None else ""
            columns = f"baseline_diameter_mm and follow_up_diameter_mm{nadir}"
            wrong["response"] = f"{columns} give {computed} by RECIST 1.1: {_REMEDY}"
    return wrong


def label_of(response: str) -> int:
    """0 for a responder (CR, PR), 1 for a non-responder (SD, PD)."""
    return {"CR": 0, "PR": 0, "SD": 1, "PD": 1}[response]


def bed10_gy(total_dose_gy: float, fractions: int) -> float:
    """Biologically effective dose, n d (1 + d / 10), Gy."""
    dose = total_dose_gy / fractions
    return total_dose_gy * (1 + dose / ALPHA_BETA_GY)
