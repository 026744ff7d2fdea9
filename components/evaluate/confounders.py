"""Facts of the CT scan as possible confounders: what a network may have learned other than how the tumour looks.

Where non-responders were scanned with a contrast agent and responders without, a network that recognises the agent
predicts response, and fails at a centre with another habit.
"""

from collections.abc import Sequence

import pandas as pd

from components.common.artifacts.clinical_metrics import ScanFact, Subgroup
from components.evaluate.cohort_tables import Row, cohort_table

#: Titles are those of the subgroups.
TABLE_S1 = (
    Row("Contrast agent", "contrast_agent", "category"),
    Row("Tube voltage, kV", "kvp", "median"),
    Row("Slice thickness, mm", "slice_thickness_mm", "median", digits=2),
    Row("Kernel", "kernel", "category"),
)

NOT_STATED = "not stated"
#: With a smaller p-value a fact is associated with response.
ASSOCIATED = 0.05
#: An ensemble predicts well from the first AUC on, and hardly up to the second.
HIGH_AUC, NEAR_CHANCE = 0.65, 0.55
#: Least proportion of the tumours in subgroups that have an AUC, for a verdict on what is left within subgroups.
LEAST_IN_SUBGROUPS = 0.5


def table_s1(tumours: pd.DataFrame) -> pd.DataFrame:
    """Table S1, the scans of responders and non-responders; columns as Table I, only facts that some tumours have.

    A category that the DICOM files do not state is one too: a scanner that never names a contrast agent may belong to
    one arm.
    """
    known = [row for row in TABLE_S1 if tumours[row.column].notna().any()]
    return cohort_table(with_not_stated(tumours), known)


def with_not_stated(tumours: pd.DataFrame) -> pd.DataFrame:
    """The tumour table, in which categories of the scan that some files state and others do not are ``NOT_STATED``."""
    columns = [row.column for row in TABLE_S1 if row.kind == "category" and tumours[row.column].notna().any()]
    return tumours.assign(**{name: tumours[name].astype(object).fillna(NOT_STATED) for name in columns})


def scan_facts(
    tumours: pd.DataFrame, subgroups: Sequence[Subgroup], auc: float, evaluated: int
) -> tuple[ScanFact, ...]:
    """Which facts of the scan may be confounders.

    Parameters
    ----------
    tumours
        The dataset's tumour table.
    subgroups
        Performance by covariates, among them the facts of ``TABLE_S1``.
    auc
        AUC over all evaluated tumours.
    evaluated
        Number of evaluated tumours.
    """
    facts = []
    for name, lines in table_s1(tumours).groupby("characteristic", sort=False):
        title, first = _title(str(name)), lines.iloc[0]
        p_value = first["p_value"] if pd.isna(first["p_exact"]) else first["p_exact"]
        p_value = None if pd.isna(p_value) else float(p_value)
        own = [subgroup for subgroup in subgroups if subgroup.covariate == title]
        associated = p_value is not None and p_value < ASSOCIATED
        facts.append(ScanFact(title, p_value, associated, auc >= HIGH_AUC and _only_chance(own, evaluated)))
    return tuple(facts)


def _title(characteristic: str) -> str:
    """The fact's title without the numbers of known values."""
    return next(row.title for row in TABLE_S1 if characteristic.startswith(row.title))


def _only_chance(subgroups: Sequence[Subgroup], evaluated: int) -> bool:
    """Whether the AUC is near chance in every subgroup that has one, and these are at least two or hold enough."""
    with_auc = [subgroup for subgroup in subgroups if subgroup.auc is not None]
    tumours = sum(subgroup.responders + subgroup.non_responders for subgroup in with_auc)
    if len(subgroups) < 2 or tumours < LEAST_IN_SUBGROUPS * evaluated:
        return False
    return all(subgroup.auc is not None and subgroup.auc <= NEAR_CHANCE for subgroup in with_auc)
