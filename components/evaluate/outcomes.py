"""Calls against what became of the tumours: by RECIST response, and by outcomes after the study's window."""

import pandas as pd
from numpy.typing import ArrayLike

from components.common.artifacts.clinical_metrics import LaterOutcome
from components.common.artifacts.metrics import Calls, CallsByResponse
from components.evaluate.cohort_tables import YES
from components.model.scores import calls

RESPONSES = ("CR", "PR", "SD", "PD")


def calls_by_response(responses: ArrayLike, score: ArrayLike, cut_off: float) -> CallsByResponse:
    """Numbers of tumours called responder and non-responder, for each RECIST response [n] and score [n]."""
    called, of = pd.Series(calls(score, cut_off)), pd.Series(responses)
    counts = {name: (int((~called[of == name]).sum()), int(called[of == name].sum())) for name in RESPONSES}
    return CallsByResponse(**{name: Calls(*count) for name, count in counts.items()})


def later_outcomes(tumours: pd.DataFrame, rows: pd.DataFrame, score: str, cut_off: float) -> tuple[LaterOutcome, ...]:
    """Calls of the evaluated tumours whose later outcome is known: pseudoprogression, and the later response.

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
    """
    table = tumours.set_index("tumour").loc[rows["tumour"]]
    non_responder = calls(rows[score], cut_off)
    pseudo = table["pseudoprogression"].astype(str).str.strip().str.lower()
    known = table["pseudoprogression"].notna() & (pseudo != "")
    named = {
        "pseudoprogression": known & pseudo.isin(YES),
        "progression that was no pseudoprogression": known & ~pseudo.isin(YES),
        **{f"later response {response}": table["later_response"] == response for response in RESPONSES},
    }
    return tuple(
        LaterOutcome(name, int((chosen & ~non_responder).sum()), int((chosen & non_responder).sum()))
        for name, chosen in ((name, column.to_numpy(dtype=bool)) for name, column in named.items())
        if chosen.any()
    )
