"""Tumours near the line between partial response and stable disease (STUDY 6).

RECIST 1.1 calls a tumour partial response where its longest diameter fell by 30 % or more. A tumour at -29 % is a
non-responder, one at -31 % a responder, and measuring a diameter twice differs by more than that.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.common.artifacts.clinical_metrics import Subgroup
from components.stats.subgroups import subgroups

#: Relative change of the longest diameter at which partial response begins (RECIST 1.1, 4.3.1), per cent.
PARTIAL_RESPONSE = -30.0
#: Tumours nearer to it are borderline, percentage points: on a diameter of 20 mm, 2 mm.
BORDERLINE = 10.0

CHANGE, KNOWN = "Change of the longest diameter", "Diameters"


def distance_to_line(tumours: pd.DataFrame) -> NDArray[np.float64]:
    """Relative change of each tumour's longest diameter less -30 %, in percentage points; NaN where not known."""
    baseline, follow_up = (
        pd.to_numeric(tumours[name], errors="coerce").to_numpy(dtype=np.float64)
        for name in ("baseline_diameter_mm", "follow_up_diameter_mm")
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        change = 100 * (follow_up - baseline) / baseline
    return np.where(np.isfinite(change), change - PARTIAL_RESPONSE, np.nan)


def borderline(tumours: pd.DataFrame, rows: pd.DataFrame, score: str, cut_off: float) -> tuple[Subgroup, ...]:
    """Performance over all tumours with known diameters, over those far from the line, and over borderline ones.

    Parameters
    ----------
    tumours
        The dataset's tumour table.
    rows
        One row for each evaluated tumour, as of ``study.study_scores``.
    score
        Column of the score.
    cut_off
        A score above it predicts a non-responder.

    Returns
    -------
    tuple of Subgroup
        Of the covariates ``KNOWN`` and ``CHANGE``; empty where no diameters are known.
    """
    table = tumours.set_index("tumour").loc[rows["tumour"]]
    distance = distance_to_line(table)
    known = np.isfinite(distance)
    near = np.abs(np.where(known, distance, np.inf)) < BORDERLINE
    names = [f"{BORDERLINE:g} points or more from -30 %", f"less than {BORDERLINE:g} points from -30 %"]
    classes = pd.DataFrame(
        {
            KNOWN: pd.Categorical.from_codes(np.where(known, 0, -1).tolist(), categories=pd.Index(["all known"])),
            CHANGE: pd.Categorical.from_codes(np.where(known, near, -1).tolist(), categories=pd.Index(names)),
        }
    )
    return subgroups(rows["label"], rows[score], rows["patient"].to_numpy(), classes, cut_off=cut_off)
