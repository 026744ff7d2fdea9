"""Centres of a cohort that had a part in a model's development, found by their pseudonyms.

A bundle does not list its centres. The run that developed it logged those that it evaluated: each one that a group left
out, where splits were by centre, and otherwise those of the evaluated tumours. Centres whose tumours only trained are
not among them, so that nothing is known of a centre that is not listed.
"""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from components.common.artifacts.validation_metrics import CentreOverlap, Overlap
from components.common.errors import RegistryError
from components.common.files import strict_json
from components.common.mlflow_client import client
from components.evaluate.subgroup_tables import CENTRE
from components.promote import registry
from components.stats.subgroups import subgroups

#: The logged metrics of a run, and the tag by which the run of one of its groups names it.
LOGGED, PARENT = "evaluation/metrics.json", "srs.parent"
OF_DEVELOPMENT, LEFT_OUT, NOT_LISTED = "of the development", "left out by its group", "not known"
NO_CENTRE, NOT_LOGGED = "no centre of the cohort is known", "the run of the model's development logged no centre"


@dataclasses.dataclass(frozen=True, slots=True)
class DevelopmentCentres:
    """What is known of the centres of a development.

    Parameters
    ----------
    left_out
        The centre that each group left out; {} unless splits were by centre.
    evaluated
        All centres of evaluated tumours.
    """

    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    evaluated: frozenset[str] = frozenset()


def development_centres(model_name: str, version: str) -> DevelopmentCentres:
    """The centres that the run of a registered version logged; none where its metrics are gone, or name none."""
    run_id = registry.version_info(model_name, version).run_id
    try:
        parent = client().get_run(run_id).data.tags.get(PARENT, run_id)
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(client().download_artifacts(parent, LOGGED, scratch))
            return read_centres(strict_json(path.read_bytes()))
    except (RegistryError, ValueError, OSError):
        return DevelopmentCentres()


def read_centres(metrics: Any) -> DevelopmentCentres:
    """The centres in the ``metrics.json`` of an evaluation, which may be of another release; raises ``ValueError``."""
    try:
        left_out = {str(group): str(centre) for group, centre in metrics.get("centres", {}).items()}
        rows = (metrics.get("clinical") or {}).get("subgroups", [])
        evaluated = {str(row["category"]) for row in rows if row["covariate"] == CENTRE}
    except (AttributeError, KeyError, TypeError):
        raise ValueError("not the metrics of an evaluation") from None
    return DevelopmentCentres(left_out, frozenset(evaluated | set(left_out.values())))


def centre_overlap(
    known: DevelopmentCentres,
    ensemble: str,
    patients: Overlap,
    rows: pd.DataFrame,
    tumours: pd.DataFrame,
    *,
    primary: str,
    cut_off: float,
) -> CentreOverlap:
    """Which centres of a cohort had a part in the development of an ensemble, and its performance by that.

    Parameters
    ----------
    known
        Centres of the development.
    ensemble
        ``study``, or the name of a group, whose own centre was left out of its training.
    patients
        Whether the pseudonyms of both sides can be compared.
    rows, tumours
        As of ``performance.measure``.
    primary, cut_off
        The primary score's column, and its cut-off.
    """
    centre = tumours["centre"]
    present = set(centre.dropna())
    reasons = [(not present, NO_CENTRE), (not known.evaluated, NOT_LOGGED), (not patients.checked, patients.reason)]
    if reason := next((text for applies, text in reasons if applies), ""):
        return CentreOverlap(False, reason, bool(known.left_out), (), (), tuple(sorted(present)), 0, ())
    held_out = present & {known.left_out.get(ensemble, "")}
    developed = (present & known.evaluated) - held_out
    conditions = [centre.isin(developed), centre.isin(held_out), centre.notna()]
    kind = np.select(conditions, [OF_DEVELOPMENT, LEFT_OUT, NOT_LISTED], "")
    return CentreOverlap(
        checked=True,
        reason="",
        by_centre=bool(known.left_out),
        developed=tuple(sorted(developed)),
        held_out=tuple(sorted(held_out)),
        not_listed=tuple(sorted(present - developed - held_out)),
        tumours=int((kind == OF_DEVELOPMENT).sum()),
        performance=subgroups(
            rows["label"].to_numpy(),
            rows[primary].to_numpy(float),
            rows["patient"].to_numpy(),
            pd.DataFrame({"centres": kind}),
            cut_off=cut_off,
        ),
    )
