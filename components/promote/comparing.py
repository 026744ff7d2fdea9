"""Opens the versions that a run is compared with, and has them predict the run's evaluation tumours."""

import numpy as np
import pandas as pd

from components.common.artifacts.evaluation import Evaluation
from components.common.errors import BundleError
from components.common.settings import Score
from components.common.tags import STUDY_VERSION
from components.model.manifest import STUDY, Manifest
from components.model.runtime import Ensemble
from components.model.scores import combine
from components.model.seen import patient_digest
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
    side = Side.of(other.manifest)
    trials = _trials(other, side, bundles, evaluated)
    return compare(Side.of(ours), side, trials, settings.gate, against=against)


def _trials(other: Ensemble, side: Side, bundles: Bundles, evaluated: Evaluation) -> dict[str, Trial]:
    """The evaluation tumours of each of the run's groups, with both sides' scores."""
    rows = evaluated.scores[evaluated.scores.role == "evaluation"]
    tumours = sorted(set(rows.tumour))
    probabilities = pd.DataFrame(
        other.probabilities(bundles.crops(tumours)), index=tumours, columns=list(other.manifest.members)
    )
    if not other.manifest.groups:
        return {}
    return {
        name: _trial(rows[rows.group == name], probabilities, other.manifest, side, name, bundles)
        for name in bundles.names
        if name != STUDY
    }


def _trial(
    rows: pd.DataFrame, probabilities: pd.DataFrame, other: Manifest, side: Side, group: str, bundles: Bundles
) -> Trial:
    settings = bundles.splits.settings
    patients = [patient_digest(settings.study, patient) for patient in rows.patient]
    theirs = side.least_seen(patients, group)
    members = probabilities.loc[rows.tumour, other.groups[theirs]["members"]].to_numpy(np.float64)
    score: Score = "vote" if other.ensemble_score == "vote" else "mean"
    return Trial(
        tumours=rows.tumour.tolist(),
        labels=rows.label.to_numpy(),
        patients=patients,
        challenger=rows[settings.evaluate.ensemble_score].to_numpy(),
        other=combine(members, score, axis=1),
        other_group=theirs,
    )
