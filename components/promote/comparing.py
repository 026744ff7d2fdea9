"""Opens the versions that a run is compared with, and has them predict the run's evaluation tumours."""

import numpy as np
import pandas as pd

from components.common.artifacts.evaluation import Evaluation
from components.common.errors import BundleError
from components.common.settings import Score
from components.common.tags import STUDY_VERSION
from components.model.manifest import Manifest, patient_digest
from components.model.runtime import Ensemble
from components.model.scores import combine
from components.promote import registry
from components.promote.bundles import Bundles
from components.promote.change import Change, Side, Trial, compare


def change_against(
    against: str, info: registry.ChampionInfo, bundles: Bundles, evaluated: Evaluation, model_name: str
) -> Change:
    """The run's procedure against that of a version, which is ``champion`` or ``reference``.

    A group's version is compared by the ensemble of all groups of its run, where that was registered.
    """
    version = info.tags.get(STUDY_VERSION, info.version)
    try:
        folder = registry.download(model_name, version, bundles.folder(f"{against}-{version}"))
        other = Ensemble.open(folder)
    except BundleError as error:
        return Change(against, (f"it cannot be opened: {error.safe_message}.",))
    ours, settings = Manifest.read(bundles.folder(bundles.names[0])), bundles.splits.settings
    trials = _trials(other, bundles, evaluated)
    return compare(Side.of(ours), Side.of(other.manifest), trials, settings.gate, against=against)


def _trials(other: Ensemble, bundles: Bundles, evaluated: Evaluation) -> dict[str, Trial]:
    """For each group that both have, the run's evaluation tumours with both sides' scores."""
    rows = evaluated.scores[evaluated.scores.role == "evaluation"]
    tumours = sorted(set(rows.tumour))
    probabilities = pd.DataFrame(
        other.probabilities(bundles.crops(tumours)), index=tumours, columns=list(other.manifest.members)
    )
    groups = [name for name in other.manifest.groups if name in evaluated.metrics.groups]
    return {name: _trial(rows[rows.group == name], probabilities, other.manifest, name, bundles) for name in groups}


def _trial(rows: pd.DataFrame, probabilities: pd.DataFrame, other: Manifest, group: str, bundles: Bundles) -> Trial:
    settings = bundles.splits.settings
    members = probabilities.loc[rows.tumour, other.groups[group]["members"]].to_numpy(np.float64)
    score: Score = "vote" if other.ensemble_score == "vote" else "mean"
    return Trial(
        tumours=rows.tumour.tolist(),
        labels=rows.label.to_numpy(),
        patients=[patient_digest(settings.study, patient) for patient in rows.patient],
        challenger=rows[settings.evaluate.ensemble_score].to_numpy(),
        other=combine(members, score, axis=1),
    )
